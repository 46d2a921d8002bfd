//! A line's life, and what the other line does when it ends: reports from where they stopped, and again what may not have
//! arrived.
//!
//! # What is sent again
//! A request whose line has died without an answer may have reached the core or not. It is sent again, as it was, over
//! the line that takes over, behind the request for the missed reports and in the order in which it was first sent. The core
//! refuses a second order with the same (AccountID, ClOrdID), so there are never two; the reject that this gives is not
//! shown ([`crate::link`]), as the order's own report has told its fate. Nor is what the core says of the second copy of a
//! cancel whose first it has answered.
//!
//! What has waited longer than `resend_within_ms` is not sent again: its market is another one now. The core's reports tell
//! whether it had taken it. If they have not by `settle_ms` after they were asked for, its client gets a BusinessReject
//! "not taken by the core". That is what the report flow said by then: a core that held on to bytes of a dead line for longer
//! could still take it, and its report, which then comes, is what counts.

use crate::app::Gateway;
use crate::check::Refusal;
use crate::flight::{Kind, Next};
use crate::link::{Link, LinkError};
use crate::past::{self, Behind, Look};
use crate::refused::Refused;
use crate::route::Core;
use crate::upstream::{LINE_NAMES, Lines, Upstream, Wire};
use shard::{ConnId, Cx, Reason};
use std::io;
use wire::szse::Timestamp;

/// What an operator may do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// It takes over; the other one is dialled anew and waits.
    Activate,
    /// It is logged out and not dialled any more; the last one that works only where that is `forced`.
    Down { forced: bool },
    /// It is dialled again.
    Up,
}

/// Why a switch was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SwitchError {
    #[error("no such line")]
    NoSuchLine,
    #[error("the line is not logged on: nothing can go over it")]
    NotLoggedOn,
    #[error("both lines are active in this mode")]
    BothActive,
    #[error("no other line is up: ?force=true takes out this one all the same")]
    LastOne,
}

const NS_PER_MS: u64 = 1_000_000;
const TAKEN_OUT: &str = "taken out by the operator";
const NOT_TAKEN: &str = "not taken by the core";

/// How long a request may have waited to be sent again, and how long it then has to be reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) resend_within_ns: u64,
    pub(crate) settle_ns: u64,
}

impl Patience {
    pub(crate) fn of_ms(resend_within_ms: u64, settle_ms: u64) -> Self {
        Self { resend_within_ns: resend_within_ms * NS_PER_MS, settle_ns: settle_ms * NS_PER_MS }
    }
}

impl Gateway {
    /// Dials what is to be dialled; heartbeats, deadlines and measures of the lines.
    pub(crate) fn line_timeouts(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        let closing = self.desk.closing;
        for (core, at) in Lines::each() {
            let Some(wire) = self.lines.wire(core, at) else { continue };
            if !closing && !wire.closed_by_operator && wire.line.dial_due(now_ns) {
                let tag = tag(core, at);
                cx.dial(wire.address, &wire.connector, wire.connect_timeout, tag);
            }
            let (Some(conn), Some(session)) = (wire.conn, wire.line.session()) else { continue };
            if let Some((_, sent_ns)) = cx.last_active_ns(conn) {
                session.sent(sent_ns);
            }
            let ended = session.on_timeout(now_ns, &mut self.out);
            self.flush_line(cx, core, at);
            if let Err(error) = ended {
                self.give_up(cx, (core, at), conn, error.text());
            }
        }
        self.give_up_stalled(cx);
        self.release_held(cx);
        Core::ALL.into_iter().for_each(|core| self.look_back(cx, core));
        self.settle(cx);
        self.measure(now_ns);
    }

    /// Closes a line; the other one takes over at once.
    fn give_up(&mut self, cx: &mut Cx, of: (Core, usize), conn: ConnId, why: &'static str) {
        cx.close(conn, Reason::App(why));
        self.line_closed(cx, of, conn, why);
    }

    /// A line that keeps everybody waiting for too long is given up.
    fn give_up_stalled(&mut self, cx: &mut Cx) {
        let Some(since_ns) = self.lines.paused_since_ns else { return };
        if cx.now_ns() - since_ns < self.settings.stall_timeout_ns {
            return;
        }
        // All of them before any is given up: what a takeover puts into the other line's buffer is not its stalling.
        let stalled: Vec<_> = Lines::each()
            .filter_map(|(core, at)| Some((core, at, self.lines.wire(core, at)?.stalled(cx)?)))
            .collect();
        for (core, at, conn) in stalled {
            self.give_up(cx, (core, at), conn, "stalled");
        }
        if self.lines.paused() {
            self.lines.paused_since_ns = Some(cx.now_ns());
        }
    }

    /// What was held goes on its way, as far as there is room; and clients are read from again where all of it has gone.
    pub(crate) fn release_held(&mut self, cx: &mut Cx) {
        for upstream in self.lines.by_core.iter_mut().flatten() {
            let Upstream { wires, flight, .. } = upstream;
            wires.iter_mut().enumerate().for_each(|(at, wire)| wire.release(cx, at, flight));
        }
        self.resume(cx);
    }

    /// A line is connected: the logon goes out.
    pub(crate) fn line_opened(&mut self, cx: &mut Cx, (core, at): (Core, usize), id: ConnId) {
        let now_ns = cx.now_ns();
        let Some(wire) = self.lines.wire(core, at) else { return };
        wire.connected(id);
        if wire.closed_by_operator {
            self.give_up(cx, (core, at), id, TAKEN_OUT);
            return;
        }
        wire.line.opened(now_ns, &mut self.out);
        self.flush_line(cx, core, at);
    }

    /// The core has said on a line which partitions it has.
    #[cold]
    pub(crate) fn line_announced(&mut self, cx: &mut Cx, core: Core, at: usize) {
        let Some(wire) = self.lines.wire(core, at) else { return };
        wire.announced = true;
        wire.last_error.clear();
        wire.outage.over();
        self.metrics.line_up.with_label_values(&label(core, at)).set(1);
        self.metrics.line_ups.with_label_values(&label(core, at)).inc();
        tracing::info!(core = core.name(), line = LINE_NAMES[at], "line up");
        self.share_out(cx, core);
    }

    /// Gives every partition of a core to a line that can carry it, and then what may be lost to those lines.
    #[cold]
    fn share_out(&mut self, cx: &mut Cx, core: Core) {
        let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { return };
        let can = upstream.can();
        let partitions = upstream.link.lanes().count();
        let carriers: Vec<Option<usize>> =
            (0..partitions).map(|partition| upstream.duty.carrier(partition, can)).collect();
        let mut replaced = Vec::new();
        for at in 0..upstream.wires.len() {
            let carries: Vec<bool> = carriers.iter().map(|carrier| *carrier == Some(at)).collect();
            let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { return };
            let before = std::mem::replace(&mut upstream.wires[at].carries, carries);
            let carries = &upstream.wires[at].carries;
            if before == *carries || !can[at] {
                continue;
            }
            if carries.contains(&true) {
                let wanted = carries.iter().enumerate().filter(|(_, carried)| **carried).map(|(at, _)| at);
                upstream.link.synchronize(wanted, &mut self.out);
                self.flush_line(cx, core, at);
                tracing::info!(core = core.name(), line = LINE_NAMES[at], "line takes reports and requests");
            } else if let Some(conn) = upstream.wires[at].conn {
                replaced.push((at, conn));
            }
        }
        // They would go on with reports that the other line brings now: they come back without. What is under way over
        // them is sent again below.
        for (at, conn) in replaced {
            self.give_up(cx, (core, at), conn, "switched over");
        }
        self.resend(cx, core);
        self.note_core(cx, core);
    }

    /// Sends again what went over a line that has died.
    #[cold]
    fn resend(&mut self, cx: &mut Cx, core: Core) {
        let (now_ns, patience) = (cx.now_ns(), self.settings.patience);
        let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { return };
        let works = upstream.works();
        let Upstream { wires, duty, flight, .. } = upstream;
        let (mut resent, mut settling) = (0_u64, 0_u64);
        flight.review(|entry| {
            let gone = wires[usize::from(entry.over.life.line)].ended != entry.over.life.ended;
            if !gone || !works.contains(&true) {
                return Next::Stays;
            }
            if entry.settles_ns.is_some() || now_ns - entry.sent_ns > patience.resend_within_ns {
                // A deadline that passed while no line worked is set anew; one that runs goes on.
                if entry.settles_ns.is_none_or(|settles_ns| settles_ns <= now_ns) {
                    entry.settles_ns = Some(now_ns + patience.settle_ns);
                    settling += 1;
                }
                return Next::Stays;
            }
            let Some(at) = duty.line_for(entry.identity.account, 0, works) else { return Next::Stays };
            let (mut over, identity) = (wires[at].over(at), entry.identity);
            let write = |out: &mut Vec<u8>| out.extend_from_slice(entry.frame());
            if wires[at].put(cx, identity, write, |_, number| over.number = number) {
                // What only waited for the dead line's bandwidth was never sent.
                entry.resent |= entry.over.number != 0;
                entry.over = over;
                resent += 1;
            }
            Next::Stays
        });
        self.counts.resent[core as usize] += resent;
        if resent + settling > 0 {
            tracing::warn!(core = core.name(), resent, settling, "requests of a dead line");
        }
    }

    /// Tells those whose requests were not sent again, and not reported either.
    fn settle(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        let time = Timestamp::from_unix_ns(cx.wall_ns().max(0).cast_unsigned());
        for core in Core::ALL {
            let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { continue };
            if now_ns < upstream.flight.settles_next_ns() || !upstream.works().contains(&true) {
                continue;
            }
            let (refused, checks) = (&mut self.refused, &mut self.desk.checks);
            let before = refused.len();
            upstream.flight.review(|entry| {
                if entry.settles_ns.is_none_or(|settles_ns| now_ns < settles_ns) {
                    return Next::Stays;
                }
                if entry.identity.kind == Kind::Order {
                    checks.given_up(entry.identity.account, entry.identity.cl_ord_id);
                }
                refused.push(Refused::by_gateway(core, entry.identity, time, NOT_TAKEN));
                Next::Ends
            });
            self.counts.not_taken[core as usize] += (refused.len() - before) as u64;
        }
        self.tell_refused(cx);
    }

    /// Whether a core has come as far in its reports of today as it had been (`past.rs`): without that it gets no orders.
    pub(crate) fn look_back(&mut self, cx: &Cx, core: Core) {
        let (now_ns, patience_ns) = (cx.now_ns(), self.settings.patience.settle_ns);
        let Some(Upstream { link, watch, wires, .. }) = self.lines.upstream(core) else { return };
        link.expire(past::today(cx.wall_ns()));
        let behind = link.behind();
        let look = Look {
            works: wires.iter().any(Wire::works),
            behind: behind.is_some(),
            reached: link.lanes().map(|(_, next)| next).sum(),
        };
        let overdue = watch.look(now_ns, look, patience_ns);
        let refused_for_ns = watch.refused_for_ns(now_ns);
        if !watch.told {
            watch.told = tell_missing(
                core,
                link,
                (behind, overdue),
                refused_for_ns.is_some_and(|ns| ns >= patience_ns),
            );
            self.metrics.core_reports_missing.with_label_values(&[core.name()]).set(i64::from(watch.told));
        } else if behind.is_none() && refused_for_ns.is_none() {
            watch.told = false;
            self.metrics.core_reports_missing.with_label_values(&[core.name()]).set(0);
            tracing::info!(
                core = core.name(),
                "the core has all reports of today that were had of it: it gets orders again"
            );
        }
        let told = self.lines.upstream(core).is_some_and(|upstream| upstream.watch.told);
        let is_behind = told || behind.is_some_and(|behind| behind.at_start) || refused_for_ns.is_some();
        self.desk.behind[core as usize] = is_behind;
        self.metrics.core_behind.with_label_values(&[core.name()]).set(i64::from(is_behind));
    }

    /// Notes whether a core takes requests now.
    fn note_core(&mut self, cx: &mut Cx, core: Core) {
        let Some(upstream) = self.lines.by_core[core as usize].as_ref() else { return };
        for (at, wire) in upstream.wires.iter().enumerate() {
            self.metrics.line_active.with_label_values(&label(core, at)).set(i64::from(wire.works()));
        }
        let up = upstream.works().contains(&true) && !self.desk.closing;
        if std::mem::replace(&mut self.desk.up[core as usize], up) != up {
            self.metrics.core_up.with_label_values(&[core.name()]).set(i64::from(up));
            tracing::info!(core = core.name(), up, "core");
            self.tell_platform_state(cx);
        }
    }

    /// A line could not be made.
    pub(crate) fn line_not_made(&mut self, cx: &mut Cx, of: (Core, usize), error: &io::Error) {
        self.line_ended(cx, of, ("dial failed", &error.to_string()));
    }

    /// A line's connection has ended, or was given up; told more than once it is the same.
    pub(crate) fn line_closed(&mut self, cx: &mut Cx, of: (Core, usize), id: ConnId, reason: &str) {
        let is_it = self.lines.wire(of.0, of.1).is_some_and(|wire| wire.conn == Some(id));
        if is_it {
            self.line_ended(cx, of, (reason, reason));
        }
    }

    /// A line is not there any more: the reason as a label's value, and as it is told.
    #[cold]
    fn line_ended(&mut self, cx: &mut Cx, (core, at): (Core, usize), (counted, reason): (&str, &str)) {
        let now_ns = cx.now_ns();
        let closing = self.desk.closing;
        let Some(wire) = self.lines.wire(core, at) else { return };
        let (was_up, was_there) = (wire.works(), wire.announced);
        let left = wire.closed_by_operator && counted == LinkError::LoggedOut.text();
        let reason = wire.outage.why(reason);
        let (counted, reason) = if left { (TAKEN_OUT, TAKEN_OUT.to_owned()) } else { (counted, reason) };
        wire.conn = None;
        wire.end_life();
        wire.line.lost(now_ns);
        wire.last_error.clone_from(&reason);
        let tries = if was_there { None } else { wire.outage.failed(now_ns, &reason) };
        self.metrics.line_up.with_label_values(&label(core, at)).set(0);
        self.metrics.line_ended.with_label_values(&[core.name(), LINE_NAMES[at], counted]).inc();
        if closing || wire_is_out(&mut self.lines, core, at) {
            tracing::info!(core = core.name(), line = LINE_NAMES[at], reason, "line left");
        } else if was_there {
            tracing::warn!(core = core.name(), line = LINE_NAMES[at], reason, "line down");
        } else if let Some(tries) = tries {
            tracing::warn!(
                core = core.name(),
                line = LINE_NAMES[at],
                tries,
                reason,
                "line is not up; trying again"
            );
        }
        self.hand_over(cx, core, was_up);
    }

    /// A line does its work no more: the other one takes over, also while the gateway is closing.
    #[cold]
    fn hand_over(&mut self, cx: &mut Cx, core: Core, was_up: bool) {
        if was_up {
            self.metrics.line_switches.with_label_values(&[core.name()]).inc();
            self.share_out(cx, core);
        }
        self.note_core(cx, core);
        self.resume(cx);
    }

    /// An operator takes a line out of service: the other one takes over at once, and the core is told goodbye. Its answer is
    /// waited for no longer than for any logout.
    #[cold]
    fn leave(&mut self, cx: &mut Cx, (core, at): (Core, usize), conn: ConnId) {
        let now_ns = cx.now_ns();
        let Some(wire) = self.lines.wire(core, at) else { return };
        let was_up = wire.works();
        let over = wire.line.log_out(TAKEN_OUT, now_ns, &mut self.out);
        self.flush_line(cx, core, at);
        if over {
            return self.give_up(cx, (core, at), conn, TAKEN_OUT);
        }
        if let Some(wire) = self.lines.wire(core, at) {
            wire.end_life();
        }
        self.metrics.line_up.with_label_values(&label(core, at)).set(0);
        tracing::info!(core = core.name(), line = LINE_NAMES[at], "line logged out by the operator");
        self.hand_over(cx, core, was_up);
    }

    /// The gateway stops before all that waited for a line's bandwidth could go: its clients are told.
    #[cold]
    pub(crate) fn refuse_held(&mut self, cx: &mut Cx) {
        let time = Timestamp::from_unix_ns(cx.wall_ns().max(0).cast_unsigned());
        for (core, at) in Lines::each() {
            let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { continue };
            let held = upstream.wires.get_mut(at).map(Wire::take_held).unwrap_or_default();
            for identity in held {
                // Of one that was sent before, the first copy may be at the core: only its report can tell, or has told.
                if upstream.flight.was_resent(identity) || !upstream.flight.holds(identity) {
                    continue;
                }
                upstream.flight.end(identity);
                if identity.kind == Kind::Order {
                    self.desk.checks.refused(identity.account, identity.cl_ord_id);
                }
                self.refused.push(Refused::by_gateway(core, identity, time, Refusal::Closing.text()));
            }
        }
        if !self.refused.is_empty() {
            tracing::warn!(requests = self.refused.len(), "stopped before they could be sent");
        }
        self.tell_refused(cx);
    }

    /// An operator's word.
    pub(crate) fn switch_line(
        &mut self,
        cx: &mut Cx,
        (core, at): (Core, usize),
        switch: Switch,
    ) -> Result<(), SwitchError> {
        let Some(upstream) = self.lines.upstream(core) else { return Err(SwitchError::NoSuchLine) };
        let can = upstream.can();
        let another = can.iter().enumerate().any(|(other, can)| other != at && *can);
        let Some(wire) = upstream.wires.get_mut(at) else { return Err(SwitchError::NoSuchLine) };
        match switch {
            Switch::Activate if !can[at] => return Err(SwitchError::NotLoggedOn),
            Switch::Activate if upstream.duty.is_active(1 - at) && upstream.duty.is_active(at) => {
                return Err(SwitchError::BothActive);
            }
            Switch::Activate => {
                upstream.duty.activate(at);
                self.share_out(cx, core);
            }
            Switch::Down { forced: false } if !another => return Err(SwitchError::LastOne),
            Switch::Down { .. } => {
                wire.closed_by_operator = true;
                if let Some(conn) = wire.conn {
                    self.leave(cx, (core, at), conn);
                }
            }
            Switch::Up => wire.closed_by_operator = false,
        }
        Ok(())
    }

    /// The gateway ends: what waits for a line's bandwidth goes, then the cores are told. Whether no line is left.
    pub(crate) fn log_out_lines(&mut self, cx: &mut Cx) -> bool {
        let now_ns = cx.now_ns();
        let mut left = false;
        for (core, at) in Lines::each() {
            self.desk.up[core as usize] = false;
            let Some(upstream) = self.lines.upstream(core) else { continue };
            let held = upstream.wires.iter().any(|wire| wire.holds() && wire.works());
            let Some(wire) = upstream.wires.get_mut(at) else { continue };
            let Some(conn) = wire.conn else { continue };
            left = true;
            if held {
                continue;
            }
            let text = Refusal::Closing.text();
            let over = wire.line.log_out(text, now_ns, &mut self.out);
            self.flush_line(cx, core, at);
            if over {
                cx.close(conn, Reason::App(text));
            }
        }
        !left
    }

    /// Bytes over the lines in the last second, and whether one line alone could carry the busiest (单线带宽评估).
    fn measure(&mut self, now_ns: u64) {
        for core in Core::ALL {
            let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { continue };
            let mut ended = false;
            for wire in &mut upstream.wires {
                ended |= wire.sent.tick(now_ns);
                ended |= wire.received.tick(now_ns);
            }
            self.metrics.in_flight.with_label_values(&[core.name()]).set(upstream.flight.len() as i64);
            let oldest_ns = upstream.flight.oldest_ns().map_or(0, |sent_ns| now_ns.saturating_sub(sent_ns));
            let oldest_ms = (oldest_ns / NS_PER_MS) as i64;
            self.metrics.in_flight_oldest_ms.with_label_values(&[core.name()]).set(oldest_ms);
            if ended {
                self.show_load(core);
            }
        }
    }

    /// Shows what the last second was for a core's lines. Called at the start, too, so that the metrics are there, and made, before the
    /// first order.
    pub(crate) fn show_load(&mut self, core: Core) {
        let Some(upstream) = self.lines.by_core[core as usize].as_mut() else { return };
        let both = upstream
            .wires
            .iter()
            .fold([0; 2], |[sent, received], wire| [sent + wire.sent.per_s, received + wire.received.per_s]);
        upstream.peak = [upstream.peak[0].max(both[0]), upstream.peak[1].max(both[1])];
        let peak = upstream.peak[0].max(upstream.peak[1]);
        self.metrics.line_peak_bytes_per_s.with_label_values(&[core.name()]).set(peak as i64);
        for (at, wire) in upstream.wires.iter().enumerate() {
            let label = label(core, at);
            self.metrics.line_sent_bytes_per_s.with_label_values(&label).set(wire.sent.per_s as i64);
            let received = self.metrics.line_received_bytes_per_s.with_label_values(&label);
            received.set(wire.received.per_s as i64);
            let small = wire.bucket.is_some_and(|bucket| bucket.bytes_per_s() < peak);
            self.metrics.line_too_small.with_label_values(&label).set(i64::from(small));
        }
    }
}

/// Says what is wrong with a core that has lost its day, once it is sure; whether it is.
fn tell_missing(core: Core, link: &Link, (behind, overdue): (Option<Behind>, bool), refused: bool) -> bool {
    const WHAT_TO_DO: &str = "no order is taken for this core: bring back its day from its journal, or begin the day anew, with empty \
                              stores of the gateways' audits and FIX sessions (docs/operations.md, \"A core that has lost its day\")";
    let core = core.name();
    match behind {
        Some(Behind { lane, had, next, other, .. }) if other || overdue => {
            let what = if other {
                "the core's reports of today are not those that this gateway has had of it"
            } else {
                "the core's reports of today end before those that this gateway has had of it"
            };
            tracing::error!(
                core,
                partition = lane,
                had,
                next,
                flow = link.flow(lane),
                "{what}; {WHAT_TO_DO}"
            );
            true
        }
        _ if refused => {
            let wanted: Vec<_> = link.lanes().collect();
            tracing::error!(
                core,
                ?wanted,
                "the core has no reports from where this gateway has come to (partition, ReportIndex); on a \
                new day gateways are started anew, else {WHAT_TO_DO}"
            );
            true
        }
        _ => false,
    }
}

fn wire_is_out(lines: &mut Lines, core: Core, at: usize) -> bool {
    lines.wire(core, at).is_some_and(|wire| wire.closed_by_operator)
}

/// The tag of a line's dial.
fn tag(core: Core, at: usize) -> u32 {
    (core as usize * LINE_NAMES.len() + at) as u32
}

/// The line of a dial's tag.
pub(crate) fn line_of(tag: u32) -> (Core, usize) {
    (Core::ALL[tag as usize / LINE_NAMES.len()], tag as usize % LINE_NAMES.len())
}

fn label(core: Core, at: usize) -> [&'static str; 2] {
    [core.name(), LINE_NAMES[at]]
}
