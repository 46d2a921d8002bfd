use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::routing::post;

use super::*;

/// Sends `request` and reads to the end of the connection.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // The far end may refuse while this is still being sent.
    if stream.write_all(request.as_bytes()).is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8(answer).unwrap()
}

fn request(address: SocketAddr, line: &str, headers: &str) -> String {
    exchange(address, &format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
}

fn serve(config: &Config, host: &Host, ready: Arc<AtomicBool>, routes: Router) -> Serving {
    Admin::bind(config, host)
        .unwrap()
        .ready(move || if ready.load(Ordering::Relaxed) { Ok(()) } else { Err("warming up".to_owned()) })
        .routes(routes)
        .start()
        .unwrap()
}

fn serve_plainly(config: &Config, routes: Router) -> Serving {
    serve(config, &Host::default(), Arc::new(AtomicBool::new(true)), routes)
}

#[test]
fn live_ready_and_metrics_answer() {
    let host = Host::for_process().unwrap();
    let ready = Arc::new(AtomicBool::new(false));
    let admin = serve(&Config::default(), &host, Arc::clone(&ready), Router::new());
    let at = admin.address();
    assert!(request(at, "GET /live", "").starts_with("HTTP/1.1 200"));
    let answer = request(at, "GET /ready", "");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: warming up"), "{answer}");
    ready.store(true, Ordering::Relaxed);
    assert!(request(at, "GET /ready", "").starts_with("HTTP/1.1 200"));
    assert!(request(at, "GET /metrics", "").contains("process_resident_memory_bytes"));
    host.shutdown.drain("test");
    assert!(request(at, "GET /ready", "").contains("not ready: draining"));
    assert!(request(at, "GET /live", "").starts_with("HTTP/1.1 200"), "alive while it drains");
}

#[test]
fn a_server_adds_routes_which_web_pages_cannot_post_to() {
    let admin =
        serve_plainly(&Config::default(), Router::new().route("/drain", post(|| async { "drained" })));
    let at = admin.address();
    assert!(request(at, "POST /drain", "Content-Length: 0\r\n").contains("drained"));
    let answer = request(at, "POST /drain", "Content-Length: 0\r\nOrigin: http://elsewhere\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn json_ends_with_a_newline() {
    let routes = Router::new().route("/numbers", get(|| async { axum::Json([1, 2]) }));
    let admin = serve_plainly(&Config::default(), routes);
    let answer = request(admin.address(), "GET /numbers", "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n[1,2]\n"), "{answer}");
    assert!(answer.contains("content-length: 6\r\n"), "{answer}");
}

#[test]
fn a_request_that_takes_too_long_is_given_up() {
    // Its head comes in time, however busy the machine is.
    let config = Config { request_timeout_ms: 1_000, ..Config::default() };
    let admin = serve_plainly(&config, Router::new().route("/stuck", get(std::future::pending::<()>)));
    assert!(request(admin.address(), "GET /stuck", "").starts_with("HTTP/1.1 408"));
}

#[test]
fn a_head_that_is_too_large_or_never_ends_is_refused() {
    let config = Config { request_timeout_ms: 10, ..Config::default() };
    let admin = serve_plainly(&config, Router::new());
    let large = format!("X: {}\r\n", "x".repeat(64 * 1024));
    let answer = request(admin.address(), "GET /live", &large);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // The head stays unfinished: the far end hangs up, or this would read for ever.
    let answer = exchange(admin.address(), "GET /live HTTP/1.1\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let config = Config { connections_max: 1, ..Config::default() };
    let admin = serve_plainly(&config, Router::new());
    let mut first = TcpStream::connect(admin.address()).unwrap();
    first.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).unwrap(); // Now it has its slot.
    assert_eq!(request(admin.address(), "GET /live", ""), "");
}

#[test]
fn an_address_in_use_is_an_error_at_bind() {
    let admin = serve_plainly(&Config::default(), Router::new());
    let taken = Config { listen: admin.address(), ..Config::default() };
    let error = Admin::bind(&taken, &Host::default()).err().unwrap().to_string();
    let expected = format!("`admin.listen`: cannot listen on {}: Address already in use", admin.address());
    assert!(error.starts_with(&expected), "{error}");
}
