//! A recorded day as one stream of frames, in the order of the exchange.
//!
//! Orders and trades of a channel are merged by their recorded number and numbered anew from 1: a file of one security
//! has holes where the channel's other securities were, and a feed would ask for them for ever. The recorded number of
//! a row is not sent, but that by which an order is called is (see [`super::order`]). Snapshots go out after the last
//! tick that is not later than they are, and have no number.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::row::Row;
use super::snapshot::{Sse, Szse};
use super::sse::{Entrust, Indexed, Trade};
use super::szse::{Numbered, Order};
use super::table::{Line, Reason, Record, Table, TableError};
use super::time::TimeOfDay;

/// Bad rows that are kept to be shown; the rest are counted.
const BAD_ROWS_MAX: usize = 100;
const ENTRUST: &str = "entrust.csv";
const TRADE: &str = "trade.csv";
const SNAPSHOT: &str = "snapshot.csv";

/// Whose columns a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Market {
    /// Shanghai.
    Sse,
    /// Shenzhen.
    Szse,
}

/// Why a folder cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// A file cannot be read, or is of neither market.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: TableError,
    },
    /// There is no such folder.
    #[error("{}: there is no such folder", .0.display())]
    NoFolder(PathBuf),
    /// There is nothing to replay.
    #[error("{}: none of {ENTRUST}, {TRADE}, {SNAPSHOT}", .0.display())]
    NoFile(PathBuf),
    /// The rows have no date, and neither has the folder's name.
    #[error("{}: which day? The folder's name is not a date (YYYYMMDD), so give one", .0.display())]
    NoDate(PathBuf),
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {reason}")]
pub struct BadRow {
    /// The file's name.
    pub file: &'static str,
    /// The line in it, from 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
}

/// What the next frame is; its bytes are in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// ChannelNo.
    pub channel: u16,
    /// ApplSeqNum; 0 for a snapshot.
    pub number: u64,
    /// When it was recorded.
    pub time: TimeOfDay,
}

/// How many rows of each file there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of `entrust.csv`.
    pub orders: u64,
    /// Rows of `trade.csv`.
    pub trades: u64,
    /// Rows of `snapshot.csv`.
    pub snapshots: u64,
    /// Rows left out.
    pub bad: u64,
    /// Trades with a column that is not sent and cannot be computed from what is.
    pub underivable: u64,
}

/// A row, the channel it belongs to and its recorded number in it.
struct Recorded {
    channel: u16,
    number: i64,
    time: TimeOfDay,
    row: Row,
}

type Lines = Box<dyn Iterator<Item = Line<Recorded>> + Send>;

/// One file, one row ahead.
struct File {
    name: &'static str,
    lines: Lines,
    head: Option<(u64, Recorded)>,
}

/// Where a channel's numbers stand.
#[derive(Clone, Copy, Default)]
struct Channel {
    recorded: i64,
    number: i64,
}

/// A recorded day.
pub struct Day {
    market: Market,
    date: u32,
    orders: Option<File>,
    trades: Option<File>,
    snapshots: Option<File>,
    /// Snapshots have no channel in the files: they go to the one of the first tick.
    snapshot_channel: u16,
    channels: BTreeMap<u16, Channel>,
    counts: Counts,
    bad: Vec<BadRow>,
}

impl Day {
    /// Opens the files in `folder`, or in the one folder inside it. `date` as YYYYMMDD, where the folder's name is none.
    ///
    /// # Errors
    /// See [`DayError`].
    pub fn open(folder: &Path, date: Option<u32>) -> Result<Self, DayError> {
        if !folder.is_dir() {
            return Err(DayError::NoFolder(folder.to_path_buf()));
        }
        let folder = descend(folder);
        let (mut found, mut shenzhen) = (Vec::new(), false);
        let mut file = |name, open: fn(&Path) -> Result<(Lines, Market), TableError>| {
            let path = folder.join(name);
            if !path.is_file() {
                return Ok(None);
            }
            let (lines, market) = open(&path).map_err(|error| DayError::File { path, error })?;
            found.push(name);
            shenzhen |= market == Market::Szse;
            Ok(Some(File { name, lines, head: None }))
        };
        let orders = file(ENTRUST, lines::<Indexed<Entrust>, Order>)?;
        let trades = file(TRADE, lines::<Indexed<Trade>, Numbered>)?;
        let snapshots = file(SNAPSHOT, lines::<Sse, Szse>)?;
        if found.is_empty() {
            return Err(DayError::NoFile(folder));
        }
        let date = date.or_else(|| date_of(&folder)).ok_or_else(|| DayError::NoDate(folder.clone()))?;
        let mut day = Self {
            market: if shenzhen { Market::Szse } else { Market::Sse },
            date,
            orders,
            trades,
            snapshots,
            snapshot_channel: 1,
            channels: BTreeMap::new(),
            counts: Counts::default(),
            bad: Vec::new(),
        };
        day.begin();
        Ok(day)
    }

    fn begin(&mut self) {
        for file in [&mut self.orders, &mut self.trades, &mut self.snapshots].into_iter().flatten() {
            file.advance(&mut self.bad, &mut self.counts);
        }
        let first = [&self.orders, &self.trades].into_iter().flatten().filter_map(File::head).next();
        if let Some(first) = first {
            self.snapshot_channel = first.channel;
        }
    }

    /// Passes over what was before a time, up to the first row that is not; returns how many rows that were. The numbers of what follows
    /// begin at 1 all the same.
    pub fn skip_to(&mut self, from: TimeOfDay) -> u64 {
        let mut passed = 0;
        while let Some(kind) = self.choose() {
            let file = match kind {
                Next::Order => &mut self.orders,
                Next::Trade => &mut self.trades,
                Next::Snapshot => &mut self.snapshots,
            };
            let Some(file) = file.as_mut().filter(|file| file.head().is_some_and(|row| row.time < from))
            else {
                break;
            };
            file.advance(&mut self.bad, &mut self.counts);
            passed += 1;
        }
        passed
    }

    /// Appends the next frame to `out`; `None` at the end of the day.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Option<Tick> {
        loop {
            let (file, kind) = match self.choose()? {
                Next::Order => (&mut self.orders, Next::Order),
                Next::Trade => (&mut self.trades, Next::Trade),
                Next::Snapshot => (&mut self.snapshots, Next::Snapshot),
            };
            let file = file.as_mut().expect("invariant: the next row's file is there");
            let name = file.name;
            let (line, recorded) = file.head.take().expect("invariant: a chosen file has a row");
            file.advance(&mut self.bad, &mut self.counts);
            match self.send(kind, &recorded, out) {
                Ok(tick) => return Some(tick),
                Err(reason) => keep(&mut self.bad, &mut self.counts, BadRow { file: name, line, reason }),
            }
        }
    }

    /// Which row is next: of two ticks of a channel the one with the lower number, else the earlier.
    fn choose(&self) -> Option<Next> {
        let head = |file: &'_ Option<File>| {
            file.as_ref().and_then(File::head).map(|row| (row.time, row.channel, row.number))
        };
        let (order, trade) = (head(&self.orders), head(&self.trades));
        let tick = match (order, trade) {
            (Some(order), Some(trade)) => {
                let same_channel = order.1 == trade.1;
                let order_first = if same_channel { order.2 < trade.2 } else { order <= trade };
                Some(if order_first { (order.0, Next::Order) } else { (trade.0, Next::Trade) })
            }
            (Some(order), None) => Some((order.0, Next::Order)),
            (None, Some(trade)) => Some((trade.0, Next::Trade)),
            (None, None) => None,
        };
        match (tick, head(&self.snapshots)) {
            (Some((time, next)), Some((snapshot, ..))) => {
                Some(if time <= snapshot { next } else { Next::Snapshot })
            }
            (Some((_, next)), None) => Some(next),
            (None, snapshot) => snapshot.map(|_| Next::Snapshot),
        }
    }

    fn send(&mut self, kind: Next, recorded: &Recorded, out: &mut Vec<u8>) -> Result<Tick, Reason> {
        let Recorded { channel, number, time, ref row } = *recorded;
        if kind == Next::Snapshot {
            self.counts.snapshots += 1;
            encode(row, (self.snapshot_channel, 0), self.date, out);
            return Ok(Tick { channel: self.snapshot_channel, number: 0, time });
        }
        let at = self.channels.entry(channel).or_default();
        if number <= at.recorded {
            return Err(Reason::Order { channel, number, last: at.recorded });
        }
        *at = Channel { recorded: number, number: at.number + 1 };
        match kind {
            Next::Order => self.counts.orders += 1,
            _ => self.counts.trades += 1,
        }
        self.counts.underivable += u64::from(matches!(row, Row::SseTrade(trade) if !trade.is_derivable()));
        encode(row, (channel, at.number), self.date, out);
        Ok(Tick { channel, number: at.number.unsigned_abs(), time })
    }

    /// Whose columns the folder has.
    #[must_use]
    pub fn market(&self) -> Market {
        self.market
    }

    /// YYYYMMDD.
    #[must_use]
    pub fn date(&self) -> u32 {
        self.date
    }

    /// Rows so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first rows that were left out; [`Counts::bad`] says how many there were.
    #[must_use]
    pub fn bad_rows(&self) -> &[BadRow] {
        &self.bad
    }

    /// The channels so far, and the last number of each.
    pub fn channels(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.channels.iter().map(|(channel, at)| (*channel, at.number.unsigned_abs()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Order,
    Trade,
    Snapshot,
}

impl File {
    fn head(&self) -> Option<&Recorded> {
        self.head.as_ref().map(|(_, recorded)| recorded)
    }

    /// Goes on to the next good row.
    fn advance(&mut self, bad: &mut Vec<BadRow>, counts: &mut Counts) {
        for Line { number: line, row } in self.lines.by_ref() {
            match row {
                Ok(recorded) => {
                    self.head = Some((line, recorded));
                    return;
                }
                Err(reason) => keep(bad, counts, BadRow { file: self.name, line, reason }),
            }
        }
        self.head = None;
    }
}

fn keep(bad: &mut Vec<BadRow>, counts: &mut Counts, row: BadRow) {
    counts.bad += 1;
    if bad.len() < BAD_ROWS_MAX {
        bad.push(row);
    }
}

fn encode(row: &Row, (channel, number): (u16, i64), date: u32, out: &mut Vec<u8>) {
    match row {
        Row::SseEntrust(row) => row.encode(number, date, out),
        Row::SseTrade(row) => row.encode(number, date, out),
        Row::SzseOrder(row) => row.encode(number, date, out),
        Row::SzseTrade(row) => row.encode(number, date, out),
        Row::Snapshot(row) => row.encode(channel, date, out),
    }
}

/// The rows of a file that has Shanghai's columns `A` or Shenzhen's `B`.
fn lines<A, B>(path: &Path) -> Result<(Lines, Market), TableError>
where
    A: Record + Into<Recorded> + Send + 'static,
    B: Record + Into<Recorded> + Send + 'static,
{
    match Table::<A>::open(path) {
        Ok(table) => Ok((recorded(table), Market::Sse)),
        // Of a file of neither market, say what it lacks of the one it is nearer to.
        Err(TableError::MissingColumn(column)) => match Table::<B>::open(path) {
            Ok(table) => Ok((recorded(table), Market::Szse)),
            Err(TableError::MissingColumn(first)) if first == B::COLUMNS[0] => {
                Err(TableError::MissingColumn(column))
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

fn recorded<R: Record + Into<Recorded> + Send + 'static>(mut table: Table<R>) -> Lines {
    let next = move || table.next().map(|line| Line { number: line.number, row: line.row.map(Into::into) });
    Box::new(std::iter::from_fn(next))
}

impl From<Indexed<Entrust>> for Recorded {
    fn from(Indexed { biz_index, row }: Indexed<Entrust>) -> Self {
        Self { channel: row.channel, number: biz_index, time: row.time, row: Row::SseEntrust(row) }
    }
}

impl From<Indexed<Trade>> for Recorded {
    fn from(Indexed { biz_index, row }: Indexed<Trade>) -> Self {
        Self { channel: row.channel, number: biz_index, time: row.time, row: Row::SseTrade(row) }
    }
}

impl From<Order> for Recorded {
    fn from(row: Order) -> Self {
        Self { channel: row.channel, number: row.order_no, time: row.time, row: Row::SzseOrder(row) }
    }
}

impl From<Numbered> for Recorded {
    fn from(Numbered { number, row }: Numbered) -> Self {
        Self { channel: row.channel, number, time: row.time, row: Row::SzseTrade(row) }
    }
}

impl From<Sse> for Recorded {
    fn from(Sse(row): Sse) -> Self {
        Self { channel: 0, number: 0, time: row.time, row: Row::Snapshot(Box::new(row)) }
    }
}

impl From<Szse> for Recorded {
    fn from(Szse(row): Szse) -> Self {
        Self { channel: 0, number: 0, time: row.time, row: Row::Snapshot(Box::new(row)) }
    }
}

/// `folder`, or, where it has none of the files, the only folder inside it.
fn descend(folder: &Path) -> PathBuf {
    let has_files = [ENTRUST, TRADE, SNAPSHOT].iter().any(|name| folder.join(name).is_file());
    let inside = || -> Option<PathBuf> {
        let mut folders =
            folder.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
        let only = folders.next()?;
        folders.next().is_none().then_some(only)
    };
    if has_files { folder.to_path_buf() } else { inside().unwrap_or_else(|| folder.to_path_buf()) }
}

fn date_of(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?;
    if name.len() == 8 { name.parse().ok() } else { None }
}
