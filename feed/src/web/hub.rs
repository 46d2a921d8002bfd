//! The browsers' thread: takes what is new from the log, lets browsers in, and says once a second how the feed is.

use crate::app::Command;
use crate::arbiter::ChannelState;
use crate::entitlement::Doorkeeper;
use crate::status::{Shards, SourceStatus, ask};
use crate::web::Port;
use crate::web::client::Client;
use crate::web::entitlement::Gate;
use crate::web::http::{self, Door};
use crate::web::market::Market;
use crate::web::room::Room;
use axum::Router;
use flow::{NoLongerHeld, Reader, Seq};
use serde::Serialize;
use service::{Phase, Shutdown};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use transport::{Acceptor, Clock};
use wire::szse::frame;

/// Entries taken before browsers have their turn.
const ENTRIES_PER_TURN: usize = 4_096;
/// How often the state is told.
const STATE_INTERVAL: Duration = Duration::from_secs(1);
/// A pause after a failed accept, so that running out of files does not become a busy loop.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How long browsers may take to hear that the feed ends.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Browsers that have come and were not served yet.
const ARRIVALS_MAX: usize = 64;

pub(super) async fn run(
    port: Port,
    log: Reader,
    shards: Shards,
    doorkeeper: Option<Doorkeeper>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let gate = Arc::new(Gate::new(port.accounts.clone(), doorkeeper));
    let Port { config, names, metrics, listener, .. } = port;
    let (arrivals_in, mut arrivals) = mpsc::channel(ARRIVALS_MAX);
    let slots = Arc::new(Semaphore::new(config.connections_max));
    let door = Door {
        config: Arc::new(config.clone()),
        gate: gate.clone(),
        metrics: metrics.clone(),
        arrivals: arrivals_in,
    };
    let mut pace = interval(config.pace());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let room = Rc::new(Room {
        market: RefCell::new(Market::new(config.securities_max)),
        config,
        metrics,
        names,
        gate,
        clock: Clock::start(),
        shutdown: shutdown.clone(),
        moved: watch::Sender::new(()),
        state: watch::Sender::default(),
    });
    let acceptor = listener.accepting().await?;
    let accepting = tokio::task::spawn_local(accept(acceptor, http::router(door), slots, room.clone()));
    let mut follower = Follower { next: log.start(), log, room: room.clone() };
    let mut browsers = JoinSet::new();
    let mut states = interval(STATE_INTERVAL);
    states.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.reached(Phase::Draining) => break,
            _ = pace.tick() => follower.follow().await,
            _ = states.tick() => tell_state(&room, &shards).await,
            Some(arrival) = arrivals.recv() => {
                let client = Client::new(arrival.socket, room.clone(), arrival.viewer, arrival.form);
                let (room, slot) = (room.clone(), arrival.slot);
                browsers.spawn_local(async move {
                    room.metrics.browsers.inc();
                    let end = client.serve().await;
                    room.metrics.browsers.dec();
                    room.metrics.ended.with_label_values(&[end.name()]).inc();
                    drop(slot);
                });
            }
            Some(ended) = browsers.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a browser's task");
                }
            }
        }
    }
    accepting.abort();
    let farewell = async { while browsers.join_next().await.is_some() {} };
    if timeout(FAREWELL_TIMEOUT, farewell).await.is_err() {
        tracing::debug!("some browsers did not listen to the end");
    }
    Ok(())
}

async fn accept(acceptor: Acceptor, router: Router, slots: Arc<Semaphore>, room: Rc<Room>) {
    loop {
        match acceptor.accept().await {
            Ok((stream, _)) => {
                room.metrics.accepted.inc();
                // Without a free slot the connection is dropped here, which closes it.
                match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => drop(tokio::spawn(http::serve(stream, router.clone(), slot))),
                    Err(_) => room.metrics.refused.with_label_values(&["too many connections"]).inc(),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "browsers' port: accept failed");
                room.metrics.refused.with_label_values(&["accept error"]).inc();
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Takes the log's frames into the market.
struct Follower {
    log: Reader,
    next: Seq,
    room: Rc<Room>,
}

impl Follower {
    async fn follow(&mut self) {
        let (begun, end) = (self.next, self.log.refresh());
        while self.next < end {
            self.part();
            tokio::task::yield_now().await;
        }
        if self.next != begun {
            self.room.moved.send_replace(());
        }
    }

    fn part(&mut self) {
        let mut market = self.room.market.borrow_mut();
        let came_ns = self.room.clock.wall_ns(self.room.clock.now_ns());
        let no_room = market.no_room;
        for _ in 0..ENTRIES_PER_TURN {
            match self.log.entry(self.next) {
                Ok(Some(entry)) => {
                    if let Ok(Some(frame)) = frame::decode(entry.frame, frame::BODY_LEN_MAX) {
                        market.take(&frame, came_ns);
                    }
                    self.next += 1;
                }
                Ok(None) => break,
                Err(NoLongerHeld { oldest }) => {
                    self.room.metrics.missed.inc_by(oldest - self.next);
                    self.next = oldest;
                }
            }
        }
        self.room.metrics.no_room.inc_by(market.no_room - no_room);
    }
}

/// How the feed is, as browsers are told: no addresses, no errors of the network.
#[derive(Serialize)]
#[serde(tag = "type", rename = "state")]
struct State {
    /// The feed's time, milliseconds since 1970.
    at_ms: i64,
    sources: Vec<SourceState>,
    channels: Vec<Channel>,
    securities: usize,
    browsers: i64,
    /// Entries of the log that this thread was too slow for.
    missed: u64,
}

#[derive(Serialize)]
struct SourceState {
    name: String,
    state: &'static str,
    won: u64,
    duplicates: u64,
}

#[derive(Serialize)]
struct Channel {
    channel: u16,
    /// The number that is wanted next.
    next: u64,
    /// There is a hole before what waits.
    gap: bool,
    held: usize,
    on_primary: bool,
}

async fn tell_state(room: &Room, shards: &Shards) {
    let Ok((sources, channels)) = ask(&shards[0], Command::Sources).await else { return };
    let source =
        |SourceStatus { name, state, won, duplicates, .. }| SourceState { name, state, won, duplicates };
    let channel = |state: ChannelState| {
        let ChannelState { channel, next, gap, held, on_primary, .. } = state;
        Channel { channel, next, gap, held, on_primary }
    };
    let state = State {
        at_ms: room.clock.wall_ns(room.clock.now_ns()) / 1_000_000,
        sources: sources.into_iter().map(source).collect(),
        channels: channels.into_iter().map(channel).collect(),
        securities: room.market.borrow().items().len(),
        browsers: room.metrics.browsers.get(),
        missed: room.metrics.missed.get(),
    };
    let text = serde_json::to_string(&[state]).expect("invariant: the state is JSON");
    room.state.send_replace(text.into());
}
