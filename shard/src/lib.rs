//! A *shard*: one thread, its event loop, and the connections that live and die on it.
//!
//! Every server here is the same shape: bytes come in over connections, an application makes something of them,
//! and what it makes goes out, to one peer (private bytes) or to many (a log that they follow). This crate is that
//! shape, once: accepting and dialling, reading, the turn, writing, back-pressure and closing. What it is not: it
//! knows no protocol; the application ([`App`]) finds the frames in the bytes.
//!
//! A turn reads the connections that have something, lets the application act, publishes the logs, and writes what
//! is due: at most one system call for each connection that is due, however many frames are due to it. With one
//! shard a frame goes from the socket that it came from to the sockets that it leaves by without crossing a queue.
//!
//! Start at [`App`], then `turn.rs`: the hot loop. [`spawn`] gives a shard its thread ([`run_on_this_thread`] the calling one); [`run`] runs one as a future
//! on the current thread (simulations).

mod app;
mod conn;
mod cx;
mod out;
mod ready;
mod run;
mod together;
mod turn;

pub use app::{App, ConnId, LogId, Opened, Origin, Overrun, Reason};
pub use cx::{Cx, Stats};
pub use run::{Handle, Limits, Log, Port, Running, Setup, run, run_on_this_thread, spawn};
