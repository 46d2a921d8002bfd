//! Market-data ports: whoever logs on gets the log live, and numbers of a channel again on request (390094).
//!
//! Every port serves the same log, as the primary and the backup source of a feed do; each can be made to fail by
//! itself ([`PortState`]). A [`Publisher`] is a part of a shard's application: it is told of its connections and
//! serves a log of its shard, whoever writes it. [`serve`] is a shard with nothing but a publisher, for a log that
//! another thread writes.

mod resend;
mod server;

pub use server::{Command, Served, Setup, serve};

use core_port::session::{Admission, Heard, PortState, SessionCounts, Sessions, Slot, count};
use flow::{Cursor, Filter, Selection};
use resend::{Progress, Resends};
use shard::{ConnId, Cx, LogId, Reason};
use wire::szse::code::BusinessRejectReason;
use wire::szse::market::{BusinessReject, Resend};
use wire::szse::{Frame, I64, Message, Text, U32, frame};

/// What happened, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions and their errors.
    pub sessions: SessionCounts,
    /// Resend requests taken.
    pub resends: u64,
    /// Resend requests answered with less than all that was asked for.
    pub resends_short: u64,
    /// Frames sent again.
    pub frames_resent: u64,
}

/// The market-data ports of a shard.
#[derive(Debug)]
pub struct Publisher {
    log: LogId,
    sessions: Sessions<Resends>,
    counts: Counts,
    resend: ResendLimits,
    scratch: Vec<u8>,
}

/// Bounds of resending, so that one session's request does not hold up the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResendLimits {
    /// Most numbers sent again for one request; whoever wants more asks for the rest.
    pub numbers_max: u64,
    /// Private bytes of a session from which on resending waits until they are written. It must be over half of the
    /// shard's `out_bytes_max`, or nothing tells that they are.
    pub pause_bytes: usize,
}

impl Default for ResendLimits {
    /// For a shard with its default bounds.
    fn default() -> Self {
        Self { numbers_max: 100_000, pause_bytes: 640 << 10 }
    }
}

impl Publisher {
    /// A publisher of a log over ports with these names.
    pub fn new(log: LogId, names: Vec<String>, admission: Admission, resend: ResendLimits) -> Self {
        Self {
            log,
            sessions: Sessions::new(names, admission, usize::MAX),
            counts: Counts::default(),
            resend,
            scratch: Vec::new(),
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        Counts { sessions: self.sessions.counts.clone(), ..self.counts.clone() }
    }

    /// Whether a connection is one of this publisher's.
    pub fn owns(&self, id: ConnId) -> bool {
        self.sessions.owns(id)
    }

    /// A connection to one of the ports, counted from 0.
    pub fn on_open(&mut self, cx: &mut Cx, id: ConnId, port: usize) {
        self.sessions.open(cx, id, port);
    }

    /// Bytes of a connection; see [`shard::App::on_data`].
    ///
    /// # Errors
    /// The reason to close it: its session ended, in order or not.
    pub fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let (log, counts) = (self.log, &mut self.counts);
        let mut rejects = 0;
        let outcome = self.sessions.receive(cx, id, data, |cx, slot, heard, out| match heard {
            Heard::LoggedOn => {
                let live = Cursor::at(cx.log(log).end());
                cx.attach(slot.id, log, live, Selection::new(Filter::All));
                Ok(())
            }
            Heard::Message(frame) if frame.msg_type == Resend::MSG_TYPE => {
                let request = frame.view::<Resend>()?;
                counts.resends += 1;
                if let Some(refused) = slot.state.push(*request) {
                    counts.resends_short += 1;
                    frame::encode(&refused, out);
                }
                Ok(())
            }
            Heard::Message(frame) => {
                rejects += 1;
                reject(slot, frame, out);
                Ok(())
            }
        });
        count(&mut self.sessions.counts.rejects, "unsupported message", rejects);
        if outcome.is_ok() {
            self.resend(cx, id);
        }
        outcome
    }

    /// A connection's private bytes are written: resending goes on.
    pub fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        self.resend(cx, id);
    }

    /// A connection is gone.
    pub fn on_close(&mut self, id: ConnId) {
        self.sessions.close(id);
    }

    /// Time passed: heartbeats, deadlines, resends that paused.
    pub fn on_tick(&mut self, cx: &mut Cx) {
        self.sessions.tick(cx);
        let waiting: Vec<ConnId> =
            self.sessions.iter_mut().filter(|slot| !slot.state.is_empty()).map(|slot| slot.id).collect();
        for id in waiting {
            self.resend(cx, id);
        }
    }

    /// The shard drains: everyone is logged out.
    pub fn on_drain(&mut self, cx: &mut Cx) {
        self.sessions.log_out_all(cx, "closing");
    }

    /// Lets a port fail, or mends it.
    pub fn set_port(&mut self, cx: &mut Cx, port: usize, state: PortState) {
        self.sessions.set_port(cx, port, state);
    }

    /// Sends again what a session asked for, as far as it goes now.
    fn resend(&mut self, cx: &mut Cx, id: ConnId) {
        let Some(slot) = self.sessions.slot_mut(id) else { return };
        while !slot.state.is_empty() && cx.waiting_bytes(id) < self.resend.pause_bytes {
            self.scratch.clear();
            let Progress { frames, short, more } =
                slot.state.step(cx.log(self.log), self.resend.numbers_max, &mut self.scratch);
            self.counts.frames_resent += frames;
            self.counts.resends_short += u64::from(short);
            let bytes = &self.scratch;
            cx.send(id, |out| out.extend_from_slice(bytes));
            if more {
                return;
            }
        }
    }
}

fn reject(slot: &Slot<Resends>, of: Frame<'_>, out: &mut Vec<u8>) {
    let reject = BusinessReject {
        ref_seq_num: I64::new(slot.ref_seq_num()),
        ref_msg_type: U32::new(of.msg_type),
        business_reject_ref_id: Text::BLANK,
        business_reject_reason: BusinessRejectReason::UNSUPPORTED_MESSAGE,
        business_reject_text: Text::literal("unsupported message"),
    };
    frame::encode(&reject, out);
}
