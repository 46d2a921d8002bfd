use super::*;
use crate::accounts::Credentials;
use crate::check::Checks;
use crate::line::Settings;
use flow::{Limits, Reader};
use service::traces::Tracer;
use wire::szse::code::{OrdRejReason, PlatformId, SessionStatus};
use wire::szse::trading::ReportBase;
use wire::szse::{Logon, Logout, Password, session};

const PARTITIONS: Partitions = Partitions { first: 1, count: 2, offset: 20 };

const OVER: Over = Over { life: crate::flight::Life { line: 0, ended: 0 }, number: 0 };

struct Bench {
    link: Link,
    line: Line,
    flight: Flight,
    over: Over,
    outage: Outage,
    writer: Writer,
    reader: Reader,
    accounts: Accounts,
    orders: Orders,
    checks: Checks,
    counts: Counts,
    out: Vec<u8>,
    refused: Vec<Refused>,
}

fn bench() -> Bench {
    let settings = Settings {
        sender_comp_id: "gateway".parse().unwrap(),
        target_comp_id: "core".parse().unwrap(),
        password: Password::default(),
        default_appl_ver_id: wire::szse::code::VERSION_TRADING,
        heart_bt_s: 3,
        backoff_ms_min: 100,
        backoff_ms_max: 1_000,
        limits: session::Limits::default(),
    };
    let mut line = Line::new(settings, 1);
    let mut out = Vec::new();
    assert!(line.dial_due(0));
    line.opened(0, &mut out);
    out.clear();
    let writer = Writer::new(Limits::default());
    let accounts = Accounts::new(vec![Credentials {
        comp_id: "c".parse().unwrap(),
        password: Password::default(),
        accounts: vec!["A".parse().unwrap()],
        read_only: false,
    }]);
    let reader = writer.reader();
    let link = Link::new(Core::Margin, PARTITIONS);
    Bench {
        link,
        line,
        flight: Flight::new(16, 3),
        over: OVER,
        outage: Outage::default(),
        writer,
        reader,
        accounts,
        orders: Orders::new(16),
        checks: Checks::off(3, 1),
        counts: Counts::default(),
        out,
        refused: Vec::new(),
    }
}

impl Bench {
    fn receive(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        let tracer = Tracer::default();
        let mut intake = Intake {
            writer: &mut self.writer,
            accounts: &self.accounts,
            orders: &mut self.orders,
            checks: &mut self.checks,
            flight: &mut self.flight,
            over: self.over,
            outage: &mut self.outage,
            counts: &mut self.counts,
            refused: &mut self.refused,
            answers: Answers::new(&tracer, (0, 0)),
            settles_ns: 1_000,
            wall_ns: 0,
        };
        let consumed = self.link.receive(&mut self.line, data, 0, &mut intake, &mut self.out);
        self.writer.publish();
        self.reader.refresh();
        consumed
    }

    fn log_on(&mut self) {
        let logon = Logon {
            sender_comp_id: "core".parse().unwrap(),
            target_comp_id: "gateway".parse().unwrap(),
            heart_bt_int_s: I32::new(3),
            ..Logon::default()
        };
        self.receive(&encoded(&logon)).unwrap();
        self.receive(&platform(&[2, 1])).unwrap();
    }
}

fn encoded<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(message, &mut out);
    out
}

fn platform(partitions: &[i32]) -> Vec<u8> {
    let mut out = Vec::new();
    let partitions: Vec<I32> = partitions.iter().map(|partition| I32::new(*partition)).collect();
    PlatformInfo { platform_id: PlatformId::CASH_AUCTION, partitions: &partitions }.encode(&mut out).unwrap();
    out
}

fn base(partition_no: i32, report_index: i64) -> ReportBase {
    ReportBase {
        partition_no: I32::new(partition_no),
        report_index: I64::new(report_index),
        ..ReportBase::default()
    }
}

fn accepted(partition_no: i32, report_index: i64, account: &str) -> Vec<u8> {
    encoded(&OrderReport {
        base: base(partition_no, report_index),
        order_id: report_index.to_string().parse().unwrap(),
        cl_ord_id: report_index.to_string().parse().unwrap(),
        exec_type: ExecType::NEW,
        account_id: account.parse().unwrap(),
        ..OrderReport::default()
    })
}

#[test]
fn it_is_ready_once_the_core_has_announced_itself_and_asked_for_what_comes_next() {
    let mut bench = bench();
    assert!(!bench.line.ready());
    bench.log_on();
    assert!(bench.line.ready());
    bench.link.synchronize(0..2, &mut bench.out);
    let asked = frame::decode(&bench.out, 1000).unwrap().unwrap();
    let asked: ReportSynchronization<'_> = asked.group().unwrap();
    let asked: Vec<_> =
        asked.partitions.iter().map(|entry| (entry.partition_no.get(), entry.report_index.get())).collect();
    assert_eq!(asked, [(1, 1), (2, 1)]);
}

#[test]
fn reports_go_into_the_log_in_the_lanes_that_clients_see() {
    let mut bench = bench();
    bench.log_on();
    let report = accepted(2, 1, "A");
    assert_eq!(bench.receive(&report).unwrap(), report.len());
    let entry = bench.reader.entry(0).unwrap().unwrap();
    assert_eq!(entry.tag, Tag { lane: 22, number: 1, key: 1 });
    let seen = frame::decode(entry.frame, 1000).unwrap().unwrap();
    assert_eq!(seen.view::<OrderReport>().unwrap().base, base(22, 1));
    assert_eq!(bench.orders.by_order_id("1".parse().unwrap(), |_| true).unwrap().core, Core::Margin);
    assert_eq!(bench.link.lanes().collect::<Vec<_>>(), [(21, 1), (22, 2)]);
}

#[test]
fn what_came_before_is_dropped_and_what_is_missing_ends_the_line() {
    let mut bench = bench();
    bench.log_on();
    bench.receive(&accepted(1, 1, "A")).unwrap();
    bench.receive(&accepted(1, 1, "A")).unwrap();
    assert_eq!((bench.counts.reports, bench.counts.duplicates), ([0, 1], [0, 1]));
    assert_eq!(bench.receive(&accepted(1, 3, "A")), Err(LinkError::Gap));
    assert_eq!(bench.reader.end(), 1);
}

#[test]
fn what_belongs_to_nobody_here_is_counted_and_passed_over() {
    let mut bench = bench();
    bench.log_on();
    bench.receive(&accepted(1, 1, "stranger")).unwrap();
    bench.receive(&accepted(1, 2, "A")).unwrap();
    assert_eq!((bench.counts.unowned, bench.reader.end()), ([0, 1], 1));
    assert!(bench.orders.by_order_id("1".parse().unwrap(), |_| true).is_none());
}

#[test]
fn a_rejected_cancel_goes_to_the_owner_of_its_order() {
    let mut bench = bench();
    bench.log_on();
    bench.receive(&accepted(1, 1, "A")).unwrap();
    let order_id = "1".parse().unwrap();
    bench.receive(&encoded(&CancelReject { base: base(1, 2), order_id, ..CancelReject::default() })).unwrap();
    assert_eq!(bench.reader.entry(1).unwrap().unwrap().tag.key, 1);
}

#[test]
fn a_report_answers_what_is_under_way() {
    let mut bench = bench();
    bench.log_on();
    let order = |id: &str| Identity::order(1, id.parse().unwrap());
    let cancel = |id: &str| Identity::cancel(1, id.parse().unwrap(), "1".parse().unwrap());
    for identity in [order("1"), cancel("c"), cancel("d"), order("2")] {
        bench.flight.sent(identity, OVER, 0, b"frame");
    }
    bench.receive(&accepted(1, 1, "A")).unwrap();
    assert!(!bench.flight.holds(order("1")));
    let cancelled = OrderReport {
        base: base(1, 2),
        order_id: "1".parse().unwrap(),
        cl_ord_id: "c".parse().unwrap(),
        orig_cl_ord_id: "1".parse().unwrap(),
        exec_type: ExecType::CANCELLED,
        account_id: "A".parse().unwrap(),
        ..OrderReport::default()
    };
    bench.receive(&encoded(&cancelled)).unwrap();
    assert!(!bench.flight.holds(cancel("c")));
    let (order_id, cl_ord_id) = ("1".parse().unwrap(), "d".parse().unwrap());
    let reject = CancelReject { base: base(1, 3), order_id, cl_ord_id, ..CancelReject::default() };
    bench.receive(&encoded(&reject)).unwrap();
    assert_eq!((bench.flight.len(), bench.flight.holds(order("2"))), (1, true));
}

#[test]
fn a_reject_of_a_repetition_is_not_shown_when_the_first_one_is_known() {
    let mut bench = bench();
    bench.log_on();
    bench.receive(&accepted(1, 1, "A")).unwrap();
    let repeated = |index, id: &str| {
        encoded(&OrderReport {
            base: base(1, index),
            order_id: "1".parse().unwrap(),
            cl_ord_id: id.parse().unwrap(),
            exec_type: ExecType::REJECTED,
            ord_rej_reason: OrdRejReason::DUPLICATE_ORDER,
            account_id: "A".parse().unwrap(),
            ..OrderReport::default()
        })
    };
    bench.receive(&repeated(2, "1")).unwrap();
    assert_eq!((bench.reader.end(), bench.counts.repeated), (1, [0, 1]));
    bench.receive(&repeated(3, "unheard")).unwrap();
    assert_eq!(bench.reader.end(), 2, "nothing else has told of this one");
}

#[test]
fn the_end_of_a_partition_is_for_everyone() {
    let mut bench = bench();
    bench.log_on();
    let finished = ReportFinished { partition_no: I32::new(1), ..ReportFinished::default() };
    bench.receive(&encoded(&finished)).unwrap();
    let entry = bench.reader.entry(0).unwrap().unwrap();
    assert_eq!(entry.tag, Tag { lane: 21, number: 0, key: Tag::EVERYONE });
}

#[test]
fn other_partitions_than_configured_are_refused() {
    for other in [&[1][..], &[1, 2, 3], &[2, 3], &[1, 1]] {
        let mut bench = bench();
        bench.log_on();
        assert_eq!(bench.receive(&platform(other)), Err(LinkError::Partitions), "{other:?}");
        let why = bench.outage.why("partitions differ");
        assert!(why.starts_with(&format!("partitions differ: the core has {other:?}, ")), "{why}");
    }
    for partition_no in [0, 3, -1, i32::MIN, i32::MAX] {
        let mut bench = bench();
        bench.log_on();
        assert_eq!(bench.receive(&accepted(partition_no, 1, "A")), Err(LinkError::UnknownPartition));
    }
}

#[test]
fn a_logout_is_not_an_answer_to_ignore() {
    let logout = Logout { session_status: SessionStatus::OTHER, text: "no".parse().unwrap() };
    let mut refused = bench();
    assert_eq!(refused.receive(&encoded(&logout)), Err(LinkError::LogonRefused));
    assert_eq!(refused.outage.why("logon refused"), "logon refused: no");
    assert_eq!(refused.outage.why("stalled"), "stalled", "what was said is told once");
    let mut ended = bench();
    ended.log_on();
    assert_eq!(ended.receive(&encoded(&logout)), Err(LinkError::LoggedOut));
}

#[test]
fn what_the_core_refuses_without_a_report_is_passed_on_to_whom_it_concerns() {
    let mut bench = bench();
    bench.log_on();
    bench.orders.sent(1, "x".parse().unwrap(), Core::Margin);
    let reject = |id: &str| BusinessReject {
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: id.parse().unwrap(),
        ..BusinessReject::default()
    };
    bench.receive(&encoded(&reject("y"))).unwrap();
    bench.receive(&encoded(&reject("x"))).unwrap();
    let told: Vec<_> = bench.refused.iter().map(|refused| (refused.account, refused.reject)).collect();
    assert_eq!(told, [(None, reject("y")), (Some(1), reject("x"))]);
    assert!(bench.refused.iter().all(|refused| (refused.by, refused.core) == (By::Core, Core::Margin)));
    assert_eq!(bench.counts.core_rejects, [0, 2]);
}

#[test]
fn a_refusal_with_a_number_means_what_was_sent_under_it() {
    let mut bench = bench();
    bench.log_on();
    let order = |account| Identity::order(account, "x".parse().unwrap());
    let reject = |number: i64| BusinessReject {
        ref_seq_num: number.into(),
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: "x".parse().unwrap(),
        ..BusinessReject::default()
    };
    let send = |bench: &mut Bench, account, number| {
        bench.over.number = number;
        bench.flight.sent(order(account), bench.over, 0, b"frame");
    };
    let refuse = |bench: &mut Bench, number| {
        bench.refused.clear();
        bench.receive(&encoded(&reject(number))).unwrap();
        bench.refused[0].account
    };
    (1..=3).for_each(|account| send(&mut bench, account, u64::from(account) + 2));
    assert_eq!(refuse(&mut bench, 4), Some(2));
    assert!(!bench.flight.holds(order(2)) && bench.flight.holds(order(1)) && bench.flight.holds(order(3)));
    assert_eq!(bench.flight.settles_next_ns(), u64::MAX, "nobody else is asked after");
    // Said once more of what has ended, although only one account has the name under way by now.
    bench.flight.end(order(3));
    assert_eq!(refuse(&mut bench, 4), None);
    assert!(bench.flight.holds(order(1)));
    // A number that nothing was sent under, or another name: this core counts otherwise, and is known by names again.
    assert_eq!(refuse(&mut bench, 99), Some(1));
    send(&mut bench, 2, 6);
    assert_eq!(refuse(&mut bench, 5), Some(2));
}

#[test]
fn a_core_that_has_no_reports_from_there_is_not_sent_orders() {
    let mut bench = bench();
    bench.log_on();
    let mut reject = BusinessReject { ref_msg_type: 100_101.into(), ..BusinessReject::default() };
    bench.receive(&encoded(&reject)).unwrap();
    assert_eq!(bench.counts.core_rejects, [0, 1]);
    reject.ref_msg_type = 5.into();
    assert_eq!(bench.receive(&encoded(&reject)), Err(LinkError::NotSynchronized));
}
