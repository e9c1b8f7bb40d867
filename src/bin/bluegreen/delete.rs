use std::path::Path;

use bluegreen::Result;
use bluegreen::deployment::{self, DeleteConfig};

use crate::arguments::Delete;
use crate::config::Settings;
use crate::output::{self, Answer};

pub(crate) async fn delete(arguments: Delete, config: Option<&Path>, json: bool) -> Result<Answer> {
    let settings = Settings::read(config, &arguments.servers)?;
    let delete = DeleteConfig::new(settings.green()?).delete_target(arguments.delete_target);
    let delete = match settings.blue() {
        Ok(blue) => delete.with_blue(blue),
        Err(_) => delete,
    };
    let deleted = deployment::delete(&delete).await?;
    if json {
        output::document(&deleted);
        return Ok(Answer::Yes);
    }
    output::line(format_args!("the deployment {} is gone; it was {}", deleted.name, deleted.status.name()));
    for note in &deleted.notes {
        output::line(format_args!("  {note}"));
    }
    match deleted.dropped_schemas.as_slice() {
        [] => output::line("  no data was touched on either server"),
        schemas => output::line(format_args!("  dropped on green: {}", schemas.join(", "))),
    }
    Ok(Answer::Yes)
}
