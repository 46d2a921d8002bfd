//! The routes of the admin port.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use service::admin::{echo, list};

use crate::control::{Control, ControlError, ReloadError};
use crate::live::{Applied, ApplyError};

/// What `GET /` lists of a balancer.
const PATHS: &str = "\
GET /backends  state, weight and connections of each backend
POST /backends/POOL/BACKEND/weight  sets a weight: {\"weight\": 50}, as application/json
POST /backends/POOL/BACKEND/drain  takes a backend out or in: {\"draining\": true}, as application/json
GET /config  the configuration in force, as JSON
POST /config  takes over a whole configuration, in TOML; the file stays as it is
POST /reload  takes over the configuration's file
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    weight: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    draining: bool,
}

/// `GET /backends`, `POST /backends/{pool}/{backend}/weight` with `{"weight": 50}` and
/// `POST /backends/{pool}/{backend}/drain` with `{"draining": true}`; `GET /config` (what is in force, as
/// JSON), `POST /config` (a whole configuration in TOML is taken over; the file stays as it is) and
/// `POST /reload` (the file is).
pub(crate) fn routes(control: Control) -> Router {
    Router::new()
        .route("/backends", get(|Shared(control): Shared<Control>| async move { Json(control.pools()) }))
        .route("/backends/{pool}/{backend}/weight", post(post_weight))
        .route("/backends/{pool}/{backend}/drain", post(post_drain))
        .route("/config", get(|Shared(control): Shared<Control>| async move { Json(control.config()) }))
        .route("/config", post(post_config))
        .route("/reload", post(|Shared(control): Shared<Control>| async move { applied(control.reload()) }))
        .with_state(control)
        .merge(list(PATHS))
}

async fn post_config(Shared(control): Shared<Control>, text: String) -> Response {
    applied(control.apply_text(&text, "configuration"))
}

/// What was taken over, or why nothing was.
fn applied(outcome: Result<Applied, ReloadError>) -> Response {
    let error = match outcome {
        Ok(applied) => return Json(applied).into_response(),
        Err(error) => error,
    };
    let status = match &error {
        ReloadError::File(_) | ReloadError::Apply { error: ApplyError::Config(_), .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ReloadError::NoFile | ReloadError::Apply { .. } => StatusCode::CONFLICT,
    };
    (status, format!("{error}\n")).into_response()
}

type Target = Path<(String, String)>;

async fn post_weight(
    Shared(control): Shared<Control>,
    Path((pool, backend)): Target,
    Json(wanted): Json<Weight>,
) -> Response {
    answer(&control, &pool, &backend, control.set_weight(&pool, &backend, wanted.weight))
}

async fn post_drain(
    Shared(control): Shared<Control>,
    Path((pool, backend)): Target,
    Json(wanted): Json<Drain>,
) -> Response {
    answer(&control, &pool, &backend, control.set_draining(&pool, &backend, wanted.draining))
}

/// The backend as it is after the change, or why there was none.
fn answer(control: &Control, pool: &str, backend: &str, changed: Result<(), ControlError>) -> Response {
    match changed.and_then(|()| control.backend(pool, backend)) {
        Ok(view) => Json(view).into_response(),
        Err(error @ ControlError::Unknown) => {
            let text = format!("{error}: {}/{} (GET /backends lists them)\n", echo(pool), echo(backend));
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(error @ ControlError::Weight) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response()
        }
    }
}
