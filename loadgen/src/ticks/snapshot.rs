//! Snapshots of both markets (`snapshot.csv`): a head, statistics and ten levels a side, as 300111 has them.
//!
//! Which column is which field of which entry is a table for each market; reading, sending and coming back all go by it.

use wire::szse::code::{MdEntryType, SOURCE_SHANGHAI, SOURCE_SHENZHEN, STREAM_SNAPSHOT};
use wire::szse::market::{MdEntry, MdEntryWriter, Snapshot as Frame300111, SnapshotHead};
use wire::szse::{Amount, EncodeError, I64, MdEntryPx, Price, Qty, SecurityId, SecurityIdSource, Text, U16};

use super::decimal;
use super::table::{Fields, Reason, Record};
use super::time::TimeOfDay;

/// Price levels on each side.
pub const LEVELS: usize = 10;
/// Statistics of one market, at most.
const STATS_MAX: usize = 16;

/// MDEntryType of the closing price (?: FIX's value; Shenzhen has none in the public tables).
pub const CLOSE: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"5 "));
const CHANGE_1: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x1"));
const CHANGE_2: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x2"));
/// MDEntryType of all bids together: their quantity and average price (?: public descriptions).
pub const BIDS: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x3"));
/// MDEntryType of all asks together (?: public descriptions).
pub const ASKS: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x4"));
const PE_1: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x5"));
const PE_2: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x6"));
const NAV_BEFORE: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x7"));
const NAV_NOW: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x8"));
const PREMIUM: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"x9"));
const OPEN_INTEREST: MdEntryType = MdEntryType::from_raw(u16::from_be_bytes(*b"xg"));

/// Which columns make up the entry of a statistic.
#[derive(Clone, Copy)]
struct Stat {
    entry: MdEntryType,
    px: Option<&'static str>,
    size: Option<&'static str>,
    orders: Option<&'static str>,
}

const fn px(entry: MdEntryType, column: &'static str) -> Stat {
    Stat { entry, px: Some(column), size: None, orders: None }
}

struct Layout {
    columns: &'static [&'static str],
    stats: &'static [Stat],
    source: SecurityIdSource,
}

const SSE_STATS: &[Stat] = &[
    px(MdEntryType::LAST, "LastPrice"),
    px(MdEntryType::OPEN, "OpenPrice"),
    px(MdEntryType::HIGH, "HighPrice"),
    px(MdEntryType::LOW, "LowPrice"),
    px(CLOSE, "ClosePrice"),
    Stat { entry: BIDS, px: Some("WAvgBidPri"), size: Some("TotalBidVol"), orders: Some("TotBidNum") },
    Stat { entry: ASKS, px: Some("WAvgAskPri"), size: Some("TotalAskVol"), orders: Some("TotSellNum") },
];

const SZSE_STATS: &[Stat] = &[
    px(MdEntryType::LAST, "LastPrice"),
    px(MdEntryType::OPEN, "OpenPrice"),
    px(MdEntryType::HIGH, "HighPrice"),
    px(MdEntryType::LOW, "LowPrice"),
    px(CHANGE_1, "DifPrice1"),
    px(CHANGE_2, "DifPrice2"),
    px(PE_1, "PE1"),
    px(PE_2, "PE2"),
    px(NAV_BEFORE, "PreCloseIOPV"),
    px(NAV_NOW, "IOPV"),
    Stat { entry: BIDS, px: Some("WeightedAvgBidPx"), size: Some("TotalBidQty"), orders: None },
    Stat { entry: ASKS, px: Some("WeightedAvgOfferPx"), size: Some("TotalOfferQty"), orders: None },
    px(MdEntryType::UPPER_LIMIT, "HighLimitPrice"),
    px(MdEntryType::LOWER_LIMIT, "LowLimitPrice"),
    Stat { entry: OPEN_INTEREST, px: None, size: Some("OpenInt"), orders: None },
    px(PREMIUM, "OptPremiumRatio"),
];
const _: () = assert!(SSE_STATS.len() <= STATS_MAX && SZSE_STATS.len() <= STATS_MAX);

const SSE_HEAD: &[&str] =
    &["UpdateTime", "SecurityID", "InstruStatus", "PreCloPrice", "TradNumber", "TradVolume", "Turnover"];
const SZSE_HEAD: &[&str] = &[
    "MDStreamID",
    "SecurityIDSource",
    "UpdateTime",
    "SecurityID",
    "TradingPhaseCode",
    "PreCloPrice",
    "TurnNum",
    "Volume",
    "Turnover",
];

macro_rules! level_columns {
    ($($level:literal)*) => {
        [$([
            [concat!("AskPrice", $level), concat!("AskVolume", $level), concat!("NumOrdersS", $level)],
            [concat!("BidPrice", $level), concat!("BidVolume", $level), concat!("NumOrdersB", $level)],
        ]),*]
    };
}
/// For each level: ask and bid, each with price, volume and number of orders.
const LEVEL_COLUMNS: [[[&str; 3]; 2]; LEVELS] = level_columns!(1 2 3 4 5 6 7 8 9 10);

const SSE: Layout = Layout {
    columns: &columns::<{ SSE_HEAD.len() + 11 + 6 * LEVELS }>(SSE_HEAD, SSE_STATS),
    stats: SSE_STATS,
    source: SOURCE_SHANGHAI,
};
const SZSE: Layout = Layout {
    columns: &columns::<{ SZSE_HEAD.len() + 18 + 6 * LEVELS }>(SZSE_HEAD, SZSE_STATS),
    stats: SZSE_STATS,
    source: SOURCE_SHENZHEN,
};

/// Head, statistics and levels one after the other, in the order in which [`parse`] takes them.
const fn columns<const N: usize>(head: &[&'static str], stats: &[Stat]) -> [&'static str; N] {
    let (mut all, mut at, mut next) = ([""; N], 0, 0);
    while next < head.len() {
        all[at] = head[next];
        (at, next) = (at + 1, next + 1);
    }
    next = 0;
    while next < stats.len() {
        let parts = [stats[next].px, stats[next].size, stats[next].orders];
        let mut part = 0;
        while part < 3 {
            if let Some(column) = parts[part] {
                all[at] = column;
                at += 1;
            }
            part += 1;
        }
        next += 1;
    }
    next = 0;
    while next < LEVELS * 6 {
        all[at] = LEVEL_COLUMNS[next / 6][next / 3 % 2][next % 3];
        (at, next) = (at + 1, next + 1);
    }
    assert!(at == N, "the number of columns does not match");
    all
}

/// An entry of a snapshot: a statistic or a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Price, or what else the statistic is.
    pub px: MdEntryPx,
    /// Quantity.
    pub size: Qty,
    /// Number of orders.
    pub orders: i64,
}

/// A row of `snapshot.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// SecurityIDSource: which market's columns these are.
    pub source: SecurityIdSource,
    /// MDStreamID (Shenzhen).
    pub stream: Text<3>,
    /// UpdateTime.
    pub time: TimeOfDay,
    /// SecurityID.
    pub security: SecurityId,
    /// InstruStatus or TradingPhaseCode.
    pub phase: Text<8>,
    /// PreCloPrice.
    pub prev_close: Price,
    /// TradNumber or TurnNum.
    pub trades: i64,
    /// TradVolume or Volume.
    pub volume: Qty,
    /// Turnover.
    pub turnover: Amount,
    /// Statistics in the order of the market's table, where the row has them.
    stats: [Option<Entry>; STATS_MAX],
    /// Asks and bids of each level, the best first, where the row has them.
    pub levels: [[Option<Entry>; 2]; LEVELS],
}

/// A row with Shanghai's columns.
pub(super) struct Sse(pub(super) Snapshot);
/// A row with Shenzhen's columns.
pub(super) struct Szse(pub(super) Snapshot);

impl Record for Sse {
    const COLUMNS: &'static [&'static str] = SSE.columns;

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        parse(fields, &SSE, STREAM_SNAPSHOT).map(Self)
    }
}

impl Record for Szse {
    const COLUMNS: &'static [&'static str] = SZSE.columns;

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let stream = fields.fixed()?;
        fields.source(SZSE.source)?;
        parse(fields, &SZSE, stream).map(Self)
    }
}

fn parse(fields: &mut Fields<'_>, layout: &Layout, stream: Text<3>) -> Result<Snapshot, Reason> {
    let mut row = Snapshot {
        source: layout.source,
        stream,
        time: fields.time()?,
        security: fields.fixed()?,
        phase: fields.fixed()?,
        prev_close: fields.price()?,
        trades: fields.whole()?,
        volume: fields.qty()?,
        turnover: fields.amount()?,
        stats: [None; STATS_MAX],
        levels: [[None; 2]; LEVELS],
    };
    for (stat, entry) in layout.stats.iter().zip(&mut row.stats) {
        *entry = parse_entry(fields, [stat.px, stat.size, stat.orders])?;
    }
    for (columns, level) in LEVEL_COLUMNS.iter().zip(&mut row.levels) {
        for (columns, entry) in columns.iter().zip(level) {
            *entry = parse_entry(fields, columns.map(Some))?;
        }
    }
    Ok(row)
}

/// All columns of an entry are there, or none.
fn parse_entry(
    fields: &mut Fields<'_>,
    [px, size, orders]: [Option<&'static str>; 3],
) -> Result<Option<Entry>, Reason> {
    let entry_px = px.map(|_| fields.entry_px()).transpose()?;
    let entry_size = size.map(|_| fields.optional_qty()).transpose()?;
    let entry_orders = orders.map(|_| fields.optional_whole()).transpose()?;
    let given = [
        entry_px.map(|px| px.is_some()),
        entry_size.map(|size| size.is_some()),
        entry_orders.map(|n| n.is_some()),
    ];
    if given.into_iter().flatten().all(|given| !given) {
        return Ok(None);
    }
    let absent = given.into_iter().zip([px, size, orders]).find(|(given, _)| *given == Some(false));
    if let Some((_, Some(column))) = absent {
        return Err(Reason::Value { column, wanted: "given, where its neighbours are" });
    }
    Ok(Some(Entry {
        px: entry_px.flatten().unwrap_or_default(),
        size: entry_size.flatten().unwrap_or_default(),
        orders: entry_orders.flatten().unwrap_or_default(),
    }))
}

impl Snapshot {
    fn layout(&self) -> &'static Layout {
        if self.source == SSE.source { &SSE } else { &SZSE }
    }

    pub(super) fn encode(&self, channel: u16, date: u32, out: &mut Vec<u8>) {
        let head = SnapshotHead {
            orig_time: self.time.on(date),
            channel_no: U16::new(channel),
            md_stream_id: self.stream,
            security_id: self.security,
            security_id_source: self.source,
            trading_phase_code: self.phase,
            prev_close_px: self.prev_close,
            num_trades: I64::new(self.trades),
            total_volume_trade: self.volume,
            total_value_trade: self.turnover,
        };
        Frame300111::encode(&head, out, |entries| self.write_entries(entries))
            .expect("invariant: statistics and levels are fewer than a snapshot takes");
    }

    fn write_entries(&self, entries: &mut MdEntryWriter<'_>) -> Result<(), EncodeError> {
        for (stat, entry) in self.layout().stats.iter().zip(&self.stats) {
            push(entries, stat.entry, 0, *entry)?;
        }
        for (level, [ask, bid]) in (1..).zip(&self.levels) {
            push(entries, MdEntryType::ASK, level, *ask)?;
            push(entries, MdEntryType::BID, level, *bid)?;
        }
        Ok(())
    }

    /// The row that a frame was made of; `None` where the frame has an entry that no column stands for.
    pub(super) fn from_frame(frame: &Frame300111<'_>) -> Option<Self> {
        let head = frame.head;
        let mut row = Self {
            source: head.security_id_source,
            stream: head.md_stream_id,
            time: TimeOfDay::of(head.orig_time),
            security: head.security_id,
            phase: head.trading_phase_code,
            prev_close: head.prev_close_px,
            trades: head.num_trades.get(),
            volume: head.total_volume_trade,
            turnover: head.total_value_trade,
            stats: [None; STATS_MAX],
            levels: [[None; 2]; LEVELS],
        };
        for seen in frame.entries() {
            *row.place(seen.entry)? = Some(Entry {
                px: seen.entry.md_entry_px,
                size: seen.entry.md_entry_size,
                orders: seen.entry.number_of_orders.get(),
            });
        }
        Some(row)
    }

    fn place(&mut self, entry: &MdEntry) -> Option<&mut Option<Entry>> {
        let kind = entry.md_entry_type;
        if kind == MdEntryType::ASK || kind == MdEntryType::BID {
            let level = usize::from(entry.md_price_level.get()).checked_sub(1)?;
            return Some(&mut self.levels.get_mut(level)?[usize::from(kind == MdEntryType::BID)]);
        }
        let at = self.layout().stats.iter().position(|stat| stat.entry == kind)?;
        self.stats.get_mut(at)
    }

    /// The row as its columns; empty where the row has no such entry.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        let layout = self.layout();
        let mut values = Vec::with_capacity(layout.columns.len());
        if layout.source == SZSE.source {
            values.push(self.stream.to_string());
            values.push(self.source.to_string());
        }
        values.extend([
            self.time.to_string(),
            self.security.to_string(),
            self.phase.to_string(),
            decimal::trimmed(self.prev_close),
            self.trades.to_string(),
            decimal::trimmed(self.volume),
            decimal::trimmed(self.turnover),
        ]);
        for (stat, entry) in layout.stats.iter().zip(&self.stats) {
            push_columns(
                &mut values,
                *entry,
                [stat.px, stat.size, stat.orders].map(|column| column.is_some()),
            );
        }
        for entry in self.levels.iter().flatten() {
            push_columns(&mut values, *entry, [true; 3]);
        }
        layout.columns.iter().copied().zip(values).collect()
    }
}

fn push(
    entries: &mut MdEntryWriter<'_>,
    md_entry_type: MdEntryType,
    level: u16,
    entry: Option<Entry>,
) -> Result<(), EncodeError> {
    let Some(entry) = entry else { return Ok(()) };
    let entry = MdEntry {
        md_entry_type,
        md_entry_px: entry.px,
        md_entry_size: entry.size,
        md_price_level: U16::new(level),
        number_of_orders: I64::new(entry.orders),
    };
    entries.push(&entry, &[])
}

fn push_columns(values: &mut Vec<String>, entry: Option<Entry>, has: [bool; 3]) {
    let texts = entry
        .map(|entry| [decimal::trimmed(entry.px), decimal::trimmed(entry.size), entry.orders.to_string()]);
    let texts = texts.unwrap_or_default();
    values.extend(texts.into_iter().zip(has).filter_map(|(text, has)| has.then_some(text)));
}
