//! Connections of each account, counted over all threads of the feed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// How many connections each account has. The lock is taken at logons alone.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: Mutex<HashMap<Arc<str>, Arc<AtomicU32>>>,
}

impl Seats {
    /// One more connection of an account, if it has fewer than `count_max`.
    pub(crate) fn take(&self, account: &Arc<str>, count_max: u32) -> Option<Seat> {
        let mut taken = self.taken.lock().expect("no holder of this lock panics");
        // Accounts come and go with the rights; those without a connection are not remembered.
        if !taken.contains_key(account) {
            taken.retain(|_, count| count.load(Ordering::Relaxed) > 0);
        }
        let count = taken.entry(account.clone()).or_default();
        if count.load(Ordering::Relaxed) >= count_max {
            return None;
        }
        // Only under the lock does the count go up, so it never passes the bound.
        count.fetch_add(1, Ordering::Relaxed);
        Some(Seat { count: count.clone(), given_back: false })
    }
}

/// One connection of an account; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    count: Arc<AtomicU32>,
    given_back: bool,
}

impl Seat {
    /// Gives the seat back if the account has more than `count_max`; exactly as many do as are too many, on whichever
    /// threads.
    pub(crate) fn give_back_beyond(&mut self, count_max: u32) -> bool {
        if self.given_back {
            return true;
        }
        let fewer = |count: u32| (count > count_max).then(|| count - 1);
        self.given_back = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok();
        self.given_back
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.given_back {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_given_back_and_forgotten() {
        let seats = Seats::default();
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let first = seats.take(&one, 2).unwrap();
        let second = seats.take(&one, 2).unwrap();
        assert!(seats.take(&one, 2).is_none());
        let (mut first, mut second) = (first, second);
        assert!(!first.give_back_beyond(2));
        assert!(second.give_back_beyond(1) && !first.give_back_beyond(1), "one is too many");
        drop(second);
        assert!(seats.take(&one, 2).is_some());
        drop(first);
        assert!(seats.take(&other, 1).is_some());
        assert_eq!(seats.taken.lock().unwrap().len(), 1, "who has no connection is not remembered");
    }
}
