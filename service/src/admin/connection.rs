//! One HTTP connection of the admin port, with its limits.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// Largest request head and read buffer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;
/// A connection that is still open after this long is closed after its current request, so that
/// none can hold a slot for ever.
const LIFETIME: Duration = Duration::from_secs(120);

/// Serves `stream` and gives the slot back when done.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    head_timeout: Duration,
    _slot: OwnedSemaphorePermit,
) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let ended = match tokio::time::timeout(LIFETIME, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(head_timeout, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!("admin connection cut: its peer does not read"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection");
    }
}
