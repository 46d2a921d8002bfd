//! A run where all is well, and what the checker says when it is not.

use wire::szse::code::OrdRejReason;

use super::super::evidence::{Passed, Received};
use super::super::mix::{Fate, example};
use super::*;
use crate::house::Kind;

const PLANNED: u64 = 40;

/// An order is sent every second, and all that is told of it is told at once.
const fn sent_ns(order: u64) -> u64 {
    order * 1_000_000_000
}

/// The evidence of a run.
#[derive(Clone)]
struct Run {
    mix: Mix,
    planned: u64,
    clients: Vec<History>,
    flows: Vec<Flow>,
    recovered: Vec<Flow>,
    trails: Vec<Trail>,
    kills_ns: Vec<u64>,
}

impl Run {
    fn good() -> Self {
        let mix = example(5);
        let mut run = Self {
            planned: PLANNED,
            clients: (0..mix.plan.sessions)
                .map(|session| History { session, ..History::default() })
                .collect(),
            flows: Kind::ALL.map(|kind| Flow { core: kind.name(), ..Flow::default() }).into(),
            recovered: Vec::new(),
            kills_ns: Vec::new(),
            trails: vec![
                Trail { gateway: "a", ..Trail::default() },
                Trail { gateway: "b", ..Trail::default() },
            ],
            mix,
        };
        for order in 0..PLANNED {
            let session = run.mix.session(Request(order));
            run.clients[session as usize].orders.push(order);
            run.clients[session as usize].sendings.push((order, sent_ns(order)));
            run.report(Request(order), News::Accepted(terms(&run.mix, order)));
            let sent = run.mix.order(order, Timestamp::ZERO);
            run.trails[(order % 2) as usize].orders.push(Passed::of(run.mix.core(order).name(), &sent));
        }
        for order in 0..PLANNED {
            let quantity = terms(&run.mix, order).quantity;
            match run.mix.fate(order) {
                Fate::Trades => {
                    let half = Qty::from_raw(quantity.raw() / 2);
                    run.report(Request(order), News::Traded { last: half, cum: half, leaves: half });
                    run.report(Request(order), News::Traded { last: half, cum: quantity, leaves: Qty::ZERO });
                }
                Fate::Rests => {}
                Fate::IsCancelled => {
                    run.report(Request::cancel(order), News::Cancelled { cum: Qty::ZERO });
                    run.report(Request::cancel(order), News::CancelRejected);
                }
                Fate::IsForAtOnce => run.report(Request(order), News::Cancelled { cum: Qty::ZERO }),
            }
        }
        run.report(Request(3), News::Rejected(OrdRejReason::DUPLICATE_ORDER));
        run.recovered = run.flows.clone();
        run
    }

    /// The core says something: it is in its flow, at the client, in both audits.
    fn report(&mut self, request: Request, news: News) {
        let order = request.order();
        let core = self.mix.core(order) as usize;
        let flow = &mut self.flows[core];
        let report = Report {
            place: Place { partition: 1 + 10 * core as i32, index: flow.reports.len() as i64 + 1 },
            digest: (core as u64) << 32 | flow.reports.len() as u64,
            cl_ord_id: self.mix.cl_ord_id(request),
            order: self.mix.cl_ord_id(Request(order)),
            order_id: Text::BLANK,
            account: self.mix.plan.account(self.mix.session(request)),
            news,
        };
        flow.reports.push(report);
        let session = self.mix.session(request) as usize;
        self.clients[session].reports.push(Received { report, at_ns: sent_ns(order) });
        for trail in &mut self.trails {
            trail.reports.push((report.place, report.digest));
        }
    }

    fn check(&self) -> Findings {
        check(&Evidence {
            mix: &self.mix,
            planned: self.planned,
            clients: &self.clients,
            flows: &self.flows,
            recovered: &self.recovered,
            trails: &self.trails,
            kills_ns: &self.kills_ns,
        })
    }

    /// A report is nowhere, and those behind it have moved up.
    fn forget(&mut self, gone: Place) {
        let stays = |place: &mut Place| {
            let stays = *place != gone;
            place.index -= i64::from(place.partition == gone.partition && place.index > gone.index);
            stays
        };
        for flow in &mut self.flows {
            flow.reports.retain_mut(|report| stays(&mut report.place));
        }
        for client in &mut self.clients {
            client.reports.retain_mut(|received| stays(&mut received.report.place));
        }
        for trail in &mut self.trails {
            trail.reports.retain_mut(|(place, _)| stays(place));
        }
        self.recovered = self.flows.clone();
    }

    /// No core has sent such a report of this order.
    fn forget_all(&mut self, order: u64, such: fn(&News) -> bool) {
        while let Some(place) = self.place(order, such) {
            self.forget(place);
        }
    }

    /// Where the first such report of an order stands.
    fn place(&self, order: u64, such: fn(&News) -> bool) -> Option<Place> {
        let id = self.mix.cl_ord_id(Request(order));
        let mut reports = self.flows.iter().flat_map(|flow| &flow.reports);
        reports.find(|report| report.order == id && such(&report.news)).map(|report| report.place)
    }

    fn first(&self, fate: Fate) -> u64 {
        (0..PLANNED).find(|order| self.mix.fate(*order) == fate).unwrap()
    }

    /// What is found after this was done to it.
    fn after(&self, harm: impl FnOnce(&mut Self)) -> Vec<Break> {
        let mut run = self.clone();
        harm(&mut run);
        run.check().breaks
    }
}

#[test]
fn a_good_run_is_good() {
    let run = Run::good();
    let findings = run.check();
    assert_eq!(findings.breaks, []);
    assert_eq!((findings.orders, findings.acknowledged, findings.refused_again), (PLANNED, PLANNED, 1));
    assert_eq!(findings.reports, run.trails[0].reports.len() as u64);
    let fates: HashSet<_> = (0..PLANNED).map(|order| run.mix.fate(order) as u8).collect();
    assert_eq!(fates.len(), 4, "the example has all of them");
}

#[test]
fn a_client_that_missed_a_report_or_got_it_twice_is_found() {
    let run = Run::good();
    let end =
        |received: &Received| matches!(received.report.news, News::Traded { .. } | News::Cancelled { .. });
    let at = run.clients[2].reports.iter().rposition(end).unwrap();
    let missed = run.clients[2].reports[at].report.place;
    let found = run.after(|run| {
        run.clients[2].reports.remove(at);
    });
    assert_eq!(found, [Break::ReportMissed { session: 2, place: missed }]);

    let first = run.clients[1].reports[0].report.place;
    let found = run.after(|run| {
        let again = run.clients[1].reports[0];
        run.clients[1].reports.push(again);
    });
    assert_eq!(found, [Break::ReportTwice { session: 1, place: first }]);
    assert_eq!(found[0].account(), Account::Duplicated);
}

/// A gateway may keep "sent twice" for itself, also where it is said of a cancel, and nothing else.
#[test]
fn a_client_need_not_be_told_that_its_request_came_twice() {
    let run = Run::good();
    let again = |report: &Report| report.is_duplicate() || report.news == News::CancelRejected;
    assert!(
        run.clients.iter().flat_map(|client| &client.reports).any(|received| received.report.is_duplicate())
    );
    let keep_back = |run: &mut Run| {
        let kept: Vec<Report> =
            run.flows.iter().flat_map(|flow| flow.reports.clone()).filter(again).collect();
        let is_kept = |place: &Place| kept.iter().any(|report| report.place == *place);
        for client in &mut run.clients {
            client.reports.retain(|received| !is_kept(&received.report.place));
        }
        for trail in &mut run.trails {
            trail.reports.retain(|(place, _)| !is_kept(place));
        }
    };
    assert_eq!(run.after(keep_back), []);
    // The first answer to a cancel is no repetition.
    let order = run.first(Fate::IsCancelled);
    let found = run.after(|run| {
        run.forget_all(order, |news| matches!(news, News::Cancelled { .. }));
        keep_back(run);
    });
    let session = run.mix.session(Request(order));
    let missed = |broken: &Break| matches!(broken, Break::ReportMissed { session: of, .. } if *of == session);
    assert!(found.iter().any(missed), "{found:?}");
}

#[test]
fn reports_in_another_order_are_found() {
    let run = Run::good();
    let of_one: Vec<usize> = (0..run.clients[0].reports.len())
        .filter(|at| run.clients[0].reports[*at].report.place.partition == 1)
        .collect();
    let (one, two) = (of_one[0], of_one[1]);
    let [early, late] = [one, two].map(|at| run.clients[0].reports[at].report.place);
    let found = run.after(|run| run.clients[0].reports.swap(one, two));
    assert_eq!(found, [Break::OutOfOrder { session: 0, place: early, after: late.index }]);
    assert_eq!(found[0].account(), Account::ReportGap);
}

#[test]
fn reports_of_nobody_and_of_somebody_else_are_found() {
    let run = Run::good();
    let theirs = run.clients[3].reports[0];
    let found = run.after(|run| run.clients[2].reports.insert(0, theirs));
    assert!(found.contains(&Break::ReportOfNobody { session: 2, place: theirs.report.place }), "{found:?}");
    let place = Place { partition: 1, index: 9_999 };
    let found = run.after(|run| {
        let mut made_up = run.clients[0].reports[0];
        made_up.report.place = place;
        run.clients[0].reports.push(made_up);
    });
    assert_eq!(found, [Break::ReportOfNobody { session: 0, place }]);
}

#[test]
fn an_altered_report_is_found_wherever_it_is() {
    let run = Run::good();
    let place = run.clients[0].reports[0].report.place;
    let found = run.after(|run| run.clients[0].reports[0].report.digest ^= 1);
    assert_eq!(found, [Break::Altered { at: "session 0".to_string(), place }]);
    let found = run.after(|run| run.trails[1].reports[0].1 ^= 1);
    assert!(
        matches!(&found[..], [Break::Altered { at, .. }] if at.contains("audit of gateway b")),
        "{found:?}"
    );
    let found = run.after(|run| run.recovered[0].reports[0].digest ^= 1);
    assert!(matches!(&found[..], [Break::Altered { at, .. }] if at.contains("killed")), "{found:?}");
}

#[test]
fn orders_not_sent_and_not_answered_are_lost() {
    let run = Run::good();
    let found = run.after(|run| run.planned += 1);
    assert_eq!(found, [Break::NotSent { order: PLANNED }]);
    let found = run.after(|run| {
        run.planned += 1;
        run.clients[0].orders.push(PLANNED);
    });
    assert_eq!(found, [Break::NotAnswered { order: PLANNED }]);
    assert_eq!(found[0].account(), Account::Lost);
}

/// The gateway has swallowed the cancel, or has asked for the cancel of something else.
#[test]
fn a_cancel_that_is_lost_is_found() {
    let run = Run::good();
    let order = run.first(Fate::IsCancelled);
    let found = run.after(|run| {
        run.forget_all(order, |news| matches!(news, News::Cancelled { .. } | News::CancelRejected));
    });
    assert_eq!(found, [Break::Unresolved { order }]);
    assert_eq!(found[0].account(), Account::Lost);
    let found = run.after(|run| {
        run.forget_all(order, |news| matches!(news, News::Cancelled { .. }));
        assert!(run.place(order, |news| *news == News::CancelRejected).is_some());
    });
    assert_eq!(found, [Break::Unresolved { order }]);
}

#[test]
fn orders_that_did_not_come_to_their_end_or_to_another_are_found() {
    let run = Run::good();
    let whole = |run: &Run, order| run.mix.order(order, Timestamp::ZERO).order_qty;
    let traded = |news: &News| matches!(news, News::Traded { .. });
    let half = run.first(Fate::Trades);
    assert_eq!(run.after(|run| run.forget_all(half, traded)), [Break::Unresolved { order: half }]);
    let last = |news: &News| matches!(news, News::Traded { leaves, .. } if *leaves == Qty::ZERO);
    assert_eq!(run.after(|run| run.forget_all(half, last)), [Break::Unresolved { order: half }]);
    let at_once = run.first(Fate::IsForAtOnce);
    let cancelled = |news: &News| matches!(news, News::Cancelled { .. });
    assert_eq!(run.after(|run| run.forget_all(at_once, cancelled)), [Break::Unresolved { order: at_once }]);
    // Nobody has asked for the end of this one.
    let resting = run.first(Fate::Rests);
    for news in [
        News::Cancelled { cum: Qty::ZERO },
        News::Traded { last: whole(&run, resting), cum: whole(&run, resting), leaves: Qty::ZERO },
    ] {
        let found = run.after(|run| {
            run.report(Request(resting), news);
            run.recovered = run.flows.clone();
        });
        assert!(
            matches!(found[..], [Break::Contradiction { order, .. }] if order == resting),
            "{news:?}: {found:?}"
        );
    }
    // What never came to a core has not met its other half: that is one break, not two.
    let found = run.after(|run| {
        run.forget_all(half, traded);
        run.forget_all(half + 1, |_| true);
    });
    assert_eq!(found, [Break::NotAnswered { order: half + 1 }]);
}

#[test]
fn an_acknowledged_order_that_the_core_does_not_hold_is_lost() {
    let mut clients = Run::good();
    // A client is told of one more order, and nobody else knows of it.
    clients.planned += 1;
    clients.clients[0].orders.push(PLANNED);
    let mut told = clients.clients[0].reports[0];
    told.report.place.index = 7_777;
    told.report.order = clients.mix.cl_ord_id(Request(PLANNED));
    told.report.cl_ord_id = told.report.order;
    clients.clients[0].reports.push(told);
    let found = clients.check().breaks;
    assert!(found.contains(&Break::NotAtACore { order: PLANNED }), "{found:?}");
    assert!(found.contains(&Break::NotInTheAudit { order: PLANNED, what: "request" }), "{found:?}");
}

#[test]
fn requests_that_no_audit_has_are_found() {
    let run = Run::good();
    let forget = |run: &mut Run| {
        run.trails[1].orders.remove(0);
    };
    assert_eq!(run.after(forget), [Break::NotInTheAudit { order: 1, what: "request" }]);
    // Order 1 was sent, and its client was told, 200 ms before a gateway was killed; order 3 when none was.
    let mut killed = run.clone();
    killed.kills_ns = vec![1_200_000_000];
    forget(&mut killed);
    let findings = killed.check();
    assert_eq!((findings.breaks, findings.requests_unwritten), (vec![], 1), "its report is there");
    forget(&mut killed);
    assert_eq!(killed.check().breaks, [Break::NotInTheAudit { order: 3, what: "request" }]);
    // Its client was told 19 s later.
    let told_late = |kill_ns| {
        run.after(|run| {
            let order = run.mix.cl_ord_id(Request(1));
            let mut reports = run.clients.iter_mut().flat_map(|client| &mut client.reports);
            reports.find(|received| received.report.order == order).unwrap().at_ns = sent_ns(20);
            run.kills_ns = vec![kill_ns];
            forget(run);
        })
    };
    assert_eq!(told_late(sent_ns(1) + 200_000_000), [], "it was sent just before the kill");
    assert_eq!(told_late(sent_ns(20) + 200_000_000), [], "or told just before it");
    assert_eq!(told_late(sent_ns(10)), [Break::NotInTheAudit { order: 1, what: "request" }]);
    let strange = |change: fn(&mut Passed)| {
        run.after(|run| {
            let mut passed = run.trails[0].orders[0];
            change(&mut passed);
            run.trails[0].orders.push(passed);
        })
    };
    for found in [
        strange(|passed| passed.account = Text::literal("nobody")),
        strange(|passed| passed.core = "other"),
        strange(|passed| passed.terms.quantity = Qty::whole(1)),
    ] {
        assert!(matches!(found[..], [Break::Invented { .. }]), "{found:?}");
    }
}

#[test]
fn reports_that_an_audit_misses_or_has_twice_are_found() {
    let run = Run::good();
    let place = run.place(6, |_| true).unwrap();
    let drop_from = |run: &mut Run, trail: usize| run.trails[trail].reports.retain(|(at, _)| *at != place);
    assert_eq!(run.after(|run| drop_from(run, 0)), [Break::NotAudited { gateway: "a", place }]);
    let found = run.after(|run| [0, 1].into_iter().for_each(|trail| drop_from(run, trail)));
    assert_eq!(found[2], Break::NotInTheAudit { order: 6, what: "acceptance" });
    assert_eq!(found[2].account(), Account::Lost);
    let first = run.trails[1].reports[0];
    let found = run.after(|run| run.trails[1].reports.push(first));
    assert_eq!(found, [Break::AuditedTwice { gateway: "b", place: first.0 }]);
    let of_one: Vec<usize> =
        (0..run.trails[0].reports.len()).filter(|at| run.trails[0].reports[*at].0.partition == 1).collect();
    let found = run.after(|run| run.trails[0].reports.swap(of_one[0], of_one[1]));
    assert!(matches!(found[..], [Break::AuditedTwice { .. }]), "{found:?}");
}

#[test]
fn an_order_that_a_core_took_twice_is_found() {
    let run = Run::good();
    let found = run.after(|run| {
        run.report(Request(0), News::Accepted(terms(&run.mix, 0)));
        run.recovered = run.flows.clone();
    });
    assert_eq!(found, [Break::TwiceAtTheCores { order: 0 }]);
    // At the other core, where it does not belong: that core could not know.
    let found = run.after(|run| {
        let other = 1 - run.mix.core(0) as usize;
        let mut report = run.flows[run.mix.core(0) as usize].reports[0];
        report.order = run.mix.cl_ord_id(Request(0));
        report.cl_ord_id = report.order;
        report.place =
            Place { partition: 1 + 10 * other as i32, index: run.flows[other].reports.len() as i64 + 1 };
        run.flows[other].reports.push(report);
        run.recovered = run.flows.clone();
    });
    assert!(found.contains(&Break::TwiceAtTheCores { order: 0 }), "{found:?}");
}

#[test]
fn orders_that_nobody_sent_are_found() {
    let run = Run::good();
    let found = run.after(|run| {
        let order = PLANNED + 4;
        run.report(Request(order), News::Accepted(terms(&run.mix, order)));
        run.recovered = run.flows.clone();
    });
    assert!(matches!(found[0], Break::Invented { .. }), "{found:?}");
    let found = run.after(|run| {
        let other = Terms { quantity: Qty::whole(1), ..terms(&run.mix, 0) };
        let place = run.place(0, |_| true).unwrap();
        for flow in &mut run.flows {
            for report in flow.reports.iter_mut().filter(|report| report.place == place) {
                report.news = News::Accepted(other);
            }
        }
    });
    assert!(found.iter().any(|broken| matches!(broken, Break::Invented { .. })), "{found:?}");
}

#[test]
fn a_hole_at_a_core_is_found() {
    let run = Run::good();
    let found = run.after(|run| {
        let gone = run.flows[0].reports.pop().unwrap().place;
        let mut later = run.flows[0].reports.pop().unwrap();
        for history in &mut run.clients {
            history.reports.retain(|received| {
                received.report.place.index < later.place.index || received.report.place.partition != 1
            });
        }
        for trail in &mut run.trails {
            trail.reports.retain(|(place, _)| place.index < later.place.index || place.partition != 1);
        }
        later.place = gone;
        let session = run.mix.session(run.mix.request(&later.cl_ord_id).unwrap()) as usize;
        run.clients[session].reports.push(Received { report: later, at_ns: 0 });
        run.flows[0].reports.push(later);
        run.recovered = run.flows.clone();
    });
    assert!(found.iter().any(|broken| matches!(broken, Break::Hole { .. })), "{found:?}");
}

#[test]
fn a_core_that_forgot_is_found() {
    let run = Run::good();
    let place = run.flows[1].reports.last().unwrap().place;
    let found = run.after(|run| {
        run.recovered[1].reports.pop();
    });
    assert_eq!(found, [Break::Forgotten { place }]);
    let found = run.after(|run| run.recovered.clear());
    assert_eq!(found.len() as u64, run.check().reports);
}

#[test]
fn orders_whose_reports_contradict_each_other_are_found() {
    let run = Run::good();
    let dead = (0..PLANNED).find(|order| run.mix.fate(*order) == Fate::IsForAtOnce).unwrap();
    let resting = (0..PLANNED).find(|order| run.mix.fate(*order) == Fate::Rests).unwrap();
    let hundred = Qty::whole(100);
    let trade = News::Traded { last: hundred, cum: hundred, leaves: hundred };
    for (order, news) in [
        (dead, trade),
        (dead, News::Cancelled { cum: Qty::ZERO }),
        (resting, News::Traded { last: hundred, cum: hundred, leaves: Qty::whole(9_999) }),
        (resting, News::Cancelled { cum: hundred }),
    ] {
        let found = run.after(|run| {
            run.report(Request(order), news);
            run.recovered = run.flows.clone();
        });
        assert!(matches!(found[..], [Break::Contradiction { .. }]), "{news:?}: {found:?}");
    }
}

#[test]
fn refused_orders_are_found() {
    let run = Run::good();
    let found = run.after(|run| {
        run.report(Request(2), News::Rejected(OrdRejReason::PRICE_OUT_OF_BAND));
        run.recovered = run.flows.clone();
    });
    assert!(matches!(found[..], [Break::Refused { order: 2, .. }]), "{found:?}");
    // "Sent twice", of an order that the core had not taken yet.
    let found = run.after(|run| {
        run.planned += 1;
        run.clients[0].orders.push(PLANNED);
        run.report(Request(PLANNED), News::Rejected(OrdRejReason::DUPLICATE_ORDER));
        run.recovered = run.flows.clone();
    });
    assert!(found.iter().any(|broken| matches!(broken, Break::Refused { .. })), "{found:?}");
}
