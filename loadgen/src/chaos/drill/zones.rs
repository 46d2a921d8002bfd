//! The servers of the drill. A zone is a balancer, a gateway, a feed, and its end of the leased lines, through which all of
//! that zone's line passes, whichever zone's server uses it. The cores are the broker's, beyond the lines.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context;
use rustix::process::Signal;
use transport::Clock;

use super::super::evidence::Flow;
use super::super::faults::{GATEWAYS as ZONES, LINES};
use super::super::process::Process;
use super::super::role::Server;
use super::super::town::{
    self, Core, Ports, Setting, core_toml, gateway_toml, health_toml, tls_toml, written,
};
use super::How;
use crate::house::{COMP_ID, Kind};

/// The processes of one zone.
struct Zone {
    line: Process,
    gateway: Process,
    feed: Process,
    slb: Process,
}

impl Zone {
    fn processes(&mut self) -> [&mut Process; 4] {
        [&mut self.line, &mut self.gateway, &mut self.feed, &mut self.slb]
    }
}

/// Both leased lines of a core, each to one zone: what it carries is orders and quotes.
struct Line {
    kind: Kind,
    /// At the core.
    far: [ByZone; CARRIED.len()],
    /// In the zones, where servers meet it.
    near: [ByZone; CARRIED.len()],
}

impl Line {
    /// What a zone's end passes on: name, where it listens, to where.
    fn ends(&self, zone: usize) -> [(String, SocketAddr, Vec<SocketAddr>); CARRIED.len()] {
        [0, 1].map(|what| {
            let name = format!("{}-{}", self.kind.name(), CARRIED[what]);
            (name, self.near[what][zone], vec![self.far[what][zone]])
        })
    }
}

/// All servers.
pub(super) struct Zones {
    /// Where clients send orders, by zone.
    pub(super) orders: Vec<SocketAddr>,
    /// Where subscribers connect, by zone.
    pub(super) quotes: Vec<SocketAddr>,
    /// Each core's own market data.
    pub(super) published: Vec<SocketAddr>,
    cores: Vec<Core>,
    zones: Vec<Zone>,
    /// Theirs as long as they stand: a zone that is down finds its own free.
    _ports: Ports,
}

/// Where something of each zone listens.
type ByZone = [SocketAddr; ZONES.len()];
/// What a line carries.
const CARRIED: [&str; 2] = ["orders", "quotes"];

impl Zones {
    /// Writes the configurations, starts all, and waits until orders and quotes can flow.
    pub(super) fn start(setting: &Setting<'_>, how: How, clock: &Clock) -> anyhow::Result<Self> {
        let mut ports = Ports::new(clock)?;
        let mut both = || -> anyhow::Result<ByZone> { Ok([ports.next()?, ports.next()?]) };
        let (mut cores, mut lines) = (Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let (orders, quotes, [admin, _]) = (both()?, both()?, both()?);
            let text = core_toml(setting, kind, orders, &quotes, admin)?;
            let process = written(setting, &format!("core-{}", kind.name()), Server::Core, &text, admin)?;
            cores.push(Core { kind, lines: orders, process });
            lines.push(Line { kind, far: [orders, quotes], near: [both()?, both()?] });
        }
        let published = lines.iter().map(|line| line.far[1][0]).collect();
        let near =
            |what: usize| lines.iter().map(move |line| (line.kind, line.near[what])).collect::<Vec<_>>();
        let (gateways, feeds, orders, quotes) = (both()?, both()?, both()?, both()?);
        let mut zones = Vec::new();
        for (zone, name) in ZONES.into_iter().enumerate() {
            let written = |kind: &str, server, text: &str, admin| {
                written(setting, &format!("{kind}-{name}"), server, text, admin)
            };
            let ends: Vec<_> = lines.iter().flat_map(|line| line.ends(zone)).collect();
            // The system still takes connections for a process that is frozen, as it would not in a zone that is cut off: a
            // balancer's check would not notice. So then each balancer has the servers of its own zone alone.
            let balanced = |all: ByZone| match how {
                How::Killed => all.to_vec(),
                How::Frozen => vec![all[zone]],
            };
            let balanced = [
                ("orders".to_string(), orders[zone], balanced(gateways)),
                ("quotes".to_string(), quotes[zone], balanced(feeds)),
            ];
            let ([line, gateway], [feed, slb]) = (both()?, both()?);
            let of_gateway = gateway_toml(setting, name, gateways[zone], &near(0), gateway)?;
            let of_feed = feed_toml(setting, name, feeds[zone], &near(1), feed)?;
            zones.push(Zone {
                line: written("line", Server::Slb, &balancer_toml(&ends, line), line)?,
                gateway: written("gateway", Server::Gateway, &of_gateway, gateway)?,
                feed: written("feed", Server::Feed, &of_feed, feed)?,
                slb: written("slb", Server::Slb, &balancer_toml(&balanced, slb), slb)?,
            });
        }
        let (orders, quotes) = (orders.to_vec(), quotes.to_vec());
        let mut all = Self { orders, quotes, published, cores, zones, _ports: ports };
        all.processes().try_for_each(Process::start)?;
        all.wait_ready(clock)?;
        Ok(all)
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let cores = self.cores.iter_mut().map(|core| &mut core.process);
        cores.chain(self.zones.iter_mut().flat_map(Zone::processes))
    }

    /// Processes of a zone.
    pub(super) fn count(&mut self, zone: usize) -> usize {
        self.zones[zone].processes().len()
    }

    /// The zone is gone, all of it at once.
    pub(super) fn lose(&mut self, zone: usize, how: How) -> anyhow::Result<()> {
        let signal = match how {
            How::Killed => Signal::KILL,
            How::Frozen => Signal::STOP,
        };
        for process in self.zones[zone].processes() {
            process.signal(signal).with_context(|| process.name.clone())?;
        }
        // Only now is it waited for: nothing of it outlives the rest.
        match how {
            How::Killed => Ok(self.zones[zone].processes().into_iter().try_for_each(Process::kill)?),
            How::Frozen => Ok(()),
        }
    }

    /// The zone is there again, from what its disks hold; waits until all of it is ready.
    pub(super) fn bring_back(&mut self, zone: usize, clock: &Clock) -> anyhow::Result<()> {
        for process in self.zones[zone].processes() {
            process.kill().with_context(|| process.name.clone())?;
        }
        for process in self.zones[zone].processes() {
            process.start()?;
        }
        self.zones[zone].processes().into_iter().try_for_each(|process| process.wait_ready(clock))
    }

    /// Which servers have ended by themselves, and how.
    pub(super) fn casualties(&mut self) -> anyhow::Result<Vec<String>> {
        town::casualties(self.processes())
    }

    /// Waits until all are ready.
    pub(super) fn wait_ready(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.processes().try_for_each(|process| process.wait_ready(clock))
    }

    /// Whether each gateway has taken the last report of each partition.
    pub(super) fn have_all(&self, flows: &[Flow]) -> anyhow::Result<bool> {
        town::have_all(self.zones.iter().map(|zone| &zone.gateway), flows)
    }

    /// Where each core is reached itself, over no zone.
    pub(super) fn core_addresses(&self) -> Vec<(Kind, SocketAddr)> {
        self.cores.iter().map(|core| (core.kind, core.lines[0])).collect()
    }

    /// Ends all zones in order.
    pub(super) fn stop_zones(&mut self, clock: &Clock) -> anyhow::Result<()> {
        for zone in &mut self.zones {
            for process in zone.processes().into_iter().rev() {
                process.stop(clock)?;
            }
        }
        Ok(())
    }

    /// Kills the cores and starts them again.
    pub(super) fn kill_cores(&mut self, clock: &Clock) -> anyhow::Result<()> {
        town::kill_again(&mut self.cores, clock)
    }

    /// Ends the cores in order.
    pub(super) fn stop_cores(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.cores.iter_mut().try_for_each(|core| core.process.stop(clock))
    }
}

/// A balancer, or a line's end: what it listens for, where, and to whom it goes on.
fn balancer_toml(listeners: &[(String, SocketAddr, Vec<SocketAddr>)], admin: SocketAddr) -> String {
    let mut text = format!("workers = 1\ndrain_timeout_ms = 500\n\n[admin]\nlisten = \"{admin}\"\n\n");
    for (name, at, backends) in listeners {
        text.push_str(&format!(
            "[[listeners]]\nname = \"{name}\"\nlisten = \"{at}\"\npool = \"{name}\"\n\n[[pools]]\nname = \"{name}\"\nscheduler = \"wlc\"\n\n{}",
            health_toml()
        ));
        for (zone, address) in ZONES.iter().zip(backends) {
            text.push_str(&format!("[[pools.backends]]\nname = \"{zone}\"\naddress = \"{address}\"\n\n"));
        }
    }
    text
}

/// A feed with each core over both lines: from the open, so that one that was away has all of the day again.
fn feed_toml(
    setting: &Setting<'_>,
    zone: &str,
    address: SocketAddr,
    cores: &[(Kind, ByZone)],
    admin: SocketAddr,
) -> anyhow::Result<String> {
    let mut text = format!(
        "drain_timeout_ms = 500\n\n[listen]\naddress = \"{address}\"\n\n[admin]\nlisten = \"{admin}\"\n\n[arbitration]\nfrom = \"open\"\n\n"
    );
    for (kind, lines) in cores {
        for (line, address) in LINES.iter().zip(lines) {
            write!(
                text,
                "[[sources]]
name = \"{}-{line}\"
address = \"{address}\"
sender_comp_id = \"feed-{zone}-{line}\"
target_comp_id = \"{COMP_ID}\"
heartbeat_s = 1
connect_timeout_ms = 1000
backoff_min_ms = 50
backoff_max_ms = 500

",
                kind.name()
            )?;
        }
    }
    text.push_str(&tls_toml(setting)?);
    Ok(text)
}
