//! What holds for any input: nothing panics, nothing is lost in a round trip, a stream gives the same frames however
//! it is cut, and a byte changed on the way is noticed.

use proptest::prelude::*;
use wire::szse::code::VERSION_TRADING;
use wire::szse::ext::{
    ChannelStart, ChannelStream, EntitlementNotice, GapNotice, MarketDataRequest, MarketDataRequestAck,
    RelayHello, RequestHead, SECURITIES_MAX, Security,
};
use wire::szse::market::{
    self, ChannelHeartbeat, MD_ENTRIES_MAX, MdEntry, ORDERS_MAX, Resend, Snapshot, SnapshotHead, TickOrder,
    TickTrade,
};
use wire::szse::session::{Event, Limits, LogonRefusal, Session};
use wire::szse::trading::{
    self, CancelReject, NewOrder, OrderCancelRequest, OrderReport, PartitionIndex, PlatformInfo,
    PlatformStateInfo, ReportFinished, ReportSynchronization, TradeReport,
};
use wire::szse::{
    DecodeError, EncodeError, Frame, GroupMessage, Heartbeat, I32, Logon, Logout, Message, Price, Qty, Text,
    Timestamp, frame,
};
use zerocopy::{FromBytes, IntoBytes};

fn whole(bytes: &[u8]) -> Frame<'_> {
    frame::decode(bytes, frame::BODY_LEN_MAX).expect("a frame").expect("a whole frame")
}

fn framed(msg_type: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_with(msg_type, &mut out, |to| {
        to.extend_from_slice(body);
        Ok::<(), ()>(())
    })
    .expect("nothing refuses");
    out
}

/// Any bytes are a message of their length; it comes back from the wire as the same bytes.
fn round_trip<M: Message>(seed: &[u8]) {
    let Ok((message, _)) = M::read_from_prefix(seed) else { panic!("{} needs a longer seed", M::NAME) };
    let mut out = vec![0xaa];
    frame::encode(&message, &mut out);
    let frame = whole(&out[1..]);
    assert_eq!((frame.msg_type, frame.bytes.len()), (M::MSG_TYPE, out.len() - 1));
    assert_eq!(frame.view::<M>().expect("the same type").as_bytes(), message.as_bytes());
    let longer = framed(M::MSG_TYPE, &[message.as_bytes(), &[0]].concat());
    let error = whole(&longer).view::<M>().err();
    assert_eq!(error, Some(DecodeError::BodyLength { msg_type: M::MSG_TYPE, len: size_of::<M>() + 1 }));
}

/// All that a receiver may try on a frame.
fn look_into(frame: Frame<'_>) -> usize {
    let mut seen = 0;
    if let Ok(snapshot) = frame.group::<Snapshot<'_>>() {
        seen += snapshot.entries().map(|entry| entry.orders.len() + 1).sum::<usize>();
    }
    if let Ok(request) = frame.group::<MarketDataRequest<'_>>() {
        seen += request.channels.len() + request.securities.len();
    }
    seen += frame.group::<ReportSynchronization<'_>>().map_or(0, |message| message.partitions.len());
    seen += frame.group::<PlatformInfo<'_>>().map_or(0, |message| message.partitions.len());
    seen
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 256)
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(seed in texts()) {
        round_trip::<Logon>(&seed);
        round_trip::<Logout>(&seed);
        round_trip::<Heartbeat>(&seed);
        round_trip::<NewOrder>(&seed);
        round_trip::<OrderCancelRequest>(&seed);
        round_trip::<OrderReport>(&seed);
        round_trip::<TradeReport>(&seed);
        round_trip::<CancelReject>(&seed);
        round_trip::<trading::BusinessReject>(&seed);
        round_trip::<PlatformStateInfo>(&seed);
        round_trip::<ReportFinished>(&seed);
        round_trip::<TickOrder>(&seed);
        round_trip::<TickTrade>(&seed);
        round_trip::<ChannelHeartbeat>(&seed);
        round_trip::<Resend>(&seed);
        round_trip::<market::BusinessReject>(&seed);
        round_trip::<MarketDataRequestAck>(&seed);
        round_trip::<GapNotice>(&seed);
        round_trip::<EntitlementNotice>(&seed);
        round_trip::<RelayHello>(&seed);
        round_trip::<ChannelStream>(&seed);
    }

    #[test]
    fn snapshots_survive_the_wire_and_no_cut_of_them_does(
        entries in prop::collection::vec((any::<[u8; 28]>(), 0..=ORDERS_MAX), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let head = SnapshotHead::default();
        let orders: Vec<Qty> = (0..ORDERS_MAX as i64).map(Qty::from_raw).collect();
        let mut out = Vec::new();
        Snapshot::encode(&head, &mut out, |to| {
            for (bytes, count) in &entries {
                to.push(MdEntry::ref_from_bytes(bytes).expect("28 bytes"), &orders[..*count])?;
            }
            Ok(())
        })
        .expect("within the bounds");
        let frame = whole(&out);
        let snapshot: Snapshot<'_> = frame.group().expect("a snapshot");
        prop_assert_eq!(snapshot.entries().len(), entries.len());
        for (read, (bytes, count)) in snapshot.entries().zip(&entries) {
            prop_assert_eq!(read.entry.as_bytes(), bytes);
            prop_assert_eq!(read.orders, &orders[..*count]);
        }
        prop_assert!(Snapshot::parse(&frame.body[..cut.index(frame.body.len())]).is_err());
        prop_assert!(Snapshot::parse(&[frame.body, &[0]].concat()).is_err());
    }

    #[test]
    fn requests_survive_the_wire_and_no_cut_of_them_does(
        head in any::<[u8; 7]>(),
        channels in prop::collection::vec(any::<[u8; 10]>(), 0..20),
        securities in prop::collection::vec(any::<[u8; 12]>(), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let request = MarketDataRequest {
            head: RequestHead::read_from_bytes(&head).expect("7 bytes"),
            channels: <[ChannelStart]>::ref_from_bytes(channels.as_flattened()).expect("whole entries"),
            securities: <[Security]>::ref_from_bytes(securities.as_flattened()).expect("whole entries"),
        };
        let mut out = Vec::new();
        request.encode(&mut out).expect("within the bounds");
        let frame = whole(&out);
        let read: MarketDataRequest<'_> = frame.group().expect("a request");
        prop_assert_eq!(read.head, request.head);
        prop_assert_eq!(read.channels, request.channels);
        prop_assert_eq!(read.securities, request.securities);
        prop_assert!(MarketDataRequest::parse(&frame.body[..cut.index(frame.body.len())]).is_err());
        prop_assert!(MarketDataRequest::parse(&[frame.body, &[0]].concat()).is_err());
    }

    #[test]
    fn partitions_survive_the_wire(entries in prop::collection::vec(any::<[u8; 12]>(), 0..40)) {
        let partitions = <[PartitionIndex]>::ref_from_bytes(entries.as_flattened()).expect("whole entries");
        let mut out = Vec::new();
        ReportSynchronization { partitions }.encode(&mut out).expect("within the bounds");
        let read: ReportSynchronization<'_> = whole(&out).group().expect("the message");
        prop_assert_eq!(read.partitions, partitions);
        let body = whole(&out).body;
        prop_assert!(ReportSynchronization::parse(&body[..body.len() - 1]).is_err());
        prop_assert!(ReportSynchronization::parse(&[body, &[0]].concat()).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), body_len_max in 0_usize..2_000) {
        if let Ok(Some(frame)) = frame::decode(&bytes, body_len_max) {
            look_into(frame);
        }
        for msg_type in [5, 9, Snapshot::MSG_TYPE, MarketDataRequest::MSG_TYPE] {
            let frame = framed(msg_type, &bytes);
            prop_assert!(look_into(whole(&frame)) <= bytes.len());
        }
    }

    /// Counts that claim more than there is, in bodies that are otherwise right.
    #[test]
    fn lying_counts_never_panic(count in any::<u32>(), inner in any::<u32>(), tail in prop::collection::vec(any::<u8>(), 0..100)) {
        let (count, inner) = (count.to_be_bytes(), inner.to_be_bytes());
        let snapshot = [&[0; 65][..], &count, &[0; 28], &inner, &tail].concat();
        let request = [&[0; 7][..], &count, &tail, &inner].concat();
        let partitions = [&count[..], &tail].concat();
        for (msg_type, body) in [(Snapshot::MSG_TYPE, snapshot), (MarketDataRequest::MSG_TYPE, request), (5, partitions)] {
            let frame = framed(msg_type, &body);
            prop_assert!(look_into(whole(&frame)) <= body.len());
        }
    }

    #[test]
    fn a_stream_gives_the_same_frames_however_it_is_cut(
        bodies in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..80)), 1..12),
        cuts in prop::collection::vec(1_usize..40, 1..40),
    ) {
        let sent: Vec<Vec<u8>> = bodies.iter().map(|(msg_type, body)| framed(*msg_type, body)).collect();
        let stream = sent.concat();
        let (mut buf, mut read, mut rest) = (Vec::new(), Vec::new(), &stream[..]);
        for &len in cuts.iter().cycle() {
            let (piece, later) = rest.split_at(len.min(rest.len()));
            buf.extend_from_slice(piece);
            rest = later;
            while let Some(frame) = frame::decode(&buf, 80).expect("only good frames") {
                read.push(frame.bytes.to_vec());
                let taken = frame.bytes.len();
                buf.drain(..taken);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read, sent);
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn one_changed_byte_is_noticed(body in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), by in 1_u8..) {
        let mut bytes = framed(7, &body);
        let at = at.index(bytes.len());
        bytes[at] = bytes[at].wrapping_add(by);
        // In BodyLength it moves the frame's end, so the rest of the stream decides; anywhere else the sum does.
        if (4..8).contains(&at) {
            let decoded = frame::decode(&bytes, body.len());
            prop_assert!(!matches!(decoded, Ok(Some(frame)) if frame.bytes.len() == bytes.len()));
        } else {
            let noticed = matches!(frame::decode(&bytes, body.len()), Err(DecodeError::Checksum { .. }));
            prop_assert!(noticed);
        }
    }

    #[test]
    fn the_checksum_is_the_sum_modulo_256(bytes in prop::collection::vec(any::<u8>(), 0..1_000), from in 0_usize..64) {
        let bytes = &bytes[from.min(bytes.len())..];
        prop_assert_eq!(frame::checksum(bytes), bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>() % 256);
    }

    #[test]
    fn a_session_survives_anything_and_says_at_most_one_logout(
        pieces in prop::collection::vec((0_usize..6, prop::collection::vec(any::<u8>(), 0..40), 0_u64..4_000), 1..30),
        welcome in any::<bool>(),
    ) {
        let (mut session, mut out, mut now_ns) = (Session::acceptor(Limits::default(), 0), Vec::new(), 0);
        for (kind, noise, ms) in pieces {
            now_ns += ms * 1_000_000;
            let bytes = match kind {
                0 | 1 => framed(Logon::MSG_TYPE, Logon { heart_bt_int_s: I32::new(3), ..Logon::default() }.as_bytes()),
                2 => framed(Heartbeat::MSG_TYPE, &[]),
                3 => framed(Logout::MSG_TYPE, &[b' '; 204]),
                4 => framed(Resend::MSG_TYPE, &noise),
                _ => noise,
            };
            out.clear();
            let closed = session.is_closed();
            let result = session.receive(&bytes, now_ns, &mut out).map(|received| received.map(|it| it.event));
            if let Ok(Some(Event::LogonRequest(_))) = result {
                if welcome { session.accept(VERSION_TRADING, now_ns, &mut out) } else { session.refuse(LogonRefusal::NotNow, &mut out) }
            }
            prop_assert!(result.is_ok() || session.is_closed());
            prop_assert!(session.on_timeout(now_ns, &mut out).is_ok() || session.is_closed());
            prop_assert!(session.next_timeout_ns() > now_ns);
            prop_assert!(out.len() <= 12 + 104 + 216, "an answer, a heartbeat and a logout at most");
            prop_assert!(!closed || out.is_empty(), "a closed session is silent");
        }
    }

    #[test]
    fn decimals_and_texts_come_back_from_their_print(raw in -9_999_999_999_999_i64..=9_999_999_999_999, text in "[ -~]{0,10}") {
        let price = Price::from_raw(raw);
        prop_assert_eq!(price.to_string().parse(), Ok(price));
        let id: Text<10> = text.parse().expect("printable and short");
        prop_assert_eq!(id.to_string(), text.trim_end_matches(' '));
    }

    #[test]
    fn timestamps_are_whole_or_none(raw in any::<i64>(), unix_ms in 0_u64..18_446_744_073_709) {
        if let Some(unix_ns) = Timestamp::from_raw(raw).to_unix_ns() {
            prop_assert_eq!(Timestamp::from_unix_ns(unix_ns).raw(), raw);
        }
        prop_assert_eq!(Timestamp::from_unix_ns(unix_ms * 1_000_000).to_unix_ns(), Some(unix_ms * 1_000_000));
    }
}

#[test]
fn too_many_are_refused_on_both_sides() {
    let securities = vec![Security::default(); SECURITIES_MAX + 1];
    let request = MarketDataRequest { head: RequestHead::default(), channels: &[], securities: &securities };
    let mut out = Vec::new();
    assert!(request.encode(&mut out).is_err());
    assert!(out.is_empty());
    let mut body = [0; 7 + 4].to_vec();
    body.extend_from_slice(&(SECURITIES_MAX as u32 + 1).to_be_bytes());
    body.extend_from_slice(securities.as_bytes());
    assert_eq!(
        MarketDataRequest::parse(&body).err(),
        Some(DecodeError::GroupCount { msg_type: 9_000_001, count: SECURITIES_MAX as u32 + 1 })
    );
}

#[test]
fn a_snapshot_takes_no_more_than_its_bounds() {
    let encode = |entries: usize, orders: usize| {
        let mut out = Vec::new();
        let result = Snapshot::encode(&SnapshotHead::default(), &mut out, |to| {
            (0..entries).try_for_each(|_| to.push(&MdEntry::default(), &vec![Qty::ZERO; orders]))
        });
        (result, out)
    };
    let (result, largest) = encode(MD_ENTRIES_MAX, ORDERS_MAX);
    assert_eq!(result, Ok(()));
    assert!(whole(&largest).group::<Snapshot<'_>>().is_ok());
    for (entries, orders, count, max) in [
        (MD_ENTRIES_MAX + 1, 0, MD_ENTRIES_MAX + 1, MD_ENTRIES_MAX),
        (1, ORDERS_MAX + 1, ORDERS_MAX + 1, ORDERS_MAX),
    ] {
        let (result, out) = encode(entries, orders);
        assert_eq!(result, Err(EncodeError::GroupCount { count, max }));
        assert!(out.is_empty());
    }
}
