//! The life of the sources' connections: dialled, logged on, kept alive, left.

use super::desk::Desk;
use super::{Ingest, LOG};
use crate::arbiter::Source;
use crate::control::{Refused, Switch};
use crate::source::Link;
use crate::view::View;
use flow::Tag;
use shard::{ConnId, Cx, Reason};
use std::time::Duration;
use wire::szse::code::SessionStatus;
use wire::szse::ext::{
    ChannelStart, MarketDataRequest, RelayHello, RequestHead, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::ChannelHeartbeat;
use wire::szse::{I64, U16, frame};

impl Ingest {
    /// Time has passed: dials what is due, keeps sessions alive, sends heartbeats of quiet channels.
    pub(crate) fn on_tick(&mut self, cx: &mut Cx, view: &mut View) {
        let now_ns = cx.now_ns();
        for index in 0..self.upstreams.len() {
            let upstream = &mut self.upstreams[index];
            if upstream.dial_is_due(now_ns) && !self.draining {
                upstream.link = Link::Dialling;
                let timeout = Duration::from_millis(upstream.config.connect_timeout_ms);
                cx.dial(upstream.config.address, &upstream.connector, timeout, index as u32);
            }
            let Link::Open { id, session, .. } = &mut upstream.link else { continue };
            let id = *id;
            if let Some((_, sent_ns)) = cx.last_active_ns(id) {
                session.sent(sent_ns);
            }
            let alive = session.on_timeout(now_ns, &mut self.out);
            self.flush(cx, id);
            if let Err(error) = alive {
                cx.close(id, Reason::App(error.text()));
            }
        }
        self.filing.notes.poll_own(cx.writer(LOG), view, now_ns, &self.filing.arbiter);
        self.channel_heartbeats(cx, view);
    }

    /// A dialled connection is there.
    pub(crate) fn on_open(&mut self, cx: &mut Cx, id: ConnId, index: usize) {
        let now_ns = cx.now_ns();
        self.upstreams[index].opened(id, now_ns, self.session_limits, &mut self.out);
        if self.draining || self.upstreams[index].down {
            self.out.clear();
            return cx.close(id, Reason::App("closing down"));
        }
        self.flush(cx, id);
    }

    /// A dial came to nothing.
    pub(crate) fn on_dial_failed(&mut self, now_ns: u64, index: usize, error: &std::io::Error) {
        let upstream = &mut self.upstreams[index];
        let why = error.to_string();
        upstream.tell_away(now_ns, &why);
        self.filing
            .metrics
            .source_ended
            .with_label_values(&[upstream.config.name.as_str(), "dial failed"])
            .inc();
        upstream.gone(now_ns, why);
    }

    /// A source's connection has ended.
    pub(crate) fn on_close(&mut self, cx: &mut Cx, view: &mut View, source: Source, reason: &'static str) {
        self.left(cx, view, source, (reason, reason));
    }

    /// A source is not there any more: the reason as a label's value, and as it is told.
    pub(super) fn left(
        &mut self,
        cx: &mut Cx,
        view: &mut View,
        source: Source,
        (label, reason): (&'static str, &str),
    ) {
        let now_ns = cx.now_ns();
        let upstream = &mut self.upstreams[source.index()];
        let (was_up, reason) = (upstream.up, upstream.outage.why(reason));
        let name = upstream.config.name.as_str();
        self.filing.metrics.source_ended.with_label_values(&[name, label]).inc();
        self.filing.metrics.source_up.with_label_values(&[name]).set(0);
        self.filing.relay.gone(source.index());
        self.filing.metrics.relay_hops.with_label_values(&[name]).set(0);
        if self.draining {
            tracing::info!(source = name, reason, "source left");
        } else if was_up {
            tracing::warn!(source = name, reason, "source is gone");
        } else {
            upstream.tell_away(now_ns, &reason);
        }
        upstream.gone(now_ns, reason);
        self.use_no_more(cx, view, source);
    }

    /// Nothing comes of a source any more that is filed.
    fn use_no_more(&mut self, cx: &mut Cx, view: &mut View, source: Source) {
        if self.filing.arbiter.is_up(source) {
            let now_ns = cx.now_ns();
            let mut log = self.filing.notes.log(cx.writer(LOG), view, now_ns);
            self.filing.arbiter.down(now_ns, source, &mut |event| log.deliver(event));
        }
    }

    /// What the operator wants of a source.
    ///
    /// # Errors
    /// When it is not done.
    pub(crate) fn switch(
        &mut self,
        cx: &mut Cx,
        view: &mut View,
        switch: Switch,
        name: &str,
    ) -> Result<(), Refused> {
        let at = self.upstreams.iter().position(|upstream| upstream.config.name == name);
        let index = at.ok_or(Refused::NoSuchSource)?;
        let (source, now_ns) = (Source::new(index), cx.now_ns());
        match switch {
            Switch::Prefer if self.filing.arbiter.primary().is_none() => Err(Refused::Arbitrated),
            Switch::Prefer if !self.upstreams[index].config.is_numbered() => Err(Refused::OwnNumbers),
            Switch::Prefer if !self.upstreams[index].is_used() => Err(Refused::NotUp),
            Switch::Prefer => {
                let mut log = self.filing.notes.log(cx.writer(LOG), view, now_ns);
                self.filing.arbiter.prefer(now_ns, source, &mut |event| log.deliver(event));
                Ok(())
            }
            Switch::Down => {
                let mut others = self.upstreams.iter().enumerate().filter(|(other, _)| *other != index);
                if !others.any(|(_, other)| other.is_used()) {
                    return Err(Refused::LastOne);
                }
                let upstream = &mut self.upstreams[index];
                (upstream.down, upstream.left) = (true, upstream.up);
                self.take_leave(cx, index, "down by the operator");
                self.use_no_more(cx, view, source);
                if let Some(way) = self.upstreams[index].way.clone() {
                    way.leave();
                    self.leave_inside(cx, view, index);
                }
                Ok(())
            }
            Switch::Up => {
                let upstream = &mut self.upstreams[index];
                upstream.down = false;
                if let Some(way) = &upstream.way {
                    way.want_again();
                }
                if let Link::Waiting { dial_at_ns } = &mut upstream.link {
                    *dial_at_ns = now_ns;
                }
                Ok(())
            }
        }
    }

    /// The feed ends: takes leave of the sources, and dials none again.
    pub(crate) fn on_drain(&mut self, cx: &mut Cx) {
        self.draining = true;
        for index in 0..self.upstreams.len() {
            self.take_leave(cx, index, "closing down");
        }
    }

    /// Logs out of a source; the connection ends when that is answered.
    fn take_leave(&mut self, cx: &mut Cx, index: usize, why: &'static str) {
        let Link::Open { id, session, .. } = &mut self.upstreams[index].link else { return };
        let id = *id;
        session.log_out(SessionStatus::LOGOUT_COMPLETE, why, cx.now_ns(), &mut self.out);
        let over = session.is_closed();
        self.flush(cx, id);
        if over {
            cx.close(id, Reason::App(why));
        }
    }

    /// Says, in the log, how far the channels are of which nothing was said for a while.
    fn channel_heartbeats(&mut self, cx: &mut Cx, view: &mut View) {
        let now_ns = cx.now_ns();
        for channel in self.filing.arbiter.channels() {
            // A channel of which nothing is in the log yet is new to the view, and so quiet since ever.
            let at_ns = view.lane(channel.channel).map_or(0, |lane| lane.at_ns);
            if channel.next == 0 || now_ns < at_ns + self.channel_heartbeat_ns {
                continue;
            }
            let last = channel.next - 1;
            let ended =
                self.filing.ended.iter().any(|(number, end)| *number == channel.channel && *end <= last);
            let message = ChannelHeartbeat {
                channel_no: U16::new(channel.channel),
                appl_last_seq_num: I64::new(last as i64),
                end_of_channel: U16::new(ended.into()),
            };
            frame::encode(&message, &mut self.out);
            let mut log = self.filing.notes.log(cx.writer(LOG), view, now_ns);
            log.append(Tag { lane: channel.channel, number: 0, key: Tag::EVERYONE }, &self.out);
            self.out.clear();
        }
    }
}

/// What is said to a source that is a feed, when its session is open.
pub(super) fn subscribe(desk: &Desk<'_>, out: &mut Vec<u8>) {
    // First: a loop is seen before the first quote of it.
    frame::encode(&RelayHello { feed: desk.relay.0.id() }, out);
    request_all(desk.log.view, out);
}

/// Asks a source that is a feed for everything, from where our log stands.
fn request_all(view: &View, out: &mut Vec<u8>) {
    let channels: Vec<ChannelStart> = view
        .lanes()
        .iter()
        .filter(|lane| lane.next > 1)
        .map(|lane| ChannelStart {
            channel_no: U16::new(lane.number),
            next_appl_seq_num: I64::new(lane.next as i64),
        })
        .collect();
    let head = RequestHead {
        request_id: 1.into(),
        mode: SubscriptionMode::ALL,
        policy: SlowReaderPolicy::SKIP_WITH_NOTICE,
        want_snapshots: 1,
    };
    let request = MarketDataRequest { head, channels: &channels, securities: &[] };
    if let Err(error) = request.encode(out) {
        tracing::warn!(%error, "more channels than one request can name: resuming from live");
        let live = MarketDataRequest { channels: &[], ..request };
        live.encode(out).expect("invariant: a request without lists is within every bound");
    }
}
