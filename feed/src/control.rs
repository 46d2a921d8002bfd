//! The operator's commands: which source is used. Cold: the shard with the sources is asked between two of its turns.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /` | lists the paths, those for looking too |
//! | `POST /sources/{name}/prefer` | makes it the primary (`arbitration.mode = "standby"`) |
//! | `POST /sources/{name}/down` | leaves it, and dials it no more |
//! | `POST /sources/{name}/up` | dials it again |

use crate::app::Command;
use crate::status::{Shards, ask};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use service::admin::{Operator, echo};

/// What `GET /` lists of a feed.
const PATHS: &str = "\
GET /sources  sources and channels
GET /subscribers  subscribers, and how far each is behind (?count_max=N)
GET /book  the book of a security (?security=ID, &source=ID, &levels=N)
POST /sources/NAME/prefer  makes a source the primary
POST /sources/NAME/down  leaves it, and dials it no more
POST /sources/NAME/up  dials it again
";

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
    fn answer(self, name: &str) -> (StatusCode, String) {
        let text = match self {
            Self::NoSuchSource => {
                let text = format!("no source \"{}\" (GET /sources lists them)\n", echo(name));
                return (StatusCode::NOT_FOUND, text);
            }
            Self::Arbitrated => {
                "arbitration.mode is \"arbitrated\": every source is used, whichever is first; take one down instead\n"
            }
            Self::OwnNumbers => {
                "it numbers in its own way, and is used when no other source lives; take the others down instead\n"
            }
            Self::NotUp => "it is not up\n",
            Self::LastOne => "no other source is up\n",
        };
        (StatusCode::CONFLICT, text.to_owned())
    }
}

type Answer = Result<&'static str, (StatusCode, String)>;

/// What a feed adds to the operator's port for commands, and the list of all that it adds.
pub(crate) fn routes(shards: Shards) -> Router {
    Router::new()
        .route("/sources/{name}/{switch}", post(switch))
        .with_state(shards)
        .merge(service::admin::list(PATHS))
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
        _ => return Err((StatusCode::NOT_FOUND, "expected prefer, down or up\n".to_owned())),
    };
    let shown = name.clone();
    let answer = ask(&shards[0], |reply| Command::Switch(switch, name, reply)).await;
    let outcome = answer.map_err(|(status, text)| (status, text.to_owned()))?;
    tracing::warn!(operator = operator.0, source = shown, ?switch, ?outcome, "source by the operator");
    outcome.map(|()| done).map_err(|refused| refused.answer(&shown))
}
