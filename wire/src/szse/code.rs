//! Coded fields. A code is a newtype over the bytes on the wire with named constants: what a peer sends is kept as
//! it is, known or not. `(?)` marks a value that rests on memory or on a single source; each is pinned by a test and
//! is one line to change.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{SecurityIdSource, Text};

/// Declares a coded field of the integer `$raw`, big-endian, with its known values.
macro_rules! code {
    ($(#[$doc:meta])* $name:ident($raw:ident) { $($(#[$value_doc:meta])* $value:ident = $code:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(transparent)]
        pub struct $name([u8; size_of::<$raw>()]);

        impl $name {
            $($(#[$value_doc])* pub const $value: Self = Self::from_raw($code);)*

            /// From what is on the wire, known or not.
            #[must_use]
            pub const fn from_raw(raw: $raw) -> Self {
                Self(raw.to_be_bytes())
            }

            /// What is on the wire.
            #[must_use]
            pub const fn raw(self) -> $raw {
                <$raw>::from_be_bytes(self.0)
            }

            /// The name of the constant; `None` for a code not known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                $(if self.raw() == $code { return Some(stringify!($value)); })*
                None
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}({:#x})", stringify!($name), self.raw()),
                }
            }
        }
    };
}
pub(crate) use code;

/// SecurityIDSource of Shenzhen.
pub const SOURCE_SHENZHEN: SecurityIdSource = Text::literal("102");
/// SecurityIDSource of Shanghai.
pub const SOURCE_SHANGHAI: SecurityIdSource = Text::literal("101");
/// ApplID of the cash auction: the only business whose extension fields are laid out here.
pub const APPL_CASH_AUCTION: Text<3> = Text::literal("010");
/// MDStreamID of cash-auction snapshots.
pub const STREAM_SNAPSHOT: Text<3> = Text::literal("010");
/// MDStreamID of cash-auction orders and trades (?).
pub const STREAM_TICK: Text<3> = Text::literal("011");
/// DefaultApplVerID of the trading protocol as built here (?).
pub const VERSION_TRADING: Text<32> = Text::literal("1.29");
/// DefaultApplVerID of the market-data protocol as built here (?).
pub const VERSION_MARKET_DATA: Text<32> = Text::literal("1.17");

code! {
    /// Side, of an order and of a tick order.
    Side(u8) {
        /// Buy.
        BUY = b'1',
        /// Sell.
        SELL = b'2',
        /// Borrow; in market data only (?).
        BORROW = b'G',
        /// Lend; in market data only (?).
        LEND = b'F',
    }
}

code! {
    /// OrdType.
    OrdType(u8) {
        /// Market.
        MARKET = b'1',
        /// Limit.
        LIMIT = b'2',
        /// At the best price of the own side.
        OWN_BEST = b'U',
    }
}

code! {
    /// TimeInForce.
    TimeInForce(u8) {
        /// For the day.
        DAY = b'0',
        /// Immediate or cancel.
        IMMEDIATE_OR_CANCEL = b'3',
    }
}

code! {
    /// CashMargin: with [`Side`] it says what a margin order does.
    CashMargin(u8) {
        /// Normal trading, no credit.
        CASH = b'1',
        /// Opens credit: buy on borrowed money, or sell borrowed shares.
        MARGIN_OPEN = b'2',
        /// Closes credit: sell to repay money, or buy to return shares.
        MARGIN_CLOSE = b'3',
    }
}

code! {
    /// ExecType of a report and of a tick trade.
    ExecType(u8) {
        /// Accepted.
        NEW = b'0',
        /// Cancelled.
        CANCELLED = b'4',
        /// Rejected.
        REJECTED = b'8',
        /// Traded.
        TRADE = b'F',
    }
}

code! {
    /// OrdStatus (?: the values are FIX's).
    OrdStatus(u8) {
        /// Accepted, nothing traded.
        NEW = b'0',
        /// Traded in part.
        PARTIALLY_FILLED = b'1',
        /// Traded in full.
        FILLED = b'2',
        /// Cancelled, the rest will not trade.
        CANCELLED = b'4',
        /// Rejected.
        REJECTED = b'8',
    }
}

code! {
    /// OrdRejReason (?: the exchange has a table of its own that is not public; the values are FIX's).
    OrdRejReason(u16) {
        /// Not rejected.
        NONE = 0,
        /// The security is not known.
        UNKNOWN_SECURITY = 1,
        /// Not a time at which this order is taken.
        EXCHANGE_CLOSED = 2,
        /// Quantity or value beyond a limit.
        EXCEEDS_LIMIT = 3,
        /// The order is not known.
        UNKNOWN_ORDER = 5,
        /// This account used this ClOrdID before.
        DUPLICATE_ORDER = 6,
        /// The combination of fields is not supported.
        UNSUPPORTED = 11,
        /// Not a quantity this security is traded in.
        INCORRECT_QUANTITY = 13,
        /// The account is not known, or not this sender's.
        UNKNOWN_ACCOUNT = 15,
        /// Price outside the band or off the tick.
        PRICE_OUT_OF_BAND = 16,
        /// Anything else.
        OTHER = 99,
    }
}

code! {
    /// CxlRejReason (?: the values are FIX's).
    CxlRejReason(u16) {
        /// The order is no longer there to be cancelled.
        TOO_LATE = 0,
        /// The order is not known.
        UNKNOWN_ORDER = 1,
        /// The phase does not allow cancels.
        NOT_ALLOWED_NOW = 2,
        /// This account used this ClOrdID before.
        DUPLICATE_CL_ORD_ID = 6,
        /// Anything else.
        OTHER = 99,
    }
}

code! {
    /// BusinessRejectReason (?: the values are FIX's).
    BusinessRejectReason(u16) {
        /// Anything else.
        OTHER = 0,
        /// An identifier is not known.
        UNKNOWN_ID = 1,
        /// The security is not known.
        UNKNOWN_SECURITY = 2,
        /// The message type is not supported.
        UNSUPPORTED_MESSAGE = 3,
        /// The application behind the gateway cannot be reached.
        APPLICATION_UNAVAILABLE = 4,
        /// A field is missing or has no meaning.
        FIELD_INVALID = 5,
        /// The sender may not do this.
        NOT_AUTHORIZED = 6,
        /// Orders come faster than allowed (ours).
        THROTTLED = 8,
    }
}

code! {
    /// SessionStatus of a logout (?: the values are FIX's 1409).
    SessionStatus(i32) {
        /// The session goes on.
        ACTIVE = 0,
        /// Orderly end.
        LOGOUT_COMPLETE = 4,
        /// CompID or password is wrong.
        INVALID_CREDENTIALS = 5,
        /// The account is locked.
        ACCOUNT_LOCKED = 6,
        /// Not a time at which logons are taken.
        LOGON_NOT_ALLOWED = 7,
        /// The password has expired.
        PASSWORD_EXPIRED = 8,
        /// Anything else (?).
        OTHER = 101,
        /// A message that breaks the protocol (?).
        INVALID_MESSAGE = 102,
    }
}

code! {
    /// PlatformID (?).
    PlatformId(u16) {
        /// Cash auction.
        CASH_AUCTION = 1,
    }
}

code! {
    /// PlatformState (?).
    PlatformState(u16) {
        /// Not yet open.
        PRE_OPEN = 0,
        /// About to open.
        OPEN_UPCOMING = 1,
        /// Open.
        OPEN = 2,
        /// Halted.
        HALT = 3,
        /// Closed.
        CLOSED = 4,
    }
}

code! {
    /// ResendType of a 390094 (?).
    ResendType(u8) {
        /// Ticks of a channel, by ApplSeqNum.
        TICKS = 1,
        /// Announcements, by NewsID.
        NEWS = 2,
    }
}

code! {
    /// ResendStatus of a 390094 (?).
    ResendStatus(u8) {
        /// In a request, and where nothing more can be said.
        NONE = 0,
        /// All that was asked for was sent again.
        COMPLETE = 1,
        /// Some of it was sent again.
        PARTIAL = 2,
        /// The sender may not ask for this.
        NO_PERMISSION = 3,
        /// It is not held here.
        UNAVAILABLE = 4,
    }
}

code! {
    /// MDEntryType: two characters, the second a space for most.
    MdEntryType(u16) {
        /// Bid, of the level in MDPriceLevel.
        BID = u16::from_be_bytes(*b"0 "),
        /// Ask, of the level in MDPriceLevel.
        ASK = u16::from_be_bytes(*b"1 "),
        /// Last trade.
        LAST = u16::from_be_bytes(*b"2 "),
        /// First trade of the day.
        OPEN = u16::from_be_bytes(*b"4 "),
        /// Highest trade of the day.
        HIGH = u16::from_be_bytes(*b"7 "),
        /// Lowest trade of the day.
        LOW = u16::from_be_bytes(*b"8 "),
        /// Upper price limit.
        UPPER_LIMIT = u16::from_be_bytes(*b"xe"),
        /// Lower price limit.
        LOWER_LIMIT = u16::from_be_bytes(*b"xf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that rest on memory or one source: a change here is a decision, never an accident.
    #[test]
    fn doubtful_values_are_pinned() {
        assert_eq!(STREAM_TICK.as_bytes(), b"011");
        assert_eq!(VERSION_TRADING.trimmed(), b"1.29");
        assert_eq!(VERSION_MARKET_DATA.trimmed(), b"1.17");
        assert_eq!((Side::BORROW.raw(), Side::LEND.raw()), (b'G', b'F'));
        let statuses = [
            OrdStatus::NEW,
            OrdStatus::PARTIALLY_FILLED,
            OrdStatus::FILLED,
            OrdStatus::CANCELLED,
            OrdStatus::REJECTED,
        ];
        assert_eq!(statuses.map(OrdStatus::raw), *b"01248");
        let reasons = [
            OrdRejReason::NONE,
            OrdRejReason::UNKNOWN_SECURITY,
            OrdRejReason::EXCHANGE_CLOSED,
            OrdRejReason::EXCEEDS_LIMIT,
            OrdRejReason::UNKNOWN_ORDER,
            OrdRejReason::DUPLICATE_ORDER,
            OrdRejReason::UNSUPPORTED,
            OrdRejReason::INCORRECT_QUANTITY,
            OrdRejReason::UNKNOWN_ACCOUNT,
            OrdRejReason::PRICE_OUT_OF_BAND,
            OrdRejReason::OTHER,
        ];
        assert_eq!(reasons.map(OrdRejReason::raw), [0, 1, 2, 3, 5, 6, 11, 13, 15, 16, 99]);
        let reasons = [
            CxlRejReason::TOO_LATE,
            CxlRejReason::UNKNOWN_ORDER,
            CxlRejReason::NOT_ALLOWED_NOW,
            CxlRejReason::DUPLICATE_CL_ORD_ID,
            CxlRejReason::OTHER,
        ];
        assert_eq!(reasons.map(CxlRejReason::raw), [0, 1, 2, 6, 99]);
        let reasons = [
            BusinessRejectReason::OTHER,
            BusinessRejectReason::UNKNOWN_ID,
            BusinessRejectReason::UNKNOWN_SECURITY,
            BusinessRejectReason::UNSUPPORTED_MESSAGE,
            BusinessRejectReason::APPLICATION_UNAVAILABLE,
            BusinessRejectReason::FIELD_INVALID,
            BusinessRejectReason::NOT_AUTHORIZED,
            BusinessRejectReason::THROTTLED,
        ];
        assert_eq!(reasons.map(BusinessRejectReason::raw), [0, 1, 2, 3, 4, 5, 6, 8]);
    }

    #[test]
    fn doubtful_session_and_platform_values_are_pinned() {
        let statuses = [
            SessionStatus::ACTIVE,
            SessionStatus::LOGOUT_COMPLETE,
            SessionStatus::INVALID_CREDENTIALS,
            SessionStatus::ACCOUNT_LOCKED,
            SessionStatus::LOGON_NOT_ALLOWED,
            SessionStatus::PASSWORD_EXPIRED,
            SessionStatus::OTHER,
            SessionStatus::INVALID_MESSAGE,
        ];
        assert_eq!(statuses.map(SessionStatus::raw), [0, 4, 5, 6, 7, 8, 101, 102]);
        assert_eq!(PlatformId::CASH_AUCTION.raw(), 1);
        let states = [
            PlatformState::PRE_OPEN,
            PlatformState::OPEN_UPCOMING,
            PlatformState::OPEN,
            PlatformState::HALT,
            PlatformState::CLOSED,
        ];
        assert_eq!(states.map(PlatformState::raw), [0, 1, 2, 3, 4]);
        assert_eq!([ResendType::TICKS, ResendType::NEWS].map(ResendType::raw), [1, 2]);
        let statuses = [
            ResendStatus::NONE,
            ResendStatus::COMPLETE,
            ResendStatus::PARTIAL,
            ResendStatus::NO_PERMISSION,
            ResendStatus::UNAVAILABLE,
        ];
        assert_eq!(statuses.map(ResendStatus::raw), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn names_what_it_knows_and_shows_what_it_does_not() {
        assert_eq!(format!("{:?} {:?}", Side::BUY, Side::from_raw(0)), "BUY Side(0x0)");
        assert_eq!(MdEntryType::UPPER_LIMIT.as_bytes(), b"xe");
        assert_eq!(OrdRejReason::OTHER.as_bytes(), [0, 99]);
    }
}
