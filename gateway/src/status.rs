//! What the operator's port shows: GET `/sessions` and `/lines`, as JSON.

use crate::app::{Command, Gateway, LOG};
use crate::route::Core;
use crate::takeover::{Switch, SwitchError};
use crate::upstream::LINE_NAMES;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use service::admin::{Operator, echo};
use shard::{Cx, Handle, Reason};
use std::net::SocketAddr;
use tokio::sync::oneshot;

/// Sessions shown unless `?count_max=` says otherwise: they are listed between two turns of the hot thread.
const SESSIONS_SHOWN: usize = 1_000;

/// A client's session as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionStatus {
    /// `binary` or `fix`.
    pub(crate) protocol: &'static str,
    /// Its address.
    pub(crate) peer: SocketAddr,
    /// SenderCompID of its logon; empty before that.
    pub(crate) comp_id: String,
    /// `not synchronised`, `waiting` or `following`; by FIX `away`, `behind` or `following`.
    pub(crate) reports: &'static str,
    /// How long it is connected, seconds.
    pub(crate) age_s: u64,
    /// Orders and cancels forwarded.
    pub(crate) requests: u64,
    /// Requests refused.
    pub(crate) refused: u64,
    /// Entries of the log that it was not sent yet.
    pub(crate) behind: u64,
}

/// A line as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LineStatus {
    /// The core.
    core: &'static str,
    /// `a` or `b`.
    line: &'static str,
    /// Where it ends.
    address: SocketAddr,
    /// `waiting`, `dialling`, `logging on`, `up`, or `out` (by the operator's word).
    state: &'static str,
    /// Whether requests and reports go over it.
    active: bool,
    /// Why it was not up last; empty while it is.
    last_error: String,
    /// Bytes that wait to be written to it.
    waiting_bytes: usize,
    /// Bytes of the last second.
    sent_bytes_per_s: u64,
    received_bytes_per_s: u64,
    /// Bytes since the start.
    sent_bytes: u64,
    received_bytes: u64,
    /// Requests under way to the core, over any line.
    in_flight: usize,
    /// The core's partitions, over whichever line they come.
    partitions: Vec<PartitionStatus>,
}

#[derive(Clone, Debug, Serialize)]
struct PartitionStatus {
    /// PartitionNo as clients see it.
    partition_no: u16,
    /// The ReportIndex that comes next.
    next: u64,
}

impl Gateway {
    pub(crate) fn session_statuses(&mut self, cx: &Cx, count_max: usize) -> Vec<SessionStatus> {
        let mut all = Vec::new();
        for index in 0..self.peers.len() {
            if all.len() == count_max {
                break;
            }
            let Some((id, client)) = self.peers.client_at(index) else { continue };
            let comp_id = client.comp.map(|comp_no| self.desk.accounts[comp_no].comp_id.to_string());
            all.push(SessionStatus {
                protocol: "binary",
                peer: client.peer,
                comp_id: comp_id.unwrap_or_default(),
                reports: client.following.name(),
                age_s: (cx.now_ns() - client.since_ns) / 1_000_000_000,
                requests: client.requests,
                refused: client.refused,
                behind: cx.behind(id).min(cx.log(LOG).end()),
            });
        }
        let left = count_max.saturating_sub(all.len());
        all.extend(self.fix.statuses(cx.now_ns()).take(left));
        all
    }

    pub(crate) fn line_statuses(&self, cx: &Cx) -> Vec<LineStatus> {
        let mut all = Vec::new();
        for (upstream, core) in self.lines.by_core.iter().zip(Core::ALL) {
            let Some(upstream) = upstream else { continue };
            let lanes = || upstream.link.lanes();
            for (wire, line) in upstream.wires.iter().zip(LINE_NAMES) {
                all.push(LineStatus {
                    core: core.name(),
                    line,
                    address: wire.address,
                    state: if wire.closed_by_operator { "out" } else { wire.line.state() },
                    active: wire.works(),
                    last_error: wire.last_error.clone(),
                    waiting_bytes: wire.waiting_bytes(cx),
                    sent_bytes_per_s: wire.sent.per_s,
                    received_bytes_per_s: wire.received.per_s,
                    sent_bytes: wire.sent.total(),
                    received_bytes: wire.received.total(),
                    in_flight: upstream.flight.len(),
                    partitions: lanes()
                        .map(|(partition_no, next)| PartitionStatus { partition_no, next })
                        .collect(),
                });
            }
        }
        all
    }
}

/// Why a line ended, in words.
pub(crate) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::PeerClosed => "closed by the core",
        Reason::Io(_) => "connection failed",
        Reason::Tls(text) => text,
        Reason::OutboundFull => "outbound full",
        Reason::InboundFull => "frame too large",
        Reason::Overrun => "overrun",
        Reason::App(text) => text,
        Reason::Stopped => "gateway stopped",
    }
}

/// Answers who asked, if it still waits.
pub(crate) fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("nobody waits for this answer any more");
    }
}

#[derive(Deserialize)]
struct Shown {
    count_max: Option<usize>,
}

/// What a gateway adds to the operator's port.
pub(crate) fn routes(gateway: Handle<Command>) -> Router {
    Router::new()
        .route("/sessions", get(sessions))
        .route("/lines", get(lines))
        .route("/lines/{core}/{line}/{switch}", post(switch_line))
        .with_state(gateway)
}

#[derive(Deserialize)]
struct Force {
    #[serde(default)]
    force: bool,
}

/// POST `/lines/CORE/LINE/activate`, `down` or `up`; says what was done.
async fn switch_line(
    State(gateway): State<Handle<Command>>,
    Extension(operator): Extension<Operator>,
    Path((core, line, named)): Path<(String, String, String)>,
    Query(Force { force: forced }): Query<Force>,
) -> Result<String, (StatusCode, String)> {
    let unknown = || {
        let text = format!("no line \"{}/{}\" (GET /lines lists them)\n", echo(&core), echo(&line));
        (StatusCode::NOT_FOUND, text)
    };
    let at = LINE_NAMES.iter().position(|name| *name == line).ok_or_else(unknown)?;
    let core = Core::ALL.into_iter().find(|other| other.name() == core).ok_or_else(unknown)?;
    let switch = match named.as_str() {
        "activate" => Switch::Activate,
        "down" => Switch::Down { forced },
        "up" => Switch::Up,
        _ => return Err((StatusCode::NOT_FOUND, "expected activate, down or up\n".to_owned())),
    };
    let what = format!("line {} {line} {named}{}", core.name(), if forced { ", forced" } else { "" });
    let done = format!("{what}: done\n");
    let switched = ask(&gateway, |reply| {
        Command::Do(Box::new(move |gateway, cx| {
            let switched = gateway.switch_line(cx, (core, at), switch).map_err(told);
            let status = switched.as_ref().map_or_else(|(status, _)| *status, |()| StatusCode::OK);
            gateway.note(cx, &operator, &what, status);
            answer(reply, switched);
        }))
    });
    let switched = switched.await.map_err(|(status, text)| (status, text.to_owned()))?;
    switched.map(|()| done)
}

/// How a switch that was not made is answered.
fn told(error: SwitchError) -> (StatusCode, String) {
    let status = match error {
        SwitchError::NoSuchLine => StatusCode::NOT_FOUND,
        SwitchError::NotLoggedOn | SwitchError::BothActive | SwitchError::LastOne => StatusCode::CONFLICT,
    };
    (status, format!("{error}\n"))
}

async fn sessions(
    State(gateway): State<Handle<Command>>,
    Query(shown): Query<Shown>,
) -> Result<Json<Vec<SessionStatus>>, Unanswered> {
    let count_max = shown.count_max.unwrap_or(SESSIONS_SHOWN);
    ask(&gateway, |reply| Command::Sessions(count_max, reply)).await.map(Json)
}

async fn lines(State(gateway): State<Handle<Command>>) -> Result<Json<Vec<LineStatus>>, Unanswered> {
    ask(&gateway, Command::Lines).await.map(Json)
}

/// Why the hot thread gave no answer, to be said to who asked.
pub(crate) type Unanswered = (StatusCode, &'static str);

/// Asks the hot thread; it answers between two turns.
pub(crate) async fn ask<T>(
    gateway: &Handle<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Unanswered> {
    let (reply, answer) = oneshot::channel();
    gateway.send(command(reply)).map_err(|_| (StatusCode::TOO_MANY_REQUESTS, "too many commands wait\n"))?;
    answer.await.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending\n"))
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
        let gateway = Handle::new(&limits);
        assert_eq!(told(ask(&gateway, Command::Lines)), None, "it waits");
        let refused = (StatusCode::TOO_MANY_REQUESTS, "too many commands wait\n");
        assert_eq!(told(ask(&gateway, Command::Lines)), Some(refused));
        // A command that is dropped, as at the end.
        let gateway = Handle::new(&limits);
        let dropped = |reply: oneshot::Sender<()>| {
            drop(reply);
            Command::Lines(oneshot::channel().0)
        };
        let ending = (StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending\n");
        assert_eq!(told(ask(&gateway, dropped)), Some(ending));
    }
}
