//! A word with a server's admin port: one HTTP request, one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer taken.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The body of what is there.
pub(crate) fn get(at: SocketAddr, path: &str) -> anyhow::Result<String> {
    request(at, "GET", path, "")
}

/// The body of what is there, if the server answers in time.
pub(crate) fn get_within(at: SocketAddr, path: &str, timeout: Duration) -> anyhow::Result<String> {
    request_within(at, ("GET", path, ""), None, timeout)
}

/// The body of what wants an operator's token.
pub(crate) fn get_as(at: SocketAddr, path: &str, token: &str) -> anyhow::Result<String> {
    request_within(at, ("GET", path, ""), Some(token), TIMEOUT)
}

/// A counter or gauge of what `/metrics` answers, summed over its labels; 0 for one that is not there.
pub(crate) fn counted(metrics: &str, name: &str) -> f64 {
    let of_it = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    of_it.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Sets something by its path alone.
pub(crate) fn put(at: SocketAddr, path: &str) -> anyhow::Result<()> {
    request(at, "PUT", path, "").map(drop)
}

/// Sends JSON.
pub(crate) fn post(at: SocketAddr, path: &str, json: &str) -> anyhow::Result<()> {
    request(at, "POST", path, json).map(drop)
}

fn request(at: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    request_within(at, (method, path, body), None, TIMEOUT)
}

fn request_within(
    at: SocketAddr,
    (method, path, body): (&str, &str, &str),
    token: Option<&str>,
    timeout: Duration,
) -> anyhow::Result<String> {
    let context = || format!("{method} http://{at}{path}");
    let mut stream = TcpStream::connect_timeout(&at, timeout).with_context(context)?;
    stream.set_read_timeout(Some(timeout)).with_context(context)?;
    stream.set_write_timeout(Some(timeout)).with_context(context)?;
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{token}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).with_context(context)?;
    stream.write_all(body.as_bytes()).with_context(context)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).with_context(context)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(context)?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{}: {status} {}", context(), body.trim());
    }
    Ok(body.to_string())
}
