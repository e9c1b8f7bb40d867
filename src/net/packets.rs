//! A connection's bytes, taken apart into packets.
//!
//! The reader writes into [`Packets::room`] and takes what is whole with [`Packets::next`]; no socket is known here.
//!
//! # Invariants
//! 1. A packet is a view of the buffer that it was read into. Only a packet that the buffer's end cuts, or that the
//!    server split, is moved.
//! 2. Memory follows the bytes that came, not the length that a packet claims.
//! 3. A buffer whose packets are all dropped is read into again: a reader that keeps up allocates nothing.
//!
//! Format: MySQL source documentation, "MySQL Packets": payload length (3 bytes), sequence number, payload; a payload of
//! 2^24 - 1 bytes goes on in the next packet.

use std::collections::VecDeque;

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Result};

/// What is read into at once, and taken apart into many packets.
const CHUNK_BYTES: usize = 1 << 20;
/// The least room of a read, and the largest packet that a chunk's end may cut and that is moved to the next chunk.
const READ_BYTES: usize = 256 << 10;
/// How many chunks are kept to be read into again, beyond the one that is.
const KEPT_CHUNKS: usize = 8;
/// A packet is an event and one byte; no server writes events of more than its largest `max_allowed_packet` (1 GiB)
/// plus a header.
const MAX_PACKET_BYTES: usize = (1 << 30) + (1 << 20);
const HEADER_BYTES: usize = 4;
/// The longest part of a packet. A part of this length is not the last.
pub(super) const MAX_PART_BYTES: usize = 0xFF_FF_FF;

pub(super) struct Packets {
    /// What was read and not yet taken.
    chunk: BytesMut,
    /// Chunks that were read full, oldest first. Packets may still be views of them.
    full: VecDeque<BytesMut>,
    /// A packet that is too large to be moved or that has several parts, as far as it came.
    large: Option<Large>,
    /// The sequence number of the part that was begun last.
    sequence: u8,
}

struct Large {
    payload: BytesMut,
    /// The payload's length once its current part is whole.
    end: usize,
    is_last_part: bool,
}

impl Packets {
    pub(super) fn new() -> Packets {
        Packets { chunk: BytesMut::new(), full: VecDeque::new(), large: None, sequence: 0 }
    }

    /// The sequence number of the last packet's last part.
    pub(super) fn sequence(&self) -> u8 {
        self.sequence
    }

    /// The next packet's payload, joined where the server split it; `None` where more bytes must be read first.
    ///
    /// # Errors
    /// `Limit` where a packet is larger than any server writes.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(large) = &mut self.large {
                large.take(&mut self.chunk);
                if large.missing() > 0 {
                    return Ok(None);
                }
                if large.is_last_part {
                    return Ok(self.large.take().map(|large| large.payload.freeze()));
                }
            }
            let Some([a, b, c, sequence]) = self.chunk.first_chunk().copied() else { return Ok(None) };
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            let is_single_part = self.large.is_none() && length < MAX_PART_BYTES;
            let is_whole = self.chunk.len() >= HEADER_BYTES + length;
            if is_single_part && !is_whole && HEADER_BYTES + length <= READ_BYTES {
                return Ok(None);
            }
            self.sequence = sequence;
            self.chunk.advance(HEADER_BYTES);
            if is_single_part && is_whole {
                return Ok(Some(self.chunk.split_to(length).freeze()));
            }
            self.begin_part(length)?;
        }
    }

    fn begin_part(&mut self, length: usize) -> Result<()> {
        let payload = self.large.take().map(|large| large.payload).unwrap_or_default();
        let end = payload.len() + length;
        if end > MAX_PACKET_BYTES {
            return Err(Error::new(ErrorKind::Limit, format!("a packet of more than {MAX_PACKET_BYTES} bytes")));
        }
        self.large = Some(Large { payload, end, is_last_part: length < MAX_PART_BYTES });
        Ok(())
    }

    /// Where to read the next bytes to: never empty after [`Packets::next`] gave `None`.
    pub(super) fn room(&mut self) -> Limit<&mut BytesMut> {
        match self.large {
            Some(ref large) if large.missing() == 0 => self.chunk_room(),
            Some(ref mut large) => large.room(),
            None => self.chunk_room(),
        }
    }

    fn chunk_room(&mut self) -> Limit<&mut BytesMut> {
        if self.chunk.capacity() - self.chunk.len() < READ_BYTES {
            self.empty_chunk();
        }
        let room = self.chunk.capacity() - self.chunk.len();
        (&mut self.chunk).limit(room)
    }

    /// Moves what is left of the chunk, less than [`READ_BYTES`], to the front of an empty one.
    fn empty_chunk(&mut self) {
        if self.chunk.try_reclaim(CHUNK_BYTES - self.chunk.len()) {
            return;
        }
        // The oldest is the first that nobody looks at any more.
        let mut empty = match self.full.front_mut().is_some_and(|chunk| chunk.try_reclaim(CHUNK_BYTES)) {
            true => self.full.pop_front().unwrap_or_default(),
            false => BytesMut::with_capacity(CHUNK_BYTES),
        };
        empty.extend_from_slice(&self.chunk);
        let mut full = std::mem::replace(&mut self.chunk, empty);
        full.clear();
        if self.full.len() < KEPT_CHUNKS && full.capacity() > 0 {
            self.full.push_back(full);
        }
    }
}

impl Large {
    /// Moves to it what came of its current part with other bytes.
    fn take(&mut self, chunk: &mut BytesMut) {
        let length = self.missing().min(chunk.len());
        self.payload.extend_from_slice(&chunk[..length]);
        chunk.advance(length);
    }

    fn missing(&self) -> usize {
        self.end - self.payload.len()
    }

    /// Where to read the rest of its current part to: as much again as came already.
    fn room(&mut self) -> Limit<&mut BytesMut> {
        let missing = self.missing();
        if self.payload.len() == self.payload.capacity() {
            self.payload.reserve(missing.min(self.payload.len().max(READ_BYTES)));
        }
        let room = missing.min(self.payload.capacity() - self.payload.len());
        (&mut self.payload).limit(room)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Payloads of these lengths, each with bytes of its own, and the stream of them.
    fn stream(lengths: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let payloads: Vec<Vec<u8>> = (1..).zip(lengths).map(|(seed, length)| payload(seed, *length)).collect();
        let mut stream = Vec::new();
        for payload in &payloads {
            let mut parts: Vec<&[u8]> = payload.chunks(MAX_PART_BYTES).collect();
            if parts.last().is_none_or(|last| last.len() == MAX_PART_BYTES) {
                parts.push(&[]);
            }
            for (sequence, part) in parts.into_iter().enumerate() {
                stream.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes()[..3]);
                stream.push(sequence as u8);
                stream.extend_from_slice(part);
            }
        }
        (payloads, stream)
    }

    fn payload(seed: u64, length: usize) -> Vec<u8> {
        let mut random = StdRng::seed_from_u64(seed);
        let pattern: Vec<u8> = (0..length.min(1009)).map(|_| random.random()).collect();
        pattern.repeat(length.div_ceil(1009)).into_iter().take(length).collect()
    }

    /// Reads up to `at_most` bytes, as a socket would.
    fn read(packets: &mut Packets, stream: &mut &[u8], at_most: usize) {
        let mut room = packets.room();
        let length = room.remaining_mut().min(at_most).min(stream.len());
        assert!(length > 0, "no room, or the stream ends inside of a packet");
        room.put_slice(&stream[..length]);
        *stream = &stream[length..];
    }

    /// Every packet comes out as it went in, whatever the reads, and stays so while later ones are read.
    fn comes_out_whole(lengths: &[usize], largest_read: usize, random: &mut StdRng) {
        let (payloads, stream) = stream(lengths);
        let (mut packets, mut stream) = (Packets::new(), stream.as_slice());
        let mut held: Vec<(&[u8], Bytes)> = Vec::new();
        for payload in &payloads {
            let packet = loop {
                match packets.next().unwrap() {
                    Some(packet) => break packet,
                    None => read(&mut packets, &mut stream, random.random_range(1..=largest_read)),
                }
            };
            assert!(packet == payload, "a packet of {} bytes came out as one of {}", payload.len(), packet.len());
            held.push((payload, packet));
            if random.random_ratio(1, 20) {
                assert!(held.iter().all(|(payload, packet)| packet == payload), "a packet was overwritten");
                held.clear();
            }
        }
        assert!(held.iter().all(|(payload, packet)| packet == payload), "a packet was overwritten");
        assert!(packets.next().unwrap().is_none() && stream.is_empty());
    }

    #[test]
    fn packets_of_all_lengths_come_out_of_any_reads() {
        let random = &mut StdRng::seed_from_u64(3);
        let lengths: Vec<usize> = (0..400).map(|_| random.random_range(0..300)).collect();
        for largest_read in [1, 7, 300, 2 << 20] {
            comes_out_whole(&lengths, largest_read, random);
        }
        for _ in 0..3 {
            let lengths: Vec<usize> = (0..400).map(|_| 1 << random.random_range(0..20)).collect();
            comes_out_whole(&lengths, 100_000, random);
            comes_out_whole(&lengths, 2 << 20, random);
        }
        let edges = [READ_BYTES - 5, READ_BYTES - 4, READ_BYTES - 3, CHUNK_BYTES - 4, CHUNK_BYTES - 3, CHUNK_BYTES];
        for largest_read in [READ_BYTES, CHUNK_BYTES] {
            comes_out_whole(&edges.repeat(4), largest_read, random);
        }
    }

    #[test]
    fn split_packets_are_joined() {
        let random = &mut StdRng::seed_from_u64(4);
        let around = [MAX_PART_BYTES - 1, 5, MAX_PART_BYTES, 0, MAX_PART_BYTES + 1, 2 * MAX_PART_BYTES, 70, 70];
        comes_out_whole(&around, 90_000, random);
        comes_out_whole(&around, 2 << 20, random);
    }

    #[test]
    fn a_reader_that_keeps_up_reads_into_one_buffer() {
        let lengths: Vec<usize> = (0..4000).map(|index| index * 7 % 9000).collect();
        let (payloads, stream) = stream(&lengths);
        assert!(stream.len() > 10 * CHUNK_BYTES);
        let (mut packets, mut stream, mut count) = (Packets::new(), stream.as_slice(), 0);
        let mut lowest_and_highest = None;
        while count < payloads.len() {
            match packets.next().unwrap() {
                Some(packet) => {
                    count += 1;
                    let at = packet.as_ptr() as usize;
                    let (lowest, highest) = lowest_and_highest.unwrap_or((at, at));
                    lowest_and_highest = Some((at.min(lowest), at.max(highest)));
                }
                None => read(&mut packets, &mut stream, 150_000),
            }
        }
        let (lowest, highest) = lowest_and_highest.unwrap();
        assert!(highest - lowest <= CHUNK_BYTES, "{} bytes were used", highest - lowest);
        assert!(packets.full.is_empty());
    }

    #[test]
    fn a_reader_that_lags_reads_into_kept_buffers() {
        let lengths = [100_000; 1000];
        let (payloads, stream) = stream(&lengths);
        let (mut packets, mut stream) = (Packets::new(), stream.as_slice());
        let mut held = VecDeque::new();
        let mut buffers = std::collections::BTreeSet::new();
        for payload in &payloads {
            while held.len() > 30 {
                let (payload, packet): (&Vec<u8>, Bytes) = held.pop_front().unwrap();
                assert!(packet == payload);
            }
            let packet = loop {
                match packets.next().unwrap() {
                    Some(packet) => break packet,
                    None => read(&mut packets, &mut stream, CHUNK_BYTES),
                }
            };
            buffers.insert(packet.as_ptr() as usize / CHUNK_BYTES);
            held.push_back((payload, packet));
        }
        assert!(packets.full.len() <= KEPT_CHUNKS);
        // 100 MB came through: some five buffers, each over two such places.
        assert!(buffers.len() < 20, "{} buffers were used", buffers.len());
    }

    #[test]
    fn memory_follows_what_came() {
        let mut packets = Packets::new();
        let mut stream = [0xFF, 0xFF, 0xFF, 0, 1, 2, 3].as_slice();
        read(&mut packets, &mut stream, 7);
        assert!(packets.next().unwrap().is_none());
        for came in 4..2000 {
            read(&mut packets, &mut [0].as_slice(), 1);
            assert!(packets.next().unwrap().is_none());
            let large = packets.large.as_ref().unwrap();
            assert_eq!((large.payload.len(), large.end), (came, MAX_PART_BYTES));
            assert!(large.payload.capacity() <= 2 * READ_BYTES);
        }
    }

    #[test]
    fn a_packet_beyond_what_servers_write_is_refused() {
        let mut packets = Packets::new();
        // Zeroed memory that nobody touches is not really there.
        let payload = BytesMut::zeroed(MAX_PACKET_BYTES);
        packets.large = Some(Large { payload, end: MAX_PACKET_BYTES, is_last_part: false });
        read(&mut packets, &mut [1, 0, 0, 66].as_slice(), 4);
        assert_eq!(packets.next().unwrap_err().kind(), ErrorKind::Limit);
    }
}
