//! Looks into a journal: what is in it, and whether all of it is good.

use anyhow::Context;
use clap::{Parser, Subcommand};
use journal::Reader;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Looks into a journal; it may be written meanwhile.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints records, one a line: number, time (ns since 1970), kind, length, payload in hexadecimal
    Print {
        /// The journal's directory
        directory: PathBuf,
        /// The first record; left out, the oldest that is there
        #[arg(long)]
        from: Option<u64>,
        /// Records, at most
        #[arg(long, default_value_t = u64::MAX)]
        count_max: u64,
        /// One JSON object a line instead
        #[arg(long)]
        json: bool,
    },
    /// Reads all of it and says what is there; exit code 1 where it is damaged, with the file and the byte, and where there is none
    Verify {
        /// The journal's directory
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(manual::parse::<Cli>().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("journal: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match command {
        Command::Print { directory, from, count_max, json } => {
            let reader = Reader::existing(&directory, from)?;
            print(reader, count_max, json, &mut out)
        }
        Command::Verify { directory } => verify(Reader::existing(&directory, None)?, &mut out),
    };
    match done.and_then(|code| out.flush().map(|()| code).map_err(Into::into)) {
        // Who reads has seen enough: `journal print … | head`.
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        done => done,
    }
}

fn print(mut reader: Reader, count_max: u64, json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    for _ in 0..count_max {
        let Some(record) = reader.next()? else { break };
        let hex: String = record.payload.iter().map(|byte| format!("{byte:02x}")).collect();
        if json {
            let line = serde_json::json!({
                "number": record.number, "unix_ns": record.unix_ns, "kind": record.kind, "payload": hex,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{} {} {} {} {hex}",
                record.number,
                record.unix_ns,
                record.kind,
                record.payload.len()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(mut reader: Reader, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let first = reader.next_number();
    let mut kinds: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    let end = loop {
        match reader.next() {
            Ok(Some(record)) => {
                let (records, bytes) = kinds.entry(record.kind).or_default();
                *records += 1;
                *bytes += record.payload.len() as u64;
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let next = reader.next_number();
    match next - first {
        0 => writeln!(out, "no record")?,
        records => writeln!(out, "{records} records, {first} to {}", next - 1)?,
    }
    for (kind, (records, bytes)) in kinds {
        writeln!(out, "  kind {kind}: {records} records, {bytes} bytes of payload")?;
    }
    match end {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => {
            writeln!(out, "{error}").context("writing")?;
            Ok(ExitCode::from(1))
        }
    }
}
