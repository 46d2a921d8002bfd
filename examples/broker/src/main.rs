//! The example as processes: the toy counter, the adapter that makes a core of it, a gateway with the broker's own rules and
//! audit, and a feed with the broker's own list of who may see what.

use anyhow::Context;
use broker_example::check::{BranchList, DailyLimit, Forbidden, forbidden};
use broker_example::counter::ToyCounter;
use broker_example::lines::Lines;
use broker_example::rights::Subscriptions;
use broker_example::store::JsonLines;
use broker_example::vendor::Vendor;
use clap::{Parser, Subcommand};
use core_port::adapter::Adapter;
use service::admin::Admin;
use service::cli::ServiceArgs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// An integration to begin with: a counter, a pre-trade rule and an audit store of a broker's own. docs/integration.md.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Plays the broker's counter
    Counter {
        /// Where adapters connect
        #[arg(long, default_value = "127.0.0.1:7301")]
        listen: SocketAddr,
        /// Where the day is kept
        #[arg(long, default_value = "counter-journal")]
        directory: PathBuf,
    },
    /// Makes a core of the counter, to which gateways connect
    Adapter {
        #[command(flatten)]
        service: ServiceArgs,
    },
    /// The gateway, with the rules and the audit of this example
    Gateway {
        #[command(flatten)]
        service: ServiceArgs,
        /// What may not be traded from where: a line BRANCH,SECURITY each. SIGHUP reads it again
        #[arg(long)]
        forbidden: Option<PathBuf>,
        /// Most money that an account's orders of a day may be worth, yuan
        #[arg(long)]
        daily_limit: Option<u64>,
        /// The file of the audit, JSON lines
        #[arg(long, default_value = "audit.jsonl")]
        audit: PathBuf,
    },
    /// A feed whose subscribers' rights come from the broker's own list
    Feed {
        #[command(flatten)]
        service: ServiceArgs,
        /// Who may see what: a line COMPID,PASSWORD,MARKETS,LEVEL,CONNECTIONS each. A change is seen within a second
        #[arg(long)]
        rights: PathBuf,
        /// Where a vendor of quotes listens; its source in the configuration is `vendor`, with `via = "door"`
        #[arg(long)]
        vendor: Option<SocketAddr>,
    },
}

fn main() -> ExitCode {
    service::process::exit_code(run(), 1)
}

fn run() -> anyhow::Result<ExitCode> {
    match Args::parse().part {
        Part::Counter { listen, directory } => {
            service::telemetry::init(service::telemetry::LogFormat::default())?;
            ToyCounter::start(listen, &directory)?.wait();
        }
        Part::Adapter { service } => adapter(&service).map_err(|error| service.placed(error))?,
        Part::Gateway { service, forbidden, daily_limit, audit } => {
            let ended = gateway(&service, forbidden, daily_limit, &audit);
            ended.map_err(|error| service.placed(error))?;
        }
        Part::Feed { service, rights, vendor } => {
            feed(&service, &rights, vendor).map_err(|error| service.placed(error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

// [adapter]
fn adapter(args: &ServiceArgs) -> anyhow::Result<()> {
    let Some(config) = args.config::<core_port::adapter::Config>()? else { return Ok(()) };
    args.start_log()?;
    let host = args.host()?;
    let admin = Admin::bind(&config.admin, &host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let adapter = Adapter::bind(config, Lines::default(), &host)?;
    let _admin = admin.ready(adapter.readiness()).start()?;
    let tls = adapter.tls();
    let running = adapter.start()?;
    service::signals::install(&host.shutdown, move || tls.reload())?;
    Ok(running.wait(drain_timeout)?)
}
// [adapter]

// [gateway]
fn gateway(
    args: &ServiceArgs,
    forbidden: Option<PathBuf>,
    daily_limit: Option<u64>,
    audit: &Path,
) -> anyhow::Result<()> {
    let Some(config) = args.config::<gateway::Config>()? else { return Ok(()) };
    args.start_log()?;
    service::process::raise_file_limit();
    let host = args.host()?;
    let admin = Admin::bind(&config.admin, &host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let (branches, list) = BranchList::new(read(forbidden.as_deref())?);
    let mut server = gateway::Server::bind(config, &host)?
        .with_check(Box::new(branches))
        .with_audit(Box::new(JsonLines::open(audit).with_context(|| audit.display().to_string())?));
    if let Some(yuan) = daily_limit {
        server = server.with_check(Box::new(DailyLimit::new(yuan)));
    }
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let (tls, reload) = (server.tls(), server.reload());
    let running = server.start()?;
    service::signals::install(&host.shutdown, move || {
        tls.reload();
        reload();
        match read(forbidden.as_deref()) {
            Ok(new) => list.store(new.into()),
            Err(error) => tracing::error!("{error:#}: the list before stays in force"),
        }
    })?;
    Ok(running.wait(drain_timeout)?)
}
// [gateway]

// [feed]
fn feed(args: &ServiceArgs, rights: &Path, vendor: Option<SocketAddr>) -> anyhow::Result<()> {
    let Some(config) = args.config::<feed::Config>()? else { return Ok(()) };
    args.start_log()?;
    service::process::raise_file_limit();
    let host = args.host()?;
    let admin = Admin::bind(&config.admin, &host)?;
    let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    let subscriptions = Subscriptions::open(rights).with_context(|| rights.display().to_string())?;
    subscriptions.watch(rights.to_owned(), Duration::from_secs(1))?;
    let mut server = feed::Server::bind(config, &host)?.with_entitlement(subscriptions);
    if let Some(address) = vendor {
        server = server.with_source("vendor", Vendor(address));
    }
    let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let reload = server.reload();
    let running = server.start()?;
    service::signals::install(&host.shutdown, reload)?;
    Ok(running.wait(drain_timeout)?)
}
// [feed]

fn read(path: Option<&Path>) -> anyhow::Result<Forbidden> {
    let Some(path) = path else { return Ok(Forbidden::new()) };
    let named = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(named)?;
    forbidden(&text).with_context(named)
}
