//! The core allocates nothing for an order once its books have had their room.

#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use flow::Tag;
use matcher_stub::core::{
    Account, Accounts, Core, Desk, DeskNo, Listing, Listings, Now, Outlet, Settings, Shares, id_range,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wire::szse::code::{APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce};
use wire::szse::trading::{CashAuctionExt, NewOrder, OrderCancelRequest, RequestBase};
use wire::szse::{Amount, Price, Qty, SecurityId, Text};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; the count beside it is a cell of the calling thread
// that needs no allocation of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Default)]
struct Bytes(u64);

impl Outlet for Bytes {
    fn report(&mut self, _: DeskNo, _: Tag, frame: &[u8]) {
        self.0 += frame.len() as u64;
    }

    fn market(&mut self, _: Tag, frame: &[u8]) {
        self.0 += frame.len() as u64;
    }
}

fn order(number: u64, side: Side, cents: i64) -> NewOrder {
    let mut cl_ord_id = *b"0000000000";
    let mut rest = number;
    for digit in cl_ord_id.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    NewOrder {
        base: RequestBase {
            appl_id: APPL_CASH_AUCTION,
            submitting_pbu_id: Text::literal("P00001"),
            security_id: [SecurityId::literal("000001"), SecurityId::literal("000002")]
                [(number % 2) as usize],
            security_id_source: SOURCE_SHENZHEN,
            ..RequestBase::default()
        },
        cl_ord_id: Text::new(&cl_ord_id).expect("digits"),
        account_id: Text::literal("A1"),
        side,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(300),
        price: Price::from_raw(cents * 100),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    }
}

const ORDERS_PER_ROUND: u64 = 500;

/// Orders rest on twenty levels, others trade through some of them, snapshots are made, what rests is cancelled.
fn round(core: &mut Core, out: &mut Bytes, round: u64) {
    let first = round * ORDERS_PER_ROUND;
    let now = Now::at(1_709_170_200_000_000_000 + round * 10_000_000_000);
    let at = |number: u64| match number % 5 {
        4 => order(first + number, Side::BUY, 1_005),
        _ => order(first + number, Side::SELL, 1_000 + (number % 20) as i64),
    };
    for number in 0..ORDERS_PER_ROUND {
        core.new_order(now, 0, &at(number), out);
    }
    core.tick(now, out);
    for number in 0..ORDERS_PER_ROUND {
        let order = at(number);
        let cancel = OrderCancelRequest {
            base: order.base,
            cl_ord_id: Text::literal("CANCEL"),
            orig_cl_ord_id: order.cl_ord_id,
            side: order.side,
            order_id: Text::BLANK,
            order_qty: order.order_qty,
        };
        core.cancel(now, 0, &cancel, out);
    }
}

#[test]
fn an_order_costs_no_allocation() {
    no_allocation(&[]);
}

#[test]
fn nor_does_one_of_an_account_that_is_limited() {
    let shares = |security| Shares { security, quantity: Qty::whole(100_000_000) };
    no_allocation(&[Account {
        id: Text::literal("A1"),
        cash: Amount::whole(100_000_000),
        financing_limit: Amount::ZERO,
        positions: vec![shares(SecurityId::literal("000001")), shares(SecurityId::literal("000002"))],
    }]);
}

fn no_allocation(accounts: &[Account]) {
    let rounds = 20;
    let ids = id_range(SecurityId::literal("000001"), 2).expect("six digits");
    let listings = Listings::new(ids.map(|id| Listing::main_board(id, Price::whole(10), 10)).collect());
    let listings = listings.expect("tradable");
    let accounts = Accounts::new(accounts, &[], &listings).expect("listed securities");
    let settings = Settings {
        core_no: 1,
        orders_max: 1_000_000,
        orders_reserved: (rounds * ORDERS_PER_ROUND) as u32,
        desks: vec![Desk { partition_first: 1, partitions: 2, cash: true, margin: true }],
        channel_first: 2011,
        channels: 2,
        snapshot_interval_ns: 3_000_000_000,
        channel_heartbeat_ns: 3_000_000_000,
    };
    let mut core = Core::with_accounts(settings, listings, accounts);
    let mut out = Bytes::default();
    let start = ALLOCATIONS.get();
    round(&mut core, &mut out, 0);
    assert!(ALLOCATIONS.get() > start, "the books take their room in the first round, and it is counted");
    let warm = ALLOCATIONS.get();
    for number in 1..rounds {
        round(&mut core, &mut out, number);
    }
    assert_eq!(ALLOCATIONS.get(), warm);
    let counts = core.counts();
    assert_eq!(counts.accepted, rounds * ORDERS_PER_ROUND, "nothing is refused");
    assert!(counts.trades > rounds && counts.cancelled > rounds && out.0 > 0, "{counts:?}");
}
