//! A snapshot held against the book, at one tick after the other.
//!
//! A snapshot does not say after which tick it was taken, and its time does not tell: Shanghai's is of whole seconds, and
//! either may come late. It says how many trades there were and how much they came to, and that leaves the ticks between two
//! trades. So the difference to the book is computed once and then carried along the ticks, backwards through those that
//! came before ([`super::trail`]) and forwards with those that come: the snapshot agrees if there is a tick at which nothing of it is
//! left.

use super::depth::{Change, Depth, Level, Side};
use super::shot::{LEVELS, Shot, Shown, Traded};
use super::trail::Step;
use std::collections::BTreeMap;

/// What of a snapshot the book has at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    None,
    /// The levels that it shows, but not the totals of all levels that it says.
    Levels,
    /// Everything that it says of the book.
    Whole,
}

/// What a book claims to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Everything.
    All,
    /// Of each side the quantities of the levels up to this rank; no numbers of orders, and no totals.
    UpTo([i64; 2]),
}

impl Claim {
    /// The last rank of each side that it claims.
    fn last(self) -> [i64; 2] {
        match self {
            Self::All => [i64::MAX; 2],
            Self::UpTo(last) => last,
        }
    }
}

/// The book less the snapshot, at a price.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    by: Level,
    /// The snapshot says how many orders there are.
    counted: bool,
    /// And the book claims to know.
    counts: bool,
}

impl Cell {
    fn differs(&self) -> bool {
        self.by.quantity != 0 || self.counts && self.by.orders != 0
    }
}

/// What is compared.
#[derive(Clone, Debug)]
enum Compared {
    Levels {
        cells: BTreeMap<(Side, i64), Cell>,
        /// The last rank of each side that the snapshot says something of, and that the book claims.
        worst: [i64; 2],
        claimed: [i64; 2],
        /// Cells that differ: those that the book does not claim, and those that it does.
        differing: [usize; 2],
        /// All levels of each side, less what the snapshot says of them.
        totals: Option<[i64; 2]>,
    },
    Auction {
        /// Buys at or above the price, sells at or below it.
        reach: [i64; 2],
    },
}

/// A snapshot and how the book differs from it, at one tick.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) shot: Shot,
    /// What traded in the book's ticks, less what the snapshot says.
    pub(super) ahead: Traded,
    /// The best there was so far.
    pub(super) best: Agreement,
    /// It may be of a tick that is longer ago than what is remembered.
    pub(super) unknown: bool,
    compared: Compared,
}

impl Check {
    /// At the last tick. `None` for a snapshot that shows nothing.
    pub(super) fn new(shot: Shot, depth: &Depth, traded: Traded, claim: Claim) -> Option<Self> {
        let compared = match &shot.shown {
            Shown::Nothing => return None,
            Shown::Levels(sides) => compare_levels(sides, depth, shot.totals, claim),
            Shown::Auction { price, .. } => {
                let reach = |side: Side| {
                    let within = depth.levels(side).take_while(|(at, _)| side.rank(*at) <= side.rank(*price));
                    within.fold(0_i64, |sum, (_, level)| sum.saturating_add(level.quantity))
                };
                Compared::Auction { reach: Side::BOTH.map(reach) }
            }
        };
        let ahead = traded.minus(shot.traded);
        let mut check = Self { shot, ahead, best: Agreement::None, unknown: false, compared };
        check.look();
        Some(check)
    }

    pub(super) fn is_auction(&self) -> bool {
        matches!(self.compared, Compared::Auction { .. })
    }

    /// One tick on.
    pub(super) fn forward(&mut self, step: &Step) {
        self.ahead = self.ahead.plus(step.traded);
        step.changes().for_each(|change| self.shift(change, 1));
        self.look();
    }

    /// One tick back.
    pub(super) fn back(&mut self, step: &Step) {
        self.ahead = self.ahead.minus(step.traded);
        step.changes().for_each(|change| self.shift(change, -1));
        self.look();
    }

    /// Prices at which the book differs, claimed or not; [`usize::MAX`] where that means nothing.
    pub(super) fn differing(&self) -> usize {
        match self.compared {
            Compared::Levels { differing, .. } => differing.iter().sum(),
            Compared::Auction { .. } => usize::MAX,
        }
    }

    /// The same number of trades of the same quantity.
    pub(super) fn is_level(&self) -> bool {
        self.ahead.trades == 0 && self.ahead.quantity == 0
    }

    /// The last rank of each side that the snapshot says something of.
    pub(super) fn shown(&self) -> [i64; 2] {
        match self.compared {
            Compared::Levels { worst, .. } => worst,
            Compared::Auction { .. } => [i64::MIN; 2],
        }
    }

    /// What the book has too much of, where the snapshot says something.
    pub(super) fn excess(&self) -> impl Iterator<Item = Change> + '_ {
        let cells = match &self.compared {
            Compared::Levels { cells, .. } => Some(cells),
            Compared::Auction { .. } => None,
        };
        cells.into_iter().flatten().map(|((side, rank), cell)| {
            // Where the snapshot counts no orders, those that are known stay.
            let orders = if cell.counted { cell.by.orders } else { 0 };
            Change { side: *side, price: side.rank(*rank), by: Level { orders, ..cell.by } }
        })
    }

    /// How the book agrees at this tick.
    pub(super) fn agreement(&self) -> Agreement {
        if !self.is_level() {
            return Agreement::None;
        }
        match (&self.compared, &self.shot.shown) {
            (Compared::Levels { differing: [_, 0], totals, .. }, _) => match totals {
                Some(totals) if *totals != [0; 2] => Agreement::Levels,
                _ => Agreement::Whole,
            },
            (Compared::Auction { reach: [buys, sells] }, Shown::Auction { quantity, surplus, .. })
                if buys.min(sells) == quantity && buys.saturating_sub(*sells) == *surplus =>
            {
                Agreement::Whole
            }
            _ => Agreement::None,
        }
    }

    fn look(&mut self) {
        self.best = self.best.max(self.agreement());
    }

    fn shift(&mut self, change: Change, sign: i64) {
        let by = Level { quantity: sign * change.by.quantity, orders: sign * change.by.orders };
        let (side, rank) = (change.side, change.side.rank(change.price));
        match (&mut self.compared, &self.shot.shown) {
            (Compared::Levels { cells, worst, claimed, differing, totals }, _) => {
                if let Some(totals) = totals {
                    totals[side as usize] = totals[side as usize].saturating_add(by.quantity);
                }
                if rank <= worst[side as usize] {
                    shift_cell(cells, differing, (side, rank), by, *claimed);
                }
            }
            (Compared::Auction { reach }, Shown::Auction { price, .. }) if rank <= side.rank(*price) => {
                reach[side as usize] = reach[side as usize].saturating_add(by.quantity);
            }
            _ => {}
        }
    }
}

fn shift_cell(
    cells: &mut BTreeMap<(Side, i64), Cell>,
    differing: &mut [usize; 2],
    (side, rank): (Side, i64),
    by: Level,
    claimed: [i64; 2],
) {
    let claimed = rank <= claimed[side as usize];
    let cell = cells.entry((side, rank)).or_default();
    let differing = &mut differing[usize::from(claimed)];
    *differing -= usize::from(cell.differs());
    cell.by.quantity = cell.by.quantity.saturating_add(by.quantity);
    cell.by.orders = cell.by.orders.saturating_add(by.orders);
    *differing += usize::from(cell.differs());
}

/// Of a side with as many levels as a snapshot shows, what is beyond the last is not said; of one with less, that there is nothing.
fn compare_levels(
    sides: &[Vec<(i64, Level)>; 2],
    depth: &Depth,
    totals: Option<[i64; 2]>,
    claim: Claim,
) -> Compared {
    let (mut cells, mut differing) = (BTreeMap::new(), [0; 2]);
    let (whole, last) = (claim == Claim::All, claim.last());
    let worst = Side::BOTH.map(|side| {
        let shown = &sides[side as usize];
        let ranks = shown.iter().map(|(price, _)| side.rank(*price));
        if shown.len() < LEVELS { i64::MAX } else { ranks.max().unwrap_or(i64::MAX) }
    });
    for side in Side::BOTH {
        for (price, level) in &sides[side as usize] {
            let by =
                Level { quantity: level.quantity.saturating_neg(), orders: level.orders.saturating_neg() };
            let counted = level.orders > 0;
            let claimed = side.rank(*price) <= last[side as usize];
            let cell = Cell { by, counted, counts: counted && whole };
            if cells.insert((side, side.rank(*price)), cell).is_none() {
                differing[usize::from(claimed)] += usize::from(cell.differs());
            }
        }
        let within = depth.levels(side).map(|(price, level)| (side.rank(price), level));
        for (rank, level) in within.take_while(|(rank, _)| *rank <= worst[side as usize]) {
            shift_cell(&mut cells, &mut differing, (side, rank), level, last);
        }
    }
    let totals = totals.filter(|_| whole).map(|[buys, sells]| {
        [depth.total(Side::Buy).saturating_sub(buys), depth.total(Side::Sell).saturating_sub(sells)]
    });
    Compared::Levels { cells, worst, claimed: last, differing, totals }
}
