//! What did a binary log change, table by table?
//!
//! ```text
//! cargo run --example decode_file -- tests/data/binlog/mysql-9.7.4/types.bin
//! ```
//!
//! Needs no server. Logs of MariaDB need `mariadb` as a second argument.

use std::collections::BTreeMap;
use std::error::Error;

use bluegreen::decode::{Decoded, Decoder, DecoderOptions, RowBuffer};
use bluegreen::model::{ChangeKind, Flavor, TableName};
use bluegreen::source::file::FileSource;

#[derive(Default)]
struct Counts {
    inserts: u64,
    updates: u64,
    deletes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: decode_file FILE [mysql|mariadb]")?;
    let flavor = match arguments.next().as_deref() {
        None | Some("mysql") => Flavor::MySql,
        Some("mariadb") => Flavor::MariaDb,
        Some(other) => return Err(format!("{other} is neither mysql nor mariadb").into()),
    };

    let mut tables = BTreeMap::<TableName, Counts>::new();
    let (mut transaction_count, mut statement_count) = (0, 0);
    let source = FileSource::open(&path)?;
    let mut decoder = Decoder::new(DecoderOptions::new(flavor, source.coordinates().clone()));
    let mut buffer = RowBuffer::new();
    for frame in source {
        decoder.push(frame?)?;
        while let Some(decoded) = decoder.next()? {
            match decoded {
                Decoded::Rows(change) => {
                    let counts = tables.entry(change.table.name.clone()).or_default();
                    *match change.kind {
                        ChangeKind::Insert => &mut counts.inserts,
                        ChangeKind::Update => &mut counts.updates,
                        ChangeKind::Delete => &mut counts.deletes,
                    } += change.row_count(&mut buffer)?;
                }
                Decoded::Statement(_) => statement_count += 1,
                Decoded::End(_) => transaction_count += 1,
                _ => {}
            }
        }
    }

    println!("{:30} {:>9} {:>9} {:>9}", "table", "inserts", "updates", "deletes");
    for (table, counts) in &tables {
        println!("{:30} {:>9} {:>9} {:>9}", table.to_string(), counts.inserts, counts.updates, counts.deletes);
    }
    println!("{transaction_count} transactions, {statement_count} statements as text");
    // The file of a server that runs may end anywhere: what was begun and not committed did not happen yet.
    if let Some(start) = decoder.transaction_start() {
        println!("the file ends inside the transaction that starts at {}", start.offset);
    }
    Ok(())
}
