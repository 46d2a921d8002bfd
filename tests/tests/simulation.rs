//! Whole servers under a simulated network and a seeded clock: a day of faults in a second, the same each time.
//!
//! A story reads from top to bottom: who there is, what goes wrong, what must hold. `TONGDAO_SEED` repeats one run.

mod simulated;

use simulated::{Market, OrderDesk, Seen};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn seed() -> u64 {
    std::env::var("TONGDAO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_105)
}

#[test]
fn the_primary_is_cut_one_way_and_healed_and_no_number_is_missed() {
    let mut market = Market::new(seed());
    market.run_for(2 * SECOND);
    let before = market.seen();
    assert!(before.received > 0, "quotes flow");

    // What the primary sends does not arrive any more; what is sent to it does. Its end of the connection thinks
    // that all is well for as long as it can.
    market.cut("primary", "feed");
    market.run_for(20 * SECOND);
    let during = market.seen();
    assert!(during.received > before.received + 1_000, "the backup carries on: {during:?}");
    assert!(during.gap_max < SECOND, "nobody waited for the primary: {during:?}");

    market.heal("primary", "feed");
    market.run_for(20 * SECOND);
    assert_eq!(market.sources_up(), 2, "the primary was taken back");

    // And now the backup goes, so that what follows can only come from the healed primary.
    market.cut("backup", "feed");
    market.run_for(5 * SECOND);
    let after = market.seen();
    assert!(after.received > during.received + 1_000, "the primary carries on: {after:?}");
    assert_eq!(
        Seen { lost: 0, duplicated: 0, out_of_order: 0, ..after },
        after,
        "every number once, in order"
    );
}

#[test]
fn who_joins_late_gets_a_snapshot_and_everything_after_it_whatever_happens_to_the_sources() {
    let mut market = Market::new(seed());
    market.run_for(3 * SECOND);
    // At any moment: with both sources, with one, while a hole is healed, and after that. The pace is none of the market's.
    for at in 0..24 {
        match at {
            4 => market.cut("primary", "feed"),
            10 => market.heal("primary", "feed"),
            15 => {
                market.cut("primary", "feed");
                market.cut("backup", "feed");
            }
            18 => market.heal("backup", "feed"),
            _ => {}
        }
        market.join();
        market.run_for(Duration::from_millis(737));
    }
    market.heal("primary", "feed");
    market.run_for(20 * SECOND);
    let subscriber = market.seen();
    assert_eq!((subscriber.lost, subscriber.duplicated, subscriber.out_of_order), (0, 0, 0));
    let all = market.joined();
    assert_eq!(all.len(), 24);
    for joined in &all {
        assert!(joined.snapshot > 0 && joined.snapshots > 50, "snapshots flow: {joined:?}");
        assert_eq!(joined.holes, 0, "{joined:?}");
        let whole = joined.next.iter().all(|next| next - joined.snapshot > 5_000);
        assert!(whole, "all from behind the snapshot up to now is there: {joined:?}");
    }
    // Snapshots have no number to ask for again: when no source was there, the next one has the state of those before it.
    assert!(all[..15].iter().all(|joined| joined.skips == 1), "once, when both were cut: {all:?}");
    assert!(all[21..].iter().all(|joined| joined.skips == 0), "never else: {all:?}");
    assert!(all.iter().any(|joined| joined.asked > 0), "some came between two snapshots: {all:?}");
    assert!(all.windows(2).all(|pair| pair[0].snapshot <= pair[1].snapshot), "who comes later begins later");
}

#[test]
fn a_run_repeats_itself() {
    let story = || {
        let mut market = Market::new(seed());
        market.run_for(SECOND);
        market.cut("primary", "feed");
        market.run_for(5 * SECOND);
        market.seen()
    };
    assert_eq!(story(), story());
}

#[test]
fn one_leased_line_after_the_other_fails_without_a_word_and_every_order_is_taken_once() {
    let mut desk = OrderDesk::new(seed());
    desk.run_for(3 * SECOND);
    assert!(!desk.told().accepted.is_empty(), "orders flow: {:?}", desk.told());

    // Orders still reach the core over the line in use; its reports come back no more.
    let [first, second] = desk.lines();
    desk.cut(first, "gateway");
    desk.run_for(10 * SECOND);
    let resent = desk.resent();
    assert!(resent > 0, "what the core had and did not report was sent again");
    assert_eq!(desk.lines(), [second, first], "over the other line");
    desk.heal(first, "gateway");
    desk.run_for(10 * SECOND);

    // Nothing passes the other line any more, in either direction.
    desk.cut(second, "gateway");
    desk.cut("gateway", second);
    desk.run_for(10 * SECOND);
    assert!(desk.resent() > resent, "what it had swallowed was sent again, too");
    assert_eq!(desk.lines(), [first, second]);

    desk.close();
    desk.run_for(5 * SECOND);
    let told = desk.told();
    assert_eq!(told.accepted.len() as u64, told.sent, "every order was accepted");
    assert!(told.accepted.values().all(|times| *times == 1), "each once: {:?}", told.accepted);
    assert_eq!((told.refused, told.out_of_order), (0, 0));
    assert_eq!(desk.orders_of_core(), told.sent, "and the core has no more than these");
    // Two heartbeats of a second, and the time to take over.
    assert!(told.gap_max < 4 * SECOND, "{:?}", told.gap_max);
}
