//! Hot path: the lines to the cores: requests out, reports in, and clients made to wait while a line is full.
//!
//! Rules: no allocation for a request or a report; what a client sent is copied once, into the line's bytes.

use crate::app::{Gateway, LOG};
use crate::check::Refusal;
use crate::link::{Intake, Link};
use crate::route::Core;
use shard::{ConnId, Cx, Reason};
use std::net::SocketAddr;
use std::time::Duration;
use transport::Connector;

/// A core and how it is reached.
pub(crate) struct Upstream {
    pub(crate) link: Link,
    pub(crate) address: SocketAddr,
    pub(crate) connector: Connector,
    pub(crate) connect_timeout: Duration,
    pub(crate) conn: Option<ConnId>,
    /// Why it was not up last; empty while it is.
    pub(crate) last_error: String,
}

/// The lines, by core.
pub(crate) struct Lines {
    pub(crate) by_core: [Option<Upstream>; 2],
    /// Bytes waiting for a line from which on clients wait.
    full_bytes: usize,
    /// A line is that full now.
    full: bool,
    /// Clients are not read from, since then.
    paused_since_ns: Option<u64>,
    resumed_ns: u64,
}

/// After a pause clients' own heartbeats are still on their way to being read.
const RESUME_GRACE_NS: u64 = 1_000_000_000;

impl Lines {
    pub(crate) fn new(by_core: [Option<Upstream>; 2], out_bytes_max: usize) -> Self {
        Self { by_core, full_bytes: out_bytes_max / 2, full: false, paused_since_ns: None, resumed_ns: 0 }
    }

    /// All lanes, and the next number of each.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.by_core.iter().flatten().flat_map(|upstream| upstream.link.lanes())
    }

    /// Gives a request to a line.
    #[inline]
    pub(crate) fn forward(
        &mut self,
        cx: &mut Cx,
        core: Core,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let conn = self.by_core[core as usize].as_ref().and_then(|upstream| upstream.conn);
        let conn = conn.ok_or(core.line_down())?;
        let mut taken = false;
        cx.send(conn, |out| {
            write(out);
            taken = true;
        });
        self.full |= cx.waiting_bytes(conn) > self.full_bytes;
        // A line that ended in this turn takes nothing more.
        if taken { Ok(()) } else { Err(core.line_down()) }
    }

    pub(crate) fn paused(&self) -> bool {
        self.paused_since_ns.is_some()
    }

    /// Whether what clients sent may still be unread because they had to wait.
    pub(crate) fn clients_excused(&self, now_ns: u64) -> bool {
        self.paused() || now_ns < self.resumed_ns.saturating_add(RESUME_GRACE_NS) && self.resumed_ns > 0
    }

    fn upstream(&mut self, core: Core) -> Option<&mut Upstream> {
        self.by_core[core as usize].as_mut()
    }
}

impl Gateway {
    /// After a request: if a line is full, no client is read from until all of it is written.
    #[inline]
    pub(crate) fn throttle(&mut self, cx: &mut Cx) {
        if self.lines.full && !self.lines.paused() {
            self.lines.paused_since_ns = Some(cx.now_ns());
            self.metrics.pauses.inc();
            self.pause_clients(cx, true);
        }
    }

    fn pause_clients(&mut self, cx: &mut Cx, paused: bool) {
        for index in 0..self.peers.len() {
            if let Some((id, _)) = self.peers.client_at(index) {
                cx.pause_reading(id, paused);
            }
        }
        self.fix_pause(cx, paused);
    }

    /// A line that was full is empty, or gone.
    pub(crate) fn resume(&mut self, cx: &mut Cx) {
        let full = self.lines.full_bytes;
        let mut conns = self.lines.by_core.iter().flatten().filter_map(|upstream| upstream.conn);
        if !self.lines.paused() || conns.any(|conn| cx.waiting_bytes(conn) > full) {
            return;
        }
        self.lines.full = false;
        self.lines.paused_since_ns = None;
        self.lines.resumed_ns = cx.now_ns();
        self.pause_clients(cx, false);
    }

    /// A line that keeps everybody waiting for too long is given up.
    fn give_up_stalled(&mut self, cx: &mut Cx) {
        let Some(since_ns) = self.lines.paused_since_ns else { return };
        if cx.now_ns() - since_ns < self.settings.stall_timeout_ns {
            return;
        }
        for core in Core::ALL {
            let conn = self.lines.upstream(core).and_then(|upstream| upstream.conn);
            if let Some(conn) = conn.filter(|conn| cx.waiting_bytes(*conn) > 0) {
                self.line_down(core);
                cx.close(conn, Reason::App("stalled"));
            }
        }
    }

    /// Dials what is to be dialled; heartbeats and deadlines of the lines.
    pub(crate) fn line_timeouts(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for core in Core::ALL {
            let closing = self.desk.closing;
            let Some(upstream) = self.lines.upstream(core) else { continue };
            if !closing && upstream.link.line.dial_due(now_ns) {
                cx.dial(upstream.address, &upstream.connector, upstream.connect_timeout, core as u32);
            }
            let (Some(conn), Some(session)) = (upstream.conn, upstream.link.line.session()) else { continue };
            if let Some((_, sent_ns)) = cx.last_active_ns(conn) {
                session.sent(sent_ns);
            }
            if let Err(error) = session.on_timeout(now_ns, &mut self.out) {
                self.line_down(core);
                cx.close(conn, Reason::App(error.text()));
            }
            self.flush(cx, conn);
        }
        self.give_up_stalled(cx);
    }

    /// A line is connected: the logon goes out.
    pub(crate) fn line_opened(&mut self, cx: &mut Cx, core: Core, id: ConnId) {
        let now_ns = cx.now_ns();
        if let Some(upstream) = self.lines.upstream(core) {
            upstream.conn = Some(id);
            upstream.link.line.opened(now_ns, &mut self.out);
        }
        self.flush(cx, id);
    }

    /// What a core has sent.
    pub(crate) fn line_data(
        &mut self,
        cx: &mut Cx,
        core: Core,
        id: ConnId,
        data: &[u8],
    ) -> Result<usize, Reason> {
        let now_ns = cx.now_ns();
        let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { return Ok(data.len()) };
        let mut intake = Intake {
            writer: cx.writer(LOG),
            accounts: &self.desk.accounts,
            orders: &mut self.desk.orders,
            checks: &mut self.desk.checks,
            counts: &mut self.counts,
            refused: &mut self.refused,
        };
        let taken = upstream.link.receive(data, now_ns, &mut intake, &mut self.out);
        let ready = upstream.link.line.ready();
        self.flush(cx, id);
        self.tell_refused(cx);
        match taken {
            Ok(consumed) => {
                if ready && !self.desk.up[core as usize] && !self.desk.closing {
                    self.line_up(cx, core);
                }
                Ok(consumed)
            }
            Err(error) => {
                self.line_down(core);
                Err(Reason::App(error.text()))
            }
        }
    }

    #[cold]
    fn line_up(&mut self, cx: &mut Cx, core: Core) {
        self.desk.up[core as usize] = true;
        if let Some(upstream) = self.lines.upstream(core) {
            upstream.last_error.clear();
        }
        self.metrics.line_up.with_label_values(&[core.name()]).set(1);
        self.metrics.line_ups.with_label_values(&[core.name()]).inc();
        tracing::info!(core = core.name(), "line up");
        self.tell_platform_state(cx);
    }

    /// From now on requests for this core are refused; the rest follows when its connection is closed.
    fn line_down(&mut self, core: Core) {
        self.desk.up[core as usize] = false;
        self.metrics.line_up.with_label_values(&[core.name()]).set(0);
    }

    /// A line's connection has ended, or could not be made.
    pub(crate) fn line_closed(&mut self, cx: &mut Cx, core: Core, reason: &str) {
        self.line_down(core);
        self.metrics.line_ended.with_label_values(&[core.name(), reason]).inc();
        if self.desk.closing {
            tracing::info!(core = core.name(), reason, "line left");
        } else {
            tracing::warn!(core = core.name(), reason, "line down");
        }
        let now_ns = cx.now_ns();
        if let Some(upstream) = self.lines.upstream(core) {
            upstream.conn = None;
            upstream.link.line.lost(now_ns);
            reason.clone_into(&mut upstream.last_error);
        }
        self.tell_platform_state(cx);
        self.resume(cx);
    }

    /// The gateway ends: the cores are told. Whether no line is left.
    pub(crate) fn log_out_lines(&mut self, cx: &mut Cx) -> bool {
        let now_ns = cx.now_ns();
        let mut left = false;
        for core in Core::ALL {
            self.line_down(core);
            let Some(upstream) = self.lines.upstream(core) else { continue };
            let Some(conn) = upstream.conn else { continue };
            left = true;
            let text = Refusal::Closing.text();
            let over = upstream.link.line.log_out(text, now_ns, &mut self.out);
            self.flush(cx, conn);
            if over {
                cx.close(conn, Reason::App(text));
            }
        }
        !left
    }
}
