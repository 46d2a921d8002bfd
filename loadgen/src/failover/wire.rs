//! A wire between the feed and a source, which can be made to fail. It carries bytes and knows nothing of what they say.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::chaos::random::Random;

/// What one read takes.
const READ_BYTES: usize = 64 << 10;
/// Reads that may wait to be due; with as many the source waits, too.
const WAITING_MAX: usize = 4_096;

/// What is wrong with a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    Good,
    /// The source is gone: its connections are reset, and so is who dials it.
    Dead,
    /// Nothing comes through, either way, and nobody is told; it comes when the wire is good again, as over a network
    /// that heals.
    Silent,
    /// What the source says comes so many milliseconds late.
    Late(u64),
    /// In place of what the source says comes noise of this seed.
    Garbage(u64),
}

/// Wires on a thread of their own.
pub(super) struct Wires {
    /// Where the feed dials, in the order of the sources.
    pub(super) addresses: Vec<SocketAddr>,
    conditions: Vec<watch::Sender<Condition>>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Wires {
    /// A good wire to each of the sources.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(sources: &[SocketAddr]) -> anyhow::Result<Self> {
        let (stop, mut stopped) = watch::channel(false);
        let (mut addresses, mut conditions, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for source in sources {
            let listener = std::net::TcpListener::bind(crate::house::free_port()).context("a wire")?;
            listener.set_nonblocking(true).context("a wire")?;
            addresses.push(listener.local_addr().context("a wire")?);
            let (to, condition) = watch::channel(Condition::Good);
            conditions.push(to);
            ends.push((listener, *source, condition));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("wires")?;
        let run = move || {
            runtime.block_on(async {
                let mut wires = JoinSet::new();
                for (listener, source, condition) in ends {
                    wires.spawn(serve(listener, source, condition));
                }
                // Who could say so may be gone, which means the same.
                drop(stopped.wait_for(|stop| *stop).await);
            });
        };
        let thread = std::thread::Builder::new().name("loadgen-wires".to_owned()).spawn(run)?;
        Ok(Self { addresses, conditions, stop, thread })
    }

    /// From now on, the wire to this source is so.
    pub(super) fn set(&self, source: usize, condition: Condition) {
        self.conditions[source].send_replace(condition);
    }

    /// Ends them, and every connection over them.
    ///
    /// # Errors
    /// Their thread panicked.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow::anyhow!("the wires' thread panicked"))
    }
}

async fn serve(
    listener: std::net::TcpListener,
    source: SocketAddr,
    mut condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut carried = JoinSet::new();
    loop {
        // Over a silent wire nobody answers: who dials waits in the kernel's queue.
        let accepted = tokio::select! {
            changed = condition.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                continue;
            }
            accepted = listener.accept(), if *condition.borrow() != Condition::Silent => accepted,
        };
        while carried.try_join_next().is_some() {}
        match accepted {
            Ok((feed, _)) if *condition.borrow() == Condition::Dead => drop(feed.set_zero_linger()),
            Ok((feed, _)) => {
                carried.spawn(carry(feed, source, condition.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a wire takes no connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// One connection, until either end closes it or the source is dead.
async fn carry(
    mut feed: TcpStream,
    source: SocketAddr,
    condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let mut source = TcpStream::connect(source).await?;
    feed.set_nodelay(true)?;
    source.set_nodelay(true)?;
    let mut dead = condition.clone();
    let died = {
        let (mut of_feed, mut to_feed) = feed.split();
        let (mut of_source, mut to_source) = source.split();
        tokio::select! {
            ended = upward(&mut of_feed, &mut to_source, condition.clone()) => ended.map(|()| false),
            ended = downward(&mut of_source, &mut to_feed, condition) => ended.map(|()| false),
            dead = dead.wait_for(|now| *now == Condition::Dead) => Ok(dead.is_ok()),
        }
    };
    if died? {
        feed.set_zero_linger()?;
        source.set_zero_linger()?;
    }
    Ok(())
}

/// What the feed says.
async fn upward(
    feed: &mut (impl AsyncReadExt + Unpin),
    source: &mut (impl AsyncWriteExt + Unpin),
    mut condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        if condition.wait_for(|now| *now != Condition::Silent).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            biased;
            _ = condition.changed() => {}
            read = feed.read(&mut bytes) => match read? {
                0 => return Ok(()),
                length => source.write_all(&bytes[..length]).await?,
            },
        }
    }
}

/// What the source says, and what becomes of it.
async fn downward(
    source: &mut (impl AsyncReadExt + Unpin),
    feed: &mut (impl AsyncWriteExt + Unpin),
    mut condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    loop {
        let now = *condition.borrow_and_update();
        if !matches!(now, Condition::Late(_) | Condition::Silent) {
            // The wire has recovered: nothing is late any more.
            for (_, late) in waiting.drain(..) {
                feed.write_all(&late).await?;
            }
        }
        let heard = now != Condition::Silent;
        let due = waiting.front().map_or_else(Instant::now, |(due, _)| *due);
        tokio::select! {
            // What is set comes before what is read after it.
            biased;
            changed = condition.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            () = sleep_until(due), if heard && !waiting.is_empty() => {
                if let Some((_, late)) = waiting.pop_front() {
                    feed.write_all(&late).await?;
                }
            }
            read = source.read(&mut bytes), if heard && waiting.len() < WAITING_MAX => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                let bytes = &mut bytes[..length];
                match now {
                    Condition::Late(by_ms) => {
                        waiting.push_back((Instant::now() + Duration::from_millis(by_ms), bytes.to_vec()));
                        continue;
                    }
                    Condition::Garbage(seed) => noise(seed, bytes),
                    Condition::Good | Condition::Dead | Condition::Silent => {}
                }
                feed.write_all(bytes).await?;
            }
        }
    }
}

/// Makes noise of it.
fn noise(seed: u64, bytes: &mut [u8]) {
    let mut random = Random::new(seed);
    for chunk in bytes.chunks_mut(8) {
        let noise = random.next().to_ne_bytes();
        chunk.copy_from_slice(&noise[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};

    /// A wire, the feed's end of a connection over it, and the source's.
    fn connected() -> (Wires, std::net::TcpStream, std::net::TcpStream) {
        let source = std::net::TcpListener::bind(crate::house::free_port()).unwrap();
        let wires = Wires::start(&[source.local_addr().unwrap()]).unwrap();
        let mut feed = std::net::TcpStream::connect(wires.addresses[0]).unwrap();
        feed.write_all(b"hello").unwrap();
        let (mut source, _) = source.accept().unwrap();
        for stream in [&feed, &source] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        assert_eq!(&read(&mut source, 5), b"hello");
        (wires, feed, source)
    }

    fn read(stream: &mut std::net::TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_a_silent_or_late_wire_holds_back_comes_in_order_when_it_is_good_again() {
        let (wires, mut feed, mut source) = connected();
        source.write_all(b"1").unwrap();
        assert_eq!(&read(&mut feed, 1), b"1");
        // Both would keep it for longer than the test may take.
        for condition in [Condition::Late(3_600_000), Condition::Silent] {
            wires.set(0, condition);
            source.write_all(b"23").unwrap();
            source.write_all(b"45").unwrap();
            feed.set_nonblocking(true).unwrap();
            assert_eq!(feed.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            feed.set_nonblocking(false).unwrap();
            wires.set(0, Condition::Good);
            assert_eq!(&read(&mut feed, 4), b"2345");
        }
        wires.stop().unwrap();
    }

    #[test]
    fn a_dead_source_resets_its_connection_and_who_dials_it() {
        let (wires, mut feed, mut source) = connected();
        wires.set(0, Condition::Dead);
        assert_eq!(feed.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(source.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut again = std::net::TcpStream::connect(wires.addresses[0]).unwrap();
        again.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(again.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        wires.stop().unwrap();
    }

    #[test]
    fn garbage_is_not_what_was_sent() {
        let (wires, mut feed, mut source) = connected();
        wires.set(0, Condition::Garbage(7));
        let sent = [0x55; 64];
        source.write_all(&sent).unwrap();
        assert_ne!(read(&mut feed, 64), sent);
        feed.write_all(b"unharmed").unwrap();
        assert_eq!(&read(&mut source, 8), b"unharmed");
        wires.stop().unwrap();
    }
}
