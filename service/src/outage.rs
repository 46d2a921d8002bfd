//! A peer that is not there and is tried again until it is: why, and which of the failures the log tells.

use std::fmt::Display;

/// After a failure that was told, one with a reason that is known is not told for so long; then for twice as long each time.
const QUIET_NS_MIN: u64 = 10_000_000_000;
/// The longest time in which nothing is told of a peer that is tried.
const QUIET_NS_MAX: u64 = 600_000_000_000;
/// Reasons of an outage that are told apart: in some of them is what the peer said.
const REASONS_MAX: usize = 8;

/// The failures of one peer since it was there last. All of them are counted, wherever that is done; the log has the first one,
/// the first one with another reason, and else one each time that it was quiet for long enough.
#[derive(Debug, Default)]
pub struct Outage {
    failures: u64,
    reasons: Vec<String>,
    quiet_ns: u64,
    again_ns: u64,
    /// What the peer said last as it turned us away.
    said: String,
}

impl Outage {
    /// The peer turns us away, and says this: [`Self::why`] tells it, once.
    pub fn turned_away(&mut self, said: impl Display) {
        self.said = said.to_string();
    }

    /// Why the peer is not there any more, with what it said as it turned us away.
    pub fn why(&mut self, reason: &str) -> String {
        let said = std::mem::take(&mut self.said);
        if said.is_empty() { reason.to_owned() } else { format!("{reason}: {said}") }
    }

    /// A try has failed, at this time by the monotonic clock. Where the log is to tell it: how many have since the peer was there
    /// last, this one included. Numbers in a reason make no other reason of it: times are in some.
    pub fn failed(&mut self, now_ns: u64, reason: &str) -> Option<u64> {
        self.failures += 1;
        let key: String = reason.chars().filter(|char| !char.is_ascii_digit()).collect();
        let new = self.reasons.len() < REASONS_MAX && !self.reasons.contains(&key);
        if new {
            self.reasons.push(key);
        } else if now_ns < self.again_ns {
            return None;
        }
        self.quiet_ns = (self.quiet_ns * 2).clamp(QUIET_NS_MIN, QUIET_NS_MAX);
        self.again_ns = now_ns + self.quiet_ns;
        Some(self.failures)
    }

    /// The peer is there. What it has said is kept: it may let us in and turn us away with bytes that come together.
    pub fn over(&mut self) {
        *self = Self { said: std::mem::take(&mut self.said), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_peer_that_stays_away_is_told_of_ever_less_often() {
        let mut outage = Outage::default();
        let told: Vec<_> =
            (0..=1_400).filter_map(|s| Some((s, outage.failed(s * S, "refused, try 7")?))).collect();
        assert_eq!(
            told,
            [(0, 1), (10, 11), (30, 31), (70, 71), (150, 151), (310, 311), (630, 631), (1_230, 1_231)]
        );
    }

    #[test]
    fn another_reason_is_told_at_once_and_none_floods() {
        let mut outage = Outage::default();
        assert_eq!(outage.failed(0, "ends in 5 s"), Some(1));
        assert_eq!(outage.failed(1, "ends in 4 s"), None);
        assert_eq!(outage.failed(2, "no route"), Some(3));
        assert_eq!(outage.failed(3, "ends in 3 s"), None, "both are known");
        let made_up =
            (b'a'..=b'z').filter(|letter| outage.failed(4, &char::from(*letter).to_string()).is_some());
        assert_eq!(made_up.count(), REASONS_MAX - 2, "a peer cannot make up reasons without end");
        outage.over();
        assert_eq!(outage.failed(5, "ends in 5 s"), Some(1), "the next outage is another one");
    }

    #[test]
    fn what_a_peer_said_as_it_turned_us_away_is_told_once() {
        let mut outage = Outage::default();
        assert_eq!(outage.why("stalled"), "stalled");
        outage.turned_away("not before 09:00");
        outage.over();
        assert_eq!(outage.why("logged out"), "logged out: not before 09:00", "it had let us in just before");
        assert_eq!(outage.why("stalled"), "stalled");
    }
}
