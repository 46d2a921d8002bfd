//! What the servers say of themselves while a scenario runs: each is asked once a second at its admin port, by a thread of
//! its own, so that one that hangs holds up neither the others nor the run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::file::Component;
use crate::admin;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// A server that takes longer does not answer.
const TIMEOUT: Duration = Duration::from_millis(900);
/// Answers that may wait to be looked at.
const WAITING_MAX: usize = 8;

/// How a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It says that it is ready.
    Ready,
    /// It answers, and says that it is not ready.
    NotReady,
    /// It does not answer.
    Gone,
}

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) condition: Condition,
    /// Its figures: what it is called, whether it only grows, and how much it is.
    pub(super) figures: Vec<(&'static str, bool, f64)>,
    /// CPU time that it used since it was started, seconds.
    pub(super) cpu_s: f64,
    /// Memory that it uses, bytes.
    pub(super) memory_bytes: f64,
}

/// What is told of servers, where they count it.
const FIGURES: [(&str, &str); 10] = [
    ("slb_connections_open", "connections"),
    ("slb_connections_accepted_total", "accepted"),
    ("gateway_sessions", "sessions"),
    ("gateway_core_up", "lines"),
    ("gateway_orders_total", "orders"),
    ("matcher_orders_accepted_total", "orders"),
    ("matcher_trades_total", "trades"),
    ("feed_source_up", "sources"),
    ("feed_subscribers", "subscribers"),
    ("feed_frames_won_total", "quotes"),
];

impl Answer {
    fn of(metrics: &str, ready: bool) -> Self {
        let there =
            |name: &&(&str, &str)| metrics.lines().any(|line| line.split(['{', ' ']).next() == Some(name.0));
        let figure = |(name, label): &(&'static str, &'static str)| {
            (*label, name.ends_with("_total"), admin::counted(metrics, name))
        };
        Self {
            condition: if ready { Condition::Ready } else { Condition::NotReady },
            figures: FIGURES.iter().filter(there).map(figure).collect(),
            cpu_s: admin::counted(metrics, "process_cpu_seconds_total"),
            memory_bytes: admin::counted(metrics, "process_resident_memory_bytes"),
        }
    }

    fn ask(at: SocketAddr) -> Self {
        let Ok(metrics) = admin::get_within(at, "/metrics", TIMEOUT) else {
            return Self { condition: Condition::Gone, ..Self::default() };
        };
        Self::of(&metrics, admin::get_within(at, "/ready", TIMEOUT).is_ok())
    }
}

/// A server that is looked at.
pub(super) struct Looked {
    pub(super) name: String,
    /// What it said last, and before that.
    pub(super) last: Answer,
    pub(super) before: Answer,
    /// Its conditions: since when (seconds after the start), and which.
    pub(super) conditions: Vec<(f64, Condition)>,
    /// CPU time that it used since the run began, whatever became of its process.
    pub(super) cpu_s: f64,
    pub(super) memory_bytes_max: f64,
    /// Memory over time: when (seconds after the start), and how much.
    pub(super) memory: Vec<(f64, f64)>,
    /// The first answer of the run is what the others are counted from.
    counted: bool,
    from: Receiver<Answer>,
}

/// All servers that are looked at.
pub(super) struct Components {
    pub(super) all: Vec<Looked>,
    over: Arc<AtomicBool>,
}

impl Components {
    /// Begins to look.
    pub(super) fn start(components: &[Component]) -> anyhow::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let looked = |component: &Component| {
            let (to, from) = sync_channel(WAITING_MAX);
            let (at, over) = (component.admin, over.clone());
            let thread = std::thread::Builder::new().name("loadgen-look".into());
            thread.spawn(move || look(at, &over, &to)).context("a thread that looks at a server")?;
            Ok(Looked {
                name: component.name.clone(),
                last: Answer::default(),
                before: Answer::default(),
                conditions: Vec::new(),
                cpu_s: 0.0,
                memory_bytes_max: 0.0,
                memory: Vec::new(),
                counted: false,
                from,
            })
        };
        let all = components.iter().map(looked).collect::<anyhow::Result<_>>()?;
        Ok(Self { all, over })
    }

    /// Notes how much memory each has now, if it answers.
    pub(super) fn note(&mut self, at_s: f64) {
        for looked in self.all.iter_mut().filter(|looked| looked.last.condition != Condition::Gone) {
            if looked.last.memory_bytes > 0.0 {
                looked.memory.push((at_s, looked.last.memory_bytes));
            }
        }
    }

    /// Takes what was said since the last time.
    pub(super) fn collect(&mut self, at_s: f64) {
        for looked in &mut self.all {
            while let Ok(answer) = looked.from.try_recv() {
                looked.take(answer, at_s);
            }
        }
    }
}

impl Drop for Components {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Looked {
    fn take(&mut self, answer: Answer, at_s: f64) {
        if self.conditions.last().is_none_or(|(_, last)| *last != answer.condition) {
            self.conditions.push((at_s.max(0.0), answer.condition));
        }
        self.memory_bytes_max = self.memory_bytes_max.max(answer.memory_bytes);
        if answer.condition == Condition::Gone {
            self.last = Answer { condition: Condition::Gone, ..self.last.clone() };
            return;
        }
        let anew = answer.cpu_s < self.last.cpu_s;
        let used = if anew { answer.cpu_s } else { answer.cpu_s - self.last.cpu_s };
        if self.counted {
            self.cpu_s += used;
        }
        self.counted = true;
        self.before = std::mem::replace(&mut self.last, answer);
    }
}

/// Asks until the run is over.
fn look(at: SocketAddr, over: &AtomicBool, to: &SyncSender<Answer>) {
    while !over.load(Ordering::Relaxed) {
        if to.try_send(Answer::ask(at)).is_err() {
            tracing::debug!(%at, "an answer was not looked at");
        }
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "gateway_sessions 7\ngateway_orders_total{core=\"cash\"} 2\n\
        gateway_orders_total{core=\"margin\"} 3\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 4096\n";

    fn looked() -> (SyncSender<Answer>, Components) {
        let (to, from) = sync_channel(WAITING_MAX);
        let looked = Looked {
            name: "gateway-a".to_owned(),
            last: Answer::default(),
            before: Answer::default(),
            conditions: Vec::new(),
            cpu_s: 0.0,
            memory_bytes_max: 0.0,
            memory: Vec::new(),
            counted: false,
            from,
        };
        (to, Components { all: vec![looked], over: Arc::default() })
    }

    #[test]
    fn only_what_a_server_counts_is_told() {
        let answer = Answer::of(METRICS, true);
        assert_eq!(answer.figures, [("sessions", false, 7.0), ("orders", true, 5.0)]);
        assert_eq!((answer.condition, answer.cpu_s, answer.memory_bytes), (Condition::Ready, 1.5, 4096.0));
        assert_eq!(Answer::of("", false).condition, Condition::NotReady);
    }

    #[test]
    fn memory_is_noted_over_time_and_not_while_a_server_is_gone() {
        let (to, mut components) = looked();
        for (at_s, condition) in [(0.0, Condition::Unknown), (1.0, Condition::Ready), (2.0, Condition::Gone)]
        {
            if condition != Condition::Unknown {
                to.send(Answer { condition, memory_bytes: 4096.0, ..Answer::default() }).unwrap();
            }
            components.collect(at_s);
            components.note(at_s);
        }
        assert_eq!(components.all[0].memory, [(1.0, 4096.0)]);
    }

    #[test]
    fn a_server_that_is_killed_and_started_again_has_used_what_both_processes_did() {
        let (to, mut components) = looked();
        let said = |condition, cpu_s| Answer { condition, cpu_s, ..Answer::default() };
        for (at_s, answer) in [
            (0.0, said(Condition::Ready, 5.0)),
            (1.0, said(Condition::Ready, 7.0)),
            (2.0, said(Condition::Gone, 0.0)),
            (3.0, said(Condition::Gone, 0.0)),
            (4.0, said(Condition::NotReady, 0.5)),
            (5.0, said(Condition::Ready, 1.0)),
        ] {
            to.send(answer).unwrap();
            components.collect(at_s);
        }
        let looked = &components.all[0];
        assert_eq!(looked.cpu_s, 3.0);
        use Condition::{Gone, NotReady, Ready};
        assert_eq!(looked.conditions, [(0.0, Ready), (2.0, Gone), (4.0, NotReady), (5.0, Ready)]);
    }
}
