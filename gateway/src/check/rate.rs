//! Hot path: how fast requests come: token buckets of sessions and accounts, and the marks of high-frequency trading.
//!
//! Rules: no allocation, no lock, time as an argument.

use crate::check::rule::Rule;
use crate::orders::AccountKey;

const NS_PER_S: u64 = 1_000_000_000;

/// Requests that are granted: so many a second, and a second's worth at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Requests a second; 0: no bound.
    per_s: u32,
    /// Nanoseconds' worth of requests that are left.
    left_ns: u64,
    filled_ns: u64,
    /// Requests refused since the last one that was not.
    refused: u32,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_s: u32) -> Self {
        Self { per_s, left_ns: NS_PER_S, ..Self::default() }
    }

    /// Takes one request out; `false` when there is none left.
    #[inline]
    pub fn take(&mut self, now_ns: u64) -> bool {
        if self.per_s == 0 {
            return true;
        }
        let passed_ns = now_ns.saturating_sub(self.filled_ns);
        self.filled_ns = now_ns;
        self.left_ns = self.left_ns.saturating_add(passed_ns).min(NS_PER_S);
        let cost_ns = NS_PER_S / u64::from(self.per_s);
        let granted = self.left_ns >= cost_ns;
        if granted {
            self.left_ns -= cost_ns;
            self.refused = 0;
        } else {
            self.refused = self.refused.saturating_add(1);
        }
        granted
    }

    /// Requests refused since the last one that was not.
    pub fn refused(&self) -> u32 {
        self.refused
    }
}

/// What makes an account a high-frequency one: orders and cancels together. 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// In a second.
    pub per_second: u32,
    /// In a day.
    pub per_day: u32,
}

/// An account's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What the operator grants it.
    pub bucket: Bucket,
    second: u64,
    in_second: u32,
    /// Most requests in one second today.
    pub peak: u32,
    /// Requests that the cores answered today.
    pub today: u32,
    /// It reached the mark of a second, and that of a day.
    pub marked: [bool; 2],
}

/// Marks reached since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// By the second.
    pub second: u64,
    /// By the day.
    pub day: u64,
}

/// Marked accounts that are kept in a list, at most: what is shown of each must not grow without a bound.
pub const MARKED_MAX: usize = 1_000;

/// The most of any account today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busiest {
    /// Requests in one second.
    pub per_second: u32,
    /// Requests that the cores answered.
    pub today: u32,
}

/// All accounts' requests.
#[derive(Debug)]
pub struct Rates {
    accounts: Box<[Account]>,
    /// The marks in force.
    pub marks: Marks,
    /// Whether a request that would reach a mark is refused.
    pub refuse: bool,
    marked: Marked,
    /// The first accounts that were marked today.
    list: Vec<AccountKey>,
    busiest: Busiest,
}

impl Rates {
    /// Accounts have the keys 1 to `accounts`; each may send `per_s` requests a second.
    pub fn new(accounts: usize, per_s: u32, refuse: bool) -> Self {
        let account = Account { bucket: Bucket::new(per_s), ..Account::default() };
        let accounts = vec![account; accounts + 1].into();
        Self {
            accounts,
            marks: Marks::default(),
            refuse,
            marked: Marked::default(),
            list: Vec::with_capacity(MARKED_MAX),
            busiest: Busiest::default(),
        }
    }

    /// An account's requests.
    pub fn account(&self, account: AccountKey) -> Option<&Account> {
        self.accounts.get(account as usize)
    }

    /// Marks reached.
    pub fn marked(&self) -> Marked {
        self.marked
    }

    /// The accounts that were marked today, in the order of that; the first [`MARKED_MAX`].
    pub fn marked_accounts(&self) -> &[AccountKey] {
        &self.list
    }

    /// The most of any account today.
    pub fn busiest(&self) -> Busiest {
        self.busiest
    }

    /// Whether an account has a request left of those that it is granted.
    ///
    /// # Errors
    /// It has not.
    #[inline]
    pub fn throttle(&mut self, account: AccountKey, now_ns: u64) -> Result<(), Rule> {
        match self.accounts.get_mut(account as usize) {
            Some(account) => account.bucket.take(now_ns).then_some(()).ok_or(Rule::AccountThrottled),
            None => Ok(()),
        }
    }

    /// Whether one more order would make the account a high-frequency one, where that is refused. Seconds are those of
    /// the gateway's clock (?: the rule may mean any second).
    ///
    /// # Errors
    /// By which mark.
    #[inline]
    pub fn order(&self, account: AccountKey, now_ns: u64) -> Result<(), Rule> {
        if !self.refuse {
            return Ok(());
        }
        let Some(account) = self.accounts.get(account as usize) else { return Ok(()) };
        let Marks { per_second, per_day } = self.marks;
        let in_second = if account.second == now_ns / NS_PER_S { account.in_second } else { 0 };
        if per_second > 0 && in_second + 1 >= per_second {
            return Err(Rule::HighFrequencySecond);
        }
        if per_day > 0 && account.today + 1 >= per_day {
            return Err(Rule::HighFrequencyDay);
        }
        Ok(())
    }

    /// An order or a cancel was sent.
    #[inline]
    pub fn sent(&mut self, key: AccountKey, now_ns: u64) {
        let per_second = self.marks.per_second;
        let Some(account) = self.accounts.get_mut(key as usize) else { return };
        let second = now_ns / NS_PER_S;
        if account.second != second {
            account.second = second;
            account.in_second = 0;
        }
        account.in_second = account.in_second.saturating_add(1);
        account.peak = account.peak.max(account.in_second);
        self.busiest.per_second = self.busiest.per_second.max(account.in_second);
        if per_second > 0 && account.in_second >= per_second && !account.marked[0] {
            note(&mut self.list, key, account.marked);
            account.marked[0] = true;
            self.marked.second += 1;
        }
    }

    /// A core answered an order or a cancel of the account, through whichever gateway it came.
    #[inline]
    pub fn answered(&mut self, key: AccountKey) {
        let per_day = self.marks.per_day;
        let Some(account) = self.accounts.get_mut(key as usize) else { return };
        account.today = account.today.saturating_add(1);
        self.busiest.today = self.busiest.today.max(account.today);
        if per_day > 0 && account.today >= per_day && !account.marked[1] {
            note(&mut self.list, key, account.marked);
            account.marked[1] = true;
            self.marked.day += 1;
        }
    }

    /// A new day has begun.
    pub fn new_day(&mut self) {
        for account in &mut self.accounts {
            account.today = 0;
            account.peak = 0;
            account.marked = [false; 2];
        }
        self.list.clear();
        self.busiest = Busiest::default();
    }
}

/// Lists an account with its first mark, while there is room.
#[inline]
fn note(list: &mut Vec<AccountKey>, key: AccountKey, marked: [bool; 2]) {
    if marked == [false; 2] && list.len() < MARKED_MAX {
        list.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_bucket_grants_a_seconds_worth_and_then_the_rate() {
        let mut bucket = Bucket::new(10);
        let granted = (0..20).filter(|_| bucket.take(5 * MS)).count();
        assert_eq!((granted, bucket.refused()), (10, 10));
        assert!(!bucket.take(104 * MS));
        assert!(bucket.take(105 * MS), "a tenth of a second later there is one more");
        assert_eq!(bucket.refused(), 0);
        assert!(!bucket.take(105 * MS));
        assert_eq!((0..20).filter(|_| bucket.take(60_000 * MS)).count(), 10, "no more than a second's worth");
        let mut unbounded = Bucket::new(0);
        assert!((0..1_000_000).all(|_| unbounded.take(0)));
    }

    proptest! {
        #[test]
        fn no_span_has_more_than_the_rate_and_one_second(
            per_s in 1..2_000_u32,
            pauses_us in prop::collection::vec(0..20_000_u64, 1..400),
        ) {
            let mut bucket = Bucket::new(per_s);
            let (mut now_ns, mut granted) = (0, 0_u64);
            for pause_us in pauses_us {
                now_ns += pause_us * 1_000;
                granted += u64::from(bucket.take(now_ns));
                // A cost in whole nanoseconds is short of the true one by less than one each.
                let bound = (now_ns + NS_PER_S) / (NS_PER_S / u64::from(per_s));
                prop_assert!(granted <= bound, "{} of {}", granted, bound);
            }
        }
    }

    #[test]
    fn the_marks_are_reached_at_their_number() {
        let mut rates = Rates::new(1, 0, false);
        rates.marks = Marks { per_second: 3, per_day: 5 };
        for _ in 0..2 {
            rates.sent(1, 7 * NS_PER_S);
        }
        assert_eq!(rates.marked(), Marked::default());
        rates.sent(1, 8 * NS_PER_S);
        rates.sent(1, 8 * NS_PER_S);
        assert_eq!(rates.marked().second, 0, "another second");
        rates.sent(1, 9 * NS_PER_S - 1);
        assert_eq!((rates.marked().second, rates.account(1).unwrap().peak), (1, 3));
        rates.sent(1, 9 * NS_PER_S - 1);
        assert_eq!(rates.marked().second, 1, "once a day");
        (0..5).for_each(|_| rates.answered(1));
        assert_eq!(rates.marked().day, 1);
        assert_eq!(rates.marked_accounts(), [1], "once, though by both");
        assert_eq!(rates.busiest(), Busiest { per_second: 4, today: 5 });
        rates.new_day();
        assert_eq!((rates.marked_accounts(), rates.busiest()), (&[][..], Busiest::default()));
        assert_eq!(rates.account(1).unwrap().today, 0);
        assert_eq!(rates.order(1, 9 * NS_PER_S), Ok(()), "marked, not refused");
    }

    #[test]
    fn where_it_is_refused_no_account_becomes_high_frequency() {
        let mut rates = Rates::new(1, 0, true);
        rates.marks = Marks { per_second: 3, per_day: 5 };
        for _ in 0..2 {
            assert_eq!(rates.order(1, 0), Ok(()));
            rates.sent(1, 0);
        }
        assert_eq!(rates.order(1, 0), Err(Rule::HighFrequencySecond));
        assert_eq!(rates.order(1, NS_PER_S), Ok(()));
        (0..4).for_each(|_| rates.answered(1));
        assert_eq!(rates.order(1, NS_PER_S), Err(Rule::HighFrequencyDay));
        assert_eq!(rates.marked(), Marked::default());
    }

    #[test]
    fn no_more_marked_accounts_are_listed_than_there_is_room_for() {
        let count = MARKED_MAX as u32 + 10;
        let mut rates = Rates::new(count as usize, 0, false);
        rates.marks = Marks { per_second: 1, per_day: 0 };
        (1..=count).for_each(|account| rates.sent(account, 0));
        assert_eq!(rates.marked().second, u64::from(count), "all are counted");
        assert_eq!(rates.marked_accounts().len(), MARKED_MAX);
    }

    #[test]
    fn each_account_has_its_own_bucket() {
        let mut rates = Rates::new(2, 1, false);
        assert_eq!(rates.throttle(1, 0), Ok(()));
        assert_eq!(rates.throttle(1, 0), Err(Rule::AccountThrottled));
        assert_eq!(rates.throttle(2, 0), Ok(()));
    }
}
