//! A trading core inside this process: a desk, an exchange, and its market data on two ports.

use std::net::SocketAddr;

use anyhow::Context;
use matcher_stub::config::{
    CoreConfig, LogConfig, MarketDataPort, SecurityRange, SessionConfig, TradingPort,
};
use matcher_stub::{Config, Control, Server};
use service::{Host, Running};

use super::{Meters, free_port};
use crate::wires::Wires;

/// Which core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Normal trading.
    Cash,
    /// Margin trading.
    Margin,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cash, Self::Margin];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Margin => "margin",
        }
    }

    /// PartitionNo of its first report partition.
    #[must_use]
    pub const fn partition_first(self) -> u16 {
        match self {
            Self::Cash => 1,
            Self::Margin => 11,
        }
    }

    /// ChannelNo of its first channel.
    pub(crate) const fn channel_first(self) -> u16 {
        match self {
            Self::Cash => 2011,
            Self::Margin => 2021,
        }
    }
}

/// What gateways and feeds call the cores.
pub const COMP_ID: &str = "core";
/// Report partitions of each core.
pub(crate) const PARTITIONS: u16 = 2;
/// Market-data channels of each core.
const CHANNELS: u16 = 1;
/// The first security, as a number of six digits.
pub const SECURITY_FIRST: u32 = 1;
/// Securities of each core.
pub const SECURITIES: u32 = 500;
/// The market-data port that is killed.
pub const PRIMARY: &str = "primary";
/// The one that takes over.
pub const BACKUP: &str = "backup";

/// A core that runs.
pub struct Core {
    /// Which one.
    pub kind: Kind,
    /// Where gateways connect.
    pub trading: SocketAddr,
    /// Where feeds connect: the primary and the backup.
    pub market_data: [SocketAddr; 2],
    /// Lets its ports fail.
    pub control: Control,
    /// What it counts.
    pub meters: Meters,
    running: Running,
}

impl Core {
    /// Starts one for about `orders` orders.
    ///
    /// # Errors
    /// What the system or the core says.
    pub fn start(kind: Kind, orders: u64, wires: &Wires) -> anyhow::Result<Self> {
        let context = || format!("the {} core", kind.name());
        let host = Host::default();
        let server = Server::bind(config(kind, orders, wires), &host).with_context(context)?;
        let address = |port| server.address(port).expect("invariant: the port is in the configuration");
        let core = Self {
            kind,
            trading: address(kind.name()),
            market_data: [address(PRIMARY), address(BACKUP)],
            control: server.control(),
            meters: Meters::of(&host),
            running: server.start().with_context(context)?,
        };
        Ok(core)
    }

    /// Ends it.
    ///
    /// # Errors
    /// A thread of it panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.running.stop().with_context(|| format!("the {} core", self.kind.name()))
    }
}

fn config(kind: Kind, orders: u64, wires: &Wires) -> Config {
    let market_data =
        |name: &str| MarketDataPort { name: name.to_string(), listen: free_port(), transport: None };
    Config {
        trading: vec![TradingPort {
            name: kind.name().to_string(),
            listen: free_port(),
            listen_b: None,
            transport: None,
            platform_id: 1,
            partition_first: kind.partition_first(),
            partitions: PARTITIONS,
            cash: kind == Kind::Cash,
            margin: kind == Kind::Margin,
        }],
        market_data: vec![market_data(PRIMARY), market_data(BACKUP)],
        security_ranges: vec![SecurityRange {
            first: format!("{SECURITY_FIRST:06}"),
            count: SECURITIES,
            prev_close: "10.00".to_string(),
            band_percent: 10,
        }],
        core: CoreConfig {
            core_no: kind.partition_first(),
            channel_first: kind.channel_first(),
            channels: CHANNELS,
            orders_max: u32::try_from(orders.saturating_mul(2)).unwrap_or(u32::MAX).max(1_000_000),
            orders_reserved: 100_000,
            ..CoreConfig::default()
        },
        session: SessionConfig { comp_id: COMP_ID.to_string(), ..SessionConfig::default() },
        log: LogConfig::default(),
        tls: wires.settings(),
        ..Config::default()
    }
}
