//! What the port for browsers answers: the page, and the WebSocket at `/ws`.

use crate::web::assets;
use crate::web::client::Form;
use crate::web::config::Web;
use crate::web::entitlement::{Gate, Viewer};
use crate::web::metrics::Metrics;
use crate::web::origin;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Body};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use transport::Stream;

/// The subprotocols, the preferred one first.
const JSON: &str = "tongdao.v1.json";
const BINARY: &str = "tongdao.v1.binary";

/// Largest request head and read buffer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long the head of a request may take, and then all of its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What a WebSocket reads, and writes, at a time.
const BUFFER_BYTES: usize = 8 << 10;
/// A message of so many times the longest one ends the connection unread.
const FAR_TOO_LONG: usize = 4;

/// A connection's place among those that may be open.
type Slot = Arc<OwnedSemaphorePermit>;

/// A browser that has come.
pub(super) struct Arrival {
    pub(super) socket: WebSocket,
    pub(super) viewer: Viewer,
    pub(super) form: Form,
    pub(super) slot: Slot,
}

/// What it takes to let browsers in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) config: Arc<Web>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Metrics,
    pub(super) arrivals: mpsc::Sender<Arrival>,
}

pub(super) fn router(door: Door) -> Router {
    Router::new()
        .route("/ws", get(upgrade))
        .merge(assets::routes())
        .layer(middleware::from_fn_with_state(door.clone(), guard))
        .with_state(door)
}

/// Serves one connection: a request, or a WebSocket, which goes on elsewhere.
pub(super) async fn serve(stream: Stream, router: Router, slot: OwnedSemaphorePermit) {
    let router = router.layer(Extension(Arc::new(slot)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    match tokio::time::timeout(HEAD_TIMEOUT + ANSWER_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a browser's connection"),
        Err(_) => tracing::debug!("a browser's connection was cut: it does not read"),
    }
}

/// Only known accounts, and on every answer what browsers are to keep to.
async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let mut response = if door.gate.knows(request.headers()) {
        next.run(request).await
    } else {
        door.metrics.refused.with_label_values(&["account"]).inc();
        let basic = HeaderValue::from_static("Basic realm=\"quotes\", charset=\"UTF-8\"");
        let ask = [(header::WWW_AUTHENTICATE, basic)];
        (StatusCode::UNAUTHORIZED, ask, "an account of this feed is needed\n").into_response()
    };
    response.headers_mut().extend(assets::HEADERS);
    response
}

async fn upgrade(
    State(door): State<Door>,
    Extension(slot): Extension<Slot>,
    upgrade: WebSocketUpgrade,
    request: axum::http::Request<Body>,
) -> Response {
    if !origin::may_connect(request.headers(), &door.config.origins) {
        door.metrics.refused.with_label_values(&["origin"]).inc();
        return (StatusCode::FORBIDDEN, "not for this page\n").into_response();
    }
    let viewer = match door.gate.admit(request.headers()) {
        Ok(viewer) => viewer,
        Err(refusal) => {
            door.metrics.refused.with_label_values(&[refusal]).inc();
            return (StatusCode::FORBIDDEN, refusal).into_response();
        }
    };
    let longest = door.config.message_bytes_max * FAR_TOO_LONG;
    let upgrade = upgrade
        .protocols([JSON, BINARY])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(longest)
        .max_frame_size(longest);
    let binary = upgrade.selected_protocol().is_some_and(|protocol| protocol == BINARY);
    let form = if binary { Form::Binary } else { Form::Json };
    upgrade.on_upgrade(move |socket| async move {
        // The hub has ended: so has the connection.
        if door.arrivals.send(Arrival { socket, viewer, form, slot }).await.is_err() {
            tracing::debug!("a browser came as the feed ended");
        }
    })
}
