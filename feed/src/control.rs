//! The operator's commands: which source is used. Cold: the shard with the sources is asked between two of its turns.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /sources/{name}/prefer` | makes it the primary (`arbitration.mode = "standby"`) |
//! | `POST /sources/{name}/down` | leaves it, and dials it no more |
//! | `POST /sources/{name}/up` | dials it again |

use crate::app::Command;
use crate::status::{Shards, ask};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use service::admin::Operator;

/// What is to be done with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// Be the primary.
    Prefer,
    /// Be left.
    Down,
    /// Be dialled again.
    Up,
}

/// Why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoSuchSource,
    /// All sources are used all the time.
    Arbitrated,
    /// It is used when there is no other.
    OwnNumbers,
    /// What is to be preferred is not connected.
    NotUp,
    /// No other source is connected.
    LastOne,
}

impl Refused {
    const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSuchSource => (StatusCode::NOT_FOUND, "no such source\n"),
            Self::Arbitrated => (
                StatusCode::CONFLICT,
                "arbitration.mode is \"arbitrated\": every source is used, whichever is first; take one down instead\n",
            ),
            Self::OwnNumbers => (
                StatusCode::CONFLICT,
                "it numbers in its own way, and is used when no other source lives; take the others down instead\n",
            ),
            Self::NotUp => (StatusCode::CONFLICT, "it is not up\n"),
            Self::LastOne => (StatusCode::CONFLICT, "no other source is up\n"),
        }
    }
}

type Answer = Result<&'static str, (StatusCode, &'static str)>;

/// What a feed adds to the operator's port for commands.
pub(crate) fn routes(shards: Shards) -> Router {
    Router::new().route("/sources/{name}/{switch}", post(switch)).with_state(shards)
}

async fn switch(
    State(shards): State<Shards>,
    Extension(operator): Extension<Operator>,
    Path((name, switch)): Path<(String, String)>,
) -> Answer {
    let (switch, done) = match switch.as_str() {
        "prefer" => (Switch::Prefer, "preferred\n"),
        "down" => (Switch::Down, "down\n"),
        "up" => (Switch::Up, "up\n"),
        _ => return Err((StatusCode::NOT_FOUND, "expected prefer, down or up\n")),
    };
    let shown = name.clone();
    let answer = ask(&shards[0], |reply| Command::Switch(switch, name, reply)).await;
    let outcome = answer.map_err(|status| (status, "the feed does not answer\n"))?;
    tracing::warn!(operator = operator.0, source = shown, ?switch, ?outcome, "source by the operator");
    outcome.map(|()| done).map_err(Refused::answer)
}
