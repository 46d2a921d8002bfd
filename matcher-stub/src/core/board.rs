//! The state of each security as a snapshot shows it, and which snapshots are due.

use super::auction::Outcome;
use super::listing::{Listing, SecurityNo};
use super::schedule::Phase;
use super::tape::Subject;
use super::{Now, Outlet};
use crate::book::{Book, Side};
use flow::Tag;
use std::collections::VecDeque;
use wire::szse::code::{MdEntryType, SOURCE_SHENZHEN, STREAM_SNAPSHOT};
use wire::szse::market::{MdEntry, MdEntryWriter, ORDERS_MAX, Snapshot, SnapshotHead};
use wire::szse::{Amount, EncodeError, I64, MdEntryPx, Price, Qty, U16};

/// Levels of each side in a snapshot.
const LEVELS: usize = 10;

/// Raw units of price times quantity in one raw unit of an [`Amount`].
const VALUE_PER_AMOUNT: i128 = (Price::SCALE * Qty::SCALE / Amount::SCALE) as i128;

/// Trades of the day in one security, raw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    trades: i64,
    volume: i64,
    value: i128,
    open: i64,
    high: i64,
    low: i64,
    last: i64,
}

impl Day {
    /// The last trade's price.
    pub(super) fn last(&self) -> Option<i64> {
        (self.trades > 0).then_some(self.last)
    }

    pub(super) fn trade(&mut self, price: i64, quantity: i64) {
        if self.trades == 0 {
            (self.open, self.high, self.low) = (price, price, price);
        }
        self.trades += 1;
        self.volume += quantity;
        self.value += i128::from(price) * i128::from(quantity);
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.last = price;
    }
}

/// A security: what rests in it, what traded.
#[derive(Debug, Default)]
pub(super) struct Instrument {
    pub(super) book: Book,
    pub(super) day: Day,
    /// In the list of what changed.
    listed: bool,
}

/// What a snapshot shows of a book.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// Its levels.
    Depth,
    /// What its auction would come to.
    Auction(Option<Outcome>),
}

/// Which securities changed since their last snapshot, and when snapshots are due.
#[derive(Debug)]
pub(super) struct Board {
    interval_ns: u64,
    due_ns: u64,
    /// Changed, each once, in the order of their first change: bounded by the count of securities.
    changed: VecDeque<SecurityNo>,
    /// How many of those are due now.
    due: usize,
    frame: Vec<u8>,
}

/// Most snapshots made in one turn, so that orders do not wait for those of a whole market: well under 1 ms.
const SNAPSHOTS_PER_TURN_MAX: usize = 256;

impl Board {
    pub(super) fn new(interval_ns: u64) -> Self {
        Self { interval_ns, due_ns: 0, changed: VecDeque::new(), due: 0, frame: Vec::new() }
    }

    /// A security changed.
    pub(super) fn touch(&mut self, security: SecurityNo, instrument: &mut Instrument) {
        if !instrument.listed {
            instrument.listed = true;
            self.changed.push_back(security);
        }
    }

    /// How many snapshots this turn makes of what [`Board::pop`] gives.
    pub(super) fn due(&mut self, now: Now) -> usize {
        if self.due == 0 && now.unix_ns >= self.due_ns {
            self.due = self.changed.len();
            self.due_ns = now.unix_ns + self.interval_ns;
        }
        let due = self.due.min(SNAPSHOTS_PER_TURN_MAX);
        self.due -= due;
        due
    }

    /// The security that changed first.
    pub(super) fn pop(&mut self) -> Option<SecurityNo> {
        self.changed.pop_front()
    }

    /// Publishes how a security stands.
    pub(super) fn snapshot(
        &mut self,
        (now, phase, shown): (Now, Phase, Shown),
        channel_no: u16,
        listing: &Listing,
        (security, instrument): (SecurityNo, &mut Instrument),
        out: &mut impl Outlet,
    ) {
        instrument.listed = false;
        let head = head((now, phase), channel_no, listing, &instrument.day);
        self.frame.clear();
        Snapshot::encode(&head, &mut self.frame, |entries| write(entries, listing, instrument, shown))
            .expect("invariant: 26 entries of at most 50 orders are within the bounds");
        let key = Subject { number: security, id: listing.id }.key();
        out.market(Tag { lane: channel_no, number: 0, key }, &self.frame);
    }
}

fn head((now, phase): (Now, Phase), channel_no: u16, listing: &Listing, day: &Day) -> SnapshotHead {
    let value = (day.value / VALUE_PER_AMOUNT).min(i128::from(Amount::RAW_MAX));
    SnapshotHead {
        orig_time: now.time,
        channel_no: U16::new(channel_no),
        md_stream_id: STREAM_SNAPSHOT,
        security_id: listing.id,
        security_id_source: SOURCE_SHENZHEN,
        trading_phase_code: phase.code(),
        prev_close_px: listing.prev_close,
        num_trades: I64::new(day.trades),
        total_volume_trade: Qty::from_raw(day.volume),
        total_value_trade: Amount::from_raw(value as i64),
    }
}

fn write(
    entries: &mut MdEntryWriter<'_>,
    listing: &Listing,
    at: &Instrument,
    shown: Shown,
) -> Result<(), EncodeError> {
    match shown {
        Shown::Depth => {
            write_depth(entries, &at.book, Side::Buy, MdEntryType::BID)?;
            write_depth(entries, &at.book, Side::Sell, MdEntryType::ASK)?;
        }
        Shown::Auction(Some(outcome)) => write_auction(entries, outcome)?,
        // Nothing that would trade, no price to show (?).
        Shown::Auction(None) => {}
    }
    if let Some(last) = at.day.last() {
        write_price(entries, MdEntryType::LAST, last)?;
        write_price(entries, MdEntryType::OPEN, at.day.open)?;
        write_price(entries, MdEntryType::HIGH, at.day.high)?;
        write_price(entries, MdEntryType::LOW, at.day.low)?;
    }
    write_price(entries, MdEntryType::UPPER_LIMIT, listing.limit_up.raw())?;
    write_price(entries, MdEntryType::LOWER_LIMIT, listing.limit_down.raw())
}

fn write_depth(
    entries: &mut MdEntryWriter<'_>,
    book: &Book,
    side: Side,
    md_entry_type: MdEntryType,
) -> Result<(), EncodeError> {
    let mut queue = [Qty::ZERO; ORDERS_MAX];
    let mut shown = 0;
    for (slot, (_, leaves)) in queue.iter_mut().zip(book.best_queue(side)) {
        *slot = Qty::from_raw(leaves);
        shown += 1;
    }
    for (level, depth) in (1..).zip(book.depth(side).take(LEVELS)) {
        let entry = MdEntry {
            md_entry_type,
            md_entry_px: entry_px(depth.price),
            md_entry_size: Qty::from_raw(depth.quantity),
            md_price_level: U16::new(level),
            number_of_orders: I64::new(i64::from(depth.orders)),
        };
        // The exchange shows the queue of the best level only.
        entries.push(&entry, if level == 1 { &queue[..shown] } else { &[] })?;
    }
    Ok(())
}

/// During an auction the first bid and the first ask are both its indicative price with the quantity that would trade, and
/// the second of the side that has more is what would be left, at no price (?: as public displays of the exchange show it;
/// the message has no other place for it).
fn write_auction(entries: &mut MdEntryWriter<'_>, outcome: Outcome) -> Result<(), EncodeError> {
    let mut write = |md_entry_type, level, price, quantity| {
        let (md_entry_px, md_entry_size) = (entry_px(price), Qty::from_raw(quantity));
        let md_price_level = U16::new(level);
        let entry =
            MdEntry { md_entry_type, md_entry_px, md_entry_size, md_price_level, ..MdEntry::default() };
        entries.push(&entry, &[])
    };
    for (md_entry_type, surplus) in
        [(MdEntryType::BID, outcome.surplus), (MdEntryType::ASK, -outcome.surplus)]
    {
        write(md_entry_type, 1, outcome.price, outcome.volume)?;
        if surplus > 0 {
            write(md_entry_type, 2, 0, surplus)?;
        }
    }
    Ok(())
}

fn write_price(
    entries: &mut MdEntryWriter<'_>,
    md_entry_type: MdEntryType,
    price: i64,
) -> Result<(), EncodeError> {
    entries.push(&MdEntry { md_entry_type, md_entry_px: entry_px(price), ..MdEntry::default() }, &[])
}

fn entry_px(price: i64) -> MdEntryPx {
    MdEntryPx::from_price(Price::from_raw(price)).expect("invariant: listed prices have thirteen digits")
}
