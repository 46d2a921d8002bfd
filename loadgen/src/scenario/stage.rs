//! The servers of a scenario: a town of processes that is started for it, or servers that run already.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::Context;
use rustix::process::Signal;
use tempfile::TempDir;
use transport::Clock;

use super::file::{Component, Deed, Request, Scenario, Targets};
use crate::admin;
use crate::chaos::process::Process;
use crate::chaos::role::Server;
use crate::chaos::town::{self, Setting};
use crate::trading::plan::Plan;
use crate::wires::{Transport, WireArgs, Wires};

/// The servers of a scenario.
pub(super) struct Stage {
    pub(super) wires: Wires,
    /// Where orders go.
    pub(super) gateway: Option<SocketAddr>,
    /// Where subscribers come to.
    pub(super) feed: Option<SocketAddr>,
    /// Where our sources listen for the feed.
    pub(super) listen: Vec<SocketAddr>,
    /// The servers to look at.
    pub(super) components: Vec<Component>,
    town: Option<Town>,
}

/// Servers that were started for the run.
struct Town {
    servers: town::Town,
    feed: Option<Process>,
    /// Servers that are held, and until when, by the run's clock.
    held: Vec<(String, u64)>,
    /// Their configurations and logs.
    _folder: TempDir,
}

impl Stage {
    /// Starts a town, or takes the servers that the scenario names.
    pub(super) fn raise(
        scenario: &Scenario,
        plan: &Plan,
        orders: u64,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let args = |targets: Option<&Targets>| WireArgs {
            transport: scenario.transport,
            hybrid: false,
            ca: targets.and_then(|targets| targets.ca.clone()),
            certificate: targets.and_then(|targets| targets.certificate.clone()),
            key: targets.and_then(|targets| targets.key.clone()),
            server_name: targets.map(|targets| targets.server_name.clone()).unwrap_or_default(),
        };
        if let Some(targets) = &scenario.targets {
            return Ok(Self {
                wires: Wires::outside(&args(Some(targets)))?,
                gateway: targets.gateway,
                feed: targets.feed,
                listen: targets.listen.clone(),
                components: targets.components.clone(),
                town: None,
            });
        }
        let wires = Wires::local(&args(None))?;
        Self::town(scenario, plan, orders, wires, clock).context("the town")
    }

    fn town(
        scenario: &Scenario,
        plan: &Plan,
        orders: u64,
        wires: Wires,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tongdao-run-").context("a folder for the run")?;
        let settings = wires.settings();
        let setting = Setting {
            folder: folder.path(),
            tls: settings.as_ref(),
            plan,
            orders,
            journal: false,
            audit: scenario.audit,
        };
        let mut servers = town::Town::start(&setting, clock)?;
        let mut components: Vec<Component> = servers.processes().map(|process| component(process)).collect();
        let (mut feed, mut address, mut listen) = (None, None, Vec::new());
        if let Some(quotes) = &scenario.quotes {
            let ports = &mut servers.ports;
            for _ in 0..quotes.sources {
                listen.push(ports.next()?);
            }
            let (at, admin) = (ports.next()?, ports.next()?);
            let text = feed_toml(&setting, &quotes.comp_id, at, &listen, admin, scenario.transport)?;
            let mut process = town::written(&setting, "feed", Server::Feed, &text, admin)?;
            process.start()?;
            process.wait_live(clock)?;
            components.push(component(&process));
            (feed, address) = (Some(process), Some(at));
        }
        let gateway = Some(servers.address);
        let town = Some(Town { servers, feed, held: Vec::new(), _folder: folder });
        Ok(Self { wires, gateway, feed: address, listen, components, town })
    }

    /// Does what happens to servers.
    pub(super) fn act(&mut self, deed: &Deed, clock: &Clock) -> anyhow::Result<()> {
        match deed {
            Deed::Kill(server) => Ok(self.process(server)?.kill()?),
            Deed::Start(server) => self.process(server)?.start(),
            Deed::Hold { server, ms } => {
                self.process(server)?.signal(Signal::STOP)?;
                if let Some(town) = &mut self.town {
                    // From when it stands still: this thread may have been held up before that.
                    town.held.push((server.clone(), clock.now_ns() + ms * 1_000_000));
                }
                Ok(())
            }
            // Those take as long as the server does ([`Self::asked`]), and this is a source of ours, and no server.
            Deed::Put(_) | Deed::Post(_) | Deed::PrimarySource(_) => Ok(()),
        }
    }

    /// What is asked of a server at its admin port, on a thread of its own: a server that hangs holds up nobody else.
    ///
    /// # Errors
    /// There is no such server, or no thread.
    pub(super) fn asked(&self, deed: &Deed) -> anyhow::Result<Option<Receiver<anyhow::Result<()>>>> {
        let (Deed::Put(request) | Deed::Post(request)) = deed else { return Ok(None) };
        let (at, by_put) = (self.admin(&request.server)?, matches!(deed, Deed::Put(_)));
        let (Request { path, json, .. }, (to, answer)) = (request.clone(), sync_channel(1));
        let thread = std::thread::Builder::new().name("loadgen-event".into());
        thread
            .spawn(move || {
                let done = if by_put { admin::put(at, &path) } else { admin::post(at, &path, &json) };
                if to.try_send(done).is_err() {
                    tracing::debug!(%at, path, "an answer came too late");
                }
            })
            .context("a thread for an event")?;
        Ok(Some(answer))
    }

    /// Lets servers go on whose time of being held is over; which these are.
    pub(super) fn release(&mut self, now_ns: u64) -> anyhow::Result<Vec<String>> {
        let Some(town) = &mut self.town else { return Ok(Vec::new()) };
        let (over, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut town.held).into_iter().partition(|(_, until_ns)| now_ns >= *until_ns);
        town.held = held;
        let over: Vec<String> = over.into_iter().map(|(server, _)| server).collect();
        for server in &over {
            self.process(server)?.signal(Signal::CONT)?;
        }
        Ok(over)
    }

    fn process(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let town = self.town.as_mut().context("there is no town")?;
        let mut all = town.servers.processes().chain(&mut town.feed);
        all.find(|process| process.name == name)
            .with_context(|| format!("{name} does not run in this scenario"))
    }

    fn admin(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let found = self.components.iter().find(|component| component.name == name);
        Ok(found.with_context(|| format!("{name} does not run in this scenario"))?.admin)
    }

    /// Ends the town.
    pub(super) fn stop(self) -> io::Result<()> {
        let Some(mut town) = self.town else { return Ok(()) };
        // Nothing that they hold is wanted any more, and one that was held or killed would not end in order.
        town.servers.processes().chain(&mut town.feed).try_for_each(Process::kill)
    }
}

fn component(process: &Process) -> Component {
    Component { name: process.name.clone(), admin: process.admin }
}

fn feed_toml(
    setting: &Setting<'_>,
    comp_id: &str,
    address: SocketAddr,
    sources: &[SocketAddr],
    admin: SocketAddr,
    transport: Transport,
) -> anyhow::Result<String> {
    let mut text = format!("drain_timeout_ms = 1000\n\n[listen]\naddress = \"{address}\"\n");
    if transport == Transport::Quic {
        writeln!(text, "quic = \"{address}\"")?;
    }
    write!(text, "\n[admin]\nlisten = \"{admin}\"\n\n")?;
    for (name, source) in ["primary", "backup"].iter().zip(sources) {
        let comp_id = toml::Value::from(comp_id);
        write!(text, "[[sources]]\nname = \"{name}\"\naddress = \"{source}\"\ntarget_comp_id = {comp_id}\n")?;
        // Dialled while our sources are not there yet.
        write!(text, "backoff_min_ms = 50\nbackoff_max_ms = 500\n\n")?;
    }
    text.push_str(&town::tls_toml(setting)?);
    Ok(text)
}
