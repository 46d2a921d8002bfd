use super::*;

const A: Source = Source(0);
const B: Source = Source(1);
const MS: u64 = 1_000_000;

/// An arbiter and what came out of it.
struct Bench {
    arbiter: Arbiter,
    now_ns: u64,
    out: Vec<Out>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Frame(u64),
    BeginsAfter(u64),
    Apart,
    Lost(u64, u64),
    Ask(Source, u64, u64),
}
use Out::{Apart, Ask, BeginsAfter, Frame, Lost};

fn keep(out: &mut Vec<Out>) -> impl FnMut(Event<'_>) + '_ {
    |event| {
        out.push(match event {
            Event::Frame(tick) => {
                assert_eq!(tick.frame, tick.number.to_be_bytes(), "a number comes with its own bytes");
                Frame(tick.number)
            }
            Event::BeginsAfter { end, .. } => BeginsAfter(end),
            Event::Apart { .. } => Apart,
            Event::Lost { begin, end, .. } => Lost(begin, end),
            Event::Ask { source, begin, end, .. } => Ask(source, begin, end),
        });
    }
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let mut arbiter = Arbiter::new(settings).unwrap();
        for source in 0..settings.sources {
            arbiter.up(0, Source::new(source));
        }
        Self { arbiter, now_ns: 0, out: Vec::new() }
    }

    fn offer(&mut self, source: Source, number: u64) -> Outcome {
        let frame = number.to_be_bytes();
        let tick = Tick { channel: 7, number, key: 1, frame: &frame };
        self.arbiter.offer(self.now_ns, source, tick, &mut keep(&mut self.out))
    }

    fn heartbeat(&mut self, source: Source, last: u64) {
        self.arbiter.heartbeat(self.now_ns, source, (7, last), &mut keep(&mut self.out));
    }

    fn cannot(&mut self, source: Source, begin: u64) {
        self.arbiter.answer(self.now_ns, source, (7, begin), Answer::Cannot);
    }

    fn down(&mut self, source: Source) {
        self.arbiter.down(self.now_ns, source, &mut keep(&mut self.out));
    }

    /// Lets time pass, looking at the timers every millisecond.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ns += MS;
            self.arbiter.poll(self.now_ns, &mut keep(&mut self.out));
        }
    }

    fn take(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    fn counters(&self) -> Counters {
        *self.arbiter.counters()
    }

    fn state(&self) -> ChannelState {
        self.arbiter.channels().next().unwrap()
    }
}

fn arbitrated() -> Settings {
    Settings { patience_ms: 2, retry_ms: 10, deadline_ms: 100, ..Settings::default() }
}

fn standby() -> Settings {
    let standby = Standby { silent_ms: 50, behind_ms: 20, behind_count: 5, return_after_ms: 200 };
    Settings { mode: Mode::Standby(standby), ..arbitrated() }
}

#[test]
fn the_first_arrival_of_a_number_wins() {
    let mut bench = Bench::new(arbitrated());
    assert_eq!(bench.offer(A, 1), Outcome::Emitted);
    assert_eq!(bench.offer(B, 1), Outcome::Duplicate);
    assert_eq!(bench.offer(B, 2), Outcome::Emitted);
    assert_eq!(bench.offer(B, 3), Outcome::Emitted);
    assert_eq!(bench.offer(A, 2), Outcome::Duplicate);
    assert_eq!(bench.take(), [Frame(1), Frame(2), Frame(3)]);
    assert_eq!(bench.counters().won[..2], [1, 2]);
    assert_eq!(bench.counters().duplicates[..2], [1, 1]);
}

#[test]
fn a_hole_that_the_other_source_fills_in_time_is_not_asked_for() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    assert_eq!(bench.offer(A, 4), Outcome::Held);
    bench.pass(1);
    bench.offer(B, 1);
    bench.offer(B, 2);
    assert_eq!(bench.arbiter.open_gaps(), 1);
    bench.offer(B, 3);
    bench.pass(200);
    assert_eq!(bench.take(), [Frame(1), Frame(2), Frame(3), Frame(4)]);
    assert_eq!((bench.counters().gaps, bench.arbiter.open_gaps()), (1, 0));
    assert_eq!(bench.arbiter.held_bytes(), 0);
}

#[test]
fn a_hole_is_asked_for_at_the_other_source_then_at_the_same_then_lost() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.offer(A, 4);
    bench.pass(2);
    assert_eq!(bench.take(), [Frame(1), Ask(B, 2, 3)]);
    bench.pass(10);
    assert_eq!(bench.take(), [Ask(A, 2, 3)]);
    bench.pass(87);
    assert_eq!(bench.counters().gaps_lost, 0);
    bench.pass(1);
    assert_eq!(bench.take()[8..], [Lost(2, 3), Frame(4)]);
    assert_eq!(bench.counters().numbers_lost, 2);
    assert_eq!(bench.offer(B, 2), Outcome::Duplicate);
}

#[test]
fn a_hole_that_no_source_can_fill_is_lost_at_once() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.pass(2);
    bench.cannot(B, 2);
    bench.pass(1);
    bench.cannot(A, 2);
    bench.pass(1);
    assert_eq!(bench.take(), [Frame(1), Ask(B, 2, 2), Ask(A, 2, 2), Lost(2, 2), Frame(3)]);
}

#[test]
fn sources_that_take_no_requests_have_the_patience_to_bring_it_themselves() {
    let resends = [true, false, false, false];
    let mut bench = Bench::new(Settings { resends, ..arbitrated() });
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.pass(2);
    assert_eq!(bench.take(), [Frame(1), Ask(A, 2, 2)]);

    let mut bench = Bench::new(Settings { resends: [false; SOURCES_MAX], ..arbitrated() });
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.pass(1);
    assert_eq!(bench.take(), [Frame(1)]);
    bench.pass(1);
    assert_eq!(bench.take(), [Lost(2, 2), Frame(3)]);
}

#[test]
fn an_answer_to_another_question_changes_nothing() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.cannot(B, 2); // Nobody was asked yet.
    bench.pass(2);
    bench.cannot(B, 3);
    bench.pass(1);
    assert_eq!(bench.take(), [Frame(1), Ask(B, 2, 2)]);
}

#[test]
fn a_source_that_is_gone_is_not_asked_and_the_other_is_at_once() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.pass(2);
    assert_eq!(bench.take(), [Frame(1), Ask(B, 2, 2)]);
    bench.down(B);
    bench.pass(1);
    assert_eq!(bench.take(), [Ask(A, 2, 2)]);
}

#[test]
fn nothing_is_given_up_while_no_source_is_there() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.down(A);
    bench.down(B);
    bench.pass(1_000);
    assert_eq!(bench.take(), [Frame(1)]);
    bench.arbiter.up(bench.now_ns, A);
    bench.pass(1);
    assert_eq!(bench.take(), [Ask(A, 2, 2)]);
    bench.offer(A, 2);
    assert_eq!(bench.take(), [Frame(2), Frame(3)]);
}

#[test]
fn a_heartbeat_shows_what_is_missing_at_the_end() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.heartbeat(A, 3);
    bench.pass(2);
    assert_eq!(bench.take(), [Frame(1), Ask(B, 2, 3)]);
    bench.offer(B, 2);
    bench.offer(B, 3);
    bench.pass(200);
    assert_eq!(bench.take(), [Frame(2), Frame(3)]);
    assert_eq!(bench.offer(A, 4), Outcome::Emitted);
}

#[test]
fn long_holes_are_asked_for_in_parts_without_waiting_between_them() {
    let mut bench = Bench::new(Settings { ask_count_max: 3, from: From::Open, ..arbitrated() });
    bench.offer(A, 8);
    bench.pass(2);
    assert_eq!(bench.take(), [Ask(B, 1, 3)]);
    (1..=3).for_each(|number| _ = bench.offer(B, number));
    bench.pass(1);
    assert_eq!(bench.take(), [Frame(1), Frame(2), Frame(3), Ask(B, 4, 6)]);
    (4..=6).for_each(|number| _ = bench.offer(B, number));
    bench.pass(1);
    assert_eq!(bench.take(), [Frame(4), Frame(5), Frame(6), Ask(B, 7, 7)]);
    bench.offer(B, 7);
    assert_eq!(bench.take(), [Frame(7), Frame(8)]);
}

#[test]
fn a_slow_but_steady_refill_is_neither_asked_again_nor_given_up() {
    let mut bench = Bench::new(Settings { from: From::Open, ..arbitrated() });
    bench.offer(A, 100);
    bench.pass(2);
    assert_eq!(bench.take(), [Ask(B, 1, 99)]);
    for number in 1..100 {
        bench.pass(9);
        bench.offer(B, number);
    }
    assert_eq!(bench.take(), (1..=100).map(Frame).collect::<Vec<_>>());
}

#[test]
fn a_channel_goes_on_where_it_was_before_a_restart() {
    for from in [From::Live, From::Open] {
        let resumed = || {
            let mut bench = Bench::new(Settings { from, ..arbitrated() });
            bench.arbiter.resume(7, 41);
            bench
        };
        let mut bench = resumed();
        bench.offer(A, 44);
        bench.pass(5);
        assert_eq!(bench.take(), [BeginsAfter(40), Ask(B, 41, 43)], "what came meanwhile is asked for");
        for number in 41..=43 {
            bench.offer(B, number);
        }
        assert_eq!(bench.take(), [41, 42, 43, 44].map(Frame));

        let mut bench = resumed();
        bench.heartbeat(A, 40);
        bench.offer(A, 41);
        assert_eq!(bench.take(), [BeginsAfter(40), Frame(41)], "nothing came meanwhile");
    }
}

#[test]
fn a_channel_that_is_another_begins_as_any() {
    let mut bench = Bench::new(arbitrated());
    bench.arbiter.resume(7, 41);
    bench.offer(A, 12);
    bench.offer(A, 13);
    assert_eq!(bench.take(), [Apart, BeginsAfter(11), Frame(12), Frame(13)]);

    let mut bench = Bench::new(Settings { from: From::Open, ..arbitrated() });
    bench.arbiter.resume(7, 41);
    bench.offer(A, 1);
    assert_eq!(bench.take(), [Apart, Frame(1)]);
}

#[test]
fn live_begins_at_the_first_number_heard() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 50);
    assert_eq!(bench.offer(B, 49), Outcome::Duplicate);
    bench.pass(200);
    assert_eq!(bench.take(), [BeginsAfter(49), Frame(50)], "once");

    let mut bench = Bench::new(arbitrated());
    bench.heartbeat(A, 50);
    bench.pass(200);
    bench.offer(A, 51);
    assert_eq!(bench.take(), [BeginsAfter(50), Frame(51)]);

    let mut bench = Bench::new(arbitrated());
    bench.heartbeat(A, 0);
    bench.offer(A, 1);
    assert_eq!(bench.take(), [Frame(1)], "nothing is missing");
}

#[test]
fn open_asks_for_everything_before() {
    let mut bench = Bench::new(Settings { from: From::Open, ..arbitrated() });
    bench.heartbeat(A, 50);
    bench.pass(2);
    assert_eq!(bench.take(), [Ask(B, 1, 50)]);
}

#[test]
fn a_source_that_begins_again_is_not_followed() {
    let mut bench = Bench::new(arbitrated());
    (1..=5).for_each(|number| _ = bench.offer(A, number));
    bench.take();
    assert_eq!(bench.offer(A, 1), Outcome::Regressed);
    assert_eq!(bench.offer(A, 5), Outcome::Duplicate);
    assert_eq!(bench.offer(A, 6), Outcome::Emitted);
    assert_eq!(bench.take(), [Frame(6)]);
    assert_eq!(bench.counters().regressed[..2], [1, 0]);
}

#[test]
fn what_was_asked_for_twice_is_no_new_beginning() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.offer(A, 3);
    bench.pass(12);
    bench.offer(B, 2);
    assert_eq!(bench.offer(A, 2), Outcome::Duplicate);
    bench.pass(100);
    assert_eq!(bench.offer(A, 2), Outcome::Regressed);
}

#[test]
fn one_damaged_number_does_not_move_the_channel() {
    let mut bench = Bench::new(Settings { jump_max: 1_000, ..arbitrated() });
    bench.offer(A, 1);
    assert_eq!(bench.offer(A, u64::MAX), Outcome::Implausible);
    assert_eq!(bench.offer(A, 0), Outcome::Implausible);
    bench.heartbeat(A, u64::MAX);
    assert_eq!(bench.offer(A, 2), Outcome::Emitted);
    assert_eq!(bench.counters().implausible, 3);
    assert_eq!(bench.offer(A, 5_000), Outcome::Implausible);
    assert_eq!(bench.offer(B, 5_001), Outcome::Implausible);
    assert_eq!(bench.offer(B, 5_002), Outcome::Held);
}

#[test]
fn a_channel_may_begin_with_a_damaged_number_too() {
    let mut bench = Bench::new(Settings { jump_max: 1_000, ..arbitrated() });
    bench.heartbeat(A, u64::MAX);
    assert_eq!(bench.offer(A, u64::MAX), Outcome::Implausible);
    assert_eq!(bench.offer(A, 0), Outcome::Implausible);
    assert_eq!(bench.offer(A, 9), Outcome::Emitted);
}

#[test]
fn the_window_is_bounded_and_keeps_what_is_needed_first() {
    let mut bench = Bench::new(Settings { held_count_max: 2, ..arbitrated() });
    bench.offer(A, 1);
    assert_eq!(bench.offer(A, 5), Outcome::Held);
    assert_eq!(bench.offer(A, 6), Outcome::Held);
    assert_eq!(bench.offer(A, 7), Outcome::NoRoom);
    assert_eq!(bench.offer(B, 4), Outcome::Held); // 6 made way.
    bench.offer(B, 2);
    bench.offer(B, 3);
    assert_eq!(bench.take(), [Frame(1), Frame(2), Frame(3), Frame(4), Frame(5)]);
    bench.pass(2);
    let [Ask(_, 6, 7)] = bench.take()[..] else { panic!("what found no room is asked for") };
}

#[test]
fn the_window_is_bounded_in_bytes_over_all_channels() {
    let mut bench = Bench::new(Settings { held_bytes_max: 16, ..arbitrated() });
    bench.offer(A, 1);
    bench.offer(A, 3);
    let frame = [0; 12];
    let other = |number| Tick { channel: 8, number, key: 1, frame: &frame };
    bench.arbiter.offer(0, A, other(1), &mut |_| {});
    assert_eq!(bench.arbiter.offer(0, A, other(3), &mut |_| {}), Outcome::NoRoom);
    assert_eq!(bench.arbiter.held_bytes(), 8);
    bench.offer(A, 2);
    assert_eq!(bench.arbiter.offer(0, A, other(3), &mut |_| {}), Outcome::Held);
    assert_eq!(bench.arbiter.held_bytes(), 12);
}

#[test]
fn channels_are_bounded() {
    let mut bench = Bench::new(Settings { channels_max: 1, ..arbitrated() });
    bench.offer(A, 1);
    let tick = Tick { channel: 8, number: 1, key: 1, frame: &[] };
    assert_eq!(bench.arbiter.offer(0, A, tick, &mut |_| {}), Outcome::ChannelRefused);
    bench.arbiter.heartbeat(0, A, (8, 1), &mut |_| {});
    assert_eq!(bench.counters().channel_refused, 2);
}

#[test]
fn in_standby_the_backup_waits_for_the_primary() {
    let mut bench = Bench::new(standby());
    assert_eq!(bench.offer(B, 1), Outcome::Held);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.offer(A, 1), Outcome::Emitted);
    assert_eq!(bench.offer(A, 2), Outcome::Emitted);
    assert_eq!(bench.offer(B, 2), Outcome::Duplicate);
    assert_eq!(bench.take(), [Frame(1), Frame(2)]);
    assert_eq!(bench.counters().won[..2], [2, 0]);
}

#[test]
fn in_standby_a_hole_of_the_primary_is_filled_by_what_the_backup_brought() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    bench.offer(B, 2);
    bench.offer(B, 3);
    assert_eq!(bench.offer(A, 3), Outcome::Duplicate);
    assert_eq!(bench.take(), [Frame(1), Frame(2), Frame(3)]);
}

#[test]
fn standby_takes_over_at_once_when_the_primary_is_gone() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    bench.offer(B, 2);
    bench.offer(B, 3);
    bench.down(A);
    assert_eq!(bench.take(), [Frame(1), Frame(2), Frame(3)]);
    assert_eq!(bench.offer(B, 4), Outcome::Emitted);
    assert_eq!(bench.counters().failovers, 1);
}

#[test]
fn standby_takes_over_when_the_primary_is_silent() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    bench.pass(49);
    bench.arbiter.heard(bench.now_ns, A);
    bench.pass(50);
    assert!(bench.state().on_primary);
    bench.pass(1);
    assert!(!bench.state().on_primary);
}

#[test]
fn standby_takes_over_when_the_primary_is_behind_by_time() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    bench.offer(B, 2);
    for _ in 0..20 {
        bench.pass(1);
        bench.arbiter.heard(bench.now_ns, A);
    }
    assert_eq!(bench.take(), [Frame(1)]);
    bench.pass(1);
    assert_eq!(bench.take(), [Frame(2)]);
}

#[test]
fn standby_takes_over_when_the_primary_is_behind_by_count() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    (2..=5).for_each(|number| _ = bench.offer(B, number));
    assert_eq!(bench.take(), [Frame(1)]);
    bench.offer(B, 6);
    assert_eq!(bench.take(), (2..=6).map(Frame).collect::<Vec<_>>());
}

#[test]
fn standby_goes_back_when_the_primary_has_kept_up_for_long_enough() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    bench.down(A);
    bench.offer(B, 2);
    bench.arbiter.up(bench.now_ns, A);
    for number in 3..13 {
        bench.offer(B, number);
        bench.pass(10);
        bench.offer(A, number);
    }
    assert!(!bench.state().on_primary);
    bench.pass(60); // Silent for too long: the time starts anew.
    for number in 13..33 {
        bench.offer(B, number);
        bench.pass(10);
        bench.offer(A, number);
        assert!(!bench.state().on_primary);
    }
    bench.pass(11);
    assert!(bench.state().on_primary);
    assert_eq!(bench.counters().returns, 1);
    assert_eq!(bench.offer(B, 33), Outcome::Held);
    bench.offer(A, 33);
    assert_eq!(bench.take(), (1..=33).map(Frame).collect::<Vec<_>>());
}

#[test]
fn what_is_preferred_is_used_at_once_if_it_keeps_up() {
    let mut bench = Bench::new(standby());
    bench.offer(A, 1);
    bench.offer(B, 1);
    bench.offer(B, 2);
    bench.arbiter.prefer(bench.now_ns, B, &mut keep(&mut bench.out));
    assert_eq!(bench.arbiter.primary(), Some(B));
    assert_eq!(bench.take(), [Frame(1), Frame(2)]);
    assert_eq!(bench.offer(A, 3), Outcome::Held);
    assert_eq!(bench.offer(B, 3), Outcome::Emitted);
    assert!(bench.state().on_primary);
    bench.down(B);
    assert_eq!(bench.offer(A, 4), Outcome::Emitted, "it is left like any other primary");
    assert_eq!(bench.take(), [Frame(3), Frame(4)]);
    assert_eq!((bench.counters().failovers, bench.counters().returns), (1, 0));
}

#[test]
fn what_is_preferred_and_behind_has_to_keep_up_first() {
    let mut bench = Bench::new(standby());
    (1..=20).for_each(|number| _ = bench.offer(A, number));
    bench.arbiter.prefer(bench.now_ns, B, &mut keep(&mut bench.out));
    assert!(!bench.state().on_primary);
    for number in 21..=50 {
        bench.pass(10);
        let expected = if bench.state().on_primary { Outcome::Held } else { Outcome::Emitted };
        assert_eq!(bench.offer(A, number), expected, "nobody waits for it before it keeps up");
        bench.offer(B, number);
    }
    assert!(bench.state().on_primary);
    assert_eq!(bench.take(), (1..=50).map(Frame).collect::<Vec<_>>());
}

#[test]
fn preferring_changes_nothing_where_all_are_used() {
    let mut bench = Bench::new(arbitrated());
    bench.offer(A, 1);
    bench.arbiter.prefer(bench.now_ns, B, &mut keep(&mut bench.out));
    assert_eq!(bench.arbiter.primary(), None);
    assert_eq!(bench.offer(A, 2), Outcome::Emitted);
}

#[test]
fn the_primary_comes_back_to_a_channel_of_which_nothing_was_believed() {
    let settings = Settings { jump_max: 10, ..standby() };
    let mut bench = Bench::new(settings);
    assert_eq!(bench.offer(A, 1_000), Outcome::Implausible);
    bench.down(A);
    bench.arbiter.up(bench.now_ns, A);
    for _ in 0..30 {
        bench.pass(10);
        bench.arbiter.heard(bench.now_ns, A);
    }
    assert!(bench.state().on_primary);
    assert_eq!(bench.offer(A, 1), Outcome::Emitted);
    assert_eq!(bench.offer(A, 2), Outcome::Emitted);
    assert_eq!(bench.take(), [Frame(1), Frame(2)]);
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let refuse = |settings: Settings| Arbiter::new(settings).unwrap_err();
    assert_eq!(refuse(Settings { sources: 0, ..arbitrated() }), SettingsError::Sources(0));
    assert_eq!(refuse(Settings { sources: 5, ..arbitrated() }), SettingsError::Sources(5));
    assert_eq!(refuse(Settings { retry_ms: 0, ..arbitrated() }), SettingsError::Zero("retry_ms"));
    assert_eq!(refuse(Settings { channels_max: 65_536, ..arbitrated() }), SettingsError::Channels(65_536));
    let late = Settings { deadline_ms: 12, ..arbitrated() };
    assert_eq!(refuse(late), SettingsError::Deadline { deadline_ms: 12, least: 12 });
}
