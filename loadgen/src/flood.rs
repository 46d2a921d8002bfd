//! A flood of handshakes at a server: what it costs those who are connected is to be seen in their figures.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use transport::Connector;

use crate::wires::Transport;

/// Connections that say nothing.
const SILENT: usize = 1_000;
/// Connections that stop within their hello.
const HALVES: usize = 200;
/// Connections of a flood over TLS that stay open.
pub(crate) const IDLE: usize = SILENT + HALVES;
/// The head of a hello, and not the rest: a TLS record of type handshake that announces 256 bytes.
const HALF_A_HELLO: [u8; 11] = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];
/// Whole handshakes under way at a time.
const WHOLE: usize = 8;
/// Whole handshakes after which the flood ebbs: the system has no more than about this many ports for connections that have
/// just ended.
const WHOLE_MAX: u64 = 20_000;
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Those who flood, until they are told to end.
pub struct Flood {
    over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: JoinHandle<()>,
    _idle: Vec<TcpStream>,
}

impl Flood {
    /// Opens idle connections, and begins to do whole handshakes without a pause, each on a connection that ends with it.
    ///
    /// # Errors
    /// A connection that was refused, or no thread.
    pub fn start(address: SocketAddr, connector: &Connector, transport: Transport) -> io::Result<Self> {
        let mut idle = Vec::with_capacity(IDLE);
        if transport == Transport::Tls {
            for number in 0..IDLE {
                let mut stream = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)?;
                if number >= SILENT {
                    stream.write_all(&HALF_A_HELLO)?;
                }
                idle.push(stream);
            }
        }
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::Builder::new().name("flood".into()).spawn({
            let (over, done, connector) = (over.clone(), done.clone(), connector.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            move || runtime.block_on(whole(address, &connector, &over, &done))
        })?;
        Ok(Self { over, done, thread, _idle: idle })
    }

    /// Ends it; the whole handshakes that were done.
    ///
    /// # Panics
    /// With the flood's thread.
    #[must_use]
    pub fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("invariant: the flood's thread does not panic");
        self.done.load(Ordering::Relaxed)
    }
}

async fn whole(address: SocketAddr, connector: &Connector, over: &Arc<AtomicBool>, done: &Arc<AtomicU64>) {
    let mut flooders = tokio::task::JoinSet::new();
    for _ in 0..WHOLE {
        let (connector, over, done) = (connector.clone(), over.clone(), done.clone());
        flooders.spawn(async move {
            while !over.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < WHOLE_MAX {
                match connector.dial(address, DIAL_TIMEOUT).await {
                    Ok(stream) => {
                        drop(stream);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    // It is refused: that, too, is no reason to stop, but one to let the others run.
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        });
    }
    flooders.join_all().await;
}
