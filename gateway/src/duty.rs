//! Which of a core's two lines does what: carries a partition's reports, takes an account's requests. No I/O: what is to be
//! done about it is `upstream`'s.

use crate::orders::AccountKey;
use serde::Deserialize;

/// Lines of a core, at most.
pub(crate) const LINES_MAX: usize = 2;

/// How two lines share the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One has all of it; the other is logged on and waits. Nothing goes back by itself when the first is mended.
    #[default]
    ActiveStandby,
    /// Each has the partitions and the accounts that are its own, and all of them while the other is down.
    ActiveActive,
}

/// Who does what, of one core.
#[derive(Debug)]
pub(crate) struct Duty {
    mode: Mode,
    lines: usize,
    /// The active line, of active-standby.
    active: usize,
    /// The line that an account's requests went over last, of active-active.
    of_account: Vec<u8>,
}

impl Duty {
    pub(crate) fn new(mode: Mode, lines: usize, accounts: usize) -> Self {
        let mut duty = Self { mode, lines, active: 0, of_account: Vec::new() };
        duty.of_account = (0..=accounts).map(|account| duty.home(account) as u8).collect();
        duty
    }

    fn home(&self, number: usize) -> usize {
        number % self.lines
    }

    /// Makes a line the active one.
    pub(crate) fn activate(&mut self, line: usize) {
        self.active = line;
    }

    /// Whether a line is the active one; both are, where both work.
    pub(crate) fn is_active(&self, line: usize) -> bool {
        self.mode == Mode::ActiveActive || line == self.active
    }

    /// The line that carries the reports of a partition, the first being 0; `None` while no line can.
    pub(crate) fn carrier(&mut self, partition: usize, can: [bool; LINES_MAX]) -> Option<usize> {
        let wanted = match self.mode {
            Mode::ActiveStandby => self.active,
            Mode::ActiveActive => self.home(partition),
        };
        let carrier = [wanted, 1 - wanted].into_iter().find(|line| can[*line])?;
        if self.mode == Mode::ActiveStandby {
            self.active = carrier;
        }
        Some(carrier)
    }

    /// The line for a request of an account that has so many under way. An account changes lines only when nothing of it
    /// is under way, or when its line is down: no cancel overtakes its order.
    #[inline]
    pub(crate) fn line_for(
        &mut self,
        account: AccountKey,
        under_way: u32,
        can: [bool; LINES_MAX],
    ) -> Option<usize> {
        if self.mode == Mode::ActiveStandby {
            return can[self.active].then_some(self.active);
        }
        let home = self.home(account as usize);
        let last = usize::from(self.of_account[account as usize]);
        let line = if can[last] && under_way > 0 { last } else { home };
        let line = [line, 1 - line].into_iter().find(|line| can[*line])?;
        self.of_account[account as usize] = line as u8;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [bool; 2] = [true, true];
    const A: [bool; 2] = [true, false];
    const B: [bool; 2] = [false, true];

    #[test]
    fn one_is_active_until_it_fails_and_the_other_stays_active_then() {
        let mut duty = Duty::new(Mode::ActiveStandby, 2, 3);
        assert_eq!((duty.carrier(0, BOTH), duty.carrier(1, BOTH)), (Some(0), Some(0)));
        assert_eq!(duty.line_for(1, 0, BOTH), Some(0));
        assert_eq!((duty.carrier(0, B), duty.carrier(1, B)), (Some(1), Some(1)));
        assert_eq!(duty.carrier(0, BOTH), Some(1), "nothing goes back by itself");
        assert_eq!(duty.line_for(1, 0, BOTH), Some(1));
        assert_eq!(duty.carrier(0, [false; 2]), None);
        assert_eq!(duty.line_for(1, 0, [false; 2]), None);
        duty.activate(0);
        assert_eq!(duty.carrier(0, BOTH), Some(0));
    }

    #[test]
    fn both_share_and_each_does_all_alone() {
        let mut duty = Duty::new(Mode::ActiveActive, 2, 3);
        assert_eq!((duty.carrier(0, BOTH), duty.carrier(1, BOTH)), (Some(0), Some(1)));
        assert_eq!([1, 2, 3].map(|account| duty.line_for(account, 0, BOTH)), [Some(1), Some(0), Some(1)]);
        assert_eq!((duty.carrier(0, A), duty.carrier(1, A)), (Some(0), Some(0)));
        assert_eq!([1, 2].map(|account| duty.line_for(account, 5, A)), [Some(0), Some(0)]);
        assert_eq!(duty.line_for(1, 5, BOTH), Some(0), "what is under way is not overtaken");
        assert_eq!(duty.line_for(1, 0, BOTH), Some(1), "home again");
    }

    #[test]
    fn a_single_line_does_all() {
        let mut duty = Duty::new(Mode::ActiveActive, 1, 3);
        assert_eq!((duty.carrier(0, A), duty.carrier(1, A)), (Some(0), Some(0)));
        assert_eq!(duty.line_for(1, 0, A), Some(0));
    }
}
