//! All books: which security a tick is of, how far each channel is, and how much may be held.

use super::depth::{Order, Side};
use super::publish::{BATCH_MAX, Publication};
use super::security::{At, Book, Event, Kind, State, Why};
use super::shot::Shot;
use super::tally::Tally;
use crate::ingest::NO_KEY;
use crate::securities::Seeded;
use flow::Tag;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use wire::szse::code::{ExecType, OrdType, STREAM_SNAPSHOT, STREAM_TICK, Side as SideCode};
use wire::szse::ext::ExtendedTickOrder;
use wire::szse::market::{Snapshot, TickOrder, TickTrade};
use wire::szse::{Frame, GroupMessage, Message, SecurityId, SecurityIdSource, Timestamp, frame};

/// How much books may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Securities, at most. What is beyond has no book.
    pub securities_max: usize,
    /// Orders of all books, at most. The book of an order beyond it is given up.
    pub orders_max: usize,
    /// Orders of one book, at most, and levels. Beyond it the book is given up.
    pub orders_per_security_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { securities_max: 16_384, orders_max: 16_777_216, orders_per_security_max: 1_048_576 }
    }
}

/// How far a channel is.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// The number that comes next.
    next: u64,
    /// It was followed from 1 on, without a hole.
    whole: bool,
    /// TransactTime of its last tick, milliseconds of its day.
    time_ms: u32,
}

/// The books of all securities.
#[derive(Debug)]
pub struct Books {
    limits: Limits,
    /// Channels from this one on are those of a source that numbers in its own way.
    own_from: Option<u16>,
    books: HashMap<u32, Book, Seeded>,
    lanes: HashMap<u16, Lane>,
    /// Orders of all books.
    orders: usize,
    tally: Tally,
    seed: Seeded,
    /// Books that have changed since they were published.
    changed: Vec<u32>,
}

impl Books {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        let seed = Seeded::random();
        Self {
            limits,
            own_from: None,
            books: HashMap::with_hasher(seed),
            lanes: HashMap::new(),
            orders: 0,
            tally: Tally::default(),
            seed,
            changed: Vec::new(),
        }
    }

    /// Passes over the channels from this one on, whose quotes are a second copy of those of the exchange's channels under other numbers
    /// (`arbitration.own.channel_offset`).
    #[must_use]
    pub fn below(self, channel: u16) -> Self {
        Self { own_from: Some(channel), ..self }
    }

    /// Securities that have a book.
    pub fn len(&self) -> usize {
        self.books.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// Takes an entry of the log. What is neither a tick nor a snapshot of a cash auction is not for books.
    #[inline]
    pub fn take(&mut self, tag: Tag, bytes: &[u8]) {
        if self.own_from.is_some_and(|own_from| tag.lane >= own_from) {
            self.tally.own += 1;
            return;
        }
        if tag.key == Tag::EVERYONE {
            return self.notice(tag);
        }
        let Ok(Some(frame)) = frame::decode(bytes, frame::BODY_LEN_MAX) else { return };
        if tag.number != 0 {
            self.passed(tag);
        }
        match frame.msg_type {
            TickOrder::MSG_TYPE => {
                if let Ok(order) = frame.view::<TickOrder>() {
                    self.order(tag, order, order.appl_seq_num.get());
                }
            }
            ExtendedTickOrder::MSG_TYPE => {
                if let Ok(extended) = frame.group::<ExtendedTickOrder<'_>>() {
                    self.order(tag, extended.order, extended.order_no());
                }
            }
            TickTrade::MSG_TYPE => {
                if let Ok(trade) = frame.view::<TickTrade>() {
                    self.trade(tag, trade);
                }
            }
            Snapshot::MSG_TYPE => self.snapshot(tag, &frame),
            _ => {}
        }
    }

    /// A notice stands in the log in place of numbers that will not come; a heartbeat has no number.
    #[cold]
    fn notice(&mut self, tag: Tag) {
        if tag.number == 0 {
            return;
        }
        let time_ms = self.lanes.get(&tag.lane).map_or(0, |lane| lane.time_ms);
        self.hole(tag.lane, Lane { next: tag.number + 1, whole: false, time_ms });
    }

    #[inline]
    fn passed(&mut self, tag: Tag) {
        let lane = self.lanes.entry(tag.lane).or_insert(Lane { next: 1, whole: true, time_ms: 0 });
        if lane.next == tag.number {
            lane.next += 1;
            return;
        }
        let lane = Lane { next: tag.number + 1, whole: false, ..*lane };
        self.hole(tag.lane, lane);
    }

    #[cold]
    fn hole(&mut self, channel: u16, lane: Lane) {
        self.lanes.insert(channel, lane);
        self.tally.gaps += 1;
        for book in self.books.values_mut().filter(|book| book.channel == Some(channel)) {
            let before = book.depth.orders();
            book.hole(&mut self.tally);
            self.orders = self.orders - before + book.depth.orders();
        }
    }

    /// Entries of the log were let go before they were looked at: of which channels is not known.
    pub(crate) fn missed(&mut self, count: u64) {
        self.tally.missed += count;
        let channels: Vec<_> = self.lanes.iter().map(|(channel, lane)| (*channel, *lane)).collect();
        for (channel, lane) in channels {
            self.hole(channel, Lane { whole: false, ..lane });
        }
    }

    fn order(&mut self, tag: Tag, tick: &TickOrder, number: i64) {
        if tick.md_stream_id != STREAM_TICK {
            return;
        }
        let side = match tick.side {
            SideCode::BUY => Some(Side::Buy),
            SideCode::SELL => Some(Side::Sell),
            _ => None,
        };
        let kind = match tick.ord_type {
            OrdType::MARKET => Kind::Market,
            OrdType::OWN_BEST => Kind::OwnBest,
            _ => Kind::Limit,
        };
        let (price, quantity) = (tick.price.raw(), tick.order_qty.raw());
        let event = match side {
            Some(side) if quantity > 0 && number > 0 && (price > 0 || kind != Kind::Limit) => {
                Event::Order { number, order: Order { side, price, quantity }, kind }
            }
            _ => Event::Senseless,
        };
        let names = (tick.security_id, tick.security_id_source);
        self.tick(tag, names, tick.transact_time, event);
    }

    fn trade(&mut self, tag: Tag, tick: &TickTrade) {
        if tick.md_stream_id != STREAM_TICK {
            return;
        }
        let (bid, offer) = (tick.bid_appl_seq_num.get(), tick.offer_appl_seq_num.get());
        let (price, quantity) = (tick.last_px.raw(), tick.last_qty.raw());
        let event = match tick.exec_type {
            ExecType::TRADE if quantity > 0 && price > 0 && bid > 0 && offer > 0 && bid != offer => {
                Event::Trade { bid, offer, price, quantity }
            }
            ExecType::CANCELLED if quantity > 0 && bid > 0 && offer == 0 => {
                Event::Cancel { side: Side::Buy, number: bid, price, quantity }
            }
            ExecType::CANCELLED if quantity > 0 && offer > 0 && bid == 0 => {
                Event::Cancel { side: Side::Sell, number: offer, price, quantity }
            }
            _ => Event::Senseless,
        };
        let names = (tick.security_id, tick.security_id_source);
        self.tick(tag, names, tick.transact_time, event);
    }

    #[inline]
    fn tick(&mut self, tag: Tag, names: Names, time: Timestamp, event: Event) {
        let Self { limits, books, lanes, orders, tally, seed, changed, .. } = self;
        let Some(lane) = lanes.get_mut(&tag.lane) else { return };
        lane.time_ms = time.ms_of_day();
        let Some(book) = place(books, limits, tally, *seed, (tag.key, names)) else { return };
        match book.channel {
            _ if matches!(book.state, State::GivenUp(_)) => return,
            None => book.begin(tag.lane, lane.whole, *seed, tally),
            Some(channel) if channel != tag.lane => {
                *orders -= book.depth.orders();
                return give_up(book, Why::Channels, *seed, tally);
            }
            Some(_) => {}
        }
        let before = book.depth.orders();
        book.tick(At { number: tag.number, time }, event, tally);
        tally.ticks += 1;
        let after = book.depth.orders();
        *orders = *orders - before + after;
        list(changed, tag.key, book);
        let why = if after.max(book.depth.level_count()) > limits.orders_per_security_max {
            Why::Security
        } else if *orders > limits.orders_max {
            Why::Total
        } else {
            return;
        };
        *orders -= after;
        give_up(book, why, *seed, tally);
    }

    fn snapshot(&mut self, tag: Tag, frame: &Frame<'_>) {
        let Ok(snapshot) = frame.group::<Snapshot<'_>>() else { return };
        let head = snapshot.head;
        if head.md_stream_id != STREAM_SNAPSHOT {
            return;
        }
        let Self { limits, books, lanes, tally, seed, changed, .. } = self;
        let names = (head.security_id, head.security_id_source);
        let Some(book) = place(books, limits, tally, *seed, (tag.key, names)) else { return };
        let lane = book.channel.and_then(|channel| lanes.get(&channel));
        book.snapshot(Shot::of(&snapshot), lane.map_or(0, |lane| lane.time_ms), tally);
        list(changed, tag.key, book);
    }

    /// Adds books that have changed to what is published, as many as fit.
    pub(super) fn publish(&mut self, channel: u16, publication: &mut Publication) {
        while publication.len() < BATCH_MAX
            && let Some(key) = self.changed.pop()
        {
            if let Some(book) = self.books.get_mut(&key) {
                book.published.listed = false;
                publication.add((channel, key), book, &self.seed);
            }
        }
    }

    /// What was to be published was not.
    pub(super) fn publish_again(&mut self, publication: &Publication) {
        for (tag, ..) in publication.each() {
            if let Some(book) = self.books.get_mut(&tag.key) {
                book.published.forget();
                list(&mut self.changed, tag.key, book);
            }
        }
    }

    /// Whether a book has changed since it was looked at for publishing.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Book> {
        self.books.values()
    }

    pub(super) fn orders(&self) -> usize {
        self.orders
    }

    pub(super) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// A security's names on the wire.
type Names = (SecurityId, SecurityIdSource);

/// The book of a key, a new one if there was none; `None` where there is no room.
#[inline]
fn place<'a>(
    books: &'a mut HashMap<u32, Book, Seeded>,
    limits: &Limits,
    tally: &mut Tally,
    seed: Seeded,
    (key, (id, source)): (u32, Names),
) -> Option<&'a mut Book> {
    let room = books.len() < limits.securities_max && key != NO_KEY;
    match books.entry(key) {
        Entry::Occupied(known) => Some(known.into_mut()),
        Entry::Vacant(vacant) if room => Some(vacant.insert(Book::new(id, source, seed))),
        Entry::Vacant(_) => {
            tally.no_room += 1;
            None
        }
    }
}

/// Notes that a book is to be looked at for publishing.
#[inline]
fn list(changed: &mut Vec<u32>, key: u32, book: &mut Book) {
    if !std::mem::replace(&mut book.published.listed, true) {
        changed.push(key);
    }
}

#[cold]
fn give_up(book: &mut Book, why: Why, seed: Seeded, tally: &mut Tally) {
    tally.given_up[why as usize] += 1;
    book.give_up(why, seed);
}
