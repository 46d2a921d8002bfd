//! Plays exchange and central-trading core: matches orders, reports, publishes market data.

use clap::Parser;
use matcher_stub::{Config, Server};
use service::admin::Admin;
use std::process::ExitCode;
use std::time::Duration;

/// Plays exchange and central-trading core.
///
/// Gateways log on to its trading ports (SZSE binary trading), feeds to its market-data ports (SZSE binary market
/// data). Orders are matched in memory, price before time; with a journal a core that was killed goes on where it was.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    service: service::cli::ServiceArgs,
}

fn main() -> ExitCode {
    let args: Args = manual::parse();
    service::process::exit_code(run(&args).map_err(|error| args.service.placed(error)), 1)
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(config) = args.service.config::<Config>()? else { return Ok(ExitCode::SUCCESS) };
    args.service.start_log()?;
    service::process::raise_file_limit();
    let host = args.service.host()?;
    let admin = Admin::bind(&config.admin, &host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let server = Server::bind(config, &host)?;
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let tls = server.tls();
    let running = server.start()?;
    service::signals::install(&host.shutdown, move || tls.reload())?;
    running.wait(drain_timeout)?;
    Ok(ExitCode::SUCCESS)
}
