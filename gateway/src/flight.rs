//! Hot path: what was sent to a core and not answered yet, in the order in which it was sent, with its bytes: when its line
//! dies, it is sent again over the other one.
//!
//! Rules: no allocation after start; bounded: when it is full nothing more is sent ([`Flight::is_full`]). One copy of a
//! request's bytes.

use crate::index::{Index, Seed};
use crate::orders::AccountKey;
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Text, frame};

/// The longest request, whole.
const FRAME_BYTES_MAX: usize = size_of::<NewOrder>() + frame::OVERHEAD;
const _: () = assert!(size_of::<OrderCancelRequest>() <= size_of::<NewOrder>());

/// No entry.
const NONE: u32 = u32::MAX;

/// What is asked of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new order.
    Order,
    /// A cancel.
    Cancel,
}

/// Which request: no two with the same are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it asks.
    pub kind: Kind,
    /// Whose it is.
    pub account: AccountKey,
    /// The request's own ClOrdID.
    pub cl_ord_id: Text<10>,
    /// Of a cancel, the ClOrdID of the order that it means: one name may be given to the cancels of several.
    pub of: Text<10>,
}

impl Identity {
    /// An order's.
    pub fn order(account: AccountKey, cl_ord_id: Text<10>) -> Self {
        Self { kind: Kind::Order, account, cl_ord_id, of: Text::BLANK }
    }

    /// That of a cancel of the order `of`.
    pub fn cancel(account: AccountKey, cl_ord_id: Text<10>, of: Text<10>) -> Self {
        Self { kind: Kind::Cancel, account, cl_ord_id, of }
    }

    /// What is hashed: two identities may share it.
    fn key(self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..10].copy_from_slice(self.cl_ord_id.as_bytes());
        key[5..15].iter_mut().zip(self.of.as_bytes()).for_each(|(byte, of)| *byte ^= of.rotate_left(3));
        key[11] ^= self.kind as u8;
        key[12..].copy_from_slice(&self.account.to_le_bytes());
        key
    }
}

/// One life of a line, from its connection to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Which line of the core.
    pub line: u8,
    /// How often it had ended before.
    pub ended: u32,
}

/// A frame's place on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Over what it was sent.
    pub life: Life,
    /// Which of the frames that were sent in that life it is, from 1, the session's own among them: what a core's RefSeqNum
    /// says. 0 while it waits to be sent.
    pub number: u64,
}

/// A request under way.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Which.
    pub identity: Identity,
    /// Over what it was sent last.
    pub over: Over,
    /// When it was sent first.
    pub sent_ns: u64,
    /// It is not sent again: if the core has not reported it by then, it has not taken it.
    pub settles_ns: Option<u64>,
    /// It was sent more than once: the core may answer each.
    pub resent: bool,
    bytes: [u8; FRAME_BYTES_MAX],
    len: u8,
    before: u32,
    behind: u32,
}

impl Over {
    fn key(self) -> [u8; 16] {
        let Self { life: Life { line, ended }, number } = self;
        (u128::from(number) | u128::from(ended) << 64 | u128::from(line) << 96).to_le_bytes()
    }
}

impl Entry {
    /// The request's frame.
    pub fn frame(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What becomes of an entry that [`Flight::review`] shows.
pub enum Next {
    /// It is still under way.
    Stays,
    /// It is dealt with.
    Ends,
}

/// Whose the requests under way of one name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// There is none.
    Nobodys,
    /// Those of one account: the oldest.
    Of(Identity),
    /// Those of several accounts.
    Several,
}

/// Cancels that were sent more than once and have their answer: what the core says of the other copies is no news.
struct Repeated {
    list: Vec<Option<Identity>>,
    count_max: usize,
    oldest: usize,
    by_identity: Index,
}

/// Cancels of which that is known, at most.
const REPEATED_MAX: u32 = 16_384;

impl Repeated {
    fn new(count_max: u32) -> Self {
        let list = Vec::with_capacity(count_max as usize);
        Self { list, count_max: count_max as usize, oldest: 0, by_identity: Index::new(count_max) }
    }

    #[inline]
    fn find(&self, hash: u32, identity: Identity) -> Option<u32> {
        self.by_identity.find(hash, |place| self.list[place as usize] == Some(identity))
    }

    #[cold]
    fn add(&mut self, seed: Seed, identity: Identity) {
        let hash = seed.hash(identity.key());
        if self.find(hash, identity).is_some() {
            return;
        }
        let place = if self.list.len() < self.count_max {
            self.list.push(None);
            self.list.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % self.count_max;
            if let Some(gone) = self.list[place].take() {
                self.by_identity.remove(seed.hash(gone.key()), place as u32);
            }
            place
        };
        self.list[place] = Some(identity);
        self.by_identity.insert(hash, place as u32);
    }

    #[inline]
    fn forget(&mut self, hash: u32, identity: Identity) {
        if let Some(place) = self.find(hash, identity) {
            self.by_identity.remove(hash, place);
            self.list[place as usize] = None;
        }
    }
}

/// The requests under way to one core.
pub struct Flight {
    entries: Vec<Entry>,
    /// Places of `entries` to be taken again.
    free: Vec<u32>,
    count_max: usize,
    by_identity: Index,
    /// Those that have a number, by it and their line.
    by_number: Index,
    seed: Seed,
    first: u32,
    last: u32,
    /// How many there are of each account.
    of_account: Vec<u32>,
    /// No entry settles before this; `u64::MAX` where none does at all.
    settles_next_ns: u64,
    repeated: Repeated,
}

impl Flight {
    /// Room for `count_max` requests, about 250 bytes each, of `accounts` accounts.
    pub fn new(count_max: u32, accounts: usize) -> Self {
        let count_max = count_max.clamp(1, 1 << 24);
        Self {
            entries: Vec::with_capacity(count_max as usize),
            free: Vec::with_capacity(count_max as usize),
            count_max: count_max as usize,
            by_identity: Index::new(count_max),
            by_number: Index::new(count_max),
            seed: Seed::random(),
            first: NONE,
            last: NONE,
            of_account: vec![0; accounts + 1],
            settles_next_ns: u64::MAX,
            repeated: Repeated::new(count_max.min(REPEATED_MAX)),
        }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no more fit.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len() == self.count_max
    }

    /// How many of an account are under way.
    #[inline]
    pub fn of_account(&self, account: AccountKey) -> u32 {
        self.of_account[account as usize]
    }

    /// Whether this request is under way.
    #[inline]
    pub fn holds(&self, identity: Identity) -> bool {
        self.find(identity).is_some()
    }

    #[inline]
    fn find(&self, identity: Identity) -> Option<(u32, u32)> {
        let hash = self.seed.hash(identity.key());
        let place = self.by_identity.find(hash, |place| self.entries[place as usize].identity == identity)?;
        Some((hash, place))
    }

    /// A request is on its way. `frame` is the whole of it.
    ///
    /// # Panics
    /// If it is full, or holds this request: [`Self::is_full`] and [`Self::holds`] are asked first.
    #[inline]
    pub fn sent(&mut self, identity: Identity, over: Over, now_ns: u64, frame: &[u8]) {
        assert!(!self.is_full() && !self.holds(identity), "asked before");
        let mut bytes = [0; FRAME_BYTES_MAX];
        bytes[..frame.len()].copy_from_slice(frame);
        let len = frame.len() as u8;
        let (before, behind) = (self.last, NONE);
        let (settles_ns, resent) = (None, false);
        let entry = Entry { identity, over, sent_ns: now_ns, settles_ns, resent, bytes, len, before, behind };
        let place = if let Some(place) = self.free.pop() {
            self.entries[place as usize] = entry;
            place
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        };
        match self.last {
            NONE => self.first = place,
            last => self.entries[last as usize].behind = place,
        }
        self.last = place;
        let hash = self.seed.hash(identity.key());
        self.by_identity.insert(hash, place);
        self.number(place, over);
        if identity.kind == Kind::Cancel {
            self.repeated.forget(hash, identity);
        }
        self.of_account[identity.account as usize] += 1;
    }

    /// A request that waited has gone out; one that is no longer under way, or goes over another line by now, is left as it is.
    #[inline]
    pub fn went_out(&mut self, identity: Identity, over: Over) {
        let Some((_, place)) = self.find(identity) else { return };
        let before = self.entries[place as usize].over;
        if before.life == over.life {
            self.unnumber(place, before);
            self.entries[place as usize].over = over;
            self.number(place, over);
        }
    }

    #[inline]
    fn number(&mut self, place: u32, over: Over) {
        if over.number != 0 {
            self.by_number.insert(self.seed.hash(over.key()), place);
        }
    }

    #[inline]
    fn unnumber(&mut self, place: u32, over: Over) {
        if over.number != 0 {
            self.by_number.remove(self.seed.hash(over.key()), place);
        }
    }

    /// What was sent there, if it is under way.
    pub fn sent_there(&self, over: Over) -> Option<Identity> {
        let hash = self.seed.hash(over.key());
        let place = self.by_number.find(hash, |place| self.entries[place as usize].over == over)?;
        Some(self.entries[place as usize].identity)
    }

    /// The core has refused this request without a report.
    pub fn end(&mut self, identity: Identity) {
        if let Some((hash, place)) = self.find(identity) {
            self.remove(hash, place);
        }
    }

    /// The core has answered a request; whether it was under way.
    #[inline]
    pub fn answered(&mut self, identity: Identity) -> bool {
        let found = self.find(identity);
        if let Some((hash, place)) = found {
            if self.entries[place as usize].resent && identity.kind == Kind::Cancel {
                self.repeated.add(self.seed, identity);
            }
            self.remove(hash, place);
        }
        found.is_some()
    }

    /// Whether this cancel was sent more than once and has its answer: another one is about another copy.
    #[inline]
    pub fn repeats(&self, identity: Identity) -> bool {
        self.repeated.find(self.seed.hash(identity.key()), identity).is_some()
    }

    /// The core has refused a request of this name without a report, in which it says neither whose it was nor, of a cancel,
    /// what it was of, nor which number it had. Where only one account has such a request, the oldest of it ends.
    #[cold]
    pub fn refused(&mut self, kind: Kind, cl_ord_id: Text<10>) -> Named {
        let (named, place) = self.oldest_named(kind, cl_ord_id);
        if let (Named::Of(_), Some(place)) = (named, place) {
            let hash = self.seed.hash(self.entries[place as usize].identity.key());
            self.remove(hash, place);
        }
        named
    }

    fn oldest_named(&self, kind: Kind, cl_ord_id: Text<10>) -> (Named, Option<u32>) {
        let (mut named, mut oldest, mut place) = (Named::Nobodys, None, self.first);
        while place != NONE {
            let Entry { identity, behind, .. } = &self.entries[place as usize];
            if (identity.kind, identity.cl_ord_id) == (kind, cl_ord_id) {
                match named {
                    Named::Of(first) if first.account != identity.account => return (Named::Several, oldest),
                    Named::Nobodys => (named, oldest) = (Named::Of(*identity), Some(place)),
                    _ => {}
                }
            }
            place = *behind;
        }
        (named, oldest)
    }

    /// When this request was sent first, if it is under way.
    #[inline]
    pub fn sent_ns(&self, identity: Identity) -> Option<u64> {
        self.find(identity).map(|(_, place)| self.entries[place as usize].sent_ns)
    }

    /// Whether this request is under way and was sent more than once.
    pub fn was_resent(&self, identity: Identity) -> bool {
        self.find(identity).is_some_and(|(_, place)| self.entries[place as usize].resent)
    }

    /// The core has refused one of the requests of this name, and nobody can say which: those that it has not reported by
    /// then it has not taken.
    #[cold]
    pub fn settle_named(&mut self, kind: Kind, cl_ord_id: Text<10>, settles_ns: u64) {
        self.review(|entry| {
            if (entry.identity.kind, entry.identity.cl_ord_id) == (kind, cl_ord_id) {
                entry.settles_ns.get_or_insert(settles_ns);
            }
            Next::Stays
        });
    }

    /// When an entry settles next, or earlier; `u64::MAX` where none does.
    #[inline]
    pub fn settles_next_ns(&self) -> u64 {
        self.settles_next_ns
    }

    /// When the oldest was sent first.
    pub fn oldest_ns(&self) -> Option<u64> {
        (self.first != NONE).then(|| self.entries[self.first as usize].sent_ns)
    }

    fn remove(&mut self, hash: u32, place: u32) {
        let Entry { before, behind, identity, over, .. } = self.entries[place as usize];
        self.unnumber(place, over);
        match before {
            NONE => self.first = behind,
            before => self.entries[before as usize].behind = behind,
        }
        match behind {
            NONE => self.last = before,
            behind => self.entries[behind as usize].before = before,
        }
        self.by_identity.remove(hash, place);
        self.free.push(place);
        self.of_account[identity.account as usize] -= 1;
    }

    /// Shows all of them, in the order in which they were sent first.
    #[cold]
    pub fn review(&mut self, mut look: impl FnMut(&mut Entry) -> Next) {
        let (mut place, mut settles_next_ns) = (self.first, u64::MAX);
        while place != NONE {
            let entry = &mut self.entries[place as usize];
            let (behind, identity, before) = (entry.behind, entry.identity, entry.over);
            let next = look(entry);
            let (over, settles_ns) = (entry.over, entry.settles_ns.unwrap_or(u64::MAX));
            if over != before {
                self.unnumber(place, before);
                self.number(place, over);
            }
            match next {
                Next::Ends => self.remove(self.seed.hash(identity.key()), place),
                Next::Stays => settles_next_ns = settles_next_ns.min(settles_ns),
            }
            place = behind;
        }
        self.settles_next_ns = settles_next_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIFE: Life = Life { line: 0, ended: 0 };
    const OVER: Over = Over { life: LIFE, number: 0 };

    fn identity(number: u32) -> Identity {
        let kind = if number.is_multiple_of(2) { Kind::Order } else { Kind::Cancel };
        let of = if kind == Kind::Cancel { "9".parse().unwrap() } else { Text::BLANK };
        Identity { kind, account: 1 + number % 3, cl_ord_id: number.to_string().parse().unwrap(), of }
    }

    fn held(flight: &mut Flight) -> Vec<Identity> {
        let mut all = Vec::new();
        flight.review(|entry| {
            all.push(entry.identity);
            Next::Stays
        });
        all
    }

    #[test]
    fn an_order_and_a_cancel_of_one_name_are_two() {
        let mut flight = Flight::new(4, 3);
        let order = Identity { kind: Kind::Order, ..identity(1) };
        flight.sent(order, OVER, 5, b"order");
        assert!(!flight.holds(Identity { kind: Kind::Cancel, ..order }));
        let cancel = |of: &str| Identity::cancel(1, "m".parse().unwrap(), of.parse().unwrap());
        flight.sent(cancel("a"), OVER, 5, b"cancel");
        assert!(!flight.holds(cancel("b")), "the cancel of another");
        flight.sent(cancel("b"), OVER, 5, b"cancel");
        assert_eq!(flight.refused(Kind::Cancel, "m".parse().unwrap()), Named::Of(cancel("a")));
        assert!(flight.answered(cancel("b")) && !flight.answered(cancel("a")));
        assert!(!flight.answered(Identity { account: 3, ..order }), "another's");
        assert!(flight.answered(order));
        assert!(!flight.answered(order), "once");
        assert_eq!((flight.len(), flight.of_account(order.account)), (0, 0));
    }

    #[test]
    fn what_is_said_of_the_other_copies_of_a_cancel_is_known_for_what_it_is() {
        let mut flight = Flight::new(4, 3);
        let cancel = |name: u32| Identity::cancel(1, name.to_string().parse().unwrap(), "x".parse().unwrap());
        let send_twice = |flight: &mut Flight, identity| {
            flight.sent(identity, OVER, 5, b"cancel");
            flight.review(|entry| {
                entry.resent = true;
                Next::Stays
            });
        };
        flight.sent(cancel(1), OVER, 5, b"cancel");
        assert!(flight.answered(cancel(1)) && !flight.repeats(cancel(1)), "sent once");
        send_twice(&mut flight, cancel(2));
        assert!(!flight.repeats(cancel(2)), "not answered yet");
        assert!(flight.answered(cancel(2)) && flight.repeats(cancel(2)) && flight.repeats(cancel(2)));
        assert!(!flight.repeats(Identity { of: "y".parse().unwrap(), ..cancel(2) }), "that of another order");
        // Its client sends it anew: the answer to that one is news.
        flight.sent(cancel(2), OVER, 5, b"cancel");
        assert!(!flight.repeats(cancel(2)));
        assert!(flight.answered(cancel(2)));
        // As many as may be under way are remembered, the last ones.
        for name in 10..20 {
            send_twice(&mut flight, cancel(name));
            assert!(flight.answered(cancel(name)));
        }
        let known: Vec<u32> = (0..20).filter(|name| flight.repeats(cancel(*name))).collect();
        assert_eq!(known, [16, 17, 18, 19]);
    }

    #[test]
    fn whose_a_name_is_and_when_something_settles_is_known() {
        let mut flight = Flight::new(8, 3);
        let order = |account, name: &str| Identity::order(account, name.parse().unwrap());
        assert_eq!((flight.oldest_ns(), flight.settles_next_ns()), (None, u64::MAX));
        for (account, name, sent_ns) in [(1, "a", 5), (2, "b", 6), (2, "a", 7)] {
            flight.sent(order(account, name), OVER, sent_ns, b"order");
        }
        let name = |name: &str| name.parse().unwrap();
        assert_eq!(flight.oldest_named(Kind::Order, name("b")).0, Named::Of(order(2, "b")));
        assert_eq!(flight.oldest_named(Kind::Order, name("a")).0, Named::Several);
        assert_eq!(flight.oldest_named(Kind::Cancel, name("a")).0, Named::Nobodys);
        assert_eq!(flight.oldest_ns(), Some(5));
        flight.settle_named(Kind::Order, name("a"), 100);
        flight.settle_named(Kind::Order, name("a"), 200);
        assert_eq!(flight.settles_next_ns(), 100, "the first word counts");
        assert!(flight.answered(order(1, "a")));
        assert_eq!(
            (flight.oldest_ns(), flight.oldest_named(Kind::Order, name("a")).0),
            (Some(6), Named::Of(order(2, "a")))
        );
        flight.review(|entry| if entry.settles_ns.is_some() { Next::Ends } else { Next::Stays });
        assert_eq!((flight.len(), flight.settles_next_ns()), (1, u64::MAX));
    }

    #[test]
    fn what_was_sent_under_a_number_is_found_while_it_is_under_way() {
        let mut flight = Flight::new(4, 3);
        let over = |line, number| Over { life: Life { line, ended: 0 }, number };
        let order = |name: &str| Identity::order(1, name.parse().unwrap());
        flight.sent(order("a"), over(0, 2), 5, b"order");
        flight.sent(order("b"), over(1, 2), 5, b"order");
        flight.sent(order("c"), over(0, 0), 5, b"order");
        let at = |flight: &Flight, line, number| flight.sent_there(over(line, number));
        assert_eq!(
            [at(&flight, 0, 2), at(&flight, 1, 2), at(&flight, 0, 0)],
            [Some(order("a")), Some(order("b")), None]
        );
        let later = Over { life: Life { line: 0, ended: 1 }, number: 2 };
        assert_eq!(flight.sent_there(later), None, "another life of the line");
        // What was held goes out; what has left for the other line meanwhile is not there any more.
        flight.went_out(order("c"), over(0, 3));
        assert_eq!(at(&flight, 0, 3), Some(order("c")));
        flight.review(|entry| {
            if entry.identity == order("a") {
                entry.over = over(1, 7);
            }
            Next::Stays
        });
        flight.went_out(order("a"), over(0, 4));
        assert_eq!([at(&flight, 0, 2), at(&flight, 0, 4), at(&flight, 1, 7)], [None, None, Some(order("a"))]);
        // Held once more behind a copy of it that has gone.
        flight.went_out(order("c"), over(0, 5));
        assert_eq!([at(&flight, 0, 3), at(&flight, 0, 5)], [None, Some(order("c"))]);
        assert!(flight.answered(order("b")));
        flight.end(order("a"));
        flight.review(|_| Next::Ends);
        assert_eq!([at(&flight, 1, 2), at(&flight, 1, 7), at(&flight, 0, 5)], [None; 3]);
        assert!(flight.is_empty());
    }

    proptest! {
        #[test]
        fn it_keeps_the_order_of_sending(steps in prop::collection::vec((0_u32..24, any::<bool>()), 0..300)) {
            let mut flight = Flight::new(16, 3);
            let mut model: Vec<Identity> = Vec::new();
            for (number, send) in steps {
                let identity = identity(number);
                let at = model.iter().position(|other| *other == identity);
                prop_assert_eq!(flight.holds(identity), at.is_some());
                if send && at.is_none() && !flight.is_full() {
                    flight.sent(identity, OVER, 0, &number.to_be_bytes());
                    model.push(identity);
                } else if !send {
                    prop_assert_eq!(flight.answered(identity), at.is_some());
                    at.map(|at| model.remove(at));
                }
                prop_assert_eq!(flight.len(), model.len());
                prop_assert_eq!(flight.is_full(), model.len() == 16);
            }
            for account in 1..=3 {
                let count = model.iter().filter(|identity| identity.account == account).count();
                prop_assert_eq!(flight.of_account(account) as usize, count);
            }
            prop_assert_eq!(held(&mut flight), model.clone());
            flight.review(|entry| if entry.identity.kind == Kind::Order { Next::Ends } else { Next::Stays });
            model.retain(|identity| identity.kind == Kind::Cancel);
            prop_assert_eq!(held(&mut flight), model);
        }
    }
}
