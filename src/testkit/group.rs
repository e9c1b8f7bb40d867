//! XA_PREPARE, and what group replication logs (MySQL source, `libs/mysql/binlog/event/control_events.h`,
//! `XA_prepare_event`, `Transaction_context_event`, `View_change_event`).

use super::event::Event;
use super::kind;

/// The name of an XA transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct XaId {
    /// The number of the name's format, usually 1.
    pub format: u32,
    /// Up to 64 bytes.
    pub global: Vec<u8>,
    /// Up to 64 bytes.
    pub branch: Vec<u8>,
}

impl XaId {
    /// A name by its parts.
    pub fn new(format: u32, global: impl Into<Vec<u8>>, branch: impl Into<Vec<u8>>) -> XaId {
        XaId { format, global: global.into(), branch: branch.into() }
    }
}

/// A member's transaction as TRANSACTION_CONTEXT describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the parts are the format")]
pub struct TransactionContext {
    /// The member's UUID as text.
    pub server_uuid: String,
    /// The session.
    pub thread: u32,
    /// Whether the session had set the GTID itself.
    pub is_gtid_specified: bool,
    /// The GTIDs that the member had, in PREVIOUS_GTIDS' form.
    pub snapshot: Vec<u8>,
    /// Hashes of the written rows' keys.
    pub write_set: Vec<Vec<u8>>,
    /// Hashes of the read rows' keys.
    pub read_set: Vec<Vec<u8>>,
}

impl Event {
    /// XA_PREPARE: the first phase is done, or with `is_one_phase` all of it.
    pub fn xa_prepare(id: &XaId, is_one_phase: bool) -> Event {
        let mut body = vec![u8::from(is_one_phase)];
        body.extend(id.format.to_le_bytes());
        body.extend((id.global.len() as u32).to_le_bytes());
        body.extend((id.branch.len() as u32).to_le_bytes());
        body.extend([id.global.as_slice(), &id.branch].concat());
        Event::raw(kind::XA_PREPARE, 0, body)
    }

    /// TRANSACTION_CONTEXT.
    pub fn transaction_context(context: &TransactionContext) -> Event {
        let mut body = vec![context.server_uuid.len() as u8];
        body.extend(context.thread.to_le_bytes());
        body.push(u8::from(context.is_gtid_specified));
        for length in [context.snapshot.len(), context.write_set.len(), context.read_set.len()] {
            body.extend((length as u32).to_le_bytes());
        }
        body.extend(context.server_uuid.as_bytes());
        body.extend(&context.snapshot);
        for item in context.write_set.iter().chain(&context.read_set) {
            body.extend((item.len() as u16).to_le_bytes());
            body.extend(item);
        }
        Event::raw(kind::TRANSACTION_CONTEXT, 0, body)
    }

    /// VIEW_CHANGE: the members changed. The certification data is keys with values.
    ///
    /// # Panics
    /// Where the view's name has more than 39 bytes.
    pub fn view_change(view: &str, sequence: u64, certification: &[(&[u8], &[u8])]) -> Event {
        const VIEW_LENGTH: usize = 40;
        assert!(view.len() < VIEW_LENGTH, "a view's name has up to 39 bytes");
        let mut body = view.as_bytes().to_vec();
        body.resize(VIEW_LENGTH, 0);
        body.extend(sequence.to_le_bytes());
        body.extend((certification.len() as u32).to_le_bytes());
        for (key, value) in certification {
            body.extend((key.len() as u16).to_le_bytes());
            body.extend(*key);
            body.extend((value.len() as u32).to_le_bytes());
            body.extend(*value);
        }
        Event::raw(kind::VIEW_CHANGE, 0, body)
    }
}
