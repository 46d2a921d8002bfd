//! A reader over QUIC that wants each channel on a stream of its own: what one of them is short of holds up none of the others.

use crate::quic::{self, Reader};
use crate::support::*;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use transport::Stream;
use wire::szse::ext::{ChannelStream, GapReason, RequestStatus, SlowReaderPolicy, SubscriptionMode};
use wire::szse::frame;

pub(crate) fn streams(channels: &[(u16, i64)]) -> Wanted {
    let channels = channels.to_vec();
    Wanted { mode: SubscriptionMode::CHANNELS, policy: SlowReaderPolicy::STREAMS, channels, ..Wanted::all() }
}

/// One channel's stream.
pub(crate) struct Channel {
    stream: Stream,
    buffer: Vec<u8>,
    /// Up to here the buffer was looked at.
    taken: usize,
}

/// A reader and the streams that it was given.
pub(crate) struct Split {
    pub(crate) reader: Reader,
    channels: BTreeMap<u16, Channel>,
}

impl Split {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, channels: BTreeMap::new() }
    }

    /// Takes the next so many streams.
    pub(crate) fn take_streams(&mut self, count: usize) {
        for _ in 0..count {
            let stream =
                self.reader.wait("a stream comes", Stream::poll_one_way).expect("the connection goes on");
            let mut channel = Channel { stream, buffer: Vec::new(), taken: 0 };
            let bytes = self.frame(&mut channel).expect("its head");
            let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
            let head: ChannelStream = *frame.view().unwrap();
            assert_eq!(head.request_id.get(), 7);
            self.channels.insert(head.channel_no.get(), channel);
        }
    }

    /// The next frame of a stream; `None` at its end.
    fn frame(&mut self, channel: &mut Channel) -> Option<Vec<u8>> {
        loop {
            let rest = &channel.buffer[channel.taken..];
            if let Some(frame) = frame::decode(rest, frame::BODY_LEN_MAX).unwrap() {
                channel.taken += frame.bytes.len();
                return Some(frame.bytes.to_vec());
            }
            channel.buffer.drain(..std::mem::take(&mut channel.taken));
            let mut bytes = [0; 65_536];
            let mut into = ReadBuf::new(&mut bytes);
            let read = |_: &mut Stream, context: &mut Context<'_>| -> Poll<()> {
                Pin::new(&mut channel.stream).poll_read(context, &mut into).map(Result::unwrap)
            };
            self.reader.wait("something comes on a stream", read);
            if into.filled().is_empty() {
                return None;
            }
            channel.buffer.extend_from_slice(into.filled());
        }
    }

    /// The next message of a channel; `Closed` at the end of its stream.
    pub(crate) fn see(&mut self, channel: u16) -> Seen {
        let mut taken = self.channels.remove(&channel).expect("its stream is there");
        let bytes = self.frame(&mut taken);
        self.channels.insert(channel, taken);
        bytes
            .map_or(Seen::Closed, |bytes| seen(&frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap()))
    }

    /// Whether something of a channel is here by now.
    pub(crate) fn has_more(&mut self, channel: u16) -> bool {
        let channel = self.channels.get_mut(&channel).expect("its stream is there");
        let (mut bytes, buffered) = ([0; 1], channel.taken < channel.buffer.len());
        let mut into = ReadBuf::new(&mut bytes);
        let look = |_: &mut Stream, context: &mut Context<'_>| {
            Poll::Ready(Pin::new(&mut channel.stream).poll_read(context, &mut into).is_ready())
        };
        self.reader.wait("a look", look) || buffered
    }

    fn expect_ticks(&mut self, channel: u16, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|number| assert_eq!(self.see(channel), Seen::Tick(channel, number)));
    }
}

#[test]
fn each_channel_comes_on_a_stream_of_its_own_from_where_it_was_asked_for() {
    let (feed, settings, _folder) = quic::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut plain = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    primary.publish(2, 1..=10);
    primary.publish(3, 1..=10);
    (1..=3).for_each(|channel| plain.expect_ticks(channel, 1..=10));
    let wanted = streams(&[(1, 4), (2, 0), (9, 0)]);
    let mut split = Split::new(Reader::subscribe(feed.quic.unwrap(), &settings, &wanted));
    split.take_streams(3);
    assert_eq!(split.channels.keys().copied().collect::<Vec<_>>(), [1, 2, 9]);
    split.expect_ticks(1, 4..=10);
    primary.publish(2, 11..=12);
    primary.publish(1, 11..=12);
    primary.publish(3, 11..=12);
    primary.send_bytes(&snapshot(1, 9, 1));
    split.expect_ticks(1, 11..=12);
    split.expect_ticks(2, 11..=12);
    assert_eq!(split.see(9), Seen::Snapshot(1, 1));
    assert!(feed.get("/subscribers").contains("\"streams\":3"));
    // The next request replaces them; the session's own stream had nothing but its answers.
    assert_eq!(split.reader.request(&streams(&[(3, 12)])), Seen::Ack(RequestStatus::ACCEPTED));
    assert_eq!([1, 2, 9].map(|channel| split.see(channel)), [Seen::Closed, Seen::Closed, Seen::Closed]);
    split.take_streams(1);
    split.expect_ticks(3, 12..=12);
    let none = Wanted { mode: SubscriptionMode::NONE, channels: Vec::new(), ..Wanted::all() };
    assert_eq!(split.reader.request(&none), Seen::Ack(RequestStatus::ACCEPTED));
    assert_eq!(split.see(3), Seen::Closed);
    wait_for("no stream", || feed.metrics.channel_streams.get() == 0);
}

#[test]
fn a_channel_that_is_not_read_holds_up_no_other_and_goes_on_with_a_notice() {
    let (feed, settings, _folder) = quic::start(small_log);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut split = Split::new(Reader::subscribe(feed.quic.unwrap(), &settings, &streams(&[(1, 0), (2, 0)])));
    split.take_streams(2);
    // Channel 1 fills its window and falls out of the log's, while channel 2 is read to the end.
    let last = 2 * HELD;
    for begin in (1..=last).step_by(4_000) {
        let end = last.min(begin + 3_999);
        primary.publish(1, begin..=end);
        primary.publish(2, begin..=end);
        split.expect_ticks(2, begin..=end);
    }
    let (mut next, mut notices) = (1, 0);
    while next <= last {
        match split.see(1) {
            Seen::Tick(1, number) => {
                assert_eq!(number, next, "in order, none missing without a notice");
                next += 1;
            }
            Seen::Gap(1, begin, end, GapReason::SLOW_READER) => {
                assert!(begin <= next && end >= next, "{begin}..={end} at {next}");
                next = end + 1;
                notices += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(notices > 0);
    assert_eq!(feed.metrics.subscribers.get(), 1, "and the session goes on");
}

#[test]
fn streams_end_with_their_session_and_a_session_with_one_of_its_streams() {
    let (feed, settings, _folder) = quic::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let wanted = streams(&[(1, 0), (2, 0)]);
    let mut leaves = Split::new(Reader::subscribe(feed.quic.unwrap(), &settings, &wanted));
    leaves.take_streams(2);
    assert_eq!(feed.metrics.channel_streams.get(), 2);
    drop(leaves);
    wait_for("its end", || feed.metrics.subscribers.get() == 0 && feed.metrics.channel_streams.get() == 0);
    let mut stops = Split::new(Reader::subscribe(feed.quic.unwrap(), &settings, &wanted));
    stops.take_streams(2);
    stops.channels.remove(&1);
    let mut number = 0;
    while feed.ended("a channel's stream ended") == 0 {
        number += 1;
        primary.publish(1, number..=number);
    }
    assert_eq!(stops.see(2), Seen::Closed);
    wait_for("no stream", || feed.metrics.channel_streams.get() == 0);
}

#[test]
fn streams_are_refused_where_they_have_no_meaning_or_there_are_none() {
    let (feed, settings, _folder) = quic::start(|config| config.subscribers.streams_max = 2);
    let mut plain = log_on(feed.address);
    plain.request(&streams(&[(1, 0)]));
    assert_eq!(plain.see(), Seen::Ack(RequestStatus::POLICY_UNSUPPORTED));
    let mut reader = Reader::subscribe(feed.quic.unwrap(), &settings, &streams(&[(1, 0)]));
    let unnamed = Wanted { policy: SlowReaderPolicy::STREAMS, ..Wanted::all() };
    assert_eq!(reader.request(&unnamed), Seen::Ack(RequestStatus::INVALID));
    let three = streams(&[(1, 0), (2, 0), (3, 0)]);
    assert_eq!(reader.request(&three), Seen::Ack(RequestStatus::TOO_MANY));
    assert_eq!(feed.metrics.channel_streams.get(), 1, "the one before still stands");
}
