//! Which causes of failed handshakes were told of late: a flood of one must neither flood the log nor hide the other causes.

/// How long a cause that was told is not told again.
const TOLD_NS: u64 = 10_000_000_000;
/// Causes that are told apart: in some of them is what the peer sent.
const CAUSES_MAX: usize = 8;

/// The causes that were told, each with when it may be told again.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(String, u64)>);

impl Told {
    /// Whether a cause may be told now; if so, it counts as told. Numbers in it make no other cause of it: times are in some.
    pub(super) fn may_tell(&mut self, cause: &str, now_ns: u64) -> bool {
        self.0.retain(|(_, again_ns)| *again_ns > now_ns);
        let key: String = cause.chars().filter(|char| !char.is_ascii_digit()).collect();
        let may = self.0.len() < CAUSES_MAX && self.0.iter().all(|(told, _)| *told != key);
        if may {
            self.0.push((key, now_ns + TOLD_NS));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_and_none_floods() {
        let mut told = Told::default();
        assert!(told.may_tell("expired 5 seconds ago", 0));
        assert!(!told.may_tell("expired 6 seconds ago", 1));
        assert!(told.may_tell("unknown issuer", 1), "another cause is not hidden by the first");
        assert!(told.may_tell("expired 9 seconds ago", TOLD_NS));
        let made_up = (b'a'..=b'z').filter(|letter| told.may_tell(&char::from(*letter).to_string(), TOLD_NS));
        assert_eq!(made_up.count(), CAUSES_MAX - 2, "a peer cannot make up causes without end");
    }
}
