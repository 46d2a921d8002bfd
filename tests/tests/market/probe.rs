//! The balancer asks gateways for a logon, in the bytes that docs/slb.md tells an integrator to configure.

use crate::town::{DEADLINE, Market, PASSWORD};
use slb::{Bytes, Check, State};
use wire::szse::code::VERSION_TRADING;
use wire::szse::{I32, Logon, Password, Text, frame};

/// A logon of the second client's, as a check.
fn logon(password: &[u8]) -> Check {
    let logon = Logon {
        sender_comp_id: Text::literal("c2"),
        target_comp_id: Text::literal("GATEWAY"),
        heart_bt_int_s: I32::new(30),
        password: Password::new(password).unwrap(),
        default_appl_ver_id: VERSION_TRADING,
    };
    let mut bytes = Vec::new();
    frame::encode(&logon, &mut bytes);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = |text: &str| Bytes::try_from(text.to_owned()).unwrap();
    Check::Exchange { send: text(&format!("hex:{digits}")), expect: text("hex: 00000001 0000005c") }
}

fn ask_with(market: &Market, check: Check) {
    let mut config = market.control.config();
    let health = &mut config.pools[0].health;
    // The session of one check is over before the next one begins.
    (health.interval_ms, health.rise, health.fall, health.check) = (100, 1, 1, check);
    market.control.apply(config).unwrap();
}

fn wait_for(market: &Market, state: State) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let all =
        market.control.wait_until(|pools| pools[0].backends.iter().all(|backend| backend.state == state));
    runtime
        .block_on(async { tokio::time::timeout(DEADLINE, all).await })
        .expect("the gateways never became so");
}

#[test]
fn gateways_are_up_while_they_answer_a_logon_with_a_logon() {
    let market = Market::start();
    ask_with(&market, logon(b"wrong"));
    wait_for(&market, State::Down);
    ask_with(&market, logon(PASSWORD));
    wait_for(&market, State::Up);
    market.stop();
}
