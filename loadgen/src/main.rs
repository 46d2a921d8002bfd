//! The load generator's command line.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use loadgen::progress::Progress;
use loadgen::report::Report;
use loadgen::{ceiling, chaos, demo, failover, lines, orders, quotes, replay, scenario};
use service::shutdown::Shutdown;

/// Measures feeds and gateways honestly, replays recorded days, and shows the whole scenario.
///
/// Open loop: every message has a due time that follows from the rate alone, and latency counts from it. The progress
/// line goes to standard error, the result to standard output.
///
/// Exit code 0: everything arrived once and in order, and the generator held its own schedule. 1: something was lost,
/// doubled, refused or out of order, or a connection ended. 2: it could not run. 3: the generator did not send what it should
/// have in its time, so the figures are those of another rate.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Box<Scenario>),
    #[command(hide = true)]
    Role(chaos::role::Args),
}

#[derive(Subcommand)]
enum Scenario {
    Quotes(quotes::Args),
    Orders(orders::Args),
    Replay(replay::Args),
    Demo(demo::Args),
    Chaos(chaos::Args),
    Failover(failover::Args),
    Drill(chaos::drill::Args),
    Lines(lines::Args),
    Run(scenario::Args),
    Ceiling(ceiling::Args),
    Compare(scenario::compare::Args),
}

fn main() -> ExitCode {
    let outcome = match manual::parse::<Cli>().command {
        Command::Scenario(scenario) => run(&scenario),
        Command::Role(args) => chaos::role::run(&args),
    };
    service::process::exit_code(outcome, 2)
}

fn run(scenario: &Scenario) -> anyhow::Result<ExitCode> {
    loadgen::telemetry::init()?;
    service::process::raise_file_limit();
    let mut progress = Progress::stderr();
    match scenario {
        Scenario::Quotes(args) => finish(&quotes::run(args, &mut progress)?, args.cast.json.as_deref()),
        Scenario::Orders(args) if args.print_clients => {
            print!("{}", args.clients_toml()?);
            Ok(ExitCode::SUCCESS)
        }
        Scenario::Orders(args) => finish(&orders::run(args, &mut progress)?, args.json.as_deref()),
        Scenario::Replay(args) => finish(&replay::run(args, &mut progress)?, args.cast.json.as_deref()),
        Scenario::Demo(args) => {
            let report = demo::run(args)?;
            write_json(&report, args.json.as_deref())?;
            Ok(ExitCode::from(u8::from(!demo::succeeded(&report))))
        }
        Scenario::Chaos(args) => chaos::command(args, &mut progress),
        Scenario::Failover(args) => failover::command(args, &mut progress),
        Scenario::Drill(args) => chaos::drill::command(args, &mut progress),
        Scenario::Run(args) => play(args, &mut progress),
        Scenario::Ceiling(args) => {
            print!("{}", ceiling::run(args, &mut progress)?);
            Ok(ExitCode::SUCCESS)
        }
        Scenario::Compare(args) => {
            print!("{}", scenario::compare::run(args)?);
            Ok(ExitCode::SUCCESS)
        }
        Scenario::Lines(args) => {
            let need = lines::need(args)?;
            print!("{need}");
            if let Some(path) = &args.json {
                let text = serde_json::to_string_pretty(&need)? + "\n";
                std::fs::write(path, text).with_context(|| path.display().to_string())?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Plays a scenario, writes what is wanted of it and says by the exit code what it is worth.
fn play(args: &scenario::Args, progress: &mut Progress<std::io::Stderr>) -> anyhow::Result<ExitCode> {
    let (file, text) = scenario::file::Scenario::read(&args.file)?;
    if args.check {
        print!("{}", scenario::described(&file));
        return Ok(ExitCode::SUCCESS);
    }
    let outputs = scenario::outputs::Outputs::open(args)?;
    let ending = Shutdown::default();
    service::signals::install(&ending, || {}).context("taking over the signals")?;
    let run = scenario::run(&file, &text, &ending, progress)?;
    print!("{run}");
    outputs.write(&run)?;
    Ok(ExitCode::from(run.outcome.code()))
}

fn write_json(report: &Report, json: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = json else { return Ok(()) };
    report.write_json(path).with_context(|| path.display().to_string())
}

/// Shows the result and says by the exit code what it is worth.
fn finish(report: &Report, json: Option<&Path>) -> anyhow::Result<ExitCode> {
    print!("{report}");
    write_json(report, json)?;
    if !report.is_clean() {
        return Ok(ExitCode::from(1));
    }
    if !report.sent_as_planned() {
        eprintln!(
            "loadgen: fell behind its own schedule: take a lower rate, more threads or another machine"
        );
        return Ok(ExitCode::from(3));
    }
    Ok(ExitCode::SUCCESS)
}
