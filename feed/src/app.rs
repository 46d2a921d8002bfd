//! What runs on a shard of the feed: on the first one the sources and the subscribers, on the others subscribers alone.

use crate::arbiter::ChannelState;
use crate::book::Publication;
use crate::control::{Refused, Switch};
use crate::delay::Line;
use crate::door::Brought;
use crate::fanout::Fanout;
use crate::ingest::{Ingest, LOG};
use crate::metrics::{Exporter, Metrics};
use crate::retention::Answer;
use crate::source::Link;
use crate::status::{SourceStatus, SubscriberStatus};
use crate::view::View;
use flow::{Entry, NoLongerHeld, Selection, Seq, Tag};
use service::{Phase, Shutdown};
use shard::{App, ConnId, Cx, Handle, LogId, Opened, Origin, Overrun, Reason};
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::szse::market::Snapshot;
use wire::szse::{GroupMessage, frame};

/// What the operator's port asks of a shard.
#[derive(Debug)]
pub(crate) enum Command {
    /// The state of the sources and the channels.
    Sources(oneshot::Sender<(Vec<SourceStatus>, Vec<ChannelState>)>),
    /// Snapshots of the books, for the log.
    Publish(Box<Publication>),
    /// A piece of what is on disk, for a subscriber.
    Recalled(ConnId, Box<Answer>),
    /// What a source of the door, by its place, has brought.
    Brought(usize, Brought),
    /// A source of this name is to be used, or not.
    Switch(Switch, String, oneshot::Sender<Result<(), Refused>>),
    /// The state of at most so many subscribers.
    Subscribers(usize, oneshot::Sender<Vec<SubscriberStatus>>),
}

/// A shard of the feed.
pub(crate) struct Feed {
    /// On the shard that writes the log.
    pub(crate) ingest: Option<Ingest>,
    /// Snapshots that wait for who sees them late; on the shard that writes the log, where a delay is offered.
    pub(crate) line: Option<Line>,
    pub(crate) fanout: Fanout,
    pub(crate) view: View,
    pub(crate) exporter: Exporter,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
    pub(crate) handle: Handle<Command>,
    pub(crate) draining: bool,
    /// Tells who follows the log on another thread that it is written no more.
    pub(crate) alive: Arc<()>,
}

impl App for Feed {
    type Command = Command;

    fn on_start(&mut self, cx: &mut Cx) {
        self.on_tick(cx);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        match (opened.origin, &mut self.ingest) {
            (Origin::Dialled(source), Some(ingest)) => ingest.on_open(cx, id, source as usize),
            (Origin::Dialled(_), None) => unreachable!("only the first shard dials"),
            (Origin::Accepted(_), _) => self.fanout.on_open(cx, id, opened.peer),
        }
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, tag: u32, error: std::io::Error) {
        if let Some(ingest) = &mut self.ingest {
            ingest.on_dial_failed(cx.now_ns(), tag as usize, &error);
        }
    }

    #[inline]
    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        if let Some(ingest) = &mut self.ingest
            && let Some(source) = ingest.source_of(id)
        {
            return ingest.on_data(cx, &mut self.view, (id, source), data);
        }
        self.fanout.on_data(cx, &self.view, id, data)
    }

    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        let source = self.ingest.as_ref().and_then(|ingest| ingest.source_of(id));
        match (source, &mut self.ingest) {
            (Some(source), Some(ingest)) => ingest.on_close(cx, &mut self.view, source, name_of(reason)),
            _ => self.fanout.on_close(cx, id, name_of(reason)),
        }
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        if let Some(ingest) = &mut self.ingest {
            ingest.on_tick(cx, &mut self.view);
            self.exporter.ingest(ingest, cx.now_ns());
        }
        if let Some(line) = &mut self.line {
            line.release(cx);
            self.exporter.delayed(line.counters());
        }
        self.fanout.on_tick(cx, &self.view);
        self.exporter.shard(cx.stats(), &self.view);
        match self.shutdown.phase() {
            Phase::Running => {}
            Phase::Draining if !self.draining => {
                self.draining = true;
                self.handle.drain();
            }
            Phase::Draining if cx.stats().connections > 0 => {}
            Phase::Draining | Phase::Stopping => cx.stop(),
        }
    }

    fn on_turn_end(&mut self, cx: &mut Cx) {
        let poll_at_ns = match &mut self.ingest {
            Some(ingest) => ingest.on_turn_end(cx, &mut self.view),
            None => {
                self.follow(cx);
                None
            }
        };
        if let Some(line) = &mut self.line {
            line.follow(cx);
        }
        let datagrams_at_ns = self.fanout.send_datagrams(cx, &self.view);
        let again_at_ns = self.fanout.on_turn_end(cx, &self.view);
        if let Some(at_ns) = [poll_at_ns, datagrams_at_ns, again_at_ns].into_iter().flatten().min() {
            cx.wake_at(at_ns);
        }
    }

    fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        if self.fanout.on_drained(id) {
            cx.wake_at(cx.now_ns());
        }
    }

    fn on_overrun(&mut self, cx: &mut Cx, id: ConnId, log: LogId, at: Seq, was: Selection) -> Overrun {
        self.fanout.on_overrun(cx, &self.view, id, (log, at), &was)
    }

    fn on_drain(&mut self, cx: &mut Cx) {
        if let Some(ingest) = &mut self.ingest {
            ingest.on_drain(cx);
        }
        self.fanout.on_drain(cx);
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        if let (Command::Publish(publication), Some(ingest)) = (&command, &mut self.ingest) {
            return ingest.publish(cx, &mut self.view, publication);
        }
        // Who asked may have gone meanwhile; then nobody wants the answer.
        match (command, &mut self.ingest) {
            (Command::Sources(reply), Some(ingest)) => {
                drop(
                    reply.send((
                        Self::sources(ingest, cx.now_ns()),
                        ingest.filing.arbiter.channels().collect(),
                    )),
                );
            }
            (Command::Switch(switch, name, reply), Some(ingest)) => {
                let outcome = ingest.switch(cx, &mut self.view, switch, &name);
                if reply.send(outcome).is_err() {
                    tracing::debug!(name, ?switch, ?outcome, "who switched has gone");
                }
            }
            (Command::Brought(index, brought), Some(ingest)) => {
                ingest.on_brought(cx, &mut self.view, index, brought);
            }
            (Command::Sources(_) | Command::Switch(..) | Command::Brought(..), None) => {}
            (Command::Publish(_), _) => unreachable!("only the first shard writes the log"),
            (Command::Recalled(id, answer), _) => self.fanout.on_recalled(cx, id, &answer),
            (Command::Subscribers(count_max, reply), _) => {
                let subscribers = self.fanout.subscribers().take(count_max);
                drop(
                    reply.send(subscribers.map(|subscriber| SubscriberStatus::of(subscriber, cx)).collect()),
                );
            }
        }
    }
}

impl Feed {
    /// Walks along the log that another shard writes.
    fn follow(&mut self, cx: &Cx) {
        let (log, now_ns) = (cx.log(LOG), cx.now_ns());
        while self.view.end() < log.end() {
            match log.entry(self.view.end()) {
                Ok(Some(entry)) => {
                    self.keep_snapshot(&entry);
                    self.view.saw(entry.tag, now_ns);
                }
                Ok(None) => return,
                Err(NoLongerHeld { oldest }) => {
                    self.metrics.missed.inc_by(oldest - self.view.end());
                    self.view.skip_to(oldest);
                }
            }
        }
    }

    #[inline]
    fn keep_snapshot(&mut self, entry: &Entry<'_>) {
        if entry.tag.number != 0 || entry.tag.key == Tag::EVERYONE {
            return;
        }
        let body = &entry.frame[frame::HEADER_LEN..entry.frame.len() - frame::TRAILER_LEN];
        if let Ok(Snapshot { head, .. }) = Snapshot::parse(body) {
            let time = head.orig_time.raw();
            self.view.snapshots.offer(entry.tag, &head.md_stream_id, time, entry.seq, entry.frame);
        }
    }

    fn sources(ingest: &Ingest, now_ns: u64) -> Vec<SourceStatus> {
        let counters = ingest.filing.arbiter.counters();
        let upstreams = ingest.upstreams.iter().enumerate();
        upstreams
            .map(|(index, upstream)| SourceStatus {
                name: upstream.config.name.clone(),
                address: upstream.config.is_dialled().then_some(upstream.config.address),
                state: match upstream.link {
                    Link::Waiting { .. } if upstream.down => "down",
                    Link::Waiting { .. } => "waiting",
                    Link::Dialling => "dialling",
                    Link::Open { .. } if upstream.left => "logging out",
                    Link::Open { .. } | Link::Inside { .. } if upstream.up => "up",
                    Link::Open { .. } | Link::Inside { .. } => "logging on",
                },
                preferred: ingest.filing.arbiter.primary().is_some_and(|source| source.index() == index),
                sessions: upstream.sessions,
                last_error: upstream.last_error.clone(),
                won: counters.won[index],
                duplicates: counters.duplicates[index],
                regressed: counters.regressed[index],
                asked: counters.asked[index],
                refused: counters.cannot[index],
                relays: ingest.filing.relay.path(index).feeds.iter().map(ToString::to_string).collect(),
                hop_delay_us: ingest.filing.relay.path(index).hop_delay_us,
                message_age_ms: ingest.filing.pulses[index].message_age_ms(now_ns),
                quote_age_ms: ingest.filing.pulses[index].quote_age_ms(now_ns),
                skew_us: ingest.filing.pulses[index].skew_us(),
            })
            .collect()
    }
}

/// A reason as the value of a metric's label: of a bounded set.
pub(crate) fn name_of(reason: Reason) -> &'static str {
    match reason {
        Reason::PeerClosed => "peer closed",
        Reason::Io(_) => "connection error",
        Reason::Tls(text) => text,
        Reason::OutboundFull => "private bytes not taken",
        Reason::InboundFull => "frame too large",
        Reason::Overrun => "slow reader",
        Reason::App(why) => why,
        Reason::Stopped => "stopped",
    }
}
