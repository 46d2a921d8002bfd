//! The servers of the story: two cores, two gateways, the balancer; their configurations, and how each fault is made.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use service::tls::Settings;
use transport::Clock;

use super::audit;
use super::evidence::{Flow, Trail};
use super::faults::{Fault, GATEWAYS, LINES};
use super::process::Process;
use super::random::Random;
use super::role::Server;
use crate::admin;
use crate::house::{COMP_ID, Kind, PARTITIONS, SECURITIES, SECURITY_FIRST};
use crate::trading::plan::Plan;

/// Below what the system gives to connections that go out: a server that is started again must find its port free.
const PORTS: (u16, u16) = (15_000, 32_000);
/// More than a town has servers' ports.
const PORTS_PER_TOWN: u16 = 100;
/// How the lines to a core share the work, by gateway: both ways are put to the test.
const MODES: [&str; GATEWAYS.len()] = ["active-standby", "active-active"];
/// Small, so that a run has several files.
const AUDIT_SEGMENT_BYTES: u64 = 16 << 20;
const POOL: &str = "gateways";

/// What all configurations have in common.
pub(crate) struct Setting<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) tls: Option<&'a Settings>,
    pub(crate) plan: &'a Plan,
    /// Orders of the run.
    pub(crate) orders: u64,
    /// The cores keep a journal.
    pub(crate) journal: bool,
    /// The gateways keep an audit.
    pub(crate) audit: bool,
}

/// A core.
pub(super) struct Core {
    pub(super) kind: Kind,
    pub(super) lines: [SocketAddr; LINES.len()],
    pub(super) process: Process,
}

/// All servers.
pub(crate) struct Town {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    cores: Vec<Core>,
    gateways: Vec<Process>,
    slb: Process,
    /// For more servers; they are this town's as long as it stands.
    pub(crate) ports: Ports,
}

impl Town {
    /// Writes the configurations, starts all, and waits until orders can be sent.
    pub(crate) fn start(setting: &Setting<'_>, clock: &Clock) -> anyhow::Result<Self> {
        let mut ports = Ports::new(clock)?;
        let mut cores = Vec::new();
        for kind in Kind::ALL {
            let (lines, admin) = ([ports.next()?, ports.next()?], ports.next()?);
            let text = core_toml(setting, kind, lines, &[], admin)?;
            let process = written(setting, &format!("core-{}", kind.name()), Server::Core, &text, admin)?;
            cores.push(Core { kind, lines, process });
        }
        let (mut gateways, mut behind) = (Vec::new(), Vec::new());
        let lines: Vec<_> = cores.iter().map(|core| (core.kind, core.lines)).collect();
        for name in GATEWAYS {
            let (address, admin) = (ports.next()?, ports.next()?);
            let text = gateway_toml(setting, name, address, &lines, admin)?;
            gateways.push(written(setting, &format!("gateway-{name}"), Server::Gateway, &text, admin)?);
            behind.push((name, address));
        }
        let (address, admin) = (ports.next()?, ports.next()?);
        let slb = written(setting, "slb", Server::Slb, &slb_toml(address, &behind, admin), admin)?;
        let mut town = Self { address, cores, gateways, slb, ports };
        town.processes().try_for_each(Process::start)?;
        town.processes().try_for_each(|process| process.wait_ready(clock))?;
        Ok(town)
    }

    /// All of them.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let cores = self.cores.iter_mut().map(|core| &mut core.process);
        cores.chain(&mut self.gateways).chain(std::iter::once(&mut self.slb))
    }

    fn core(&mut self, kind: Kind) -> &mut Core {
        self.cores.iter_mut().find(|core| core.kind == kind).expect("invariant: both cores are there")
    }

    /// Makes a fault.
    pub(super) fn begin(&mut self, fault: Fault, clock: &Clock) -> anyhow::Result<()> {
        match fault {
            Fault::LineCut { core, line, how } => self.set_line(core, line, how.port_state(), clock),
            Fault::GatewayKilled { gateway } => Ok(self.gateways[gateway].kill()?),
            Fault::CoreKilled { core } => Ok(self.core(core).process.kill()?),
            Fault::SlbDrain { gateway } => {
                self.drain(gateway, true)?;
                // It may be about to start: then it takes no signal yet.
                self.gateways[gateway].wait_live(clock)?;
                Ok(self.gateways[gateway].terminate()?)
            }
        }
    }

    /// Mends it.
    pub(super) fn end(&mut self, fault: Fault, clock: &Clock) -> anyhow::Result<()> {
        match fault {
            Fault::LineCut { core, line, .. } => self.set_line(core, line, "up", clock),
            Fault::GatewayKilled { gateway } => self.gateways[gateway].start(),
            Fault::CoreKilled { core } => self.core(core).process.start(),
            Fault::SlbDrain { gateway } => {
                self.gateways[gateway].stop(clock)?;
                self.gateways[gateway].start()?;
                self.drain(gateway, false)
            }
        }
    }

    fn set_line(&mut self, core: Kind, line: usize, state: &str, clock: &Clock) -> anyhow::Result<()> {
        let process = &mut self.core(core).process;
        process.wait_live(clock)?;
        admin::put(process.admin, &format!("/ports/{}-{}/{state}", core.name(), LINES[line]))
    }

    fn drain(&self, gateway: usize, draining: bool) -> anyhow::Result<()> {
        let path = format!("/backends/{POOL}/{}/drain", GATEWAYS[gateway]);
        admin::post(self.slb.admin, &path, &format!("{{\"draining\": {draining}}}"))
    }

    /// Which servers have ended by themselves, and how.
    pub(super) fn casualties(&mut self) -> anyhow::Result<Vec<String>> {
        casualties(self.processes())
    }

    /// Whether each gateway has taken the last report of each partition.
    pub(super) fn has_all(&self, flows: &[Flow]) -> anyhow::Result<bool> {
        have_all(&self.gateways, flows)
    }

    /// What each gateway's audit holds; for gateways that have ended.
    pub(super) fn audits(&self, folder: &Path) -> anyhow::Result<Vec<Trail>> {
        audits(folder)
    }

    /// Waits until all are ready again.
    pub(super) fn wait_ready(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.processes().try_for_each(|process| process.wait_ready(clock))
    }

    /// Where each core is reached: by its first line.
    pub(super) fn core_addresses(&self) -> Vec<(Kind, SocketAddr)> {
        self.cores.iter().map(|core| (core.kind, core.lines[0])).collect()
    }

    /// Ends balancer and gateways in order.
    pub(crate) fn stop_gateways(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.slb.stop(clock)?;
        self.gateways.iter_mut().try_for_each(|gateway| gateway.stop(clock))
    }

    /// Kills the cores and starts them again.
    pub(super) fn kill_cores(&mut self, clock: &Clock) -> anyhow::Result<()> {
        kill_again(&mut self.cores, clock)
    }

    /// Ends the cores in order.
    pub(crate) fn stop_cores(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.cores.iter_mut().try_for_each(|core| core.process.stop(clock))
    }
}

/// Which of these have ended by themselves, and how.
pub(super) fn casualties<'a>(
    processes: impl Iterator<Item = &'a mut Process>,
) -> anyhow::Result<Vec<String>> {
    let mut ended = Vec::new();
    for process in processes {
        if let Some(status) = process.died()? {
            ended.push(format!("{} ended by itself: {status}", process.name));
        }
    }
    Ok(ended)
}

/// Kills cores and starts them again.
pub(super) fn kill_again(cores: &mut [Core], clock: &Clock) -> anyhow::Result<()> {
    for core in &mut *cores {
        core.process.kill()?;
        core.process.start()?;
    }
    cores.iter_mut().try_for_each(|core| core.process.wait_ready(clock))
}

/// What each gateway's audit holds; for gateways that have ended.
pub(super) fn audits(folder: &Path) -> anyhow::Result<Vec<Trail>> {
    GATEWAYS.iter().map(|name| audit::read(name, &audit_directory(folder, name))).collect()
}

/// Whether each gateway has taken the last report of each partition.
pub(super) fn have_all<'a>(
    gateways: impl IntoIterator<Item = &'a Process>,
    flows: &[Flow],
) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Line {
        partitions: Vec<Partition>,
    }
    #[derive(Deserialize)]
    struct Partition {
        partition_no: i32,
        next: i64,
    }
    for gateway in gateways {
        let lines: Vec<Line> = serde_json::from_str(&admin::get(gateway.admin, "/lines")?)?;
        let next: HashMap<i32, i64> = lines
            .iter()
            .flat_map(|line| &line.partitions)
            .map(|partition| (partition.partition_no, partition.next))
            .collect();
        let mut reports = flows.iter().flat_map(|flow| &flow.reports);
        if reports
            .any(|report| next.get(&report.place.partition).is_none_or(|next| *next <= report.place.index))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Free ports, which no other town takes while a server is down.
pub(crate) struct Ports {
    /// Listens at the first one: whoever finds it taken leaves those behind it alone.
    claim: TcpListener,
    last: u16,
}

impl Ports {
    pub(crate) fn new(clock: &Clock) -> anyhow::Result<Self> {
        let wall_ns = clock.wall_ns(clock.now_ns()).cast_unsigned();
        let mut random = Random::new(wall_ns ^ u64::from(std::process::id()) << 32);
        let towns = (PORTS.1 - PORTS.0) / PORTS_PER_TOWN;
        for _ in 0..1_000 {
            let first = PORTS.0 + random.between(0, towns.into()) as u16 * PORTS_PER_TOWN;
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) {
                return Ok(Self { claim, last: first });
            }
        }
        bail!("no free ports from {} to {}", PORTS.0, PORTS.1)
    }

    pub(crate) fn next(&mut self) -> anyhow::Result<SocketAddr> {
        let first = self.claim.local_addr()?.port();
        while self.last + 1 < first + PORTS_PER_TOWN {
            self.last += 1;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.last));
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        bail!("no free port from {first} to {}", self.last)
    }
}

pub(crate) fn written(
    setting: &Setting<'_>,
    name: &str,
    server: Server,
    text: &str,
    admin: SocketAddr,
) -> anyhow::Result<Process> {
    let path = setting.folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(Process::new(name, server, path, admin))
}

/// A path as a TOML string.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(toml::Value::from(text).to_string())
}

pub(crate) fn tls_toml(setting: &Setting<'_>) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Tls<'a> {
        tls: &'a Settings,
    }
    let Some(tls) = setting.tls else { return Ok(String::new()) };
    Ok(toml::to_string(&Tls { tls })?)
}

pub(super) fn core_toml(
    setting: &Setting<'_>,
    kind: Kind,
    [a, b]: [SocketAddr; LINES.len()],
    market_data: &[SocketAddr],
    admin: SocketAddr,
) -> anyhow::Result<String> {
    let (name, partition_first) = (kind.name(), kind.partition_first());
    let (cash, margin) = (kind == Kind::Cash, kind == Kind::Margin);
    let orders_max = setting.orders.saturating_mul(2).clamp(100_000, u32::MAX.into());
    let none = if market_data.is_empty() { "market_data = []\n" } else { "" };
    let channel_first = kind.channel_first();
    let mut text = format!(
        "{none}drain_timeout_ms = 1000

[[trading]]
name = \"{name}\"
listen = \"{a}\"
listen_b = \"{b}\"
platform_id = 1
partition_first = {partition_first}
partitions = {PARTITIONS}
cash = {cash}
margin = {margin}

[[security_ranges]]
first = \"{SECURITY_FIRST:06}\"
count = {SECURITIES}
prev_close = \"10.00\"

[core]
core_no = {partition_first}
channel_first = {channel_first}
channels = 1
orders_max = {orders_max}
orders_reserved = 100_000

[session]
comp_id = \"{COMP_ID}\"

[admin]
listen = \"{admin}\"

"
    );
    for (port, address) in LINES.iter().zip(market_data) {
        write!(text, "[[market_data]]\nname = \"quotes-{port}\"\nlisten = \"{address}\"\n\n")?;
    }
    if setting.journal {
        let directory = quoted(&setting.folder.join(format!("journal-{name}")))?;
        write!(text, "[journal]\ndirectory = {directory}\n\n")?;
    }
    text.push_str(&tls_toml(setting)?);
    Ok(text)
}

pub(super) fn gateway_toml(
    setting: &Setting<'_>,
    name: &str,
    address: SocketAddr,
    cores: &[(Kind, [SocketAddr; LINES.len()])],
    admin: SocketAddr,
) -> anyhow::Result<String> {
    let mut text = format!(
        "drain_timeout_ms = 1000\n\n[listen]\naddress = \"{address}\"\n\n[admin]\nlisten = \"{admin}\"\n\n"
    );
    for session in 0..setting.plan.sessions {
        let (comp_id, account) = (setting.plan.comp_id(session), setting.plan.account(session));
        write!(
            text,
            "[[clients]]\ncomp_id = \"{comp_id}\"\npassword = \"\"\naccounts = [\"{account}\"]\n\n"
        )?;
    }
    for (kind, [line_a, line_b]) in cores {
        let (kind, partition_first) = (kind.name(), kind.partition_first());
        let mode = MODES[usize::from(name == GATEWAYS[1])];
        write!(
            text,
            "[[cores]]
core = \"{kind}\"
address = \"{line_a}\"
address_b = \"{line_b}\"
mode = \"{mode}\"
sender_comp_id = \"gateway-{name}\"
target_comp_id = \"{COMP_ID}\"
heartbeat_s = 1
partition_first = {partition_first}
partitions = {PARTITIONS}
connect_timeout_ms = 1000
backoff_min_ms = 50
backoff_max_ms = 500

"
        )?;
    }
    if setting.audit {
        let directory = quoted(&audit_directory(setting.folder, name))?;
        write!(text, "[audit]\ndirectory = {directory}\nsegment_bytes = {AUDIT_SEGMENT_BYTES}\n\n")?;
    }
    text.push_str(&tls_toml(setting)?);
    Ok(text)
}

fn audit_directory(folder: &Path, gateway: &str) -> PathBuf {
    folder.join(format!("audit-{gateway}"))
}

/// How a pool looks after its backends.
pub(super) const fn health_toml() -> &'static str {
    "[pools.health]
interval_ms = 200
timeout_ms = 1000
rise = 1
fall = 1

[pools.connect]
timeout_ms = 1000
attempts = 2

"
}

fn slb_toml(address: SocketAddr, gateways: &[(&str, SocketAddr)], admin: SocketAddr) -> String {
    let mut text = format!(
        "workers = 1
drain_timeout_ms = 500

[admin]
listen = \"{admin}\"

[[listeners]]
name = \"orders\"
listen = \"{address}\"
pool = \"{POOL}\"

[[pools]]
name = \"{POOL}\"
scheduler = \"wlc\"

{}",
        health_toml()
    );
    for (name, address) in gateways {
        text.push_str(&format!("[[pools.backends]]\nname = \"{name}\"\naddress = \"{address}\"\n\n"));
    }
    text
}
