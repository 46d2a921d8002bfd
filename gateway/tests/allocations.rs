//! The hot path allocates nothing for an order: a whole gateway, from the client's socket to the core's and back, with
//! every allocation of the process counted. The peers' own steps, on this thread, are made without any.

#[path = "peers/counting.rs"]
mod counting;
mod peers;

use counting::{COUNTED, WARM_UP, encoded};
use gateway::Config;
use gateway::check::Group;
use gateway::check::rules::A_SHARE;
use gateway::config::{CancelOnDisconnect, CoreName};
use peers::{Client, Core, Gateway, accepted};
use std::io::{Read, Write};
use std::path::Path;
use wire::szse::code::CashMargin;

/// So many accounts may send and cancel before they are high-frequency ones as no test sends.
fn lenient_rules() -> String {
    let strict = "{ per_second = 300, per_day = 20_000 }";
    assert!(A_SHARE.contains(strict));
    A_SHARE.replace(strict, "{ per_second = 1_000_000, per_day = 1_000_000 }")
}

/// Every rule but that of the phases: the test runs at any time of the day.
fn all_rules(config: &mut Config, folder: &Path) {
    let securities = "security_id,source,board,schedule,prev_close\n000001,102,main,szse,10.00\n";
    (config.checks.securities, config.checks.rules) =
        (folder.join("securities.csv"), folder.join("rules.toml"));
    std::fs::write(&config.checks.securities, securities).expect("written");
    std::fs::write(&config.checks.rules, lenient_rules()).expect("written");
    config.checks.off = vec![Group::Phase];
    config.checks.notional_max = "1000000".parse().expect("an amount");
    (config.checks.self_cross, config.checks.self_cross_orders_max) = (true, 1_000_000);
    config.checks.refuse_high_frequency = true;
    (config.throttle.session_per_s, config.throttle.account_per_s) = (1_000_000, 1_000_000);
    config.cancel_on_disconnect = vec![CancelOnDisconnect { comp_id: peers::text("c1"), grace_ms: 600_000 }];
}

#[test]
fn an_order_and_its_report_allocate_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    // One after the other: what is counted is the whole process.
    let plain = allocations(|_| {});
    let checked = allocations(|config| all_rules(config, folder.path()));
    // A few for what happens now and then: a segment of the log, a table of the runtime.
    for allocations in [plain, checked] {
        assert!(allocations < COUNTED as u64 / 100, "{plain} and {checked} in {COUNTED} rounds");
    }
}

fn allocations(change: impl FnOnce(&mut Config)) -> u64 {
    let core = Core::listen(&[1]);
    let mut config = peers::config(&[(CoreName::Cash, &core, 0)]);
    change(&mut config);
    let gateway = Gateway::start(config);
    let (mut line, _) = core.accept();
    let mut client = Client::ready(gateway.address, 1);
    gateway.wait_up(&["cash"]);
    let rounds: Vec<_> = (1..=WARM_UP + COUNTED)
        .map(|number| {
            let order = client.new_order(&number.to_string(), CashMargin::CASH);
            (encoded(&order), encoded(&accepted(&order, 1, number as i64)))
        })
        .collect();
    let (mut order, mut report) = (rounds[0].0.clone(), rounds[0].1.clone());
    let mut before = 0;
    for (number, (sent_order, sent_report)) in rounds.iter().enumerate() {
        if number == WARM_UP {
            before = counting::allocations();
        }
        client.peer.stream.write_all(sent_order).expect("written");
        line.peer.stream.read_exact(&mut order).expect("forwarded");
        line.peer.stream.write_all(sent_report).expect("written");
        client.peer.stream.read_exact(&mut report).expect("reported");
        assert!(order == *sent_order && report == *sent_report, "round {number}");
    }
    let allocations = counting::allocations() - before;
    gateway.stop();
    allocations
}
