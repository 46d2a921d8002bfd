//! The balancer as a program; all it does is in the library.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use service::admin::Admin;
use service::config::load;
use slb::{Config, Control, Server};

/// A layer-4 load balancer: one address for many servers
///
/// Takes TCP connections and passes each on to a server of a pool: by weight (smooth weighted round
/// robin), evenly, to the least loaded, or by the client's address. Servers that do not answer are
/// left out until they do. Weights and drains change at run time through the admin port.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    service: service::cli::ServiceArgs,
}

fn main() -> ExitCode {
    service::process::exit_code(run(), 1)
}

fn run() -> anyhow::Result<ExitCode> {
    let args: Args = manual::parse();
    let Some(config) = args.service.config::<Config>()? else { return Ok(ExitCode::SUCCESS) };
    service::telemetry::init(args.service.log_format)?;
    service::process::raise_file_limit();
    let host = service::Host::for_process()?;
    let admin = Admin::bind(&config.admin, &host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let server = Server::bind(config, &host)?;
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let control = server.control().clone();
    service::signals::install(&host.shutdown, move || reload(&control, args.service.config.as_deref()))?;
    let running = server.start()?;
    running.wait(drain_timeout)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes over from the file what can change without dropping a connection.
fn reload(control: &Control, file: Option<&Path>) {
    let Some(file) = file else { return tracing::warn!("reload: there is no configuration file") };
    match load::<Config>(file) {
        Ok(config) => control.reload(&config),
        Err(error) => tracing::error!("reload refused, all stays as it was: {error:#}"),
    }
}
