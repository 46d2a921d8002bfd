//! The audit: what is kept, and what happens to orders while it cannot be kept.

mod peers;

use gateway::audit::{FileStore, Kept, Kind, Outcome, Record, Store, StoreError};
use gateway::config::CoreName;
use gateway::{Config, Server};
use journal::Reader;
use peers::{Client, Core, Gateway, Line, config, eventually, text};
use service::Host;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use wire::szse::code::CashMargin;
use wire::szse::trading::{
    BusinessReject, NewOrder, OrderCancelRequest, OrderReport, ReportBase, RequestBase,
};
use wire::szse::{Message, Text, Timestamp, frame};

fn with_audit(core: &Core, directory: &Path) -> Config {
    let mut config = config(&[(CoreName::Cash, core, 0)]);
    config.audit.directory = Some(directory.to_owned());
    config.audit.commit_interval_ms = 1;
    config.audit.segment_bytes = 2 << 20;
    config
}

/// A gateway whose line is up and whose audit has nothing against orders, and a client of it.
fn started(core: &Core, config: Config) -> (Gateway, Line, Client) {
    let (gateway, line) = Gateway::with_line(core, config);
    let client = Client::ready(gateway.address, 1);
    (gateway, line, client)
}

fn records(directory: &Path) -> Vec<String> {
    let mut reader = Reader::oldest(directory).expect("a journal");
    let mut all = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        all.push(match Record::parse(record.kind, record.payload).expect("an audit's") {
            Record::Request { comp_id, outcome: Outcome::Forwarded(core), .. } => {
                format!("{comp_id} to {}", core.name())
            }
            Record::Request { comp_id, outcome: Outcome::Refused(_, text), .. } => {
                format!("{comp_id}: {text}")
            }
            Record::Report { partition_no, report_index, account_id, .. } => {
                format!("report {partition_no}/{report_index} of {account_id}")
            }
            Record::Session { comp_id, what, why, .. } => format!("{comp_id} {what} {why}").trim().to_owned(),
            Record::Operator(what) => what.to_owned(),
            Record::Reject { by, core, account_id, frame } => {
                let frame = peers::decoded(frame);
                let reject: &BusinessReject = frame.view().expect("a BusinessReject");
                let (id, text) = (reject.business_reject_ref_id, reject.business_reject_text);
                format!("{id} of {account_id} for {}: {text}, says {by:?}", core.name())
            }
        });
    }
    all
}

fn verify(directory: &Path) -> bool {
    let verified = Command::new(env!("CARGO_BIN_EXE_gateway-audit")).arg("verify").arg(directory).output();
    verified.expect("it runs").status.success()
}

#[test]
fn what_was_asked_and_answered_is_kept_once_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let (gateway, mut line, mut client) = started(&core, with_audit(&core, folder.path()));
    client.order("x", CashMargin::CASH);
    let x = line.order();
    line.accept(&x, 1, 1);
    client.report();
    client.order("x", CashMargin::MARGIN_OPEN);
    client.rejected();
    gateway.stop();
    let kept = records(folder.path());
    let expected = [
        "c1 logged on",
        "c1 to cash",
        "c1: margin core not reachable",
        "report 1/1 of a1",
        "c1 session ended",
    ];
    for expected in expected {
        assert_eq!(kept.iter().filter(|one| one.starts_with(expected)).count(), 1, "{expected}: {kept:?}");
    }

    // The one that starts again reads the day anew: what is kept is not kept twice, and what is missing is.
    let (gateway, mut line) = Gateway::with_line(&core, with_audit(&core, folder.path()));
    line.accept(&x, 1, 1);
    line.accept(&x, 1, 2);
    eventually("both are read", || gateway.metrics.reports.with_label_values(&["cash"]).get() == 2);
    gateway.stop();
    let kept = records(folder.path());
    let reports: Vec<_> = kept.iter().filter(|one| one.starts_with("report")).collect();
    assert_eq!(reports, ["report 1/1 of a1", "report 1/2 of a1"]);
    assert!(verify(folder.path()));
    let printed = Command::new(env!("CARGO_BIN_EXE_gateway-audit"))
        .args(["print", "--cl-ord-id", "x"])
        .arg(folder.path())
        .output()
        .expect("it runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    assert_eq!(printed.lines().count(), 4, "{printed}");
    assert!(printed.contains("\"forwarded_to\":\"cash\""), "{printed}");
    let none = Command::new(env!("CARGO_BIN_EXE_gateway-audit"))
        .args(["print", "--cl-ord-id", "X", "--account", "a1"])
        .arg(folder.path())
        .output()
        .expect("it runs");
    assert_eq!((none.status.code(), none.stdout.len()), (Some(3), 0));
    let said = String::from_utf8(none.stderr).expect("text");
    let expected = format!("no record has account a1 and ClOrdID X (records 1 to {})", kept.len());
    assert!(said.contains(&expected), "{said}");
}

/// A report of `a1` with this TransactTime.
fn report_at(index: i64, time: Timestamp) -> OrderReport {
    let base = RequestBase { security_id: text("000001"), ..RequestBase::default() };
    let order = NewOrder { base, account_id: text("a1"), cl_ord_id: text("x"), ..NewOrder::default() };
    let report = peers::accepted(&order, 1, index);
    OrderReport { base: ReportBase { transact_time: time, ..report.base }, ..report }
}

/// The core tells the client of this many reports with this TransactTime.
fn told(line: &mut Line, client: &mut Client, count: i64, time: Timestamp) {
    for index in 1..=count {
        line.peer.send(&report_at(index, time));
        client.report();
    }
}

/// So many seconds ago, nanoseconds since 1970.
fn ago_ns(s: u64) -> u64 {
    let clock = transport::Clock::start();
    clock.wall_ns(clock.now_ns()).unsigned_abs() - s * 1_000_000_000
}

fn ago(s: u64) -> Timestamp {
    Timestamp::from_unix_ns(ago_ns(s))
}

/// On whichever side of midnight the test runs, that long ago it was an earlier day.
const EARLIER_S: u64 = 2 * 86_400;

/// The reports of an audit, in order.
fn reports(directory: &Path) -> Vec<String> {
    records(directory).into_iter().filter(|one| one.starts_with("report")).collect()
}

#[test]
fn a_core_whose_day_is_not_the_one_that_is_kept_gets_no_orders_and_its_reports_are_kept_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let (before, other) = (ago(2), ago(1));
    let settings = || {
        let mut config = with_audit(&core, folder.path());
        config.forwarding.settle_ms = 50;
        config
    };
    let (gateway, mut line, mut client) = started(&core, settings());
    told(&mut line, &mut client, 2, before);
    gateway.stop();

    let (gateway, mut line, mut client) = started(&core, settings());
    let metrics = &gateway.metrics;
    let missing = || metrics.core_reports_missing.with_label_values(&["cash"]).get();
    client.order("a", CashMargin::CASH);
    assert_eq!(client.rejected(), "the core's reports of today are not complete");
    eventually("its day is not there", || missing() == 1);
    assert_eq!(metrics.audit_incomplete.get(), 0);
    // As many as were kept, and others.
    told(&mut line, &mut client, 2, other);
    eventually("it is another day", || metrics.audit_incomplete.get() == 1);
    eventually("it has come as far", || missing() == 0);
    eventually("and orders stay refused", || {
        client.order("b", CashMargin::CASH);
        gateway.refused("audit not available") > 0
    });
    gateway.stop();
    assert_eq!(reports(folder.path()).len(), 4);
}

/// The gateway's life on a day of which the core has told nothing yet: orders go, and all its reports are kept.
fn a_new_day(core: &Core, directory: &Path) {
    let (gateway, mut line, mut client) = started(core, with_audit(core, directory));
    client.order("a", CashMargin::CASH);
    assert_eq!(line.order().cl_ord_id, text("a"), "nothing of today is missing");
    told(&mut line, &mut client, 2, ago(0));
    let incomplete = gateway.metrics.audit_incomplete.clone();
    gateway.stop();
    assert_eq!(incomplete.get(), 0);
}

#[test]
fn what_was_kept_today_of_an_earlier_days_reports_does_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let earlier = ago(EARLIER_S);
    let (gateway, mut line, mut client) = started(&core, with_audit(&core, folder.path()));
    told(&mut line, &mut client, 2, earlier);
    gateway.stop();

    a_new_day(&core, folder.path());
    let both = ["report 1/1 of a1", "report 1/2 of a1", "report 1/1 of a1", "report 1/2 of a1"];
    assert_eq!(reports(folder.path()), both);
    assert!(verify(folder.path()), "it knows them for two days'");
}

#[test]
fn what_was_kept_on_its_day_is_not_kept_again_on_a_later_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let earlier = ago(EARLIER_S);
    let mut store = FileStore::open(folder.path(), 2 << 20, false).expect("a store");
    for index in 1..=2_u64 {
        let account: Text<12> = text("a1");
        let mut record = [&1_u16.to_le_bytes()[..], &index.to_le_bytes(), account.as_bytes()].concat();
        frame::encode(&report_at(index as i64, earlier), &mut record);
        store.append(Kind::Report, ago_ns(EARLIER_S), &[&record]).expect("taken");
    }
    store.commit().expect("kept");
    drop(store);

    // Started at night, while the core is at the day before, of which one more is missing.
    let (gateway, mut line, mut client) = started(&core, with_audit(&core, folder.path()));
    told(&mut line, &mut client, 3, earlier);
    gateway.stop();
    let once = ["report 1/1 of a1", "report 1/2 of a1", "report 1/3 of a1"];
    assert_eq!(reports(folder.path()), once);

    a_new_day(&core, folder.path());
    assert_eq!(reports(folder.path())[3..], ["report 1/1 of a1", "report 1/2 of a1"]);
    assert!(verify(folder.path()));
}

#[test]
fn what_ends_without_a_report_is_kept_and_a_cancel_as_the_core_got_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (core, other_end) = (Core::listen(&[1]), Core::listen(&[1]));
    let mut config = with_audit(&core, folder.path());
    config.cores[0].address_b = Some(other_end.address());
    (config.forwarding.resend_within_ms, config.forwarding.settle_ms) = (0, 100);
    let (gateway, mut line, mut client) = started(&core, config);
    let mut standby = other_end.accept_standby();
    eventually("b is up", || gateway.metrics.line_up.with_label_values(&["cash", "b"]).get() == 1);
    client.order("x", CashMargin::CASH);
    let x = line.order();
    line.accept(&x, 1, 1);
    client.report();
    client.cancel("c", "x", "");
    assert_eq!(line.peer.expect::<OrderCancelRequest>().order_id, text("o1"));
    // One refused by the core, one that nobody here has sent, one lost with its line.
    client.order("y", CashMargin::CASH);
    line.order();
    let reject = |id: &str| BusinessReject {
        ref_msg_type: NewOrder::MSG_TYPE.into(),
        business_reject_ref_id: text(id),
        business_reject_text: text("closed"),
        ..BusinessReject::default()
    };
    line.peer.send(&reject("y"));
    assert_eq!(client.rejected(), "closed");
    line.peer.send(&reject("nobody"));
    client.order("z", CashMargin::CASH);
    line.order();
    drop(line);
    standby.synchronization();
    assert_eq!([client.rejected(), client.rejected()], ["not taken by the core"; 2], "the cancel, and z");
    gateway.stop();
    let kept = records(folder.path());
    for expected in [
        "y of a1 for cash: closed, says Core",
        "nobody of  for cash: closed, says Core",
        "c of a1 for cash: not taken by the core, says Gateway",
        "z of a1 for cash: not taken by the core, says Gateway",
    ] {
        assert_eq!(kept.iter().filter(|one| *one == expected).count(), 1, "{expected}: {kept:?}");
    }
    assert!(verify(folder.path()));
    let printed = Command::new(env!("CARGO_BIN_EXE_gateway-audit"))
        .args(["print", "--cl-ord-id", "c"])
        .arg(folder.path())
        .output()
        .expect("it runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    assert!(printed.contains("\"order_id\":\"o1\""), "the cancel names its order: {printed}");
    assert!(printed.contains("\"by\":\"gateway\""), "{printed}");
}

#[test]
fn where_there_is_no_audit_nothing_is_said_to_be_good() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in ["verify", "print"] {
        let looked =
            Command::new(env!("CARGO_BIN_EXE_gateway-audit")).arg(command).arg(folder.path()).output();
        let looked = looked.expect("it runs");
        assert_eq!(looked.status.code(), Some(1), "{command}");
        let said = String::from_utf8(looked.stderr).expect("text");
        assert!(said.contains(&folder.path().display().to_string()), "{said}");
        assert!(said.contains("there is no journal in it") && looked.stdout.is_empty(), "{said}");
    }
}

#[test]
fn a_directory_that_another_gateway_has_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let _first = Server::bind(with_audit(&core, folder.path()), &Host::default()).expect("bound");
    let second = Server::bind(with_audit(&core, folder.path()), &Host::default());
    assert!(second.err().expect("refused").to_string().contains("another process writes this journal"));
}

/// A store that can be made to fail, or to hang.
#[derive(Clone, Default)]
struct Moody {
    refuses: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Kind>>>,
    waiting: Vec<Kind>,
    /// What it says that it has.
    kept: Vec<Kept>,
}

impl Store for Moody {
    fn append(&mut self, kind: Kind, _unix_ns: u64, _parts: &[&[u8]]) -> Result<(), StoreError> {
        if self.refuses.load(Ordering::Acquire) {
            return Err(StoreError::Outside("not that".to_owned()));
        }
        self.waiting.push(kind);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        while self.hangs.load(Ordering::Acquire) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if self.fails.load(Ordering::Acquire) {
            return Err(StoreError::Outside("no".to_owned()));
        }
        self.taken.lock().expect("whole").append(&mut self.waiting);
        Ok(())
    }

    fn reports(&mut self, _since_unix_ns: u64, see: &mut dyn FnMut(Kept)) -> Result<(), StoreError> {
        self.kept.iter().for_each(|kept| see(*kept));
        Ok(())
    }
}

fn moody(core: &Core, lag_records_max: u64) -> (Gateway, Line, Client, Moody) {
    moody_with(core, lag_records_max, Moody::default())
}

fn moody_with(core: &Core, lag_records_max: u64, store: Moody) -> (Gateway, Line, Client, Moody) {
    let mut config = config(&[(CoreName::Cash, core, 0)]);
    config.audit.lag_records_max = lag_records_max;
    config.audit.commit_interval_ms = 1;
    let host = Host::default();
    let server = Server::bind(config, &host).expect("bound").with_audit(Box::new(store.clone()));
    let gateway = Gateway::run(server, host);
    let (line, _) = core.accept();
    gateway.wait_up(&["cash"]);
    let client = Client::ready(gateway.address, 1);
    (gateway, line, client, store)
}

#[test]
fn an_order_never_waits_for_a_store_that_hangs_and_is_refused_when_too_much_waits() {
    let core = Core::listen(&[1]);
    let (gateway, mut line, mut client, store) = moody(&core, 1_000);
    store.hangs.store(true, Ordering::Release);
    // Orders go, and their reports come, while nothing can be written.
    let mut accepted = 0_i64;
    assert_eq!(gateway.metrics.audit_lag_max.get(), 1_000);
    while gateway.metrics.audit_lag.get() < 500 {
        let name = format!("o{accepted}");
        client.order(&name, CashMargin::CASH);
        let order = line.order();
        accepted += 1;
        line.accept(&order, 1, accepted);
        assert_eq!(client.report().2, name);
    }
    let mut more = 0;
    eventually("too much waits", || {
        more += 1;
        client.order(&format!("m{more}"), CashMargin::CASH);
        gateway.refused("audit not available") > 0
    });
    store.hangs.store(false, Ordering::Release);
    eventually("caught up", || gateway.metrics.audit_lag.get() == 0);
    gateway.stop();
    let taken = store.taken.lock().expect("whole");
    let reports = taken.iter().filter(|kind| **kind == Kind::Report).count();
    assert_eq!(reports as i64, accepted, "nothing is missing, nothing twice");
}

#[test]
fn while_the_store_fails_orders_are_refused_reports_flow_and_afterwards_nothing_is_missing() {
    let core = Core::listen(&[1]);
    let (gateway, mut line, mut client, store) = moody(&core, 100_000);
    client.order("x", CashMargin::CASH);
    let x = line.order();
    store.fails.store(true, Ordering::Release);
    line.accept(&x, 1, 1);
    assert_eq!(client.report().2, "x", "reports flow");
    eventually("noticed", || gateway.metrics.audit_failing.get() == 1);
    eventually("orders are refused", || {
        client.order("y", CashMargin::CASH);
        gateway.refused("audit not available") > 0
    });
    // A cancel takes risk away: it goes.
    client.cancel("c", "x", "");
    let cancel = loop {
        let bytes = line.peer.next().expect("a frame");
        if peers::decoded(&bytes).msg_type == 190_007 {
            break bytes;
        }
    };
    assert!(!cancel.is_empty());
    store.fails.store(false, Ordering::Release);
    eventually("written again", || gateway.metrics.audit_failing.get() == 0);
    gateway.stop();
    let taken = store.taken.lock().expect("whole");
    let of = |wanted: Kind| taken.iter().filter(|kind| **kind == wanted).count();
    assert_eq!(of(Kind::Report), 1);
    assert!(of(Kind::Request) >= 3, "{taken:?}");
}

#[test]
fn a_store_that_shows_only_the_last_report_of_an_earlier_day_is_given_all_of_a_new_one() {
    let core = Core::listen(&[1]);
    let last = Kept { partition_no: 1, report_index: 3, unix_ns: ago_ns(0), transact_time: ago(EARLIER_S) };
    let (gateway, mut line, mut client, store) =
        moody_with(&core, 1_000, Moody { kept: vec![last], ..Moody::default() });
    client.order("a", CashMargin::CASH);
    assert_eq!(line.order().cl_ord_id, text("a"), "nothing of today is missing");
    told(&mut line, &mut client, 3, ago(0));
    let incomplete = gateway.metrics.audit_incomplete.clone();
    gateway.stop();
    let taken = store.taken.lock().expect("whole");
    assert_eq!(taken.iter().filter(|kind| **kind == Kind::Report).count(), 3);
    assert_eq!(incomplete.get(), 0);
}

#[test]
fn a_store_that_refuses_a_record_is_as_one_that_fails() {
    let core = Core::listen(&[1]);
    let (gateway, mut line, mut client, store) = moody(&core, 100_000);
    client.order("x", CashMargin::CASH);
    let x = line.order();
    store.refuses.store(true, Ordering::Release);
    line.accept(&x, 1, 1);
    assert_eq!(client.report().2, "x", "reports flow");
    eventually("noticed", || {
        gateway.metrics.audit_failing.get() == 1 && gateway.metrics.audit_errors.get() > 0
    });
    eventually("orders are refused", || {
        client.order("y", CashMargin::CASH);
        gateway.refused("audit not available") > 0
    });
    store.refuses.store(false, Ordering::Release);
    eventually("taken again", || gateway.metrics.audit_failing.get() == 0);
    // It ends though it refuses again, and says nothing of what it did not take.
    store.refuses.store(true, Ordering::Release);
    gateway.stop();
    let taken = store.taken.lock().expect("whole");
    assert_eq!(taken.iter().filter(|kind| **kind == Kind::Report).count(), 1, "once, when it was taken");
}

/// A file system of this size, gone when dropped; `None` where this process may not make one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let made = mounted.is_ok_and(|output| output.status.success());
        if !made {
            eprintln!("skipped: no small file system can be mounted here (root may)");
        }
        made.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    }
}

#[test]
fn a_full_disk_refuses_orders_until_there_is_room_and_nothing_is_missing_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(folder.path(), 5 << 20) else { return };
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).expect("room yet");
    let journal = folder.path().join("journal");
    let core = Core::listen(&[1]);
    let (gateway, mut line, mut client) = started(&core, with_audit(&core, &journal));
    // Two segments of 2 MiB do not fit beside the ballast.
    let order = client.new_order("x", CashMargin::CASH);
    let mut reports = 0_i64;
    while gateway.metrics.audit_failing.get() == 0 {
        reports += 1;
        line.accept(&order, 1, reports);
        client.report();
    }
    eventually("orders are refused", || {
        client.order("y", CashMargin::CASH);
        // Each of them is a record: too many would fill the room that is made below.
        std::thread::sleep(std::time::Duration::from_millis(10));
        gateway.refused("audit not available") > 0
    });
    std::fs::remove_file(&ballast).expect("removed");
    eventually("written again", || gateway.metrics.audit_failing.get() == 0);
    gateway.stop();
    let kept = records(&journal);
    let kept_reports = kept.iter().filter(|one| one.starts_with("report")).count();
    assert_eq!(kept_reports as i64, reports);
    assert!(verify(&journal));
    drop(disk);
}
