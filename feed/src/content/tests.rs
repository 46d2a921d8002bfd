use super::*;
use proptest::prelude::*;
use wire::szse::code::SOURCE_SHENZHEN;
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::{I64, Price, Text, Timestamp, U16, frame};

const MS: u64 = 1_000_000;
const SETTINGS: Settings = Settings {
    window_ns: 100 * MS,
    count_max: 8,
    bytes_max: 1_000,
    takeover_after_ns: 10 * MS,
    return_after_ns: 20 * MS,
};

/// A matcher, and what went out of either side: contents by their price.
struct Bench {
    matcher: Matcher,
    identity: Identity,
    now_ns: u64,
    alive: bool,
    number: u64,
    out: Vec<i64>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let (matcher, identity) = (Matcher::new(settings), Identity::default());
        Self { matcher, identity, now_ns: 0, alive: true, number: 0, out: Vec::new() }
    }

    fn content(&self, price: i64) -> Content {
        self.identity.order(&TickOrder { price: Price::from_raw(price), ..TickOrder::default() })
    }

    /// The numbered source brings this.
    fn theirs(&mut self, price: i64) {
        self.matcher.published(self.now_ns, self.content(price));
        self.out.push(price);
    }

    /// The other one does.
    fn ours(&mut self, price: i64) {
        self.number += 1;
        let (number, content) = (self.number, self.content(price));
        let waiting =
            || Waiting { channel: 1, number, key: 1, frame: price.to_be_bytes().to_vec().into_boxed_slice() };
        if self.matcher.offer(self.now_ns, content, waiting) == Verdict::Publish {
            self.out.push(price);
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ns += MS;
            let out = &mut self.out;
            self.matcher.poll(self.now_ns, self.alive, |waiting| {
                out.push(i64::from_be_bytes(waiting.frame[..].try_into().unwrap()));
            });
        }
    }

    fn take(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.out)
    }
}

#[test]
fn what_both_bring_goes_out_once_whoever_is_first() {
    let mut bench = Bench::new(SETTINGS);
    bench.theirs(1);
    bench.ours(1);
    bench.ours(2);
    bench.theirs(2);
    bench.pass(200);
    assert_eq!(bench.take(), [1, 2]);
    assert_eq!(bench.matcher.counters, Counters { matched: 2, ..Counters::default() });
}

#[test]
fn what_is_said_twice_is_matched_twice() {
    let mut bench = Bench::new(SETTINGS);
    bench.theirs(1);
    bench.theirs(1);
    (0..3).for_each(|_| bench.ours(1));
    bench.alive = false;
    bench.pass(11);
    assert_eq!(bench.take(), [1, 1, 1], "the third was said by the other source alone");
    assert_eq!(bench.matcher.counters.matched, 2);
}

#[test]
fn it_takes_over_at_the_first_message_that_is_missing_and_goes_back() {
    let mut bench = Bench::new(SETTINGS);
    bench.theirs(1);
    (1..=3).for_each(|price| bench.ours(price));
    bench.alive = false;
    bench.pass(10);
    assert_eq!(bench.take(), [1], "a short absence is none");
    bench.pass(1);
    assert_eq!(bench.take(), [2, 3]);
    bench.ours(4);
    assert_eq!(bench.take(), [4], "in use, nothing waits");
    bench.alive = true;
    bench.pass(10);
    bench.alive = false;
    bench.pass(1);
    bench.alive = true;
    bench.pass(20);
    assert!(bench.matcher.in_use(), "the time begins anew");
    bench.pass(1);
    assert!(!bench.matcher.in_use());
    bench.ours(5);
    assert!(bench.take().is_empty());
    // The numbered source catches up: its channel stays whole.
    (2..=5).for_each(|price| bench.theirs(price));
    assert_eq!(bench.take(), [2, 3, 4, 5]);
    let expected =
        Counters { matched: 2, published: 3, doubled: 3, takeovers: 1, returns: 1, ..Counters::default() };
    assert_eq!(bench.matcher.counters, expected);
}

#[test]
fn what_nobody_else_brings_is_let_go_and_counted() {
    let mut bench = Bench::new(SETTINGS);
    bench.ours(1);
    bench.pass(102);
    bench.alive = false;
    bench.pass(20);
    assert_eq!((bench.take(), bench.matcher.counters.unmatched), (vec![], 1));
}

#[test]
fn both_sides_are_bounded() {
    let mut bench = Bench::new(SETTINGS);
    (1..=20).for_each(|price| bench.ours(price));
    assert_eq!(bench.matcher.counters.no_room, 13, "of 8 places one is always free");
    (21..=40).for_each(|price| bench.theirs(price));
    bench.alive = false;
    bench.take();
    bench.pass(11);
    assert_eq!(bench.take(), (14..=20).collect::<Vec<_>>(), "the newest");
    (21..=40).for_each(|price| bench.ours(price));
    assert_eq!(bench.take(), (21..=32).collect::<Vec<_>>(), "and eight are remembered");
    let mut bench = Bench::new(Settings { count_max: 1_000, bytes_max: 80, ..SETTINGS });
    (1..=20).for_each(|price| bench.ours(price));
    assert_eq!(bench.matcher.counters.no_room, 10);
}

#[test]
fn numbers_channels_and_streams_are_no_content_and_all_else_is() {
    let identity = Identity::default();
    let order = TickOrder {
        security_id: Text::literal("000001"),
        security_id_source: SOURCE_SHENZHEN,
        price: Price::from_raw(10_000),
        transact_time: Timestamp::from_raw(20_260_105_093_000_010),
        ..TickOrder::default()
    };
    let other_number = TickOrder {
        channel_no: U16::new(9),
        appl_seq_num: I64::new(7),
        md_stream_id: Text::literal("011"),
        ..order
    };
    assert_eq!(identity.order(&order), identity.order(&other_number));
    let trade = TickTrade { security_id: order.security_id, ..TickTrade::default() };
    let other_orders = TickTrade { bid_appl_seq_num: I64::new(5), offer_appl_seq_num: I64::new(6), ..trade };
    assert_eq!(identity.trade(&trade), identity.trade(&other_orders));
    let different = [
        TickOrder { security_id: Text::literal("000002"), ..order },
        TickOrder { price: Price::from_raw(10_001), ..order },
        TickOrder { transact_time: Timestamp::from_raw(20_260_105_093_000_011), ..order },
        TickOrder { side: wire::szse::code::Side::SELL, ..order },
    ];
    for other in &different {
        assert_ne!(identity.order(&order), identity.order(other), "{other:?}");
    }
    let mut bytes = Vec::new();
    frame::encode(&order, &mut bytes);
    let frame = frame::decode(&bytes, 1_000).unwrap().unwrap();
    assert_eq!(identity.of(&frame), Some(identity.order(&order)));
}

proptest! {
    /// However two sources are mixed, while the numbered one lives everything goes out from it alone; and when it dies, the
    /// other one brings each content as often as it was said, less what was out already.
    #[test]
    fn every_content_goes_out_as_often_as_it_was_said(
        said in prop::collection::vec(1..5i64, 0..60),
        theirs_ends in 0..60usize,
        leads in prop::collection::vec(any::<bool>(), 120),
    ) {
        let settings = Settings { count_max: 1_000, bytes_max: 1 << 20, window_ns: u64::MAX / 100, ..SETTINGS };
        let mut bench = Bench::new(settings);
        let theirs_ends = theirs_ends.min(said.len());
        let (mut theirs, mut ours) = (0, 0);
        for lead in leads {
            if lead && theirs < theirs_ends {
                bench.theirs(said[theirs]);
                theirs += 1;
            } else if ours < said.len() {
                bench.ours(said[ours]);
                ours += 1;
            }
        }
        while theirs < theirs_ends {
            bench.theirs(said[theirs]);
            theirs += 1;
        }
        prop_assert_eq!(&bench.out[..], &said[..theirs_ends], "from the numbered source alone");
        bench.alive = false;
        bench.pass(11);
        said[ours..].iter().for_each(|price| bench.ours(*price));
        let (mut out, mut said) = (bench.take(), said);
        out.sort_unstable();
        said.sort_unstable();
        prop_assert_eq!(out, said);
        prop_assert_eq!(bench.matcher.counters.doubled, 0);
    }
}
