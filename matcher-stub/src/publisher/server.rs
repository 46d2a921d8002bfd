//! A shard with nothing but a publisher, for a log that another thread writes.

use super::{Counts, Publisher, ResendLimits};
use core_port::session::{Admission, PortState};
use flow::Reader;
use shard::{App, ConnId, Cx, Limits, Log, LogId, Opened, Origin, Port, Reason, Running};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use transport::{Listener, SocketOptions};

/// What a publisher's shard starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where it listens: one address a port; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Who may log on.
    pub admission: Admission,
    /// Bounds of resending.
    pub resend: ResendLimits,
    /// Bounds of the shard.
    pub limits: Limits,
}

/// What may be asked of a publisher's shard.
#[derive(Debug)]
pub enum Command {
    /// Lets a port fail, or mends it.
    Port(usize, PortState),
    /// Tells what happened so far; nobody may be listening any more.
    Counts(SyncSender<Counts>),
}

/// A publisher on its thread.
pub struct Served {
    /// Where each port listens.
    pub addresses: Vec<SocketAddr>,
    /// The thread; [`shard::Handle::send`] takes a [`Command`].
    pub running: Running<Command>,
}

/// Publishes a log that another thread writes.
///
/// # Errors
/// An address that cannot be listened on.
pub fn serve(name: &str, setup: Setup, log: Reader) -> io::Result<Served> {
    let mut ports = Vec::new();
    let mut addresses = Vec::new();
    for (tag, address) in (0..).zip(setup.listen) {
        let listener = Listener::bind(address, SocketOptions::default())?;
        addresses.push(listener.local_addr()?);
        ports.push(Port { listener, tag });
    }
    let names = addresses.iter().map(SocketAddr::to_string).collect();
    let of_shard = shard::Setup { ports, logs: vec![Log::Follow(log)], limits: setup.limits, core: None };
    let (admission, resend) = (setup.admission, setup.resend);
    let running = shard::spawn(name, of_shard, move || Alone {
        publisher: Publisher::new(LogId(0), names, admission, resend),
    })?;
    Ok(Served { addresses, running })
}

struct Alone {
    publisher: Publisher,
}

impl App for Alone {
    type Command = Command;

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let (Origin::Accepted(tag) | Origin::Dialled(tag)) = opened.origin;
        self.publisher.on_open(cx, id, tag as usize);
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: io::Error) {
        unreachable!("a publisher dials nobody");
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        self.publisher.on_data(cx, id, data)
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, _reason: Reason) {
        self.publisher.on_close(id);
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.publisher.on_tick(cx);
    }

    fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        self.publisher.on_drained(cx, id);
    }

    fn on_drain(&mut self, cx: &mut Cx) {
        self.publisher.on_drain(cx);
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Port(port, state) => self.publisher.set_port(cx, port, state),
            Command::Counts(to) => {
                if to.try_send(self.publisher.counts()).is_err() {
                    tracing::debug!("nobody waits for the counts any more");
                }
            }
        }
    }
}
