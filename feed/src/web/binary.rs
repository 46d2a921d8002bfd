//! The compact form: records of big-endian integers, as docs/websocket.md lays them out.

use crate::web::code::Code;
use crate::web::event::Event;

const SNAPSHOT: u8 = 1;
const DEPTH: u8 = 2;
const TRADE: u8 = 3;
const LINE: u8 = 4;

/// LagMs of a snapshot that has none.
const NO_LAG: i32 = i32::MIN;

/// Appends a record: its kind, the length of what follows, and that.
pub(super) fn write(event: &Event<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 3]);
    out[start] = match event {
        Event::Snapshot(shown) => {
            head(&shown.code, out);
            let quote = &shown.quote;
            long(quote.time.raw(), out);
            out.extend_from_slice(quote.phase.as_bytes());
            let prices =
                [quote.prev_close, quote.open, quote.high, quote.low, quote.last, quote.upper, quote.lower];
            for value in prices.into_iter().chain([quote.volume, quote.value, quote.trades]) {
                long(value, out);
            }
            let lag_ms = shown.lag_ms.and_then(|lag_ms| i32::try_from(lag_ms).ok()).unwrap_or(NO_LAG);
            out.extend_from_slice(&lag_ms.to_be_bytes());
            SNAPSHOT
        }
        Event::Depth(depth) => {
            head(&depth.code, out);
            long(depth.time.raw(), out);
            out.extend_from_slice(&[depth.bids.len() as u8, depth.asks.len() as u8]);
            for level in depth.bids.iter().chain(depth.asks) {
                long(level.price, out);
                long(level.quantity, out);
                out.extend_from_slice(&u32::try_from(level.orders).unwrap_or(u32::MAX).to_be_bytes());
            }
            DEPTH
        }
        Event::Trade(trades) => {
            head(&trades.code, out);
            out.extend_from_slice(&u32::try_from(trades.missed).unwrap_or(u32::MAX).to_be_bytes());
            out.push(trades.trades.len() as u8);
            for trade in &trades.trades {
                long(trade.time.raw(), out);
                long(trade.price, out);
                long(trade.quantity, out);
                out.push(trade.side);
            }
            TRADE
        }
        Event::Line(line) => {
            head(&line.code, out);
            out.push(line.whole.into());
            out.extend_from_slice(&(line.width_s as u16).to_be_bytes());
            out.extend_from_slice(&(line.points.len() as u16).to_be_bytes());
            for point in line.points {
                out.extend_from_slice(&point.at_s.to_be_bytes());
                for value in [point.price, point.average, point.volume] {
                    long(value, out);
                }
            }
            LINE
        }
    };
    let length =
        u16::try_from(out.len() - start - 3).expect("invariant: a line of 256 points is the longest record");
    out[start + 1..start + 3].copy_from_slice(&length.to_be_bytes());
}

fn head(code: &Code, out: &mut Vec<u8>) {
    out.extend_from_slice(code.id.as_bytes());
    out.extend_from_slice(code.source.as_bytes());
}

fn long(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::event::{Depth, LinePart, Shown, Trades};
    use crate::web::line::Point;
    use crate::web::market::{Level, Quote, Trade};
    use wire::szse::{Text, Timestamp};

    fn code() -> Code {
        "000001.SZ".parse().unwrap()
    }

    fn written(event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write(event, &mut out);
        assert_eq!(usize::from(u16::from_be_bytes([out[1], out[2]])), out.len() - 3);
        assert_eq!(&out[3..15], b"000001  102 ");
        out
    }

    #[test]
    fn records_are_as_the_document_lays_them_out() {
        let quote = Quote { last: 0x0102, trades: 7, phase: Text::literal("T0"), ..Quote::default() };
        let out = written(&Event::Snapshot(Shown { code: code(), name: None, quote, lag_ms: Some(-2) }));
        assert_eq!((out[0], out.len()), (1, 3 + 12 + 8 + 8 + 10 * 8 + 4));
        assert_eq!(&out[63..71], [0, 0, 0, 0, 0, 0, 1, 2], "last stands fifth of the prices, from 31");
        assert_eq!(out[out.len() - 4..], (-2_i32).to_be_bytes());

        let level = Level { price: 1, quantity: 2, orders: 3 };
        let time = Timestamp::from_raw(9);
        let out = written(&Event::Depth(Depth { code: code(), time, bids: &[level], asks: &[level, level] }));
        assert_eq!((out[0], &out[23..25], out.len()), (2, &[1, 2][..], 25 + 3 * 20));

        let trade = Trade { time: Timestamp::ZERO, price: 1, quantity: 2, side: b'B' };
        let out = written(&Event::Trade(Trades { code: code(), missed: 5, trades: vec![&trade] }));
        assert_eq!((out[0], &out[15..20], out.len()), (3, &[0, 0, 0, 5, 1][..], 20 + 25));

        let point = Point { at_s: 1, price: 2, average: 3, volume: 4 };
        let out =
            written(&Event::Line(LinePart { code: code(), width_s: 60, whole: true, points: &[point; 256] }));
        assert_eq!((out[0], &out[15..20], out.len()), (4, &[1, 0, 60, 1, 0][..], 20 + 256 * 28));
    }
}
