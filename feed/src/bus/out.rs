//! The feed's log onto the bus, at the bus's own pace: what it has not confirmed is published again, and what the log lets go of
//! meanwhile is told as a gap. Nothing here holds the feed up.

use super::{ALIVE_EVERY, Bus, runtime, subject};
use crate::ingest::gap_notice;
use crate::metrics::Metrics;
use crate::replay::{Part, Replay};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Subject, Subscriber};
use flow::{Reader, Seq, Tag};
use futures_util::{FutureExt, StreamExt};
use std::collections::VecDeque;
use std::io;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;
use transport::Clock;
use wire::szse::ext::{GapNotice, GapReason};
use wire::szse::market::{ChannelHeartbeat, Resend};
use wire::szse::{Frame, Message as _, frame};

/// Entries that are published before the bus is asked whether it has them.
const BATCH: u64 = 1_024;
/// Bytes of such a batch, about.
const BATCH_BYTES: usize = 1 << 20;
/// Pause when there is nothing new.
const LOOK: Duration = Duration::from_millis(2);
/// Pause when the bus is not there.
const ABSENT: Duration = Duration::from_millis(50);
/// How long what is under way may take when the feed ends.
const LAST: Duration = Duration::from_secs(1);
/// Numbers in the answer to one question.
const ASK_COUNT_MAX: u64 = 50_000;
/// Questions that may wait; more are lost, and asked again.
const ASKS_MAX: usize = 64;
/// Questions that are answered at a time, a part of each in turn.
const ANSWERS_MAX: usize = 16;

/// The names of the headers.
const CHANNEL: &str = "Tongdao-Channel";
const NUMBER: &str = "Tongdao-ApplSeqNum";

/// Why a batch did not get through.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Publish(#[from] async_nats::PublishError),
    #[error("{0}")]
    Flush(#[from] async_nats::client::FlushError),
    #[error("the connection is another one, and what went over the one before may be lost")]
    Replaced,
    #[error("it has not come back in time")]
    Time(#[from] tokio::time::error::Elapsed),
    #[error("its own subscription has ended")]
    Ended,
}

/// Publishes the log.
pub(crate) struct Out {
    bus: Bus,
    log: Reader,
    /// The next entry.
    at: Seq,
    /// Of each channel, the number after the last one of which something was published: a message, or that it will not come.
    next: Vec<(u16, u64)>,
    clock: Clock,
    /// When the bus is told next that somebody publishes, and asked whether it takes anything.
    alive_at_ns: u64,
    metrics: Metrics,
}

/// A connection with what it is asked.
struct Line {
    client: Client,
    /// Comes back when all before it was taken.
    echoes: Subscriber,
    inbox: String,
    asks: Subscriber,
    /// What is being answered, each with where to: the one whose turn it is first.
    answers: VecDeque<(Subject, Replay)>,
    echo: u64,
}

impl Line {
    /// Connections to the bus so far. The client makes new ones by itself, and what it had written to the last one is then lost.
    fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }
}

impl Out {
    /// What the log has from now on is published.
    pub(crate) fn new(bus: Bus, log: Reader, metrics: Metrics) -> Self {
        Self { bus, at: log.end(), log, next: Vec::new(), clock: Clock::start(), alive_at_ns: 0, metrics }
    }

    /// Follows the log until nobody writes it any more: until what `alive` points at is gone. A bus that takes nothing does not keep it.
    ///
    /// # Errors
    /// The system gives no runtime.
    pub(crate) fn run(mut self, alive: &Weak<()>) -> io::Result<()> {
        let gone = async {
            while alive.strong_count() > 0 {
                tokio::time::sleep(ABSENT).await;
            }
            tokio::time::sleep(LAST).await;
        };
        runtime()?.block_on(async {
            tokio::select! {
                () = self.follow(alive) => {}
                () = gone => {}
            }
        });
        Ok(())
    }

    async fn follow(&mut self, alive: &Weak<()>) {
        let Some(mut line) = self.connect(alive).await else { return };
        while alive.strong_count() > 0 {
            if line.client.connection_state() != State::Connected {
                self.metrics.bus_up.set(0);
                self.let_go();
                tokio::time::sleep(ABSENT).await;
            } else if !self.turn(&mut line).await {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn connect(&mut self, alive: &Weak<()>) -> Option<Line> {
        let mut told = false;
        while alive.strong_count() > 0 {
            match self.line().await {
                Ok(line) => return Some(line),
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(%error, "the bus cannot be reached: tried again until it can");
                }
                Err(_) => {}
            }
            self.let_go();
            tokio::time::sleep(ABSENT).await;
        }
        None
    }

    async fn line(&self) -> Result<Line, async_nats::Error> {
        let options = self.bus.options("tongdao feed, out").subscription_capacity(ASKS_MAX);
        let client = options.connect(self.bus.servers.as_slice()).await?;
        let inbox = client.new_inbox();
        let echoes = client.subscribe(inbox.clone()).await?;
        let asks = client.subscribe(self.bus.resend()).await?;
        Ok(Line { client, echoes, inbox, asks, answers: VecDeque::new(), echo: 0 })
    }

    /// One batch of what is new and one part of one answer, so that neither keeps the other waiting for longer than that takes;
    /// whether there may be more.
    async fn turn(&mut self, line: &mut Line) -> bool {
        match self.batch(line).await {
            Ok(more) => self.answer(line).await || more,
            // Who asked waits: what the bus does not take it would not take either.
            Err(error) => {
                tracing::warn!(%error, "the bus did not take a batch: it is published again");
                self.metrics.bus_batches_again.inc();
                self.metrics.bus_up.set(0);
                tokio::time::sleep(ABSENT).await;
                true
            }
        }
    }

    /// Publishes some entries and waits until the bus has them; whether there may be more. When it is time to say so it is told that
    /// somebody publishes, be there entries or not: a connection alone does not show that it takes anything.
    async fn batch(&mut self, line: &mut Line) -> Result<bool, Failed> {
        self.let_go();
        let until = self.log.end().min(self.at + BATCH);
        let now_ns = self.clock.now_ns();
        let alive = now_ns >= self.alive_at_ns;
        if self.at == until && !alive {
            return Ok(false);
        }
        if alive {
            // One that gets lost is followed by another.
            self.alive_at_ns = now_ns + ALIVE_EVERY.as_nanos() as u64;
        }
        let taken = tokio::time::timeout(self.bus.timeout(), self.publish(line, until, alive)).await??;
        self.metrics.bus_up.set(1);
        let count = taken.0 - self.at;
        self.metrics.bus_entries.inc_by(count);
        (self.at, self.next) = taken;
        Ok(count > 0)
    }

    /// How far it got, when the bus has it all.
    async fn publish(
        &self,
        line: &mut Line,
        until: Seq,
        alive: bool,
    ) -> Result<(Seq, Vec<(u16, u64)>), Failed> {
        let connection = line.connections();
        if alive {
            line.client.publish(self.bus.alive(), Vec::new().into()).await?;
        }
        let taken = self.send(line, until).await?;
        Self::confirm(line, connection).await?;
        Ok(taken)
    }

    async fn send(&self, line: &Line, until: Seq) -> Result<(Seq, Vec<(u16, u64)>), Failed> {
        let (mut at, mut next, mut bytes) = (self.at, self.next.clone(), 0);
        let mut subject = String::new();
        while at < until && bytes < BATCH_BYTES {
            let Ok(Some(entry)) = self.log.entry(at) else { break };
            at += 1;
            let Ok(Some(frame)) = frame::decode(entry.frame, frame::BODY_LEN_MAX) else { continue };
            if subject::of(&self.bus.prefix, &frame, &mut subject).is_none() {
                continue;
            }
            let lacks = said(&frame, entry.tag).and_then(|said| missing(&mut next, entry.tag.lane, said));
            if let Some(lacks) = lacks {
                self.gap(line, entry.tag.lane, lacks).await?;
            }
            bytes += entry.frame.len();
            let payload = entry.frame.to_vec().into();
            line.client.publish_with_headers(subject.clone(), headers(entry.tag), payload).await?;
        }
        Ok((at, next))
    }

    /// Waits until the bus has all that was published since the connections were so many. One message that comes back says so
    /// of all before it on its own connection, and of nothing on the one before.
    async fn confirm(line: &mut Line, connection: u64) -> Result<(), Failed> {
        line.echo += 1;
        let echo = line.echo.to_be_bytes();
        line.client.publish(line.inbox.clone(), echo.to_vec().into()).await?;
        line.client.flush().await?;
        // Those of batches before that were late come first.
        while line.echoes.next().await.ok_or(Failed::Ended)?.payload[..] != echo {}
        if line.connections() == connection { Ok(()) } else { Err(Failed::Replaced) }
    }

    /// Says which numbers the bus will not get.
    async fn gap(&self, line: &Line, lane: u16, (begin, end): (u64, u64)) -> Result<(), Failed> {
        let mut bytes = Vec::new();
        frame::encode(&gap_notice(lane, begin, end, GapReason::SLOW_READER), &mut bytes);
        let subject = format!("{}.channel.{lane}.gap", self.bus.prefix);
        let tag = Tag { lane, number: end, key: Tag::EVERYONE };
        Ok(line.client.publish_with_headers(subject, headers(tag), bytes.into()).await?)
    }

    /// What the log no longer holds cannot be published.
    fn let_go(&mut self) {
        self.log.refresh();
        let start = self.log.start();
        self.metrics.bus_behind.set((self.log.end() - self.at.max(start)) as i64);
        if self.at < start {
            tracing::warn!(entries = start - self.at, "the bus was away for too long: it gets a gap");
            self.metrics.bus_missed.inc_by(start - self.at);
            self.at = start;
        }
    }

    /// Sends one part of an answer to who lacks numbers, from the log; whether there is more to answer.
    async fn answer(&mut self, line: &mut Line) -> bool {
        self.log.refresh();
        for _ in 0..ASKS_MAX {
            if line.answers.len() == ANSWERS_MAX {
                break;
            }
            let Some(Some(ask)) = line.asks.next().now_or_never() else { break };
            if !self.take(line, &ask).await {
                break;
            }
        }
        let Some((to, mut replay)) = line.answers.pop_front() else { return false };
        let mut out = Vec::new();
        let part = replay.part(&self.log, &mut out);
        match (self.tell(line, &to, out).await, part) {
            (true, Part::More) => line.answers.push_back((to, replay)),
            (true, Part::Done(..)) => self.asked("answered"),
            // Who asked sees what has come, and asks for the rest.
            (false, _) => self.asked("not sent"),
        }
        !line.answers.is_empty()
    }

    /// A question joins those that are answered; one that has no meaning here is answered at once. Whether the bus took what there was to say.
    async fn take(&self, line: &mut Line, ask: &Message) -> bool {
        let frame = frame::decode(&ask.payload, frame::BODY_LEN_MAX).ok().flatten();
        let request = frame.as_ref().and_then(|frame| frame.view::<Resend>().ok());
        let (Some(to), Some(request)) = (ask.reply.clone(), request) else {
            self.asked("no question");
            return true;
        };
        match Replay::new(request, ASK_COUNT_MAX) {
            Ok(replay) => {
                line.answers.push_back((to, replay));
                true
            }
            Err(refused) => {
                let mut out = Vec::new();
                frame::encode(&refused, &mut out);
                let sent = self.tell(line, &to, out).await;
                self.asked(if sent { "answered" } else { "not sent" });
                sent
            }
        }
    }

    /// Whether a part of an answer, if there is anything in it, went to who asked.
    async fn tell(&self, line: &Line, to: &Subject, part: Vec<u8>) -> bool {
        if part.is_empty() {
            return true;
        }
        // It is written before the next one is made: the client holds no more than one.
        let sent = async {
            line.client.publish(to.clone(), part.into()).await?;
            Ok::<_, Failed>(line.client.flush().await?)
        };
        matches!(tokio::time::timeout(self.bus.timeout(), sent).await, Ok(Ok(())))
    }

    fn asked(&self, outcome: &str) {
        self.metrics.bus_asked.with_label_values(&[outcome]).inc();
    }
}

/// The numbers of its channel of which an entry says something, the first and the last: its own, those that a notice stands for, none
/// behind the last that a heartbeat names. `None` of a snapshot.
fn said(frame: &Frame<'_>, tag: Tag) -> Option<(u64, u64)> {
    match frame.msg_type {
        GapNotice::MSG_TYPE => {
            let notice: &GapNotice = frame.view().ok()?;
            Some((u64::try_from(notice.appl_beg_seq_num.get()).ok()?, tag.number))
        }
        ChannelHeartbeat::MSG_TYPE => {
            let heartbeat: &ChannelHeartbeat = frame.view().ok()?;
            let last = u64::try_from(heartbeat.appl_last_seq_num.get()).ok()?;
            Some((last + 1, last))
        }
        _ => (tag.number != 0).then_some((tag.number, tag.number)),
    }
}

/// The numbers before these that the channel lacks; its numbers begin with 1.
fn missing(next: &mut Vec<(u16, u64)>, lane: u16, (begin, end): (u64, u64)) -> Option<(u64, u64)> {
    let at = next.iter().position(|(known, _)| *known == lane).unwrap_or_else(|| {
        next.push((lane, 1));
        next.len() - 1
    });
    let before = next[at].1;
    next[at].1 = before.max(end + 1);
    (before < begin).then(|| (before, begin - 1))
}

fn headers(tag: Tag) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CHANNEL, tag.lane.to_string());
    headers.insert(NUMBER, tag.number.to_string());
    headers
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Seen, serve};
    use super::*;
    use flow::{Limits, Writer};
    use std::net::SocketAddr;
    use std::sync::{Arc, mpsc};
    use std::thread;
    use wire::szse::code::ResendType;
    use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickOrder};
    use wire::szse::{I64, Text, U16};

    /// A publisher of a log of ticks of channel 1, up to this number, connected to a bus that notes what it is told.
    async fn stage(last: u64) -> (Writer, Out, Line, Seen) {
        let Fake { address, seen, .. } = serve().await;
        let (mut writer, out) = publisher(address, 60_000);
        append(&mut writer, 1, 1..=last);
        let line = out.line().await.unwrap();
        (writer, out, line, seen)
    }

    /// A log, and what publishes it.
    fn publisher(address: SocketAddr, timeout_ms: u64) -> (Writer, Out) {
        let writer = Writer::new(Limits { segment_bytes: 1 << 20, window_bytes: 1 << 26 });
        let registry = service::prometheus::Registry::new();
        let bus = Bus { timeout_ms, ..Bus::new(vec![format!("nats://{address}")]) };
        let out = Out::new(bus, writer.reader(), Metrics::register(&registry).unwrap());
        (writer, out)
    }

    fn append(writer: &mut Writer, lane: u16, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let tick = TickOrder {
                channel_no: U16::new(lane),
                appl_seq_num: I64::new(number as i64),
                security_id: Text::literal("000001"),
                security_id_source: Text::literal("102"),
                ..TickOrder::default()
            };
            let mut frame = Vec::new();
            frame::encode(&tick, &mut frame);
            writer.append(Tag { lane, number, key: 1 }, &frame).unwrap();
        }
        writer.publish();
    }

    /// How often something was published under this subject.
    fn count(seen: &Seen, subject: &str) -> usize {
        seen.lock().unwrap().iter().filter(|(of, _)| of == subject).count()
    }

    const QUOTES: &str = "tongdao.102.000001.order";

    #[test]
    fn what_comes_back_over_another_connection_confirms_nothing_of_the_one_before() {
        runtime().unwrap().block_on(async {
            let (_writer, mut out, mut line, seen) = stage(10).await;
            out.let_go();
            let connection = line.connections();
            out.send(&line, out.log.end()).await.unwrap();
            line.client.force_reconnect().await.unwrap();
            while line.connections() == connection {
                tokio::time::sleep(LOOK).await;
            }
            let confirmed = Out::confirm(&mut line, connection).await;
            assert!(matches!(confirmed, Err(Failed::Replaced)), "{confirmed:?}");
            assert_eq!(out.at, 0, "all of it is still to be published");
            assert!(out.batch(&mut line).await.unwrap());
            assert_eq!((out.at, out.metrics.bus_entries.get()), (10, 10));
            assert!(count(&seen, QUOTES) >= 10);
        });
    }

    #[test]
    fn many_questions_are_answered_part_by_part_beside_what_is_new() {
        runtime().unwrap().block_on(async {
            let (mut writer, mut out, mut line, seen) = stage(20_000).await;
            out.let_go();
            out.at = out.log.end();
            let ask = Resend {
                resend_type: ResendType::TICKS,
                channel_no: U16::new(1),
                appl_beg_seq_num: I64::new(1),
                appl_end_seq_num: I64::new(20_000),
                ..Resend::default()
            };
            let mut bytes = Vec::new();
            frame::encode(&ask, &mut bytes);
            for to in ["first", "second", "third"] {
                line.client.publish_with_reply(out.bus.resend(), to, bytes.clone().into()).await.unwrap();
            }
            let answers = |seen: &Seen| ["first", "second", "third"].map(|to| count(seen, to));
            for turn in 1..=9 {
                append(&mut writer, 2, turn..=turn);
                out.turn(&mut line).await;
                // The batch of a turn has come back, and so all that was sent before it.
                assert_eq!(count(&seen, QUOTES), turn as usize);
                let of_each = answers(&seen);
                let all: usize = of_each.iter().sum();
                assert!(all < turn as usize + 1, "{of_each:?} in {turn} turns");
                assert!(of_each[0] - of_each[2] <= 1, "in turn: {of_each:?}");
            }
            let answered = out.metrics.bus_asked.with_label_values(&["answered"]);
            while answered.get() < 3 {
                out.turn(&mut line).await;
            }
            append(&mut writer, 2, 10..=10);
            out.turn(&mut line).await;
            let sizes: usize =
                seen.lock().unwrap().iter().filter(|(of, _)| of == "third").map(|(_, part)| part.len()).sum();
            let mut whole = Vec::new();
            frame::encode(&TickOrder::default(), &mut whole);
            assert_eq!(sizes, 20_000 * whole.len() + bytes.len());
        });
    }

    /// Snapshots of about 1 KB each: a few batches of them fill whatever is between a client and a server.
    fn append_snapshots(writer: &mut Writer, count: u64) {
        let head = SnapshotHead {
            security_id: Text::literal("000001"),
            security_id_source: Text::literal("102"),
            ..SnapshotHead::default()
        };
        let mut frame = Vec::new();
        let entry = MdEntry::default();
        Snapshot::encode(&head, &mut frame, |entries| (0..30).try_for_each(|_| entries.push(&entry, &[])))
            .unwrap();
        for _ in 0..count {
            writer.append(Tag { lane: 1, number: 0, key: 1 }, &frame).unwrap();
        }
        writer.publish();
    }

    fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
        let clock = Clock::start();
        while !reached() {
            assert!(clock.now_ns() < 60_000_000_000, "still waiting for {what}");
            thread::sleep(LOOK);
        }
    }

    #[test]
    fn a_bus_that_reads_no_more_is_not_there_and_holds_no_end_up() {
        let (tell, told) = mpsc::sync_channel(1);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = thread::spawn(move || {
            runtime().unwrap().block_on(async {
                tell.send(serve().await).unwrap();
                stopped.await.unwrap_err();
            });
        });
        let Fake { address, deaf, .. } = told.recv().unwrap();
        let (mut writer, out) = publisher(address, 100);
        let (metrics, alive) = (out.metrics.clone(), Arc::new(()));
        let watched = Arc::downgrade(&alive);
        let publisher = thread::spawn(move || out.run(&watched));
        append(&mut writer, 1, 1..=10);
        wait_for("the bus to be there", || (metrics.bus_up.get(), metrics.bus_entries.get()) == (1, 10));

        deaf.store(true, Ordering::Release);
        wait_for("an idle bus to be missed", || metrics.bus_up.get() == 0);
        append_snapshots(&mut writer, 5_000);
        // By then nothing takes any more: neither the kernel nor the client.
        let before = metrics.bus_batches_again.get();
        wait_for("batches", || metrics.bus_batches_again.get() >= before + 15);
        append_snapshots(&mut writer, 5);
        wait_for("it to be behind", || metrics.bus_behind.get() == 5_005);
        assert_eq!((metrics.bus_up.get(), metrics.bus_entries.get()), (0, 10));
        drop(alive);
        wait_for("the end", || publisher.is_finished());
        publisher.join().unwrap().unwrap();
        drop(stop);
        server.join().unwrap();
    }

    #[test]
    fn what_a_channel_lacks_is_told_once_by_whatever_comes_after_it() {
        let mut next = Vec::new();
        let mut tell = |message: &dyn Fn(&mut Vec<u8>), lane, number, key| {
            let mut bytes = Vec::new();
            message(&mut bytes);
            let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
            said(&frame, Tag { lane, number, key }).and_then(|said| missing(&mut next, lane, said))
        };
        let tick = |bytes: &mut Vec<u8>| frame::encode(&TickOrder::default(), bytes);
        let heartbeat = |last| {
            let appl_last_seq_num = I64::new(last);
            move |bytes: &mut Vec<u8>| {
                frame::encode(&ChannelHeartbeat { appl_last_seq_num, ..ChannelHeartbeat::default() }, bytes);
            }
        };
        let notice = |begin, end| {
            move |bytes: &mut Vec<u8>| {
                frame::encode(&gap_notice(1, begin, end, GapReason::LOST_UPSTREAM), bytes);
            }
        };
        assert_eq!(tell(&tick, 1, 7, 3), Some((1, 6)), "a channel begins with 1");
        assert_eq!(tell(&tick, 1, 8, 3), None);
        assert_eq!(tell(&tick, 2, 1, 3), None);
        assert_eq!(tell(&tick, 1, 12, 3), Some((9, 11)));
        // A notice stands for its numbers alone.
        assert_eq!(tell(&notice(13, 20), 1, 20, Tag::EVERYONE), None);
        assert_eq!(tell(&notice(25, 30), 1, 30, Tag::EVERYONE), Some((21, 24)));
        assert_eq!(tell(&tick, 1, 31, 3), None);
        // A quiet channel is told of by its heartbeats.
        assert_eq!(tell(&heartbeat(31), 1, 0, Tag::EVERYONE), None);
        assert_eq!(tell(&heartbeat(40), 1, 0, Tag::EVERYONE), Some((32, 40)));
        assert_eq!(tell(&heartbeat(40), 1, 0, Tag::EVERYONE), None);
        assert_eq!(tell(&heartbeat(35), 1, 0, Tag::EVERYONE), None);
        assert_eq!(tell(&heartbeat(-1), 1, 0, Tag::EVERYONE), None);
        assert_eq!(tell(&tick, 1, 41, 3), None);
    }
}
