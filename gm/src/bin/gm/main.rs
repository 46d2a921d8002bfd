//! `gm`: certificates for ShangMi TLS, an end of a connection to try others against, and how fast this machine is.

mod files;
mod inspect;
mod issue;
mod output;
mod password;
mod peer;
mod speed;

use clap::{Parser, Subcommand};

/// ShangMi: certificates (SM2 with SM3), TLS by hand, speed.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a certificate authority: a key and a certificate signed by itself.
    Ca(issue::Ca),
    /// Issue a certificate: for a new key, or for a request.
    Cert(issue::Cert),
    /// Make a key and a certification request for another authority.
    Csr(issue::Csr),
    /// Show certificates, requests and keys, in PEM or DER, whoever wrote them.
    Inspect(inspect::Inspect),
    /// Serve ShangMi TLS and send back what comes, to try another program against.
    Serve(peer::Serve),
    /// Connect by ShangMi TLS, send lines and show the answers.
    Connect(peer::Connect),
    /// Measure SM4-GCM, SM3, SM2 and handshakes on one core, side by side with the RustCrypto crates.
    Speed(speed::Speed),
}

fn main() -> anyhow::Result<()> {
    match manual::parse::<Arguments>().command {
        Command::Ca(command) => command.run(),
        Command::Cert(command) => command.run(),
        Command::Csr(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Connect(command) => command.run(),
        Command::Speed(command) => command.run(),
    }
}
