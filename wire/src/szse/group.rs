//! Repeating groups: a u32 count, then the entries.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::DecodeError;

/// A message with repeating groups: a checked view over the body.
pub trait GroupMessage<'a>: Sized {
    /// MsgType of the header.
    const MSG_TYPE: u32;
    /// The name in the specification, for logs and metrics.
    const NAME: &'static str;

    /// Checks the whole body, every count and length in it; nothing fails after this.
    ///
    /// # Errors
    /// [`DecodeError::BodyLength`] or [`DecodeError::GroupCount`].
    fn parse(body: &'a [u8]) -> Result<Self, DecodeError>;
}

/// Why a message with groups cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// More entries than receivers take.
    #[error("group of {count} entries, at most {max} are taken")]
    GroupCount {
        /// Entries given.
        count: usize,
        /// The bound.
        max: usize,
    },
}

/// Reads a body from front to back.
pub(crate) struct BodyReader<'a> {
    msg_type: u32,
    len: usize,
    rest: &'a [u8],
}

impl<'a> BodyReader<'a> {
    pub(crate) fn new(msg_type: u32, body: &'a [u8]) -> Self {
        Self { msg_type, len: body.len(), rest: body }
    }

    fn wrong_length(&self) -> DecodeError {
        DecodeError::BodyLength { msg_type: self.msg_type, len: self.len }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &mut self,
    ) -> Result<&'a T, DecodeError> {
        let (value, rest) = T::ref_from_prefix(self.rest).map_err(|_| self.wrong_length())?;
        self.rest = rest;
        Ok(value)
    }

    /// A count of at most `max`.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, DecodeError> {
        let count = self.take::<U32>()?.get();
        match usize::try_from(count) {
            Ok(entries) if entries <= max => Ok(entries),
            _ => Err(DecodeError::GroupCount { msg_type: self.msg_type, count }),
        }
    }

    /// A count of at most `max`, and its entries of fixed length.
    pub(crate) fn entries<T: FromBytes + Immutable + Unaligned>(
        &mut self,
        max: usize,
    ) -> Result<&'a [T], DecodeError> {
        let count = self.count(max)?;
        let (entries, rest) =
            <[T]>::ref_from_prefix_with_elems(self.rest, count).map_err(|_| self.wrong_length())?;
        self.rest = rest;
        Ok(entries)
    }

    /// Nothing may follow.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong_length()) }
    }
}

/// Appends a count and its entries of fixed length.
pub(crate) fn write_entries<T: IntoBytes + Immutable>(
    entries: &[T],
    max: usize,
    body: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    body.extend_from_slice(count_of(entries.len(), max)?.as_bytes());
    body.extend_from_slice(entries.as_bytes());
    Ok(())
}

/// A count as it goes on the wire.
pub(crate) fn count_of(count: usize, max: usize) -> Result<U32, EncodeError> {
    match u32::try_from(count) {
        Ok(wire) if count <= max => Ok(U32::new(wire)),
        _ => Err(EncodeError::GroupCount { count, max }),
    }
}
