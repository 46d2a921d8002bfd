//! Our extension to the market-data protocol: subscription, and tick orders with more fields. Not the exchange's; its
//! MsgTypes begin at 9,000,001, where the exchange has none, and a peer that does not know them answers with a
//! BusinessReject.
//!
//! Without a [`MarketDataRequest`] a session receives what its server's configuration says. The last request taken
//! stands for the whole subscription: it replaces the one before it, it does not add to it.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::code::code;
use super::group::{BodyReader, count_of, write_entries};
use super::market::TickOrder;
use super::message::message;
use super::{
    DecodeError, EncodeError, GroupMessage, I64, SecurityId, SecurityIdSource, Text, U16, U32, frame,
};
/// Channels that one request may name.
pub const CHANNELS_MAX: usize = 256;
/// Securities that one request may name.
pub const SECURITIES_MAX: usize = 1024;

/// MDStreamID of snapshots that a feed makes of its own books, between the exchange's: the best ten levels (`docs/book.md`).
pub const STREAM_BOOK: Text<3> = Text::literal("T10");

code! {
    /// What a session wants to receive.
    SubscriptionMode(u8) {
        /// Nothing: ends the subscription.
        NONE = 0,
        /// Every channel; the group of channels says from where on, for those it names.
        ALL = 1,
        /// The channels of the group.
        CHANNELS = 2,
        /// The securities of the group; the group of channels says from where on, for those it names.
        SECURITIES = 3,
    }
}

code! {
    /// What happens to a session that reads more slowly than data comes, when the window no longer holds what it
    /// should be sent next, or, with [`SlowReaderPolicy::CONFLATE`], when it is further behind than is configured.
    SlowReaderPolicy(u8) {
        /// It is logged out.
        DISCONNECT = 1,
        /// It goes on from the oldest number still held, after a [`GapNotice`].
        SKIP_WITH_NOTICE = 2,
        /// It is sent the newest snapshot of each security after a [`GapNotice`], and goes on from the present after another.
        CONFLATE = 3,
        /// It is sent the newest snapshot of each security and nothing else, as datagrams ([`encode_datagram`]) that may be
        /// lost: over QUIC alone.
        DATAGRAMS = 4,
        /// Each channel that it names comes on a stream of its own ([`ChannelStream`]), so that a loss on one holds up none of
        /// the others; what is too slow on one goes on there as with [`SlowReaderPolicy::SKIP_WITH_NOTICE`]: over QUIC alone.
        STREAMS = 5,
    }
}

code! {
    /// Answer to a request.
    RequestStatus(u8) {
        /// Taken: the subscription stands.
        ACCEPTED = 0,
        /// Mode, policy or the combination has no meaning.
        INVALID = 1,
        /// The policy is not offered here.
        POLICY_UNSUPPORTED = 2,
        /// A channel is not known here.
        UNKNOWN_CHANNEL = 3,
        /// A security is not known here.
        UNKNOWN_SECURITY = 4,
        /// The session may not see this.
        NOT_ENTITLED = 5,
        /// Too many securities or channels.
        TOO_MANY = 6,
        /// The numbers asked for are no longer held; a resend request or a fresh start is the way on.
        NO_LONGER_HELD = 7,
    }
}

code! {
    /// Why numbers of a channel will not come.
    GapReason(u8) {
        /// No source had them.
        LOST_UPSTREAM = 1,
        /// This session read too slowly.
        SLOW_READER = 2,
        /// They were asked for and are no longer held, or are from before this feed heard of the channel.
        NO_LONGER_HELD = 3,
        /// What they say is on other channels of the same securities, or was never brought: a source that numbers in its own
        /// way is used from here on.
        ELSEWHERE = 4,
    }
}

/// The fields of a request before its groups.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct RequestHead {
    /// Chosen by the sender, comes back in the answer.
    pub request_id: U32,
    /// What to receive.
    pub mode: SubscriptionMode,
    /// What happens when the session reads too slowly.
    pub policy: SlowReaderPolicy,
    /// Not 0: the last snapshot of each security first, then what the groups ask for.
    pub want_snapshots: u8,
}
const _: () = assert!(size_of::<RequestHead>() == 7);

/// A channel, and from where on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ChannelStart {
    /// ChannelNo.
    pub channel_no: U16,
    /// The next ApplSeqNum wanted; 0 for live only.
    pub next_appl_seq_num: I64,
}

/// A security.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Security {
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub security_id_source: SecurityIdSource,
}

const _: () = assert!(
    size_of::<RequestHead>()
        + 8
        + CHANNELS_MAX * size_of::<ChannelStart>()
        + SECURITIES_MAX * size_of::<Security>()
        <= frame::BODY_LEN_MAX
);

/// A subscription.
#[derive(Clone, Copy, Debug)]
pub struct MarketDataRequest<'a> {
    /// The fields before the groups.
    pub head: RequestHead,
    /// Channels.
    pub channels: &'a [ChannelStart],
    /// Securities, empty but with [`SubscriptionMode::SECURITIES`].
    pub securities: &'a [Security],
}

impl<'a> GroupMessage<'a> for MarketDataRequest<'a> {
    const MSG_TYPE: u32 = 9_000_001;
    const NAME: &'static str = "MarketDataRequest";

    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = BodyReader::new(Self::MSG_TYPE, body);
        let head = *body.take()?;
        let channels = body.entries(CHANNELS_MAX)?;
        let securities = body.entries(SECURITIES_MAX)?;
        body.end()?;
        Ok(Self { head, channels, securities })
    }
}

impl MarketDataRequest<'_> {
    /// Appends the message as a whole frame.
    ///
    /// # Errors
    /// More than [`CHANNELS_MAX`] channels or [`SECURITIES_MAX`] securities.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame::encode_with(Self::MSG_TYPE, out, |body| {
            body.extend_from_slice(self.head.as_bytes());
            write_entries(self.channels, CHANNELS_MAX, body)?;
            write_entries(self.securities, SECURITIES_MAX, body)
        })
    }
}

/// The answer to a [`MarketDataRequest`]; comes before anything that the request brings.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct MarketDataRequestAck {
    /// Of the request.
    pub request_id: U32,
    /// Taken or not.
    pub status: RequestStatus,
    /// Why not, for people.
    pub text: Text<50>,
}
message!(MarketDataRequestAck, 9_000_002, 55);

/// Numbers of a channel that will not come to this session: it need not wait for them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct GapNotice {
    /// ChannelNo.
    pub channel_no: U16,
    /// The first number missing.
    pub appl_beg_seq_num: I64,
    /// The last number missing.
    pub appl_end_seq_num: I64,
    /// Why.
    pub reason: GapReason,
}
message!(GapNotice, 9_000_003, 19);

/// Bytes before the frame in a datagram: a u64 that ascends with what a connection is sent, so that of two snapshots of
/// a security the newer one is known whichever comes first.
pub const DATAGRAM_SEQ_LEN: usize = 8;

/// Makes a datagram of a frame.
pub fn encode_datagram(seq: u64, frame: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(frame);
}

/// A datagram's number and its frame; `None` when it is not one whole frame with a right checksum.
#[must_use]
pub fn decode_datagram(bytes: &[u8]) -> Option<(u64, frame::Frame<'_>)> {
    let (seq, rest) = bytes.split_first_chunk::<DATAGRAM_SEQ_LEN>()?;
    let frame = frame::decode(rest, frame::BODY_LEN_MAX).ok()??;
    (frame.bytes.len() == rest.len()).then_some((u64::from_be_bytes(*seq), frame))
}

/// Bytes after the fields of an [`ExtendedTickOrder`], at most.
pub const EXTENSION_LEN_MAX: usize = 4096;

/// A [`TickOrder`] with more fields after it, which are between its sender and its receiver: what is on the way takes
/// it for a tick order and passes it on whole. Replayed Shanghai orders carry their order number so (an i64), and load
/// of a given frame size its padding.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedTickOrder<'a> {
    /// The tick order.
    pub order: &'a TickOrder,
    /// What follows it.
    pub extension: &'a [u8],
}

impl<'a> GroupMessage<'a> for ExtendedTickOrder<'a> {
    const MSG_TYPE: u32 = 9_000_004;
    const NAME: &'static str = "ExtendedTickOrder";

    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = BodyReader::new(Self::MSG_TYPE, body);
        let order = body.take()?;
        let extension = body.rest();
        match u32::try_from(extension.len()) {
            Ok(count) if extension.len() > EXTENSION_LEN_MAX => {
                Err(DecodeError::GroupCount { msg_type: Self::MSG_TYPE, count })
            }
            _ => Ok(Self { order, extension }),
        }
    }
}

impl ExtendedTickOrder<'_> {
    /// The number by which trades and cancels call the order: the extension, where it is one, else ApplSeqNum.
    #[must_use]
    pub fn order_no(&self) -> i64 {
        match <[u8; 8]>::try_from(self.extension) {
            Ok(number) => i64::from_be_bytes(number),
            Err(_) => self.order.appl_seq_num.get(),
        }
    }

    /// Appends the message as a whole frame.
    ///
    /// # Errors
    /// More than [`EXTENSION_LEN_MAX`] bytes of extension.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        count_of(self.extension.len(), EXTENSION_LEN_MAX)?;
        frame::encode_with(Self::MSG_TYPE, out, |body| {
            body.extend_from_slice(self.order.as_bytes());
            body.extend_from_slice(self.extension);
            Ok(())
        })
    }
}

/// What the session's account may see from now on: sent when that changes while the session is open. What it asked for
/// goes on within the new right.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct EntitlementNotice {
    /// One bit a market: 1 Shenzhen, 2 Shanghai, 0 all others.
    pub markets: U16,
    /// 1 for snapshots alone, 2 for ticks too.
    pub level: u8,
    /// How far behind the market it is, minutes.
    pub delay_min: U16,
    /// What changed, for people.
    pub text: Text<50>,
}
message!(EntitlementNotice, 9_000_005, 55);

/// The first frame of a stream that carries one channel ([`SlowReaderPolicy::STREAMS`]); the channel's frames follow it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ChannelStream {
    /// Of the request that asked for it.
    pub request_id: U32,
    /// ChannelNo.
    pub channel_no: U16,
}
message!(ChannelStream, 9_000_008, 6);

/// Feeds that a [`RelayPath`] may name.
pub const RELAYS_MAX: usize = 64;

/// A feed that is fed by a feed says who it is, and is told the [`RelayPath`] from then on: at once, and each second.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct RelayHello {
    /// The feed's name among feeds.
    pub feed: Text<20>,
}
message!(RelayHello, 9_000_006, 20);

/// The fields of a [`RelayPath`] before its group.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct RelayHead {
    /// When it was sent, by the sender's clock, nanoseconds since 1970.
    pub sent_ns: I64,
    /// How long quotes take to the sender over all feeds before it, microseconds.
    pub delay_us: I64,
    /// Feeds on the longest way to the receiver, the sender among them.
    pub hops: U16,
}
const _: () = assert!(size_of::<RelayHead>() == 18);

/// The feeds that a feed's quotes come over.
#[derive(Clone, Copy, Debug)]
pub struct RelayPath<'a> {
    /// The fields before the group.
    pub head: RelayHead,
    /// The sender and all feeds upstream of it, in any number of ways.
    pub feeds: &'a [Text<20>],
}

impl<'a> GroupMessage<'a> for RelayPath<'a> {
    const MSG_TYPE: u32 = 9_000_007;
    const NAME: &'static str = "RelayPath";

    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = BodyReader::new(Self::MSG_TYPE, body);
        let head = *body.take()?;
        let feeds = body.entries(RELAYS_MAX)?;
        body.end()?;
        Ok(Self { head, feeds })
    }
}

impl RelayPath<'_> {
    /// Appends the message as a whole frame.
    ///
    /// # Errors
    /// More than [`RELAYS_MAX`] feeds.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame::encode_with(Self::MSG_TYPE, out, |body| {
            body.extend_from_slice(self.head.as_bytes());
            write_entries(self.feeds, RELAYS_MAX, body)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::szse::frame::BODY_LEN_MAX;

    #[test]
    fn a_datagram_is_a_number_and_one_whole_frame() {
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        frame::encode(&TickOrder::default(), &mut frame);
        encode_datagram(0x0102_0304_0506_0708, &frame, &mut out);
        assert_eq!(out[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        let (seq, seen) = decode_datagram(&out).unwrap();
        assert_eq!((seq, seen.bytes), (0x0102_0304_0506_0708, &frame[..]));
        assert!((0..out.len()).all(|len| decode_datagram(&out[..len]).is_none()), "cut anywhere");
        out.push(0);
        assert!(decode_datagram(&out).is_none(), "more than a frame");
        out.pop();
        out[20] ^= 1;
        assert!(decode_datagram(&out).is_none(), "checksum");
    }

    #[test]
    fn an_extended_tick_order_begins_like_a_plain_one() {
        let order = TickOrder { appl_seq_num: I64::new(7), ..TickOrder::default() };
        let mut out = Vec::new();
        ExtendedTickOrder { order: &order, extension: b"12345" }.encode(&mut out).unwrap();
        let frame = frame::decode(&out, BODY_LEN_MAX).unwrap().unwrap();
        assert_eq!(&frame.body[..51], order.as_bytes());
        let seen = frame.group::<ExtendedTickOrder<'_>>().unwrap();
        assert_eq!((seen.order, seen.extension, seen.order_no()), (&order, &b"12345"[..], 7));
        let numbered = ExtendedTickOrder { order: &order, extension: &99_i64.to_be_bytes() };
        assert_eq!(numbered.order_no(), 99, "eight bytes are the order's number");
    }

    #[test]
    fn an_extension_is_bounded_and_may_be_empty() {
        let order = TickOrder::default();
        let mut out = Vec::new();
        let long = [0; EXTENSION_LEN_MAX + 1];
        assert!(ExtendedTickOrder { order: &order, extension: &long }.encode(&mut out).is_err());
        assert!(out.is_empty());
        let body = [0; 51 + EXTENSION_LEN_MAX + 1];
        assert!(ExtendedTickOrder::parse(&body).is_err());
        assert!(ExtendedTickOrder::parse(&body[..50]).is_err());
        assert!(ExtendedTickOrder::parse(&body[..51]).unwrap().extension.is_empty());
    }
}
