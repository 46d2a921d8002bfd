//! The newest state of each security, made of the log's frames: what browsers are shown.

use crate::web::code::Code;
use crate::web::line::{Line, Point};
use std::collections::{HashMap, VecDeque};
use wire::szse::code::{ExecType, MdEntryType};
use wire::szse::ext::STREAM_BOOK;
use wire::szse::market::{Snapshot, SnapshotEntry, TickTrade};
use wire::szse::{Frame, GroupMessage, MdEntryPx, Message, Text, Timestamp};

/// Levels of a side that are shown.
pub(super) const LEVELS: usize = 10;
/// Trades of a security that are kept: what a browser can miss between two updates without being told.
pub(super) const TRADES_MAX: usize = 50;
/// Beyond this the later one of two snapshots is the newer one, milliseconds: the exchange's have ticks of up to 1.5 s after their time
/// (docs/book.md).
const NEAR_MS: u32 = 5_000;

/// A price level: price in units of 0.0001, quantity in units of 0.01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) price: i64,
    pub(super) quantity: i64,
    pub(super) orders: i64,
}

/// A trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trade {
    pub(super) time: Timestamp,
    pub(super) price: i64,
    pub(super) quantity: i64,
    /// Who came later and took: `B`uyer or `S`eller.
    pub(super) side: u8,
}

/// Prices in units of 0.0001, 0 for none; volume in units of 0.01, value of 0.0001.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quote {
    /// When the exchange made the newest of it.
    pub(super) time: Timestamp,
    /// When the first came that is of that time, by this machine's clock: nanoseconds since 1970.
    pub(super) came_ns: i64,
    pub(super) phase: Text<8>,
    pub(super) prev_close: i64,
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
    pub(super) last: i64,
    pub(super) upper: i64,
    pub(super) lower: i64,
    pub(super) volume: i64,
    pub(super) value: i64,
    pub(super) trades: i64,
}

/// A snapshot: its prices and totals, and the best levels, the best one first.
#[derive(Debug, Default)]
pub(super) struct Shot {
    pub(super) quote: Quote,
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
}

/// How often each part of a security's state has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) quote: u64,
    /// The exchange's snapshot.
    pub(super) shot: u64,
    /// Any snapshot.
    pub(super) depth: u64,
    pub(super) trades: u64,
    pub(super) line: u64,
}

/// A security's state.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) code: Code,
    /// Of trades and the exchange's snapshots.
    pub(super) quote: Quote,
    /// The exchange's latest: all that is for who sees no ticks.
    pub(super) shot: Shot,
    /// The latest of the book that a feed makes of ticks.
    book: Shot,
    /// The newest last.
    pub(super) trades: VecDeque<Trade>,
    pub(super) line: Line,
    pub(super) versions: Versions,
}

/// All securities, in the order in which they were heard of.
pub(super) struct Market {
    items: Vec<Item>,
    places: HashMap<Code, usize>,
    items_max: usize,
    /// Frames for which there was no room.
    pub(super) no_room: u64,
}

impl Market {
    pub(super) fn new(items_max: usize) -> Self {
        Self { items: Vec::new(), places: HashMap::new(), items_max, no_room: 0 }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn place(&self, code: &Code) -> Option<usize> {
        self.places.get(code).copied()
    }

    /// Takes what matters of a frame of the log that came at this time of day, nanoseconds since 1970; the rest is not for browsers.
    pub(super) fn take(&mut self, frame: &Frame<'_>, came_ns: i64) {
        match frame.msg_type {
            TickTrade::MSG_TYPE => {
                if let Ok(trade) = frame.view::<TickTrade>()
                    && trade.exec_type == ExecType::TRADE
                    && let Some(item) =
                        self.item(Code { id: trade.security_id, source: trade.security_id_source })
                {
                    item.trade(trade, came_ns);
                }
            }
            Snapshot::MSG_TYPE => {
                if let Ok(snapshot) = frame.group::<Snapshot<'_>>()
                    && let head = snapshot.head
                    && let Some(item) =
                        self.item(Code { id: head.security_id, source: head.security_id_source })
                {
                    item.snapshot(&snapshot, came_ns);
                }
            }
            _ => {}
        }
    }

    fn item(&mut self, code: Code) -> Option<&mut Item> {
        let place = match self.places.get(&code) {
            Some(place) => *place,
            None if self.items.len() >= self.items_max => {
                self.no_room += 1;
                return None;
            }
            None => {
                self.places.insert(code, self.items.len());
                self.items.push(Item::new(code));
                self.items.len() - 1
            }
        };
        self.items.get_mut(place)
    }
}

impl Item {
    fn new(code: Code) -> Self {
        Self {
            code,
            quote: Quote::default(),
            shot: Shot::default(),
            book: Shot::default(),
            trades: VecDeque::new(),
            line: Line::default(),
            versions: Versions::default(),
        }
    }

    /// The newest levels, for who sees ticks.
    pub(super) fn depth(&self) -> &Shot {
        if self.book.is_newer_than(&self.shot) { &self.book } else { &self.shot }
    }

    /// A trade that is no later than the exchange's snapshot is in its totals: snapshots do not wait for ticks that are missing.
    fn trade(&mut self, trade: &TickTrade, came_ns: i64) {
        let (time, price, quantity) = (trade.transact_time, trade.last_px.raw(), trade.last_qty.raw());
        let buyer_took = trade.bid_appl_seq_num.get() > trade.offer_appl_seq_num.get();
        let trade = Trade { time, price, quantity, side: if buyer_took { b'B' } else { b'S' } };
        if self.trades.len() == TRADES_MAX {
            self.trades.pop_front();
        }
        self.trades.push_back(trade);
        self.versions.trades += 1;
        let is_later = time > self.shot.quote.time;
        let quote = &mut self.quote;
        if quote.volume == 0 && quote.open == 0 {
            quote.open = price;
        }
        quote.high = quote.high.max(price);
        quote.low = if quote.low == 0 { price } else { quote.low.min(price) };
        if time > quote.time {
            (quote.time, quote.came_ns) = (time, came_ns);
        }
        if time == quote.time {
            quote.last = price;
        }
        self.versions.quote += 1;
        if is_later {
            quote.add(&trade);
            self.draw(time, price, quantity);
        }
    }

    /// A snapshot is as of its time: it takes nothing back that later trades have said already.
    fn snapshot(&mut self, snapshot: &Snapshot<'_>, came_ns: i64) {
        self.versions.depth += 1;
        if snapshot.head.md_stream_id == STREAM_BOOK {
            // Its levels alone are news: the trades that it is made of are in the log too.
            self.book.set(snapshot, came_ns);
            return;
        }
        self.shot.set(snapshot, came_ns);
        self.versions.shot += 1;
        let shot = self.shot.quote;
        let earlier = self.quote;
        let newest = if shot.time > earlier.time { shot } else { earlier };
        self.quote = Quote {
            time: newest.time,
            came_ns: newest.came_ns,
            open: if shot.open == 0 { earlier.open } else { shot.open },
            high: earlier.high.max(shot.high),
            low: if earlier.low == 0 || shot.low != 0 && shot.low < earlier.low {
                shot.low
            } else {
                earlier.low
            },
            last: if shot.time >= earlier.time && shot.last != 0 { shot.last } else { earlier.last },
            ..shot
        };
        let later = self.trades.iter().filter(|trade| trade.time > shot.time);
        if later.clone().count() < TRADES_MAX {
            later.for_each(|trade| self.quote.add(trade));
        } else {
            // There may have been more than are kept: the totals wait for another snapshot.
            (self.quote.volume, self.quote.value, self.quote.trades) =
                (earlier.volume, earlier.value, earlier.trades);
        }
        self.versions.quote += 1;
        if (self.quote.last, self.quote.volume) != (earlier.last, earlier.volume) && self.quote.last != 0 {
            let traded =
                if earlier.volume == 0 { 0 } else { self.quote.volume.saturating_sub(earlier.volume).max(0) };
            self.draw(shot.time, self.quote.last, traded);
        }
    }

    fn draw(&mut self, time: Timestamp, price: i64, volume: i64) {
        let Quote { volume: total, value, .. } = self.quote;
        let average = match i128::from(total) {
            0 => price,
            total => i64::try_from(i128::from(value) * 100 / total).unwrap_or(price),
        };
        self.line.add(Point { at_s: time.ms_of_day() / 1_000, price, average, volume });
        self.versions.line += 1;
    }
}

impl Shot {
    fn set(&mut self, snapshot: &Snapshot<'_>, came_ns: i64) {
        let earlier = self.quote;
        self.quote = Quote { came_ns, ..Quote::of(snapshot) };
        if self.quote.time == earlier.time {
            self.quote.came_ns = earlier.came_ns;
        }
        self.bids.clear();
        self.asks.clear();
        for SnapshotEntry { entry, .. } in snapshot.entries() {
            let side = match entry.md_entry_type {
                MdEntryType::BID => &mut self.bids,
                MdEntryType::ASK => &mut self.asks,
                _ => continue,
            };
            if side.len() < LEVELS {
                let (price, quantity) = (price_of(entry.md_entry_px), entry.md_entry_size.raw());
                side.push(Level { price, quantity, orders: entry.number_of_orders.get() });
            }
        }
    }

    /// Of two of about one time it is the trades that say it: the exchange's have ticks of after their time.
    fn is_newer_than(&self, other: &Self) -> bool {
        let (this, other) = (&self.quote, &other.quote);
        if this.time.ms_of_day().abs_diff(other.time.ms_of_day()) > NEAR_MS {
            return this.time > other.time;
        }
        (this.trades, this.volume, this.time) > (other.trades, other.volume, other.time)
    }
}

impl Quote {
    fn of(snapshot: &Snapshot<'_>) -> Self {
        let head = snapshot.head;
        let mut quote = Self {
            time: head.orig_time,
            phase: head.trading_phase_code,
            prev_close: head.prev_close_px.raw(),
            volume: head.total_volume_trade.raw(),
            value: head.total_value_trade.raw(),
            trades: head.num_trades.get(),
            ..Self::default()
        };
        for SnapshotEntry { entry, .. } in snapshot.entries() {
            let field = match entry.md_entry_type {
                MdEntryType::LAST => &mut quote.last,
                MdEntryType::OPEN => &mut quote.open,
                MdEntryType::HIGH => &mut quote.high,
                MdEntryType::LOW => &mut quote.low,
                MdEntryType::UPPER_LIMIT => &mut quote.upper,
                MdEntryType::LOWER_LIMIT => &mut quote.lower,
                _ => continue,
            };
            *field = price_of(entry.md_entry_px);
        }
        quote
    }

    /// How late it came, milliseconds; none where its stamp is more than ten minutes off: it is not of now. How long it has been the
    /// newest since then does not count: in a quiet market that says nothing of the way here.
    pub(super) fn lag_ms(&self) -> Option<i64> {
        let stamped_ns = i64::try_from(self.time.to_unix_ns()?).ok()?;
        let lag_ms = (self.came_ns - stamped_ns) / 1_000_000;
        (lag_ms.abs() < 600_000).then_some(lag_ms)
    }

    /// One more trade in the totals.
    fn add(&mut self, trade: &Trade) {
        self.volume = self.volume.saturating_add(trade.quantity);
        self.value = self.value.saturating_add(amount(trade.price, trade.quantity));
        self.trades = self.trades.saturating_add(1);
    }
}

/// Units of 0.0001 times units of 0.01, in units of 0.0001.
fn amount(price: i64, quantity: i64) -> i64 {
    i64::try_from(i128::from(price) * i128::from(quantity) / 100).unwrap_or(i64::MAX)
}

/// In units of 0.0001: what an entry's price has beyond is not shown.
fn price_of(px: MdEntryPx) -> i64 {
    px.raw() / (MdEntryPx::SCALE / wire::szse::Price::SCALE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::szse::code::{SOURCE_SHENZHEN, STREAM_SNAPSHOT};
    use wire::szse::market::{MdEntry, SnapshotHead};
    use wire::szse::{I64, Price, Qty, U16, frame};

    const NINE_THIRTY: i64 = 20_260_706_093_000_000;

    fn take(market: &mut Market, bytes: &[u8]) {
        take_at(market, bytes, 0);
    }

    fn take_at(market: &mut Market, bytes: &[u8], came_ns: i64) {
        market.take(&frame::decode(bytes, frame::BODY_LEN_MAX).unwrap().unwrap(), came_ns);
    }

    fn trade(security: u32, ms: i64, price: &str, shares: i64) -> TickTrade {
        TickTrade {
            bid_appl_seq_num: I64::new(2),
            offer_appl_seq_num: I64::new(1),
            security_id: Text::new(format!("{security:06}").as_bytes()).unwrap(),
            security_id_source: SOURCE_SHENZHEN,
            last_px: price.parse().unwrap(),
            last_qty: Qty::whole(shares),
            exec_type: ExecType::TRADE,
            transact_time: Timestamp::from_raw(NINE_THIRTY + ms),
            ..TickTrade::default()
        }
    }

    fn bytes_of(trade: &TickTrade) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::encode(trade, &mut bytes);
        bytes
    }

    fn traded(market: &mut Market, trade: &TickTrade) {
        take(market, &bytes_of(trade));
    }

    fn entry(kind: MdEntryType, price: &str, level: u16) -> MdEntry {
        MdEntry {
            md_entry_type: kind,
            md_entry_px: price.parse().unwrap(),
            md_entry_size: Qty::whole(300),
            md_price_level: U16::new(level),
            number_of_orders: I64::new(3),
        }
    }

    fn snapshot(market: &mut Market, ms: i64, volume: i64, entries: &[MdEntry]) {
        snapshot_of(market, STREAM_SNAPSHOT, (ms, volume), entries);
    }

    fn snapshot_of(market: &mut Market, stream: Text<3>, of: (i64, i64), entries: &[MdEntry]) {
        take(market, &snapshot_bytes(stream, of, entries));
    }

    fn snapshot_bytes(stream: Text<3>, (ms, volume): (i64, i64), entries: &[MdEntry]) -> Vec<u8> {
        let head = SnapshotHead {
            orig_time: Timestamp::from_raw(NINE_THIRTY + ms),
            md_stream_id: stream,
            security_id: Text::literal("000001"),
            security_id_source: SOURCE_SHENZHEN,
            prev_close_px: Price::whole(10),
            total_volume_trade: Qty::whole(volume),
            total_value_trade: wire::szse::Amount::whole(volume * 10),
            ..SnapshotHead::default()
        };
        let mut bytes = Vec::new();
        let written = Snapshot::encode(&head, &mut bytes, |out| {
            entries.iter().try_for_each(|entry| out.push(entry, &[]))
        });
        written.unwrap();
        bytes
    }

    #[test]
    fn trades_make_a_quote_by_themselves() {
        let mut market = Market::new(10);
        traded(&mut market, &trade(1, 5, "10.01", 100));
        traded(&mut market, &trade(1, 1_000, "9.99", 300));
        let item = &market.items()[0];
        let Quote { open, high, low, last, volume, value, trades, .. } = item.quote;
        assert_eq!((open, high, low, last), (100_100, 100_100, 99_900, 99_900));
        assert_eq!((volume, value, trades), (40_000, 39_980_000, 2));
        assert_eq!(item.line.points().len(), 2);
        assert_eq!(item.line.points()[1].average, 99_950);
        assert_eq!(item.trades[0].side, b'B');
    }

    #[test]
    fn a_snapshot_that_is_older_than_the_trades_takes_nothing_back() {
        let mut market = Market::new(10);
        traded(&mut market, &trade(1, 2_000, "10.05", 500));
        snapshot(
            &mut market,
            1_000,
            200,
            &[entry(MdEntryType::LAST, "10.01", 0), entry(MdEntryType::BID, "10.00", 1)],
        );
        let item = &market.items()[0];
        assert_eq!((item.quote.last, item.quote.volume), (100_500, 70_000), "200 before it, 500 after it");
        assert_eq!((item.shot.bids.len(), item.shot.bids[0].price), (1, 100_000));
        snapshot(
            &mut market,
            3_000,
            900,
            &[entry(MdEntryType::LAST, "10.02", 0), entry(MdEntryType::ASK, "10.03", 1)],
        );
        let item = &market.items()[0];
        assert_eq!((item.quote.last, item.quote.volume), (100_200, 90_000));
        assert_eq!((item.shot.bids.len(), item.shot.asks[0].quantity), (0, 30_000));
        assert_eq!(item.line.points().last().unwrap().volume, 20_000);
    }

    #[test]
    fn a_trade_that_a_snapshot_has_already_is_not_counted_again() {
        let mut market = Market::new(10);
        let totals = |market: &Market| {
            let Quote { volume, value, trades, .. } = market.items()[0].quote;
            (volume / 100, value / 10_000, trades)
        };
        snapshot(&mut market, 3_000, 900, &[entry(MdEntryType::LAST, "10.00", 0)]);
        traded(&mut market, &trade(1, 2_500, "9.00", 500));
        assert_eq!(totals(&market), (900, 9_000, 0));
        let item = &market.items()[0];
        assert_eq!((item.quote.last, item.quote.low, item.trades.len()), (100_000, 90_000, 1));
        assert_eq!(item.line.points().last().unwrap().price, 100_000, "the line does not go back");
        // Of these one is in the next snapshot, and the last one is not, whichever of them comes first.
        traded(&mut market, &trade(1, 5_500, "10.00", 100));
        traded(&mut market, &trade(1, 6_100, "10.00", 30));
        assert_eq!(totals(&market), (1_030, 10_300, 2));
        snapshot(&mut market, 6_000, 1_000, &[]);
        assert_eq!(totals(&market), (1_030, 10_300, 1));
        // What was counted twice is so until the next snapshot, which may say less.
        traded(&mut market, &trade(1, 6_100, "10.00", 30));
        assert_eq!(totals(&market).0, 1_060);
        snapshot(&mut market, 9_000, 1_030, &[]);
        assert_eq!(totals(&market), (1_030, 10_300, 0));
    }

    #[test]
    fn totals_wait_for_a_snapshot_after_which_no_more_trades_came_than_are_kept() {
        let mut market = Market::new(10);
        (1..=60).for_each(|ms| traded(&mut market, &trade(1, ms, "10.00", 100)));
        snapshot(&mut market, 5, 500, &[]);
        assert_eq!(market.items()[0].quote.volume, 600_000, "of those after it some are not kept");
        snapshot(&mut market, 20, 2_000, &[]);
        assert_eq!(market.items()[0].quote.volume, 600_000);
        snapshot(&mut market, 30, 2_900, &[]);
        assert_eq!(market.items()[0].quote.volume, 590_000, "as it says");
    }

    #[test]
    fn a_snapshot_made_of_ticks_is_depth_for_who_sees_ticks_and_nothing_else() {
        let mut market = Market::new(10);
        let bid = |price| [entry(MdEntryType::LAST, "11.00", 0), entry(MdEntryType::BID, price, 1)];
        let depth = |market: &Market| market.items()[0].depth().bids[0].price;
        snapshot(&mut market, 3_000, 900, &bid("10.00"));
        let before = (market.items()[0].quote, market.items()[0].versions);
        snapshot_of(&mut market, STREAM_BOOK, (3_500, 950), &bid("10.01"));
        let item = &market.items()[0];
        assert_eq!((item.quote, item.shot.bids[0].price), (before.0, 100_000));
        assert_eq!(item.versions, Versions { depth: before.1.depth + 1, ..before.1 });
        assert_eq!(depth(&market), 100_100);
        // Older, by its time or by what traded.
        snapshot(&mut market, 3_000, 950, &bid("10.02"));
        assert_eq!(depth(&market), 100_100);
        snapshot(&mut market, 4_000, 940, &bid("10.03"));
        assert_eq!((depth(&market), market.items()[0].shot.bids[0].price), (100_100, 100_300));
        // Newer: it has trades of after its time.
        snapshot(&mut market, 3_400, 960, &bid("10.04"));
        assert_eq!(depth(&market), 100_400);
        snapshot_of(&mut market, STREAM_BOOK, (3_900, 955), &bid("10.05"));
        assert_eq!(depth(&market), 100_400, "the book is behind");
        // A volume that is wrong does not hold the exchange's back for good.
        snapshot_of(&mut market, STREAM_BOOK, (4_000, 9_000), &bid("10.06"));
        assert_eq!(depth(&market), 100_600);
        snapshot(&mut market, 9_001, 970, &bid("10.07"));
        assert_eq!(depth(&market), 100_700);
    }

    #[test]
    fn a_quote_lags_by_how_late_it_came_however_long_it_is_the_newest() {
        let mut market = Market::new(1);
        let at_ns = |ms: i64| Timestamp::from_raw(NINE_THIRTY + ms).to_unix_ns().unwrap() as i64;
        let shot = |ms| snapshot_bytes(STREAM_SNAPSHOT, (ms, 900), &[entry(MdEntryType::LAST, "10.00", 0)]);
        let lags = |market: &Market| {
            let item = &market.items()[0];
            [item.quote.lag_ms(), item.shot.quote.lag_ms()]
        };
        take_at(&mut market, &shot(1_000), at_ns(1_040));
        assert_eq!(lags(&market), [Some(40), Some(40)]);
        take_at(&mut market, &shot(1_000), at_ns(23_000));
        take_at(&mut market, &bytes_of(&trade(1, 900, "10.00", 100)), at_ns(23_000));
        assert_eq!(lags(&market), [Some(40), Some(40)], "what is no newer changes nothing");
        take_at(&mut market, &bytes_of(&trade(1, 30_000, "10.00", 100)), at_ns(30_007));
        assert_eq!(lags(&market), [Some(7), Some(40)], "who sees no ticks has not seen it");
        take_at(&mut market, &shot(29_000), at_ns(30_050));
        assert_eq!(lags(&market), [Some(7), Some(1_050)]);
        take_at(&mut market, &shot(31_000), at_ns(30_999));
        assert_eq!(lags(&market), [Some(-1), Some(-1)], "two clocks");
        take_at(&mut market, &shot(32_000), 0);
        assert_eq!(lags(&market), [None, None], "not of now");
    }

    #[test]
    fn it_keeps_so_much_and_no_more() {
        let mut market = Market::new(2);
        for security in 1..=3 {
            traded(&mut market, &trade(security, 0, "1.00", 100));
        }
        assert_eq!((market.items().len(), market.no_room), (2, 1));
        (0..100).for_each(|ms| traded(&mut market, &trade(1, ms, "1.00", 100)));
        assert_eq!((market.items()[0].trades.len(), market.items()[0].versions.trades), (TRADES_MAX, 101));
        let levels: Vec<_> = (1..=20).map(|level| entry(MdEntryType::BID, "1.00", level)).collect();
        snapshot(&mut market, 0, 0, &levels);
        assert_eq!(market.items()[0].shot.bids.len(), LEVELS);
    }

    #[test]
    fn absurd_numbers_stay_numbers() {
        let mut market = Market::new(1);
        let absurd = TickTrade {
            last_px: Price::from_raw(i64::MAX),
            last_qty: Qty::from_raw(i64::MIN),
            ..trade(1, 0, "1", 1)
        };
        traded(&mut market, &absurd);
        traded(&mut market, &TickTrade { last_qty: Qty::from_raw(i64::MAX), ..absurd });
        traded(&mut market, &TickTrade { transact_time: Timestamp::from_raw(i64::MIN), ..absurd });
        assert_eq!(market.items()[0].versions.trades, 3);
    }
}
