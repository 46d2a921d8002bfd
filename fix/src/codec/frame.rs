//! Hot path: finding a message in a receive buffer. No allocation, no copy.

use memchr::memmem;

use super::{Fields, SOH, checksum, unsigned};

/// Bounds of what is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, from `8=` to the delimiter behind CheckSum. A receive buffer of this size always either
    /// yields a message or loses some garbled bytes.
    pub message_bytes_max: usize,
    /// The most fields in a message, header and trailer included.
    pub fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 8 * 1024, fields_max: 128 }
    }
}

/// Why bytes are skipped. A garbled message is ignored, as the session rules say: if it was one, its number is
/// missing, and it is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garble {
    /// Does not begin with `8=FIX`.
    BeginString,
    /// The second field is not a BodyLength.
    BodyLength,
    /// BodyLength says more than is taken.
    TooLong,
    /// No CheckSum where BodyLength says that it is.
    Length,
    /// CheckSum is not three digits, or not those of the bytes.
    CheckSum,
    /// The third field is not a MsgType.
    MsgType,
    /// A field is not of the form tag=value.
    Field,
}

/// What a receive buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Not whole yet.
    NeedMore,
    /// A message, of [`Message::bytes`]`.len()` bytes.
    Message(Message<'a>),
    /// Bytes that are no message.
    Garbled {
        /// What is wrong with them.
        why: Garble,
        /// How many to take off the buffer, at least one.
        skip: usize,
    },
}

/// A message in the receive buffer: framing, length and checksum are right, the fields were not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Value of BeginString.
    pub begin_string: &'a [u8],
    /// Value of MsgType.
    pub msg_type: &'a [u8],
    /// The fields behind MsgType, before CheckSum.
    content: &'a [u8],
}

impl<'a> Message<'a> {
    /// The fields behind MsgType, CheckSum excluded.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.content)
    }

    /// The value of the first field with this tag, among those behind MsgType.
    #[must_use]
    pub fn field(&self, tag: u32) -> Option<&'a [u8]> {
        self.fields().flatten().find(|field| field.tag == tag).map(|field| field.value)
    }
}

const START: &[u8] = b"8=FIX";
/// BeginString is not longer than this.
const BEGIN_STRING_MAX: usize = 16;
/// Digits of BodyLength.
const BODY_LENGTH_DIGITS_MAX: usize = 9;
/// `10=nnn` and its delimiter.
const TRAILER: usize = 7;

/// What `buf` begins with. Take the message's or the skipped bytes off and call again.
#[must_use]
pub fn decode<'a>(buf: &'a [u8], limits: &Limits) -> Decoded<'a> {
    match frame(buf, limits) {
        Ok(Some(message)) => Decoded::Message(message),
        Ok(None) => Decoded::NeedMore,
        Err(why) => Decoded::Garbled { why, skip: next_start(buf) },
    }
}

fn frame<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Message<'a>>, Garble> {
    let head = buf.len().min(START.len());
    if buf[..head] != START[..head] {
        return Err(Garble::BeginString);
    }
    let Some(begin_end) = soh_within(buf, 2, BEGIN_STRING_MAX, Garble::BeginString)? else { return Ok(None) };
    let Some(length_end) = body_length_end(buf, begin_end + 1)? else { return Ok(None) };
    let digits = &buf[begin_end + 3..length_end];
    let body_len = unsigned(digits).ok_or(Garble::BodyLength)?;
    let body = length_end + 1;
    let total = usize::try_from(body_len).unwrap_or(usize::MAX).saturating_add(body + TRAILER);
    if total > limits.message_bytes_max {
        return Err(Garble::TooLong);
    }
    if buf.len() < total {
        return Ok(None);
    }
    let (bytes, trailer_at) = (&buf[..total], total - TRAILER);
    check_trailer(bytes, trailer_at)?;
    let rest = bytes[body..trailer_at].strip_prefix(b"35=").ok_or(Garble::MsgType)?;
    let type_end = memchr::memchr(SOH, rest).filter(|&len| len > 0).ok_or(Garble::MsgType)?;
    Ok(Some(Message {
        bytes,
        begin_string: &bytes[2..begin_end],
        msg_type: &rest[..type_end],
        content: &rest[type_end + 1..],
    }))
}

/// Where the delimiter is, from `from` on.
fn soh_within(buf: &[u8], from: usize, len_max: usize, why: Garble) -> Result<Option<usize>, Garble> {
    let seen = &buf[from.min(buf.len())..buf.len().min(from + len_max)];
    match memchr::memchr(SOH, seen) {
        Some(len) => Ok(Some(from + len)),
        None if seen.len() == len_max => Err(why),
        None => Ok(None),
    }
}

/// Where BodyLength ends, which begins at `from`.
fn body_length_end(buf: &[u8], from: usize) -> Result<Option<usize>, Garble> {
    let have = buf.len().min(from + 2);
    if buf[from..have] != b"9="[..have - from] {
        return Err(Garble::BodyLength);
    }
    soh_within(buf, from + 2, BODY_LENGTH_DIGITS_MAX, Garble::BodyLength)
}

fn check_trailer(bytes: &[u8], at: usize) -> Result<(), Garble> {
    let trailer = &bytes[at..];
    if bytes[at - 1] != SOH || &trailer[..3] != b"10=" || trailer[TRAILER - 1] != SOH {
        return Err(Garble::Length);
    }
    match unsigned(&trailer[3..6]) {
        Some(stated) if stated == u64::from(checksum(&bytes[..at])) => Ok(()),
        Some(_) | None => Err(Garble::CheckSum),
    }
}

/// Bytes before the next place where a message may begin: a start behind a delimiter, or as much of one as has come.
fn next_start(buf: &[u8]) -> usize {
    let from = 1.min(buf.len());
    let found = memmem::find(&buf[from..], b"\x018=FIX").map(|at| from + at + 1);
    // Noise without a delimiter may be followed by a start all the same.
    let at_once = if buf.starts_with(START) { None } else { memmem::find(buf, START) };
    match (found, at_once) {
        (Some(found), Some(at_once)) => found.min(at_once),
        (Some(at), None) | (None, Some(at)) => at,
        (None, None) => buf.len() - partial_start(&buf[from..]),
    }
}

/// How many of the last bytes may be the beginning of a start.
fn partial_start(buf: &[u8]) -> usize {
    (1..START.len()).rev().find(|&len| buf.ends_with(&START[..len])).unwrap_or(0)
}
