//! Hot path: fields of a message, one after the other. No allocation; the bytes are looked at where they are.

use super::{SOH, unsigned};
use crate::tag;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its tag.
    pub tag: u32,
    /// Its value, never empty.
    pub value: &'a [u8],
}

/// What is not a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Not of the form tag=value, or the tag is no number: the message is garbled.
    #[error("not of the form tag=value")]
    Syntax,
    /// A number that is no tag: negative, zero, with leading zeros or too large.
    #[error("{0} is no tag")]
    Tag(i64),
    /// Nothing after the equals sign.
    #[error("tag {0} has no value")]
    Empty(u32),
    /// A data field is missing behind its length, or is not as long as that says.
    #[error("the data after tag {0} is not of that length")]
    Data(u32),
}

/// The fields of a run of bytes. An error leaves the iterator behind the field that it concerns; after
/// [`FieldError::Syntax`] and [`FieldError::Data`] nothing more comes.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    /// The data field that must come next, with its length, and the tag that said so.
    data: Option<(u32, usize, u32)>,
}

impl<'a> Fields<'a> {
    /// Of bytes that end with a delimiter.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, data: None }
    }

    /// The bytes that were not looked at yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn fail(&mut self, error: FieldError) -> Option<Result<Field<'a>, FieldError>> {
        self.rest = &[];
        Some(Err(error))
    }

    /// The value that begins `bytes` and the bytes behind its delimiter.
    fn value(&self, tag: u32, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        match self.data {
            Some((data_tag, len, _)) if data_tag == tag => {
                let after = bytes.get(len..)?;
                (after.first() == Some(&SOH)).then(|| (&bytes[..len], &after[1..]))
            }
            _ => {
                let end = memchr::memchr(SOH, bytes)?;
                Some((&bytes[..end], &bytes[end + 1..]))
            }
        }
    }
}

/// The number that begins `bytes`, whether it is written as a tag is, and where its value begins.
#[inline]
fn tag_of(bytes: &[u8]) -> Option<(i64, bool, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let digits = usize::from(negative);
    let (mut number, mut at) = (0_i64, digits);
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let well_formed = !negative && bytes[digits] != b'0';
            let number = if negative { -number } else { number };
            return (byte == b'=' && at > digits).then_some((number, well_formed, at + 1));
        }
        if at == digits + 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
        at += 1;
    }
    None
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, FieldError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            // A length without its data.
            let (_, _, announced) = self.data.take()?;
            return Some(Err(FieldError::Data(announced)));
        }
        let Some((number, well_formed, at)) = tag_of(self.rest) else { return self.fail(FieldError::Syntax) };
        let tag = u32::try_from(number).unwrap_or(0);
        let Some((value, rest)) = self.value(tag, &self.rest[at..]) else {
            let error = self.data.map_or(FieldError::Syntax, |(_, _, announced)| FieldError::Data(announced));
            return self.fail(error);
        };
        self.rest = rest;
        match self.data.take() {
            Some((data_tag, _, announced)) if data_tag != tag => {
                return self.fail(FieldError::Data(announced));
            }
            Some(_) | None => {}
        }
        if !well_formed {
            return Some(Err(FieldError::Tag(number)));
        }
        if let Some(data_tag) = tag::data_of(tag) {
            let Some(len) = unsigned(value).and_then(|len| usize::try_from(len).ok()) else {
                return self.fail(FieldError::Data(tag));
            };
            self.data = Some((data_tag, len, tag));
        }
        if value.is_empty() {
            return Some(Err(FieldError::Empty(tag)));
        }
        Some(Ok(Field { tag, value }))
    }
}
