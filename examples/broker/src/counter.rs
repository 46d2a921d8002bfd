//! The toy counter: what stands where the broker's own counter will. It speaks [`crate::lines`], matches limit orders by price
//! and time, and keeps its side of the bargain: requests by number, once; events numbered, from any number on; both over a
//! restart, from a journal of the requests.
//!
//! It is a plain blocking program, one thread a session, as it need not be fast.

use crate::lines::LINE_MAX;
use journal::{Limits, Reader, Writer};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use wire::szse::code::{CxlRejReason, OrdRejReason};
use wire::szse::{Price, Qty};

/// How long a session may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a peer may take no bytes.
const STALL: Duration = Duration::from_secs(5);
/// The largest order that it takes, in hundredths of a share.
const QUANTITY_MAX: i64 = Qty::whole(1_000_000).raw();
/// The one kind of records of its journal.
const REQUEST: u16 = 1;

#[derive(Debug, PartialEq, Eq)]
struct Order {
    security: String,
    buys: bool,
    price: i64,
    leaves: i64,
}

/// A request, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Order(u64, Order),
    Cancel(u64, u64),
}

impl Request {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["ORDER", number, _, security, side, price, quantity] => {
                let order = Order {
                    security: security.to_owned(),
                    buys: match side {
                        "BUY" => true,
                        "SELL" => false,
                        _ => return None,
                    },
                    price: price.parse::<Price>().ok()?.raw(),
                    leaves: quantity.parse::<Qty>().ok()?.raw(),
                };
                Some(Self::Order(number.parse().ok()?, order))
            }
            ["CANCEL", number, order] => Some(Self::Cancel(number.parse().ok()?, order.parse().ok()?)),
            _ => None,
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Order(number, _) | Self::Cancel(number, _) => *number,
        }
    }
}

/// What the counter is, without its sockets: the same requests make the same one.
#[derive(Debug, Default)]
struct Core {
    taken: u64,
    orders: BTreeMap<u64, Order>,
    /// Of the day, without the ends of lines; the first is number 1.
    events: Vec<String>,
}

impl Core {
    fn say(&mut self, what: &str, rest: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        let number = self.events.len() + 1;
        write!(line, "{what} {number} {rest}").expect("invariant: memory takes it");
        self.events.push(line);
    }

    fn take(&mut self, request: Request) {
        self.taken = request.number();
        match request {
            Request::Order(number, order) => self.order(number, order),
            Request::Cancel(number, order) => {
                if self.orders.remove(&order).is_some() {
                    self.say("CANCELLED", format_args!("{order} {number}"));
                } else {
                    let reason = CxlRejReason::TOO_LATE.raw();
                    self.say("KEPT", format_args!("{number} {reason}"));
                }
            }
        }
    }

    fn order(&mut self, number: u64, mut order: Order) {
        let reason = if order.price <= 0 {
            Some(OrdRejReason::PRICE_OUT_OF_BAND)
        } else if !(1..=QUANTITY_MAX).contains(&order.leaves) {
            Some(OrdRejReason::EXCEEDS_LIMIT)
        } else {
            None
        };
        if let Some(reason) = reason {
            return self.say("REJECTED", format_args!("{number} {}", reason.raw()));
        }
        self.say("ACCEPTED", format_args!("{number}"));
        while order.leaves > 0 {
            let Some(other) = self.best_against(&order) else { break };
            let resting = self.orders.get_mut(&other).expect("invariant: found");
            let quantity = order.leaves.min(resting.leaves);
            let price = Price::from_raw(resting.price);
            resting.leaves -= quantity;
            order.leaves -= quantity;
            if resting.leaves == 0 {
                self.orders.remove(&other);
            }
            let quantity = Qty::from_raw(quantity);
            self.say("TRADED", format_args!("{number} {price} {quantity}"));
            self.say("TRADED", format_args!("{other} {price} {quantity}"));
        }
        if order.leaves > 0 {
            self.orders.insert(number, order);
        }
    }

    /// The order that trades with this one: the best price, and of those the oldest.
    fn best_against(&self, order: &Order) -> Option<u64> {
        let sign = if order.buys { 1 } else { -1 };
        let meets = |other: &Order| {
            other.security == order.security
                && other.buys != order.buys
                && sign * other.price <= sign * order.price
        };
        let others = self.orders.iter().filter(|(_, other)| meets(other));
        others.min_by_key(|(number, other)| (sign * other.price, **number)).map(|(number, _)| *number)
    }
}

/// What the threads of a counter share.
struct Shared {
    state: Mutex<State>,
}

struct State {
    core: Core,
    journal: Writer,
    /// The session that counts; one that comes later ends it.
    session: u64,
    streams: HashMap<u64, TcpStream>,
    stopping: bool,
    /// It takes requests and says nothing of them: for tests of what was taken and not told.
    mute: bool,
}

/// A counter that runs.
pub struct ToyCounter {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl ToyCounter {
    /// Reads the day of this directory again, and listens (port 0 takes a free one).
    ///
    /// # Errors
    /// A directory or an address that cannot be used.
    pub fn start(address: SocketAddr, directory: &Path) -> anyhow::Result<Self> {
        let (journal, _) = Writer::open(directory, Limits { segment_bytes: 4 << 20, ..Limits::default() })?;
        let mut core = Core::default();
        let mut reader = Reader::oldest(directory)?;
        while let Some(record) = reader.next()? {
            let request = std::str::from_utf8(record.payload).ok().and_then(Request::parse);
            core.take(request.ok_or_else(|| anyhow::anyhow!("record {} is no request", record.number))?);
        }
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state =
            State { core, journal, session: 0, streams: HashMap::new(), stopping: false, mute: false };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("toy counter".to_owned())
            .spawn(move || accept(&listener, &of_thread))?;
        tracing::info!(%address, "toy counter");
        Ok(Self { shared, address, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it takes requests and says nothing of them.
    pub fn mute(&self) {
        self.shared.lock().mute = true;
    }

    /// How many requests it has taken, those of days before a restart among them.
    pub fn taken(&self) -> u64 {
        self.shared.lock().core.taken
    }

    /// All that it has ever said of requests, in order.
    pub fn events(&self) -> Vec<String> {
        self.shared.lock().core.events.clone()
    }

    /// Lets go of its connections and ends.
    pub fn stop(mut self) {
        self.end();
    }

    /// Waits until it ends, which is until the process does.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.streams.drain().for_each(|(_, stream)| close(&stream));
        }
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.address));
        thread.join().ok();
    }
}

impl Drop for ToyCounter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close(stream: &TcpStream) {
    // One that the peer has closed already is as good.
    stream.shutdown(Shutdown::Both).ok();
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut sessions = Vec::new();
    for stream in listener.incoming() {
        if shared.lock().stopping {
            break;
        }
        sessions.retain(|thread: &JoinHandle<()>| !thread.is_finished());
        match stream {
            Ok(stream) => {
                let shared = shared.clone();
                sessions.push(std::thread::spawn(move || {
                    if let Err(error) = serve(&shared, stream) {
                        tracing::info!(%error, "session ended");
                    }
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    sessions.into_iter().for_each(|thread| drop(thread.join()));
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The next line; `None` at the end.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    reader.take(LINE_MAX as u64 + 1).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(whole) => Ok(Some(whole.to_owned())),
        None if line.len() > LINE_MAX => Err(wrong("line too long")),
        // The rest of one that was being written.
        None => Ok(None),
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(STALL))?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let hello = line(&mut reader)?.unwrap_or_default();
    let wanted: usize = hello
        .strip_prefix("HELLO ")
        .and_then(|wanted| wanted.parse().ok())
        .filter(|wanted| *wanted > 0)
        .ok_or(wrong("HELLO expected"))?;
    let mine = {
        let mut state = shared.lock();
        if state.stopping {
            return Ok(());
        }
        if wanted > state.core.events.len() + 1 {
            return Err(wrong("events of another day are wanted"));
        }
        // What comes over the one before it is not looked at any more.
        state.session += 1;
        state.streams.drain().for_each(|(_, stream)| close(&stream));
        let mine = state.session;
        state.streams.insert(mine, out.try_clone()?);
        let mut text = format!("WELCOME {}\n", state.core.taken);
        told(&state, wanted - 1, &mut text);
        out.write_all(text.as_bytes())?;
        mine
    };
    let outcome = requests(shared, mine, &mut reader, &mut out);
    shared.lock().streams.remove(&mine);
    outcome
}

/// Takes the requests of a session while it counts.
fn requests(shared: &Shared, mine: u64, reader: &mut impl BufRead, out: &mut TcpStream) -> io::Result<()> {
    while let Some(line) = line(reader)? {
        let mut state = shared.lock();
        if state.session != mine || state.stopping {
            return Ok(());
        }
        let mut answer = String::new();
        if line == "PING" {
            answer.push_str("PONG\n");
        } else {
            let before = state.core.events.len();
            request(&mut state, &line)?;
            told(&state, before, &mut answer);
        }
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Writes a request down, then acts upon it; one that was taken before is dropped.
fn request(state: &mut State, line: &str) -> io::Result<()> {
    let request = Request::parse(line).ok_or(wrong("unknown line"))?;
    if request.number() <= state.core.taken {
        return Ok(());
    }
    let appended = state.journal.append(REQUEST, 0, &[line.as_bytes()]).map_err(io::Error::other);
    let written = appended.and_then(|_| state.journal.write()).and_then(|()| state.journal.sync());
    if let Err(error) = &written {
        // Whether the request is in it is only known when it is read again.
        tracing::error!(%error, "journal cannot be written: ends");
        state.stopping = true;
    }
    written?;
    state.core.take(request);
    Ok(())
}

/// Appends all events but the first so many.
fn told(state: &State, from: usize, text: &mut String) {
    if !state.mute {
        state.core.events[from..].iter().for_each(|event| {
            text.push_str(event);
            text.push('\n');
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Core {
        let mut core = Core::default();
        lines.iter().for_each(|line| core.take(Request::parse(line).expect("a request")));
        core
    }

    #[test]
    fn orders_trade_at_the_best_price_the_oldest_first() {
        let core = after(&[
            "ORDER 2 a 102.000001 SELL 10.10 100",
            "ORDER 3 a 102.000001 SELL 10.00 100",
            "ORDER 5 b 102.000001 BUY 10.10 150",
            "CANCEL 6 2",
            "CANCEL 7 3",
        ]);
        let expected = [
            "ACCEPTED 1 2",
            "ACCEPTED 2 3",
            "ACCEPTED 3 5",
            "TRADED 4 5 10.0000 100.00",
            "TRADED 5 3 10.0000 100.00",
            "TRADED 6 5 10.1000 50.00",
            "TRADED 7 2 10.1000 50.00",
            "CANCELLED 8 2 6",
            "KEPT 9 7 0",
        ];
        assert_eq!(core.events, expected);
        assert_eq!(core.taken, 7);
    }

    #[test]
    fn what_it_does_not_take_is_rejected_and_what_it_does_not_know_is_no_request() {
        let core = after(&["ORDER 2 a 102.000001 BUY 0 100", "ORDER 3 a 102.000001 BUY 1 1000000.01"]);
        assert_eq!(core.events, ["REJECTED 1 2 16", "REJECTED 2 3 3"]);
        for line in ["", "ORDER", "ORDER x a s BUY 1 1", "ORDER 1 a s HOLD 1 1", "CANCEL 1", "HELLO 1"] {
            assert_eq!(Request::parse(line), None, "{line}");
        }
    }
}
