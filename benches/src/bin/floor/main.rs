//! The floor: programs that do the system calls of a server and nothing else, so that a figure has something to stand
//! beside. `floor echo` is a server that sends back what it reads, `floor relay` a proxy, `floor ping` their client,
//! with the schedule and the recorder of the load generator. `floor broadcast` is a fan-out server, `floor fanout` the
//! publisher and the subscribers of it and of others. `floor source` and `floor bulk` are the two ends of as many bytes as
//! go, `floor storm` and `floor idle` open connections. `floor journal` makes records durable.
//!
//! An order through balancer, gateway and core is `ping` → `relay` → `relay` → `echo`.

mod broadcast;
mod bulk;
mod connections;
mod fanout;
mod journal;
mod ping;
mod process;
mod relay;

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Bare epoll programs to hold servers against: what cannot be had for less on this machine.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends back what it reads
    Echo {
        /// Where it listens
        listen: SocketAddr,
    },
    /// Passes bytes on, both ways, one connection for each that it accepts
    Relay {
        /// Where it listens
        listen: SocketAddr,
        /// Where the bytes go
        to: SocketAddr,
    },
    Ping(ping::Args),
    /// Sends what its publisher says to all subscribers
    Broadcast {
        /// Where subscribers connect
        listen: SocketAddr,
        /// Where the publisher connects
        publish: SocketAddr,
    },
    Fanout(fanout::Args),
    Journal(journal::Args),
    /// Sends on each connection without end
    Source {
        /// Where it listens
        listen: SocketAddr,
    },
    Bulk(bulk::Args),
    Storm(connections::StormArgs),
    Idle(connections::IdleArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Echo { listen } => relay::run(listen, None).map(|()| true),
        Command::Relay { listen, to } => relay::run(listen, Some(to)).map(|()| true),
        Command::Ping(args) => ping::run(&args),
        Command::Broadcast { listen, publish } => broadcast::run(listen, publish).map(|()| true),
        Command::Fanout(args) => fanout::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Source { listen } => bulk::source(listen).map(|()| true),
        Command::Bulk(args) => bulk::run(&args),
        Command::Storm(args) => connections::storm(&args),
        Command::Idle(args) => connections::idle(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("floor: {error:#}");
            ExitCode::from(2)
        }
    }
}
