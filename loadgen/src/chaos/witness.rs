//! Reads what a core holds, from the core itself: a session that asks for all reports of all partitions from the first,
//! and is past the last when the core has nothing but a heartbeat to say.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use shard::{App, ConnId, Cx, Handle, Opened, Reason};
use transport::Connector;
use wire::szse::code::VERSION_TRADING;
use wire::szse::session::{Event, Limits, Session};
use wire::szse::trading::{PartitionIndex, PlatformInfo, ReportSynchronization};
use wire::szse::{Frame, GroupMessage, I32, I64, Logon, Password, Text};

use super::evidence::{Flow, Report};
use crate::house::{COMP_ID, Kind};

/// A core that has just started may not listen yet.
const DIALS_MAX: u32 = 50;
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE_NS: u64 = 100_000_000;
/// So long all of it may take.
const READING_NS_MAX: u64 = 60_000_000_000;
/// HeartBtInt: so long the core has nothing to say before it says so.
const HEART_BT_S: i32 = 1;

/// Reads the flow of a core, on this thread.
pub(super) fn read(kind: Kind, address: SocketAddr, connector: &Connector) -> anyhow::Result<Flow> {
    let limits = shard::Limits { connections_max: 2, tick_ms: 20, ..shard::Limits::default() };
    let setup = shard::Setup { limits, ..shard::Setup::default() };
    let reader = Reader {
        address,
        connector: connector.clone(),
        flow: Flow { core: kind.name(), reports: Vec::new() },
        link: None,
        dial_ns: Some(0),
        dials: 0,
        synchronised: false,
        failed: None,
        out: Vec::new(),
    };
    let context = || format!("reading the report flow of the {} core at {address}", kind.name());
    let reader = shard::run_on_this_thread(setup, reader, Handle::new(&limits)).with_context(context)?;
    match reader.failed {
        None => Ok(reader.flow),
        Some(why) => Err(anyhow::anyhow!(why)).with_context(context),
    }
}

struct Reader {
    address: SocketAddr,
    connector: Connector,
    flow: Flow,
    link: Option<(ConnId, Session)>,
    /// When it dials next.
    dial_ns: Option<u64>,
    dials: u32,
    synchronised: bool,
    failed: Option<String>,
    out: Vec<u8>,
}

impl Reader {
    fn fail(&mut self, cx: &mut Cx, why: impl Into<String>) {
        self.failed.get_or_insert(why.into());
        cx.stop();
    }

    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
            // A connection that is being closed takes nothing, and what was for it is for nobody else.
            self.out.clear();
        }
    }

    fn frames(&mut self, cx: &mut Cx, data: &[u8]) -> anyhow::Result<usize> {
        let mut consumed = 0;
        while let Some((_, session)) = &mut self.link {
            let Some(received) = session.receive(&data[consumed..], cx.now_ns(), &mut self.out)? else {
                break;
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => self.message(&frame)?,
                Event::Heartbeat if self.synchronised => {
                    cx.stop();
                    break;
                }
                Event::Heartbeat | Event::LoggedOn(_) => {}
                Event::LogonRefused(logout) | Event::LoggedOut(logout) => {
                    bail!("ended by the core: {}", logout.text)
                }
                Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        }
        Ok(consumed)
    }

    fn message(&mut self, frame: &Frame<'_>) -> anyhow::Result<()> {
        if frame.msg_type == PlatformInfo::MSG_TYPE {
            let first =
                |partition: &I32| PartitionIndex { partition_no: *partition, report_index: I64::new(1) };
            let wanted: Vec<_> = frame.group::<PlatformInfo<'_>>()?.partitions.iter().map(first).collect();
            ReportSynchronization { partitions: &wanted }.encode(&mut self.out)?;
            self.synchronised = true;
        } else if let Some(report) = Report::of(frame)? {
            self.flow.reports.push(report);
        }
        Ok(())
    }
}

impl App for Reader {
    type Command = ();

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, _opened: Opened) {
        let logon = Logon {
            sender_comp_id: Text::literal("checker"),
            target_comp_id: Text::literal(COMP_ID),
            heart_bt_int_s: I32::new(HEART_BT_S),
            password: Password::default(),
            default_appl_ver_id: VERSION_TRADING,
        };
        self.link = Some((id, Session::initiator(Limits::default(), &logon, cx.now_ns(), &mut self.out)));
        self.flush(cx, id);
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, _tag: u32, error: io::Error) {
        if self.dials < DIALS_MAX {
            self.dial_ns = Some(cx.now_ns() + PAUSE_NS);
        } else {
            self.fail(cx, error.to_string());
        }
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let taken = self.frames(cx, data);
        self.flush(cx, id);
        taken.map_err(|error| {
            self.fail(cx, format!("{error:#}"));
            Reason::App("malformed")
        })
    }

    fn on_close(&mut self, cx: &mut Cx, _id: ConnId, reason: Reason) {
        if reason != Reason::Stopped {
            self.fail(cx, format!("connection ended: {reason:?}"));
        }
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        if now_ns > READING_NS_MAX {
            return self.fail(cx, "it takes too long");
        }
        if self.dial_ns.is_some_and(|dial_ns| now_ns >= dial_ns) {
            self.dial_ns = None;
            self.dials += 1;
            cx.dial(self.address, &self.connector, DIAL_TIMEOUT, 0);
        }
        let Some((id, session)) = &mut self.link else { return };
        let id = *id;
        if let Some((_, sent_ns)) = cx.last_active_ns(id) {
            session.sent(sent_ns);
        }
        let alive = session.on_timeout(now_ns, &mut self.out);
        self.flush(cx, id);
        if let Err(error) = alive {
            self.fail(cx, error.text());
        }
    }

    fn on_command(&mut self, _cx: &mut Cx, (): ()) {}
}
