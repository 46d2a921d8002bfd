//! What became of each order of a sender: one byte an order.

use crate::ledger::Tally;
use crate::schedule::Share;

const SENT: u8 = 1;
const ACCEPTED: u8 = 2;
const REJECTED: u8 = 4;
const FILLED: u8 = 8;

/// What a report was to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The first of its kind for this order.
    First,
    /// It was there before.
    Again,
    /// No order of this sender.
    Unknown,
}

fn is_unanswered(state: u8) -> bool {
    state & SENT != 0 && state & (ACCEPTED | REJECTED) == 0
}

/// The orders of one sender's share.
#[derive(Clone, Debug)]
pub struct Orders {
    share: Share,
    states: Vec<u8>,
    /// Orders sent.
    pub sent: u64,
    /// Orders accepted.
    pub accepted: u64,
    /// Orders refused, by the core or before it.
    pub rejected: u64,
    /// Orders filled.
    pub filled: u64,
    /// Reports that were there before.
    pub again: u64,
    /// Reports that came before one with a lower ReportIndex of the same partition.
    pub out_of_order: u64,
}

impl Orders {
    /// For the share of a schedule of `count` orders.
    #[must_use]
    pub fn new(share: Share, count: u64) -> Self {
        let states = vec![0; share.part(count) as usize];
        Self { share, states, sent: 0, accepted: 0, rejected: 0, filled: 0, again: 0, out_of_order: 0 }
    }

    #[inline]
    fn place(&self, order: u64) -> Option<usize> {
        let ahead = order.checked_sub(self.share.which)?;
        ahead.is_multiple_of(self.share.of).then_some((ahead / self.share.of) as usize)
    }

    #[inline]
    fn state(&mut self, order: u64) -> Option<&mut u8> {
        let place = self.place(order)?;
        self.states.get_mut(place)
    }

    /// An order went out.
    #[inline]
    pub fn sent(&mut self, order: u64) {
        if let Some(state) = self.state(order) {
            *state |= SENT;
            self.sent += 1;
        }
    }

    /// The core took it.
    #[inline]
    pub fn accepted(&mut self, order: u64) -> News {
        let news = self.mark(order, ACCEPTED);
        self.accepted += u64::from(news == News::First);
        news
    }

    /// It was refused.
    pub fn rejected(&mut self, order: u64) -> News {
        let news = self.mark(order, REJECTED);
        self.rejected += u64::from(news == News::First);
        news
    }

    /// All of it is traded.
    #[inline]
    pub fn filled(&mut self, order: u64) -> News {
        let news = self.mark(order, FILLED);
        self.filled += u64::from(news == News::First);
        news
    }

    /// Whether the core took it.
    #[must_use]
    pub fn is_accepted(&self, order: u64) -> bool {
        self.place(order).and_then(|place| self.states.get(place)).is_some_and(|state| state & ACCEPTED != 0)
    }

    fn mark(&mut self, order: u64, what: u8) -> News {
        let Some(state) = self.state(order).filter(|state| **state & SENT != 0) else { return News::Unknown };
        if *state & what != 0 {
            self.again += 1;
            return News::Again;
        }
        *state |= what;
        News::First
    }

    /// Orders that no answer came to.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.states.iter().filter(|state| is_unanswered(**state)).count() as u64
    }

    /// Orders that no answer came to of one session, where `sessions` (of all senders together) take turns.
    #[must_use]
    pub fn unanswered_by(&self, session: u64, sessions: u64) -> u64 {
        let Some(first) = self.place(session) else { return 0 };
        let step = (sessions / self.share.of).max(1) as usize;
        self.states.iter().skip(first).step_by(step).filter(|state| is_unanswered(**state)).count() as u64
    }

    /// Which of the accepted orders were not filled.
    pub fn unfilled(&self) -> impl Iterator<Item = u64> + '_ {
        let orders = self.states.iter().enumerate();
        let unfilled = orders.filter(|(_, state)| *state & ACCEPTED != 0 && *state & FILLED == 0);
        unfilled.map(|(index, _)| self.share.message(index as u64))
    }

    /// Which of the orders sent were refused or not answered: their pair cannot be filled.
    pub fn failed(&self) -> impl Iterator<Item = u64> + '_ {
        let failed = |state: &u8| state & SENT == 0 || state & ACCEPTED == 0;
        let orders = self.states.iter().enumerate().filter(move |(_, state)| failed(state));
        orders.map(|(index, _)| self.share.message(index as u64))
    }

    /// The account, where `unfillable` of the accepted orders had nobody to trade with: an answer to every order, and
    /// a fill of every other; and how many of these are open. Where the sender is not `alone` in the books, orders of others may have met
    /// its own: what is not filled is open, and only what is not answered is lost.
    #[must_use]
    pub fn tally(&self, unfillable: u64, alone: bool) -> (Tally, u64) {
        let fills = self.accepted.saturating_sub(unfillable);
        let unfilled = fills.saturating_sub(self.filled);
        let open = if alone { 0 } else { unfilled };
        let tally = Tally {
            expected: self.sent + fills - open,
            received: self.accepted + self.rejected + self.filled,
            lost: self.unanswered() + unfilled - open,
            duplicated: self.again,
            out_of_order: self.out_of_order,
        };
        (tally, open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_answered_and_filled_once() {
        let mut orders = Orders::new(Share { which: 1, of: 2 }, 8);
        for order in [1, 3, 5] {
            orders.sent(order);
        }
        assert_eq!(
            [orders.accepted(1), orders.accepted(1), orders.accepted(2)],
            [News::First, News::Again, News::Unknown]
        );
        assert_eq!([orders.accepted(7), orders.accepted(99)], [News::Unknown, News::Unknown], "not sent");
        assert_eq!((orders.rejected(3), orders.filled(1)), (News::First, News::First));
        assert_eq!(orders.unanswered(), 1);
        assert_eq!(orders.failed().collect::<Vec<_>>(), [3, 5, 7]);
        let (tally, open) = orders.tally(0, true);
        assert_eq!(tally, Tally { expected: 4, received: 3, lost: 1, duplicated: 1, out_of_order: 0 });
        assert_eq!(open, 0);
    }

    #[test]
    fn what_a_session_has_no_answer_to_is_told_of_it_alone() {
        // Six sessions on two threads: of this one are 1, 3 and 5, whose orders are 1, 7, 13 and so on.
        let mut orders = Orders::new(Share { which: 1, of: 2 }, 20);
        for order in [1, 3, 7, 9, 13] {
            orders.sent(order);
        }
        orders.accepted(1);
        orders.rejected(13);
        assert_eq!([1, 3, 5].map(|session| orders.unanswered_by(session, 6)), [1, 2, 0]);
        assert_eq!(orders.unanswered_by(2, 6), 0, "a session of another thread");
        assert_eq!(orders.unfilled().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn an_order_without_a_partner_is_not_expected_to_fill() {
        let mut orders = Orders::new(Share::ALL, 2);
        orders.sent(0);
        orders.sent(1);
        orders.accepted(0);
        orders.rejected(1);
        assert_eq!(orders.tally(0, true).0.lost, 1);
        assert!(orders.tally(1, true).0.is_clean());
    }

    #[test]
    fn where_others_trade_too_what_is_not_filled_is_open_and_not_lost() {
        let mut orders = Orders::new(Share::ALL, 4);
        for order in 0..4 {
            orders.sent(order);
        }
        for order in 0..3 {
            orders.accepted(order);
        }
        orders.filled(0);
        let (tally, open) = orders.tally(1, false);
        assert_eq!((tally.lost, open), (1, 1), "the fourth was not answered, the second not filled");
        assert_eq!((tally.expected, tally.received), (5, 4));
        assert_eq!(orders.tally(1, true).0.lost, 2);
    }
}
