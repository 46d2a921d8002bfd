//! What is traded: the securities and the limits of their day.

use foldhash::{HashMap, HashMapExt};
use wire::szse::{Price, Qty, SecurityId};

/// A security's place in the list of securities.
pub type SecurityNo = u32;

/// A security and what a day's orders in it must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// SecurityID.
    pub id: SecurityId,
    /// Previous close.
    pub prev_close: Price,
    /// Highest price of the day.
    pub limit_up: Price,
    /// Lowest price of the day.
    pub limit_down: Price,
    /// Step of prices.
    pub tick: Price,
    /// Buys come in multiples of this.
    pub lot: Qty,
    /// Largest quantity of one order.
    pub quantity_max: Qty,
}

/// Why a list of securities is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// Prices must be above 0, on the tick, with the previous close within the limits.
    #[error("security {0}: prices must be on the tick and 0 < limit down <= previous close <= limit up")]
    Prices(SecurityId),
    /// Tick, lot and largest quantity must be above 0 and of the order of a real market's.
    #[error(
        "security {0}: tick, lot and largest quantity must be above 0 and the latter at most {QUANTITY_MAX}"
    )]
    Quantities(SecurityId),
    /// A price ladder is bounded, so the range of prices is.
    #[error("security {0}: more than {STEPS_MAX} ticks between the limits")]
    TooManySteps(SecurityId),
    /// Each security is listed once.
    #[error("security {0} is listed twice")]
    Twice(SecurityId),
    /// The identifier of a range must end in digits that can be counted up.
    #[error("no {count} identifiers of six digits from {first} on")]
    Range {
        /// First identifier asked for.
        first: SecurityId,
        /// Count asked for.
        count: u32,
    },
}

/// Most ticks between the limits: bounds what an insertion into a price ladder moves (see `book/ladder.rs`).
pub const STEPS_MAX: i64 = 100_000;

/// Largest quantity of an order that may be configured, shares: sums over a day's orders then fit 63 bits.
pub const QUANTITY_MAX: i64 = 100_000_000;

impl Listing {
    /// A security of the main board: limits at `band_percent` around the previous close, rounded half up to the
    /// tick of 0.01, lots of 100, orders of at most 1,000,000.
    pub fn main_board(id: SecurityId, prev_close: Price, band_percent: u32) -> Self {
        let tick = Price::SCALE / 100;
        let limit = |percent: i64| {
            let exact = i128::from(prev_close.raw()) * i128::from(percent);
            let unit = i128::from(tick) * 100;
            Price::from_raw(((exact + unit / 2) / unit * i128::from(tick)) as i64)
        };
        let band = i64::from(band_percent);
        Self {
            id,
            prev_close,
            limit_up: limit(100 + band),
            limit_down: limit(100 - band),
            tick: Price::from_raw(tick),
            lot: Qty::whole(100),
            quantity_max: Qty::whole(1_000_000),
        }
    }

    fn check(&self) -> Result<(), ListingError> {
        let (tick, lot, largest) = (self.tick.raw(), self.lot.raw(), self.quantity_max.raw());
        if tick <= 0 || lot <= 0 || largest <= 0 || largest > QUANTITY_MAX * Qty::SCALE {
            return Err(ListingError::Quantities(self.id));
        }
        let prices = [self.limit_down.raw(), self.prev_close.raw(), self.limit_up.raw()];
        let in_range = prices[0] > 0 && self.limit_up.in_range() && prices.is_sorted();
        if !in_range || prices.iter().any(|price| price % tick != 0) {
            return Err(ListingError::Prices(self.id));
        }
        if (prices[2] - prices[0]) / tick > STEPS_MAX {
            return Err(ListingError::TooManySteps(self.id));
        }
        Ok(())
    }
}

/// `count` identifiers counted up from `first`, six digits each: securities for load tests.
///
/// # Errors
/// [`ListingError::Range`] when `first` is not six digits or the count runs past 999999.
pub fn id_range(first: SecurityId, count: u32) -> Result<impl Iterator<Item = SecurityId>, ListingError> {
    let refused = ListingError::Range { first, count };
    let digits =
        first.as_str().filter(|text| text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let start: u32 = digits.and_then(|text| text.parse().ok()).ok_or(refused)?;
    let end = start.checked_add(count).filter(|end| *end <= 1_000_000).ok_or(refused)?;
    Ok((start..end).map(|number| SecurityId::truncated(&format!("{number:06}"))))
}

/// All securities, found by identifier.
#[derive(Debug)]
pub struct Listings {
    list: Vec<Listing>,
    by_id: HashMap<SecurityId, SecurityNo>,
}

impl Listings {
    /// # Errors
    /// [`ListingError`] for the first security that cannot be traded as listed.
    pub fn new(list: Vec<Listing>) -> Result<Self, ListingError> {
        let mut by_id = HashMap::with_capacity(list.len());
        for (number, listing) in list.iter().enumerate() {
            listing.check()?;
            let number =
                SecurityNo::try_from(number).expect("invariant: six digits do not name 2^32 securities");
            if by_id.insert(listing.id, number).is_some() {
                return Err(ListingError::Twice(listing.id));
            }
        }
        Ok(Self { list, by_id })
    }

    /// The number of a security.
    pub fn find(&self, id: &SecurityId) -> Option<SecurityNo> {
        self.by_id.get(id).copied()
    }

    /// All of them, in order of their numbers.
    pub fn as_slice(&self) -> &[Listing] {
        &self.list
    }
}

impl std::ops::Index<SecurityNo> for Listings {
    type Output = Listing;

    fn index(&self, number: SecurityNo) -> &Listing {
        &self.list[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    fn listing(prev_close: &str) -> Listing {
        Listing::main_board("000001".parse().unwrap(), price(prev_close), 10)
    }

    #[test]
    fn limits_round_half_up_to_the_tick() {
        // 10 % of 10.05 is 1.005: 11.055 and 9.045 round up to 11.06 and 9.05.
        let listing = listing("10.05");
        assert_eq!((listing.limit_up, listing.limit_down), (price("11.06"), price("9.05")));
        assert_eq!(self::listing("1.04").limit_up, price("1.14"));
    }

    #[test]
    fn what_cannot_be_traded_is_refused() {
        let good = listing("10.00");
        let id = good.id;
        let refused = |change: fn(&mut Listing)| {
            let mut listing = good;
            change(&mut listing);
            Listings::new(vec![listing]).unwrap_err()
        };
        assert_eq!(refused(|at| at.limit_down = Price::ZERO), ListingError::Prices(id));
        assert_eq!(refused(|at| at.prev_close = at.limit_up.max(Price::whole(12))), ListingError::Prices(id));
        assert_eq!(refused(|at| at.prev_close = Price::from_raw(100_001)), ListingError::Prices(id));
        assert_eq!(refused(|at| at.lot = Qty::ZERO), ListingError::Quantities(id));
        assert_eq!(refused(|at| at.limit_up = Price::whole(2_000)), ListingError::TooManySteps(id));
        assert_eq!(Listings::new(vec![good, good]).unwrap_err(), ListingError::Twice(id));
    }

    #[test]
    fn ranges_count_up_within_six_digits() {
        let ids: Vec<_> = id_range("000009".parse().unwrap(), 2).unwrap().map(|id| id.to_string()).collect();
        assert_eq!(ids, ["000009", "000010"]);
        for (first, count) in [("999999", 2), ("9", 1), ("00000A", 1)] {
            let first = first.parse().unwrap();
            assert_eq!(id_range(first, count).err(), Some(ListingError::Range { first, count }));
        }
    }
}
