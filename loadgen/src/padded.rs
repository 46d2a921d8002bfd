//! Quotes of a wanted size: tick orders, extended by padding, that differ in their number.

use wire::szse::code::{OrdType, SOURCE_SHENZHEN, STREAM_SNAPSHOT, STREAM_TICK, Side};
use wire::szse::ext::{EXTENSION_LEN_MAX, ExtendedTickOrder};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickOrder};
use wire::szse::{I64, Price, Qty, SecurityId, Timestamp, U16, frame};

/// Bytes of the smallest: a plain 300192.
pub const SIZE_MIN: usize = frame::OVERHEAD + size_of::<TickOrder>();
/// Bytes of the largest.
pub const SIZE_MAX: usize = SIZE_MIN + EXTENSION_LEN_MAX;
/// Where ApplSeqNum stands in the frame of a tick.
const NUMBER_AT: usize = frame::HEADER_LEN + size_of::<U16>();
/// Where NumTrades stands in the frame of a snapshot: its number.
const SNAPSHOT_NUMBER_AT: usize = frame::HEADER_LEN + 41;
/// Bytes of the smallest snapshot, and of each price in a larger one.
const SNAPSHOT_SIZE_MIN: usize = frame::OVERHEAD + size_of::<SnapshotHead>() + 4;
const SNAPSHOT_ENTRY: usize = 32;
/// The time of a snapshot is this and its number: later than that of any before.
const SNAPSHOT_TIME: u64 = 20_240_105_093_000_000;

/// Sizes that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote has {SIZE_MIN} to {SIZE_MAX} bytes, and a snapshot 81 to 2,129, not {0}")]
pub struct SizeError(pub usize);

/// Ready frames, one a security, in which only the number is still to be set.
#[derive(Clone, Debug)]
pub struct Padded {
    frames: Vec<Vec<u8>>,
    snapshots: bool,
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
        Ok(Self { frames, snapshots: false })
    }

    /// Snapshots of about `size` bytes, at most, with as many prices as find room.
    ///
    /// # Errors
    /// A size that a snapshot cannot have.
    pub fn snapshots(channel: u16, size: usize, securities: u32) -> Result<Self, SizeError> {
        let room = size.checked_sub(SNAPSHOT_SIZE_MIN).ok_or(SizeError(size))?;
        let prices = room / SNAPSHOT_ENTRY;
        if prices > 64 {
            return Err(SizeError(size));
        }
        let frames = (0..securities.max(1)).map(|index| snapshot(channel, index, prices)).collect();
        Ok(Self { frames, snapshots: true })
    }

    /// The frame of a number.
    #[inline]
    pub fn frame(&mut self, number: u64) -> &[u8] {
        let index = (number % self.frames.len() as u64) as usize;
        let bytes = &mut self.frames[index];
        let number_at = if self.snapshots {
            let time = frame::HEADER_LEN..frame::HEADER_LEN + 8;
            bytes[time].copy_from_slice(&(SNAPSHOT_TIME + number).to_be_bytes());
            SNAPSHOT_NUMBER_AT
        } else {
            NUMBER_AT
        };
        bytes[number_at..number_at + 8].copy_from_slice(&number.to_be_bytes());
        let body_end = bytes.len() - frame::TRAILER_LEN;
        let sum = frame::checksum(&bytes[..body_end]);
        bytes[body_end..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

fn snapshot(channel: u16, index: u32, prices: usize) -> Vec<u8> {
    let head = SnapshotHead {
        channel_no: U16::new(channel),
        md_stream_id: STREAM_SNAPSHOT,
        security_id: SecurityId::truncated(&format!("{:06}", index % 1_000_000)),
        security_id_source: SOURCE_SHENZHEN,
        ..SnapshotHead::default()
    };
    let mut bytes = Vec::new();
    let prices = (0..prices).map(|_| MdEntry::default());
    Snapshot::encode(&head, &mut bytes, |out| prices.into_iter().try_for_each(|entry| out.push(&entry, &[])))
        .expect("invariant: the size was checked");
    bytes
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
    fn a_snapshot_has_its_number_and_a_later_time_than_the_one_before() {
        for size in [SNAPSHOT_SIZE_MIN, 512, 2_129] {
            let mut padded = Padded::snapshots(9, size, 3).unwrap();
            let mut before = 0;
            for number in 1..=5_i64 {
                let bytes = padded.frame(number as u64).to_vec();
                assert!(bytes.len() <= size && bytes.len() + SNAPSHOT_ENTRY > size, "{}", bytes.len());
                let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
                let head = frame.group::<Snapshot<'_>>().unwrap().head;
                assert_eq!((head.channel_no.get(), head.num_trades.get()), (9, number));
                assert!(head.orig_time.raw() > before);
                before = head.orig_time.raw();
            }
        }
        assert_eq!(Padded::snapshots(1, 80, 1).err(), Some(SizeError(80)));
        assert_eq!(Padded::snapshots(1, 2_161, 1).err(), Some(SizeError(2_161)));
    }

    #[test]
    fn refuses_sizes_that_no_quote_has() {
        assert_eq!(Padded::new(1, 62, 1).err(), Some(SizeError(62)));
        assert_eq!(Padded::new(1, SIZE_MAX + 1, 1).err(), Some(SizeError(SIZE_MAX + 1)));
    }
}
