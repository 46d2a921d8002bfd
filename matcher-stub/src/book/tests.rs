//! The book against a naive model: a list of orders searched from end to end.

use super::{Book, Depth, Fill, OrderNo, Place, Reach, Side};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

/// What a model order is: side, price, what is left, its number (older is smaller).
type ModelOrder = (Side, i64, i64, OrderNo);

#[derive(Default)]
struct Model(Vec<ModelOrder>);

impl Model {
    /// Index of the order that comes first on a side: best price, then oldest.
    fn first(&self, side: Side) -> Option<usize> {
        let ranked = self.0.iter().enumerate().filter(|(_, order)| order.0 == side);
        ranked
            .min_by_key(|(_, order)| match side {
                Side::Buy => (-order.1, order.3),
                Side::Sell => (order.1, order.3),
            })
            .map(|(index, _)| index)
    }

    fn take(&mut self, taker: Side, reach: Reach, mut left: i64) -> (i64, Vec<Fill>) {
        let mut fills = Vec::new();
        let mut prices = Vec::new();
        while left > 0 {
            let Some(index) = self.first(taker.opposite()) else { break };
            let (_, price, leaves, maker) = self.0[index];
            if !prices.contains(&price) {
                prices.push(price);
            }
            if prices.len() > reach.levels_max
                || reach.limit.is_some_and(|limit| !taker.accepts(limit, price))
            {
                break;
            }
            let quantity = left.min(leaves);
            left -= quantity;
            fills.push(Fill { maker, price, quantity, maker_leaves: leaves - quantity });
            if leaves == quantity {
                self.0.remove(index);
            } else {
                self.0[index].2 -= quantity;
            }
        }
        (left, fills)
    }

    fn depth(&self, side: Side) -> Vec<Depth> {
        let mut prices: Vec<i64> =
            self.0.iter().filter(|order| order.0 == side).map(|order| order.1).collect();
        prices.sort_unstable_by_key(|price| if side == Side::Buy { -price } else { *price });
        prices.dedup();
        let at = |price| self.0.iter().filter(move |order| order.0 == side && order.1 == price);
        let depth = |price| Depth {
            price,
            quantity: at(price).map(|order| order.2).sum(),
            orders: at(price).count() as u32,
        };
        prices.into_iter().map(depth).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Limit { side: Side, price: i64, quantity: i64 },
    Take { side: Side, reach: Reach, quantity: i64 },
    Cancel { pick: usize },
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn step() -> impl Strategy<Value = Step> {
    let limit = || (side(), 95..106_i64, 1..50_i64);
    prop_oneof![
        6 => limit().prop_map(|(side, price, quantity)| Step::Limit { side, price, quantity }),
        1 => (side(), proptest::option::of(95..106_i64), 1..5_usize, 1..200_i64).prop_map(
            |(side, limit, levels_max, quantity)| Step::Take { side, reach: Reach { limit, levels_max }, quantity }
        ),
        3 => any::<usize>().prop_map(|pick| Step::Cancel { pick }),
    ]
}

/// The book and the model side by side, with what the owner of a book keeps: where each order is.
#[derive(Default)]
struct Pair {
    book: Book,
    model: Model,
    places: Vec<Option<(Side, Place)>>,
}

impl Pair {
    fn take(
        &mut self,
        side: Side,
        reach: Reach,
        quantity: i64,
    ) -> Result<i64, proptest::test_runner::TestCaseError> {
        let available = self.book.available(side, reach, quantity);
        let mut fills = Vec::new();
        let left = self.book.take(side, reach, quantity, &mut fills);
        let (model_left, model_fills) = self.model.take(side, reach, quantity);
        prop_assert_eq!(&fills, &model_fills);
        prop_assert_eq!(left, model_left);
        prop_assert_eq!(available, quantity - left, "available says what take takes");
        for fill in fills.iter().filter(|fill| fill.maker_leaves == 0) {
            self.places[fill.maker as usize] = None;
        }
        Ok(left)
    }

    fn step(&mut self, step: Step) -> Result<(), proptest::test_runner::TestCaseError> {
        match step {
            Step::Limit { side, price, quantity } => {
                let left = self.take(side, Reach::to(price), quantity)?;
                let order = self.places.len() as OrderNo;
                self.places.push((left > 0).then(|| (side, self.book.rest(side, price, left, order))));
                if left > 0 {
                    self.model.0.push((side, price, left, order));
                }
            }
            Step::Take { side, reach, quantity } => {
                self.take(side, reach, quantity)?;
            }
            Step::Cancel { pick } => {
                let live: Vec<usize> =
                    (0..self.places.len()).filter(|at| self.places[*at].is_some()).collect();
                if live.is_empty() {
                    return Ok(());
                }
                let order = live[pick % live.len()];
                let (side, place) = self.places[order].take().expect("picked among the live ones");
                let index =
                    self.model.0.iter().position(|at| at.3 as usize == order).expect("alive in the model");
                let (.., leaves, _) = self.model.0.remove(index);
                prop_assert_eq!(self.book.cancel(side, place, order as OrderNo), leaves);
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..400)) {
        let mut pair = Pair::default();
        for step in steps {
            pair.step(step)?;
            for side in [Side::Buy, Side::Sell] {
                let depth: Vec<Depth> = pair.book.depth(side).collect();
                prop_assert_eq!(depth, pair.model.depth(side));
                let best = pair.model.first(side).map(|index| pair.model.0[index].1);
                prop_assert_eq!(pair.book.best(side), best);
            }
            if let (Some(bid), Some(ask)) = (pair.book.best(Side::Buy), pair.book.best(Side::Sell)) {
                prop_assert!(bid < ask, "crossed: {} at or above {}", bid, ask);
            }
            prop_assert_eq!(pair.book.len(), pair.model.0.len());
        }
    }
}

#[test]
fn the_oldest_at_the_best_price_trades_first() {
    let mut book = Book::new();
    book.rest(Side::Sell, 101, 5, 0);
    book.rest(Side::Sell, 100, 5, 1);
    book.rest(Side::Sell, 100, 5, 2);
    let mut fills = Vec::new();
    assert_eq!(book.take(Side::Buy, Reach::to(101), 12, &mut fills), 0);
    let traded: Vec<_> =
        fills.iter().map(|fill| (fill.maker, fill.price, fill.quantity, fill.maker_leaves)).collect();
    assert_eq!(traded, [(1, 100, 5, 0), (2, 100, 5, 0), (0, 101, 2, 3)]);
    assert_eq!(book.best_queue(Side::Sell).collect::<Vec<_>>(), [(0, 3)]);
}

#[test]
fn a_partly_filled_order_keeps_its_place() {
    let mut book = Book::new();
    book.rest(Side::Buy, 100, 5, 0);
    book.rest(Side::Buy, 100, 5, 1);
    let mut fills = Vec::new();
    book.take(Side::Sell, Reach::ANY, 3, &mut fills);
    book.take(Side::Sell, Reach::ANY, 3, &mut fills);
    assert_eq!(fills.iter().map(|fill| fill.maker).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
#[should_panic(expected = "is of order")]
fn a_place_of_another_order_is_not_cancelled() {
    let mut book = Book::new();
    let place = book.rest(Side::Buy, 100, 5, 7);
    book.cancel(Side::Buy, place, 8);
}
