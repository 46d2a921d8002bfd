//! One question to a backend, and whether its answer is good.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{Connector, Stream};

use crate::config::{Check, PoolConfig};
use crate::dial::{dial, of_ourselves};

/// What is read of an answer at most: a status line, a logon.
const ANSWER_BYTES_MAX: usize = 8192;

/// Why an answer is not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer in {0} ms")]
    Timeout(u64),
    #[error("its answer is not HTTP")]
    NotHttp,
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("its answer, of {0} bytes, is not what is expected")]
    Unexpected(usize),
}

/// Asks a backend, as its pool's checks are configured. A port for checks alone is told nothing before.
pub(crate) async fn ask(mut address: SocketAddr, pool: &PoolConfig) -> Result<(), CheckError> {
    let health = &pool.health;
    let mut first = of_ourselves(pool);
    if health.port != 0 {
        address.set_port(health.port);
        first = &[];
    }
    let timeout = Duration::from_millis(health.timeout_ms);
    let asked = async {
        let mut stream = dial(Connector::default(), address, timeout, first).await?;
        match &health.check {
            Check::Tcp => Ok(()),
            Check::Http { path, host, status } => {
                let host = if host.is_empty() { &address.to_string() } else { host };
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slb\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await?;
                match http_status(&mut stream).await? {
                    got if status.contains(&got) => Ok(()),
                    got => Err(CheckError::Status(got)),
                }
            }
            Check::Exchange { send, expect } => {
                stream.write_all(send.as_slice()).await?;
                expect_of(&mut stream, expect.as_slice()).await
            }
        }
    };
    tokio::time::timeout(timeout, asked).await.unwrap_or(Err(CheckError::Timeout(health.timeout_ms)))
}

/// Reads the status out of the first line (RFC 9112, 4).
async fn http_status(stream: &mut Stream) -> Result<u16, CheckError> {
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && read_more(stream, &mut answer).await? {}
    let line = answer.split(|&byte| byte == b'\n').next().unwrap_or_default();
    status_of(line).ok_or(CheckError::NotHttp)
}

fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5)?;
    let ends = rest.get(5).is_none_or(|byte| byte.is_ascii_whitespace());
    (rest[1] == b' ' && ends).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

async fn expect_of(stream: &mut Stream, expected: &[u8]) -> Result<(), CheckError> {
    let mut answer = Vec::new();
    loop {
        if answer.windows(expected.len()).any(|window| window == expected) {
            return Ok(());
        }
        if !read_more(stream, &mut answer).await? {
            return Err(CheckError::Unexpected(answer.len()));
        }
    }
}

/// Reads what is there; whether more may come.
async fn read_more(stream: &mut Stream, answer: &mut Vec<u8>) -> io::Result<bool> {
    let room = (ANSWER_BYTES_MAX - answer.len()) as u64;
    Ok(room > 0 && stream.take(room).read_buf(answer).await? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_out_of_a_status_line_only() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 503\r"), Some(503));
        for wrong in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 20",
            b"HTTP/1.1 2000",
            b"HTTP/2 200",
            b"HTTP/1.1 +20 ",
            b"ping",
        ] {
            assert_ne!(status_of(wrong), Some(200), "{wrong:?}");
        }
    }
}
