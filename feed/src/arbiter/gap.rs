//! A hole in a channel: whom to ask for it, and when to give it up.

use super::settings::{Settings, ns};
use super::{Answer, Source};

/// The hole before a channel's first waiting frame.
#[derive(Debug)]
pub(crate) struct Gap {
    /// Its first number.
    pub(crate) begin: u64,
    /// Last number asked for; 0 before anyone was asked.
    asked_end: u64,
    /// When it opened, or when the last part of it arrived.
    since_ns: u64,
    /// When to ask next.
    ask_at_ns: u64,
    /// Who is asked next, if possible.
    turn: u8,
    /// Who was asked last.
    asked: Option<Source>,
    /// One bit for each source that cannot.
    cannot: u8,
}

/// What is to be done about a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Wait,
    Ask { source: Source, end: u64 },
    Lost { end: u64 },
}

impl Gap {
    /// A hole that showed when `shown_by` went beyond it: the others are asked first.
    pub(crate) fn new(begin: u64, now_ns: u64, shown_by: Source, settings: &Settings) -> Self {
        let turn = (shown_by.index() + 1) % settings.sources;
        Self {
            begin,
            asked_end: 0,
            since_ns: now_ns,
            ask_at_ns: now_ns + ns(settings.patience_ms),
            turn: turn as u8,
            asked: None,
            cannot: settings.never_asked(),
        }
    }

    /// Some of it arrived, or all of it and the next hole begins at `begin`.
    pub(crate) fn progress(&mut self, begin: u64, now_ns: u64, settings: &Settings) {
        if begin == self.begin {
            return;
        }
        self.begin = begin;
        self.since_ns = now_ns;
        self.cannot = settings.never_asked();
        // All that was asked for is there: ask for more at once. Else the rest is probably on its way.
        if begin > self.asked_end && self.asked.is_some() {
            self.ask_at_ns = now_ns;
            self.turn = self.asked.map_or(self.turn, |source| source.0);
        } else if self.asked.is_some() {
            self.ask_at_ns = now_ns + ns(settings.retry_ms);
        }
    }

    pub(crate) fn answer(&mut self, now_ns: u64, source: Source, begin: u64, answer: Answer) {
        let stale = begin > self.begin || self.begin > self.asked_end;
        if answer == Answer::Cannot && !stale {
            self.cannot |= source.bit();
            self.ask_at_ns = now_ns;
        }
    }

    /// Sources came (`first`: after none was there) or went.
    pub(crate) fn connectivity(&mut self, now_ns: u64, source: Source, first: bool) {
        if first {
            self.since_ns = now_ns;
        }
        if first || self.asked == Some(source) {
            self.ask_at_ns = now_ns;
        }
    }

    /// What to do now, when the hole ends at `end`, the sources in `up` are connected and `all` exist.
    pub(crate) fn step(&mut self, now_ns: u64, end: u64, (up, all): (u8, u8), settings: &Settings) -> Step {
        if self.cannot & all == all && now_ns >= self.since_ns + ns(settings.patience_ms) {
            let asked_of_nobody = self.asked_end < self.begin;
            return Step::Lost { end: if asked_of_nobody { end } else { end.min(self.asked_end) } };
        }
        if up == 0 {
            return Step::Wait;
        }
        if now_ns >= self.since_ns + ns(settings.deadline_ms) {
            return Step::Lost { end };
        }
        if now_ns < self.ask_at_ns {
            return Step::Wait;
        }
        let Some(source) = self.next_source(up & !self.cannot, settings.sources) else {
            return Step::Wait; // Who is connected cannot; who is not may come back before the deadline.
        };
        self.turn = ((source.index() + 1) % settings.sources) as u8;
        self.asked = Some(source);
        self.asked_end = end.min(self.begin.saturating_add(settings.ask_count_max - 1));
        self.ask_at_ns = now_ns + ns(settings.retry_ms);
        Step::Ask { source, end: self.asked_end }
    }

    fn next_source(&self, possible: u8, sources: usize) -> Option<Source> {
        let turn = usize::from(self.turn);
        let mut candidates = (0..sources).map(|step| Source::new((turn + step) % sources));
        candidates.find(|source| possible & source.bit() != 0)
    }
}
