use std::collections::{BTreeSet, HashMap};

use super::point::{Fnv, ForeignKeyEnd};
use crate::decode::{Image, RowsChange};
use crate::error::Result;
use crate::model::{Flavor, Reference, Table, TableName};
use crate::plan::{self, TargetColumn, TargetTable};
use crate::render::{self, Form, Renderer};

/// A table of green, as its log's rows are shown.
pub(super) struct Watched {
    pub(super) target: TargetTable,
    /// What the hashes of its keys begin with.
    pub(super) name_hash: Fnv,
    /// Its foreign keys.
    pub(super) references: Vec<ForeignKeyEnd>,
    /// The columns that foreign keys refer to.
    pub(super) referenced: Vec<ForeignKeyEnd>,
    forms: Vec<Form>,
}

/// All tables of green, by name.
pub(super) fn watched(tables: Vec<Table>, flavor: Flavor) -> HashMap<TableName, Watched> {
    // Letters of different case may be one table's name.
    let lower = |name: &TableName| name.to_string().to_lowercase();
    let mut referenced: HashMap<String, BTreeSet<Vec<String>>> = HashMap::new();
    for reference in tables.iter().flat_map(|table| &table.references) {
        let columns = reference.referenced.iter().map(|name| name.to_lowercase()).collect();
        referenced.entry(lower(&reference.table)).or_default().insert(columns);
    }
    let watched = |table: Table| {
        let referenced = referenced.get(&lower(&table.name)).cloned().unwrap_or_default();
        (table.name.clone(), Watched::new(table, flavor, &referenced))
    };
    tables.into_iter().map(watched).collect()
}

impl Watched {
    /// `referenced`: the names of the columns that each foreign key refers to, in lower case.
    fn new(table: Table, flavor: Flavor, referenced: &BTreeSet<Vec<String>>) -> Watched {
        let index = |name: &String| table.columns.iter().position(|column| column.name.to_lowercase() == *name);
        let parent_end = |names: &Vec<String>| {
            let columns = names.iter().map(index).collect::<Option<Vec<usize>>>()?;
            Some(ForeignKeyEnd::new(&table.name, names, columns))
        };
        let referenced = referenced.iter().filter_map(parent_end).collect();
        let child_end = |to: &Reference| ForeignKeyEnd::new(&to.table, &to.referenced, to.columns.clone());
        let references = table.references.iter().map(child_end).collect();
        let target = TargetTable::new(table, flavor, false);
        let form = |column: &TargetColumn| Form::of_kind(column.kind, column.charset.as_deref(), column.fixed_bytes);
        let name_hash = Fnv::of(&target.name);
        Watched { name_hash, references, referenced, forms: target.columns.iter().map(form).collect(), target }
    }

    /// Whether the log's rows may be of this table as it is now: it may have been changed since.
    pub(super) fn fits(&self, rows: &RowsChange) -> bool {
        self.forms.len() == rows.table.columns.len()
    }

    /// The row's key: the row key's columns or, without one, all that the image carries.
    pub(super) fn key(&self, image: &Image<'_>, renderer: &mut Renderer) -> Result<String> {
        match &self.target.row_key {
            Some(key) => self.object(image, key.iter().copied(), renderer),
            None => self.row(image, renderer),
        }
    }

    /// All columns that the image carries.
    pub(super) fn row(&self, image: &Image<'_>, renderer: &mut Renderer) -> Result<String> {
        self.object(image, 0..self.forms.len(), renderer)
    }

    fn object(
        &self,
        image: &Image<'_>,
        columns: impl Iterator<Item = usize>,
        renderer: &mut Renderer,
    ) -> Result<String> {
        let mut out = vec![b'{'];
        for index in columns {
            let (Some(column), Some(form)) = (self.target.columns.get(index), self.forms.get(index)) else { continue };
            let Some(value) = image.get(index)? else { continue };
            if out.len() > 1 {
                out.push(b',');
            }
            render::json(&mut out, &column.name);
            out.push(b':');
            let value = plan::with_sign(value, column);
            renderer.value(&mut out, *form, Some(value)).map_err(|error| image.locate(error, index))?;
        }
        out.push(b'}');
        Ok(text(out))
    }
}

/// All columns of a row whose table is not known any more, by their numbers.
pub(super) fn unnamed(rows: &RowsChange, image: &Image<'_>, renderer: &mut Renderer) -> Result<String> {
    let forms: Vec<Form> = rows.table.columns.iter().map(Form::of).collect();
    let mut out = Vec::new();
    renderer.image(&mut out, &forms, Some(*image))?;
    Ok(text(out))
}

/// JSON is UTF-8.
fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_default()
}
