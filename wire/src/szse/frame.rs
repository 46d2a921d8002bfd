//! Framing: `MsgType u32 | BodyLength u32 | body | Checksum u32`, all big-endian.
//!
//! Hot path: no allocation, no copy; a frame is a slice of the receive buffer.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{GroupMessage, Message};

/// Bytes before the body.
pub const HEADER_LEN: usize = 8;
/// Bytes after the body.
pub const TRAILER_LEN: usize = 4;
/// Bytes that a frame adds to its body.
pub const OVERHEAD: usize = HEADER_LEN + TRAILER_LEN;
/// A body length that every message laid out here stays below; what a receiver passes as `body_len_max` unless it
/// knows better.
pub const BODY_LEN_MAX: usize = 32 * 1024;

/// Why bytes are not a frame, or a frame not the wanted message. After any of them but [`DecodeError::WrongType`] the
/// peer is not to be trusted with where the next frame begins: close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// BodyLength is beyond what the receiver takes.
    #[error("body of {len} bytes, at most {max} are taken")]
    Oversize {
        /// BodyLength as stated.
        len: u32,
        /// The receiver's bound.
        max: usize,
    },
    /// The checksum does not match.
    #[error("checksum {stated}, computed {computed}")]
    Checksum {
        /// The frame's last four bytes.
        stated: u32,
        /// The sum of the bytes before them.
        computed: u32,
    },
    /// The frame is another message than the one asked for.
    #[error("message type {found} where {wanted} was asked for")]
    WrongType {
        /// MsgType of the frame.
        found: u32,
        /// MsgType of the view.
        wanted: u32,
    },
    /// The body is shorter or longer than the message.
    #[error("message type {msg_type} with a body of {len} bytes")]
    BodyLength {
        /// MsgType of the frame.
        msg_type: u32,
        /// Bytes of the body.
        len: usize,
    },
    /// A repeating group states more entries than are taken.
    #[error("message type {msg_type} with a group of {count} entries")]
    GroupCount {
        /// MsgType of the frame.
        msg_type: u32,
        /// Entries stated.
        count: u32,
    },
}

/// One whole frame inside a receive buffer, its checksum verified; its body is not looked into.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// MsgType.
    pub msg_type: u32,
    /// The body.
    pub body: &'a [u8],
    /// The whole frame; its length is what the receiver consumes.
    pub bytes: &'a [u8],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    msg_type: U32,
    body_len: U32,
}

/// The frame that `buf` begins with; `Ok(None)` while it is not whole. A MsgType not known here is no error.
///
/// # Errors
/// [`DecodeError::Oversize`] as soon as the header is there, and [`DecodeError::Checksum`].
#[inline]
pub fn decode(buf: &[u8], body_len_max: usize) -> Result<Option<Frame<'_>>, DecodeError> {
    let Ok((header, rest)) = Header::ref_from_prefix(buf) else { return Ok(None) };
    let (msg_type, len) = (header.msg_type.get(), header.body_len.get());
    let body_len = match usize::try_from(len) {
        Ok(body_len) if body_len <= body_len_max => body_len,
        _ => return Err(DecodeError::Oversize { len, max: body_len_max }),
    };
    let Some((body, rest)) = rest.split_at_checked(body_len) else { return Ok(None) };
    let Ok((stated, _)) = U32::read_from_prefix(rest) else { return Ok(None) };
    let computed = checksum(&buf[..HEADER_LEN + body_len]);
    if stated.get() != computed {
        return Err(DecodeError::Checksum { stated: stated.get(), computed });
    }
    Ok(Some(Frame { msg_type, body, bytes: &buf[..OVERHEAD + body_len] }))
}

/// The sum of all bytes modulo 256, as the trailer states it.
///
/// Byte lanes wrap by themselves: a plain fold becomes vector additions. Not inlined, because for a length known at
/// compile time it would be unrolled into one addition a byte instead.
#[inline(never)]
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    u32::from(bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte)))
}

/// Appends `message` as a whole frame.
#[inline]
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) {
    let (header, body) = (header(M::MSG_TYPE, size_of::<M>()), message.as_bytes());
    // Summed where it lies: what was just appended would have to leave the store buffer first.
    let sum = checksum(header.as_bytes()).wrapping_add(checksum(body)) & 0xff;
    out.reserve(OVERHEAD + body.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&sum.to_be_bytes());
}

/// Appends a frame whose body `write` appends: for messages with groups, and for types not laid out here.
///
/// # Errors
/// Those of `write`; `out` is then as before.
///
/// # Panics
/// The body is 4 GiB or longer.
pub fn encode_with<E>(
    msg_type: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(header(msg_type, 0).as_bytes());
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    let body_len = out.len() - start - HEADER_LEN;
    out[start..start + HEADER_LEN].copy_from_slice(header(msg_type, body_len).as_bytes());
    let sum = checksum(&out[start..]);
    out.extend_from_slice(&sum.to_be_bytes());
    Ok(())
}

fn header(msg_type: u32, body_len: usize) -> Header {
    let body_len = u32::try_from(body_len).expect("invariant: a body is far below 4 GiB");
    Header { msg_type: U32::new(msg_type), body_len: U32::new(body_len) }
}

impl<'a> Frame<'a> {
    /// The body as a message of fixed length.
    ///
    /// # Errors
    /// [`DecodeError::WrongType`] or [`DecodeError::BodyLength`].
    #[inline]
    pub fn view<M: Message>(&self) -> Result<&'a M, DecodeError> {
        self.expect_type(M::MSG_TYPE)?;
        M::ref_from_bytes(self.body)
            .map_err(|_| DecodeError::BodyLength { msg_type: self.msg_type, len: self.body.len() })
    }

    /// The body as a message with repeating groups; all counts are checked here, once.
    ///
    /// # Errors
    /// [`DecodeError::WrongType`], [`DecodeError::BodyLength`] or [`DecodeError::GroupCount`].
    #[inline]
    pub fn group<G: GroupMessage<'a>>(&self) -> Result<G, DecodeError> {
        self.expect_type(G::MSG_TYPE)?;
        G::parse(self.body)
    }

    fn expect_type(&self, wanted: u32) -> Result<(), DecodeError> {
        if self.msg_type == wanted {
            Ok(())
        } else {
            Err(DecodeError::WrongType { found: self.msg_type, wanted })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::szse::{Heartbeat, Logout};

    const HEARTBEAT: [u8; 12] = [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3];

    #[test]
    fn heartbeat_as_published() {
        let mut out = Vec::new();
        encode(&Heartbeat, &mut out);
        assert_eq!(out, HEARTBEAT);
        let frame = decode(&HEARTBEAT, 0).unwrap().unwrap();
        assert_eq!((frame.msg_type, frame.body, frame.bytes), (3, &[][..], &HEARTBEAT[..]));
        assert!(frame.view::<Heartbeat>().is_ok());
        assert_eq!(frame.view::<Logout>().err(), Some(DecodeError::WrongType { found: 3, wanted: 2 }));
    }

    #[test]
    fn less_than_a_frame_is_not_an_error() {
        for len in 0..HEARTBEAT.len() {
            assert!(decode(&HEARTBEAT[..len], 0).unwrap().is_none());
        }
    }

    #[test]
    fn oversize_is_known_from_the_header_alone() {
        let header = [0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode(&header, 100).err(), Some(DecodeError::Oversize { len: u32::MAX, max: 100 }));
        assert!(decode(&header[..7], 100).unwrap().is_none());
        assert!(decode(&[0, 0, 0, 9, 0, 0, 0, 100], 100).unwrap().is_none());
    }

    #[test]
    fn checksum_covers_header_and_body_and_is_one_byte_wide() {
        assert_eq!(checksum(&[0xff, 0xff, 3]), 1);
        let mut bytes = HEARTBEAT;
        bytes[8] = 1;
        assert_eq!(decode(&bytes, 0).err(), Some(DecodeError::Checksum { stated: 0x0100_0003, computed: 3 }));
    }

    #[test]
    fn an_unknown_type_is_a_frame_all_the_same() {
        let mut out = Vec::new();
        encode_with(0xdead_beef, &mut out, |body| {
            body.extend_from_slice(b"abc");
            Ok::<(), ()>(())
        })
        .unwrap();
        let frame = decode(&out, 3).unwrap().unwrap();
        assert_eq!((frame.msg_type, frame.body), (0xdead_beef, &b"abc"[..]));
    }

    #[test]
    fn a_refused_body_leaves_nothing_behind() {
        let mut out = vec![7];
        assert_eq!(
            encode_with(1, &mut out, |body| {
                body.push(1);
                Err("no")
            }),
            Err("no")
        );
        assert_eq!(out, [7]);
    }
}
