//! The book of one security, made of its ticks and checked against its snapshots.

use super::check::{Agreement, Check, Claim};
use super::depth::{Change, Depth, Level, Order, Side};
use super::shot::{Prices, Shot, Shown, Traded};
use super::tally::{Outcome, Tally};
use super::trail::{Step, Trail};
use crate::securities::Seeded;
use std::collections::VecDeque;
use wire::szse::{Price, SecurityId, SecurityIdSource, Text, Timestamp};

/// Snapshots that may wait for their tick; with one more the oldest is given its verdict.
const PENDING_MAX: usize = 4;
/// A snapshot is not of a tick that is so much later than itself: the time of Shanghai's is of whole seconds, and its ticks are up to
/// about one second later, milliseconds.
const SLACK_MS: u32 = 5_000;
/// Where trades do not tell, a snapshot is looked for at ticks that are at most so much later than itself, and whose next one is at
/// most so much earlier, milliseconds.
const LATE_MS: u32 = 1_500;
const EARLY_MS: u32 = 1_500;

/// What a tick does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An order comes in.
    Order { number: i64, order: Order, kind: Kind },
    /// Two orders trade. In Shanghai the younger one may come in only afterwards, with what is left of it.
    Trade { bid: i64, offer: i64, price: i64, quantity: i64 },
    /// An order is taken back. Shanghai says at which price, Shenzhen does not: 0.
    Cancel { side: Side, number: i64, price: i64, quantity: i64 },
    /// What makes no sense: a side, a price or a quantity that no order has.
    Senseless,
}

/// Where an order comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// At its price.
    Limit,
    /// At the best price of its side.
    OwnBest,
    /// Where it has traded last, if something is left of it after its trades.
    Market,
}

/// Which tick it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    /// ApplSeqNum.
    pub(super) number: u64,
    /// TransactTime.
    pub(super) time: Timestamp,
}

/// How much a book claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Made of every tick since the open: full depth.
    Whole,
    /// Set right by a snapshot after a hole or a divergence: the levels that a snapshot has shown since; what is beyond may be out of
    /// date, and is neither compared nor published.
    Healed,
    /// After a hole, until the next snapshot: nothing.
    Waiting,
    /// Nothing any more: see [`Why`].
    GivenUp(Why),
}

/// Why a book is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// More orders or levels than one security may have.
    Security,
    /// More orders than all securities may have together.
    Total,
    /// Ticks in two channels: which of them come first is not known.
    Channels,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Healed => "healed",
            Self::Waiting => "waiting",
            Self::GivenUp(Why::Security) => "given up: too many orders in it",
            Self::GivenUp(Why::Total) => "given up: too many orders in all",
            Self::GivenUp(Why::Channels) => "given up: ticks in two channels",
        }
    }
}

/// What the exchange's last snapshot says besides the book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) phase: Text<8>,
    pub(super) prev_close: Price,
    pub(super) prices: Prices,
}

/// The book of one security.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) id: SecurityId,
    pub(super) source: SecurityIdSource,
    /// Of its ticks, once there was one.
    pub(super) channel: Option<u16>,
    pub(super) state: State,
    pub(super) depth: Depth,
    /// Of a book that was healed the last rank of each side up to which its levels are known.
    known: [i64; 2],
    /// It began late, and no snapshot was taken over yet.
    blank: bool,
    pub(super) traded: Traded,
    pub(super) prices: Prices,
    /// The last tick.
    pub(super) at: At,
    pub(super) reference: Option<Reference>,
    /// What became of its snapshots.
    pub(super) outcomes: [u64; Outcome::COUNT],
    pub(super) published: super::publish::Published,
    trail: Trail,
    pending: VecDeque<Check>,
    /// The last snapshot before the first tick, which may be of ticks that are on their way.
    early: Option<Shot>,
    /// A market order whose trades are coming, and the price of the last of them.
    taking: Option<(i64, i64)>,
}

impl Book {
    /// Of a security of which nothing was heard yet.
    pub(super) fn new(id: SecurityId, source: SecurityIdSource, seed: Seeded) -> Self {
        Self {
            id,
            source,
            channel: None,
            state: State::Waiting,
            depth: Depth::new(seed),
            known: [i64::MAX; 2],
            blank: true,
            traded: Traded::default(),
            prices: Prices::default(),
            at: At::default(),
            reference: None,
            outcomes: [0; Outcome::COUNT],
            published: Default::default(),
            trail: Trail::default(),
            pending: VecDeque::new(),
            early: None,
            taking: None,
        }
    }

    /// The first tick of it is of this channel, of which there is everything since the open, or not. What snapshots said before is
    /// not to be added to: it may have what the ticks say now.
    pub(super) fn begin(&mut self, channel: u16, whole: bool, seed: Seeded, tally: &mut Tally) {
        self.channel = Some(channel);
        self.wait(tally);
        if whole {
            self.depth = Depth::new(seed);
            (self.traded, self.prices) = Default::default();
            self.trail = Trail::default();
            self.blank = false;
            self.state = State::Whole;
        }
        match self.early.take() {
            Some(shot) if whole => self.compare(shot, 0, tally),
            Some(_) => self.note(Outcome::NotCompared, tally),
            None => {}
        }
    }

    /// The next tick of it.
    pub(super) fn tick(&mut self, at: At, event: Event, tally: &mut Tally) {
        self.settle(&event, tally);
        self.at = at;
        let mut traded = Traded::default();
        let changes = match event {
            Event::Order { number, order, kind } => self.enter(number, order, kind),
            Event::Trade { bid, offer, price, quantity } => {
                traded = Traded::trade(price, quantity);
                self.trade((bid, offer), price, quantity)
            }
            Event::Cancel { side, number, price, quantity } => self.cancel((side, number), price, quantity),
            Event::Senseless => None,
        };
        self.step(Step::new(at.time.ms_of_day(), traded, changes), tally);
        if changes.is_none() {
            tally.unmatched += 1;
            self.wait(tally);
        }
    }

    fn enter(&mut self, number: i64, order: Order, kind: Kind) -> Option<[Option<Change>; 2]> {
        if self.depth.order(number).is_some() {
            return None;
        }
        let price = match kind {
            Kind::Limit => order.price,
            Kind::OwnBest if self.is_claimed() && self.knows_best(order.side) => {
                self.depth.best(order.side).unwrap_or(0)
            }
            // Where it rests is not known: it is no order that is.
            Kind::OwnBest => return None,
            Kind::Market => 0,
        };
        if kind == Kind::Market {
            self.taking = Some((number, 0));
        }
        Some([self.depth.enter(number, Order { price, ..order }), None])
    }

    fn trade(&mut self, (bid, offer): (i64, i64), price: i64, quantity: i64) -> Option<[Option<Change>; 2]> {
        self.traded = self.traded.plus(Traded::trade(price, quantity));
        self.prices.trade(price);
        if let Some((taking, last)) = &mut self.taking
            && (*taking == bid || *taking == offer)
        {
            *last = price;
        }
        // The older one was in the book; the younger one need not have been.
        let (older, side) = if bid < offer { (bid, Side::Buy) } else { (offer, Side::Sell) };
        let unknown = self.depth.order(older).is_none();
        if unknown && self.state == State::Whole {
            return None;
        }
        let mut changes = [self.depth.reduce(bid, quantity), self.depth.reduce(offer, quantity)];
        if unknown {
            let by = Level { quantity: -quantity, orders: 0 };
            changes[side as usize] = Some(self.depth.shift(side, price, by));
        }
        Some(changes)
    }

    fn cancel(
        &mut self,
        (side, number): (Side, i64),
        price: i64,
        quantity: i64,
    ) -> Option<[Option<Change>; 2]> {
        if self.depth.order(number).is_some() {
            return Some([self.depth.reduce(number, quantity), None]);
        }
        if self.state == State::Whole || price <= 0 {
            return None;
        }
        let by = Level { quantity: -quantity, orders: -1 };
        Some([Some(self.depth.shift(side, price, by)), None])
    }

    /// A market order's trades are over when a tick is about something else: what is left of it rests where it traded last.
    fn settle(&mut self, event: &Event, tally: &mut Tally) {
        let Some((taking, price)) = self.taking else { return };
        match event {
            Event::Trade { bid, offer, .. } if [*bid, *offer].contains(&taking) => return,
            // It may have been one of its trades.
            Event::Senseless => return self.lose_taking(),
            // A cancel of it, too: it rested before it was taken back, be it for no time at all.
            Event::Order { .. } | Event::Trade { .. } | Event::Cancel { .. } => self.taking = None,
        }
        if price > 0 {
            let change = self.depth.price(taking, price);
            self.step(Step::new(self.at.time.ms_of_day(), Traded::default(), Some([change, None])), tally);
        }
    }

    /// Trades of a market order may be missing: where what is left of it rests is not known, nor how much that is, so it is no order that
    /// is known. A snapshot has it in its level, from which it trades as any order from before a hole does.
    fn lose_taking(&mut self) {
        if let Some((taking, _)) = self.taking.take() {
            self.depth.forget(taking);
        }
    }

    /// Notes what a tick did, and tells the snapshots that wait for theirs.
    #[inline]
    fn step(&mut self, step: Step, tally: &mut Tally) {
        self.trail.push(step);
        for check in &mut self.pending {
            check.forward(&step);
        }
        self.decide(step.time_ms, tally);
    }

    /// Gives their verdict to the snapshots that need not wait any more: those that agree, and those whose tick is past.
    #[inline]
    fn decide(&mut self, now_ms: u32, tally: &mut Tally) {
        while let Some(check) = self.pending.front() {
            let past = check.ahead.trades > 0 || now_ms > check.shot.time_ms.saturating_add(SLACK_MS);
            let last = self.pending.len() <= PENDING_MAX;
            if last && !past && check.best != Agreement::Whole {
                return;
            }
            if let Some(check) = self.pending.pop_front() {
                // Where the ticks are far behind the snapshots there is nothing to be said yet. (One that was healed may have lost count.)
                let early = !past && check.ahead.trades < 0 && self.state == State::Whole;
                self.verdict(check, early, tally);
            }
        }
    }

    fn verdict(&mut self, check: Check, early: bool, tally: &mut Tally) {
        let outcome = match (check.best, check.is_auction()) {
            (Agreement::Whole | Agreement::Levels, false) if self.state == State::Healed => Outcome::Healed,
            (Agreement::Whole, false) => Outcome::Agreed,
            (Agreement::Levels, _) => Outcome::Levels,
            (Agreement::Whole, true) => Outcome::Auction,
            (Agreement::None, _) if early || check.unknown => Outcome::NotCompared,
            (Agreement::None, false) => Outcome::Diverged,
            (Agreement::None, true) => Outcome::AuctionDiffers,
        };
        self.note(outcome, tally);
        if outcome == Outcome::Diverged {
            tracing::warn!(
                security = %self.id, tick = self.at.number, time_ms = check.shot.time_ms, prices = check.differing(),
                "a book differs from the exchange's snapshot, and is set right by it"
            );
            self.heal(check.shot, tally);
        } else if outcome == Outcome::Healed {
            self.extend(check.shot);
        }
    }

    fn note(&mut self, outcome: Outcome, tally: &mut Tally) {
        self.outcomes[outcome as usize] += 1;
        tally.outcomes[outcome as usize] += 1;
    }

    /// A snapshot of it, when its channel is at `now_ms` of the day.
    pub(super) fn snapshot(&mut self, shot: Shot, now_ms: u32, tally: &mut Tally) {
        let (phase, prev_close, prices) = (shot.phase, shot.prev_close, shot.prices);
        self.reference = Some(Reference { phase, prev_close, prices });
        self.decide(now_ms, tally);
        if self.channel.is_none()
            && shot.shown != Shown::Nothing
            && self.early.replace(shot.clone()).is_some()
        {
            self.note(Outcome::NotCompared, tally);
        }
        match (self.state, &shot.shown) {
            (State::GivenUp(_), _) => {}
            (_, Shown::Nothing) => self.note(Outcome::Empty, tally),
            (State::Waiting, Shown::Auction { .. }) if self.channel.is_none() => {}
            (State::Waiting, Shown::Auction { .. }) => self.note(Outcome::NotCompared, tally),
            (State::Waiting, Shown::Levels(_)) => self.heal(shot, tally),
            // One that shows the first of several snapshots alone: there was no tick.
            (State::Healed, _) if self.channel.is_none() => self.heal(shot, tally),
            // What it claims is not enough for that.
            (State::Healed, Shown::Auction { .. }) => self.note(Outcome::NotCompared, tally),
            (State::Whole | State::Healed, _) => self.compare(shot, now_ms, tally),
        }
    }

    fn compare(&mut self, shot: Shot, now_ms: u32, tally: &mut Tally) {
        let Some(mut check) = self.check(shot) else { return };
        // Of several ticks at which it agrees the first: the next snapshot may be of one between them.
        let mut earlier = check.clone();
        let (mut found, mut undone) = (None, 0);
        let healed = self.state == State::Healed;
        let (mut tick_ms, mut next_ms) = (self.at.time.ms_of_day(), u32::MAX);
        let mut steps = self.trail.back().peekable();
        loop {
            // The less a book claims the more ticks have it: the time decides with.
            let possible = !healed || is_about(tick_ms, next_ms, earlier.shot.time_ms);
            if possible && earlier.agreement() == Agreement::Whole {
                found = Some(undone);
            }
            let Some(step) = steps.next().filter(|_| earlier.ahead.trades >= 0) else { break };
            earlier.back(step);
            undone += 1;
            (tick_ms, next_ms) = (steps.peek().map_or(tick_ms, |step| step.time_ms), step.time_ms);
        }
        drop(steps);
        if let Some(undone) = found {
            self.trail.keep(undone);
            return self.verdict(earlier, false, tally);
        }
        check.best = if healed { Agreement::None } else { earlier.best };
        let reached = self.trail.reaches(check.shot.time_ms.saturating_sub(EARLY_MS));
        check.unknown = !reached && earlier.ahead.trades >= 0;
        self.pending.push_back(check);
        self.decide(now_ms, tally);
    }

    fn check(&self, shot: Shot) -> Option<Check> {
        let claim = match self.state {
            State::Whole => Claim::All,
            State::Healed => Claim::UpTo(self.known),
            // It is to be told what it is: all that is shown says which tick fits.
            State::Waiting | State::GivenUp(_) => Claim::UpTo([i64::MAX; 2]),
        };
        Check::new(shot, &self.depth, self.traded, claim)
    }

    /// A book that was healed agrees in what it claims: takes over what the snapshot shows beyond. What ticks since the first one that the
    /// snapshot may be of have touched is not claimed for that: whether the snapshot has it is not certain.
    fn extend(&mut self, shot: Shot) {
        let mut known = self.known;
        let Some((undone, check)) = self.fit(shot) else { return };
        for side in Side::BOTH {
            let before = self.known[side as usize];
            let changes = self.trail.back().flat_map(Step::changes).filter(|change| change.side == side);
            let touched = changes.map(|change| side.rank(change.price)).filter(|rank| *rank > before).min();
            let shown = check.shown()[side as usize];
            known[side as usize] = before.max(touched.map_or(shown, |touched| shown.min(touched - 1)));
        }
        self.take_over(undone, &check);
        self.known = known;
    }

    /// Each level that the snapshot shows becomes what it says and what the ticks since have done to it.
    fn take_over(&mut self, undone: usize, check: &Check) {
        for Change { side, price, by } in check.excess() {
            let by = Level { quantity: by.quantity.saturating_neg(), orders: by.orders.saturating_neg() };
            self.depth.shift(side, price, by);
        }
        self.trail.keep(undone);
    }

    /// Takes over what a snapshot shows, as of the tick that it fits best. Where a tick since then has changed a level and does not
    /// say which, nothing is claimed all the same, until a snapshot has that tick.
    fn heal(&mut self, shot: Shot, tally: &mut Tally) {
        let Some((undone, check)) = self.fit(shot) else { return };
        let unsure = self.trail.back().take(undone).any(|step| step.unknown);
        self.take_over(undone, &check);
        self.known = check.shown();
        self.blank = false;
        self.traded = self.traded.minus(check.ahead);
        let said = check.shot.prices;
        let Prices { last, high, low, .. } = self.prices;
        self.prices = Prices {
            last: if last == 0 { said.last } else { last },
            high: high.max(said.high),
            low: if low == 0 || said.low > 0 && said.low < low { said.low } else { low },
            ..said
        };
        if unsure {
            self.wait(tally);
            return self.note(Outcome::NotCompared, tally);
        }
        self.state = State::Healed;
        tally.healed += 1;
        let waiting = std::mem::take(&mut self.pending);
        let again = waiting.into_iter().filter_map(|check| self.check(check.shot));
        self.pending = again.collect();
    }

    /// The tick that a snapshot fits best, as how many steps ago it was, and how the book differs there. Of those with its trades (where
    /// these are known) and about of its time, the one with the fewest differences, and of several the nearest in time. To a
    /// blank book many are alike: then it is the newest, as snapshots are rarely as late as their times are rough.
    fn fit(&self, shot: Shot) -> Option<(usize, Check)> {
        let (state, time_ms, blank) = (self.state, shot.time_ms, self.blank);
        let mut check = self.check(shot)?;
        let misfit = |check: &Check, tick_ms: u32, next_ms: u32, undone: usize| {
            let apart = match state {
                State::Whole => !check.is_level(),
                State::Healed => check.agreement() == Agreement::None,
                State::Waiting | State::GivenUp(_) => false,
            };
            let about = is_about(tick_ms, next_ms, time_ms);
            let far = if blank { undone as u32 } else { tick_ms.abs_diff(time_ms) };
            (apart, !about, check.differing(), far)
        };
        let mut tick_ms = self.at.time.ms_of_day();
        let mut best = (misfit(&check, tick_ms, u32::MAX, 0), 0, check.clone());
        let mut steps = self.trail.back().peekable();
        for undone in 1..=self.trail.len() {
            let Some(step) = steps.next() else { break };
            check.back(step);
            tick_ms = steps.peek().map_or(tick_ms, |step| step.time_ms);
            let misfit = misfit(&check, tick_ms, step.time_ms, undone);
            if misfit < best.0 {
                best = (misfit, undone, check.clone());
            }
        }
        let (_, undone, check) = best;
        Some((undone, check))
    }

    /// Ticks of its channel are missing, of this security or of others.
    pub(super) fn hole(&mut self, tally: &mut Tally) {
        self.lose_taking();
        self.wait(tally);
    }

    /// Ticks are missing, or do not fit: nothing is claimed until the next snapshot.
    pub(super) fn wait(&mut self, tally: &mut Tally) {
        if !matches!(self.state, State::Whole | State::Healed) {
            return;
        }
        self.state = State::Waiting;
        for _ in 0..self.pending.len() {
            self.note(Outcome::NotCompared, tally);
        }
        self.pending.clear();
    }

    /// Keeps nothing of it any more.
    pub(super) fn give_up(&mut self, why: Why, seed: Seeded) {
        tracing::warn!(security = %self.id, ?why, "a book is given up");
        self.state = State::GivenUp(why);
        self.depth = Depth::new(seed);
        self.trail = Trail::default();
        self.pending = VecDeque::new();
        self.taking = None;
    }

    /// What is published and shown as right.
    pub(super) fn is_claimed(&self) -> bool {
        matches!(self.state, State::Whole | State::Healed)
    }

    /// The last rank of a side up to which its levels are known.
    fn known(&self, side: Side) -> i64 {
        if self.state == State::Healed { self.known[side as usize] } else { i64::MAX }
    }

    /// The levels of a side that are known, the best first. Of a book that was healed numbers of orders are not: 0, which says nothing.
    pub(super) fn known_levels(&self, side: Side) -> impl Iterator<Item = (i64, Level)> + '_ {
        let (last, counts) = (self.known(side), self.state != State::Healed);
        let known = self.depth.levels(side).take_while(move |(price, _)| side.rank(*price) <= last);
        known.map(move |(price, level)| (price, if counts { level } else { Level { orders: 0, ..level } }))
    }

    /// Whether the best price of a side is known, or that there is none.
    pub(super) fn knows_best(&self, side: Side) -> bool {
        self.known(side) == i64::MAX || self.known_levels(side).next().is_some()
    }
}

/// Whether a snapshot of this time may be of the tick, by its time and that of the next one.
fn is_about(tick_ms: u32, next_ms: u32, time_ms: u32) -> bool {
    tick_ms <= time_ms.saturating_add(LATE_MS) && next_ms.saturating_add(EARLY_MS) >= time_ms
}
