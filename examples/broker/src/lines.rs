//! The protocol of the toy counter, at the adapter's end: lines of text.
//!
//! | the adapter says | |
//! |---|---|
//! | `HELLO WANTED` | begins a session: events from this number on |
//! | `ORDER NUMBER ACCOUNT SOURCE.SECURITY BUY\|SELL PRICE QUANTITY` | a limit order for the day |
//! | `CANCEL NUMBER ORDER` | a cancel of the order that was sent under the number ORDER |
//! | `PING` | when it has said nothing for [`PING_NS`] |
//!
//! | the counter says | |
//! |---|---|
//! | `WELCOME TAKEN` | the highest number of a request that it has taken |
//! | `ACCEPTED EVENT ORDER` | |
//! | `REJECTED EVENT ORDER REASON` | OrdRejReason |
//! | `TRADED EVENT ORDER PRICE QUANTITY` | |
//! | `CANCELLED EVENT ORDER CANCEL` | CANCEL 0: by itself |
//! | `KEPT EVENT CANCEL REASON` | the cancel is not carried out: CxlRejReason |
//! | `OTHER EVENT` | something about an order that is not the adapter's |
//! | `PONG` | |

use core_port::adapter::{Counter, CounterError, Event, Heard};
use std::io::Write;
use std::str::{FromStr, SplitAsciiWhitespace};
use wire::szse::code::{CashMargin, CxlRejReason, OrdRejReason, OrdType, Side, TimeInForce};
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Price, Qty};

/// The longest line, bytes, its end not among them.
pub const LINE_MAX: usize = 200;
/// Silence after which the adapter says PING, nanoseconds.
pub const PING_NS: u64 = 1_000_000_000;
/// Silence of the counter after which it counts as dead, nanoseconds.
pub const SILENCE_NS: u64 = 3_000_000_000;

/// A session with the toy counter.
#[derive(Debug, Default)]
pub struct Lines {
    heard_ns: u64,
    said_ns: u64,
}

impl Counter for Lines {
    fn connected(&mut self, now_ns: u64, wanted: u64, out: &mut Vec<u8>) {
        (self.heard_ns, self.said_ns) = (now_ns, now_ns);
        say(out, format_args!("HELLO {wanted}"));
    }

    fn new_order(&mut self, number: u64, order: &NewOrder, out: &mut Vec<u8>) -> Result<(), OrdRejReason> {
        let terms = (order.ord_type, order.ext.time_in_force, order.ext.cash_margin);
        if terms != (OrdType::LIMIT, TimeInForce::DAY, CashMargin::CASH) {
            return Err(OrdRejReason::UNSUPPORTED);
        }
        let side = match order.side {
            Side::BUY => "BUY",
            Side::SELL => "SELL",
            _ => return Err(OrdRejReason::UNSUPPORTED),
        };
        // A name with a space in it would be two words.
        let (account, security) = (order.account_id.as_str(), order.base.security_id.as_str());
        let words = [account, security, order.base.security_id_source.as_str()];
        let [Some(account), Some(security), Some(source)] =
            words.map(|word| word.filter(|word| is_word(word)))
        else {
            return Err(OrdRejReason::UNSUPPORTED);
        };
        let (price, quantity) = (order.price, order.order_qty);
        say(out, format_args!("ORDER {number} {account} {source}.{security} {side} {price} {quantity}"));
        Ok(())
    }

    fn cancel(&mut self, number: u64, order: u64, _cancel: &OrderCancelRequest, out: &mut Vec<u8>) {
        say(out, format_args!("CANCEL {number} {order}"));
    }

    fn receive(
        &mut self,
        now_ns: u64,
        data: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Option<(Heard, usize)>, CounterError> {
        let end = data.iter().take(LINE_MAX + 1).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            return if data.len() > LINE_MAX { Err(CounterError("line too long")) } else { Ok(None) };
        };
        let line = std::str::from_utf8(&data[..end]).map_err(|_| CounterError("not a line of text"))?;
        let heard = meaning(line).ok_or(CounterError("unknown line"))?;
        self.heard_ns = now_ns;
        Ok(Some((heard, end + 1)))
    }

    fn on_tick(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Result<(), CounterError> {
        if now_ns.saturating_sub(self.heard_ns) > SILENCE_NS {
            return Err(CounterError("counter silent"));
        }
        if now_ns.saturating_sub(self.said_ns) > PING_NS {
            self.said_ns = now_ns;
            say(out, format_args!("PING"));
        }
        Ok(())
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && !word.contains(' ')
}

fn say(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("invariant: memory takes it");
}

fn meaning(line: &str) -> Option<Heard> {
    let mut words = line.split_ascii_whitespace();
    let heard = match words.next()? {
        "PONG" => Heard::Alive,
        "WELCOME" => Heard::Open { taken: next(&mut words)? },
        "OTHER" => Heard::Foreign(next(&mut words)?),
        what => Heard::Event(next(&mut words)?, event(what, &mut words)?),
    };
    words.next().is_none().then_some(heard)
}

fn event(what: &str, words: &mut SplitAsciiWhitespace<'_>) -> Option<Event> {
    Some(match what {
        "ACCEPTED" => Event::Accepted { order: next(words)? },
        "REJECTED" => Event::Rejected { order: next(words)?, reason: OrdRejReason::from_raw(next(words)?) },
        "TRADED" => {
            Event::Traded { order: next(words)?, price: next::<Price>(words)?, quantity: next::<Qty>(words)? }
        }
        "CANCELLED" => Event::Cancelled { order: next(words)?, cancel: next(words)? },
        "KEPT" => {
            Event::CancelRejected { cancel: next(words)?, reason: CxlRejReason::from_raw(next(words)?) }
        }
        _ => return None,
    })
}

fn next<T: FromStr>(words: &mut SplitAsciiWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(data: &[u8]) -> Result<Option<(Heard, usize)>, CounterError> {
        Lines::default().receive(0, data, &mut Vec::new())
    }

    #[test]
    fn each_line_has_its_meaning() {
        let (price, quantity) = (Price::whole(10), Qty::whole(300));
        let lines = [
            ("PONG", Heard::Alive),
            ("WELCOME 7", Heard::Open { taken: 7 }),
            ("OTHER 7", Heard::Foreign(7)),
            ("ACCEPTED 1 2", Heard::Event(1, Event::Accepted { order: 2 })),
            (
                "REJECTED 1 2 3",
                Heard::Event(1, Event::Rejected { order: 2, reason: OrdRejReason::EXCEEDS_LIMIT }),
            ),
            ("TRADED 1 2 10.0000 300.00", Heard::Event(1, Event::Traded { order: 2, price, quantity })),
            ("CANCELLED 1 2 0", Heard::Event(1, Event::Cancelled { order: 2, cancel: 0 })),
            (
                "KEPT 1 2 0",
                Heard::Event(1, Event::CancelRejected { cancel: 2, reason: CxlRejReason::TOO_LATE }),
            ),
        ];
        for (line, meaning) in lines {
            assert_eq!(heard(format!("{line}\nNEXT").as_bytes()), Ok(Some((meaning, line.len() + 1))));
        }
    }

    #[test]
    fn what_is_no_line_of_the_counter_is_an_error() {
        for line in
            ["", "HELLO 1", "WELCOME", "WELCOME x", "WELCOME 1 2", "TRADED 1 2 ten 5", "ACCEPTED -1 2"]
        {
            assert_eq!(heard(format!("{line}\n").as_bytes()), Err(CounterError("unknown line")), "{line}");
        }
        assert_eq!(heard(b"\xff\n"), Err(CounterError("not a line of text")));
        assert_eq!(heard(&[b'x'; LINE_MAX]), Ok(None), "not whole yet");
        assert_eq!(heard(&[b'x'; LINE_MAX + 1]), Err(CounterError("line too long")));
    }

    #[test]
    fn orders_that_the_counter_does_not_have_are_refused() {
        let good = NewOrder {
            account_id: "a".parse().unwrap(),
            side: Side::BUY,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(100),
            price: Price::whole(10),
            ..NewOrder::default()
        };
        let mut good = good;
        good.base.security_id = "000001".parse().unwrap();
        good.base.security_id_source = "102".parse().unwrap();
        good.ext.time_in_force = TimeInForce::DAY;
        good.ext.cash_margin = CashMargin::CASH;
        let mut out = Vec::new();
        assert_eq!(Lines::default().new_order(2, &good, &mut out), Ok(()));
        assert_eq!(out, b"ORDER 2 a 102.000001 BUY 10.0000 100.00\n");
        let bad = [
            NewOrder { ord_type: OrdType::MARKET, ..good },
            NewOrder { side: Side::LEND, ..good },
            NewOrder { account_id: "a b".parse().unwrap(), ..good },
        ];
        for order in bad {
            assert_eq!(Lines::default().new_order(2, &order, &mut out), Err(OrdRejReason::UNSUPPORTED));
        }
    }

    #[test]
    fn silence_is_asked_about_and_then_an_end() {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        lines.connected(0, 1, &mut out);
        assert_eq!(lines.on_tick(PING_NS, &mut out), Ok(()));
        assert_eq!(out, b"HELLO 1\n");
        assert_eq!(lines.on_tick(PING_NS + 1, &mut out), Ok(()));
        assert_eq!(out, b"HELLO 1\nPING\n");
        lines.receive(SILENCE_NS, b"PONG\n", &mut out).unwrap();
        assert_eq!(lines.on_tick(2 * SILENCE_NS, &mut out), Ok(()));
        assert_eq!(lines.on_tick(2 * SILENCE_NS + 1, &mut out), Err(CounterError("counter silent")));
    }
}
