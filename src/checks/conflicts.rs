use super::{Check, Verdict};
use crate::apply::checkpoint::{self, Stream};
use crate::net::Session;

/// What the applier itself met: it sees writes that left no trace in green's log.
pub(crate) async fn no_conflicts(green: &mut Session) -> Check {
    const NAME: &str = "no_conflicts";
    match checkpoint::read(green, Stream::Forward).await {
        Err(error) => Check::unknown(NAME, &error),
        Ok(None) => {
            Check::new(NAME, Verdict::Unknown, "green has no checkpoint").with_advice("build green with `create`")
        }
        Ok(Some(checkpoint)) if checkpoint.conflicts == 0 => {
            Check::new(NAME, Verdict::Pass, "every change met the row that blue had changed")
        }
        Ok(Some(checkpoint)) => {
            let evidence = format!("{} changes met a green that was not as blue had been", checkpoint.conflicts);
            Check::new(NAME, Verdict::Fail, evidence)
                .with_advice("compare with `verify`, then build green anew with `create`")
        }
    }
}
