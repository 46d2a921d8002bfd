//! What this gateway has had of a core's reports of today before, by what the audit and the FIX sessions' stores remember, and
//! whether the core has them still.
//!
//! The numbers of reports begin anew with every day, and with a core that has lost its day: a number alone does not say which
//! report it was. So a partition's reports are a *flow*, known by the TransactTime of its first report, and what a store remembers is
//! of a flow. Another flow on a later day is the new day's: what was had is over. So it is at the exchange's midnight where the core has
//! shown no flow yet: none of an earlier day is waited for then. Another flow on the same day, or one that ends
//! before what was had of it, is a core that has lost its day: nothing of what comes is taken for what was had, and the core gets no
//! orders until somebody has looked (`takeover.rs`).

use wire::szse::Timestamp;

/// TransactTime to the millisecond, of which the day are all digits but the last nine.
const DAY: u64 = 1_000_000_000;

/// The flow whose first report has this TransactTime. Where a core gives none it is that of the day by our clock.
pub(crate) fn flow_of(first: Timestamp, wall_ns: i64) -> u64 {
    match first.to_unix_ns() {
        Some(_) => first.raw().unsigned_abs(),
        None => today(wall_ns) * DAY,
    }
}

/// The exchange's day of a flow, as YYYYMMDD.
pub(crate) fn day_of(flow: u64) -> u64 {
    flow / DAY
}

/// The exchange's day, as YYYYMMDD.
pub(crate) fn today(wall_ns: i64) -> u64 {
    day_of(Timestamp::from_unix_ns(wall_ns.max(0).cast_unsigned()).raw().unsigned_abs())
}

/// A partition's reports of a day up to a number were had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Had {
    /// The partition as clients see it.
    pub(crate) lane: u16,
    /// The exchange's day of the flow, as YYYYMMDD.
    pub(crate) day: u64,
    /// The flow; 0 where who remembers knows no more of it than its day.
    pub(crate) flow: u64,
    /// ReportIndex.
    pub(crate) number: u64,
}

/// Of one partition what was had, and the flow that the core has now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    /// The flow that is being read; 0 until its first report.
    flow: u64,
    /// The day of what was had; 0 where nothing was.
    had_day: u64,
    /// Its flow; 0 where it is not known.
    had_flow: u64,
    /// Up to where.
    number: u64,
    /// It was known when the gateway started, not learnt from the store of a session that another gateway had.
    at_start: bool,
    /// The core's flow of today is another one.
    other: bool,
}

/// Why a core's partition is not where it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) lane: u16,
    /// The highest ReportIndex that was had.
    pub(crate) had: u64,
    /// The next that is expected of the core.
    pub(crate) next: u64,
    /// It is another flow for sure; else it may still come.
    pub(crate) other: bool,
    pub(crate) at_start: bool,
}

impl Past {
    /// The flow that is being read; 0 until its first report.
    #[inline]
    pub(crate) fn flow(&self) -> u64 {
        self.flow
    }

    /// The first report of the core's flow has come.
    #[cold]
    pub(crate) fn begin(&mut self, flow: u64) {
        self.flow = flow;
        self.compare();
    }

    /// Somebody has had this of it.
    pub(crate) fn expect(&mut self, Had { day, flow, number, .. }: Had, at_start: bool) {
        if day < self.had_day {
            return;
        }
        if day > self.had_day {
            *self = Self { flow: self.flow, had_day: day, ..Self::default() };
        }
        // Two that remember different flows of a day: the core has lost its day in any case, and the earlier one says so.
        if self.had_flow == 0 || (flow != 0 && flow < self.had_flow) {
            self.had_flow = flow;
        }
        self.number = self.number.max(number);
        self.at_start |= at_start;
        if self.flow != 0 {
            self.compare();
        }
    }

    fn compare(&mut self) {
        if day_of(self.flow) > self.had_day {
            *self = Self { flow: self.flow, ..Self::default() };
        } else if self.had_flow != 0 && self.had_flow != self.flow {
            self.other = true;
        }
    }

    /// It is this day now: what was had of an earlier one is not waited for, unless the core has shown that it is still at it.
    pub(crate) fn expire(&mut self, today: u64) {
        if self.flow == 0 && self.had_day < today {
            *self = Self::default();
        }
    }

    /// Whether the core, whose next report is this one, has less than was had of it.
    pub(crate) fn behind(&self, lane: u16, next: u64) -> Option<Behind> {
        let Self { number: had, other, at_start, .. } = *self;
        (other || next <= had).then_some(Behind { lane, had, next, other, at_start })
    }
}

/// What there is to see of a core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// A line brings its reports.
    pub(crate) works: bool,
    /// It has less than was had of it.
    pub(crate) behind: bool,
    /// The sum of its partitions' next numbers.
    pub(crate) reached: u64,
}

/// How long a core has been behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// The sum of its partitions' next numbers.
    reached: u64,
    /// Since when more has been wanted of it, a line worked, and nothing came.
    since_ns: Option<u64>,
    /// When the core said first, and last, that it has no reports from where they are wanted.
    refused_ns: Option<(u64, u64)>,
    /// An error was logged.
    pub(crate) told: bool,
}

impl Watch {
    /// The core says that it has no reports from where they are wanted.
    #[cold]
    pub(crate) fn refused(&mut self, now_ns: u64) {
        let first_ns = self.refused_ns.map_or(now_ns, |(first_ns, _)| first_ns);
        self.refused_ns = Some((first_ns, now_ns));
        self.since_ns = Some(now_ns);
    }

    /// Looks at how far the core has come; whether more is wanted of it and has not come for `patience_ns`. In quiet hours nothing
    /// comes because there is nothing: patience begins when more is wanted.
    pub(crate) fn look(&mut self, now_ns: u64, at: Look, patience_ns: u64) -> bool {
        if at.reached != self.reached {
            (self.reached, self.refused_ns, self.since_ns) = (at.reached, None, None);
        }
        if !at.works || !(at.behind || self.refused_ns.is_some()) {
            self.since_ns = None;
            return false;
        }
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        let overdue = now_ns.saturating_sub(since_ns) >= patience_ns;
        if overdue {
            // It was asked again since, and took it.
            self.refused_ns = None;
        }
        overdue
    }

    /// Whether the core said so, and for how long, nanoseconds.
    pub(crate) fn refused_for_ns(&self, now_ns: u64) -> Option<u64> {
        self.refused_ns.map(|(first_ns, _)| now_ns.saturating_sub(first_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: u64 = 20_260_706_093_000_123;
    const TUESDAY: u64 = 20_260_707_093_000_456;

    fn had(flow: u64, number: u64) -> Had {
        Had { lane: 1, day: day_of(flow), flow, number }
    }

    #[test]
    fn a_flow_is_known_by_its_first_report_and_has_a_day() {
        let at = |raw: i64| flow_of(Timestamp::from_raw(raw), 1_783_305_000_000_000_000);
        assert_eq!((at(MONDAY as i64), day_of(MONDAY)), (MONDAY, 20_260_706));
        // No time, and one that is none.
        assert_eq!([at(0), at(20_260_706_993_000_123)], [20_260_706_000_000_000; 2]);
        assert_eq!(today(1_783_305_000_000_000_000), 20_260_706);
    }

    #[test]
    fn the_same_flow_is_waited_for_up_to_what_was_had() {
        let mut past = Past::default();
        past.expect(had(MONDAY, 3), true);
        past.expect(had(MONDAY, 2), true);
        assert!(past.behind(1, 1).is_some_and(|behind| behind.at_start && !behind.other));
        past.begin(MONDAY);
        let behind = Behind { lane: 1, had: 3, next: 3, other: false, at_start: true };
        assert_eq!([past.behind(1, 3), past.behind(1, 4)], [Some(behind), None]);
    }

    #[test]
    fn another_flow_is_a_new_day_or_one_that_was_lost() {
        let begun = |of: Had, flow| {
            let mut past = Past::default();
            past.expect(of, true);
            past.begin(flow);
            past.behind(1, 9).map(|behind| behind.other)
        };
        assert_eq!(begun(had(MONDAY, 3), TUESDAY), None, "a new day");
        assert_eq!(begun(had(MONDAY, 3), MONDAY + 1), Some(true), "the same day, lost");
        assert_eq!(begun(had(TUESDAY, 3), MONDAY), Some(true), "an earlier day");
        let day_only = |flow| Had { flow: 0, ..had(flow, 9) };
        let mut past = Past::default();
        past.expect(day_only(MONDAY), true);
        past.begin(MONDAY);
        let waits = past.behind(1, 9).is_some_and(|behind| !behind.other);
        assert!(waits && past.behind(1, 10).is_none(), "who knows no flow knows how far it was");
        assert_eq!(begun(day_only(MONDAY), TUESDAY), None, "a new day for it, too");
        // Learnt when the flow has begun.
        let mut past = Past::default();
        past.begin(TUESDAY);
        past.expect(had(MONDAY, 30), false);
        assert_eq!(past.behind(1, 2), None);
        past.expect(had(TUESDAY + 1, 1), false);
        assert!(past.behind(1, 2).is_some_and(|behind| behind.other && !behind.at_start));
    }

    #[test]
    fn what_was_had_is_over_with_its_day_unless_the_core_is_still_at_it() {
        let mut past = Past::default();
        past.expect(had(MONDAY, 3), true);
        past.expire(day_of(MONDAY));
        assert!(past.behind(1, 1).is_some());
        let mut shown = past;
        shown.begin(MONDAY);
        shown.expire(day_of(TUESDAY));
        assert!(shown.behind(1, 2).is_some(), "the rest of it is on its way");
        past.expire(day_of(TUESDAY));
        assert_eq!(past.behind(1, 1), None, "the core is silent until somebody orders");
        // What is learnt of the new day counts, and what is learnt of the old one does not.
        past.expect(had(TUESDAY, 2), false);
        past.expect(had(MONDAY, 3), false);
        past.begin(TUESDAY);
        let behind = Behind { lane: 1, had: 2, next: 2, other: false, at_start: false };
        assert_eq!([past.behind(1, 2), past.behind(1, 3)], [Some(behind), None]);
    }

    #[test]
    fn who_does_not_come_further_is_overdue() {
        let mut watch = Watch::default();
        let mut look = |now_ns, works, reached| watch.look(now_ns, Look { works, behind: true, reached }, 50);
        assert!(!look(100, false, 2) && !look(149, true, 2) && !look(198, true, 2));
        assert!(look(199, true, 2));
        assert!(!look(210, true, 3) && !look(259, true, 3), "it comes further");
        assert!(look(260, true, 3));
        assert!(!look(270, false, 3) && !look(280, true, 3), "a line that did not work brought nothing");
    }

    #[test]
    fn who_says_that_it_has_none_is_believed_until_it_was_asked_again() {
        let mut watch = Watch::default();
        let at = Look { works: true, behind: false, reached: 3 };
        assert!(!watch.look(160, at, 50));
        watch.refused(200);
        watch.refused(230);
        assert_eq!(watch.refused_for_ns(240), Some(40));
        assert!(!watch.look(279, at, 50) && watch.refused_for_ns(279).is_some());
        assert!(watch.look(280, at, 50) && watch.refused_for_ns(280).is_none(), "taken since");
    }

    #[test]
    fn patience_counts_from_when_more_is_wanted() {
        let mut watch = Watch::default();
        let mut look = |now_ns, behind| watch.look(now_ns, Look { works: true, behind, reached: 3 }, 50);
        assert!(!look(0, false) && !look(1_000, false), "a quiet market");
        assert!(!look(1_001, true) && !look(1_050, true));
        assert!(look(1_051, true));
        assert!(!look(1_060, false) && !look(2_000, true), "and anew each time");
    }
}
