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

#[test]
fn what_is_not_there_is_told_in_a_line() {
    let routes = Router::new()
        .route("/drain", post(|| async { "drained" }))
        .route("/switch", get(|| async { "on" }).delete(|| async { "off" }));
    let admin = serve_plainly(&Config::default(), routes);
    let told = |line: &str| request(admin.address(), line, "Content-Length: 0\r\n");
    let answer = told("GET /foo?bar=1");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno such path: /foo (GET / lists what there is)\n"), "{answer}");
    let answer = told(&format!("POST /{}", "x".repeat(1_000)));
    let cut = format!("no such path: /{}... (GET / lists what there is)\n", "x".repeat(ECHO_CHARS_MAX - 1));
    assert!(answer.ends_with(&cut), "{answer}");
    let answer = told("GET /drain");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: POST\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nuse POST\n") && answer.contains("content-length: 9\r\n"), "{answer}");
    assert!(told("PUT /switch").ends_with("\r\n\r\nuse GET or DELETE\n"));
    assert!(told("POST /live").ends_with("\r\n\r\nuse GET\n"));
}

#[test]
fn the_root_lists_what_there_is() {
    let bare = serve_plainly(&Config::default(), Router::new());
    let answer = request(bare.address(), "GET /", "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("content-type: text/plain"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{OWN_PATHS}")), "{answer}");
    assert!(request(bare.address(), "POST /", "Content-Length: 0\r\n").starts_with("HTTP/1.1 404"));

    let with_more = serve_plainly(&Config::default(), list("GET /numbers  some numbers\n"));
    let answer = request(with_more.address(), "GET /", "");
    assert!(answer.ends_with(&format!("\r\n\r\nGET /numbers  some numbers\n{OWN_PATHS}")), "{answer}");
    for line in OWN_PATHS.lines() {
        let (asked, _) = line.split_once("  ").unwrap();
        assert!(request(with_more.address(), asked, "").starts_with("HTTP/1.1 200"), "{asked}");
    }
}

#[test]
fn what_is_said_back_is_short_and_has_no_control_characters() {
    assert_eq!(echo("client0001"), "client0001");
    assert_eq!(echo("a\u{1b}[2J\r\n\"\u{202e}"), r#"a\u{1b}[2J\r\n\"\u{202e}"#);
    assert_eq!(echo(&"\u{8d26}".repeat(ECHO_CHARS_MAX)), "\u{8d26}".repeat(ECHO_CHARS_MAX));
    assert_eq!(echo(&"\u{8d26}".repeat(ECHO_CHARS_MAX + 1)), "\u{8d26}".repeat(ECHO_CHARS_MAX) + "...");
}
