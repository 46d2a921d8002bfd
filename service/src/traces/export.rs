//! The thread that posts spans to the collector: batch by batch, with deadlines, and a bound on how often each is tried.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::otlp::Encoder;
use super::{Config, Metrics, Shared, Span};
use crate::shutdown::{Phase, Shutdown};

/// Spans of one post: with all of their attributes about half a megabyte.
const BATCH_SPANS_MAX: usize = 512;
/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The pause before a batch is tried again; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause, though the collector asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a server that drains is looked at for whether its other threads have ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long the other threads of a server that is told to stop are waited for.
const OTHERS: Duration = Duration::from_secs(1);
/// How long the last posts of a server that ends may take, all together.
const LAST: Duration = Duration::from_secs(2);

/// Where spans are posted.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// For the header `host`.
    pub(super) authority: String,
    pub(super) path: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) config: Config,
    pub(super) target: Target,
    pub(super) encoder: Encoder,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
    /// The log has it that the collector takes nothing.
    pub(super) said_failing: bool,
}

/// What a collector has said to a post.
enum Answer {
    /// It has taken all but so many.
    Taken { refused: u64 },
    /// It may take it later; not before that, where it says so.
    Later(StatusCode, Option<Duration>),
    /// It does not take it.
    Never(StatusCode),
}

impl Exporter {
    pub(super) fn run(mut self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let shutdown = self.shutdown.clone();
            let late = async {
                ended(&shutdown).await;
                sleep(LAST).await;
            };
            tokio::select! {
                () = self.post_until_the_end() => {}
                () = late => tracing::warn!("the collector of traces has not taken all in time"),
            }
            self.metrics.dropped.with_label_values(&["no collector"]).inc_by(self.shared.queue.len() as u64);
        });
        Ok(())
    }

    /// Posts what comes, and last what the server's other threads have left.
    async fn post_until_the_end(&mut self) {
        let interval = Duration::from_millis(self.config.interval_ms);
        while !self.pause(interval).await {
            self.post_all().await;
        }
        self.post_all().await;
    }

    /// Waits, but not beyond the end of the server's other threads; whether that has come.
    async fn pause(&self, pause: Duration) -> bool {
        timeout(pause, ended(&self.shutdown)).await.is_ok()
    }

    /// Posts what is queued.
    async fn post_all(&mut self) {
        // As much as is there now: what comes meanwhile has its own turn.
        let mut rest = self.shared.queue.len();
        while rest > 0 {
            let spans: Vec<Span> =
                std::iter::from_fn(|| self.shared.queue.pop()).take(rest.min(BATCH_SPANS_MAX)).collect();
            rest -= spans.len().max(1);
            let batch = Batch { spans: spans.len(), metrics: self.metrics.clone() };
            self.post_batch(self.encoder.request(&spans), batch).await;
        }
    }

    /// Posts a batch, again where that may help.
    async fn post_batch(&mut self, body: Vec<u8>, batch: Batch) {
        let body = axum::body::Bytes::from(body);
        let mut pause = PAUSE_FIRST;
        for attempt in 1..=self.config.attempts_max {
            let limit = Duration::from_millis(self.config.timeout_ms);
            let answer = match timeout(limit, post(&self.target, body.clone())).await {
                Ok(answer) => answer,
                Err(_) => Err(anyhow::anyhow!("took longer than {limit:?}")),
            };
            let asked_for = match answer {
                Ok(Answer::Taken { refused }) => {
                    if std::mem::take(&mut self.said_failing) {
                        tracing::info!(
                            endpoint = self.config.endpoint,
                            "the collector of traces takes spans again"
                        );
                    }
                    return batch.taken(refused);
                }
                Ok(Answer::Never(status)) => {
                    self.failed(&format!("answers {status}"));
                    return batch.refused();
                }
                Ok(Answer::Later(status, pause)) => {
                    self.failed(&format!("answers {status}"));
                    pause
                }
                Err(error) => {
                    self.failed(&format!("{error:#}"));
                    None
                }
            };
            // A server that has ended waits for no collector.
            if attempt == self.config.attempts_max
                || self.pause(asked_for.unwrap_or(pause).min(PAUSE_MAX)).await
            {
                return;
            }
            pause *= 2;
        }
    }

    fn failed(&mut self, why: &str) {
        self.metrics.posts_failed.inc();
        if !std::mem::replace(&mut self.said_failing, true) {
            tracing::warn!(
                endpoint = self.config.endpoint,
                why,
                "the collector of traces does not take spans"
            );
        }
    }
}

/// Completes when the server's other threads have ended, or have not though they were told to stop.
async fn ended(shutdown: &Shutdown) {
    shutdown.reached(Phase::Draining).await;
    let alone = async {
        while !shutdown.is_last_thread() {
            sleep(LOOK).await;
        }
    };
    let told = async {
        shutdown.reached(Phase::Stopping).await;
        sleep(OTHERS).await;
    };
    tokio::select! {
        () = alone => {}
        () = told => {}
    }
}

/// Spans that are being posted: those that nobody has taken by the time that this is dropped are counted as such.
struct Batch {
    spans: usize,
    metrics: Metrics,
}

impl Batch {
    fn taken(mut self, refused: u64) {
        let spans = std::mem::take(&mut self.spans) as u64;
        let refused = refused.min(spans);
        self.metrics.exported.inc_by(spans - refused);
        self.metrics.dropped.with_label_values(&["refused"]).inc_by(refused);
    }

    fn refused(self) {
        let all = self.spans as u64;
        self.taken(all);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.metrics.dropped.with_label_values(&["no collector"]).inc_by(self.spans as u64);
    }
}

/// One post, over a connection of its own.
async fn post(target: &Target, body: axum::body::Bytes) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.context("connecting")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("tongdao/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Body::from(body))?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.context("posting")?.into_parts();
        let body = axum::body::to_bytes(Body::new(body), ANSWER_BYTES_MAX).await.context("its answer")?;
        anyhow::Ok((head, body))
    };
    // Whatever the connection's end is, the exchange has it too.
    let drive = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    let (head, body) = tokio::select! {
        exchanged = exchange => exchanged?,
        () = drive => unreachable!("it waits"),
    };
    let retry_after = || head.headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok();
    Ok(match head.status {
        status if status.is_success() => Answer::Taken { refused: refused(&body) },
        // Those that OTLP has a client try again.
        status @ (StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT) => Answer::Later(status, retry_after().map(Duration::from_secs)),
        status => Answer::Never(status),
    })
}

/// How many spans a collector says that it has refused though it took the others; an answer that cannot be read says none.
fn refused(answer: &[u8]) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let refused = &answer["partialSuccess"]["rejectedSpans"];
    // A 64-bit number, so a string; a number is allowed too.
    refused.as_u64().or_else(|| refused.as_str()?.parse().ok()).unwrap_or(0)
}
