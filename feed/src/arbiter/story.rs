//! Two sources with losses, kills and reconnects: whatever they do, each number comes out once and in order, or in a
//! declared gap, and nothing is declared lost that a source had and would have given.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const MS: u64 = 1_000_000;

/// What happens next in the world.
#[derive(Clone, Debug)]
enum Step {
    /// The upstream publishes so many numbers; each source loses those whose bit is set.
    Publish {
        count: u8,
        lost: [u32; 2],
    },
    /// So many frames on their way from a source arrive.
    Arrive {
        source: usize,
        count: u8,
    },
    Kill {
        source: usize,
    },
    Reconnect {
        source: usize,
    },
    Heartbeat {
        source: usize,
    },
    Pass {
        ms: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let source = 0..2usize;
    prop_oneof![
        4 => (1..20u8, any::<[u32; 2]>(), any::<[u32; 2]>())
            .prop_map(|(count, a, b)| Step::Publish { count, lost: [a[0] & a[1] & b[0], a[0] & b[1] & a[1]] }),
        6 => (source.clone(), 1..30u8).prop_map(|(source, count)| Step::Arrive { source, count }),
        1 => source.clone().prop_map(|source| Step::Kill { source }),
        2 => source.clone().prop_map(|source| Step::Reconnect { source }),
        1 => source.prop_map(|source| Step::Heartbeat { source }),
        3 => (1..40u8).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// How a source treats requests for numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum History {
    Serves,
    Cannot,
    IsSilent,
}

enum Message {
    Tick(u64),
    Cannot(u64),
    Last(u64),
}

/// One source as the upstream's end of a connection; order is kept within it.
struct Upstream {
    history: History,
    connected: bool,
    wire: VecDeque<Message>,
}

struct World {
    arbiter: Arbiter,
    now_ns: u64,
    published: u64,
    upstreams: [Upstream; 2],
    /// Emitted numbers and declared gaps, as ranges.
    out: Vec<(u64, u64, bool)>,
}

impl World {
    fn new(settings: Settings, histories: [History; 2]) -> Self {
        let upstreams =
            histories.map(|history| Upstream { history, connected: false, wire: VecDeque::new() });
        let arbiter = Arbiter::new(settings).unwrap();
        Self { arbiter, now_ns: 0, published: 0, upstreams, out: Vec::new() }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Publish { count, lost } => {
                for index in 0..count {
                    self.published += 1;
                    for (upstream, lost) in self.upstreams.iter_mut().zip(lost) {
                        if upstream.connected && lost >> index & 1 == 0 {
                            upstream.wire.push_back(Message::Tick(self.published));
                        }
                    }
                }
            }
            Step::Arrive { source, count } => (0..count).for_each(|_| self.arrive(source)),
            Step::Kill { source } => {
                self.upstreams[source].connected = false;
                self.upstreams[source].wire.clear();
                self.drive(|arbiter, now_ns, sink| arbiter.down(now_ns, Source::new(source), sink));
            }
            Step::Reconnect { source } => {
                if !self.upstreams[source].connected {
                    self.upstreams[source].connected = true;
                    self.drive(|arbiter, now_ns, _| arbiter.up(now_ns, Source::new(source)));
                }
            }
            Step::Heartbeat { source } => {
                if self.upstreams[source].connected {
                    self.upstreams[source].wire.push_back(Message::Last(self.published));
                }
            }
            Step::Pass { ms } => {
                for _ in 0..ms {
                    self.now_ns += MS;
                    self.drive(|arbiter, now_ns, sink| arbiter.poll(now_ns, sink));
                }
            }
        }
    }

    fn arrive(&mut self, source: usize) {
        let Some(message) = self.upstreams[source].wire.pop_front() else { return };
        let source = Source::new(source);
        self.drive(|arbiter, now_ns, sink| match message {
            Message::Tick(number) => {
                let frame = number.to_be_bytes();
                arbiter.offer(now_ns, source, Tick { channel: 1, number, key: 0, frame: &frame }, sink);
            }
            Message::Cannot(begin) => arbiter.answer(now_ns, source, (1, begin), Answer::Cannot),
            Message::Last(last) => arbiter.heartbeat(now_ns, source, (1, last), sink),
        });
    }

    /// Does something with the arbiter and carries out what it wants.
    fn drive(&mut self, act: impl FnOnce(&mut Arbiter, u64, &mut dyn FnMut(Event<'_>))) {
        let Self { arbiter, now_ns, published, upstreams, out } = self;
        let mut sink = |event: Event<'_>| match event {
            Event::Frame(tick) => {
                assert_eq!(tick.frame, tick.number.to_be_bytes());
                out.push((tick.number, tick.number, false));
            }
            Event::BeginsAfter { .. } | Event::Apart { .. } => unreachable!("it begins at the open"),
            Event::Lost { begin, end, .. } => out.push((begin, end, true)),
            Event::Ask { source, begin, end, .. } => {
                let upstream = &mut upstreams[source.index()];
                assert!(upstream.connected, "only who is connected is asked");
                assert!(begin <= end && end <= *published, "only what exists is asked for");
                match upstream.history {
                    History::Serves => upstream.wire.extend((begin..=end).map(Message::Tick)),
                    History::Cannot => upstream.wire.push_back(Message::Cannot(begin)),
                    History::IsSilent => {}
                }
            }
        };
        act(arbiter, *now_ns, &mut sink);
    }

    /// Both sources stay connected from now on, and everything on its way arrives.
    fn calm_down(&mut self) {
        for source in 0..2 {
            self.apply(Step::Reconnect { source });
        }
        // Holes are asked for one after the other, and a source that is silent lets each run to its deadline.
        for _ in 0..2_000 {
            for source in 0..2 {
                self.apply(Step::Heartbeat { source });
                self.apply(Step::Arrive { source, count: u8::MAX });
            }
            if self.next() > self.published {
                return;
            }
            self.apply(Step::Pass { ms: 20 });
        }
    }

    /// The number after the last one that came out.
    fn next(&self) -> u64 {
        self.out.last().map_or(1, |(_, end, _)| end + 1)
    }
}

fn history() -> impl Strategy<Value = History> {
    prop_oneof![Just(History::Serves), Just(History::Cannot), Just(History::IsSilent)]
}

fn mode() -> impl Strategy<Value = Mode> {
    let standby = Standby { silent_ms: 30, behind_ms: 20, behind_count: 15, return_after_ms: 50 };
    prop_oneof![Just(Mode::Arbitrated), Just(Mode::Standby(standby))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_number_comes_once_in_order_or_in_a_declared_gap(
        steps in prop::collection::vec(step(), 1..120),
        histories in [history(), history()],
        mode in mode(),
        held_count_max in prop_oneof![Just(8usize), Just(1_000)],
    ) {
        // Longer than any story where both would give everything, if only it arrived.
        let deadline_ms = if histories == [History::Serves; 2] { 20_000 } else { 200 };
        let settings = Settings {
            mode,
            from: From::Open,
            held_count_max,
            patience_ms: 2,
            retry_ms: 10,
            deadline_ms,
            ask_count_max: 50,
            ..Settings::default()
        };
        let mut world = World::new(settings, histories);
        for step in steps {
            world.apply(step);
        }
        world.calm_down();
        let mut next = 1;
        for &(begin, end, _) in &world.out {
            prop_assert_eq!(begin, next);
            prop_assert!(end >= begin);
            next = end + 1;
        }
        prop_assert_eq!(next, world.published + 1, "the flow went on to the end");
        let lost = world.out.iter().any(|(.., lost)| *lost);
        prop_assert!(!(lost && histories == [History::Serves; 2]), "nothing is lost that both would give");
        prop_assert_eq!((world.arbiter.held_bytes(), world.arbiter.open_gaps(), world.arbiter.poll_at_ns()), (0, 0, None));
    }
}
