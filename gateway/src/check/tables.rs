//! Hot path: all securities of a trading day with what the rules of that day make of them, looked up by SecurityID.
//!
//! Made on a cold thread from the rules and the reference data, handed over whole. Rules: no allocation after that.

use crate::check::market::Quotes;
use crate::check::phase::{Day, Schedule, Zone};
use crate::check::rate::Marks;
use crate::check::reference::Reference;
use crate::check::rule::Rule;
use crate::check::rules::{Board, NamedSchedule, Rules, Set};
use crate::index::{Index, Seed};
use std::sync::Arc;
use wire::szse::{Price, Qty, SecurityId, SecurityIdSource};

/// A security's number in its [`Tables`].
pub type SecurityNo = u32;

/// What the day's rules say of a security. Prices are raw units of [`Price`], quantities of [`Qty`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    pub(crate) schedule: u16,
    pub(crate) suspended: bool,
    pub(crate) margin_buy: bool,
    pub(crate) short_sale: bool,
    pub(crate) prev_close: i64,
    pub(crate) tick: i64,
    /// The limits of the day; `i64::MAX` and 0 where there are none.
    pub(crate) upper: i64,
    pub(crate) lower: i64,
    pub(crate) buy_min: i64,
    pub(crate) buy_step: i64,
    pub(crate) limit_order_max: i64,
    pub(crate) market_order_max: i64,
    pub(crate) cage_percent: i64,
    pub(crate) cage_ticks: i64,
}

/// The securities of a day.
pub struct Tables {
    /// The day they are for.
    pub day: Day,
    /// The exchange's clock.
    pub zone: Zone,
    /// Whether there is trading on that day.
    pub trading: bool,
    /// What counts as high-frequency trading.
    pub marks: Marks,
    /// See [`Set::cage_own_side`].
    pub cage_own_side: bool,
    /// See [`Set::short_market_orders`].
    pub short_market_orders: bool,
    /// Whether there is reference data: without any nothing here is asked.
    pub has_securities: bool,
    /// The securities' numbers, and the market's prices.
    pub directory: Arc<Directory>,
    securities: Vec<Security>,
    schedules: Vec<Schedule>,
}

/// The numbers of securities and, by them, the market's prices: what those who check share with those who follow the
/// market.
pub struct Directory {
    /// The market's prices.
    pub quotes: Quotes,
    names: Box<[(SecurityId, SecurityIdSource)]>,
    by_name: Index,
    seed: Seed,
}

/// Why there are no tables for a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The rules begin later.
    #[error("no set of rules is in force on this day")]
    NoSet,
    /// A security is of a board or a schedule that the rules do not know.
    #[error("security {id}: the rules have no {what} \"{name}\"")]
    Unknown {
        /// Its SecurityID.
        id: SecurityId,
        /// `board` or `schedule`.
        what: &'static str,
        /// What the reference data says.
        name: String,
    },
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tables({:?}, {} securities)", self.day, self.securities.len())
    }
}

impl Tables {
    /// Tables without reference data: what needs none is in force.
    pub fn without_securities(day: Day, zone: Zone, marks: Marks) -> Self {
        Self {
            day,
            zone,
            trading: true,
            marks,
            cage_own_side: false,
            short_market_orders: false,
            has_securities: false,
            directory: Arc::new(Directory::new(std::iter::empty())),
            securities: Vec::new(),
            schedules: Vec::new(),
        }
    }

    /// What the rules of a day make of the reference data.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn new(day: Day, rules: &Rules, reference: &[Reference]) -> Result<Self, TableError> {
        let set = rules.set(day).ok_or(TableError::NoSet)?;
        let names = reference.iter().map(|security| (security.id, security.source));
        Ok(Self {
            trading: rules.is_trading_day(day),
            cage_own_side: set.cage_own_side,
            short_market_orders: set.short_market_orders,
            has_securities: !reference.is_empty(),
            directory: Arc::new(Directory::new(names)),
            securities: reference
                .iter()
                .map(|security| Security::new(security, set))
                .collect::<Result<_, _>>()?,
            schedules: set.schedules.iter().map(NamedSchedule::schedule).collect(),
            ..Self::without_securities(day, rules.zone(), set.marks())
        })
    }

    /// The number of a security.
    ///
    /// # Errors
    /// It is not in the reference data.
    #[inline]
    pub fn number(&self, id: SecurityId, source: SecurityIdSource) -> Result<SecurityNo, Rule> {
        self.directory.number(id, source).ok_or(Rule::UnknownSecurity)
    }

    /// A security.
    #[inline]
    pub fn security(&self, number: SecurityNo) -> &Security {
        &self.securities[number as usize]
    }

    /// Its phases.
    #[inline]
    pub(crate) fn schedule(&self, security: &Security) -> &Schedule {
        &self.schedules[usize::from(security.schedule)]
    }

    /// How many securities there are.
    pub fn len(&self) -> usize {
        self.securities.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.securities.is_empty()
    }
}

impl Directory {
    /// Numbers in the order of the names, each of which is there once.
    pub fn new(names: impl Iterator<Item = (SecurityId, SecurityIdSource)>) -> Self {
        let names: Box<[_]> = names.collect();
        let mut by_name = Index::new(u32::try_from(names.len().max(1)).unwrap_or(u32::MAX));
        let seed = Seed::random();
        for (number, (id, source)) in names.iter().enumerate() {
            by_name.insert(seed.hash(name(*id, *source)), number as u32);
        }
        let mut sources: Vec<SecurityIdSource> = Vec::new();
        let exchanges = names.iter().map(|(_, source)| {
            let at = sources.iter().position(|other| other == source);
            at.unwrap_or_else(|| {
                sources.push(*source);
                sources.len() - 1
            })
        });
        Self { quotes: Quotes::new(exchanges), names, by_name, seed }
    }

    /// The number of a security. A blank SecurityIDSource is taken for Shenzhen, whose protocol this is (?).
    #[inline]
    pub fn number(&self, id: SecurityId, source: SecurityIdSource) -> Option<SecurityNo> {
        const SHENZHEN: SecurityIdSource = SecurityIdSource::literal("102");
        let source = if source.is_blank() { SHENZHEN } else { source };
        self.by_name
            .find(self.seed.hash(name(id, source)), |place| self.names[place as usize] == (id, source))
    }

    /// Takes over the prices of another, so that new reference data does not make the market unknown. Who writes the prices
    /// calls this.
    pub fn take_over(&self, before: &Self) {
        for (number, (id, source)) in self.names.iter().enumerate() {
            if let Some(old) = before.number(*id, *source)
                && let Some(quote) = before.quotes.quote(old, 0)
            {
                self.quotes.set(number as SecurityNo, quote, before.quotes.at_ns(old));
            }
        }
    }

    /// How many securities there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[inline]
fn name(id: SecurityId, source: SecurityIdSource) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(id.as_bytes());
    key[8..12].copy_from_slice(source.as_bytes());
    key
}

impl Security {
    fn new(reference: &Reference, set: &Set) -> Result<Self, TableError> {
        let unknown =
            |what, name: &str| TableError::Unknown { id: reference.id, what, name: name.to_owned() };
        let board = set.boards.get(&reference.board).ok_or_else(|| unknown("board", &reference.board))?;
        let schedule = set.schedules.iter().position(|schedule| schedule.name == reference.schedule);
        let schedule = schedule.ok_or_else(|| unknown("schedule", &reference.schedule))?;
        let tick = reference.tick.unwrap_or(board.tick).raw();
        let prev_close = reference.prev_close.raw();
        let (lower, upper) = limits(reference, board, tick);
        let shares = |count: u32| i64::from(count) * Qty::SCALE;
        Ok(Self {
            schedule: schedule as u16,
            suspended: reference.suspended,
            margin_buy: reference.margin_buy,
            short_sale: reference.short_sale,
            prev_close,
            tick,
            upper: reference.limit_up.map_or(upper, Price::raw),
            lower: reference.limit_down.map_or(lower, Price::raw),
            buy_min: shares(board.buy_min),
            buy_step: shares(board.buy_step),
            limit_order_max: shares(board.limit_order_max),
            market_order_max: shares(board.market_order_max),
            cage_percent: i64::from(board.cage_percent),
            cage_ticks: i64::from(board.cage_ticks),
        })
    }
}

/// The day's limits by the rules: lower and upper.
fn limits(reference: &Reference, board: &Board, tick: i64) -> (i64, i64) {
    if reference.listing_day.is_some_and(|day| day <= board.ipo_days_without_limit) {
        return (0, i64::MAX);
    }
    let percent = i64::from(if reference.st { board.st_limit_percent } else { board.limit_percent });
    let prev_close = reference.prev_close.raw();
    let upper = share(prev_close, 100 + percent, tick);
    let lower = share(prev_close, 100 - percent, tick);
    // Of a price so low that a tick is more than its percentage, one tick is what it may move (?).
    (lower.min(prev_close - tick).max(tick), upper.max(prev_close + tick))
}

/// So many percent of a price, rounded half up to the tick.
#[inline]
pub(crate) fn share(price: i64, percent: i64, tick: i64) -> i64 {
    let exact = i128::from(price) * i128::from(percent);
    let unit = i128::from(tick) * 100;
    let ticks = (exact + unit / 2).div_euclid(unit);
    i64::try_from(ticks * i128::from(tick)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::market::Quote;
    use crate::check::rules::{A_SHARE, Date};
    use proptest::prelude::*;
    use service::config::parse;

    fn rules() -> Rules {
        parse(A_SHARE, "a-share.toml").unwrap()
    }

    fn reference(board: &str, prev_close: &str) -> Reference {
        Reference {
            id: SecurityId::literal("000001"),
            source: SecurityIdSource::literal("102"),
            board: board.to_owned(),
            schedule: "szse".to_owned(),
            prev_close: prev_close.parse().unwrap(),
            st: false,
            suspended: false,
            margin_buy: false,
            short_sale: false,
            listing_day: None,
            tick: None,
            limit_up: None,
            limit_down: None,
        }
    }

    fn on(year: u16, month: u8, day: u8, reference: Reference) -> Security {
        let day = Date::new(year, month, day).unwrap().0;
        let (id, source) = (reference.id, reference.source);
        let tables = Tables::new(day, &rules(), &[reference]).unwrap();
        tables.security(tables.number(id, source).unwrap()).clone()
    }

    /// (lower, upper) as text.
    fn limits_on(year: u16, month: u8, day: u8, reference: Reference) -> (String, String) {
        let security = on(year, month, day, reference);
        (Price::from_raw(security.lower).to_string(), Price::from_raw(security.upper).to_string())
    }

    #[test]
    fn limits_are_rounded_half_up_to_the_tick() {
        let of = |board, close| limits_on(2026, 7, 6, reference(board, close));
        let text = |lower: &str, upper: &str| (lower.to_owned(), upper.to_owned());
        assert_eq!(of("main", "10.00"), text("9.0000", "11.0000"));
        assert_eq!(of("main", "10.05"), text("9.0500", "11.0600"), "9.045 and 11.055 are rounded up");
        assert_eq!(of("main", "10.04"), text("9.0400", "11.0400"), "9.036 up, 11.044 down");
        assert_eq!(of("chinext", "180.00"), text("144.0000", "216.0000"));
        assert_eq!(of("star", "33.33"), text("26.6600", "40.0000"));
        assert_eq!(of("bse", "7.77"), text("5.4400", "10.1000"));
        assert_eq!(of("fund", "1.015"), text("0.9140", "1.1170"), "to 0.001: 0.9135 and 1.1165");
        assert_eq!(of("main", "0.02"), text("0.0100", "0.0300"), "at least a tick");
        assert_eq!(of("main", "0.01"), text("0.0100", "0.0200"), "and never down to nothing");
    }

    #[test]
    fn st_and_new_listings_have_limits_of_their_own() {
        let st = || Reference { st: true, ..reference("main", "10.00") };
        assert_eq!(limits_on(2026, 7, 3, st()), ("9.5000".to_owned(), "10.5000".to_owned()));
        assert_eq!(limits_on(2026, 7, 6, st()), ("9.0000".to_owned(), "11.0000".to_owned()));
        let new = |day| Reference { listing_day: Some(day), ..reference("main", "10.00") };
        let unlimited = on(2026, 7, 6, new(5));
        assert_eq!((unlimited.lower, unlimited.upper), (0, i64::MAX));
        assert_eq!(on(2026, 7, 6, new(6)).upper, Price::whole(11).raw());
        let given = Reference { limit_up: Some(Price::whole(12)), ..reference("main", "10.00") };
        assert_eq!(limits_on(2026, 7, 6, given), ("9.0000".to_owned(), "12.0000".to_owned()));
    }

    #[test]
    fn a_security_is_found_by_name_and_source() {
        let day = Date::new(2026, 7, 6).unwrap().0;
        let shanghai = Reference { source: SecurityIdSource::literal("101"), ..reference("main", "8.00") };
        let tables = Tables::new(day, &rules(), &[reference("main", "10.00"), shanghai]).unwrap();
        let number = |id, source| tables.number(SecurityId::literal(id), SecurityIdSource::literal(source));
        assert_eq!(number("000001", "102"), Ok(0));
        assert_eq!(number("000001", "101"), Ok(1));
        assert_eq!(number("000001", ""), Ok(0));
        assert_eq!(number("000001", "103"), Err(Rule::UnknownSecurity));
        assert_eq!(number("000002", "102"), Err(Rule::UnknownSecurity));
    }

    #[test]
    fn prices_are_taken_over_by_name() {
        let name = |id| (SecurityId::literal(id), SecurityIdSource::literal("102"));
        let before = Directory::new([name("1"), name("2"), name("3")].into_iter());
        let quote = |last| Quote { last, ..Quote::default() };
        before.quotes.set(1, quote(2), 50);
        before.quotes.set(2, quote(3), 60);
        let after = Directory::new([name("3"), name("1"), name("2")].into_iter());
        after.take_over(&before);
        let known = [0, 1, 2].map(|number| after.quotes.quote(number, 60));
        assert_eq!(known, [Some(quote(3)), None, Some(quote(2))]);
        assert_eq!(after.quotes.at_ns(2), 50);
    }

    #[test]
    fn what_the_rules_do_not_know_is_told() {
        let day = Date::new(2026, 7, 6).unwrap().0;
        let error = Tables::new(day, &rules(), &[reference("main-board", "1")]).unwrap_err();
        assert_eq!(error.to_string(), "security 000001: the rules have no board \"main-board\"");
        let other = Reference { schedule: "bse".to_owned(), ..reference("main", "1") };
        let error = Tables::new(day, &rules(), &[other]).unwrap_err().to_string();
        assert_eq!(error, "security 000001: the rules have no schedule \"bse\"");
        let before = Date::new(2020, 1, 1).unwrap().0;
        assert_eq!(Tables::new(before, &rules(), &[]).unwrap_err(), TableError::NoSet);
    }

    proptest! {
        #[test]
        fn a_share_is_the_nearest_tick_and_half_goes_up(
            price in 1..10_000_000_000_i64,
            percent in 1..200_i64,
            tick in prop::sample::select(vec![10_i64, 100, 1, 37]),
        ) {
            let rounded = share(price, percent, tick);
            prop_assert_eq!(rounded % tick, 0);
            let twice_off = 2 * (i128::from(rounded) * 100 - i128::from(price) * i128::from(percent));
            let step = i128::from(tick) * 100;
            prop_assert!(-step < twice_off && twice_off <= step, "{} of {}", rounded, price);
        }
    }
}
