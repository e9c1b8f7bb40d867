use bytes::Bytes;

/// One event as it stood in the log or on the wire: header, body and, where the log has them, the checksum bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The whole event, from the first byte of its 19-byte header.
    pub bytes: Bytes,
}

impl Frame {
    /// A frame over the whole event.
    pub fn new(bytes: Bytes) -> Frame {
        Frame { bytes }
    }
}

impl std::fmt::Debug for Frame {
    /// The length only: an event holds row values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} bytes)", self.bytes.len())
    }
}
