//! Hot path: the deterministic core. A request and the time go in; reports and market data come out, encoded once.
//!
//! Rules: no I/O, no clock, no lock, no log; no allocation for an order in steady state (the day's list and maps have
//! their room reserved, books keep theirs). The same inputs at the same times give the same bytes: nothing here is
//! drawn by lot, and no map is ever walked.
//!
//! A day is its inputs in order ([`Input`]); [`Core::replay`] makes it again.
//!
//! An order takes one way through: [`Core::new_order`] remembers it by its identity, checks it (`check.rs`), freezes what
//! its account needs for it (`accounts.rs`), publishes and reports it, trades it with its book, and lets rest or cancels
//! what is left. In a call auction it only rests; [`Core::pass`] trades all of them when the auction ends (`auction.rs`).

mod accounts;
mod auction;
mod board;
mod check;
mod input;
mod listing;
mod orders;
mod refusal;
mod report;
mod schedule;
mod tape;

pub use accounts::{
    Account, AccountError, Accounts, HOLDINGS_MAX, LENT_AGAIN_ON_DAY_OF_RETURN, SOLD_ON_DAY_OF_PURCHASE,
    Shares,
};
pub use check::CASH_AT_MARGIN_DESK;
pub use input::{INPUT_LEN_MAX, Input, InputError};
pub use listing::{Listing, ListingError, Listings, QUANTITY_MAX, STEPS_MAX, SecurityNo, id_range};
pub use refusal::{
    CancelRefusal, REASON_CALL, REASON_CANCEL_CALL, REASON_CANCEL_CLOSED, REASON_CASH, REASON_CASH_MARGIN,
    REASON_DAY_FULL, REASON_FINANCING_LIMIT, REASON_POSITION, REASON_SEVERAL_ORDERS, REASON_SHARES_OWED,
    REASON_SHORT_INVENTORY, REASON_SHORT_SALE_PRICE, Refusal,
};
pub use schedule::{Call, Phase, Schedule, ScheduleError, TimeOfDay, TimeOfDayError};

use crate::book::{Fill, OrderNo, Reach, Side};
use accounts::Hold;
use auction::{Auction, Passing};
use board::{Board, Instrument, Shown};
use check::{Kind, Terms};
use flow::Tag;
use orders::{NotAdmitted, Orders};
use report::Reporter;
use schedule::Course;
use tape::{Print, Subject, Tape};
use wire::szse::code::{CashMargin, OrdStatus};
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Text, Timestamp};

/// A trading desk's place in [`Settings::desks`].
pub type DeskNo = u8;

/// The time of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    unix_ns: u64,
    time: Timestamp,
}

impl Now {
    /// From nanoseconds since 1970 (UTC).
    pub fn at(unix_ns: u64) -> Self {
        Self { unix_ns, time: Timestamp::from_unix_ns(unix_ns) }
    }

    /// Nanoseconds since 1970 (UTC).
    pub fn unix_ns(self) -> u64 {
        self.unix_ns
    }

    /// As messages have it, to the millisecond.
    pub fn time(self) -> Timestamp {
        self.time
    }
}

/// Where a step's results go: to the logs in a server, to a list of bytes in a test. Frames come whole, in the order
/// in which things happened.
pub trait Outlet {
    /// A report of a desk: [`Tag::lane`] is the PartitionNo, [`Tag::number`] the ReportIndex.
    fn report(&mut self, desk: DeskNo, tag: Tag, frame: &[u8]);

    /// Market data: [`Tag::lane`] is the ChannelNo, [`Tag::number`] the ApplSeqNum (0 for a snapshot or a
    /// heartbeat), [`Tag::key`] the security's number plus 1.
    fn market(&mut self, tag: Tag, frame: &[u8]);
}

/// Where requests come in and their reports go out: the cash core's, the margin core's, or one for both.
///
/// All desks of a core trade in the same books; an order's reports stay in the partitions of its desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desk {
    /// PartitionNo of the first partition; they count up from here and belong to this desk alone.
    pub partition_first: u16,
    /// Count of partitions, above 0.
    pub partitions: u16,
    /// Takes CashMargin 1.
    pub cash: bool,
    /// Takes CashMargin 2 and 3.
    pub margin: bool,
}

impl Desk {
    /// Whether an order with this CashMargin is traded here.
    pub fn takes(&self, code: CashMargin) -> bool {
        match code {
            CashMargin::CASH => self.cash || (self.margin && CASH_AT_MARGIN_DESK),
            CashMargin::MARGIN_OPEN | CashMargin::MARGIN_CLOSE => self.margin,
            _ => false,
        }
    }

    /// PartitionNo of each partition.
    pub fn partition_nos(&self) -> impl Iterator<Item = u16> + use<> {
        (self.partition_first..).take(usize::from(self.partitions))
    }
}

/// What a core is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tells this core's OrderIDs and ExecIDs from those of others; below 10,000.
    pub core_no: u16,
    /// Orders that one day may have; what comes after is refused.
    pub orders_max: u32,
    /// Orders that have their memory reserved (about 300 bytes each); from there on it is taken in doublings, each
    /// of which moves what is there and holds up orders.
    pub orders_reserved: u32,
    /// Where requests come in.
    pub desks: Vec<Desk>,
    /// ChannelNo of the first market-data channel.
    pub channel_first: u16,
    /// Count of channels, above 0; securities are dealt out to them in turn.
    pub channels: u16,
    /// A security that changed has a snapshot published this often, ns.
    pub snapshot_interval_ns: u64,
    /// A channel that was silent this long says so, ns.
    pub channel_heartbeat_ns: u64,
}

/// Trades and securities of an auction that one turn takes: about 0.3 ms, see `benches/auction.rs`.
pub const STEPS_PER_TURN: u32 = 1024;

/// What happened so far, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders accepted.
    pub accepted: u64,
    /// Orders refused, by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Trades: each is of two orders.
    pub trades: u64,
    /// Orders whose rest was cancelled, on request or because it does not rest.
    pub cancelled: u64,
    /// Cancels refused, by [`CancelRefusal`].
    pub cancels_refused: [u64; CancelRefusal::ALL.len()],
}

/// The core: books, the day's orders, report flows and market data of one process.
#[derive(Debug)]
pub struct Core {
    desks: Vec<Desk>,
    listings: Listings,
    instruments: Vec<Instrument>,
    orders: Orders,
    accounts: Accounts,
    course: Course,
    auction: Auction,
    /// The edge between two phases that is being passed.
    passing: Option<Passing>,
    reporter: Reporter,
    tape: Tape,
    board: Board,
    fills: Vec<Fill>,
    counts: Counts,
}

impl Core {
    /// A core at the start of its day, where no account is limited.
    ///
    /// # Panics
    /// If there is no desk, a desk without partitions, or no channel: configuration is checked before it gets here.
    pub fn new(settings: Settings, listings: Listings) -> Self {
        Self::with_accounts(settings, listings, Accounts::default())
    }

    /// A core at the start of its day, with accounts that were made for the same listings.
    ///
    /// # Panics
    /// As [`Core::new`].
    pub fn with_accounts(settings: Settings, listings: Listings, accounts: Accounts) -> Self {
        let Settings { core_no, desks, channel_first, channels, .. } = settings;
        assert!(!desks.is_empty() && desks.iter().all(|desk| desk.partitions > 0), "a desk has partitions");
        assert!(channels > 0, "securities are published in channels");
        let mut instruments = Vec::new();
        instruments.resize_with(listings.as_slice().len(), Instrument::default);
        Self {
            reporter: Reporter::new(core_no, &desks),
            tape: Tape::new(channel_first, channels, settings.channel_heartbeat_ns),
            board: Board::new(settings.snapshot_interval_ns),
            orders: Orders::new(settings.orders_max, settings.orders_reserved),
            fills: Vec::new(),
            counts: Counts::default(),
            accounts,
            course: Course::new(Schedule::default()),
            auction: Auction::default(),
            passing: None,
            desks,
            listings,
            instruments,
        }
    }

    /// The same core, with phases.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.course = Course::new(schedule);
        self
    }

    /// What happened so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Orders remembered today.
    pub fn orders_len(&self) -> usize {
        self.orders.len()
    }

    /// Whether this order came in before: its reports are its answer.
    pub fn knows(&self, request: &NewOrder) -> bool {
        self.orders.knows(request)
    }

    /// An order came in at a desk.
    pub fn new_order(&mut self, now: Now, desk: DeskNo, request: &NewOrder, out: &mut impl Outlet) {
        self.pass(now, out);
        let number = match self.orders.admit(desk, request) {
            Ok(number) => number,
            Err(NotAdmitted { refusal, first }) => {
                self.counts.refused[refusal as usize] += 1;
                self.reporter.rejected(now, (desk, request), first, refusal, out);
                return;
            }
        };
        match self.check(desk, request) {
            Ok((security, terms, hold)) => {
                self.orders[number].hold = hold;
                self.enter(now, number, security, terms, out);
            }
            Err(refusal) => {
                self.counts.refused[refusal as usize] += 1;
                self.reporter.rejected(now, (desk, request), Some(number), refusal, out);
            }
        }
    }

    /// What an order asks for, and what its account has frozen for it.
    fn check(
        &mut self,
        desk: DeskNo,
        request: &NewOrder,
    ) -> Result<(SecurityNo, Terms, Option<Hold>), Refusal> {
        let phase = self.course.phase();
        if matches!(phase, Phase::Break | Phase::Closed) {
            return Err(Refusal::Closed);
        }
        let security = check::security(&self.listings, request)?;
        let listing = &self.listings[security];
        let last = self.instruments[security as usize].day.last().unwrap_or(listing.prev_close.raw());
        let terms = check::terms(&self.desks[usize::from(desk)], listing, last, request)?;
        if phase.call().is_some() && !matches!(terms.kind, Kind::Limit { .. }) {
            return Err(Refusal::Call);
        }
        let hold = self.accounts.freeze(request, (security, listing), &terms)?;
        Ok((security, terms, hold))
    }

    /// A checked order trades, and what is left of it rests or is cancelled.
    fn enter(
        &mut self,
        now: Now,
        number: OrderNo,
        security: SecurityNo,
        terms: Terms,
        out: &mut impl Outlet,
    ) {
        let subject = Subject { number: security, id: self.listings[security].id };
        let instrument = &mut self.instruments[security as usize];
        let order = &mut self.orders[number];
        order.security = security;
        order.leaves = terms.quantity;
        order.status = OrdStatus::NEW;
        let (reach, rests_at) = match terms.kind {
            Kind::Limit { price } => (Reach::to(price), Some(price)),
            Kind::Immediate { price, levels_max } => (Reach { limit: Some(price), levels_max }, None),
            Kind::Market { levels_max } => (Reach { limit: None, levels_max }, None),
            // Nothing trades: the own side's best is not at or beyond the other side's.
            Kind::OwnBest => (Reach { limit: None, levels_max: 0 }, instrument.book.best(terms.side)),
        };
        let kind = (order.request.side, order.request.ord_type);
        let shown_price = reach.limit.or(rests_at).unwrap_or(0);
        order.tick_number = self.tape.order(now, subject, kind, (shown_price, terms.quantity), out);
        self.counts.accepted += 1;
        self.reporter.accepted(now, number, order, out);
        self.board.touch(security, instrument);

        let enough = terms.quantity_min == 0
            || instrument.book.available(terms.side, reach, terms.quantity) >= terms.quantity_min;
        if enough && self.course.phase().call().is_none() {
            self.fills.clear();
            instrument.book.take(terms.side, reach, terms.quantity, &mut self.fills);
            for index in 0..self.fills.len() {
                let fill = self.fills[index];
                let orders = (terms.side, number, fill.maker);
                self.trade(now, subject, orders, (fill.price, fill.quantity), out);
                self.agree(fill);
            }
        }
        let order = &mut self.orders[number];
        match rests_at {
            _ if order.leaves == 0 => {}
            Some(price) => {
                let book = &mut self.instruments[security as usize].book;
                order.place = Some(book.rest(terms.side, price, order.leaves, number));
            }
            None => {
                let cl_ord_id = order.request.cl_ord_id;
                self.end(now, number, terms.side, cl_ord_id, out);
            }
        }
    }

    /// Books, reports and publishes one trade: of an order of `side` with one of the other side, in the order in which they
    /// are told.
    fn trade(
        &mut self,
        now: Now,
        subject: Subject,
        (side, one, other): (Side, OrderNo, OrderNo),
        (price, quantity): (i64, i64),
        out: &mut impl Outlet,
    ) {
        let mut tick_numbers = [0; 2];
        for (number, tick_number) in [one, other].into_iter().zip(&mut tick_numbers) {
            let order = &mut self.orders[number];
            order.cum += quantity;
            order.leaves -= quantity;
            order.status = if order.leaves == 0 { OrdStatus::FILLED } else { OrdStatus::PARTIALLY_FILLED };
            if order.leaves == 0 {
                order.place = None;
            }
            *tick_number = order.tick_number;
            if let Some(hold) = order.hold {
                self.accounts.settle(hold, subject.number, price, quantity);
            }
            self.reporter.traded(now, number, order, (price, quantity), out);
        }
        self.counts.trades += 1;
        self.instruments[subject.number as usize].day.trade(price, quantity);
        self.tape.print(now, subject, Print::trade(side, tick_numbers.into(), price, quantity), out);
    }

    fn agree(&self, fill: Fill) {
        assert!(self.orders[fill.maker].leaves == fill.maker_leaves, "book and order agree on what is left");
    }

    /// What is left of an order is gone: it is out of the book already, or never was in it.
    fn end(&mut self, now: Now, number: OrderNo, side: Side, cl_ord_id: Text<10>, out: &mut impl Outlet) {
        let order = &mut self.orders[number];
        let gone = std::mem::take(&mut order.leaves);
        order.status = OrdStatus::CANCELLED;
        if let Some(hold) = order.hold {
            self.accounts.release(hold, order.security, gone);
        }
        self.counts.cancelled += 1;
        self.reporter.cancelled(now, number, order, cl_ord_id, out);
        let subject = Subject { number: order.security, id: self.listings[order.security].id };
        self.tape.print(now, subject, Print::cancel(side, order.tick_number, gone), out);
    }

    /// A cancel came in at a desk.
    pub fn cancel(&mut self, now: Now, desk: DeskNo, request: &OrderCancelRequest, out: &mut impl Outlet) {
        self.pass(now, out);
        let found = self.orders.find(desk, request, |id| self.reporter.order_no(id));
        let resting = found.and_then(|number| match self.course.phase() {
            Phase::Continuous | Phase::Call { cancels: true, .. } => {
                self.unrest(number).ok_or(CancelRefusal::TooLate)
            }
            Phase::Call { cancels: false, .. } => Err(CancelRefusal::Call),
            Phase::Break | Phase::Closed => Err(CancelRefusal::Closed),
        });
        match resting.and(found) {
            Ok(number) => {
                let side = check::side(request.side).expect("invariant: the order found has this side");
                self.end(now, number, side, request.cl_ord_id, out);
            }
            Err(refusal) => {
                self.counts.cancels_refused[refusal as usize] += 1;
                let order = found.ok().map(|number| (number, &self.orders[number]));
                self.reporter.cancel_rejected(now, (desk, request), order, refusal, out);
            }
        }
    }

    /// Takes an order out of its book; `None` when it is in none.
    fn unrest(&mut self, number: OrderNo) -> Option<()> {
        let order = &mut self.orders[number];
        let side = check::side(order.request.side)?;
        let place = order.place.take()?;
        let instrument = &mut self.instruments[order.security as usize];
        let leaves = instrument.book.cancel(side, place, number);
        assert!(leaves == order.leaves, "book and order agree on what is left");
        self.board.touch(order.security, instrument);
        Some(())
    }

    /// Time passed: a part of what an edge between phases brings, or snapshots that are due and heartbeats of silent channels.
    /// Bounded a call; call it every few ms.
    pub fn tick(&mut self, now: Now, out: &mut impl Outlet) {
        if !self.pass_some(now, STEPS_PER_TURN, out) {
            return;
        }
        let phase = self.course.phase();
        for _ in 0..self.board.due(now) {
            let Some(security) = self.board.pop() else { break };
            let shown = match phase.call() {
                Some(call) => Shown::Auction(self.outcome(call, security)),
                None => Shown::Depth,
            };
            let instrument = &mut self.instruments[security as usize];
            let channel_no = self.tape.channel_no(security);
            self.board.snapshot(
                (now, phase, shown),
                channel_no,
                &self.listings[security],
                (security, instrument),
                out,
            );
        }
        self.tape.heartbeats(now, out);
    }
}

#[cfg(test)]
mod tests;
