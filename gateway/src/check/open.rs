//! Hot path: the orders that are open: what may trade with a new one of the same account, and what is to be cancelled when
//! a session is gone (`disconnect.rs`). Kept only where a rule asks for it.
//!
//! An order is here from when it is sent, or from its first report, to its last one; so a gateway that has just
//! started knows the day's open orders when it has read the report flows again. Who sent them it does not know then, nor of
//! what was sent through another gateway: a session that it takes over has all of them in accounts that nobody else trades.
//!
//! A client may have two sessions, one of which goes on through another gateway with what it has open while the other stays: what each
//! has sent is kept apart ([`Sender`]).
//!
//! Rules: no allocation after start; bounded: where there is no room an order is not sent.

use crate::accounts::CompNo;
use crate::index::{Index, Seed};
use crate::orders::AccountKey;
use crate::route::Core;
use std::collections::VecDeque;
use wire::szse::code::{OrdType, Side};
use wire::szse::trading::NewOrder;
use wire::szse::{SecurityId, SecurityIdSource, Text};

/// No place.
const NONE: u32 = u32::MAX;

/// Orders that were given up and are remembered, in case that they turn up.
const GIVEN_UP_MAX: usize = 4096;

/// Who sent an order through this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its CompID.
    pub comp_no: CompNo,
    /// By a session that may go on through another gateway: by FIX, with its memory in JetStream.
    pub roams: bool,
}

impl Sender {
    /// Senders that a CompID may be.
    const PER_COMP: usize = 2;

    /// By a session that is of this gateway alone.
    pub const fn staying(comp_no: CompNo) -> Self {
        Self { comp_no, roams: false }
    }

    /// By a session that may go on through another gateway.
    pub const fn roaming(comp_no: CompNo) -> Self {
        Self { comp_no, roams: true }
    }

    #[inline]
    fn number(self) -> usize {
        self.comp_no * Self::PER_COMP + usize::from(self.roams)
    }
}

/// An open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Whose it is.
    pub account: AccountKey,
    /// ClOrdID.
    pub cl_ord_id: Text<10>,
    /// SecurityID.
    pub security_id: SecurityId,
    /// SecurityIDSource.
    pub source: SecurityIdSource,
    /// Side.
    pub side: Side,
    /// Raw units; what a market order would pay at most, or take at least.
    pub price: i64,
    /// What is left of it, raw units.
    pub leaves: i64,
    /// Where it is.
    pub core: Core,
    /// Who sent it, as far as is known.
    pub sender: Option<Sender>,
    /// SubmittingPBUID.
    pub submitting_pbu_id: Text<6>,
}

#[derive(Clone, Copy)]
struct Slot {
    order: Open,
    /// How often it was dealt with after it was left behind.
    cancels: u16,
    /// Its account's list, and that of its account and security; `next` of a free slot is the next free one.
    of_account: Place,
    of_pair: Place,
    pair: u32,
}

/// A place in a doubly linked list.
#[derive(Clone, Copy)]
struct Place {
    before: u32,
    next: u32,
}

impl Place {
    const FREE: Self = Self { before: NONE, next: NONE };
}

/// The open orders of an account in a security.
#[derive(Clone, Copy)]
struct Pair {
    key: [u8; 16],
    /// The first one; of a free pair the next free one.
    head: u32,
    count: u32,
}

/// All open orders.
pub struct OpenOrders {
    slots: Vec<Slot>,
    orders_max: usize,
    free: u32,
    len: usize,
    by_identity: Index,
    by_pair: Index,
    pairs: Vec<Pair>,
    free_pair: u32,
    /// By account.
    heads: Box<[u32]>,
    /// Rings of orders by who sent them: a link for each order's place, then for each sender and core the ring's head, and at
    /// last those of the orders that were left behind, and of those that were dealt with. Empty where nobody asks who sent an order.
    rings: Box<[Place]>,
    /// [`Sender::number`] is below this.
    senders: usize,
    /// Orders that were given up, the core having said nothing of them, and who sent them.
    given_up: VecDeque<(AccountKey, Text<10>, Sender)>,
    /// Who sent those of them that are open after all.
    turned_up: Vec<Sender>,
    /// By account: the CompID whose roaming session has what nobody is known to have sent.
    heirs: Box<[Option<CompNo>]>,
    seed: Seed,
}

impl OpenOrders {
    /// Room for `orders_max` (about 140 bytes each) of accounts with the keys 1 to `accounts`, sent by CompIDs below
    /// `comps`; 0 where nobody asks who sent an order.
    pub fn new(accounts: usize, comps: usize, orders_max: u32) -> Self {
        let (room, senders) = (orders_max as usize, comps * Sender::PER_COMP);
        let links = if senders == 0 { 0 } else { room + (senders + 2) * Core::ALL.len() };
        Self {
            slots: Vec::with_capacity(room),
            orders_max: room,
            free: NONE,
            len: 0,
            by_identity: Index::new(orders_max.max(1)),
            by_pair: Index::new(orders_max.max(1)),
            pairs: Vec::with_capacity(room),
            free_pair: NONE,
            heads: vec![NONE; accounts + 1].into(),
            rings: (0..links as u32).map(|at| Place { before: at, next: at }).collect(),
            senders,
            given_up: VecDeque::with_capacity(if senders == 0 { 0 } else { GIVEN_UP_MAX }),
            turned_up: Vec::new(),
            heirs: vec![None; accounts + 1].into(),
            seed: Seed::random(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room for one more.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len >= self.orders_max
    }

    /// What is open, or comes to be, of an account and was sent by nobody that is known is taken for that of this CompID's roaming
    /// session.
    #[cold]
    pub fn inherit(&mut self, comp_no: CompNo, account: AccountKey) {
        let sender = Sender::roaming(comp_no);
        if sender.number() >= self.senders {
            return;
        }
        let Some(heir) = self.heirs.get_mut(account as usize) else { return };
        *heir = Some(comp_no);
        let mut at = self.heads[account as usize];
        while let Some(slot) = self.slots.get_mut(at as usize) {
            let (here, core) = (at, slot.order.core);
            at = slot.of_account.next;
            if slot.order.sender.is_none() {
                slot.order.sender = Some(sender);
                self.link(here, self.ring(sender.number(), core));
            }
        }
    }

    /// What comes to be open from now on is not this CompID's unless it sends it.
    #[cold]
    pub fn inherit_no_more(&mut self, comp_no: CompNo) {
        self.heirs.iter_mut().filter(|heir| **heir == Some(comp_no)).for_each(|heir| *heir = None);
    }

    /// An order is open, if it is not known already; `false` when there is no room for it.
    #[inline]
    pub fn add(&mut self, mut order: Open) -> bool {
        order.sender = order.sender.or_else(|| self.heir(order.account));
        let hash = self.seed.hash(identity(order.account, order.cl_ord_id));
        if self.place(hash, order.account, order.cl_ord_id).is_some() {
            return true;
        }
        if self.is_full() || order.account as usize >= self.heads.len() {
            return false;
        }
        let at = self.free;
        let at = if at == NONE { self.slots.len() as u32 } else { at };
        let pair = self.pair_for(&order);
        let first = self.heads[order.account as usize];
        let first_of_pair = self.pairs[pair as usize].head;
        let slot = Slot {
            order,
            cancels: 0,
            of_account: Place { before: NONE, next: first },
            of_pair: Place { before: NONE, next: first_of_pair },
            pair,
        };
        if self.free == NONE {
            self.slots.push(slot);
        } else {
            self.free = self.slots[at as usize].of_account.next;
            self.slots[at as usize] = slot;
        }
        if first != NONE {
            self.slots[first as usize].of_account.before = at;
        }
        if first_of_pair != NONE {
            self.slots[first_of_pair as usize].of_pair.before = at;
        }
        if let Some(sender) = order.sender.filter(|sender| sender.number() < self.senders) {
            self.link(at, self.ring(sender.number(), order.core));
        }
        self.heads[order.account as usize] = at;
        self.pairs[pair as usize].head = at;
        self.pairs[pair as usize].count += 1;
        self.by_identity.insert(hash, at);
        self.len += 1;
        true
    }

    /// The order is no longer open.
    #[inline]
    pub fn remove(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        let Some(at) = self.place(hash, account, cl_ord_id) else { return };
        self.by_identity.remove(hash, at);
        self.unlink(at);
        let Slot { of_account, of_pair, pair, .. } = self.slots[at as usize];
        match of_account.before {
            NONE => self.heads[account as usize] = of_account.next,
            before => self.slots[before as usize].of_account.next = of_account.next,
        }
        if of_account.next != NONE {
            self.slots[of_account.next as usize].of_account.before = of_account.before;
        }
        match of_pair.before {
            NONE => self.pairs[pair as usize].head = of_pair.next,
            before => self.slots[before as usize].of_pair.next = of_pair.next,
        }
        if of_pair.next != NONE {
            self.slots[of_pair.next as usize].of_pair.before = of_pair.before;
        }
        self.pairs[pair as usize].count -= 1;
        if self.pairs[pair as usize].count == 0 {
            self.by_pair.remove(self.seed.hash(self.pairs[pair as usize].key), pair);
            self.pairs[pair as usize].head = std::mem::replace(&mut self.free_pair, pair);
        }
        self.slots[at as usize].of_account = Place { next: self.free, ..Place::FREE };
        self.free = at;
        self.len -= 1;
    }

    /// The core has said nothing of an order: it is taken for no longer open. If it is in the core after all, [`Self::turns_up`].
    #[cold]
    pub fn give_up(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        let sender = self.order(account, cl_ord_id).and_then(|order| order.sender);
        if let Some(sender) = sender.filter(|sender| sender.number() < self.senders) {
            if self.given_up.len() == GIVEN_UP_MAX {
                self.given_up.pop_front();
            }
            self.given_up.push_back((account, cl_ord_id, sender));
        }
        self.remove(account, cl_ord_id);
    }

    /// The core says that an order is open: who sent it, if it was given up.
    #[inline]
    pub fn turns_up(&mut self, account: AccountKey, cl_ord_id: Text<10>) -> Option<Sender> {
        if self.given_up.is_empty() {
            return None;
        }
        let is_it = |of: &(AccountKey, Text<10>, Sender)| (of.0, of.1) == (account, cl_ord_id);
        let at = self.given_up.iter().position(is_it)?;
        let (.., sender) = self.given_up.remove(at)?;
        if !self.turned_up.contains(&sender) {
            self.turned_up.push(sender);
        }
        Some(sender)
    }

    /// Who sent orders that have turned up since this was asked last.
    #[inline]
    pub fn turned_up(&mut self) -> Vec<Sender> {
        std::mem::take(&mut self.turned_up)
    }

    /// So much is left of an order.
    #[inline]
    pub fn set_leaves(&mut self, account: AccountKey, cl_ord_id: Text<10>, leaves: i64) {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        let Some(at) = self.place(hash, account, cl_ord_id) else { return };
        if leaves <= 0 {
            self.remove(account, cl_ord_id);
        } else {
            self.slots[at as usize].order.leaves = leaves;
        }
    }

    /// An open order.
    #[inline]
    pub fn order(&self, account: AccountKey, cl_ord_id: Text<10>) -> Option<&Open> {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        self.place(hash, account, cl_ord_id).map(|at| &self.slots[at as usize].order)
    }

    /// All of an account.
    pub fn of_account(&self, account: AccountKey) -> impl Iterator<Item = &Open> + '_ {
        let head = self.heads.get(account as usize).copied().unwrap_or(NONE);
        self.walk(head, |slot| slot.of_account.next)
    }

    /// All of an account in a security, and how many.
    #[inline]
    pub fn of_security(
        &self,
        account: AccountKey,
        id: SecurityId,
        source: SecurityIdSource,
    ) -> (u32, impl Iterator<Item = &Open> + '_) {
        let key = pair_key(account, id, source);
        let found = self.by_pair.find(self.seed.hash(key), |pair| self.pairs[pair as usize].key == key);
        let (count, head) = found.map_or((0, NONE), |pair| {
            let pair = &self.pairs[pair as usize];
            (pair.count, pair.head)
        });
        (count, self.walk(head, |slot| slot.of_pair.next))
    }

    /// What a sender has open is left behind: [`Self::left_behind`] has it from now on. Whether there was anything.
    pub fn leave(&mut self, sender: Sender) -> bool {
        if sender.number() >= self.senders {
            return false;
        }
        let mut any = false;
        for core in Core::ALL {
            any |= self.splice(self.ring(sender.number(), core), self.ring(self.senders, core));
        }
        any
    }

    /// Those that were dealt with at a core and are still open are left behind again.
    /// Whether there were any.
    pub fn leave_again(&mut self, core: Core) -> bool {
        self.senders > 0 && self.splice(self.ring(self.senders + 1, core), self.ring(self.senders, core))
    }

    /// Puts all of a ring at the end of another; whether there was anything.
    fn splice(&mut self, from: u32, to: u32) -> bool {
        let Place { before: last, next: first } = self.rings[from as usize];
        if first == from {
            return false;
        }
        self.rings[from as usize] = Place { before: from, next: from };
        let end = self.rings[to as usize].before;
        self.rings[end as usize].next = first;
        self.rings[first as usize].before = end;
        self.rings[last as usize].next = to;
        self.rings[to as usize].before = last;
        true
    }

    /// The first order that was left behind at a core.
    #[inline]
    pub fn left_behind(&self, core: Core) -> Option<&Open> {
        self.first_left(core).map(|at| &self.slots[at as usize].order)
    }

    /// The first one is dealt with; it stays open until a report says otherwise.
    pub fn deal_with_left(&mut self, core: Core) {
        if let Some(at) = self.first_left(core) {
            self.unlink(at);
            self.link(at, self.ring(self.senders + 1, core));
            let cancels = &mut self.slots[at as usize].cancels;
            *cancels = cancels.saturating_add(1);
        }
    }

    /// How often the first one was dealt with before.
    #[inline]
    pub fn cancels_of_left(&self, core: Core) -> u16 {
        self.first_left(core).map_or(0, |at| self.slots[at as usize].cancels)
    }

    /// The first one stays as it is, for good.
    #[cold]
    pub fn give_up_left(&mut self, core: Core) {
        if let Some(at) = self.first_left(core) {
            self.unlink(at);
        }
    }

    /// The first one has to wait behind the others.
    pub fn postpone_left(&mut self, core: Core) {
        if let Some(at) = self.first_left(core) {
            self.unlink(at);
            self.link(at, self.ring(self.senders, core));
        }
    }

    fn first_left(&self, core: Core) -> Option<u32> {
        let head = self.ring(self.senders, core);
        let first = self.rings.get(head as usize)?.next;
        (first != head).then_some(first)
    }

    /// Whose an order of an account is that nobody is known to have sent.
    #[inline]
    fn heir(&self, account: AccountKey) -> Option<Sender> {
        self.heirs.get(account as usize).copied().flatten().map(Sender::roaming)
    }

    /// The head of a ring.
    #[inline]
    fn ring(&self, number: usize, core: Core) -> u32 {
        (self.orders_max + number * Core::ALL.len() + core as usize) as u32
    }

    /// Puts an order at the end of a ring.
    #[inline]
    fn link(&mut self, at: u32, head: u32) {
        let end = std::mem::replace(&mut self.rings[head as usize].before, at);
        self.rings[end as usize].next = at;
        self.rings[at as usize] = Place { before: end, next: head };
    }

    /// Takes an order out of the ring that it is in, if any.
    #[inline]
    fn unlink(&mut self, at: u32) {
        let Some(Place { before, next }) = self.rings.get(at as usize).copied() else { return };
        self.rings[before as usize].next = next;
        self.rings[next as usize].before = before;
        self.rings[at as usize] = Place { before: at, next: at };
    }

    fn walk(&self, head: u32, next: fn(&Slot) -> u32) -> impl Iterator<Item = &Open> + '_ {
        let mut at = head;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            at = next(slot);
            Some(&slot.order)
        })
        .fuse()
    }

    #[inline]
    fn place(&self, hash: u32, account: AccountKey, cl_ord_id: Text<10>) -> Option<u32> {
        self.by_identity.find(hash, |at| {
            let order = &self.slots[at as usize].order;
            order.cl_ord_id == cl_ord_id && order.account == account
        })
    }

    /// The pair of an order, made if there is none: there is room for as many as for orders.
    #[inline]
    fn pair_for(&mut self, order: &Open) -> u32 {
        let key = pair_key(order.account, order.security_id, order.source);
        let hash = self.seed.hash(key);
        if let Some(pair) = self.by_pair.find(hash, |pair| self.pairs[pair as usize].key == key) {
            return pair;
        }
        let made = Pair { key, head: NONE, count: 0 };
        let pair = match self.free_pair {
            NONE => {
                self.pairs.push(made);
                (self.pairs.len() - 1) as u32
            }
            free => {
                self.free_pair = self.pairs[free as usize].head;
                self.pairs[free as usize] = made;
                free
            }
        };
        self.by_pair.insert(hash, pair);
        pair
    }
}

impl Open {
    /// An order that is being sent.
    pub fn sent(account: AccountKey, core: Core, sender: Sender, order: &NewOrder) -> Self {
        Self {
            account,
            cl_ord_id: order.cl_ord_id,
            security_id: order.base.security_id,
            source: order.base.security_id_source,
            side: order.side,
            price: worst_price(order.ord_type, order.side, order.price.raw()),
            leaves: order.order_qty.raw(),
            core,
            sender: Some(sender),
            submitting_pbu_id: order.base.submitting_pbu_id,
        }
    }

    /// Whether it could trade with an order of the other side.
    #[inline]
    pub fn meets(&self, side: Side, price: i64) -> bool {
        match (side, self.side) {
            (Side::BUY, Side::SELL) => self.price <= price,
            (Side::SELL, Side::BUY) => self.price >= price,
            _ => false,
        }
    }
}

/// The worst price at which an order may trade: a market order at any.
#[inline]
pub(crate) fn worst_price(ord_type: OrdType, side: Side, price: i64) -> i64 {
    match (ord_type, side) {
        (OrdType::LIMIT, _) => price,
        (_, Side::BUY) => i64::MAX,
        _ => 0,
    }
}

fn identity(account: AccountKey, cl_ord_id: Text<10>) -> [u8; 16] {
    let mut key = [0; 16];
    key[..10].copy_from_slice(cl_ord_id.as_bytes());
    key[12..].copy_from_slice(&account.to_le_bytes());
    key
}

fn pair_key(account: AccountKey, id: SecurityId, source: SecurityIdSource) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(id.as_bytes());
    key[8..12].copy_from_slice(source.as_bytes());
    key[12..].copy_from_slice(&account.to_le_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(account: AccountKey, cl_ord_id: u8, security: u8) -> Open {
        Open {
            account,
            cl_ord_id: Text::truncated(&cl_ord_id.to_string()),
            security_id: Text::truncated(&security.to_string()),
            source: Text::literal("102"),
            side: Side::BUY,
            price: 1,
            leaves: 100,
            core: Core::Cash,
            sender: None,
            submitting_pbu_id: Text::BLANK,
        }
    }

    fn of(sender: Option<Sender>, account: AccountKey, cl_ord_id: u8) -> Open {
        Open { sender, ..open(account, cl_ord_id, 1) }
    }

    /// What a sender leaves behind at the cash core, which is dealt with.
    fn left(orders: &mut OpenOrders, sender: Sender) -> Vec<String> {
        orders.leave(sender);
        let mut all = Vec::new();
        while let Some(order) = orders.left_behind(Core::Cash) {
            all.push(order.cl_ord_id.to_string());
            orders.deal_with_left(Core::Cash);
        }
        all
    }

    #[test]
    fn what_meets_is_the_other_side_at_a_price_that_both_take() {
        let sell = Open { side: Side::SELL, price: 10, ..open(1, 1, 1) };
        assert!(sell.meets(Side::BUY, 10) && sell.meets(Side::BUY, 11) && !sell.meets(Side::BUY, 9));
        assert!(!sell.meets(Side::SELL, 10));
        let buy = Open { price: 10, ..open(1, 1, 1) };
        assert!(buy.meets(Side::SELL, 10) && buy.meets(Side::SELL, 9) && !buy.meets(Side::SELL, 11));
        assert_eq!(worst_price(OrdType::MARKET, Side::BUY, 5), i64::MAX);
        assert_eq!(worst_price(OrdType::OWN_BEST, Side::SELL, 5), 0);
        assert_eq!(worst_price(OrdType::LIMIT, Side::SELL, 5), 5);
    }

    #[test]
    fn who_takes_a_session_over_has_what_nobody_is_known_to_have_sent() {
        let mut orders = OpenOrders::new(2, 2, 9);
        let (roaming, other) = (Sender::roaming(0), Sender::staying(1));
        for order in [of(None, 1, 1), of(Some(other), 1, 2), of(None, 2, 3)] {
            assert!(orders.add(order));
        }
        orders.inherit(0, 1);
        orders.inherit(0, 1);
        assert!(orders.add(of(None, 1, 4)), "reported later");
        assert_eq!(left(&mut orders, roaming), ["1", "4"], "neither another's nor of another account");
        // It goes on elsewhere with what it has sent since, and comes back.
        assert!(orders.add(of(Some(roaming), 1, 5)));
        orders.inherit_no_more(0);
        assert!(orders.add(of(None, 1, 6)));
        orders.inherit(0, 1);
        orders.inherit_no_more(0);
        assert!(orders.add(of(None, 1, 7)));
        assert_eq!(left(&mut orders, roaming), ["5", "6"]);
        assert!(!orders.leave(roaming), "nothing else");
        assert_eq!(left(&mut orders, other), ["2"]);
    }

    #[test]
    fn what_the_two_sessions_of_a_client_have_sent_is_left_behind_by_each_alone() {
        let mut orders = OpenOrders::new(1, 2, 9);
        let (staying, roaming) = (Sender::staying(1), Sender::roaming(1));
        for (sender, id) in [(roaming, 1), (staying, 2), (roaming, 3), (staying, 4), (roaming, 5)] {
            assert!(orders.add(of(Some(sender), 1, id)));
        }
        orders.inherit(1, 1);
        assert_eq!(left(&mut orders, staying), ["2", "4"], "what is known to be its own is not inherited");
        assert!(orders.add(of(Some(staying), 1, 6)) && orders.add(of(None, 1, 7)));
        for id in ["3", "6"] {
            orders.give_up(1, Text::literal(id));
        }
        let senders = ["6", "3"].map(|id| orders.turns_up(1, Text::literal(id)));
        assert_eq!(senders, [Some(staying), Some(roaming)]);
        assert_eq!(orders.turned_up(), [staying, roaming], "each is told of");
        assert_eq!(left(&mut orders, roaming), ["1", "5", "7"]);
        for other in [Sender::staying(0), Sender::roaming(0), Sender::staying(2)] {
            assert!(!orders.leave(other), "another client's, or nobody's");
        }
    }

    #[test]
    fn what_is_left_changes_until_nothing_is() {
        let mut orders = OpenOrders::new(1, 0, 2);
        assert!(orders.add(open(1, 1, 1)) && orders.add(open(1, 1, 1)), "known");
        assert!(orders.add(open(1, 2, 1)));
        assert!(orders.is_full() && !orders.add(open(1, 3, 1)));
        orders.set_leaves(1, Text::literal("1"), 40);
        assert_eq!(orders.order(1, Text::literal("1")).unwrap().leaves, 40);
        orders.set_leaves(1, Text::literal("1"), 0);
        assert_eq!((orders.order(1, Text::literal("1")), orders.len()), (None, 1));
        assert!(!orders.add(open(2, 1, 1)), "nobody's");
    }

    proptest! {
        /// Against plain lists: what a sender has open, and what was left behind.
        #[test]
        fn what_a_sender_leaves_is_found_until_it_is_gone_or_dealt_with(
            steps in prop::collection::vec((0..6_u8, 0..2_usize, 0..12_u8), 0..400),
        ) {
            let mut orders = OpenOrders::new(1, 1, 16);
            let by = [Sender::staying(0), Sender::roaming(0)];
            let mut done: [Vec<u8>; 2] = Default::default();
            let core = |id: u8| Core::ALL[usize::from(id % 2)];
            let (mut sent, mut left): (Vec<(usize, u8)>, [Vec<u8>; 2]) = Default::default();
            for (step, sender, id) in steps {
                let known = sent.iter().any(|(_, other)| *other == id) || left.iter().chain(&done).flatten().any(|other| *other == id);
                let at = id % 2;
                match step {
                    0 | 1 if !known => {
                        let order = Open { sender: Some(by[sender]), core: core(id), ..open(1, id, 1) };
                        prop_assert!(orders.add(order));
                        sent.push((sender, id));
                    }
                    2 => {
                        orders.remove(1, open(1, id, 1).cl_ord_id);
                        sent.retain(|(_, other)| *other != id);
                        left[usize::from(at)].retain(|other| *other != id);
                        done[usize::from(at)].retain(|other| *other != id);
                    }
                    3 => {
                        let any = orders.leave(by[sender]);
                        prop_assert_eq!(any, sent.iter().any(|(of, _)| *of == sender));
                        let gone = sent.iter().filter(|(of, _)| *of == sender);
                        gone.for_each(|(_, id)| left[usize::from(id % 2)].push(*id));
                        sent.retain(|(of, _)| *of != sender);
                    }
                    4 if !left[usize::from(at)].is_empty() => {
                        let first = left[usize::from(at)].remove(0);
                        if sender == 0 {
                            orders.postpone_left(core(id));
                            left[usize::from(at)].push(first);
                        } else {
                            orders.deal_with_left(core(id));
                            done[usize::from(at)].push(first);
                        }
                    }
                    5 => {
                        orders.leave_again(core(id));
                        let again = std::mem::take(&mut done[usize::from(at)]);
                        left[usize::from(at)].extend(again);
                    }
                    _ => {}
                }
                for (core, left) in Core::ALL.into_iter().zip(&left) {
                    let expected = left.first().map(|id| open(1, *id, 1).cl_ord_id);
                    prop_assert_eq!(orders.left_behind(core).map(|order| order.cl_ord_id), expected);
                }
            }
        }

        /// Against a plain list.
        #[test]
        fn lists_hold_what_was_added_and_not_removed(
            steps in prop::collection::vec((any::<bool>(), 1..4_u32, 0..12_u8), 0..400),
        ) {
            let mut orders = OpenOrders::new(3, 2, 16);
            let mut model: Vec<Open> = Vec::new();
            for (add, account, id) in steps {
                let order = open(account, id, id % 3);
                let known = model.iter().position(|other| other.account == account && other.cl_ord_id == order.cl_ord_id);
                if add {
                    let room = known.is_some() || model.len() < 16;
                    prop_assert_eq!(orders.add(order), room);
                    if known.is_none() && room {
                        model.push(order);
                    }
                } else {
                    orders.remove(account, order.cl_ord_id);
                    known.map(|at| model.remove(at));
                }
                prop_assert_eq!(orders.len(), model.len());
                for account in 1..4 {
                    let mut all: Vec<_> = orders.of_account(account).map(|order| order.cl_ord_id).collect();
                    all.sort_unstable();
                    let mut expected: Vec<_> =
                        model.iter().filter(|order| order.account == account).map(|order| order.cl_ord_id).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(all, expected);
                    for security in 0..3_u8 {
                        let id = Text::truncated(&security.to_string());
                        let (count, all) = orders.of_security(account, id, Text::literal("102"));
                        prop_assert_eq!(count as usize, all.count());
                        let of = |order: &&Open| order.account == account && order.security_id == id;
                        prop_assert_eq!(count as usize, model.iter().filter(of).count());
                    }
                }
            }
        }
    }
}
