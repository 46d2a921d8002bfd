//! Servers as processes: started, killed, started again, none left behind.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use transport::Clock;

use super::role::Server;
use crate::admin;

/// How long a server may take to start, or to end when it is told to.
const TIMEOUT_NS: u64 = 60_000_000_000;
const LOOK: Duration = Duration::from_millis(5);

/// A server: its configuration, and its process while it has one.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) admin: SocketAddr,
    server: Server,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// It has been told to end.
    told: bool,
}

impl Process {
    /// A server with this configuration, not started. Its log goes beside it.
    pub(crate) fn new(name: &str, server: Server, config: PathBuf, admin: SocketAddr) -> Self {
        let log = config.with_extension("log");
        Self { name: name.to_string(), admin, server, config, log, child: None, told: false }
    }

    /// Starts it; it ends with this process, whatever ends that. It must be called from a thread that lives as long.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let context = || format!("starting {}", self.name);
        let log = File::options().create(true).append(true).open(&self.log).with_context(context)?;
        let server = match self.server {
            Server::Gateway => "gateway",
            Server::Core => "core",
            Server::Slb => "slb",
            Server::Feed => "feed",
        };
        let mut command = Command::new(std::env::current_exe().with_context(context)?);
        command.args(["role", server, "--parent", &std::process::id().to_string(), "--config"]);
        command.arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // A group of its own: what a terminal sends to ours does not reach it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.child = Some(command.spawn().with_context(context)?);
        self.told = false;
        Ok(())
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill()?;
        child.wait().map(drop)
    }

    /// Sends it a signal, and does not wait for what comes of it.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Asks it to end in order.
    pub(super) fn terminate(&mut self) -> io::Result<()> {
        self.told = true;
        self.signal(Signal::TERM)
    }

    /// How it ended, if it did so by itself since it was started.
    pub(super) fn died(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.told { Ok(None) } else { self.ended() }
    }

    /// Its exit status, told once it has ended.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Ends it in order, and waits for that.
    pub(crate) fn stop(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.terminate().with_context(|| format!("ending {}", self.name))?;
        let until_ns = clock.now_ns() + TIMEOUT_NS;
        while self.child.is_some() {
            match self.ended()? {
                Some(status) if !status.success() => bail!("{} ended with {status}", self.name),
                Some(_) => {}
                None if clock.now_ns() > until_ns => bail!("{} does not end", self.name),
                None => std::thread::sleep(LOOK),
            }
        }
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub(crate) fn wait_ready(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.wait(clock, "/ready")
    }

    /// Waits until it is there: signals and commands reach it.
    pub(crate) fn wait_live(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.wait(clock, "/live")
    }

    fn wait(&mut self, clock: &Clock, path: &str) -> anyhow::Result<()> {
        let until_ns = clock.now_ns() + TIMEOUT_NS;
        loop {
            let Err(why) = admin::get(self.admin, path) else { return Ok(()) };
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status}: see {}", self.name, self.log.display());
            }
            if clock.now_ns() > until_ns {
                bail!("{}: {why:#}: see {}", self.name, self.log.display());
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::error!(%error, process = self.name, "cannot be killed");
        }
    }
}
