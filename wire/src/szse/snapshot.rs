//! Snapshot: a group of entries, each with a group of order quantities of its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::code::MdEntryType;
use super::group::{BodyReader, count_of};
use super::{
    Amount, DecodeError, EncodeError, GroupMessage, I64, MdEntryPx, Price, Qty, SecurityId, SecurityIdSource,
    Text, Timestamp, U16, U32, frame,
};

/// Entries of one snapshot: ten levels each side and some twenty statistics are in use; a bound of ours.
pub const MD_ENTRIES_MAX: usize = 64;
/// Quantities of the orders at a level that an entry may list: the exchange shows the first 50 (?).
pub const ORDERS_MAX: usize = 50;

/// The fields before the entries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct SnapshotHead {
    /// OrigTime: when the exchange made it.
    pub orig_time: Timestamp,
    /// ChannelNo.
    pub channel_no: U16,
    /// MDStreamID.
    pub md_stream_id: Text<3>,
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub security_id_source: SecurityIdSource,
    /// TradingPhaseCode.
    pub trading_phase_code: Text<8>,
    /// PrevClosePx.
    pub prev_close_px: Price,
    /// NumTrades.
    pub num_trades: I64,
    /// TotalVolumeTrade.
    pub total_volume_trade: Qty,
    /// TotalValueTrade.
    pub total_value_trade: Amount,
}
const _: () = assert!(size_of::<SnapshotHead>() == 65);

/// The fields of an entry before its orders.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct MdEntry {
    /// MDEntryType.
    pub md_entry_type: MdEntryType,
    /// MDEntryPx.
    pub md_entry_px: MdEntryPx,
    /// MDEntrySize.
    pub md_entry_size: Qty,
    /// MDPriceLevel: 1 is the best (?: whether the exchange counts from 0 is not public).
    pub md_price_level: U16,
    /// NumberOfOrders at the level.
    pub number_of_orders: I64,
}
const _: () = assert!(size_of::<MdEntry>() == 28);
const _: () =
    assert!(65 + 4 + MD_ENTRIES_MAX * (28 + 4 + ORDERS_MAX * size_of::<Qty>()) <= frame::BODY_LEN_MAX);

/// An entry and the quantities of its first orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry<'a> {
    /// The entry.
    pub entry: &'a MdEntry,
    /// OrderQty of the first orders at the level.
    pub orders: &'a [Qty],
}

/// The state of a security at a time.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The fields before the entries.
    pub head: &'a SnapshotHead,
    entries: MdEntries<'a>,
}

impl<'a> Snapshot<'a> {
    /// The entries, in the order of the wire.
    #[must_use]
    pub fn entries(&self) -> MdEntries<'a> {
        self.entries
    }

    /// Appends a whole frame with the entries that `write` pushes.
    ///
    /// # Errors
    /// More than [`MD_ENTRIES_MAX`] entries, or more than [`ORDERS_MAX`] orders in one; `out` is then as before.
    pub fn encode(
        head: &SnapshotHead,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut MdEntryWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        frame::encode_with(Self::MSG_TYPE, out, |body| {
            body.extend_from_slice(head.as_bytes());
            let count_at = body.len();
            body.extend_from_slice(U32::ZERO.as_bytes());
            let mut entries = MdEntryWriter { body, count: 0 };
            write(&mut entries)?;
            let count = count_of(entries.count, MD_ENTRIES_MAX)?;
            body[count_at..count_at + 4].copy_from_slice(count.as_bytes());
            Ok(())
        })
    }
}

impl<'a> GroupMessage<'a> for Snapshot<'a> {
    const MSG_TYPE: u32 = 300_111;
    const NAME: &'static str = "Snapshot";

    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = BodyReader::new(Self::MSG_TYPE, body);
        let head = body.take()?;
        let count = body.count(MD_ENTRIES_MAX)?;
        let entries = MdEntries { left: count, rest: body.rest() };
        for _ in 0..count {
            take_entry(&mut body)?;
        }
        body.end()?;
        Ok(Self { head, entries })
    }
}

fn take_entry<'a>(body: &mut BodyReader<'a>) -> Result<SnapshotEntry<'a>, DecodeError> {
    Ok(SnapshotEntry { entry: body.take()?, orders: body.entries(ORDERS_MAX)? })
}

/// The entries of a snapshot, checked.
#[derive(Clone, Copy, Debug)]
pub struct MdEntries<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for MdEntries<'a> {
    type Item = SnapshotEntry<'a>;

    fn next(&mut self) -> Option<SnapshotEntry<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut body = BodyReader::new(Snapshot::MSG_TYPE, self.rest);
        let entry = take_entry(&mut body).expect("invariant: parse has walked these entries");
        self.rest = body.rest();
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for MdEntries<'_> {}

/// Takes the entries of a snapshot that is being encoded.
#[derive(Debug)]
pub struct MdEntryWriter<'a> {
    body: &'a mut Vec<u8>,
    count: usize,
}

impl MdEntryWriter<'_> {
    /// Appends an entry and the quantities of its first orders.
    ///
    /// # Errors
    /// One entry or one order too many.
    pub fn push(&mut self, entry: &MdEntry, orders: &[Qty]) -> Result<(), EncodeError> {
        count_of(self.count + 1, MD_ENTRIES_MAX)?;
        self.body.extend_from_slice(entry.as_bytes());
        super::group::write_entries(orders, ORDERS_MAX, self.body)?;
        self.count += 1;
        Ok(())
    }
}
