//! The feed's log onto the bus, at the bus's own pace: what it has not confirmed is published again, and what the log lets go of
//! meanwhile is told as a gap. Nothing here holds the feed up.

use super::{ALIVE_EVERY, Bus, runtime, subject};
use crate::ingest::gap_notice;
use crate::metrics::Metrics;
use crate::replay::{Part, Replay};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Subscriber};
use flow::{Reader, Seq, Tag};
use futures_util::{FutureExt, StreamExt};
use std::io;
use std::sync::Weak;
use std::time::Duration;
use transport::Clock;
use wire::szse::ext::GapReason;
use wire::szse::frame;
use wire::szse::market::Resend;

/// Entries that are published before the bus is asked whether it has them.
const BATCH: u64 = 1_024;
/// Bytes of such a batch, about.
const BATCH_BYTES: usize = 1 << 20;
/// Pause when there is nothing new.
const LOOK: Duration = Duration::from_millis(2);
/// Pause when the bus is not there.
const ABSENT: Duration = Duration::from_millis(50);
/// Numbers in the answer to one question.
const ASK_COUNT_MAX: u64 = 50_000;
/// Questions that may wait; more are lost, and asked again.
const ASKS_MAX: usize = 64;

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
    /// Of each channel, the number after the last one published.
    next: Vec<(u16, u64)>,
    metrics: Metrics,
}

/// A connection with what it is asked.
struct Line {
    client: Client,
    /// Comes back when all before it was taken.
    echoes: Subscriber,
    inbox: String,
    asks: Subscriber,
    echo: u64,
}

impl Out {
    /// What the log has from now on is published.
    pub(crate) fn new(bus: Bus, log: Reader, metrics: Metrics) -> Self {
        Self { bus, at: log.end(), log, next: Vec::new(), metrics }
    }

    /// Follows the log until nobody writes it any more: until what `alive` points at is gone.
    ///
    /// # Errors
    /// The system gives no runtime.
    pub(crate) fn run(mut self, alive: &Weak<()>) -> io::Result<()> {
        runtime()?.block_on(async {
            let Some(mut line) = self.connect(alive).await else { return };
            let clock = Clock::start();
            let mut alive_at_ns = 0;
            while alive.strong_count() > 0 {
                let there = line.client.connection_state() == State::Connected;
                self.metrics.bus_up.set(there.into());
                if !there {
                    self.let_go();
                    tokio::time::sleep(ABSENT).await;
                    continue;
                }
                if clock.now_ns() >= alive_at_ns {
                    alive_at_ns = clock.now_ns() + ALIVE_EVERY.as_nanos() as u64;
                    // One that gets lost is followed by another.
                    drop(line.client.publish(self.bus.alive(), Vec::new().into()).await);
                }
                self.answer(&mut line).await;
                match self.batch(&mut line).await {
                    Ok(true) => {}
                    Ok(false) => tokio::time::sleep(LOOK).await,
                    Err(error) => {
                        tracing::warn!(%error, "the bus did not take a batch: it is published again");
                        self.metrics.bus_batches_again.inc();
                        tokio::time::sleep(ABSENT).await;
                    }
                }
            }
        });
        Ok(())
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
        let asks = client.subscribe(self.bus.asks()).await?;
        Ok(Line { client, echoes, inbox, asks, echo: 0 })
    }

    /// Publishes some entries and waits until the bus has them; whether there may be more.
    async fn batch(&mut self, line: &mut Line) -> Result<bool, Failed> {
        self.let_go();
        let until = self.log.end().min(self.at + BATCH);
        if self.at == until {
            return Ok(false);
        }
        let taken = tokio::time::timeout(self.bus.timeout(), self.publish(line, until)).await??;
        let (at, next) = taken;
        self.metrics.bus_entries.inc_by(at - self.at);
        (self.at, self.next) = (at, next);
        Ok(true)
    }

    /// How far it got, when the bus has it all.
    async fn publish(&self, line: &mut Line, until: Seq) -> Result<(Seq, Vec<(u16, u64)>), Failed> {
        let (mut at, mut next, mut bytes) = (self.at, self.next.clone(), 0);
        let mut subject = String::new();
        while at < until && bytes < BATCH_BYTES {
            let Ok(Some(entry)) = self.log.entry(at) else { break };
            at += 1;
            let Ok(Some(frame)) = frame::decode(entry.frame, frame::BODY_LEN_MAX) else { continue };
            if subject::of(&self.bus.prefix, &frame, &mut subject).is_none() {
                continue;
            }
            if let Some(end) = missing(&mut next, entry.tag) {
                self.gap(line, entry.tag.lane, end).await?;
            }
            bytes += entry.frame.len();
            let payload = entry.frame.to_vec().into();
            line.client.publish_with_headers(subject.clone(), headers(entry.tag), payload).await?;
        }
        line.echo += 1;
        let echo = line.echo.to_be_bytes();
        line.client.publish(line.inbox.clone(), echo.to_vec().into()).await?;
        line.client.flush().await?;
        // Those of batches before that were late come first.
        while line.echoes.next().await.ok_or(Failed::Ended)?.payload[..] != echo {}
        Ok((at, next))
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

    /// Answers who lacks numbers, from the log.
    async fn answer(&mut self, line: &mut Line) {
        while let Some(Some(ask)) = line.asks.next().now_or_never() {
            let done = tokio::time::timeout(self.bus.timeout(), self.send_again(line, &ask)).await;
            let outcome = match done {
                Ok(Ok(true)) => "answered",
                Ok(Ok(false)) => "no question",
                Ok(Err(_)) | Err(_) => "not sent",
            };
            self.metrics.bus_asked.with_label_values(&[outcome]).inc();
        }
    }

    /// `false`: it is no question.
    async fn send_again(&mut self, line: &Line, ask: &Message) -> Result<bool, Failed> {
        let Some(to) = ask.reply.clone() else { return Ok(false) };
        let Ok(Some(frame)) = frame::decode(&ask.payload, frame::BODY_LEN_MAX) else { return Ok(false) };
        let Ok(request) = frame.view::<Resend>() else { return Ok(false) };
        self.log.refresh();
        let mut replay = match Replay::new(request, ASK_COUNT_MAX) {
            Ok(replay) => replay,
            Err(refused) => {
                let mut out = Vec::new();
                frame::encode(&refused, &mut out);
                line.client.publish(to, out.into()).await?;
                return Ok(true);
            }
        };
        loop {
            let mut out = Vec::new();
            let part = replay.part(&self.log, &mut out);
            if !out.is_empty() {
                line.client.publish(to.clone(), out.into()).await?;
            }
            if let Part::Done(..) = part {
                line.client.flush().await?;
                return Ok(true);
            }
        }
    }
}

/// The numbers before this entry that its channel lacks.
fn missing(next: &mut Vec<(u16, u64)>, tag: Tag) -> Option<(u64, u64)> {
    if tag.number == 0 {
        return None;
    }
    let Some((_, wanted)) = next.iter_mut().find(|(lane, _)| *lane == tag.lane) else {
        next.push((tag.lane, tag.number + 1));
        return None;
    };
    let before = std::mem::replace(wanted, tag.number + 1);
    // A notice stands for the numbers up to its own.
    (before < tag.number && tag.key != Tag::EVERYONE).then(|| (before, tag.number - 1))
}

fn headers(tag: Tag) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CHANNEL, tag.lane.to_string());
    headers.insert(NUMBER, tag.number.to_string());
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_channel_lacks_is_told_once_and_a_notice_of_the_log_is_no_lack() {
        let tag = |lane, number, key| Tag { lane, number, key };
        let mut next = Vec::new();
        assert_eq!(missing(&mut next, tag(1, 7, 3)), None, "it begins there");
        assert_eq!(missing(&mut next, tag(1, 8, 3)), None);
        assert_eq!(missing(&mut next, tag(2, 1, 3)), None);
        assert_eq!(missing(&mut next, tag(1, 0, 3)), None, "no number");
        assert_eq!(missing(&mut next, tag(1, 12, 3)), Some((9, 11)));
        assert_eq!(missing(&mut next, tag(1, 20, Tag::EVERYONE)), None);
        assert_eq!(missing(&mut next, tag(1, 21, 3)), None);
    }
}
