//! The bytes of a journal. All integers are little-endian.
//!
//! A segment is a file named by the number of its first record, 20 digits and `.journal`. It begins with
//! [`HEAD_BYTES`]: the magic, a zero `u32`, the number of its first record `u64`, and the CRC-32 of the bytes before. Then
//! come records, each directly behind the other; a segment is as long as it was reserved, and the bytes behind its last
//! record are zero.
//!
//! A record: CRC-32 `u32` of all that follows, length of the payload `u32`, kind `u16`, synced `u16`, number `u64`, time
//! `u64` (nanoseconds since 1970), payload. The CRC-32 is that of IEEE 802.3. Synced says how far the journal was safe on the
//! disk when the record was appended: all records up to its own number less this; [`SYNCED_TOO_FAR`] where that is further away
//! than it can say, 0 in journals of before it was written.
//!
//! Beside the segments the file `synced` has the number of the last record that was synced `u64` and the CRC-32 of these bytes,
//! written after the sync and itself not synced: it may be behind, never ahead.

/// The first bytes of a segment, with the version of the format.
pub const MAGIC: [u8; 8] = *b"TDJRNL\0\x01";
/// Bytes before the first record of a segment.
pub const HEAD_BYTES: usize = 24;
/// Bytes of a record before its payload.
pub const RECORD_HEAD_BYTES: usize = 28;
/// Synced, of a record that was appended when at least so many before it were not.
pub const SYNCED_TOO_FAR: u16 = u16::MAX;
/// The longest payload, bytes: what a damaged length can make a reader allocate.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Counts up by one from 1.
    pub number: u64,
    /// What it is, in its user's terms.
    pub kind: u16,
    /// When it was appended, nanoseconds since 1970, as its user said.
    pub unix_ns: u64,
    /// What it says.
    pub payload: &'a [u8],
}

/// What stands at a place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A record, and the bytes that it takes.
    Record(Record<'a>, usize),
    /// Nothing was written here: the end, for now.
    End,
    /// Not all of it is here: so many bytes at least are needed from its beginning.
    Partly(usize),
    /// Bytes that are no record.
    Damaged,
}

/// The head of a segment whose first record has this number.
#[must_use]
pub fn head(first: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&head[..20]);
    head[20..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// The number of a segment's first record, if this is a segment's head.
#[must_use]
pub fn first_of(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(bytes.get(12..20)?.try_into().ok()?);
    (bytes.get(..HEAD_BYTES)? == head(number)).then_some(number)
}

/// Appends a record to `out`; records up to `synced`, which is before it, are safe.
pub(crate) fn encode(record: (u64, u16, u64), synced: u64, parts: &[&[u8]], out: &mut Vec<u8>) {
    let (number, kind, unix_ns) = record;
    let behind = u16::try_from(number - synced).unwrap_or(SYNCED_TOO_FAR);
    let begin = out.len();
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(len as u32).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&behind.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&unix_ns.to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let crc = crc32fast::hash(&out[begin + 4..]);
    out[begin..begin + 4].copy_from_slice(&crc.to_le_bytes());
}

/// What stands at the beginning of `bytes`.
#[must_use]
pub fn decode(bytes: &[u8]) -> Place<'_> {
    let Some((head, rest)) = bytes.split_at_checked(RECORD_HEAD_BYTES) else {
        return if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
            Place::Partly(RECORD_HEAD_BYTES)
        } else {
            Place::End
        };
    };
    if head.iter().all(|byte| *byte == 0) {
        return Place::End;
    }
    let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let (crc, len) = (u32_at(0), u32_at(4) as usize);
    if len > PAYLOAD_MAX {
        return Place::Damaged;
    }
    let Some(payload) = rest.get(..len) else { return Place::Partly(RECORD_HEAD_BYTES + len) };
    if crc32fast::hash(&bytes[4..RECORD_HEAD_BYTES + len]) != crc {
        return Place::Damaged;
    }
    let kind = u16::from_le_bytes([head[8], head[9]]);
    let record = Record { number: u64_at(12), kind, unix_ns: u64_at(20), payload };
    Place::Record(record, RECORD_HEAD_BYTES + len)
}

/// What a whole record says about how far the journal was synced when it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    /// All up to this number.
    UpTo(u64),
    /// It was too far away to be said.
    TooFar,
    /// It was written before this was.
    Unsaid,
}

/// What the whole record that `bytes` begin with says about it.
pub(crate) fn synced(bytes: &[u8], number: u64) -> Synced {
    match u16::from_le_bytes([bytes[10], bytes[11]]) {
        0 => Synced::Unsaid,
        SYNCED_TOO_FAR => Synced::TooFar,
        behind => Synced::UpTo(number.saturating_sub(u64::from(behind))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_laid_out_as_described() {
        let mut bytes = Vec::new();
        encode((0x0102, 7, 9), 0x00fe, &[b"ab", b"", b"c"], &mut bytes);
        assert_eq!(bytes.len(), RECORD_HEAD_BYTES + 3);
        assert_eq!(bytes[4..12], [3, 0, 0, 0, 7, 0, 4, 0]);
        assert_eq!(bytes[12..28], [2, 1, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[28..], b"abc");
        let record = Record { number: 0x0102, kind: 7, unix_ns: 9, payload: b"abc" };
        assert_eq!(decode(&bytes), Place::Record(record, bytes.len()));
        assert_eq!(synced(&bytes, 0x0102), Synced::UpTo(0x00fe));
        assert_eq!(first_of(&head(77)), Some(77));
    }

    #[test]
    fn what_was_synced_long_before_is_not_said() {
        for (number, said) in [(65_534, Synced::UpTo(0)), (65_535, Synced::TooFar), (1 << 40, Synced::TooFar)]
        {
            let mut bytes = Vec::new();
            encode((number, 7, 9), 0, &[b"x"], &mut bytes);
            assert_eq!(synced(&bytes, number), said, "{number}");
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut bytes = Vec::new();
        encode((5, 1, 2), 0, &[b"payload"], &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&bad), Place::Record(..)), "bit {bit}");
            let mut bad_head = head(3);
            bad_head[(bit / 8) % HEAD_BYTES] ^= 1 << (bit % 8);
            assert_eq!(first_of(&bad_head), None, "bit {bit}");
        }
    }

    #[test]
    fn a_part_of_a_record_says_what_it_needs() {
        let mut bytes = Vec::new();
        encode((5, 1, 2), 0, &[b"payload"], &mut bytes);
        for len in 0..bytes.len() {
            let needs = if len < RECORD_HEAD_BYTES { RECORD_HEAD_BYTES } else { bytes.len() };
            assert_eq!(decode(&bytes[..len]), Place::Partly(needs), "{len}");
        }
        assert_eq!(decode(&[0; 64]), Place::End);
        assert_eq!(decode(&[0; 3]), Place::End);
    }
}
