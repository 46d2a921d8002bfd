//! Hot path: what the session itself reads of every message, in one pass.

use crate::codec::{BEGIN_STRING, FieldError, Message, unsigned};
use crate::dictionary::{Fault, RejectReason};
use crate::tag;
use crate::time::UtcTimestamp;

/// The header, read but not judged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head<'a> {
    pub(super) number: Option<u64>,
    pub(super) sender: Option<&'a [u8]>,
    pub(super) target: Option<&'a [u8]>,
    pub(super) sending_time: Option<UtcTimestamp>,
    pub(super) poss_dup: bool,
    pub(super) poss_resend: bool,
    orig_sending_time: Option<UtcTimestamp>,
}

impl<'a> Head<'a> {
    /// Reads it; `None` where a field is not of the form tag=value: such a message is garbled.
    pub(super) fn read(message: &Message<'a>) -> Option<Self> {
        let mut head = Self::default();
        for field in message.fields() {
            let field = match field {
                Ok(field) => field,
                Err(FieldError::Syntax) => return None,
                // The dictionary's check names it, once the message is next in sequence.
                Err(FieldError::Tag(_) | FieldError::Empty(_) | FieldError::Data(_)) => continue,
            };
            match field.tag {
                tag::MSG_SEQ_NUM => head.number = head.number.or(unsigned(field.value)),
                tag::SENDER_COMP_ID => head.sender = head.sender.or(Some(field.value)),
                tag::TARGET_COMP_ID => head.target = head.target.or(Some(field.value)),
                tag::SENDING_TIME => head.sending_time = UtcTimestamp::parse(field.value),
                tag::POSS_DUP_FLAG => head.poss_dup = field.value == b"Y",
                tag::POSS_RESEND => head.poss_resend = field.value == b"Y",
                tag::ORIG_SENDING_TIME => head.orig_sending_time = UtcTimestamp::parse(field.value),
                _ => {}
            }
        }
        Some(head)
    }

    /// Both CompIDs are the session's, or missing, which is for the dictionary's check to say.
    pub(super) fn is_between(&self, us: &str, peer: &str) -> bool {
        self.sender.is_none_or(|sender| sender == peer.as_bytes())
            && self.target.is_none_or(|target| target == us.as_bytes())
    }

    /// SendingTime is near enough to now, or missing.
    pub(super) fn is_timely(&self, now: UtcTimestamp, slack_ms: u32) -> bool {
        slack_ms == 0 || self.sending_time.is_none_or(|time| time.abs_diff_ms(now) <= u64::from(slack_ms))
    }

    /// A repetition says when it was first sent, and that was not later than now it is.
    pub(super) fn check_repetition(&self) -> Result<(), Fault> {
        match (self.orig_sending_time, self.sending_time) {
            _ if !self.poss_dup => Ok(()),
            (None, _) => Err(Fault::of(RejectReason::RequiredTagMissing, tag::ORIG_SENDING_TIME)),
            (Some(first), Some(again)) if first > again => Err(Fault::new(RejectReason::SendingTimeAccuracy)),
            (Some(_), _) => Ok(()),
        }
    }
}

/// The sessions here speak this version alone.
pub(super) fn is_our_version(message: &Message<'_>) -> bool {
    message.begin_string == BEGIN_STRING
}

/// A Boolean field of the body.
pub(super) fn flag(message: &Message<'_>, tag: u32) -> bool {
    message.field(tag) == Some(b"Y")
}

/// A number of the body.
pub(super) fn number(message: &Message<'_>, tag: u32) -> Option<u64> {
    message.field(tag).and_then(unsigned)
}
