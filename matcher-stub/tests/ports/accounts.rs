//! Accounts from the configuration, through a restart.

use crate::server::{Matcher, config, gateway};
use crate::trading::order;
use matcher_stub::config::{AccountConfig, SharesConfig};
use matcher_stub::core::{REASON_CASH, REASON_POSITION};
use matcher_stub::{Config, Server};
use service::Host;
use wire::szse::code::{OrdRejReason, Side};
use wire::szse::trading::{OrderReport, TradeReport};

/// A1 can pay for two orders of 100 at 9.90, and has the shares for one.
fn limited() -> Config {
    let mut config = config();
    config.accounts = vec![AccountConfig {
        id: "A1".to_owned(),
        cash: "1980.00".to_owned(),
        financing_limit: "0".to_owned(),
        positions: vec![SharesConfig { security: "000001".to_owned(), quantity: "100".to_owned() }],
    }];
    config
}

#[test]
fn what_an_account_has_frozen_outlasts_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = limited();
    config.journal.directory = Some(folder.path().join("day"));
    let matcher = Matcher::with(config.clone());
    let mut peer = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    for (number, reason) in [(1, OrdRejReason::NONE), (2, OrdRejReason::NONE), (3, REASON_CASH)] {
        peer.send(&order(number, Side::BUY, 9_900));
        assert_eq!(peer.expect::<OrderReport>().ord_rej_reason, reason, "{number}");
    }
    let counters = matcher.counters_at_end();
    assert!(counters.contains("matcher_orders_refused_total{reason=\"cash\"} 1"), "{counters}");

    let matcher = Matcher::with(config.clone());
    let mut peer = gateway(matcher.cash, "GATEWAY", &[(1, 4), (2, 1)]);
    let mut reason = |number, side| {
        peer.send(&order(number, side, 9_900));
        let reason = peer.expect::<OrderReport>().ord_rej_reason;
        if reason == OrdRejReason::NONE {
            let _trades: [TradeReport; 2] = std::array::from_fn(|_| peer.expect());
        }
        reason
    };
    assert_eq!(reason(4, Side::BUY), REASON_CASH, "both orders are there and hold all cash");
    assert_eq!(reason(5, Side::SELL), OrdRejReason::NONE, "it trades with its own first order");
    assert_eq!(reason(6, Side::SELL), REASON_POSITION, "what it bought is sold tomorrow");
    matcher.stop();

    config.accounts[0].cash = "5000.00".to_owned();
    let other = Server::bind(config, &Host::default()).err().unwrap().to_string();
    assert!(other.contains("begun with other desks, securities, accounts"), "{other}");
}

#[test]
fn who_is_not_listed_is_not_limited() {
    let mut config = limited();
    config.accounts[0].id = "B1".to_owned();
    let matcher = Matcher::with(config);
    let mut peer = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    for number in 1..=10 {
        peer.send(&order(number, Side::BUY, 9_900));
        assert_eq!(peer.expect::<OrderReport>().ord_rej_reason, OrdRejReason::NONE);
    }
    matcher.stop();
}
