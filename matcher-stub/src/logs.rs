//! Hot path: the logs of a shard: one of reports for each desk, and one of market data.

use crate::core::{DeskNo, Outlet};
use flow::Tag;
use shard::{Cx, LogId};

/// The logs of a shard: one of reports for each desk, and one of market data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logs {
    desks: usize,
}

impl Logs {
    pub(crate) fn new(desks: usize) -> Self {
        Self { desks }
    }

    pub(crate) fn reports(self, desk: usize) -> LogId {
        LogId(desk)
    }

    pub(crate) fn market(self) -> LogId {
        LogId(self.desks)
    }
}

/// A shard's logs as the core's outlet.
pub(crate) struct ToLogs<'a> {
    pub(crate) cx: &'a mut Cx,
    pub(crate) logs: Logs,
}

impl Outlet for ToLogs<'_> {
    #[inline]
    fn report(&mut self, desk: DeskNo, tag: Tag, frame: &[u8]) {
        append(self.cx, self.logs.reports(usize::from(desk)), tag, frame);
    }

    #[inline]
    fn market(&mut self, tag: Tag, frame: &[u8]) {
        append(self.cx, self.logs.market(), tag, frame);
    }
}

#[inline]
fn append(cx: &mut Cx, log: LogId, tag: Tag, frame: &[u8]) {
    let appended = cx.writer(log).append(tag, frame);
    appended.expect("invariant: the core numbers each lane upwards, and a segment takes its longest frame");
}
