//! Hot path: a message against the tables, in one pass. No allocation; sets of fields are bits.

use super::fields::{self, FIELDS, FieldDef, Kind, position};
use super::messages::{HEADER_REQUIRED, HEADER_SET, MessageDef};
use crate::codec::{FieldError, Message, signed, unsigned};
use crate::time::UtcTimestamp;
use crate::{decimal, tag};
use std::fmt;

/// SessionRejectReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The tag is not one of FIX 4.4.
    InvalidTagNumber,
    /// A field that must be there is not.
    RequiredTagMissing,
    /// FIX has the field, but this message may not have it here.
    TagNotDefinedForMessage,
    /// Nothing after the equals sign.
    TagWithoutValue,
    /// Not one of the values that are taken.
    ValueIncorrect,
    /// Not written as the field's type is.
    IncorrectDataFormat,
    /// SenderCompID or TargetCompID is not the session's.
    CompIdProblem,
    /// SendingTime or OrigSendingTime cannot be.
    SendingTimeAccuracy,
    /// FIX 4.4 has no such message.
    InvalidMsgType,
    /// A field is there twice.
    TagAppearsTwice,
    /// A header field stands behind the header.
    TagOutOfOrder,
    /// More fields than are taken.
    TooManyFields,
}

impl RejectReason {
    /// Value of SessionRejectReason.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::InvalidTagNumber => 0,
            Self::RequiredTagMissing => 1,
            Self::TagNotDefinedForMessage => 2,
            Self::TagWithoutValue => 4,
            Self::ValueIncorrect => 5,
            Self::IncorrectDataFormat => 6,
            Self::CompIdProblem => 9,
            Self::SendingTimeAccuracy => 10,
            Self::InvalidMsgType => 11,
            Self::TagAppearsTwice => 13,
            Self::TagOutOfOrder => 14,
            Self::TooManyFields => 99,
        }
    }

    /// What Text says.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidTagNumber => "Invalid tag number",
            Self::RequiredTagMissing => "Required tag missing",
            Self::TagNotDefinedForMessage => "Tag not defined for this message type",
            Self::TagWithoutValue => "Tag specified without a value",
            Self::ValueIncorrect => "Value is incorrect (out of range) for this tag",
            Self::IncorrectDataFormat => "Incorrect data format for value",
            Self::CompIdProblem => "CompID problem",
            Self::SendingTimeAccuracy => "SendingTime accuracy problem",
            Self::InvalidMsgType => "Invalid MsgType",
            Self::TagAppearsTwice => "Tag appears more than once",
            Self::TagOutOfOrder => "Tag specified out of required order",
            Self::TooManyFields => "Too many fields",
        }
    }
}

/// Why a message is answered with a Reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// SessionRejectReason.
    pub reason: RejectReason,
    /// RefTagID.
    pub tag: Option<i64>,
}

impl Fault {
    /// A fault of the message as a whole.
    #[must_use]
    pub const fn new(reason: RejectReason) -> Self {
        Self { reason, tag: None }
    }

    /// A fault of one field.
    #[must_use]
    pub const fn of(reason: RejectReason, tag: u32) -> Self {
        Self { reason, tag: Some(tag as i64) }
    }
}

/// What Text says, and which field it is about: `Required tag missing: 38 OrderQty`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.text())?;
        let Some(tag) = self.tag else { return Ok(()) };
        write!(f, ": {tag}")?;
        match u32::try_from(tag).ok().and_then(fields::field) {
            Some(def) => write!(f, " {}", def.name),
            None => Ok(()),
        }
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Syntax => Self::new(RejectReason::IncorrectDataFormat),
            FieldError::Tag(tag) => Self { reason: RejectReason::InvalidTagNumber, tag: Some(tag) },
            FieldError::Empty(tag) => Self::of(RejectReason::TagWithoutValue, tag),
            FieldError::Data(tag) => Self::of(RejectReason::IncorrectDataFormat, tag),
        }
    }
}

/// Holds a message against its definition: header and body.
///
/// # Errors
/// The first fault, in the order of the fields; what is missing comes last.
pub fn check(message: &Message<'_>, def: &MessageDef, fields_max: usize) -> Result<(), Fault> {
    let (mut seen, mut in_body) = (0_u128, false);
    for (count, field) in message.fields().enumerate() {
        let field = field?;
        // BeginString, BodyLength, MsgType and CheckSum are fields too.
        if count + 4 >= fields_max {
            return Err(Fault::new(RejectReason::TooManyFields));
        }
        let Some(at) = position(field.tag) else {
            unknown(field.tag)?;
            in_body = true;
            continue;
        };
        let bit = 1_u128 << at;
        if seen & bit != 0 || matches!(field.tag, tag::BEGIN_STRING | tag::BODY_LENGTH | tag::MSG_TYPE) {
            return Err(Fault::of(RejectReason::TagAppearsTwice, field.tag));
        }
        seen |= bit;
        if bit & HEADER_SET == 0 {
            in_body = true;
            if bit & def.allowed == 0 {
                return Err(Fault::of(RejectReason::TagNotDefinedForMessage, field.tag));
            }
        } else if in_body {
            return Err(Fault::of(RejectReason::TagOutOfOrder, field.tag));
        }
        check_value(&FIELDS[at], field.value)?;
    }
    let missing = (def.required | HEADER_REQUIRED) & !seen;
    match FIELDS.get(missing.trailing_zeros() as usize) {
        Some(field) => Err(Fault::of(RejectReason::RequiredTagMissing, field.tag)),
        None => Ok(()),
    }
}

/// A tag that the tables do not have.
fn unknown(tag: u32) -> Result<(), Fault> {
    if tag::is_user_defined(tag) {
        Ok(())
    } else if tag <= tag::LAST_OF_FIX44 {
        Err(Fault::of(RejectReason::TagNotDefinedForMessage, tag))
    } else {
        Err(Fault::of(RejectReason::InvalidTagNumber, tag))
    }
}

fn check_value(def: &FieldDef, value: &[u8]) -> Result<(), Fault> {
    let well_formed = match def.kind {
        Kind::Text | Kind::Exchange | Kind::Data => true,
        Kind::Int => signed(value).is_some(),
        Kind::SeqNum | Kind::Length => unsigned(value).is_some(),
        Kind::Char => value.len() == 1,
        Kind::Boolean => matches!(value, b"Y" | b"N"),
        Kind::Price | Kind::Qty => decimal::split(value).is_some(),
        Kind::UtcTimestamp => UtcTimestamp::parse(value).is_some(),
    };
    if !well_formed {
        return Err(Fault::of(RejectReason::IncorrectDataFormat, def.tag));
    }
    if !def.values.is_empty() && !def.values.iter().any(|(code, _)| code.as_bytes() == value) {
        return Err(Fault::of(RejectReason::ValueIncorrect, def.tag));
    }
    Ok(())
}
