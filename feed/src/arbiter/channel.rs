//! One channel: where it stands, what waits, and what is missing.

use super::gap::{Gap, Step};
use super::settings::{Mode, Standby, ns};
use super::window::{Held, Insert, Window};
use super::{Answer, ChannelState, Event, From, Outcome, SOURCES_MAX, Shared, Source, Tick};

/// A number too far ahead, kept until the next one of the same source confirms it.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    source: Source,
    number: u64,
}

#[derive(Debug)]
pub(crate) struct Channel {
    number: u16,
    /// Begun, and neither a hole nor waiting frames.
    quiet: bool,
    /// A hole, or waiting frames.
    pending: bool,
    /// Standby mode: the primary is in use, and nothing beyond what it brought is emitted.
    on_primary: bool,
    /// Number that is emitted next; 0 until the first number is heard of a channel that begins or goes on there.
    next: u64,
    /// It begins at 1, whatever is heard first.
    from_open: bool,
    /// The number that it goes on with, if what is heard first is not below.
    resume: Option<u64>,
    /// Highest number that may be emitted; without end unless `on_primary`.
    limit: u64,
    last: u64,
    seen: [u64; SOURCES_MAX],
    window: Window,
    gap: Option<Gap>,
    /// When there was a hole last.
    gap_ns: u64,
    suspect: Option<Suspect>,
    /// Standby mode, away from the primary: since when it could be used again.
    healthy_since_ns: Option<u64>,
}

impl Channel {
    pub(crate) fn new(number: u16, from: From, mode: Mode, resume: Option<u64>) -> Self {
        let on_primary = matches!(mode, Mode::Standby(_));
        Self {
            number,
            quiet: from == From::Open && resume.is_none(),
            pending: false,
            on_primary,
            next: u64::from(from == From::Open && resume.is_none()),
            from_open: from == From::Open,
            resume,
            limit: if on_primary { 0 } else { u64::MAX },
            last: 0,
            seen: [0; SOURCES_MAX],
            window: Window::default(),
            gap: None,
            gap_ns: 0,
            suspect: None,
            healthy_since_ns: None,
        }
    }

    /// The common case: the number that is next, nothing waits, and this source may say so.
    #[inline]
    pub(crate) fn take_next(&mut self, primary: Source, source: Source, number: u64) -> bool {
        let fast = number == self.next && self.quiet && (!self.on_primary || source == primary);
        if fast {
            self.saw(primary, source, number);
            self.last = self.last.max(number);
            self.next = number + 1;
        }
        fast
    }

    pub(crate) fn offer(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        source: Source,
        tick: Tick<'_>,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) -> Outcome {
        let seen = self.seen[source.index()];
        if (1..self.next).contains(&tick.number) {
            self.saw(shared.primary, source, tick.number);
            return self.duplicate(shared, now_ns, source, tick.number < seen);
        }
        if !self.plausible(shared, source, tick.number) {
            shared.counters.implausible += 1;
            return Outcome::Implausible;
        }
        self.begin_at(tick.number, sink);
        self.saw(shared.primary, source, tick.number);
        self.last = self.last.max(tick.number);
        if tick.number == self.next && self.next <= self.limit {
            self.window.remove(tick.number, &mut shared.held_bytes);
            self.emit(shared, source, tick, sink);
            self.settle(shared, now_ns, source, sink);
            return Outcome::Emitted;
        }
        let outcome = self.hold(shared, now_ns, source, tick);
        self.leave_if_behind(shared);
        self.settle(shared, now_ns, source, sink);
        outcome
    }

    pub(crate) fn heartbeat(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        source: Source,
        last: u64,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        if last > self.last.max(self.next).saturating_add(shared.settings.jump_max) {
            shared.counters.implausible += 1;
            return;
        }
        self.begin_at(last + 1, sink);
        self.saw(shared.primary, source, last);
        self.last = self.last.max(last);
        self.settle(shared, now_ns, source, sink);
    }

    pub(crate) fn answer(&mut self, now_ns: u64, source: Source, begin: u64, answer: Answer) {
        if let Some(gap) = &mut self.gap {
            gap.answer(now_ns, source, begin, answer);
        }
    }

    pub(crate) fn up(&mut self, now_ns: u64, source: Source, first: bool) {
        if let Some(gap) = &mut self.gap {
            gap.connectivity(now_ns, source, first);
        }
    }

    pub(crate) fn down(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        source: Source,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        if let Some(gap) = &mut self.gap {
            gap.connectivity(now_ns, source, false);
        }
        if source == shared.primary && self.on_primary && shared.up != 0 {
            self.leave_primary(shared);
            self.settle(shared, now_ns, source, sink);
        }
    }

    pub(crate) fn poll(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        if let Mode::Standby(standby) = shared.settings.mode {
            self.poll_standby(shared, now_ns, &standby, sink);
        }
        let Some(end) = self.gap_end() else { return };
        let Some(gap) = &mut self.gap else { return };
        match gap.step(now_ns, end, (shared.up, shared.all()), &shared.settings) {
            Step::Wait => {}
            Step::Ask { source, end } => {
                shared.counters.asked[source.index()] += 1;
                sink(Event::Ask { source, channel: self.number, begin: gap.begin, end });
            }
            Step::Lost { end } => {
                shared.counters.gaps_lost += 1;
                shared.counters.numbers_lost += end - self.next + 1;
                sink(Event::Lost { channel: self.number, begin: self.next, end });
                self.next = end + 1;
                self.settle(shared, now_ns, shared.primary, sink);
            }
        }
    }

    pub(crate) fn state(&self) -> ChannelState {
        ChannelState {
            channel: self.number,
            next: self.next,
            last: self.last,
            held: self.window.len(),
            seen: self.seen,
            gap: self.gap.is_some(),
            on_primary: self.on_primary,
        }
    }

    fn saw(&mut self, primary: Source, source: Source, number: u64) {
        let seen = &mut self.seen[source.index()];
        *seen = number.max(*seen);
        if self.on_primary && source == primary {
            self.limit = self.limit.max(number);
        }
    }

    /// The first number that is heard of a channel that begins there.
    fn begin_at(&mut self, number: u64, sink: &mut (impl FnMut(Event<'_>) + ?Sized)) {
        if self.next == 0 {
            let begin = match self.resume.take() {
                Some(next) if next <= number => next,
                apart => {
                    if apart.is_some() {
                        sink(Event::Apart { channel: self.number });
                    }
                    if self.from_open { 1 } else { number }
                }
            };
            self.next = begin;
            self.last = begin - 1;
            if begin > 1 {
                sink(Event::BeginsAfter { channel: self.number, end: begin - 1 });
            }
        }
    }

    fn duplicate(&self, shared: &mut Shared, now_ns: u64, source: Source, back: bool) -> Outcome {
        shared.counters.duplicates[source.index()] += 1;
        // What was asked for twice comes twice, for a while: that is not a new beginning.
        let asked = self.gap_ns != 0 && now_ns < self.gap_ns + ns(shared.settings.deadline_ms);
        if back && !asked && self.gap.is_none() {
            shared.counters.regressed[source.index()] += 1;
            return Outcome::Regressed;
        }
        Outcome::Duplicate
    }

    /// One damaged number must not take the channel with it: a jump needs two frames that agree.
    fn plausible(&mut self, shared: &Shared, source: Source, number: u64) -> bool {
        if number == 0 {
            return false;
        }
        if number <= self.last.max(self.next).saturating_add(shared.settings.jump_max) {
            return true;
        }
        let confirmed =
            self.suspect.is_some_and(|s| s.source == source && s.number.checked_add(1) == Some(number));
        self.suspect = Some(Suspect { source, number });
        confirmed && number < u64::MAX
    }

    fn hold(&mut self, shared: &mut Shared, now_ns: u64, source: Source, tick: Tick<'_>) -> Outcome {
        let bounds = (shared.settings.held_count_max, shared.settings.held_bytes_max);
        let held = || Held { source, key: tick.key, at_ns: now_ns, frame: tick.frame.into() };
        match self.window.insert(tick.number, held, tick.frame.len(), bounds, &mut shared.held_bytes) {
            Insert::Held => {
                shared.counters.held += 1;
                Outcome::Held
            }
            Insert::Duplicate => {
                shared.counters.duplicates[source.index()] += 1;
                Outcome::Duplicate
            }
            Insert::NoRoom => {
                shared.counters.no_room += 1;
                Outcome::NoRoom
            }
        }
    }

    fn emit(
        &mut self,
        shared: &mut Shared,
        source: Source,
        tick: Tick<'_>,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        shared.counters.won[source.index()] += 1;
        self.next = tick.number + 1;
        sink(Event::Frame(tick));
    }

    /// Emits what waited and may go now, and sees what is missing then.
    fn settle(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        source: Source,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        while self.next <= self.limit {
            let Some(held) = self.window.remove(self.next, &mut shared.held_bytes) else { break };
            let tick = Tick { channel: self.number, number: self.next, key: held.key, frame: &held.frame };
            self.emit(shared, held.source, tick, sink);
        }
        self.gap_ns = if self.gap.is_some() { now_ns } else { self.gap_ns };
        match (self.gap_end(), &mut self.gap) {
            (None, gap) => shared.open_gaps -= usize::from(gap.take().is_some()),
            (Some(_), Some(gap)) => gap.progress(self.next, now_ns, &shared.settings),
            (Some(_), gap) => {
                shared.counters.gaps += 1;
                shared.open_gaps += 1;
                *gap = Some(Gap::new(self.next, now_ns, source, &shared.settings));
            }
        }
        let quiet = self.gap.is_none() && self.window.is_empty();
        if quiet == self.pending {
            self.pending = !quiet;
            shared.pending = if self.pending { shared.pending + 1 } else { shared.pending - 1 };
        }
        self.quiet = quiet;
    }

    /// The last number of the hole at `next`, if there is one.
    fn gap_end(&self) -> Option<u64> {
        if self.next == 0 {
            // No number of it has been believed yet.
            return None;
        }
        let end = self.window.first().map_or(self.last, |(first, _)| first - 1).min(self.limit);
        (end >= self.next).then_some(end)
    }
}

/// Standby mode.
impl Channel {
    fn poll_standby(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        standby: &Standby,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        let others_up = shared.up & !shared.primary.bit() != 0;
        let present = is_present(shared, now_ns, standby);
        if self.on_primary {
            let waits = |held: &Held| now_ns.saturating_sub(held.at_ns) > ns(standby.behind_ms);
            let behind = self.window.first().is_some_and(|(first, held)| first > self.limit && waits(held));
            if behind || (!present && others_up) {
                self.leave_primary(shared);
                self.settle(shared, now_ns, shared.primary, sink);
            }
            return;
        }
        let healthy = present && self.keeps_up(shared, standby);
        self.healthy_since_ns = if healthy { self.healthy_since_ns.or(Some(now_ns)) } else { None };
        let since = self.healthy_since_ns.unwrap_or(now_ns);
        if healthy && now_ns - since >= ns(standby.return_after_ms) {
            shared.counters.returns += 1;
            self.use_primary(shared);
            self.settle(shared, now_ns, shared.primary, sink);
        }
    }

    /// Another source is the primary now.
    pub(crate) fn prefer(
        &mut self,
        shared: &mut Shared,
        now_ns: u64,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        let Mode::Standby(standby) = shared.settings.mode else { return };
        if is_present(shared, now_ns, &standby) && self.keeps_up(shared, &standby) {
            self.use_primary(shared);
        } else {
            self.use_all();
        }
        self.settle(shared, now_ns, shared.primary, sink);
    }

    fn keeps_up(&self, shared: &Shared, standby: &Standby) -> bool {
        self.seen[shared.primary.index()].saturating_add(standby.behind_count) >= self.next
    }

    fn leave_if_behind(&mut self, shared: &mut Shared) {
        let Mode::Standby(standby) = shared.settings.mode else { return };
        let ahead = self.window.last().unwrap_or(0).saturating_sub(self.limit);
        if self.on_primary && ahead >= standby.behind_count {
            self.leave_primary(shared);
        }
    }

    fn leave_primary(&mut self, shared: &mut Shared) {
        shared.counters.failovers += 1;
        self.use_all();
    }

    fn use_all(&mut self) {
        self.on_primary = false;
        self.limit = u64::MAX;
        self.healthy_since_ns = None;
    }

    fn use_primary(&mut self, shared: &Shared) {
        self.on_primary = true;
        // What is out is out. A channel of which nothing was believed yet has no number, and no limit but what is seen.
        self.limit = self.seen[shared.primary.index()].max(self.next.saturating_sub(1));
    }
}

/// Whether the primary is connected and says something.
fn is_present(shared: &Shared, now_ns: u64, standby: &Standby) -> bool {
    let silent_for_ns = now_ns.saturating_sub(shared.heard_ns[shared.primary.index()]);
    shared.up & shared.primary.bit() != 0 && silent_for_ns <= ns(standby.silent_ms)
}
