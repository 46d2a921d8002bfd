//! Snapshots of our own, between the exchange's: the best ten levels of a book that has changed.

use super::depth::Side;
use super::security::Book;
use super::shot::{LEVELS, Prices};
use flow::Tag;
use std::hash::BuildHasher;
use wire::szse::code::MdEntryType;
use wire::szse::ext::STREAM_BOOK;
use wire::szse::market::{MdEntry, MdEntryWriter, Snapshot, SnapshotHead};
use wire::szse::{Amount, EncodeError, I64, MdEntryPx, Price, Qty, Timestamp, U16};

/// Snapshots that are handed over at a time, at most: the thread of the log appends them in one turn.
pub(super) const BATCH_MAX: usize = 64;

/// What was published of a book last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// It has changed, and is in the list of those that have.
    pub(super) listed: bool,
    /// A fingerprint of its levels and of what traded.
    fingerprint: u64,
}

impl Published {
    /// It was not published after all.
    pub(super) fn forget(&mut self) {
        self.fingerprint = 0;
    }
}

/// Snapshots for the log.
#[derive(Debug, Default)]
pub(crate) struct Publication {
    frames: Vec<u8>,
    /// Of each its tag, its OrigTime, and where its frame ends.
    entries: Vec<(Tag, Timestamp, usize)>,
}

impl Publication {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Each of them: its tag, its OrigTime and its frame.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Tag, Timestamp, &[u8])> {
        let mut begin = 0;
        self.entries.iter().map(move |&(tag, time, end)| {
            let frame = &self.frames[begin..end];
            begin = end;
            (tag, time, frame)
        })
    }

    /// Adds the book of `key`, if it has something new to say: not in an auction, and not before the exchange's first snapshot, which
    /// has what is not in the ticks. Of a book that was healed the levels that are known, and nothing while of a side none is.
    pub(super) fn add(&mut self, (channel, key): (u16, u32), book: &mut Book, hasher: &impl BuildHasher) {
        let known = book.is_claimed() && Side::BOTH.iter().all(|side| book.knows_best(*side));
        let Some(reference) = book.reference.filter(|_| known) else { return };
        let shown = |side| {
            let levels = book.known_levels(side).take(LEVELS);
            levels.map(|(price, level)| (price, level.quantity, level.orders)).collect::<Vec<_>>()
        };
        let levels = Side::BOTH.map(shown);
        // An auction goes on, or an order has come whose trades have not.
        if matches!([levels[0].first(), levels[1].first()], [Some(bid), Some(ask)] if bid.0 >= ask.0) {
            return;
        }
        let fingerprint = hasher.hash_one((&levels, book.traded.trades, book.traded.quantity));
        if fingerprint == book.published.fingerprint {
            return;
        }
        book.published.fingerprint = fingerprint;
        let head = SnapshotHead {
            orig_time: book.at.time,
            channel_no: U16::new(channel),
            md_stream_id: STREAM_BOOK,
            security_id: book.id,
            security_id_source: book.source,
            trading_phase_code: reference.phase,
            prev_close_px: reference.prev_close,
            num_trades: I64::new(book.traded.trades),
            total_volume_trade: Qty::from_raw(book.traded.quantity),
            total_value_trade: Amount::from_raw(book.traded.value),
        };
        let Prices { upper_limit, lower_limit, .. } = reference.prices;
        let prices = Prices { upper_limit, lower_limit, ..book.prices };
        let begin = self.frames.len();
        let encoded = Snapshot::encode(&head, &mut self.frames, |entries| write(entries, &levels, &prices));
        if encoded.is_ok() {
            let tag = Tag { lane: channel, number: 0, key };
            self.entries.push((tag, book.at.time, self.frames.len()));
        } else {
            self.frames.truncate(begin);
        }
    }
}

/// Levels of buys and of sells: price, quantity, orders.
type Levels = [Vec<(i64, i64, i64)>; 2];

fn write(entries: &mut MdEntryWriter<'_>, levels: &Levels, prices: &Prices) -> Result<(), EncodeError> {
    for (levels, md_entry_type) in levels.iter().zip([MdEntryType::BID, MdEntryType::ASK]) {
        for (number, (price, quantity, orders)) in (1..).zip(levels) {
            let entry = MdEntry {
                md_entry_type,
                md_entry_px: entry_px(*price),
                md_entry_size: Qty::from_raw(*quantity),
                md_price_level: U16::new(number),
                number_of_orders: I64::new(*orders),
            };
            entries.push(&entry, &[])?;
        }
    }
    let Prices { last, open, high, low, upper_limit, lower_limit } = *prices;
    let said = [
        (MdEntryType::LAST, last),
        (MdEntryType::OPEN, open),
        (MdEntryType::HIGH, high),
        (MdEntryType::LOW, low),
        (MdEntryType::UPPER_LIMIT, upper_limit),
        (MdEntryType::LOWER_LIMIT, lower_limit),
    ];
    for (md_entry_type, price) in said.into_iter().filter(|(_, price)| *price != 0) {
        entries.push(&MdEntry { md_entry_type, md_entry_px: entry_px(price), ..MdEntry::default() }, &[])?;
    }
    Ok(())
}

/// A price as a snapshot has it; one that no market has, 0.
fn entry_px(price: i64) -> MdEntryPx {
    MdEntryPx::from_price(Price::from_raw(price)).unwrap_or_default()
}
