//! Which numbers of a sequence arrived at one receiver: once, twice, late or never.

use std::collections::VecDeque;

/// Holes that are remembered one by one. The holes of a broken run are few and long; where there are more than this,
/// the oldest are counted and forgotten.
const HOLES_MAX: usize = 1_024;

/// The account of one sequence at one receiver. In order it is one comparison and two additions.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The number that comes next when nothing goes wrong.
    next: u64,
    received: u64,
    duplicated: u64,
    out_of_order: u64,
    /// Numbers missing below `next`, ascending: first and last of each hole.
    holes: VecDeque<(u64, u64)>,
    forgotten: u64,
}

/// What a [`Ledger`] comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Numbers that should have come.
    pub expected: u64,
    /// Different numbers that came.
    pub received: u64,
    /// Numbers that never came.
    pub lost: u64,
    /// Arrivals of a number that was there before.
    pub duplicated: u64,
    /// Numbers that came after a higher one.
    pub out_of_order: u64,
}

impl Tally {
    /// Everything came once and in order.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0
    }

    /// With so many more that should have come, and were not even sent.
    #[must_use]
    pub fn without(self, unsent: u64) -> Self {
        Self { expected: self.expected + unsent, lost: self.lost + unsent, ..self }
    }

    /// Both together.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            expected: self.expected + other.expected,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            out_of_order: self.out_of_order + other.out_of_order,
        }
    }
}

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one after a new hole.
    New,
    /// Missed before, and here now.
    Late,
    /// It was there before, or is older than where the receiver began.
    Duplicate,
}

impl Ledger {
    /// For a receiver that should get `first` and everything after it.
    #[must_use]
    pub fn from(first: u64) -> Self {
        Self {
            next: first,
            received: 0,
            duplicated: 0,
            out_of_order: 0,
            holes: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// A number arrived.
    #[inline]
    pub fn arrived(&mut self, number: u64) -> Arrival {
        if number == self.next {
            self.next += 1;
            self.received += 1;
            return Arrival::New;
        }
        self.arrived_otherwise(number)
    }

    #[cold]
    fn arrived_otherwise(&mut self, number: u64) -> Arrival {
        if number > self.next {
            self.open_hole((self.next, number - 1));
            self.next = number + 1;
            self.received += 1;
            return Arrival::New;
        }
        if self.fill(number) {
            self.received += 1;
            self.out_of_order += 1;
            Arrival::Late
        } else {
            self.duplicated += 1;
            Arrival::Duplicate
        }
    }

    fn open_hole(&mut self, hole: (u64, u64)) {
        if self.holes.len() == HOLES_MAX
            && let Some((first, last)) = self.holes.pop_front()
        {
            self.forgotten += last - first + 1;
        }
        self.holes.push_back(hole);
    }

    /// Takes a number out of the hole it is in.
    fn fill(&mut self, number: u64) -> bool {
        let at = self.holes.partition_point(|&(_, last)| last < number);
        let Some(&(first, last)) = self.holes.get(at) else { return false };
        if number < first {
            return false;
        }
        match (number == first, number == last) {
            (true, true) => drop(self.holes.remove(at)),
            (true, false) => self.holes[at].0 = number + 1,
            (false, true) => self.holes[at].1 = number - 1,
            (false, false) => {
                self.holes[at].1 = number - 1;
                self.holes.insert(at + 1, (number + 1, last));
            }
        }
        true
    }

    /// The highest number that arrived, 0 for none where the first is 1.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Numbers missing below the highest, as far as is known now.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.forgotten + self.holes.iter().map(|(first, last)| last - first + 1).sum::<u64>()
    }

    /// The account if the sequence ends at `last`.
    #[must_use]
    pub fn tally(&self, last: u64) -> Tally {
        let lost = self.missing() + (last + 1).saturating_sub(self.next);
        Tally {
            expected: self.received + lost,
            received: self.received,
            lost,
            duplicated: self.duplicated,
            out_of_order: self.out_of_order,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn account(first: u64, last: u64, numbers: &[u64]) -> Tally {
        let mut ledger = Ledger::from(first);
        for &number in numbers {
            ledger.arrived(number);
        }
        ledger.tally(last)
    }

    #[test]
    fn in_order_is_clean() {
        let tally = account(1, 3, &[1, 2, 3]);
        assert!(tally.is_clean());
        assert_eq!((tally.expected, tally.received), (3, 3));
    }

    #[test]
    fn tells_lost_late_and_twice_apart() {
        let tally = account(1, 9, &[1, 2, 5, 4, 5, 7, 6, 4, 8]);
        assert_eq!(tally, Tally { expected: 9, received: 7, lost: 2, duplicated: 2, out_of_order: 2 });
    }

    #[test]
    fn what_was_not_sent_is_lost() {
        let tally = account(1, 3, &[1, 2, 3]).without(2);
        assert_eq!(tally, Tally { expected: 5, received: 3, lost: 2, ..Tally::default() });
        assert!(!tally.is_clean());
    }

    #[test]
    fn a_hole_in_the_middle_is_split() {
        let mut ledger = Ledger::from(1);
        ledger.arrived(10);
        assert_eq!(ledger.arrived(5), Arrival::Late);
        assert_eq!(ledger.arrived(5), Arrival::Duplicate);
        assert_eq!((ledger.missing(), ledger.highest()), (8, 10));
        assert_eq!(Ledger::from(7).arrived(6), Arrival::Duplicate, "older than where it began");
    }

    #[test]
    fn memory_is_bounded_and_the_count_still_right() {
        let mut ledger = Ledger::from(1);
        let holes = 3 * HOLES_MAX as u64;
        for step in 1..=holes {
            ledger.arrived(step * 2);
        }
        assert_eq!(ledger.tally(holes * 2).lost, holes);
        assert!(ledger.holes.len() <= HOLES_MAX);
        assert_eq!(ledger.arrived(1), Arrival::Duplicate, "forgotten, so no longer known to be missing");
        assert_eq!(ledger.arrived(holes * 2 - 1), Arrival::Late);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(numbers in proptest::collection::vec(1_u64..60, 0..200)) {
            let tally = account(1, 60, &numbers);
            let (mut seen, mut highest, mut late) = (HashSet::new(), 0, 0);
            for &number in &numbers {
                late += u64::from(seen.insert(number) && number < highest);
                highest = highest.max(number);
            }
            let received = seen.len() as u64;
            prop_assert_eq!(tally, Tally {
                expected: 60,
                received,
                lost: 60 - received,
                duplicated: numbers.len() as u64 - received,
                out_of_order: late,
            });
        }
    }
}
