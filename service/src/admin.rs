//! The admin port: `/live`, `/ready`, `/metrics` and what the server adds, over HTTP/1; `GET /` lists all of it.
//!
//! Cold by construction: a thread and a runtime of its own. It is meant for the operator's network
//! and has no authentication but what a server asks [`Operators`] for, so it listens on the loopback address unless told
//! otherwise, and
//! refuses changes that a web page asks for (any request but GET with an Origin header).

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use crate::config::Invalid;
use crate::host::Host;
use crate::shutdown::{Phase, Shutdown};

mod connection;
mod operators;
mod tokens;

pub use operators::{Operator, Operators};

/// Largest request body: admin requests are a few words of JSON.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A pause after a failed accept, so that running out of files does not become a busy loop.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Characters of a request that an answer says back, at most.
const ECHO_CHARS_MAX: usize = 64;
/// What `GET /` lists of every server.
const OWN_PATHS: &str = "\
GET /live  the process lives
GET /ready  200 when it is ready, otherwise 503 and why not
GET /metrics  counters and gauges, for Prometheus
";

/// The `[admin]` section of a server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections at a time; one more is closed at once.
    pub connections_max: usize,
    /// How long a request may take to be answered, and its head to arrive.
    pub request_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), connections_max: 64, request_timeout_ms: 5_000 }
    }
}

/// Asks the admin port of a server, that of another process, for `/ready`; returns what it says.
///
/// # Errors
/// When it cannot be reached or is not ready: with what it says.
pub fn ask_ready(config: &Config) -> anyhow::Result<String> {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    let timeout = Duration::from_millis(config.request_timeout_ms.max(1));
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: ready\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(BODY_BYTES_MAX as u64).read_to_end(&mut answer)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().with_context(|| format!("the admin port at {address} does not answer"))?;
    let said = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200 "), "not ready: {said}");
    Ok(said.to_owned())
}

/// The route `GET /` of a server that adds others: `paths` has a line for each of those, METHOD PATH and what it does,
/// and those of every server follow. It is seen by whoever may see the routes that it is merged with.
pub fn list(paths: &'static str) -> Router {
    Router::new().route("/", get(move || async move { format!("{paths}{OWN_PATHS}") }))
}

/// What somebody asked for, fit to be said back: of bounded length, and control characters are escaped.
#[must_use]
pub fn echo(asked: &str) -> String {
    let mut shown: String = asked.chars().take(ECHO_CHARS_MAX).flat_map(char::escape_debug).collect();
    if asked.chars().nth(ECHO_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A bound admin port, not yet served.
pub struct Admin {
    listener: StdListener,
    config: Config,
    shutdown: Shutdown,
    registry: Registry,
    ready: ReadyCheck,
    routes: Router,
}

impl Admin {
    /// Binds the port.
    ///
    /// # Errors
    /// When the address cannot be bound: with it, and with the key of the configuration.
    pub fn bind(config: &Config, host: &Host) -> Result<Self, Invalid> {
        let bound = StdListener::bind(config.listen).and_then(|listener| Self::over(listener, config, host));
        bound.map_err(|error| {
            let told = format!("cannot listen on {}: {error}", config.listen);
            Invalid::listen("admin.listen", &io::Error::new(error.kind(), told))
        })
    }

    /// Serves on a socket that listens already, such as that of a process that hands over.
    ///
    /// # Errors
    /// What the system says.
    pub fn over(listener: StdListener, config: &Config, host: &Host) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            config: config.clone(),
            shutdown: host.shutdown.clone(),
            registry: host.registry.clone(),
            ready: Arc::new(|| Ok(())),
            routes: Router::new(),
        })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The listening socket once more, for a process that takes over.
    ///
    /// # Errors
    /// What the system says.
    pub fn share(&self) -> io::Result<StdListener> {
        self.listener.try_clone()
    }

    /// Says when the server is ready, or why not: `/ready` answers 200, or 503 with the reason.
    /// A server that drains is not ready whatever this says.
    #[must_use]
    pub fn ready(mut self, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready = Arc::new(check);
        self
    }

    /// Adds the server's own routes, [`list`] among them.
    #[must_use]
    pub fn routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Serves on a thread of its own until the answer is dropped.
    ///
    /// # Errors
    /// When the system refuses the thread or its runtime.
    pub fn start(self) -> io::Result<Serving> {
        let address = self.address()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = self.serve() => {}
                    _ = stopped => {}
                }
            });
        })?;
        tracing::info!(%address, "admin port");
        Ok(Serving { address, stop: Some(stop), thread: Some(thread) })
    }

    async fn serve(self) {
        let timeout = Duration::from_millis(self.config.request_timeout_ms);
        let slots = Arc::new(Semaphore::new(self.config.connections_max));
        let router = self
            .routes
            .merge(own_routes(self.shutdown, self.registry, self.ready))
            .fallback(unknown)
            .layer(middleware::from_fn_with_state(timeout, guard));
        let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        // Around the whole of it: which methods a path has is not known within its layers.
        let router = Router::new().fallback_service(router).layer(middleware::from_fn(explain));
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "admin port cannot be served"),
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Without a free slot the connection is dropped here, which closes it.
                    if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
                        tokio::spawn(connection::serve(stream, router.clone(), timeout, slot));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "admin port: accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

/// A served admin port; dropping it ends it.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the admin thread had panicked");
        }
    }
}

fn own_routes(shutdown: Shutdown, registry: Registry, check: ReadyCheck) -> Router {
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(move || std::future::ready(readiness(&shutdown, &check))))
        .route("/metrics", get(move || std::future::ready(metrics(&registry))))
}

fn readiness(shutdown: &Shutdown, check: &ReadyCheck) -> Response {
    let ready = match shutdown.phase() {
        Phase::Running => check(),
        phase => Err(phase.name().to_owned()),
    };
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

fn metrics(registry: &Registry) -> Response {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], crate::metrics::text(registry)).into_response()
}

/// A path that there is not; of a server without routes of its own, the list too.
async fn unknown(method: Method, uri: Uri) -> Response {
    if uri.path() == "/" && matches!(method, Method::GET | Method::HEAD) {
        return OWN_PATHS.into_response();
    }
    let text = format!("no such path: {} (GET / lists what there is)\n", echo(uri.path()));
    (StatusCode::NOT_FOUND, text).into_response()
}

/// Says which methods a path has to who asked by another one.
async fn explain(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let Some(allow) = response.headers().get(header::ALLOW).cloned() else { return response };
    let methods = allow.to_str().unwrap_or_default().split(',').filter(|method| *method != "HEAD");
    let text = format!("use {}\n", methods.collect::<Vec<_>>().join(" or "));
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)], text).into_response()
}

/// Bounds the time of every request, and keeps web pages from changing anything.
async fn guard(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    if request.method() != Method::GET && request.headers().contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "not from a web page\n").into_response();
    }
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => end_line(response).await,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "took too long\n").into_response(),
    }
}

/// JSON ends with a newline, so that a terminal's prompt does not stand behind it.
async fn end_line(response: Response) -> Response {
    let json = header::HeaderValue::from_static("application/json");
    if response.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => {
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, [&bytes[..], b"\n"].concat().into())
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
