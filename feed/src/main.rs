//! The feed as a process: several sources in, one copy in order out to many subscribers.

use clap::Parser;
use feed::{Config, Server};
use service::admin::Admin;
use std::process::ExitCode;
use std::time::Duration;

/// Takes quotes from a primary source and its backups, makes one copy in order of them, and fans it out to thousands
/// of subscribers. --print-config shows every setting.
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
    tracing::info!(address = %server.address(), "subscribers' port");
    if let Some(address) = server.quic_address() {
        tracing::info!(%address, "subscribers' port over QUIC");
    }
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    if let Some(address) = server.web_address() {
        tracing::info!(%address, "browsers' port");
    }
    let reload = server.reload();
    let running = server.start()?;
    service::signals::install(&host.shutdown, reload)?;
    running.wait(drain_timeout)?;
    Ok(ExitCode::SUCCESS)
}
