//! What browsers are told of a security; docs/websocket.md is the reference. JSON is made of these by serde, the compact form by
//! `binary.rs`.

use crate::web::code::Code;
use crate::web::line::Point;
use crate::web::market::{Item, Level, Quote, Shot, Trade};
use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};
use std::fmt::Display;
use wire::szse::{Amount, Price, Qty, Timestamp};

/// One thing of one security.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Event<'a> {
    Snapshot(Shown<'a>),
    Depth(Depth<'a>),
    Trade(Trades<'a>),
    Line(LinePart<'a>),
}

/// A quote.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    #[serde(serialize_with = "text")]
    pub(super) code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(flatten, serialize_with = "quote")]
    pub(super) quote: Quote,
    /// See [`Quote::lag_ms`].
    pub(super) lag_ms: Option<i64>,
}

/// The levels of both sides.
#[derive(Serialize)]
pub(super) struct Depth<'a> {
    #[serde(serialize_with = "text")]
    pub(super) code: Code,
    #[serde(serialize_with = "text")]
    pub(super) time: Timestamp,
    #[serde(serialize_with = "levels")]
    pub(super) bids: &'a [Level],
    #[serde(serialize_with = "levels")]
    pub(super) asks: &'a [Level],
}

/// Trades that are new.
#[derive(Serialize)]
pub(super) struct Trades<'a> {
    #[serde(serialize_with = "text")]
    pub(super) code: Code,
    /// Trades between the ones told before and these, which are not told.
    pub(super) missed: u64,
    #[serde(serialize_with = "trades")]
    pub(super) trades: Vec<&'a Trade>,
}

/// Points of the line: all of them, or those from the last one told on.
#[derive(Serialize)]
pub(super) struct LinePart<'a> {
    #[serde(serialize_with = "text")]
    pub(super) code: Code,
    pub(super) width_s: u32,
    /// These are all there are: what was told before is not of this width.
    pub(super) whole: bool,
    #[serde(serialize_with = "points")]
    pub(super) points: &'a [Point],
}

impl<'a> Depth<'a> {
    pub(super) fn of(code: Code, shot: &'a Shot) -> Self {
        Self { code, time: shot.quote.time, bids: &shot.bids, asks: &shot.asks }
    }
}

impl<'a> Trades<'a> {
    /// Those after the first `told`; to who was told none, all that are kept.
    pub(super) fn after(item: &'a Item, told: u64) -> Self {
        let new = item.versions.trades - told;
        let kept = (item.trades.len() as u64).min(new);
        let trades = item.trades.iter().skip(item.trades.len() - kept as usize).collect();
        let missed = if told == 0 { 0 } else { new - kept };
        Self { code: item.code, missed, trades }
    }
}

impl<'a> LinePart<'a> {
    /// From the point that begins at `told.1` on, if points still are of the width `told.0`.
    pub(super) fn after(item: &'a Item, told: Option<(u32, u32)>) -> Self {
        let (points, width_s) = (item.line.points(), item.line.width_s());
        let last_s = told.filter(|(told_width_s, _)| *told_width_s == width_s).map(|(_, last_s)| last_s);
        let first = last_s.map_or(0, |last_s| points.partition_point(|point| point.at_s < last_s));
        Self { code: item.code, width_s, whole: last_s.is_none(), points: &points[first..] }
    }
}

fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// As a string: a JSON number would become a float in the browser, which is too coarse for a stamp, too.
struct Decimal<T>(T);

impl<T: Display> Serialize for Decimal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn price(raw: i64) -> Decimal<Price> {
    Decimal(Price::from_raw(raw))
}

fn qty(raw: i64) -> Decimal<Qty> {
    Decimal(Qty::from_raw(raw))
}

fn quote<S: Serializer>(quote: &Quote, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Json {
        time: Decimal<Timestamp>,
        phase: String,
        prev_close: Decimal<Price>,
        open: Decimal<Price>,
        high: Decimal<Price>,
        low: Decimal<Price>,
        last: Decimal<Price>,
        upper: Decimal<Price>,
        lower: Decimal<Price>,
        volume: Decimal<Qty>,
        value: Decimal<Amount>,
        trades: i64,
    }
    let json = Json {
        time: Decimal(quote.time),
        phase: quote.phase.to_string(),
        prev_close: price(quote.prev_close),
        open: price(quote.open),
        high: price(quote.high),
        low: price(quote.low),
        last: price(quote.last),
        upper: price(quote.upper),
        lower: price(quote.lower),
        volume: qty(quote.volume),
        value: Decimal(Amount::from_raw(quote.value)),
        trades: quote.trades,
    };
    json.serialize(serializer)
}

fn levels<S: Serializer>(levels: &[Level], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(levels.iter().map(|level| (price(level.price), qty(level.quantity), level.orders)))
}

fn trades<S: Serializer>(trades: &[&Trade], serializer: S) -> Result<S::Ok, S::Error> {
    struct Row<'a>(&'a Trade);
    impl Serialize for Row<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut row = serializer.serialize_tuple(4)?;
            row.serialize_element(&Decimal(self.0.time))?;
            row.serialize_element(&price(self.0.price))?;
            row.serialize_element(&qty(self.0.quantity))?;
            row.serialize_element(&char::from(self.0.side))?;
            row.end()
        }
    }
    serializer.collect_seq(trades.iter().map(|trade| Row(trade)))
}

fn points<S: Serializer>(points: &[Point], serializer: S) -> Result<S::Ok, S::Error> {
    let row = |point: &Point| (point.at_s, price(point.price), price(point.average), qty(point.volume));
    serializer.collect_seq(points.iter().map(row))
}
