//! What the operator's port shows of sources and subscribers: GET `/sources` and `/subscribers`, as JSON.

use crate::app::Command;
use crate::arbiter::ChannelState;
use crate::ingest::LOG;
use crate::subscriber::Subscriber;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use shard::{Cx, Handle};
use std::net::SocketAddr;
use tokio::sync::oneshot;

/// Subscribers shown of each shard, unless `?count_max=` says otherwise.
const SUBSCRIBERS_SHOWN: usize = 1_000;

/// A source as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SourceStatus {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// Its address, if it is dialled.
    pub(crate) address: Option<SocketAddr>,
    /// `waiting`, `dialling`, `logging on`, `up`, `logging out`, or `down` by the operator.
    pub(crate) state: &'static str,
    /// It is the primary, in standby mode.
    pub(crate) preferred: bool,
    /// Sessions opened so far.
    pub(crate) sessions: u64,
    /// Why it was not connected last; empty while it is up.
    pub(crate) last_error: String,
    /// Frames it brought first.
    pub(crate) won: u64,
    /// Frames whose number was there before.
    pub(crate) duplicates: u64,
    /// Frames below its own numbers.
    pub(crate) regressed: u64,
    /// Resend requests made of it.
    pub(crate) asked: u64,
    /// Resend requests it refused.
    pub(crate) refused: u64,
    /// The feeds that its quotes come over, the nearest first; empty when it is no feed.
    pub(crate) relays: Vec<String>,
    /// From its sending to here, by the clocks of both, microseconds.
    pub(crate) hop_delay_us: i64,
    /// Since it said something last, milliseconds.
    pub(crate) message_age_ms: u64,
    /// Since it brought a quote last, milliseconds.
    pub(crate) quote_age_ms: u64,
    /// See `Pulse::skew_us`.
    pub(crate) skew_us: Option<i64>,
}

/// A channel as the operator sees it.
#[derive(Clone, Debug, Serialize)]
struct ChannelStatus {
    channel: u16,
    next: u64,
    last: u64,
    held: usize,
    gap: bool,
    on_primary: bool,
    /// The highest number heard from each source.
    seen: Vec<u64>,
}

/// A subscriber as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SubscriberStatus {
    /// Its address.
    pub(crate) peer: SocketAddr,
    /// SenderCompID of its logon.
    pub(crate) name: String,
    /// `idle`, `snapshots`, `ahead`, `following`, `conflated` or `datagrams`.
    pub(crate) stage: &'static str,
    /// How long it is connected, seconds.
    pub(crate) age_s: u64,
    /// Entries of the log that it has not been sent.
    pub(crate) behind: u64,
    /// Bytes besides the log that wait for it.
    pub(crate) waiting_bytes: usize,
    /// Channels that come on streams of their own; the one furthest behind is what `behind` tells of.
    pub(crate) streams: usize,
}

impl SubscriberStatus {
    pub(crate) fn of(subscriber: &Subscriber, cx: &Cx) -> Self {
        let ends = || std::iter::once(subscriber.id).chain(subscriber.streams.iter().map(|(_, id)| *id));
        Self {
            peer: subscriber.peer,
            name: subscriber.name.to_string(),
            stage: subscriber.stage.name(),
            age_s: (cx.now_ns() - subscriber.since_ns) / 1_000_000_000,
            behind: ends().map(|id| cx.behind(id)).max().unwrap_or(0).min(cx.log(LOG).end()),
            waiting_bytes: ends().map(|id| cx.waiting_bytes(id)).sum(),
            streams: subscriber.streams.len(),
        }
    }
}

#[derive(Serialize)]
struct Sources {
    sources: Vec<SourceStatus>,
    channels: Vec<ChannelStatus>,
}

#[derive(Deserialize)]
struct Shown {
    count_max: Option<usize>,
}

/// The shards, the first one first.
pub(crate) type Shards = std::sync::Arc<[Handle<Command>]>;

/// What a feed adds to the operator's port.
pub(crate) fn routes(shards: Shards) -> Router {
    Router::new().route("/sources", get(sources)).route("/subscribers", get(subscribers)).with_state(shards)
}

async fn sources(State(shards): State<Shards>) -> Result<Json<Sources>, Unanswered> {
    let (sources, channels) = ask(&shards[0], Command::Sources).await?;
    let count = sources.len();
    let channels = channels.into_iter().map(|state| channel(state, count)).collect();
    Ok(Json(Sources { sources, channels }))
}

fn channel(state: ChannelState, sources: usize) -> ChannelStatus {
    let ChannelState { channel, next, last, held, seen, gap, on_primary } = state;
    ChannelStatus { channel, next, last, held, gap, on_primary, seen: seen[..sources].to_vec() }
}

async fn subscribers(
    State(shards): State<Shards>,
    Query(shown): Query<Shown>,
) -> Result<Json<Vec<SubscriberStatus>>, Unanswered> {
    let count_max = shown.count_max.unwrap_or(SUBSCRIBERS_SHOWN);
    let mut all = Vec::new();
    for shard in shards.iter() {
        all.extend(ask(shard, |reply| Command::Subscribers(count_max, reply)).await?);
    }
    Ok(Json(all))
}

/// Why a shard gave no answer, to be said to who asked.
pub(crate) type Unanswered = (StatusCode, &'static str);

/// Asks a shard; it answers between two turns.
pub(crate) async fn ask<T>(
    shard: &Handle<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Unanswered> {
    let (reply, answer) = oneshot::channel();
    shard.send(command(reply)).map_err(|_| (StatusCode::TOO_MANY_REQUESTS, "too many ask at a time\n"))?;
    answer.await.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the feed ends\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// What who asks is told at once, where it is no answer.
    fn told<T>(asked: impl Future<Output = Result<T, Unanswered>>) -> Option<Unanswered> {
        let asked = pin!(asked);
        match asked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.err(),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_gets_no_answer_is_told_why() {
        let limits = shard::Limits { commands_max: 1, ..shard::Limits::default() };
        let shard = Handle::new(&limits);
        assert_eq!(told(ask(&shard, Command::Sources)), None, "it waits");
        let refused = (StatusCode::TOO_MANY_REQUESTS, "too many ask at a time\n");
        assert_eq!(told(ask(&shard, Command::Sources)), Some(refused));
        // A command that is dropped, as at the end.
        let shard = Handle::new(&limits);
        let dropped = |reply: oneshot::Sender<()>| {
            drop(reply);
            Command::Sources(oneshot::channel().0)
        };
        let ending = (StatusCode::SERVICE_UNAVAILABLE, "the feed ends\n");
        assert_eq!(told(ask(&shard, dropped)), Some(ending));
    }
}
