//! Pre-trade checks that know the market: the core publishes, feeds fan out, and a gateway follows one of them.

use crate::client::Client;
use crate::town::{DEADLINE, PASSWORD, eventually};
use gateway::check::Group;
use gateway::config::{Client as Credentials, Core, CoreName, StaleQuotes};
use service::tls::{Settings, local_settings};
use service::{Host, Running};
use std::net::SocketAddr;
use tempfile::TempDir;
use transport::{Connector, SocketOptions, tls};
use wire::szse::code::{CashMargin, Side, TimeInForce};
use wire::szse::{Password, Text};

const CASH: CashMargin = CashMargin::CASH;
/// The market's own previous close is 10.00 too; limits are 9.00 and 11.00.
const SECURITIES: &str = "security_id,source,board,schedule,prev_close\n000001,102,main,szse,10.00\n";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A core, two feeds, a gateway that follows them, and one without checks: that of the rest of the market.
struct Town {
    folder: TempDir,
    matcher: Running,
    feeds: Vec<Running>,
    gateways: Vec<Running>,
    metrics: gateway::Metrics,
    reload: Box<dyn Fn()>,
    buyer: Client,
    seller: Client,
    orders: u32,
}

impl Town {
    fn start(over_tls: bool, quote_age_ms_max: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let settings = over_tls.then(|| local_settings(folder.path(), true).unwrap());
        let (desk, market_data, matcher) = matcher(settings.as_ref());
        let feeds: Vec<_> = (0..2).map(|_| feed(market_data, settings.as_ref())).collect();
        let (_, others_address, others) = gateway("GATEWAY-B", desk, settings.as_ref(), |_| {});
        let (server, address, running) = gateway("GATEWAY-A", desk, settings.as_ref(), |config| {
            config.checks.securities = folder.path().join("securities.csv");
            std::fs::write(&config.checks.securities, SECURITIES).unwrap();
            // The test runs at any time of the day.
            config.checks.off = vec![Group::Phase];
            config.checks.stale_quotes = StaleQuotes::Refuse;
            config.checks.quote_age_ms_max = quote_age_ms_max;
            (config.quotes.primary, config.quotes.backup) = (Some(feeds[0].0), Some(feeds[1].0));
            config.quotes.backoff_min_ms = 1;
        });
        let (metrics, reload) = server;
        eventually("the quotes are up", || metrics.quotes_up.get() == 1);
        let client = |number, address| {
            let connector = settings.as_ref().map_or_else(Connector::default, |settings| {
                Connector::tls(SocketOptions::default(), tls::Client::load(settings).unwrap())
            });
            let mut client = Client::new(number, connector);
            client.connect(address);
            client
        };
        let (buyer, seller) = (client(1, address), client(2, others_address));
        let feeds = feeds.into_iter().map(|(_, running)| running).collect();
        Self {
            folder,
            matcher,
            feeds,
            gateways: vec![running, others],
            metrics,
            reload,
            buyer,
            seller,
            orders: 0,
        }
    }

    fn name(&mut self) -> String {
        self.orders += 1;
        self.orders.to_string()
    }

    /// An offer that rests, or changes what rests: the security's next snapshot shows it.
    fn offer(&mut self, price: i64) {
        let name = self.name();
        self.seller.order(&name, CASH, Side::SELL, (100, price));
        assert!(self.seller.refusal_of(&name).is_none());
    }

    /// What becomes of a buy order that does not rest: the code of the rule that it does not keep, or 0.
    fn buy(&mut self, price: i64) -> u16 {
        let name = self.name();
        let mut order = self.buyer.new_order(&name, CASH, Side::BUY, (100, price));
        order.ext.time_in_force = TimeInForce::IMMEDIATE_OR_CANCEL;
        self.buyer.send(&order);
        self.buyer.refusal_of(&name).map_or(0, |reject| reject.business_reject_reason.raw())
    }

    /// Makes offers at a price, each a sign of life of the exchange, until a buy order has this fate.
    fn until(&mut self, offer: i64, buy: i64, fate: u16) {
        let clock = transport::Clock::start();
        while self.buy(buy) != fate {
            assert!(clock.now_ns() < DEADLINE.as_nanos() as u64, "never: {fate}");
            self.offer(offer);
        }
    }

    fn stop(self) {
        self.gateways.into_iter().for_each(|gateway| gateway.stop().unwrap());
        self.feeds.into_iter().for_each(|feed| feed.stop().unwrap());
        self.matcher.stop().unwrap();
        drop(self.folder);
    }
}

type Reload = Box<dyn Fn()>;

/// What it counts and reads again, its address, and the gateway itself, with its line up.
fn gateway(
    name: &'static str,
    desk: SocketAddr,
    tls: Option<&Settings>,
    change: impl FnOnce(&mut gateway::Config),
) -> ((gateway::Metrics, Reload), SocketAddr, Running) {
    let core = Core::new(CoreName::Cash, desk, 1, 2);
    let mut config = gateway::Config {
        cores: vec![Core { backoff_min_ms: 1, sender_comp_id: Text::literal(name), ..core }],
        clients: (1..=2).map(credentials).collect(),
        tls: tls.cloned(),
        ..gateway::Config::default()
    };
    config.listen.address = any_port();
    change(&mut config);
    let server = gateway::Server::bind(config, &Host::default()).unwrap();
    let (address, metrics, reload) = (server.address(), server.metrics(), Box::new(server.reload()));
    let running = server.start().unwrap();
    eventually("the line is up", || metrics.core_up.with_label_values(&["cash"]).get() == 1);
    ((metrics, reload), address, running)
}

fn credentials(number: u32) -> Credentials {
    Credentials {
        comp_id: Text::truncated(&format!("c{number}")),
        password: Password::new(PASSWORD).unwrap().into(),
        accounts: vec![Text::truncated(&format!("a{number}"))],
    }
}

fn matcher(tls: Option<&Settings>) -> (SocketAddr, SocketAddr, Running) {
    let mut config = matcher_stub::Config { tls: tls.cloned(), ..matcher_stub::Config::default() };
    config.core.orders_reserved = 1_000;
    config.core.snapshot_interval_ms = 10;
    config.trading.iter_mut().for_each(|port| port.listen = any_port());
    config.market_data.iter_mut().for_each(|port| port.listen = any_port());
    let server = matcher_stub::Server::bind(config, &Host::default()).unwrap();
    let addresses = (server.address("cash").unwrap(), server.address("primary").unwrap());
    (addresses.0, addresses.1, server.start().unwrap())
}

fn feed(source: SocketAddr, tls: Option<&Settings>) -> (SocketAddr, Running) {
    let mut config = feed::Config {
        sources: vec![feed::config::Source::new("primary", source)],
        tls: tls.cloned(),
        ..feed::Config::default()
    };
    config.listen.address = any_port();
    let server = feed::Server::bind(config, &Host::default()).unwrap();
    let (address, is_ready) = (server.address(), server.readiness());
    let running = server.start().unwrap();
    eventually("a source is up", || is_ready().is_ok());
    (address, running)
}

/// Over TLS, with certificates everywhere. The exchange's cage is 102 % of the best ask.
#[test]
fn an_order_beyond_the_cage_around_the_best_ask_is_refused_and_one_within_goes() {
    let mut town = Town::start(true, 600_000);
    assert_eq!(town.buy(10_00), 703, "the market has said nothing yet");
    town.offer(10_50);
    // The previous close would allow 10.20 only.
    town.until(10_50, 10_71, 0);
    assert_eq!(town.buy(10_72), 701);
    (town.reload)();
    let loads = town.metrics.check_loads.with_label_values(&["loaded"]);
    eventually("reference data is loaded again", || loads.get() == 1);
    assert_eq!(town.buy(10_72), 701, "the market is known as before");
    assert_eq!(town.buy(11_01), 601, "the day's limit comes first");
    town.stop();
}

#[test]
fn the_backup_feed_is_followed_when_the_primary_dies_and_without_either_the_answer_is_as_configured() {
    let mut town = Town::start(false, 1_000);
    town.until(10_50, 10_71, 0);
    town.feeds.remove(0).stop().unwrap();
    eventually("the primary is gone", || {
        ["peer closed", "logged out", "connection failed"]
            .iter()
            .any(|reason| town.metrics.quotes_ended.with_label_values(&[reason]).get() > 0)
    });
    // The best ask is now 10.30, and the cage 10.51: what went before does not any more.
    town.until(10_30, 10_60, 701);
    town.feeds.remove(0).stop().unwrap();
    town.until(10_30, 10_30, 703);
    assert_eq!(town.metrics.quotes_up.get(), 0);
    town.stop();
}
