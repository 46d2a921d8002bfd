//! A server as a process of its own, out of this executable: what `main` of each server does, so that no other binary
//! has to be found. Signals are taken before the admin port answers: who has seen that may send one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use service::Host;
use service::admin::Admin;
use service::cli::ServiceArgs;
use service::telemetry::LogFormat;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    /// An order gateway.
    Gateway,
    /// A trading core.
    Core,
    /// A balancer.
    Slb,
    /// A feed.
    Feed,
}

/// Runs a server, for a scenario whose servers are processes of their own
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Which
    #[arg(value_enum)]
    pub server: Server,
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The process that it ends with, whatever ends that
    #[arg(long, value_name = "PID")]
    pub parent: i32,
}

/// Runs it to its end.
///
/// # Errors
/// What keeps it from running.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    end_with(args.parent)?;
    service::telemetry::init(LogFormat::Text)?;
    service::process::raise_file_limit();
    let service = ServiceArgs { config: Some(args.config.clone()), ..ServiceArgs::default() };
    let host = service.host()?;
    let ended = match args.server {
        Server::Gateway => gateway(args, &host),
        Server::Core => core(args, &host),
        Server::Slb => slb(args, &host),
        Server::Feed => feed(args, &host),
    };
    ended.map_err(|error| service.placed(error))?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the system kill this process when the one that started it is gone.
fn end_with(parent: i32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the parent")?;
    // It may have ended before we asked.
    ensure!(getppid().map(Pid::as_raw_pid) == Some(parent), "process {parent} is not our parent (any more)");
    Ok(())
}

fn gateway(args: &Args, host: &Host) -> anyhow::Result<()> {
    let config: gateway::Config = service::config::load(&args.config)?;
    let admin = Admin::bind(&config.admin, host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let server = gateway::Server::bind(config, host)?;
    let tls = server.tls();
    service::signals::install(&host.shutdown, move || tls.reload())?;
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let running = server.start()?;
    Ok(running.wait(drain_timeout)?)
}

fn core(args: &Args, host: &Host) -> anyhow::Result<()> {
    let config: matcher_stub::Config = service::config::load(&args.config)?;
    let admin = Admin::bind(&config.admin, host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let server = matcher_stub::Server::bind(config, host)?;
    let tls = server.tls();
    service::signals::install(&host.shutdown, move || tls.reload())?;
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let running = server.start()?;
    Ok(running.wait(drain_timeout)?)
}

fn slb(args: &Args, host: &Host) -> anyhow::Result<()> {
    let config: slb::Config = service::config::load(&args.config)?;
    let admin = Admin::bind(&config.admin, host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let server = slb::Server::bind(config, host)?;
    service::signals::install(&host.shutdown, || {})?;
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let running = server.start()?;
    Ok(running.wait(drain_timeout)?)
}

fn feed(args: &Args, host: &Host) -> anyhow::Result<()> {
    let config: feed::Config = service::config::load(&args.config)?;
    let admin = Admin::bind(&config.admin, host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let server = feed::Server::bind(config, host)?;
    service::signals::install(&host.shutdown, server.reload())?;
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let running = server.start()?;
    Ok(running.wait(drain_timeout)?)
}
