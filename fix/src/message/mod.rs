//! Application messages, typed: views into the receive buffer that are written as they are read.
//!
//! Who answers what with which message: what is wrong with the message itself is a Reject (3), most of it found by the
//! session; a field that is missing only because of another one's value is a BusinessMessageReject (j); what is wrong
//! with the order is an ExecutionReport (8), with a cancel an OrderCancelReject (9). [`Refusal`] says which.

mod code;
mod order;
mod reject;
mod report;
#[cfg(test)]
mod tests;
mod value;

pub use code::{
    BusinessRejectReason, CashMargin, CxlRejReason, CxlRejResponseTo, Exchange, ExecType,
    MassCancelRejectReason, MassCancelRequestType, MassCancelResponse, OrdRejReason, OrdStatus, OrdType,
    Side, TimeInForce,
};
pub use order::{
    CL_ORD_ID_LEN_MAX, NewOrderSingle, OrderCancelRequest, OrderMassCancelRequest, OrderStatusRequest,
    Security,
};
pub use reject::{BusinessMessageReject, SessionReject};
pub use report::{ExecutionReport, OrderCancelReject, OrderMassCancelReport};

use crate::codec::Encoder;
use crate::dictionary::{self, Fault};
use std::fmt;

/// What a session can number and send.
pub trait Body {
    /// Its MsgType.
    fn msg_type(&self) -> &[u8];

    /// Appends the fields behind the header.
    fn encode(&self, message: &mut Encoder<'_>);
}

/// Why a message is not acted upon, and so what answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A Reject.
    Session(Fault),
    /// A BusinessMessageReject.
    Business {
        /// BusinessRejectReason.
        reason: BusinessRejectReason,
        /// The field that it is about.
        tag: u32,
    },
    /// An ExecutionReport, or for a cancel an OrderCancelReject.
    Order {
        /// OrdRejReason.
        reason: OrdRejReason,
        /// Text.
        text: &'static str,
    },
}

/// In a few words: what is wrong, and with which field.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(fault) => write!(f, "{fault}"),
            Self::Business { tag, .. } => {
                write!(f, "missing {tag} {}", dictionary::field(*tag).map_or("", |field| field.name))
            }
            Self::Order { text, .. } => f.write_str(text),
        }
    }
}

/// Declares a message: the fields in the order in which they are written.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident = $msg_type:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $tag:ident,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<'a> $name<'a> {
            /// Its MsgType.
            pub const MSG_TYPE: &'static [u8] = $msg_type;

            /// Reads a message of this type, in one pass and without a copy.
            ///
            /// # Errors
            /// What answers it, see [`crate::message::Refusal`].
            pub fn parse(message: &crate::codec::Message<'a>) -> Result<Self, crate::message::Refusal> {
                use crate::message::{Refusal, value::Value};
                $(let mut $field = None;)*
                for field in message.fields() {
                    let field = field.map_err(|error| Refusal::Session(error.into()))?;
                    match field.tag {
                        $(crate::tag::$tag => $field = Some(field.value),)*
                        _ => {}
                    }
                }
                Ok(Self { $($field: <$type as Value<'a>>::take($field, crate::tag::$tag)?,)* })
            }
        }

        impl crate::message::Body for $name<'_> {
            fn msg_type(&self) -> &[u8] {
                Self::MSG_TYPE
            }

            fn encode(&self, message: &mut crate::codec::Encoder<'_>) {
                use crate::message::value::Value;
                $(self.$field.put(crate::tag::$tag, message);)*
            }
        }
    };
}
pub(crate) use message;
