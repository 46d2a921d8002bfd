//! The gateway as a process: clients' orders in, each to the core that it is for, reports back.

use clap::Parser;
use gateway::{Config, Server};
use service::admin::Admin;
use std::process::ExitCode;
use std::time::Duration;

/// Takes clients' orders and cancels, checks them, brings each to the cash or the margin core, and brings their
/// reports back: live, and from any number on for who comes late. --print-config shows every setting.
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
    for (what, address, over) in server.ports()? {
        tracing::info!(%address, over, "{what}");
    }
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let (tls, reload) = (server.tls(), server.reload());
    let running = server.start()?;
    service::signals::install(&host.shutdown, move || {
        tls.reload();
        reload();
    })?;
    running.wait(drain_timeout)?;
    Ok(ExitCode::SUCCESS)
}
