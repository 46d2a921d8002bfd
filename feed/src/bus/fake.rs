//! As much of a NATS server as a client needs, for tests: it hands what is published to who subscribed to exactly that subject on the same
//! connection, and notes it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What was published: subject and payload, headers before it.
pub(super) type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// One that runs.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) seen: Seen,
    /// It reads no more, and closes nothing.
    pub(super) deaf: Arc<AtomicBool>,
}

/// Starts one on the current runtime.
pub(super) async fn serve() -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, deaf) = (Seen::default(), Arc::<AtomicBool>::default());
    let fake = Fake { address, seen: seen.clone(), deaf: deaf.clone() };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, seen.clone(), deaf.clone()));
        }
    });
    fake
}

/// Until the client goes.
async fn talk(stream: TcpStream, seen: Seen, deaf: Arc<AtomicBool>) -> std::io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let info =
        r#"{"server_id":"fake","server_name":"fake","version":"2.10.0","go":"","host":"127.0.0.1","port":1,"#;
    let more = r#""headers":true,"max_payload":1048576,"proto":1,"client_id":1}"#;
    to.write_all(format!("INFO {info}{more}\r\n").as_bytes()).await?;
    let mut subscriptions: Vec<(String, String)> = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if deaf.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match *words.as_slice() {
            ["PING"] => to.write_all(b"PONG\r\n").await?,
            ["SUB", subject, .., id] => subscriptions.push((subject.to_owned(), id.to_owned())),
            [verb @ ("PUB" | "HPUB"), subject, .., length] => {
                let mut payload = vec![0; length.parse::<usize>().unwrap() + 2];
                from.read_exact(&mut payload).await?;
                payload.truncate(payload.len() - 2);
                for (_, id) in subscriptions.iter().filter(|(of, _)| verb == "PUB" && of == subject) {
                    let reply = if words.len() == 4 { words[2] } else { "" };
                    let head = format!("MSG {subject} {id} {reply} {length}\r\n");
                    to.write_all(&[head.as_bytes(), &payload, b"\r\n"].concat()).await?;
                }
                seen.lock().unwrap().push((subject.to_owned(), payload));
            }
            _ => {}
        }
    }
}
