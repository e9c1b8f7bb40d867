use crate::decode::{Assembled, Assembler, DecoderOptions};
use crate::error::Result;
use crate::model::{Coordinates, Frame, Position};
use crate::net::{Server, ServerUrl};
use crate::source::{Dump, DumpRequest};

/// Transactions of more bytes than this are read in parts.
const PART_BYTES: u64 = 8 << 20;

/// Green's log as a stream.
pub(super) struct Log {
    dump: Dump,
    assembler: Assembler,
    /// All of the log before it was seen to be sent.
    heard: Option<Coordinates>,
    is_level: bool,
}

impl Log {
    pub(super) async fn open(url: &ServerUrl, green: &Server, start: &Position) -> Result<Log> {
        let request = DumpRequest::new(start.clone(), crate::entropy::replica_id());
        let dump = Dump::open(url, green, &request).await?;
        let mut options = DecoderOptions::new(green.version.flavor, start.coordinates.clone());
        options.initial_checksum = green.binlog.has_checksums();
        Ok(Log { dump, assembler: Assembler::new(options).with_parts(PART_BYTES), heard: None, is_level: false })
    }

    /// The next frames; waits for them.
    pub(super) async fn next(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        self.dump.next_batch(&mut frames).await?;
        Ok(frames)
    }

    /// The next frames, until everything before `head` was read, and all of a transaction that was begun behind it: its
    /// parts count for nothing without its end.
    pub(super) async fn until(&mut self, read: &Position, head: &Position) -> Result<Option<Vec<Frame>>> {
        // An idle source says how far its log goes: it has nothing more to send.
        let is_heard = self.heard.as_ref().is_some_and(|heard| *heard >= head.coordinates);
        match !self.assembler.is_in_transaction() && (is_heard || read.covers(head) == Some(true)) {
            true => Ok(None),
            false => self.next().await.map(Some),
        }
    }

    /// Whether the source had nothing more to send when it was last heard.
    pub(super) fn is_level(&self) -> bool {
        self.is_level
    }

    /// What a frame completes.
    pub(super) fn assemble(&mut self, frame: Frame) -> Result<Vec<Assembled>> {
        self.assembler.push(frame)?;
        let mut all = Vec::new();
        while let Some(assembled) = self.assembler.next()? {
            self.is_level = matches!(assembled, Assembled::Heartbeat(_));
            if let Assembled::Heartbeat(coordinates) = &assembled {
                self.heard = Some(coordinates.clone());
            }
            all.push(assembled);
        }
        Ok(all)
    }
}
