//! Readers that get each channel on a stream of its own: a loss on one of them holds up none of the others.
//!
//! Such a stream is one more connection of the shard. It has a place in the log, a filter for its channel, and its own share of
//! each turn; what is slow on it is met there. What is here is whose it is: it comes with a request, and goes with the next one or
//! with the session. A stream that ends by itself takes its session with it, so that no channel is missing unnoticed.

use super::Fanout;
use crate::place::Place;
use crate::subscriber::{Stage, Subscriber};
use crate::subscription::{RequestError, Subscription};
use flow::{Cursor, Selection, Seq};
use shard::{ConnId, Cx, LogId, Reason};
use wire::szse::ext::{ChannelStream, GapReason};
use wire::szse::{U16, U32, frame};

/// A channel, and the stream that it comes on.
pub(crate) type Stream = (u16, ConnId);

impl Fanout {
    /// Opens the streams that a subscription wants, all of them or none.
    ///
    /// # Errors
    /// [`RequestError::NoStreams`] and [`RequestError::TooManyStreams`].
    pub(super) fn open_streams(
        &mut self,
        cx: &mut Cx,
        id: ConnId,
        subscription: &Subscription,
    ) -> Result<Vec<Stream>, RequestError> {
        let channels = subscription.streams();
        if !channels.is_empty() && !cx.may_open_one_way(id) {
            return Err(RequestError::NoStreams);
        }
        if channels.len() > self.config.streams_max {
            return Err(RequestError::TooManyStreams);
        }
        let mut streams = Vec::with_capacity(channels.len());
        for &channel in channels {
            let Some(stream) = cx.open_one_way(id) else {
                self.close_streams(cx, streams);
                return Err(RequestError::TooManyStreams);
            };
            self.streams.insert(stream, id);
            self.metrics.channel_streams.inc();
            let head = ChannelStream {
                request_id: U32::new(subscription.request_id),
                channel_no: U16::new(channel),
            };
            cx.send(stream, |out| frame::encode(&head, out));
            streams.push((channel, stream));
        }
        Ok(streams)
    }

    /// Ends streams that are not wanted any more.
    pub(super) fn close_streams(&mut self, cx: &mut Cx, streams: Vec<Stream>) {
        for (_, stream) in streams {
            self.forget_stream(stream);
            cx.close(stream, Reason::App("not wanted any more"));
        }
    }

    /// Whose stream it was, if it was one.
    pub(super) fn forget_stream(&mut self, id: ConnId) -> Option<ConnId> {
        let owner = self.streams.remove(&id);
        self.metrics.channel_streams.sub(i64::from(owner.is_some()));
        owner
    }
}

/// Lets each stream follow its channel from a place on, and tells there what is missed before.
pub(super) fn attach(
    cx: &mut Cx,
    subscriber: &mut Subscriber,
    place: &Place,
    (log, seq): (LogId, Seq),
    floors: &[(u16, u64)],
) {
    let filter = subscriber.subscription.as_ref().and_then(|subscription| subscription.filter.as_ref());
    let Some(filter) = filter else { return };
    for &(channel, stream) in &subscriber.streams {
        for &(_, begin, end) in place.missed.iter().filter(|(missed, ..)| *missed == channel) {
            let notice = super::gap_notice(channel, begin, end, GapReason::NO_LONGER_HELD);
            cx.send(stream, |out| frame::encode(&notice, out));
        }
        let floors = floors.iter().copied().filter(|(of, _)| *of == channel);
        let selection = Selection::new(filter.of_lane(channel)).from_numbers(floors);
        cx.attach(stream, log, Cursor::at(seq), selection);
    }
    subscriber.stage = Stage::Following;
}
