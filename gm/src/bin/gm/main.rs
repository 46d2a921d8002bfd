//! `gm`: certificates for ShangMi TLS, and how fast this machine does ShangMi.

mod files;
mod inspect;
mod issue;
mod password;
mod speed;

use clap::{Parser, Subcommand};

/// ShangMi certificates (SM2 with SM3) and speed.
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
    /// Measure SM4-GCM, SM3, SM2 and handshakes on one core, side by side with the RustCrypto crates.
    Speed(speed::Speed),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Ca(command) => command.run(),
        Command::Cert(command) => command.run(),
        Command::Csr(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Speed(command) => command.run(),
    }
}
