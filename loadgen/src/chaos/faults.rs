//! Which faults are made when: drawn from the seed before the run begins, so that the seed repeats them.

use std::fmt;

use super::random::Random;
use crate::house::Kind;

/// Gateways behind the balancer.
pub(super) const GATEWAYS: [&str; 2] = ["a", "b"];
/// Lines to each core.
pub(super) const LINES: [&str; 2] = ["a", "b"];
/// Before the first fault and after the last is mended, orders go without one.
const CALM_MS: u64 = 700;

/// How a line fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its connections are closed, and new ones at once.
    Closed,
    /// The core hears, but says nothing.
    Silent,
    /// Neither hears nor says anything; connections stay.
    WithoutAWord,
}

impl Cut {
    const ALL: [Self; 3] = [Self::Closed, Self::Silent, Self::WithoutAWord];

    /// What the core's admin port calls it.
    pub(super) const fn port_state(self) -> &'static str {
        match self {
            Self::Closed => "down",
            Self::Silent => "mute",
            Self::WithoutAWord => "cut",
        }
    }
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A line to a core fails, for both gateways.
    LineCut { core: Kind, line: usize, how: Cut },
    /// A gateway is killed, and started again.
    GatewayKilled { gateway: usize },
    /// A core is killed, and started again.
    CoreKilled { core: Kind },
    /// The balancer drains a gateway, which is then ended in order, started again, and taken back.
    SlbDrain { gateway: usize },
}

impl Fault {
    /// Which of the kinds, as in [`KINDS`].
    pub(super) const fn kind(self) -> usize {
        match self {
            Self::LineCut { .. } => 0,
            Self::GatewayKilled { .. } => 1,
            Self::CoreKilled { .. } => 2,
            Self::SlbDrain { .. } => 3,
        }
    }

    /// The core whose orders it stops; `None` where it is those of both.
    pub(super) const fn core(self) -> Option<Kind> {
        match self {
            Self::LineCut { core, .. } | Self::CoreKilled { core } => Some(core),
            Self::GatewayKilled { .. } | Self::SlbDrain { .. } => None,
        }
    }

    /// Whether both need the same thing: a line needs its core, a gateway is one process.
    fn collides(self, other: Self) -> bool {
        match (self, other) {
            (Self::LineCut { core, line, .. }, Self::LineCut { core: other, line: another, .. }) => {
                core == other && line == another
            }
            (
                Self::LineCut { core, .. } | Self::CoreKilled { core },
                Self::LineCut { core: other, .. } | Self::CoreKilled { core: other },
            ) => core == other,
            (
                Self::GatewayKilled { gateway } | Self::SlbDrain { gateway },
                Self::GatewayKilled { gateway: other } | Self::SlbDrain { gateway: other },
            ) => gateway == other,
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LineCut { core, line, how } => {
                let how = match how {
                    Cut::Closed => "closed",
                    Cut::Silent => "silent",
                    Cut::WithoutAWord => "cut without a word",
                };
                write!(f, "line {} of the {} core {how}", LINES[line], core.name())
            }
            Self::GatewayKilled { gateway } => write!(f, "gateway {} killed", GATEWAYS[gateway]),
            Self::CoreKilled { core } => write!(f, "{} core killed", core.name()),
            Self::SlbDrain { gateway } => {
                write!(f, "gateway {} drained and started again", GATEWAYS[gateway])
            }
        }
    }
}

/// The kinds of fault, as the JSON calls them.
pub(super) const KINDS: [&str; 4] = ["line_cut", "gateway_killed", "core_killed", "slb_drain"];

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum FaultKind {
    /// A line to a core: closed, silent, or cut without a word.
    LineCut,
    /// SIGKILL.
    GatewayKilled,
    /// SIGKILL.
    CoreKilled,
    /// Drained by the balancer, ended in order, started again, taken back.
    SlbDrain,
}
/// Of a hundred faults beyond the first of each kind, so many are of each.
const SHARES: [u64; 4] = [50, 20, 15, 15];
/// How long each kind lasts, milliseconds: from, and below.
const LASTS_MS: [(u64, u64); 4] = [(300, 5_000), (100, 2_500), (100, 1_500), (300, 2_000)];

/// A fault and its time, milliseconds after the first order is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) at_ms: u64,
    /// When it is mended.
    pub(super) until_ms: u64,
    pub(super) fault: Fault,
}

/// The faults of a run of `span_ms`: one of each kind, and others up to `count`, in order of time.
pub(super) fn plan(seed: u64, span_ms: u64, count: u64, among: &[FaultKind]) -> Vec<Planned> {
    let mut random = Random::new(seed);
    let mut kinds: Vec<usize> = among.iter().map(|kind| *kind as usize).collect();
    let among = kinds.clone();
    let shares: u64 = among.iter().map(|kind| SHARES[*kind]).sum();
    while (kinds.len() as u64) < count {
        let mut drawn = random.between(0, shares);
        let taken = among.iter().find(|kind| match drawn.checked_sub(SHARES[**kind]) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        });
        kinds.extend(taken);
    }
    let last_ms = span_ms.saturating_sub(CALM_MS).max(2);
    let mut planned: Vec<Planned> = Vec::new();
    for kind in kinds {
        // Where the run is short there may be no place left: then another length, another time.
        for _ in 0..100 {
            let (from_ms, below_ms) = LASTS_MS[kind];
            let for_ms = random.between(from_ms, below_ms.min(from_ms + last_ms / 3).max(from_ms + 1));
            let at_ms = random.between(CALM_MS.min(last_ms / 4), last_ms.saturating_sub(for_ms).max(1));
            let one = Planned { at_ms, until_ms: at_ms + for_ms, fault: draw(&mut random, kind) };
            if planned.iter().all(|other| !overlap(one, *other)) {
                planned.push(one);
                break;
            }
        }
    }
    planned.sort_by_key(|one| one.at_ms);
    planned
}

/// A process or a line that fails must have been mended for a moment before it fails again.
fn overlap(one: Planned, other: Planned) -> bool {
    let apart = one.until_ms + CALM_MS <= other.at_ms || other.until_ms + CALM_MS <= one.at_ms;
    !apart && one.fault.collides(other.fault)
}

fn draw(random: &mut Random, kind: usize) -> Fault {
    let core = if random.between(0, 2) == 0 { Kind::Cash } else { Kind::Margin };
    let which = random.between(0, 2) as usize;
    match kind {
        0 => {
            let how = random.choose(&Cut::ALL).copied().unwrap_or(Cut::Closed);
            Fault::LineCut { core, line: which, how }
        }
        1 => Fault::GatewayKilled { gateway: which },
        2 => Fault::CoreKilled { core },
        _ => Fault::SlbDrain { gateway: which },
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn plan(seed: u64, span_ms: u64, count: u64) -> Vec<Planned> {
        super::plan(seed, span_ms, count, FaultKind::value_variants())
    }

    #[test]
    fn kinds_are_called_what_the_json_calls_them() {
        let names = FaultKind::value_variants().iter().map(|kind| kind.to_possible_value().unwrap());
        assert!(names.map(|name| name.get_name().to_string()).eq(KINDS));
        let lines_only = super::plan(1, 60_000, 30, &[FaultKind::LineCut]);
        assert!(lines_only.len() > 10 && lines_only.iter().all(|one| one.fault.kind() == 0));
    }

    #[test]
    fn a_seed_repeats_its_faults_and_another_has_others() {
        assert_eq!(plan(7, 60_000, 24), plan(7, 60_000, 24));
        assert_ne!(plan(7, 60_000, 24), plan(8, 60_000, 24));
    }

    #[test]
    fn there_is_one_of_each_kind_and_all_are_mended_before_the_end() {
        for seed in 0..500 {
            for (span_ms, count) in [(8_000, 4), (60_000, 24), (600_000, 240)] {
                let planned = plan(seed, span_ms, count);
                let of = |kind| planned.iter().filter(|one| one.fault.kind() == kind).count();
                assert!((0..KINDS.len()).all(|kind| of(kind) > 0), "seed {seed}: {planned:?}");
                assert!(planned.len() as u64 * 10 >= count * 7, "seed {seed}: {} of {count}", planned.len());
                assert!(planned.iter().all(|one| one.at_ms < one.until_ms && one.until_ms < span_ms));
                assert!(planned.is_sorted_by_key(|one| one.at_ms));
            }
        }
    }

    #[test]
    fn what_is_down_does_not_fail_again() {
        let planned = plan(3, 60_000, 40);
        for (at, one) in planned.iter().enumerate() {
            for other in &planned[at + 1..] {
                assert!(one.until_ms <= other.at_ms || !one.fault.collides(other.fault), "{one:?} {other:?}");
            }
        }
        let killed = Fault::CoreKilled { core: Kind::Cash };
        let cut = |core| Fault::LineCut { core, line: 1, how: Cut::Silent };
        assert!(killed.collides(cut(Kind::Cash)) && !killed.collides(cut(Kind::Margin)));
    }
}
