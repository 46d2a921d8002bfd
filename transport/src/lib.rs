//! Byte streams between processes: listening, dialling, socket options, and one type for what comes of it.
//!
//! [`Stream`] is an enum, not a trait object: the hot loop's calls are direct. It is plain TCP, TLS over TCP or a
//! stream of QUIC; with the feature `sim`, listeners and dials made inside a running simulation get simulated streams, so
//! that whole servers run under a seeded network and clock without knowing it.
//!
//! Behind a balancer that speaks the PROXY protocol a connection has its client's address ([`proxy_protocol`]).
//!
//! What it is not: it knows no frames and no sessions. Start at [`Stream`], [`Listener::bind`] and [`Connector`].

mod background;
mod cause;
mod clock;
mod connect;
mod listen;
mod options;
pub mod proxy_protocol;
mod quic;
mod stream;
mod timer;
pub mod tls;

pub use cause::{absolute, causes};
pub use clock::Clock;
pub use connect::Connector;
pub use listen::{Acceptor, Listener};
pub use options::SocketOptions;
pub use quic::{Datagram, Farewell, OneWay, QuicStream, route as quic_route};
pub use stream::Stream;
pub use timer::Timer;

/// Whether this task runs inside a simulation.
#[inline]
pub(crate) fn simulated() -> bool {
    simulated_for().is_some()
}

/// How long the simulation that this runs in has gone on.
pub(crate) fn simulated_for() -> Option<std::time::Duration> {
    #[cfg(feature = "sim")]
    return turmoil::sim_elapsed();
    #[cfg(not(feature = "sim"))]
    None
}

/// Binds the calling thread to one core.
///
/// # Errors
/// What the system says: no such core, or one that this process may not use.
pub fn bind_thread_to_core(core: usize) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
