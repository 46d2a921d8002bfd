//! Hot path: values of fields, read from and written to a message.

use super::Refusal;
use crate::codec::{Encoder, unsigned};
use crate::decimal::{DecimalError, Price, Qty};
use crate::dictionary::{Fault, RejectReason};
use crate::message::OrdRejReason;
use crate::time::UtcTimestamp;

/// A value that a field of a message has. One that must be there has the plain type, one that may an `Option`.
pub(super) trait Value<'a>: Sized {
    fn read(text: &'a [u8], tag: u32) -> Result<Self, Refusal>;

    fn take(text: Option<&'a [u8]>, tag: u32) -> Result<Self, Refusal> {
        match text {
            Some(text) => Self::read(text, tag),
            None => Err(Refusal::Session(Fault::of(RejectReason::RequiredTagMissing, tag))),
        }
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>);
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    fn read(text: &'a [u8], tag: u32) -> Result<Self, Refusal> {
        T::read(text, tag).map(Some)
    }

    fn take(text: Option<&'a [u8]>, tag: u32) -> Result<Self, Refusal> {
        text.map(|text| T::read(text, tag)).transpose()
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        if let Some(value) = self {
            value.put(tag, message);
        }
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(text: &'a [u8], _tag: u32) -> Result<Self, Refusal> {
        Ok(text)
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        message.text(tag, self);
    }
}

impl Value<'_> for u64 {
    fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
        unsigned(text).ok_or(Refusal::Session(Fault::of(RejectReason::IncorrectDataFormat, tag)))
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        message.number(tag, *self);
    }
}

impl Value<'_> for UtcTimestamp {
    fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
        Self::parse(text).ok_or(Refusal::Session(Fault::of(RejectReason::IncorrectDataFormat, tag)))
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        message.time(tag, *self);
    }
}

/// A number that is one, but not one that is traded in, is the order's fault and not the message's.
fn decimal_refusal(error: DecimalError, tag: u32, reason: OrdRejReason) -> Refusal {
    match error {
        DecimalError::Syntax => Refusal::Session(Fault::of(RejectReason::IncorrectDataFormat, tag)),
        DecimalError::TooPrecise => Refusal::Order { reason, text: "more decimals than are traded in" },
        DecimalError::OutOfRange => Refusal::Order { reason, text: "a number out of range" },
    }
}

impl Value<'_> for Price {
    fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|error| decimal_refusal(error, tag, OrdRejReason::Other))
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        message.price(tag, *self);
    }
}

impl Value<'_> for Qty {
    fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|error| decimal_refusal(error, tag, OrdRejReason::IncorrectQuantity))
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        message.qty(tag, *self);
    }
}
