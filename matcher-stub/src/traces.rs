//! What is traced of an order that is in the sample: from the turn in which it was read to the end of its matching, under the
//! root that the gateway gives it (docs/traces.md).

use crate::core::{Core, Counts, Input, Now};
use service::traces::{Kind, Name, Place, Sampled, Span, Subject, Tracer, Value, day};
use transport::Clock;
use wire::szse::trading::NewOrder;

/// The root of an order's trace, as gateways call it.
const ORDER: &str = "order";

/// An order in the sample that is about to be matched.
pub(crate) struct Matching<'a> {
    sampled: Sampled<'a>,
    order: &'a NewOrder,
    came_ns: i64,
    journalled_ns: Option<i64>,
    before: Counts,
}

impl<'a> Matching<'a> {
    /// That of an input, if it is an order in the sample.
    #[inline]
    pub(crate) fn begin(
        tracer: &'a Tracer,
        core: &Core,
        (came, journalled_ns): (Now, Option<i64>),
        input: Input<'a>,
    ) -> Option<Self> {
        let Input::Order(_, order) = input else { return None };
        let came_ns = came.unix_ns().cast_signed();
        let subject = || Subject::new(order.account_id.as_bytes(), order.cl_ord_id.as_bytes(), day(came_ns));
        let sampled = tracer.sampled(subject)?;
        Some(Self { sampled, order, came_ns, journalled_ns, before: *core.counts() })
    }

    /// The core has done with it.
    #[cold]
    pub(crate) fn end(self, core: &Core, clock: &Clock) {
        let Self { sampled, order, came_ns, journalled_ns, before } = self;
        let took = (came_ns, clock.wall_ns(clock.now_ns()));
        let after = core.counts();
        let mut span = Span::new("match", Kind::Server, Place::Under(ORDER), took)
            .with("tongdao.cl_ord_id", Value::Name(Name::new(order.cl_ord_id.as_bytes())))
            .with("tongdao.trades", Value::Number((after.trades - before.trades).cast_signed()));
        if sampled.personal_data() {
            span = span.with("tongdao.account", Value::Name(Name::new(order.account_id.as_bytes())));
        }
        if let Some(at_ns) = journalled_ns {
            span = span.with_event("journalled", at_ns);
        }
        if after.refused != before.refused {
            span = span.failed("rejected");
        }
        sampled.record(span);
    }
}
