//! Quotes of a vendor who speaks lines of text, as a source of a feed: a line `CHANNEL,NUMBER,SECURITY,SIDE,PRICE,QUANTITY,TIME` for
//! each order, an empty one when there is nothing to say. Asked with `CHANNEL,BEGIN,END` it says those again.

use feed::door::{Inlet, Over, Source, Wanted};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use wire::szse::code::{OrdType, SOURCE_SHENZHEN, Side};
use wire::szse::market::TickOrder;
use wire::szse::{I64, Text, Timestamp, U16};

/// Between two looks at what the feed wants.
const LOOK: Duration = Duration::from_millis(100);
/// A vendor that says nothing for so many looks, not even an empty line, is not there.
const LOOKS_MAX: u32 = 50;
/// The longest line, bytes.
const LINE_BYTES_MAX: usize = 256;

/// A vendor, and where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Vendor(pub SocketAddr);

impl Source for Vendor {
    // [run]
    fn run(&mut self, inlet: &mut Inlet) -> Result<(), Over> {
        let stream = TcpStream::connect_timeout(&self.0, Duration::from_secs(2)).map_err(failed)?;
        stream.set_read_timeout(Some(LOOK)).map_err(failed)?;
        stream.set_write_timeout(Some(LOOK)).map_err(failed)?;
        let mut lines = BufReader::new(stream);
        let (mut line, mut silent) = (Vec::new(), 0);
        inlet.up()?;
        loop {
            while let Some(Wanted { channel, begin, end }) = inlet.wanted()? {
                writeln!(lines.get_mut(), "{channel},{begin},{end}").map_err(failed)?;
            }
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => return Err(failed("the vendor has closed")),
                Ok(_) if line.ends_with(b"\n") => {
                    match order(&line)? {
                        Some(order) => inlet.send(&order)?,
                        None => inlet.alive()?,
                    }
                    line.clear();
                    silent = 0;
                }
                // The time is over, within a line or between two.
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    silent += 1;
                }
                Err(error) => return Err(failed(error)),
            }
            if silent > LOOKS_MAX || line.len() > LINE_BYTES_MAX {
                return Err(failed("the vendor is silent, or its line has no end"));
            }
            // What the vendor has said so far is out at once.
            if lines.buffer().is_empty() {
                inlet.flush()?;
            }
        }
    }
    // [run]
}

/// The order of a line; `None` of an empty one.
fn order(line: &[u8]) -> Result<Option<TickOrder>, Over> {
    let text = std::str::from_utf8(line).map_err(failed)?.trim_end();
    if text.is_empty() {
        return Ok(None);
    }
    let words: Vec<&str> = text.split(',').collect();
    let [channel, number, security, side, price, quantity, time] = words[..] else {
        return Err(failed("a line has seven words"));
    };
    Ok(Some(TickOrder {
        channel_no: U16::new(channel.parse().map_err(failed)?),
        appl_seq_num: I64::new(number.parse().map_err(failed)?),
        security_id: security.parse().map_err(failed)?,
        security_id_source: SOURCE_SHENZHEN,
        md_stream_id: Text::literal("011"),
        side: if side == "B" { Side::BUY } else { Side::SELL },
        price: price.parse().map_err(failed)?,
        order_qty: quantity.parse().map_err(failed)?,
        transact_time: Timestamp::from_raw(time.parse().map_err(failed)?),
        ord_type: OrdType::LIMIT,
    }))
}

fn failed(why: impl ToString) -> Over {
    Over::Failed(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_order_or_an_error() {
        let read = |line: &str| order(line.as_bytes());
        let one = read("2011,7,000001,B,10.50,300,20260105093000010\n").unwrap().unwrap();
        assert_eq!((one.channel_no.get(), one.appl_seq_num.get()), (2011, 7));
        assert_eq!((one.price.to_string(), one.side), ("10.5000".to_owned(), Side::BUY));
        assert_eq!(read("\r\n").unwrap(), None);
        for wrong in
            ["2011,7\n", "x,7,000001,B,10.50,300,1\n", "1,7,123456789,B,10.50,300,1\n", "1,7,1,B,ten,300,1\n"]
        {
            assert!(matches!(read(wrong), Err(Over::Failed(_))), "{wrong}");
        }
    }
}
