//! Plays a scenario: lets what happens on the way happen, looks at loads and servers, keeps what is seen second by second,
//! and knows when all is over.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use matcher_stub::PortState;
use transport::Clock;

use super::components::Components;
use super::file::{Deed, Happening, Phase, Port, Scenario};
use super::load::{Load, State};
use super::result::{InPhase, Row, Span};
use super::stage::Stage;
use crate::recorder::histogram;
use crate::report::{Event, Percentiles};
use crate::schedule::Schedule;

const NS_PER_S: f64 = 1e9;
/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often latencies are taken: as often as threads hand them over.
const TAKE_NS: u64 = 250_000_000;
/// Rows of a load, about: longer runs have longer intervals.
const ROWS_MAX: u64 = 600;
/// So long without anything new after the last message, and what is missing will not come.
const QUIET_NS: u64 = 5_000_000_000;

/// A load, and what is seen of it.
pub(super) struct Track {
    pub(super) load: Box<dyn Load>,
    pub(super) schedule: Schedule,
    pub(super) rate_per_s: fn(&Phase) -> u64,
    pub(super) p99_ms_max: Option<f64>,
    pub(super) rows: Vec<Row>,
    /// Of the current row.
    row: Histogram<u64>,
    row_served: f64,
    phases: Vec<(Histogram<u64>, f64)>,
    /// What came last, for the picture.
    pub(super) recent: Percentiles,
    pub(super) state: State,
    pub(super) before: State,
}

impl Track {
    pub(super) fn new(
        load: Box<dyn Load>,
        schedule: Schedule,
        rate_per_s: fn(&Phase) -> u64,
        p99_ms_max: Option<f64>,
        phases: usize,
    ) -> Self {
        Self {
            load,
            schedule,
            rate_per_s,
            p99_ms_max,
            rows: Vec::new(),
            row: histogram(),
            row_served: 0.0,
            phases: (0..phases).map(|_| (histogram(), 0.0)).collect(),
            recent: Percentiles::default(),
            state: State::default(),
            before: State::default(),
        }
    }

    /// What came lately, in this phase.
    fn take(&mut self, phase: usize) {
        self.before = self.state;
        self.state = self.load.state();
        let (of_phase, served) = &mut self.phases[phase];
        *served += self.state.served - self.before.served;
        let recent = self.load.collect();
        self.recent = Percentiles::from(recent);
        add(of_phase, recent);
        add(&mut self.row, recent);
    }

    fn end_row(&mut self, from_ns: u64, to_ns: u64) {
        let seconds = to_ns.saturating_sub(from_ns) as f64 / NS_PER_S;
        let due = self.schedule.due_count(to_ns) - self.schedule.due_count(from_ns);
        let at = |quantile| self.row.value_at_quantile(quantile);
        self.rows.push(Row {
            offered_per_s: due as f64 / seconds,
            achieved_per_s: (self.state.served - self.row_served) / seconds,
            p50: at(0.5),
            p99: at(0.99),
            max: self.row.max(),
            wrong: self.state.wrong,
        });
        self.row.reset();
        self.row_served = self.state.served;
    }

    /// What it was like in each phase.
    pub(super) fn in_phases(&self, scenario: &Scenario) -> Vec<InPhase> {
        let of = |(phase, (latencies, served)): (&Phase, &(Histogram<u64>, f64))| InPhase {
            offered_per_s: (self.rate_per_s)(phase) as f64,
            achieved_per_s: served / phase.seconds as f64,
            latency_ns: Percentiles::from(latencies),
        };
        scenario.phases.iter().zip(&self.phases).map(of).collect()
    }
}

fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("invariant: all histograms have the same bounds");
}

/// When each phase is.
pub(super) fn spans(scenario: &Scenario) -> Vec<Span> {
    let mut from_s = 0.0;
    let span = |phase: &Phase| {
        let to_s = from_s + phase.seconds as f64;
        Span { name: phase.name.clone(), from_s: std::mem::replace(&mut from_s, to_s), to_s }
    };
    scenario.phases.iter().map(span).collect()
}

/// Everything that plays.
pub(super) struct Conductor<'a> {
    pub(super) clock: Clock,
    pub(super) scenario: &'a Scenario,
    pub(super) spans: Vec<Span>,
    pub(super) stage: &'a mut Stage,
    pub(super) tracks: Vec<Track>,
    pub(super) components: Components,
    pub(super) start_ns: u64,
    pub(super) events: Vec<Event>,
    interval_ns: u64,
}

impl<'a> Conductor<'a> {
    pub(super) fn new(
        clock: Clock,
        scenario: &'a Scenario,
        stage: &'a mut Stage,
        tracks: Vec<Track>,
        start_ns: u64,
    ) -> anyhow::Result<Self> {
        let interval_ns = scenario.seconds().div_ceil(ROWS_MAX).max(1) * 1_000_000_000;
        let components = Components::start(&stage.components)?;
        let spans = spans(scenario);
        Ok(Self {
            clock,
            scenario,
            spans,
            stage,
            tracks,
            components,
            start_ns,
            events: Vec::new(),
            interval_ns,
        })
    }

    pub(super) fn interval_s(&self) -> f64 {
        self.interval_ns as f64 / NS_PER_S
    }

    /// Seconds since the start.
    pub(super) fn at_s(&self, now_ns: u64) -> f64 {
        now_ns.saturating_sub(self.start_ns) as f64 / NS_PER_S
    }

    /// Which phase it is; after the last one still that.
    pub(super) fn phase(&self, at_s: f64) -> usize {
        self.spans.iter().take_while(|span| span.to_s <= at_s).count().min(self.spans.len() - 1)
    }

    /// Plays it to its end; `show` is called whenever there is something new to see.
    pub(super) fn play(
        &mut self,
        mut show: impl FnMut(&Self, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for track in &mut self.tracks {
            track.load.begin(track.schedule)?;
        }
        let scenario = self.scenario;
        let mut ahead: Vec<&Happening> = scenario.events.iter().collect();
        ahead.sort_by(|one, other| other.at_s.total_cmp(&one.at_s));
        let end_ns = self.start_ns + self.scenario.seconds() * 1_000_000_000;
        let (mut take_ns, mut row_ns, mut quiet) = (self.start_ns, self.start_ns, Quiet::default());
        loop {
            std::thread::sleep(LOOK);
            let now_ns = self.clock.now_ns();
            self.happen(&mut ahead, now_ns)?;
            if now_ns < take_ns {
                continue;
            }
            // In step with the start, so that rows do not drift.
            while take_ns <= now_ns {
                take_ns += TAKE_NS;
            }
            let at_s = self.at_s(now_ns);
            // What came since the last time, most of it before now.
            let phase = self.phase(at_s - TAKE_NS as f64 / NS_PER_S / 2.0);
            self.components.collect(at_s);
            self.tracks.iter_mut().for_each(|track| track.take(phase));
            let over = now_ns >= end_ns
                && (self.tracks.iter().all(Track::is_settled) || quiet.lasts(now_ns, &self.tracks));
            while now_ns >= row_ns + self.interval_ns {
                self.tracks.iter_mut().for_each(|track| track.end_row(row_ns, row_ns + self.interval_ns));
                row_ns += self.interval_ns;
            }
            if over && self.tracks.iter().any(|track| !track.row.is_empty()) {
                self.tracks.iter_mut().for_each(|track| track.end_row(row_ns, row_ns + self.interval_ns));
            }
            show(self, now_ns)?;
            if over {
                // Whoever is held still could not be ended in order.
                self.release(u64::MAX)?;
                return Ok(());
            }
        }
    }

    /// Lets happen what is due.
    fn happen(&mut self, ahead: &mut Vec<&Happening>, now_ns: u64) -> anyhow::Result<()> {
        self.release(now_ns)?;
        let start_ns = self.start_ns;
        let due = |event: &&Happening| now_ns >= start_ns + (event.at_s * NS_PER_S) as u64;
        while let Some(event) = ahead.pop_if(|event| due(event)) {
            let told = event.told();
            let failed = || format!("at {} s: {told}", event.at_s);
            if let Deed::PrimarySource(port) = event.deed {
                let state = if port == Port::Up { PortState::Up } else { PortState::Down };
                self.tracks
                    .iter()
                    .try_for_each(|track| track.load.set_primary(state))
                    .with_context(failed)?;
            }
            let at_ns = self.clock.now_ns();
            self.stage.act(&event.deed, &self.clock).with_context(failed)?;
            self.events.push(Event { at_s: self.at_s(at_ns), what: told });
        }
        Ok(())
    }

    fn release(&mut self, now_ns: u64) -> anyhow::Result<()> {
        for server in self.stage.release(now_ns).context("letting a server go on")? {
            let at_s = self.at_s(self.clock.now_ns());
            self.events.push(Event { at_s, what: format!("{server} goes on") });
        }
        Ok(())
    }
}

impl Track {
    fn is_settled(&self) -> bool {
        self.state.settled && self.state.sent >= self.schedule.count()
    }
}

impl Happening {
    /// What is told of it.
    pub(super) fn told(&self) -> String {
        if !self.what.is_empty() {
            return self.what.clone();
        }
        match &self.deed {
            Deed::Kill(server) => format!("{server} is killed"),
            Deed::Start(server) => format!("{server} is started again"),
            Deed::Hold { server, ms } => format!("{server} is held for {ms} ms"),
            Deed::PrimarySource(Port::Down) => "the primary source dies".to_owned(),
            Deed::PrimarySource(Port::Up) => "the primary source is back".to_owned(),
            Deed::Put(request) | Deed::Post(request) => format!("{}: {}", request.server, request.path),
        }
    }
}

/// Notices that nothing comes any more.
#[derive(Default)]
struct Quiet {
    seen: (u64, f64),
    since_ns: u64,
}

impl Quiet {
    fn lasts(&mut self, now_ns: u64, tracks: &[Track]) -> bool {
        let seen = tracks
            .iter()
            .fold((0, 0.0), |(sent, served), track| (sent + track.state.sent, served + track.state.served));
        if seen != self.seen || self.since_ns == 0 {
            (self.seen, self.since_ns) = (seen, now_ns);
        }
        now_ns > self.since_ns + QUIET_NS
    }
}
