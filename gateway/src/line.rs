//! One line to a core: dial, log on, keep alive, dial again. No I/O and no clock: the server does what
//! [`Line::dial_due`] says and tells what came of it.

use wire::szse::code::SessionStatus;
use wire::szse::session::{Limits, Session};
use wire::szse::{I32, Logon, Password, Text};

/// How a line is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SenderCompID of our logon.
    pub sender_comp_id: Text<20>,
    /// TargetCompID of our logon.
    pub target_comp_id: Text<20>,
    /// Password of our logon.
    pub password: Password,
    /// DefaultApplVerID of our logon.
    pub default_appl_ver_id: Text<32>,
    /// HeartBtInt of our logon, seconds: two of them in silence, and a line is dead.
    pub heart_bt_s: u16,
    /// Pause before it is dialled again; doubled each time.
    pub backoff_ms_min: u32,
    /// The longest pause; a line that stayed up for so long begins with the shortest again.
    pub backoff_ms_max: u32,
    /// Bounds of its session.
    pub limits: Limits,
}

/// Where a line stands.
pub enum State {
    /// Dialled when the time has come.
    Waiting {
        /// When.
        until_ns: u64,
    },
    /// On its way.
    Dialling,
    /// Connected.
    Open {
        /// Its session.
        session: Session,
        /// Logged on, and told from where we want its reports: it takes orders.
        ready: bool,
        /// Since when it is connected.
        since_ns: u64,
    },
}

/// A line.
pub struct Line {
    settings: Settings,
    state: State,
    /// We are leaving it: it takes no orders, and that the core logs us out is its answer.
    leaving: bool,
    backoff_ms: u32,
    jitter: u64,
}

impl Line {
    /// A line that is dialled at once. `seed` makes its pauses different from those of others.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let backoff_ms = settings.backoff_ms_min;
        let state = State::Waiting { until_ns: 0 };
        Self { settings, state, leaving: false, backoff_ms, jitter: seed | 1 }
    }

    /// Whether it is to be dialled now; if so, it counts as being dialled.
    pub fn dial_due(&mut self, now_ns: u64) -> bool {
        let due = matches!(self.state, State::Waiting { until_ns } if until_ns <= now_ns);
        if due {
            self.state = State::Dialling;
        }
        due
    }

    /// It is connected: appends our logon.
    pub fn opened(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let logon = Logon {
            sender_comp_id: self.settings.sender_comp_id,
            target_comp_id: self.settings.target_comp_id,
            heart_bt_int_s: I32::new(i32::from(self.settings.heart_bt_s)),
            password: self.settings.password,
            default_appl_ver_id: self.settings.default_appl_ver_id,
        };
        let session = Session::initiator(self.settings.limits, &logon, now_ns, out);
        self.leaving = false;
        self.state = State::Open { session, ready: false, since_ns: now_ns };
    }

    /// It could not be dialled, or has ended: it is dialled again after a pause.
    pub fn lost(&mut self, now_ns: u64) {
        if let State::Open { since_ns, .. } = self.state
            && now_ns - since_ns >= u64::from(self.settings.backoff_ms_max) * 1_000_000
        {
            self.backoff_ms = self.settings.backoff_ms_min;
        }
        let pause_ns = u64::from(self.backoff_ms) * 1_000_000;
        // Between half and all of it, so that gateways which lost a core together do not come back together.
        let pause_ns = pause_ns / 2 + self.next_jitter() % (pause_ns / 2 + 1);
        self.backoff_ms = self.backoff_ms.saturating_mul(2).min(self.settings.backoff_ms_max);
        self.state = State::Waiting { until_ns: now_ns + pause_ns };
    }

    /// Whether it takes orders.
    #[inline]
    pub fn ready(&self) -> bool {
        !self.leaving && matches!(self.state, State::Open { ready: true, .. })
    }

    /// From now on it takes orders.
    pub fn set_ready(&mut self) {
        if let State::Open { ready, .. } = &mut self.state {
            *ready = true;
        }
    }

    /// Leaves it: appends our logout, the first time only. Whether its session is over, as one is that has not
    /// logged on yet.
    pub fn log_out(&mut self, text: &str, now_ns: u64, out: &mut Vec<u8>) -> bool {
        self.leaving = true;
        let Some(session) = self.session() else { return true };
        session.log_out(SessionStatus::LOGOUT_COMPLETE, text, now_ns, out);
        session.is_closed()
    }

    /// Whether [`Self::log_out`] was called.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Its session, while it is connected.
    pub fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Open { session, .. } => Some(session),
            State::Waiting { .. } | State::Dialling => None,
        }
    }

    /// Where it stands, in a word.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Waiting { .. } => "waiting",
            State::Dialling => "dialling",
            State::Open { .. } if self.leaving => "logging out",
            State::Open { ready: false, .. } => "logging on",
            State::Open { ready: true, .. } => "up",
        }
    }

    /// xorshift: all it has to be is different in each gateway.
    fn next_jitter(&mut self) -> u64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn line() -> Line {
        let settings = Settings {
            sender_comp_id: "gateway".parse().unwrap(),
            target_comp_id: "core".parse().unwrap(),
            password: Password::default(),
            default_appl_ver_id: wire::szse::code::VERSION_TRADING,
            heart_bt_s: 3,
            backoff_ms_min: 100,
            backoff_ms_max: 1_000,
            limits: Limits::default(),
        };
        Line::new(settings, 42)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let mut line = line();
        let mut now_ns = 0;
        for full_ms in [100, 200, 400, 800, 1_000, 1_000] {
            assert!(line.dial_due(now_ns));
            assert!(!line.dial_due(now_ns), "once");
            line.lost(now_ns);
            let State::Waiting { until_ns } = line.state else { panic!("{}", line.state()) };
            let pause_ms = (until_ns - now_ns) as f64 / MS as f64;
            assert!(pause_ms >= f64::from(full_ms) / 2.0 && pause_ms <= f64::from(full_ms), "{pause_ms}");
            assert!(!line.dial_due(until_ns - 1));
            now_ns = until_ns;
        }
    }
}
