//! What is traced of an order that is in the sample: docs/traces.md.
//!
//! The root of an order's trace is here: from the turn in which the order was read to the turn in which the core's first answer
//! came. What the core did stands under it, since both name the order alike.

use crate::accounts::CompNo;
use crate::app::Gateway;
use crate::check::Refusal;
use crate::flight::Over;
use crate::route::{self, Core};
use crate::upstream::LINE_NAMES;
use service::traces::{Kind, Name, Place, Sampled, Span, Subject, Tracer, Value, connection, day};
use shard::Cx;
use std::net::SocketAddr;
use wire::szse::Text;
use wire::szse::code::ExecType;
use wire::szse::trading::{NewOrder, OrderReport};

/// The root of an order's trace. The core's spans stand under it by this name.
const ORDER: &str = "order";

#[inline]
fn subject(account: Text<12>, cl_ord_id: Text<10>, wall_ns: i64) -> Subject {
    Subject::new(account.as_bytes(), cl_ord_id.as_bytes(), day(wall_ns))
}

/// What an order is called: the account is personal data.
fn named(span: Span, sampled: &Sampled<'_>, account: Text<12>, cl_ord_id: Text<10>) -> Span {
    let span = span.with("tongdao.cl_ord_id", Value::Name(Name::new(cl_ord_id.as_bytes())));
    match sampled.personal_data() {
        true => span.with("tongdao.account", Value::Name(Name::new(account.as_bytes()))),
        false => span,
    }
}

impl Gateway {
    /// An order has been looked at: it is on its way to a core, or refused.
    #[inline]
    pub(crate) fn trace_placed(
        &self,
        cx: &Cx,
        comp_no: CompNo,
        request: &NewOrder,
        forwarded: Result<(), Refusal>,
    ) {
        let sampled = self.tracer.sampled(|| subject(request.account_id, request.cl_ord_id, cx.wall_ns()));
        if let Some(sampled) = sampled {
            self.record_placed(cx, comp_no, request, forwarded, sampled);
        }
    }

    #[cold]
    fn record_placed(
        &self,
        cx: &Cx,
        comp_no: CompNo,
        request: &NewOrder,
        forwarded: Result<(), Refusal>,
        sampled: Sampled<'_>,
    ) {
        let clock = cx.clock();
        let took = (cx.wall_ns(), clock.wall_ns(clock.now_ns()));
        let mut span = match forwarded {
            Ok(()) => Span::new("check", Kind::Internal, Place::Under(ORDER), took),
            // Not the root, which may be there already: the client may have sent this one twice.
            Err(refusal) => Span::new(ORDER, Kind::Server, Place::Apart, took).failed(refusal.text()),
        };
        span = named(span, &sampled, request.account_id, request.cl_ord_id);
        if let Ok(core) = route::order(request.ext.cash_margin) {
            span = span.with("tongdao.core", Value::Word(core.name()));
        }
        if let Some(peer) = self.peer_of(comp_no) {
            span = span.with("tongdao.connection", connection(peer));
            if sampled.personal_data() {
                span = span.with("client.address", Value::Address(peer));
            }
        }
        sampled.record(span);
    }

    /// Where the session of a CompID comes from.
    fn peer_of(&self, comp_no: CompNo) -> Option<SocketAddr> {
        let binary = self.by_comp[comp_no].and_then(|id| self.peers.address_of(id));
        binary.or_else(|| self.fix.peer_of(comp_no))
    }
}

/// What is traced where reports come in.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    tracer: &'a Tracer,
    /// This turn's: monotonic, and the time of day.
    now: (u64, i64),
}

impl<'a> Answers<'a> {
    /// Those of a turn at a monotonic time and a time of day, nanoseconds.
    pub fn new(tracer: &'a Tracer, now: (u64, i64)) -> Self {
        Self { tracer, now }
    }

    /// A core has answered an order by a report. `sent_ns` says when the order was sent, if it was under way.
    #[inline]
    pub(crate) fn reported(
        &self,
        report: &OrderReport,
        (core, over): (Core, Over),
        cl_ord_id: Text<10>,
        sent_ns: impl FnOnce() -> Option<u64>,
    ) {
        let sampled = self.tracer.sampled(|| subject(report.account_id, cl_ord_id, self.now.1));
        let Some(sampled) = sampled else { return };
        let Some(sent_ns) = sent_ns() else { return };
        let answer = match report.exec_type {
            ExecType::NEW => "new",
            ExecType::CANCELLED => "cancelled",
            ExecType::REJECTED => "rejected",
            _ => "other",
        };
        let mut span = self.root(&sampled, (report.account_id, cl_ord_id), (core, answer), sent_ns);
        if let Some(line) = LINE_NAMES.get(usize::from(over.life.line)) {
            span = span.with("tongdao.line", Value::Word(line));
        }
        if report.exec_type == ExecType::REJECTED {
            let reason = i64::from(report.ord_rej_reason.raw());
            span = span.with("tongdao.ord_rej_reason", Value::Number(reason)).failed("rejected by the core");
        }
        sampled.record(span);
    }

    /// A core has refused an order without a report.
    #[cold]
    pub(crate) fn refused(&self, account: Text<12>, cl_ord_id: Text<10>, core: Core, sent_ns: Option<u64>) {
        let Some(sampled) = self.tracer.sampled(|| subject(account, cl_ord_id, self.now.1)) else { return };
        let sent_ns = sent_ns.unwrap_or(self.now.0);
        let span = self.root(&sampled, (account, cl_ord_id), (core, "refused"), sent_ns);
        sampled.record(span.failed("refused by the core"));
    }

    fn root(
        &self,
        sampled: &Sampled<'_>,
        (account, cl_ord_id): (Text<12>, Text<10>),
        (core, answer): (Core, &'static str),
        sent_ns: u64,
    ) -> Span {
        let (now_ns, wall_ns) = self.now;
        let took = (wall_ns - now_ns.saturating_sub(sent_ns).cast_signed(), wall_ns);
        named(Span::new(ORDER, Kind::Server, Place::Root, took), sampled, account, cl_ord_id)
            .with("tongdao.core", Value::Word(core.name()))
            .with("tongdao.answer", Value::Word(answer))
    }
}
