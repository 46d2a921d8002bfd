//! One browser: what it asks, what it is told, and when it is let go.
//!
//! It is told the newest state, not each change: while an update is on its way nothing is put in line behind it, so a browser that
//! is slow costs one update's bytes, whatever the market does.

use crate::subscriber::Allowance;
use crate::web::binary;
use crate::web::code::Code;
use crate::web::entitlement::Viewer;
use crate::web::event::{Depth, Event, LinePart, Shown, Trades};
use crate::web::market::{Item, Versions};
use crate::web::request::{Part, Refusal, Request};
use crate::web::room::Room;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use serde::Serialize;
use service::Phase;
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

/// Securities in the answer to one search.
const FOUND_MAX: usize = 20;
/// The longest text that is searched for, bytes.
const SEARCH_BYTES_MAX: usize = 32;

/// What a security's events are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Binary,
}

/// Why a browser is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Left,
    Stopping,
    Protocol,
    TooLong,
    TooMany,
    Slow,
    Silent,
    Withdrawn,
}

impl End {
    /// The metric's label, and what the browser is told.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Stopping => "the feed ends",
            Self::Protocol => "not a WebSocket message, or far too long",
            Self::TooLong => "message too long",
            Self::TooMany => "too many messages",
            Self::Slow => "update not taken in time",
            Self::Silent => "no answer to pings",
            Self::Withdrawn => "right withdrawn",
        }
    }

    /// The code of the close frame; 4000 and up are ours. None where nobody listens any more.
    fn close_code(self) -> Option<u16> {
        match self {
            Self::Left => None,
            Self::Stopping => Some(1001),
            Self::Protocol => Some(1002),
            Self::TooMany | Self::Withdrawn => Some(1008),
            Self::TooLong => Some(1009),
            Self::Slow => Some(4000),
            Self::Silent => Some(4001),
        }
    }
}

/// A security that is subscribed to.
struct Subscription {
    parts: Vec<Part>,
    told: Versions,
    /// Width and beginning of the last point of the line that was told.
    line: Option<(u32, u32)>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer<'a> {
    Hello { version: u32, updates_per_s: u32, subscriptions_max: usize },
    Subscribed { codes: Vec<String> },
    Codes { text: &'a str, codes: Vec<(String, Option<&'a str>)>, more: usize },
    Pong { id: u64 },
    Error { code: &'static str, text: String },
}

/// A browser.
pub(super) struct Client {
    socket: WebSocket,
    room: Rc<Room>,
    viewer: Viewer,
    form: Form,
    subscriptions: BTreeMap<String, (Code, Subscription)>,
    requests: Allowance,
}

impl Client {
    pub(super) fn new(socket: WebSocket, room: Rc<Room>, viewer: Viewer, form: Form) -> Self {
        let requests = Allowance::new(room.config.requests_per_minute_max, room.clock.now_ns());
        Self { socket, room, viewer, form, subscriptions: BTreeMap::new(), requests }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self) -> End {
        let end = match self.run().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(code) = end.close_code() {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(end.name()) };
            let last = self.send(Message::Close(Some(frame))).await;
            if last.is_err() {
                tracing::debug!(reason = end.name(), "a browser did not take its close frame");
            }
        }
        end
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        let (config, shutdown) = (&self.room.config, self.room.shutdown.clone());
        let hello = Answer::Hello {
            version: 1,
            updates_per_s: config.updates_per_s,
            subscriptions_max: config.subscriptions_max,
        };
        let ping_interval = std::time::Duration::from_millis(config.ping_interval_ms);
        let mut pulse = interval_at(tokio::time::Instant::now() + ping_interval, ping_interval);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut moves, mut states) = (self.room.moved.subscribe(), self.room.state.subscribe());
        let mut unanswered = 0;
        self.answer(&hello).await?;
        states.mark_changed();
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    unanswered = 0;
                    let message = message.ok_or(End::Left)?.map_err(|_| End::Protocol)?;
                    self.hear(message).await?;
                }
                Ok(()) = moves.changed() => self.update().await?,
                Ok(()) = states.changed() => {
                    if !self.room.gate.renew(&mut self.viewer) {
                        return Err(End::Withdrawn);
                    }
                    let state = states.borrow_and_update().clone();
                    if !state.is_empty() {
                        self.send(Message::Text(state)).await?;
                    }
                }
                _ = pulse.tick() => {
                    if unanswered >= self.room.config.pings_unanswered_max {
                        return Err(End::Silent);
                    }
                    unanswered += 1;
                    self.send(Message::Ping(Bytes::new())).await?;
                }
                () = shutdown.reached(Phase::Draining) => return Err(End::Stopping),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        if matches!(message, Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Binary(_))
            && !self.requests.take(self.room.clock.now_ns())
        {
            return Err(End::TooMany);
        }
        let text = match message {
            Message::Text(text) if text.len() > self.room.config.message_bytes_max => {
                return Err(End::TooLong);
            }
            Message::Text(text) => text,
            Message::Binary(_) => {
                return self.refuse(Refusal::NotText, "expected JSON as text".to_owned()).await;
            }
            Message::Close(_) => return Err(End::Left),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        match Request::parse(&text) {
            Ok(Request::Subscribe { codes, want }) => self.subscribe(&codes, &want).await,
            Ok(Request::Unsubscribe { codes }) => {
                for code in &codes {
                    self.subscriptions.remove(code);
                }
                self.subscribed().await
            }
            Ok(Request::Search { text }) => self.search(&text).await,
            Ok(Request::Ping { id }) => self.answer(&Answer::Pong { id }).await,
            Err(problem) => self.refuse(Refusal::Malformed, problem).await,
        }
    }

    /// Each code for itself: one that cannot be had keeps no other away.
    async fn subscribe(&mut self, codes: &[String], want: &[Part]) -> Result<(), End> {
        let all = [Part::Snapshot, Part::Depth, Part::Trade, Part::Line];
        for text in codes {
            let Ok(code) = text.parse::<Code>() else {
                self.refuse(Refusal::BadCode, format!("{text:?}: expected a code such as 000001.SZ")).await?;
                continue;
            };
            let name = code.to_string();
            let beyond = want.iter().any(|part| !part.is_for(self.viewer.sees_ticks()));
            let known = self.subscriptions.contains_key(&name);
            if beyond || !self.viewer.may_see(&code) {
                self.refuse(Refusal::NotEntitled, format!("{name}: not in this account's right")).await?;
            } else if !known && self.subscriptions.len() >= self.room.config.subscriptions_max {
                let most = self.room.config.subscriptions_max;
                self.refuse(Refusal::TooMany, format!("{name}: at most {most} securities at a time")).await?;
            } else {
                let parts =
                    all.iter().filter(|part| want.is_empty() || want.contains(part)).copied().collect();
                let subscription = Subscription { parts, told: Versions::default(), line: None };
                self.subscriptions.insert(name, (code, subscription));
            }
        }
        self.subscribed().await?;
        self.update().await
    }

    async fn subscribed(&mut self) -> Result<(), End> {
        let codes = self.subscriptions.keys().cloned().collect();
        self.answer(&Answer::Subscribed { codes }).await
    }

    async fn search(&mut self, text: &str) -> Result<(), End> {
        let end = (0..=SEARCH_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        let text = &text[..end.unwrap_or(0)];
        let room = self.room.clone();
        let name = |code: &Code| room.names.get(code).map(String::as_str);
        let mut found: Vec<(String, Option<&str>)> = {
            let market = room.market.borrow();
            let seen = market.items().iter().filter(|item| self.viewer.may_see(&item.code));
            let named = seen.map(|item| (item.code.to_string(), name(&item.code)));
            let wanted = |(code, name): &(String, Option<&str>)| {
                code.starts_with(text) || name.is_some_and(|name| name.contains(text))
            };
            named.filter(wanted).collect()
        };
        found.sort_unstable();
        let more = found.len().saturating_sub(FOUND_MAX);
        found.truncate(FOUND_MAX);
        self.answer(&Answer::Codes { text, codes: found, more }).await
    }

    /// Tells what is new of what is subscribed to, in one message.
    async fn update(&mut self) -> Result<(), End> {
        let mut batch = Batch::new(self.form);
        let room = self.room.clone();
        {
            let market = room.market.borrow();
            let ticks = self.viewer.sees_ticks();
            // A right may have changed since it was asked for.
            let seen = self.subscriptions.values_mut().filter(|(code, _)| self.viewer.may_see(code));
            for (code, subscription) in seen {
                let Some(item) = market.place(code).map(|place| &market.items()[place]) else { continue };
                let name = room.names.get(code).map(String::as_str);
                subscription.tell(item, name, ticks, &mut batch);
            }
        }
        match batch.end() {
            Some(message) => self.send(message).await,
            None => Ok(()),
        }
    }

    async fn refuse(&mut self, refusal: Refusal, text: String) -> Result<(), End> {
        self.room.metrics.errors.with_label_values(&[refusal.code()]).inc();
        self.answer(&Answer::Error { code: refusal.code(), text }).await
    }

    async fn answer(&mut self, answer: &Answer<'_>) -> Result<(), End> {
        let text = serde_json::to_string(&[answer]).expect("invariant: what is answered is JSON");
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let bytes = match &message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        match timeout(self.room.config.send_timeout(), self.socket.send(message)).await {
            Ok(Ok(())) => {
                self.room.metrics.sent.inc();
                self.room.metrics.sent_bytes.inc_by(bytes as u64);
                Ok(())
            }
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow),
        }
    }
}

impl Subscription {
    /// Writes what has changed since it was told last; without ticks, of what the exchange's snapshots say alone.
    fn tell(&mut self, item: &Item, name: Option<&str>, ticks: bool, batch: &mut Batch) {
        let (now, told) = (item.versions, self.told);
        let shot_is_new = now.shot != told.shot;
        let (quote, quote_is_new, depth, depth_is_new) = match ticks {
            true => (item.quote, now.quote != told.quote, item.depth(), now.depth != told.depth),
            false => (item.shot.quote, shot_is_new, &item.shot, shot_is_new),
        };
        for part in self.parts.iter().filter(|part| part.is_for(ticks)) {
            match part {
                Part::Snapshot if quote_is_new => {
                    let (code, lag_ms) = (item.code, quote.lag_ms());
                    batch.add(&Event::Snapshot(Shown { code, name, quote, lag_ms }));
                }
                Part::Depth if depth_is_new => batch.add(&Event::Depth(Depth::of(item.code, depth))),
                Part::Trade if now.trades != told.trades => {
                    batch.add(&Event::Trade(Trades::after(item, told.trades)));
                }
                Part::Line if now.line != told.line => {
                    batch.add(&Event::Line(LinePart::after(item, self.line)));
                    self.line = item.line.points().last().map(|point| (item.line.width_s(), point.at_s));
                }
                _ => {}
            }
        }
        self.told = now;
    }
}

/// Events on their way into one message.
struct Batch {
    form: Form,
    bytes: Vec<u8>,
}

impl Batch {
    fn new(form: Form) -> Self {
        Self { form, bytes: Vec::new() }
    }

    fn add(&mut self, event: &Event<'_>) {
        match self.form {
            Form::Binary => binary::write(event, &mut self.bytes),
            Form::Json => {
                self.bytes.push(if self.bytes.is_empty() { b'[' } else { b',' });
                serde_json::to_writer(&mut self.bytes, event).expect("invariant: an event is JSON");
            }
        }
    }

    fn end(mut self) -> Option<Message> {
        if self.bytes.is_empty() {
            return None;
        }
        Some(match self.form {
            Form::Binary => Message::Binary(self.bytes.into()),
            Form::Json => {
                self.bytes.push(b']');
                let text = Utf8Bytes::try_from(Bytes::from(self.bytes)).expect("invariant: JSON is UTF-8");
                Message::Text(text)
            }
        })
    }
}
