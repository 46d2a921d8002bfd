//! Coded fields of orders and reports.

use super::Refusal;
use super::value::Value;
use crate::codec::{Encoder, unsigned};
use crate::dictionary::{Fault, RejectReason};

/// Declares a field of one character.
macro_rules! character {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// The character.
            #[must_use]
            pub const fn byte(self) -> u8 {
                match self {
                    $(Self::$value => $code,)*
                }
            }

            /// From the character; `None` where it is none of these.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($code => Some(Self::$value),)*
                    _ => None,
                }
            }
        }

        impl Value<'_> for $name {
            fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
                match text {
                    [byte] => Self::from_byte(*byte),
                    _ => None,
                }
                .ok_or(Refusal::Session(Fault::of(RejectReason::ValueIncorrect, tag)))
            }

            fn put(&self, tag: u32, message: &mut Encoder<'_>) {
                message.char(tag, self.byte());
            }
        }
    };
}

/// Declares a field that is a number.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// The number.
            #[must_use]
            pub const fn code(self) -> u64 {
                match self {
                    $(Self::$value => $code,)*
                }
            }

            /// From the number; `None` where it is none of these.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<Self> {
                match code {
                    $($code => Some(Self::$value),)*
                    _ => None,
                }
            }
        }

        impl Value<'_> for $name {
            fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
                unsigned(text)
                    .and_then(Self::from_code)
                    .ok_or(Refusal::Session(Fault::of(RejectReason::ValueIncorrect, tag)))
            }

            fn put(&self, tag: u32, message: &mut Encoder<'_>) {
                message.number(tag, self.code());
            }
        }
    };
}

character! {
    /// Side.
    Side {
        /// Buy.
        Buy = b'1',
        /// Sell.
        Sell = b'2',
    }
}

character! {
    /// OrdType.
    OrdType {
        /// Market.
        Market = b'1',
        /// Limit.
        Limit = b'2',
        /// At the best price of the own side; the exchange's own code.
        OwnSideBest = b'U',
    }
}

character! {
    /// TimeInForce.
    TimeInForce {
        /// For the day: also where the field is missing.
        Day = b'0',
        /// Immediate or cancel.
        ImmediateOrCancel = b'3',
    }
}

character! {
    /// CashMargin: with [`Side`] it says what a margin order does.
    CashMargin {
        /// Normal trading: also where the field is missing.
        Cash = b'1',
        /// Opens credit.
        MarginOpen = b'2',
        /// Closes credit.
        MarginClose = b'3',
    }
}

character! {
    /// ExecType.
    ExecType {
        /// Accepted.
        New = b'0',
        /// Cancelled.
        Canceled = b'4',
        /// A cancel is on its way.
        PendingCancel = b'6',
        /// Rejected.
        Rejected = b'8',
        /// On its way to the exchange.
        PendingNew = b'A',
        /// Expired.
        Expired = b'C',
        /// Traded.
        Trade = b'F',
        /// The answer to a status request.
        OrderStatus = b'I',
    }
}

character! {
    /// OrdStatus.
    OrdStatus {
        /// Accepted, nothing traded.
        New = b'0',
        /// Traded in part.
        PartiallyFilled = b'1',
        /// Traded in full.
        Filled = b'2',
        /// Cancelled: the rest will not trade.
        Canceled = b'4',
        /// A cancel is on its way.
        PendingCancel = b'6',
        /// Rejected.
        Rejected = b'8',
        /// On its way to the exchange.
        PendingNew = b'A',
        /// Expired.
        Expired = b'C',
    }
}

numbered! {
    /// OrdRejReason.
    OrdRejReason {
        /// The broker's own reason, or the exchange's: Text has it.
        Broker = 0,
        /// The security is not known.
        UnknownSymbol = 1,
        /// Not a time at which this order is taken.
        ExchangeClosed = 2,
        /// Quantity or value beyond a limit.
        ExceedsLimit = 3,
        /// The order is not known.
        UnknownOrder = 5,
        /// This ClOrdID was used before.
        DuplicateOrder = 6,
        /// The combination of fields is not supported.
        UnsupportedCharacteristic = 11,
        /// Not a quantity this security is traded in.
        IncorrectQuantity = 13,
        /// The account is not known, or not this session's.
        UnknownAccount = 15,
        /// Price outside the band or off the tick (of a later FIX; the exchange's carrier of it).
        PriceOutOfBand = 16,
        /// Anything else: Text has it.
        Other = 99,
    }
}

numbered! {
    /// CxlRejReason.
    CxlRejReason {
        /// The order is no longer there to be cancelled.
        TooLate = 0,
        /// The order is not known.
        UnknownOrder = 1,
        /// The broker's own reason, or the exchange's: Text has it.
        Broker = 2,
        /// A cancel is on its way already.
        AlreadyPending = 3,
        /// This ClOrdID was used before.
        DuplicateClOrdId = 6,
        /// Anything else: Text has it.
        Other = 99,
    }
}

character! {
    /// CxlRejResponseTo.
    CxlRejResponseTo {
        /// An OrderCancelRequest.
        CancelRequest = b'1',
        /// An OrderCancelReplaceRequest.
        CancelReplaceRequest = b'2',
    }
}

character! {
    /// MassCancelRequestType.
    MassCancelRequestType {
        /// All orders for a security.
        Security = b'1',
        /// All orders.
        All = b'7',
    }
}

character! {
    /// MassCancelResponse.
    MassCancelResponse {
        /// Refused.
        Rejected = b'0',
        /// All orders for a security are being cancelled.
        Security = b'1',
        /// All orders are being cancelled.
        All = b'7',
    }
}

numbered! {
    /// MassCancelRejectReason.
    MassCancelRejectReason {
        /// Not supported.
        NotSupported = 0,
        /// The security is not known.
        UnknownSecurity = 1,
        /// Anything else.
        Other = 99,
    }
}

numbered! {
    /// BusinessRejectReason.
    BusinessRejectReason {
        /// Anything else: Text has it.
        Other = 0,
        /// An identifier is not known.
        UnknownId = 1,
        /// The security is not known.
        UnknownSecurity = 2,
        /// The message type is not taken here.
        UnsupportedMessageType = 3,
        /// What is behind the gateway cannot be reached.
        ApplicationNotAvailable = 4,
        /// A field that is needed here is missing.
        ConditionallyRequiredFieldMissing = 5,
        /// The sender may not do this.
        NotAuthorized = 6,
    }
}

/// SecurityExchange, the market identifier code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// XSHE.
    Shenzhen,
    /// XSHG.
    Shanghai,
}

impl Exchange {
    /// The market identifier code.
    #[must_use]
    pub const fn code(self) -> &'static [u8] {
        match self {
            Self::Shenzhen => b"XSHE",
            Self::Shanghai => b"XSHG",
        }
    }

    /// The exchange's own SecurityIDSource, as its binary protocol has it.
    #[must_use]
    pub const fn security_id_source(self) -> &'static [u8] {
        match self {
            Self::Shenzhen => b"102",
            Self::Shanghai => b"101",
        }
    }

    /// From the market identifier code.
    #[must_use]
    pub fn from_code(code: &[u8]) -> Option<Self> {
        [Self::Shenzhen, Self::Shanghai].into_iter().find(|exchange| exchange.code() == code)
    }

    /// From a SecurityIDSource that names an exchange.
    #[must_use]
    pub fn from_security_id_source(source: &[u8]) -> Option<Self> {
        [Self::Shenzhen, Self::Shanghai].into_iter().find(|exchange| exchange.security_id_source() == source)
    }
}

impl Value<'_> for Exchange {
    fn read(text: &[u8], tag: u32) -> Result<Self, Refusal> {
        Self::from_code(text).ok_or(Refusal::Session(Fault::of(RejectReason::ValueIncorrect, tag)))
    }

    fn put(&self, tag: u32, message: &mut Encoder<'_>) {
        message.text(tag, self.code());
    }
}
