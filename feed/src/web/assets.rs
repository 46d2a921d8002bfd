//! The quote board's files, inside the program: the page needs nothing but the feed.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;

/// The page runs its own script and style, speaks to where it came from, and stands in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, type, contents.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/", "text/html; charset=utf-8", include_bytes!("../../board/index.html")),
    ("/board.css", "text/css; charset=utf-8", include_bytes!("../../board/board.css")),
    ("/board.js", "text/javascript; charset=utf-8", include_bytes!("../../board/board.js")),
    ("/feed.js", "text/javascript; charset=utf-8", include_bytes!("../../board/feed.js")),
    ("/chart.js", "text/javascript; charset=utf-8", include_bytes!("../../board/chart.js")),
    ("/words.js", "text/javascript; charset=utf-8", include_bytes!("../../board/words.js")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../../board/icon.svg")),
];

/// Each file at its path.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, (path, kind, contents)| {
        router.route(path, get(move || std::future::ready(([(header::CONTENT_TYPE, *kind)], *contents))))
    })
}

/// What every answer says to the browser.
pub(super) const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // A feed that was updated shows its new page at once.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];
