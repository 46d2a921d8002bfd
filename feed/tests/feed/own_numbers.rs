//! A vendor's feed beside the exchange's: it numbers in its own way, stands by, and is used when nothing else is there.

use crate::support::*;
use feed::Config;
use feed::config::{FromName, Numbering, OwnNumbers};
use wire::szse::ext::GapReason;
use wire::szse::market::TickOrder;
use wire::szse::{Price, Timestamp};

/// The vendor's channel 7, as it goes out.
const VENDORS: u16 = 50_007;

fn start(change: impl FnOnce(&mut Config)) -> Feed {
    Feed::start(|config| {
        config.sources[1].numbering = Numbering::Own;
        // It is gone when its connection is, and not because this test has said nothing for it.
        let (silent_ms, window_ms) = (300_000, 600_000);
        let times = OwnNumbers { silent_ms, window_ms, ..OwnNumbers::default() };
        config.arbitration.own = OwnNumbers { takeover_after_ms: 1, return_after_ms: 1, ..times };
        change(config);
    })
}

/// An order by its price, which stands for all that it says.
fn says(price: i64, channel: u16, number: u64) -> TickOrder {
    let transact_time = Timestamp::from_raw(20_260_105_093_000_000);
    TickOrder { price: Price::from_raw(price), transact_time, ..tick(channel, number) }
}

impl Feed {
    /// The exchange's connection and the vendor's; the exchange is used.
    fn exchange_and_vendor(&self) -> [Peer; 2] {
        let sources = self.sources();
        self.wait_for_sources(2);
        wait_for("the exchange to be used", || self.metrics.own_in_use.get() == 0);
        sources
    }

    fn own(&self, outcome: &str) -> u64 {
        self.metrics.own_messages.with_label_values(&[outcome]).get()
    }
}

#[test]
fn while_the_exchange_is_there_the_vendor_is_silent() {
    let feed = start(|_| {});
    let [mut exchange, mut vendor] = feed.exchange_and_vendor();
    let mut reader = subscribe(feed.address, &Wanted::all());
    vendor.send_bytes(&snapshot(1, 8, 20_260_105_093_000_000));
    for price in 1..=10 {
        vendor.send(&says(price, 7, 100 + price as u64));
    }
    for price in 1..=10 {
        exchange.send(&says(price, 1, price as u64));
    }
    reader.expect_ticks(1, 1..=10);
    wait_for("all to be matched", || feed.own("matched") == 10);
    assert_eq!((feed.own("published"), feed.metrics.own_in_use.get()), (0, 0));
    assert_eq!(feed.metrics.snapshots.with_label_values(&["newest"]).get(), 0, "nor its snapshots");
}

#[test]
fn when_the_exchange_is_gone_the_vendor_goes_on_with_what_was_not_out_yet() {
    let feed = start(|_| {});
    let [mut exchange, mut vendor] = feed.exchange_and_vendor();
    let switches = |to| feed.metrics.own_switches.with_label_values(&[to]).get();
    let before = [switches("own"), switches("exchange")];
    let mut reader = subscribe(feed.address, &Wanted::all());
    (1..=3).for_each(|price| exchange.send(&says(price, 1, price as u64)));
    reader.expect_ticks(1, 1..=3);
    (1..=5).for_each(|price| vendor.send(&says(price, 7, 100 + price as u64)));
    wait_for("the vendor to be heard", || feed.own("matched") == 3);
    drop(exchange);
    let after = |end| Seen::Gap(VENDORS, 1, end, GapReason::ELSEWHERE);
    assert_eq!(reader.see(), after(103), "those were out by the exchange's numbers");
    reader.expect_ticks(VENDORS, 104..=105);
    vendor.send(&says(6, 7, 106));
    reader.expect_ticks(VENDORS, 106..=106);
    vendor.send_bytes(&snapshot(1, 8, 20_260_105_093_000_000));
    assert_eq!(reader.see(), Seen::Snapshot(1, 20_260_105_093_000_000));
    // What it has left out itself is told, and counted.
    vendor.send(&says(7, 7, 109));
    assert_eq!(reader.see(), Seen::Gap(VENDORS, 107, 108, GapReason::ELSEWHERE));
    reader.expect_ticks(VENDORS, 109..=109);
    vendor.send(&says(7, 7, 108));

    // The exchange comes back, and brings what it had meanwhile: its channel is whole.
    let mut exchange = feed.upstreams[0].accept();
    (4..=8).for_each(|price| exchange.send(&says(price, 1, price as u64)));
    reader.expect_ticks(1, 4..=8);
    wait_for("the exchange to be used", || feed.metrics.own_in_use.get() == 0);
    vendor.send(&says(8, 7, 110));
    wait_for("the vendor's like to be matched", || feed.own("matched") == 4);
    assert_eq!([feed.own("published"), feed.own("doubled"), feed.own("missing")], [4, 4, 2]);
    assert_eq!(feed.own("again"), 1);
    assert_eq!([switches("own"), switches("exchange")], before.map(|count| count + 1));
}

#[test]
fn a_vendor_that_numbers_from_anew_is_heard_on() {
    let feed = start(|config| config.arbitration.jump_max = 1_000);
    let [exchange, mut vendor] = feed.exchange_and_vendor();
    let mut reader = subscribe(feed.address, &Wanted::all());
    (1..=5).for_each(|number| vendor.send(&says(number, 7, number as u64)));
    drop(exchange);
    reader.expect_ticks(VENDORS, 1..=5);
    let later = |price, number| TickOrder {
        transact_time: Timestamp::from_raw(20_260_105_093_001_000),
        ..says(price, 7, number)
    };
    // It was restarted. A number out of the blue is another one's fault, and stops nothing.
    vendor.send(&later(6, 1));
    vendor.send(&later(7, 2));
    vendor.send(&later(8, 5_000_000));
    vendor.send(&later(9, 3));
    reader.expect_ticks(VENDORS, 6..=8);
    // What it has sent before it may send again.
    vendor.send(&says(5, 7, 5));
    vendor.send(&later(9, 3));
    vendor.send(&later(10, 4));
    vendor.send(&later(11, 5));
    reader.expect_ticks(VENDORS, 9..=10);
    wait_for("it to be counted", || feed.metrics.own_restarts.get() == 1);
    assert_eq!([feed.own("not believed"), feed.own("missing")], [1, 0]);
}

#[test]
fn neither_takes_channels_of_the_other() {
    let feed = start(|config| config.arbitration.own.channel_offset = 60_000);
    let [mut exchange, mut vendor] = feed.exchange_and_vendor();
    let mut reader = subscribe(feed.address, &Wanted::all());
    exchange.send(&says(1, 60_000, 1));
    exchange.send(&says(2, 59_999, 1));
    assert_eq!(reader.see(), Seen::Tick(59_999, 1));
    wait_for("the channel to be refused", || feed.metrics.channel_refused.get() == 1);
    vendor.send(&says(3, 6_000, 1));
    vendor.send(&TickOrder { appl_seq_num: 0.into(), ..says(3, 1, 1) });
    vendor.send(&TickOrder { appl_seq_num: i64::MAX.into(), ..says(3, 1, 1) });
    wait_for("channel and numbers to be refused", || feed.own("refused") == 3);
}

#[test]
fn a_feed_behind_two_does_not_mix_their_vendors_numbers() {
    let feeds = [start(|_| {}), start(|_| {})];
    let [[one, vendor_of_one], [other, vendor_of_other]] = feeds.each_ref().map(Feed::exchange_and_vendor);
    let (mut exchanges, mut vendors) = ([one, other], [vendor_of_one, vendor_of_other]);
    let behind = Feed::with_sources(&feeds.each_ref().map(|feed| feed.address), |config| {
        config.arbitration.from = FromName::Open;
        config.sources.iter_mut().for_each(|source| source.subscribe = true);
    });
    behind.wait_for_sources(2);
    let mut reader = subscribe(behind.address, &Wanted::all());
    // Over each feed a channel that the other one does not have: what was sent before has come as far.
    let mut expect_next_of_both = |exchanges: &mut [Peer; 2], number| {
        for (channel, exchange) in (1..).zip(exchanges) {
            exchange.send(&says(1, channel, number));
        }
        let seen = [reader.see(), reader.see()];
        assert!([1, 2].iter().all(|channel| seen.contains(&Seen::Tick(*channel, number))), "{seen:?}");
    };
    expect_next_of_both(&mut exchanges, 1);
    drop(exchanges);
    let later = |price, number| TickOrder {
        transact_time: Timestamp::from_raw(20_260_105_093_001_000),
        ..says(price, 7, number)
    };
    // The vendor was restarted while two of its messages were on their way to one of the feeds.
    for ((vendor, feed), last) in vendors.iter_mut().zip(&feeds).zip([50, 48]) {
        (1..=last).for_each(|number| vendor.send(&says(100 + number, 7, number as u64)));
        (1..=3).for_each(|number| vendor.send(&later(200 + number, number as u64)));
        let went_out = || (feed.own("published"), feed.metrics.own_restarts.get());
        wait_for("the vendor to be used", || went_out() == (last as u64 + 3, 1));
    }
    let mut exchanges = feeds.each_ref().map(|feed| feed.upstreams[0].accept());
    expect_next_of_both(&mut exchanges, 2);
    wait_for("the vendor's channel to be refused", || behind.metrics.channel_refused.get() > 0);
}
