//! All servers of the demo: a balancer, two gateways, two cores, a feed.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;
use transport::Clock;
use wire::szse::Text;

use crate::house::{BACKUP, Balancer, Core, Feed, Gateway, Kind, PRIMARY};
use crate::progress::Progress;
use crate::trading::plan::Plan;
use crate::wait::wait;
use crate::wires::Wires;

/// The gateways' names.
const GATEWAYS: [&str; 2] = ["a", "b"];

/// All servers of the demo.
pub(super) struct Town {
    pub(super) cores: Vec<Core>,
    pub(super) gateways: Vec<(&'static str, Gateway)>,
    pub(super) balancer: Balancer,
    pub(super) feed: Feed,
}

/// The feed's sources: for each core its primary, then for each its backup.
const SOURCES: [(Kind, usize, &str); 4] = [
    (Kind::Cash, 0, "cash primary"),
    (Kind::Margin, 0, "margin primary"),
    (Kind::Cash, 1, "cash backup"),
    (Kind::Margin, 1, "margin backup"),
];

impl Town {
    /// Starts them and waits until each has found those that it needs.
    pub(super) fn start(
        plan: &Plan,
        orders: u64,
        (wires, board): (&Wires, SocketAddr),
        clock: &Clock,
        progress: &mut Progress<impl Write>,
    ) -> anyhow::Result<Self> {
        let cores = Kind::ALL.map(|kind| Core::start(kind, orders, wires));
        let cores = cores.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let gateway =
            |name| Gateway::start(name, (plan, false), &cores, wires).map(|gateway| (name, gateway));
        let gateways = GATEWAYS.map(gateway).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let lines = || gateways.iter().map(|(_, gateway)| gateway.lines_up()).sum();
        wait(clock, progress, "gateways find the cores", lines, 4, || 0)?;
        let behind: Vec<_> = gateways.iter().map(|(name, gateway)| (*name, gateway.address)).collect();
        let balancer = Balancer::start(&behind)?;
        let up =
            || balancer.backends().iter().filter(|backend| backend.state == slb::State::Up).count() as u64;
        wait(clock, progress, "the balancer finds the gateways", up, 2, || 0)?;
        let comp_id = Text::literal(crate::house::COMP_ID);
        let feed =
            Feed::start_as(&sources(&cores), comp_id, wires, |config| config.web.listen = Some(board))?;
        let heard = || feed.meters.sum("feed_source_up") as u64;
        wait(clock, progress, "the feed finds its sources", heard, SOURCES.len() as u64, || 0)?;
        Ok(Self { cores, gateways, balancer, feed })
    }

    /// Kills the primary source: the primary market-data port of both cores.
    pub(super) fn kill_primary(&self) -> anyhow::Result<()> {
        let down = |core: &Core| core.control.set_port(PRIMARY, matcher_stub::PortState::Down);
        self.cores.iter().try_for_each(down).context("killing the primary source")
    }

    /// Numbers that the feed declared lost.
    pub(super) fn numbers_lost(&self) -> u64 {
        self.feed.meters.sum("feed_numbers_lost_total") as u64
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.feed.stop()?;
        self.balancer.stop()?;
        self.gateways.into_iter().try_for_each(|(_, gateway)| gateway.stop())?;
        self.cores.into_iter().try_for_each(Core::stop)
    }
}

fn sources(cores: &[Core]) -> Vec<(&'static str, SocketAddr)> {
    let find = |kind| cores.iter().find(|core| core.kind == kind).expect("invariant: both cores run");
    SOURCES.map(|(kind, port, name)| (name, find(kind).market_data[port])).into()
}

/// The names of the sources of one kind, primary or backup.
pub(super) fn source_names(port: &str) -> [&'static str; 2] {
    match port {
        BACKUP => [SOURCES[2].2, SOURCES[3].2],
        _ => [SOURCES[0].2, SOURCES[1].2],
    }
}
