//! What the testkit writes, the decoder reads: random logs of every release, through the streaming decoder and whole.
//!
//! `plan` is what proptest makes up, `written` turns it into frames and what they stand for.

#[path = "decode_properties/cells.rs"]
mod cells;
#[path = "decode_properties/plan.rs"]
mod plan;
#[path = "decode_properties/written.rs"]
mod written;

use bluegreen::ErrorKind;
use bluegreen::decode::{Assembled, Assembler, Change, Decoded, Decoder, Outcome, RowBuffer, RowsChange, Unfolder};
use bluegreen::model::Frame;
use proptest::prelude::*;

use self::written::{Changed, Ended, Row, Transaction, Written};

/// All rows of a change, copied.
fn rows(change: &RowsChange, buffer: &mut RowBuffer) -> Changed {
    let mut copies = Vec::new();
    let mut rows = change.rows(buffer);
    while let Some(row) = rows.next().unwrap() {
        let copy = |image: bluegreen::decode::Image<'_>| image.to_values().unwrap();
        copies.push(Row { before: row.before.map(copy), after: row.after.map(copy) });
    }
    Changed::Rows { table: change.table.name.clone(), kind: change.kind, rows: copies }
}

/// What comes out of a stream: transactions' parts put together here, by what they say alone.
fn streamed(written: &Written) -> Vec<Transaction> {
    let mut decoder = Decoder::new(written.options.clone());
    let (mut transactions, mut open, mut buffer) = (Vec::new(), None::<Transaction>, RowBuffer::new());
    for frame in &written.frames {
        decoder.push(frame.clone()).unwrap();
        while let Some(decoded) = decoder.next().unwrap() {
            match decoded {
                Decoded::Begin(begin) => {
                    assert!(open.is_none());
                    let gtid = begin.gtid.map(|gtid| gtid.to_string());
                    open = Some(Transaction { start: begin.start, gtid, ..Transaction::default() });
                }
                Decoded::Rows(change) => open.as_mut().unwrap().changes.push(rows(&change, &mut buffer)),
                Decoded::Statement(statement) => {
                    open.as_mut().unwrap().changes.push(Changed::Statement(statement.sql.to_vec()));
                }
                Decoded::RolledBack { kept, .. } => open.as_mut().unwrap().changes.truncate(kept as usize),
                Decoded::End(end) => {
                    let mut transaction = open.take().unwrap();
                    assert_eq!(&end.end, decoder.coordinates());
                    assert!(decoder.transaction_start().is_none());
                    transaction.end = end.end;
                    transaction.ended = match end.outcome {
                        Outcome::Committed => Ended::Committed,
                        Outcome::RolledBack => Ended::RolledBack,
                        Outcome::Prepared(xid) => Ended::Prepared(xid.global),
                        Outcome::CommittedPrepared(xid) => Ended::CommittedPrepared(xid.global),
                        Outcome::RolledBackPrepared(xid) => Ended::RolledBackPrepared(xid.global),
                        other => panic!("{other:?}"),
                    };
                    transactions.push(transaction);
                }
                _ => {}
            }
        }
        assert_eq!(decoder.transaction_start().is_some(), open.is_some());
    }
    transactions
}

/// What transactions are when two-phase ones are put together: the prepared ones come with what ends them.
fn whole(transactions: &[Transaction]) -> Vec<Transaction> {
    let mut prepared = std::collections::HashMap::new();
    let mut all = Vec::new();
    for transaction in transactions {
        let mut transaction = transaction.clone();
        match &transaction.ended {
            Ended::Prepared(xid) => {
                prepared.insert(xid.clone(), transaction);
                continue;
            }
            Ended::CommittedPrepared(xid) => {
                let held = prepared.remove(xid).unwrap();
                (transaction.changes, transaction.prepared_gtid) = (held.changes, held.gtid);
            }
            Ended::RolledBackPrepared(xid) => {
                transaction.prepared_gtid = prepared.remove(xid).unwrap().gtid;
            }
            Ended::Committed | Ended::RolledBack => {}
        }
        transaction.ended = Ended::Committed;
        all.push(transaction);
    }
    all
}

/// Pushes frames until one is refused; gives the transactions and the error.
fn assembled<'f>(
    assembler: &mut Assembler,
    frames: impl IntoIterator<Item = &'f Frame>,
) -> (Vec<Transaction>, Option<ErrorKind>) {
    let (mut transactions, mut buffer) = (Vec::new(), RowBuffer::new());
    let mut parts: Vec<Changed> = Vec::new();
    let mut changed = |changes: &[Change]| -> Vec<Changed> {
        let changed = |change: &Change| match change {
            Change::Rows(change) => rows(change, &mut buffer),
            Change::Statement(statement) => Changed::Statement(statement.sql.to_vec()),
            other => panic!("{other:?}"),
        };
        changes.iter().map(changed).collect()
    };
    for frame in frames {
        let mut pushed = assembler.push(frame.clone());
        loop {
            match pushed.and_then(|()| assembler.next()) {
                Ok(Some(Assembled::Transaction(transaction))) => {
                    assert_eq!(assembler.coordinates(), &transaction.end);
                    assert!(!assembler.is_in_transaction());
                    assert_eq!(transaction.parts > 0, !parts.is_empty());
                    parts.extend(changed(&transaction.changes));
                    transactions.push(Transaction {
                        changes: std::mem::take(&mut parts),
                        gtid: transaction.gtid.map(|gtid| gtid.to_string()),
                        prepared_gtid: transaction.prepared_gtid.map(|gtid| gtid.to_string()),
                        start: transaction.start,
                        end: transaction.end,
                        ended: Ended::Committed,
                    });
                }
                Ok(Some(Assembled::Part(part))) => {
                    assert!(!part.changes.is_empty() && assembler.is_in_transaction());
                    assert_eq!(part.parts > 0, !parts.is_empty());
                    parts.extend(changed(&part.changes));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (transactions, Some(error.kind())),
            }
            pushed = Ok(());
        }
    }
    (transactions, None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(plan in plan::any_plan()) {
        let written = written::write(&plan);
        let streamed = streamed(&written);
        prop_assert_eq!(streamed.len(), written.transactions.len());
        for (index, (read, wrote)) in streamed.iter().zip(&written.transactions).enumerate() {
            prop_assert!(read.start == wrote.start && read.end == wrote.end, "place of {}", index);
            prop_assert!(read == wrote, "transaction {}: {:?}, expected {:?}", index, read, wrote);
        }
        let mut assembler = Assembler::new(written.options.clone());
        let (transactions, error) = assembled(&mut assembler, &written.frames);
        prop_assert_eq!(error, None);
        prop_assert!(transactions == whole(&streamed), "whole transactions are not what streams");
        prop_assert_eq!(assembler.coordinates(), &written.end);
    }

    #[test]
    fn parts_add_up_to_the_transaction(plan in plan::any_plan(), max_part_bytes in 0..500u64) {
        let written = written::write(&plan);
        let all = whole(&streamed(&written));
        let mut assembler = Assembler::new(written.options.clone()).with_parts(max_part_bytes);
        let (transactions, error) = assembled(&mut assembler, &written.frames);
        prop_assert!(transactions == all[..transactions.len()], "parts are not what streams");
        // What is gone cannot be taken back.
        prop_assert!(error == Some(ErrorKind::Unsupported) || transactions.len() == all.len(), "{:?}", error);
    }

    #[test]
    fn an_unfolder_apart_makes_no_difference(plan in plan::any_plan()) {
        let written = written::write(&plan);
        let mut unfolder = Unfolder::new(&written.options);
        let mut apart = Decoder::new(written.options.clone());
        let mut decoder = Decoder::new(written.options.clone());
        for frame in &written.frames {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let mut next = unfolder.push(frame.clone()).unwrap();
            while let Some(event) = next {
                ours.extend(apart.push_event(event).unwrap());
                while let Some(decoded) = apart.next().unwrap() {
                    ours.push(decoded);
                }
                next = unfolder.next().unwrap();
            }
            decoder.push(frame.clone()).unwrap();
            while let Some(decoded) = decoder.next().unwrap() {
                theirs.push(decoded);
            }
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            prop_assert_eq!(apart.coordinates(), decoder.coordinates());
        }
    }

    #[test]
    fn a_cut_log_gives_the_transactions_in_front_of_the_cut(
        plan in plan::any_plan(), at: prop::sample::Index, bytes: prop::sample::Index, damage: Option<bool>,
    ) {
        let written = written::write(&plan);
        let all = whole(&streamed(&written));
        let at = at.index(written.frames.len());
        let (front, behind) = written.frames.split_at(at);
        let mut assembler = Assembler::new(written.options.clone());
        let (before, error) = assembled(&mut assembler, front);
        prop_assert_eq!(error, None);
        prop_assert!(before == all[..before.len()], "another history in front of the cut");
        let place = assembler.coordinates().clone();

        // The next frame is cut, or has a wrong byte, which a checksum finds.
        let frame = &behind[0];
        let byte = bytes.index(frame.bytes.len());
        let broken = match damage {
            Some(_) if written.has_checksums => {
                let mut bytes = frame.bytes.to_vec();
                bytes[byte] ^= 0x80;
                Frame::new(bytes.into())
            }
            _ => Frame::new(frame.bytes.slice(..byte)),
        };
        let (none, error) = assembled(&mut assembler, [&broken]);
        prop_assert!(none.is_empty());
        prop_assert!(error.is_some(), "a broken frame is taken");
        prop_assert_eq!(assembler.coordinates(), &place);
        for frame in behind {
            let (none, again) = assembled(&mut assembler, [frame]);
            prop_assert!(none.is_empty() && again == error, "an assembler that stopped goes on");
        }
    }
}
