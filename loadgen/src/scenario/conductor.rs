//! Plays a scenario: lets what happens on the way happen, looks at loads and servers, keeps what is seen second by second,
//! and knows when all is over.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use matcher_stub::PortState;
use service::shutdown::{Phase as Ending, Shutdown};
use transport::Clock;

use super::components::Components;
use super::file::{Deed, Happening, Phase, Port, Scenario};
use super::load::{Load, State};
use super::result::{InPhase, Row, Span};
use super::stage::Stage;
use crate::machine::Busy;
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
/// How long it takes until a thread has handed over what it has.
const HANDED_OVER_NS: u64 = TAKE_NS + 2 * 20_000_000;
/// A server that has not done in so long what was asked of it has not done it.
const EVENT_NS: u64 = 10_000_000_000;
/// So long without anything new after the last message, and what is missing will not come.
const QUIET_NS: u64 = 5_000_000_000;

/// A load, and what is seen of it.
pub(super) struct Track {
    pub(super) load: Box<dyn Load>,
    pub(super) schedule: Schedule,
    pub(super) rate_per_s: fn(&Phase) -> u64,
    pub(super) p99_ms_max: Option<f64>,
    pub(super) rows: Vec<Row>,
    /// Of the current row, which began then.
    row: Histogram<u64>,
    row_served: f64,
    row_ns: u64,
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
            row_ns: 0,
            phases: (0..phases).map(|_| (histogram(), 0.0)).collect(),
            recent: Percentiles::default(),
            state: State::default(),
            before: State::default(),
        }
    }

    /// What came lately, in this phase; `after`: when that was over, so that it counts for its latencies, but not for its rate.
    fn take(&mut self, phase: usize, after: bool) {
        self.before = self.state;
        self.state = self.load.state();
        let (of_phase, served) = &mut self.phases[phase];
        if !after {
            *served += self.state.served - self.before.served;
        }
        let recent = self.load.collect();
        self.recent = Percentiles::from(recent);
        add(of_phase, recent);
        add(&mut self.row, recent);
    }

    /// So many rows have passed since the last one, one but where nobody had time to look. Rates are over the time that really
    /// passed between the two looks; latencies are in the last of the rows.
    fn end_rows(&mut self, count: u64, now_ns: u64) {
        let seconds = (now_ns.saturating_sub(self.row_ns) as f64 / NS_PER_S).max(1e-9);
        let due = self.schedule.due_count(now_ns) - self.schedule.due_count(self.row_ns);
        let at = |quantile| self.row.value_at_quantile(quantile);
        let row = Row {
            offered_per_s: due as f64 / seconds,
            achieved_per_s: (self.state.served - self.row_served) / seconds,
            p50: at(0.5),
            p99: at(0.99),
            max: self.row.max(),
            wrong: self.state.wrong,
        };
        let empty = Row { p50: 0, p99: 0, max: 0, ..row };
        self.rows.extend((1..count).map(|_| empty));
        self.rows.push(row);
        self.row.reset();
        (self.row_served, self.row_ns) = (self.state.served, now_ns);
    }

    /// Whether something came that is in no row yet.
    fn has_more(&self) -> bool {
        !self.row.is_empty() || self.state.served > self.row_served
    }

    /// What it was like in each phase of a run that lasted so long.
    pub(super) fn in_phases(&self, scenario: &Scenario, lasted_s: f64) -> Vec<InPhase> {
        let of = |((phase, span), (latencies, served)): ((&Phase, Span), &(Histogram<u64>, f64))| {
            let seconds = span.lasted(lasted_s);
            InPhase {
                offered_per_s: if seconds > 0.0 { (self.rate_per_s)(phase) as f64 } else { 0.0 },
                achieved_per_s: if seconds > 0.0 { served / seconds } else { 0.0 },
                latency_ns: Percentiles::from(latencies),
            }
        };
        scenario.phases.iter().zip(spans(scenario)).zip(&self.phases).map(of).collect()
    }

    /// For how long it offers anything in a run that lasts so long, and when that ends: seconds, and seconds after the start.
    pub(super) fn offers(&self, scenario: &Scenario, lasted_s: f64) -> (f64, f64) {
        let active =
            scenario.phases.iter().zip(spans(scenario)).filter(|(phase, _)| (self.rate_per_s)(phase) > 0);
        active.fold((0.0, 0.0), |(seconds, end_s), (_, span)| {
            let lasted = span.lasted(lasted_s);
            (seconds + lasted, if lasted > 0.0 { span.from_s + lasted } else { end_s })
        })
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
    /// What did not happen as it was to, and why.
    pub(super) failures: Vec<String>,
    /// When it was told to end before its time.
    pub(super) ended_ns: Option<u64>,
    /// How much the generator's threads have to do, looked at once a row.
    pub(super) busy: Busy,
    /// What servers have been asked, since when, and where the answer comes.
    asked: Vec<(String, u64, Receiver<anyhow::Result<()>>)>,
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
            failures: Vec::new(),
            ended_ns: None,
            busy: Busy::begin(start_ns),
            asked: Vec::new(),
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

    /// Plays it to its end, or until it is told to end; `show` is called whenever there is something new to see.
    pub(super) fn play(
        &mut self,
        ending: &Shutdown,
        mut show: impl FnMut(&Self, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for track in &mut self.tracks {
            track.row_ns = self.start_ns;
            track.load.begin(track.schedule)?;
        }
        let scenario = self.scenario;
        let mut ahead: Vec<&Happening> = scenario.events.iter().collect();
        ahead.sort_by(|one, other| other.at_s.total_cmp(&one.at_s));
        let end_ns = self.start_ns + self.scenario.seconds() * 1_000_000_000;
        let (mut take_ns, mut row_ns, mut quiet) = (self.start_ns, self.start_ns, Quiet::default());
        // When all has come; what threads have not handed over by then they do a moment later.
        let mut all_ns = None;
        loop {
            std::thread::sleep(LOOK);
            let now_ns = self.clock.now_ns();
            self.happen(&mut ahead, now_ns);
            if ending.phase() >= Ending::Draining && self.ended_ns.is_none() && all_ns.is_none() {
                self.end(now_ns)?;
                ahead.clear();
            }
            if now_ns < take_ns {
                continue;
            }
            // In step with the start, so that rows do not drift.
            while take_ns <= now_ns {
                take_ns += TAKE_NS;
            }
            let at_s = self.at_s(now_ns);
            // What came since the last time, most of it before now.
            let middle_s = at_s - TAKE_NS as f64 / NS_PER_S / 2.0;
            let (phase, after) = (self.phase(middle_s), middle_s >= self.scenario.seconds() as f64);
            self.components.collect(at_s);
            for track in &mut self.tracks {
                track.take(phase, after);
                self.events.extend(track.load.happened());
            }
            let ended = self.ended_ns.is_some();
            if all_ns.is_none()
                && (ended || now_ns >= end_ns)
                && self.asked.is_empty()
                && (self.tracks.iter().all(|track| track.is_settled(ended))
                    || quiet.lasts(now_ns, &self.tracks))
            {
                all_ns = Some(now_ns);
            }
            let at_once = ending.phase() == Ending::Stopping;
            let over = at_once || all_ns.is_some_and(|all_ns| now_ns >= all_ns + HANDED_OVER_NS);
            let rows = now_ns.saturating_sub(row_ns) / self.interval_ns;
            if rows > 0 || (over && self.tracks.iter().any(Track::has_more)) {
                self.tracks.iter_mut().for_each(|track| track.end_rows(rows.max(1), now_ns));
                row_ns += rows * self.interval_ns;
                self.busy.look(now_ns);
                self.components.note(at_s);
            }
            show(self, now_ns)?;
            if over {
                // Whoever is held still could not be ended in order.
                self.release(u64::MAX);
                return Ok(());
            }
        }
    }

    /// Ends it before its time: nothing more is sent, and what is under way may come.
    fn end(&mut self, now_ns: u64) -> anyhow::Result<()> {
        self.ended_ns = Some(now_ns);
        for track in &mut self.tracks {
            track.load.end(track.schedule.due_count(now_ns))?;
        }
        let at_s = self.at_s(now_ns);
        self.events.push(Event { at_s, what: "told to end".to_owned() });
        self.failures.push(format!(
            "it was told to end after {at_s:.1} of {} s: the figures are of these",
            self.scenario.seconds()
        ));
        Ok(())
    }

    /// Lets happen what is due, and hears what came of it. What fails is told, and the run goes on.
    fn happen(&mut self, ahead: &mut Vec<&Happening>, now_ns: u64) {
        self.release(now_ns);
        let start_ns = self.start_ns;
        let due = |event: &&Happening| now_ns >= start_ns + (event.at_s * NS_PER_S) as u64;
        while let Some(event) = ahead.pop_if(|event| due(event)) {
            let told = event.told();
            let at_ns = self.clock.now_ns();
            self.events.push(Event { at_s: self.at_s(at_ns), what: told.clone() });
            match self.begin(&event.deed) {
                Ok(Some(answer)) => self.asked.push((told, at_ns, answer)),
                Ok(None) => {}
                Err(error) => self.failed(&told, &error),
            }
        }
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|(told, since_ns, answer)| {
            let done = match answer.try_recv() {
                Ok(done) => done,
                Err(TryRecvError::Empty) if now_ns < since_ns + EVENT_NS => return true,
                Err(_) => Err(anyhow::anyhow!("no answer in {} s", EVENT_NS / 1_000_000_000)),
            };
            if let Err(error) = done {
                self.failed(told, &error);
            }
            false
        });
        self.asked = asked;
    }

    fn begin(&mut self, deed: &Deed) -> anyhow::Result<Option<Receiver<anyhow::Result<()>>>> {
        if let Deed::PrimarySource(port) = deed {
            let state = if *port == Port::Up { PortState::Up } else { PortState::Down };
            self.tracks.iter().try_for_each(|track| track.load.set_primary(state))?;
        }
        self.stage.act(deed, &self.clock)?;
        self.stage.asked(deed)
    }

    /// Something did not happen as it was to.
    fn failed(&mut self, what: &str, error: &anyhow::Error) {
        let (at_s, said) = (self.at_s(self.clock.now_ns()), format!("FAILED: {what}: {error:#}"));
        self.failures.push(format!("at {at_s:.1} s: {said}"));
        self.events.push(Event { at_s, what: said });
    }

    fn release(&mut self, now_ns: u64) {
        match self.stage.release(now_ns).context("letting a server go on") {
            Ok(servers) => {
                let at_s = self.at_s(self.clock.now_ns());
                let events =
                    servers.into_iter().map(|server| Event { at_s, what: format!("{server} goes on") });
                self.events.extend(events);
            }
            Err(error) => self.failed("a server that was held", &error),
        }
    }
}

impl Track {
    /// Everything has come: of a run that was ended before its time, everything that was sent.
    fn is_settled(&self, ended: bool) -> bool {
        self.state.settled && (ended || self.state.sent + self.state.unsent >= self.schedule.count())
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::scenario::load::Finished;

    const S: u64 = 1_000_000_000;

    /// A load of which others say how much was served.
    struct Fake {
        served: Rc<Cell<f64>>,
        latencies: Histogram<u64>,
    }

    impl Load for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn what(&self) -> &'static str {
            ""
        }

        fn who(&self) -> String {
            String::new()
        }

        fn begin(&mut self, _schedule: Schedule) -> anyhow::Result<()> {
            Ok(())
        }

        fn state(&self) -> State {
            State { served: self.served.get(), ..State::default() }
        }

        fn collect(&mut self) -> &Histogram<u64> {
            &self.latencies
        }

        fn end(&mut self, _planned: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn finish(self: Box<Self>) -> anyhow::Result<Finished> {
            unreachable!("nobody asks")
        }
    }

    /// Two seconds of 100 orders/s, a pause of three, and two seconds of 200.
    fn track() -> (Rc<Cell<f64>>, Track, Scenario) {
        let text = "name = \"x\"\n[orders]\n[[phases]]\nname = \"a\"\nseconds = 2\norders_per_s = 100\n\
            [[phases]]\nname = \"b\"\nseconds = 3\n[[phases]]\nname = \"c\"\nseconds = 2\norders_per_s = 200\n";
        let scenario = Scenario::parse(text).unwrap();
        let schedule = scenario.schedule(0, |phase| phase.orders_per_s).unwrap();
        let served = Rc::new(Cell::new(0.0));
        let mut latencies = histogram();
        latencies.saturating_record(1_000);
        let load = Box::new(Fake { served: served.clone(), latencies });
        (served, Track::new(load, schedule, |phase| phase.orders_per_s, None, 3), scenario)
    }

    #[test]
    fn a_row_s_rates_are_over_the_time_that_it_really_had() {
        let (served, mut track, _) = track();
        served.set(100.0);
        track.take(0, false);
        track.end_rows(1, 5 * S / 4);
        assert_eq!((track.rows[0].achieved_per_s, track.rows[0].offered_per_s), (80.0, 100.0));
        assert!(!track.has_more());
        // Nobody could look for three seconds: the three have the same rate, and none has it all.
        served.set(175.0);
        track.take(0, false);
        assert!(track.has_more());
        track.end_rows(3, 17 * S / 4);
        let rates: Vec<f64> = track.rows.iter().map(|row| row.achieved_per_s).collect();
        assert_eq!(rates, [80.0, 25.0, 25.0, 25.0]);
        assert_eq!((track.rows[1].max, track.rows[3].max > 0), (0, true));
    }

    #[test]
    fn what_comes_after_the_last_phase_is_in_no_phase_s_rate() {
        let (served, mut track, scenario) = track();
        served.set(200.0);
        track.take(0, false);
        served.set(500.0);
        track.take(2, false);
        served.set(600.0);
        track.take(2, true);
        let phases = track.in_phases(&scenario, 7.0);
        let rates: Vec<f64> = phases.iter().map(|phase| phase.achieved_per_s).collect();
        assert_eq!(rates, [100.0, 0.0, 150.0]);
        assert_eq!(phases[2].latency_ns.count, 2, "its latency is told: it was due in that phase");
        assert_eq!(track.offers(&scenario, 7.0), (4.0, 7.0));
        // Ended after six seconds, and in the pause.
        assert_eq!(track.offers(&scenario, 6.0), (3.0, 6.0));
        assert_eq!(track.offers(&scenario, 4.0), (2.0, 2.0));
        assert_eq!(track.in_phases(&scenario, 4.0)[2].offered_per_s, 0.0);
    }
}
