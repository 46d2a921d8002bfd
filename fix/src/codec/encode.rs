//! Hot path: writing a message behind what is in a buffer. No allocation but the buffer's own growth.

use super::{SOH, checksum, decimal_digits};
use crate::decimal::{Price, Qty};
use crate::time::UtcTimestamp;

/// Digits left open for BodyLength: most messages have a body of 100 to 999 bytes, and then nothing is moved.
const LENGTH_DIGITS: usize = 3;

/// A message being written. Fields come out in the order of the calls; [`Encoder::finish`] puts BodyLength and CheckSum
/// in. Without it the buffer is left with half a message.
#[derive(Debug)]
#[must_use = "a message ends with finish"]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    length_at: usize,
}

impl<'a> Encoder<'a> {
    /// Begins a message: BeginString, BodyLength (open), MsgType.
    pub fn begin(out: &'a mut Vec<u8>, begin_string: &[u8], msg_type: &[u8]) -> Self {
        let start = out.len();
        out.extend_from_slice(b"8=");
        out.extend_from_slice(begin_string);
        out.extend_from_slice(b"\x019=");
        let length_at = out.len();
        out.extend_from_slice(b"000\x0135=");
        out.extend_from_slice(msg_type);
        out.push(SOH);
        Self { out, start, length_at }
    }

    /// Fields without a message around them, to be put into one later ([`Encoder::fields`]); it has no end to write, so
    /// [`Encoder::finish`] is not called.
    pub fn fields_only(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, length_at: start }
    }

    /// Fields that are encoded already, each with its delimiter.
    #[inline]
    pub fn fields(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    #[inline]
    fn tag(&mut self, tag: u32) {
        let (digits, start) = decimal_digits(u64::from(tag));
        self.out.extend_from_slice(&digits[start..]);
        self.out.push(b'=');
    }

    /// A text. An empty one is left out, since a field without a value is an error; a delimiter in it is written as `?`.
    #[inline]
    pub fn text(&mut self, tag: u32, value: &[u8]) -> &mut Self {
        if value.is_empty() {
            return self;
        }
        self.tag(tag);
        let from = self.out.len();
        self.out.extend_from_slice(value);
        if memchr::memchr(SOH, value).is_some() {
            self.out[from..].iter_mut().filter(|byte| **byte == SOH).for_each(|byte| *byte = b'?');
        }
        self.out.push(SOH);
        self
    }

    /// A text of several parts.
    pub fn text_of(&mut self, tag: u32, value: std::fmt::Arguments<'_>) -> &mut Self {
        use std::io::Write;
        self.tag(tag);
        write!(self.out, "{value}").expect("invariant: writing to a Vec does not fail");
        self.out.push(SOH);
        self
    }

    /// A single character.
    #[inline]
    pub fn char(&mut self, tag: u32, value: u8) -> &mut Self {
        self.tag(tag);
        self.out.extend_from_slice(&[value, SOH]);
        self
    }

    /// A Boolean.
    pub fn flag(&mut self, tag: u32, value: bool) -> &mut Self {
        self.char(tag, if value { b'Y' } else { b'N' })
    }

    /// A number without a sign.
    #[inline]
    pub fn number(&mut self, tag: u32, value: u64) -> &mut Self {
        self.tag(tag);
        let (digits, start) = decimal_digits(value);
        self.out.extend_from_slice(&digits[start..]);
        self.out.push(SOH);
        self
    }

    /// A price.
    #[inline]
    pub fn price(&mut self, tag: u32, value: Price) -> &mut Self {
        self.tag(tag);
        value.write(self.out);
        self.out.push(SOH);
        self
    }

    /// A quantity.
    #[inline]
    pub fn qty(&mut self, tag: u32, value: Qty) -> &mut Self {
        self.tag(tag);
        value.write(self.out);
        self.out.push(SOH);
        self
    }

    /// A UTCTimestamp with milliseconds.
    #[inline]
    pub fn time(&mut self, tag: u32, value: UtcTimestamp) -> &mut Self {
        self.tag(tag);
        self.out.extend_from_slice(&value.to_bytes());
        self.out.push(SOH);
        self
    }

    /// Data, which may contain any byte, behind its length. Nothing at all if it is empty.
    pub fn data(&mut self, length_tag: u32, data_tag: u32, value: &[u8]) -> &mut Self {
        if value.is_empty() {
            return self;
        }
        self.number(length_tag, value.len() as u64);
        self.tag(data_tag);
        self.out.extend_from_slice(value);
        self.out.push(SOH);
        self
    }

    /// Ends the message.
    pub fn finish(self) {
        let body = self.length_at + LENGTH_DIGITS + 1;
        let (digits, start) = decimal_digits((self.out.len() - body) as u64);
        let digits = &digits[start..];
        if digits.len() == LENGTH_DIGITS {
            self.out[self.length_at..][..LENGTH_DIGITS].copy_from_slice(digits);
        } else {
            let range = self.length_at..self.length_at + LENGTH_DIGITS;
            self.out.splice(range, digits.iter().copied());
        }
        let sum = checksum(&self.out[self.start..]);
        let digit = |unit: u8| b'0' + sum / unit % 10;
        self.out.extend_from_slice(&[b'1', b'0', b'=', digit(100), digit(10), digit(1), SOH]);
    }
}
