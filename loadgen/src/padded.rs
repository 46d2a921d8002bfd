//! Quotes of a wanted size: tick orders, extended by padding, that differ in their number.

use wire::szse::code::{OrdType, SOURCE_SHENZHEN, STREAM_TICK, Side};
use wire::szse::ext::{EXTENSION_LEN_MAX, ExtendedTickOrder};
use wire::szse::market::TickOrder;
use wire::szse::{I64, Price, Qty, SecurityId, Timestamp, U16, frame};

/// Bytes of the smallest: a plain 300192.
pub const SIZE_MIN: usize = frame::OVERHEAD + size_of::<TickOrder>();
/// Bytes of the largest.
pub const SIZE_MAX: usize = SIZE_MIN + EXTENSION_LEN_MAX;
/// Where ApplSeqNum stands in the frame.
const NUMBER_AT: usize = frame::HEADER_LEN + size_of::<U16>();

/// Sizes that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote has {SIZE_MIN} to {SIZE_MAX} bytes, not {0}")]
pub struct SizeError(pub usize);

/// Ready frames, one a security, in which only the number is still to be set.
#[derive(Clone, Debug)]
pub struct Padded {
    frames: Vec<Vec<u8>>,
}

impl Padded {
    /// Frames of `size` bytes in `channel`, about so many securities in turn.
    ///
    /// # Errors
    /// A size that a quote cannot have.
    pub fn new(channel: u16, size: usize, securities: u32) -> Result<Self, SizeError> {
        let padding = size.checked_sub(SIZE_MIN).filter(|padding| *padding <= EXTENSION_LEN_MAX);
        let padding = vec![b'.'; padding.ok_or(SizeError(size))?];
        let frames = (0..securities.max(1)).map(|index| template(channel, index, &padding)).collect();
        Ok(Self { frames })
    }

    /// The frame of a number.
    #[inline]
    pub fn frame(&mut self, number: u64) -> &[u8] {
        let index = (number % self.frames.len() as u64) as usize;
        let bytes = &mut self.frames[index];
        bytes[NUMBER_AT..NUMBER_AT + 8].copy_from_slice(&number.to_be_bytes());
        let body_end = bytes.len() - frame::TRAILER_LEN;
        let sum = frame::checksum(&bytes[..body_end]);
        bytes[body_end..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

fn template(channel: u16, index: u32, padding: &[u8]) -> Vec<u8> {
    let security = SecurityId::truncated(&format!("{:06}", index % 1_000_000));
    let order = TickOrder {
        channel_no: U16::new(channel),
        appl_seq_num: I64::ZERO,
        md_stream_id: STREAM_TICK,
        security_id: security,
        security_id_source: SOURCE_SHENZHEN,
        price: Price::from_raw(100_000 + i64::from(index)),
        order_qty: Qty::whole(100),
        side: if index.is_multiple_of(2) { Side::BUY } else { Side::SELL },
        transact_time: Timestamp::from_raw(20_240_105_093_000_000),
        ord_type: OrdType::LIMIT,
    };
    let mut bytes = Vec::new();
    if padding.is_empty() {
        frame::encode(&order, &mut bytes);
    } else {
        let extended = ExtendedTickOrder { order: &order, extension: padding };
        extended.encode(&mut bytes).expect("invariant: the size was checked");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_wanted_size_and_number_and_a_right_checksum() {
        for size in [SIZE_MIN, 64, 128, 256, SIZE_MAX] {
            let mut padded = Padded::new(9, size, 3).unwrap();
            for number in [1, 2, 3, u64::MAX >> 1] {
                let bytes = padded.frame(number).to_vec();
                assert_eq!(bytes.len(), size);
                let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
                let order = match frame.view::<TickOrder>() {
                    Ok(order) => order,
                    Err(_) => frame.group::<ExtendedTickOrder<'_>>().unwrap().order,
                };
                assert_eq!((order.channel_no.get(), order.appl_seq_num.get().unsigned_abs()), (9, number));
                assert_eq!(order.security_id.to_string(), format!("{:06}", number % 3));
            }
        }
    }

    #[test]
    fn refuses_sizes_that_no_quote_has() {
        assert_eq!(Padded::new(1, 62, 1).err(), Some(SizeError(62)));
        assert_eq!(Padded::new(1, SIZE_MAX + 1, 1).err(), Some(SizeError(SIZE_MAX + 1)));
    }
}
