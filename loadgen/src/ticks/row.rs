//! A row of any file, and the way back from a frame.

use wire::szse::code::{ExecType, SOURCE_SHANGHAI, SOURCE_SHENZHEN};
use wire::szse::ext::ExtendedTickOrder;
use wire::szse::market::{Snapshot as Frame300111, TickOrder, TickTrade};
use wire::szse::{DecodeError, Frame, GroupMessage, Message, SecurityIdSource};

use super::snapshot::Snapshot;
use super::{order, sse, szse};

/// A row as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Shanghai's `entrust.csv`.
    SseEntrust(sse::Entrust),
    /// Shanghai's `trade.csv`.
    SseTrade(sse::Trade),
    /// Shenzhen's `entrust.csv`.
    SzseOrder(szse::Order),
    /// Shenzhen's `trade.csv`.
    SzseTrade(szse::Trade),
    /// `snapshot.csv` of either.
    Snapshot(Box<Snapshot>),
}

/// Why a frame is not one that a row was sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The frame is broken.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No row is sent as such a message.
    #[error("message type {0} is no row")]
    MessageType(u32),
    /// Neither of the two markets.
    #[error("SecurityIDSource {0:?} is neither 101 nor 102")]
    Source(SecurityIdSource),
    /// A snapshot has an entry that no column stands for.
    #[error("a snapshot's entry stands for no column")]
    Entry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Shanghai,
    Shenzhen,
}

fn market(source: SecurityIdSource) -> Result<From, RowError> {
    match source {
        SOURCE_SHANGHAI => Ok(From::Shanghai),
        SOURCE_SHENZHEN => Ok(From::Shenzhen),
        _ => Err(RowError::Source(source)),
    }
}

impl Row {
    /// The row that a frame was made of.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn from_frame(frame: &Frame<'_>) -> Result<Self, RowError> {
        match frame.msg_type {
            TickOrder::MSG_TYPE | ExtendedTickOrder::MSG_TYPE => {
                let (tick, order_no) = order::decode(frame)?;
                Ok(match market(tick.security_id_source)? {
                    From::Shanghai => Self::SseEntrust(sse::Entrust::from_order(tick, order_no)),
                    From::Shenzhen => Self::SzseOrder(szse::Order::from_order(tick, order_no)),
                })
            }
            TickTrade::MSG_TYPE => {
                let tick = frame.view::<TickTrade>()?;
                Ok(match market(tick.security_id_source)? {
                    From::Shanghai if tick.exec_type == ExecType::CANCELLED => {
                        Self::SseEntrust(sse::Entrust::from_deletion(tick))
                    }
                    From::Shanghai => Self::SseTrade(sse::Trade::from_trade(tick)),
                    From::Shenzhen => Self::SzseTrade(szse::Trade::from_trade(tick)),
                })
            }
            Frame300111::MSG_TYPE => {
                let snapshot = frame.group::<Frame300111<'_>>()?;
                market(snapshot.head.security_id_source)?;
                let row = Snapshot::from_frame(&snapshot).ok_or(RowError::Entry)?;
                Ok(Self::Snapshot(Box::new(row)))
            }
            other => Err(RowError::MessageType(other)),
        }
    }

    /// The row by the names of its file's columns, in the plainest form: no trailing zeros, codes as characters.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::SseEntrust(row) => row.columns(),
            Self::SseTrade(row) => row.columns(),
            Self::SzseOrder(row) => row.columns(),
            Self::SzseTrade(row) => row.columns(),
            Self::Snapshot(row) => row.columns(),
        }
    }
}
