//! Which pages may open a WebSocket: browsers let any page try, and say which one it is.

use axum::http::{HeaderMap, header};
use std::net::IpAddr;

/// Whether the page may. Programs that are no browsers send no Origin, and have nobody to be protected from.
///
/// A page of the feed's own is one whose Origin is the very host that was asked; a name counts only when it is configured, for
/// anybody can have a name of theirs lead to this machine.
pub(super) fn may_connect(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|other| other.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let (Some(host), Some((_, of_page))) = (host, origin.split_once("://")) else { return false };
    host == of_page && is_address(host)
}

/// An address, or the name that leads to this machine alone.
fn is_address(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = without_port.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        may_connect(&headers, &["https://quotes.example.com".to_owned()])
    }

    #[test]
    fn only_pages_of_our_own_and_those_named_may() {
        assert!(may("127.0.0.1:7280", None));
        assert!(may("127.0.0.1:7280", Some("http://127.0.0.1:7280")));
        assert!(may("[::1]:7280", Some("http://[::1]:7280")));
        assert!(may("localhost:7280", Some("http://localhost:7280")));
        assert!(may("10.0.0.1", Some("https://10.0.0.1")));
        assert!(may("feed:7280", Some("https://quotes.example.com")));
        assert!(!may("127.0.0.1:7280", Some("http://127.0.0.1:7281")));
        assert!(!may("127.0.0.1:7280", Some("https://example.com")));
        assert!(!may("127.0.0.1:7280", Some("null")));
        assert!(!may("rebound.example.com:7280", Some("http://rebound.example.com:7280")));
    }
}
