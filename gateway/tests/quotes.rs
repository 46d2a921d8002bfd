//! A gateway that follows a feed, which the tests play: what its quotes mean for orders, and what becomes of a feed that
//! behaves badly.

mod peers;

use gateway::check::Group;
use gateway::config::{CoreName, Quotes, StaleQuotes};
use peers::{Client, Core, Gateway, Line, Peer, config, decoded, eventually, text};
use std::net::{SocketAddr, TcpListener};
use wire::szse::code::{CashMargin, MdEntryType, SessionStatus, VERSION_MARKET_DATA};
use wire::szse::ext::{
    GapNotice, GapReason, MarketDataRequest, MarketDataRequestAck, RequestStatus, SubscriptionMode,
};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead};
use wire::szse::trading::{BusinessReject, NewOrder};
use wire::szse::{GroupMessage, Heartbeat, Logon, Logout, MdEntryPx, Text};

const SECURITIES: &str =
    "security_id,source,board,schedule,prev_close,flags\n000001,102,main,szse,10.00,short-sale\n";

/// A time that a test waits for the end of, and within which a busy machine does what comes before that, milliseconds.
const BRIEF_MS: u64 = 3_000;

/// A feed's port.
struct Feed(TcpListener);

impl Feed {
    fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// The gateway's connection, logged on; and what it asks for.
    fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().expect("dialled");
        let mut peer = Peer::new(stream);
        let logon: Logon = peer.expect();
        assert_eq!((logon.sender_comp_id, logon.default_appl_ver_id), (text("GATEWAY"), VERSION_MARKET_DATA));
        let (sender_comp_id, target_comp_id) = (logon.target_comp_id, logon.sender_comp_id);
        peer.send(&Logon { sender_comp_id, target_comp_id, ..logon });
        assert_eq!(Self::asked(&mut peer), 1);
        peer
    }

    /// RequestID of what the gateway asks for.
    fn asked(peer: &mut Peer) -> u32 {
        let asked = peer.next().expect("a request");
        let asked: MarketDataRequest<'_> = decoded(&asked).group().expect("a request");
        assert_eq!((asked.head.mode, asked.head.want_snapshots), (SubscriptionMode::ALL, 1));
        asked.head.request_id.get()
    }

    fn answer(peer: &mut Peer, status: RequestStatus) {
        Self::answer_to(peer, 1, status);
    }

    fn answer_to(peer: &mut Peer, request_id: u32, status: RequestStatus) {
        peer.send(&MarketDataRequestAck { request_id: request_id.into(), status, text: Text::BLANK });
    }
}

/// A snapshot of a security with one bid, one ask and a last trade, as text; "0" for none.
fn snapshot(id: &str, [bid, ask, last]: [&str; 3]) -> Vec<u8> {
    let entry = |md_entry_type, price: &str| MdEntry {
        md_entry_type,
        md_entry_px: MdEntryPx::from_price(price.parse().expect("a price")).expect("fits"),
        ..MdEntry::default()
    };
    let head =
        SnapshotHead { security_id: text(id), security_id_source: text("102"), ..SnapshotHead::default() };
    let mut out = Vec::new();
    Snapshot::encode(&head, &mut out, |entries| {
        entries.push(&entry(MdEntryType::BID, bid), &[])?;
        entries.push(&entry(MdEntryType::ASK, ask), &[])?;
        entries.push(&entry(MdEntryType::LAST, last), &[])
    })
    .expect("few");
    out
}

struct House {
    gateway: Gateway,
    line: Line,
    client: Client,
    orders: u32,
    _folder: tempfile::TempDir,
}

impl House {
    fn start(feeds: &[&Feed], stale: StaleQuotes) -> Self {
        Self::start_with(feeds, stale, |_| {})
    }

    fn start_with(feeds: &[&Feed], stale: StaleQuotes, change: impl FnOnce(&mut Quotes)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let core = Core::listen(&[1]);
        let mut config = config(&[(CoreName::Cash, &core, 0)]);
        config.checks.securities = folder.path().join("securities.csv");
        std::fs::write(&config.checks.securities, SECURITIES).expect("written");
        config.checks.off = vec![Group::Phase];
        config.checks.stale_quotes = stale;
        config.checks.quote_age_ms_max = 600_000;
        let mut addresses = feeds.iter().map(|feed| feed.address());
        (config.quotes.primary, config.quotes.backup) = (addresses.next(), addresses.next());
        (config.quotes.backoff_min_ms, config.quotes.backoff_max_ms) = (1, 20);
        config.quotes.heartbeat_s = peers::HEARTBEAT_S;
        (config.quotes.answer_timeout_ms, config.quotes.silence_ms_max) = (600_000, 600_000);
        change(&mut config.quotes);
        let (gateway, line) = Gateway::with_line(&core, config);
        let client = Client::ready(gateway.address, 1);
        Self { gateway, line, client, orders: 0, _folder: folder }
    }

    fn order(&mut self, price: &str) -> NewOrder {
        self.orders += 1;
        let mut order = self.client.new_order(&self.orders.to_string(), CashMargin::CASH);
        order.base.security_id_source = text("102");
        order.price = price.parse().expect("a price");
        self.client.peer.send(&order);
        order
    }

    fn goes(&mut self, price: &str) {
        let order = self.order(price);
        assert_eq!(self.line.order(), order);
    }

    fn refused(&mut self, price: &str) -> u16 {
        let order = self.order(price);
        let reject: BusinessReject = self.client.peer.expect();
        assert_eq!(reject.business_reject_ref_id, order.cl_ord_id);
        reject.business_reject_reason.raw()
    }

    fn ended(&self, reason: &str) -> u64 {
        self.gateway.metrics.quotes_ended.with_label_values(&[reason]).get()
    }

    /// Writes snapshots to the gateway and waits until it has all of them.
    fn tell(&self, feed: &mut Peer, snapshots: &[Vec<u8>]) {
        let before = self.gateway.metrics.quotes.get();
        feed.write(&snapshots.concat());
        eventually("they came", || self.gateway.metrics.quotes.get() == before + snapshots.len() as u64);
    }
}

#[test]
fn the_cage_is_around_the_best_price_of_the_other_side() {
    let feed = Feed::listen();
    let mut house = House::start(&[&feed], StaleQuotes::Refuse);
    assert_eq!(house.refused("10.20"), 703, "nothing is known yet");
    let mut peer = feed.accept();
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    house.tell(
        &mut peer,
        &[snapshot("000001", ["10.40", "10.50", "10.45"]), snapshot("999999", ["1", "2", "1"])],
    );
    house.goes("10.71");
    assert_eq!(house.refused("10.72"), 701);
    house.tell(&mut peer, &[snapshot("000001", ["9.50", "0", "9.60"])]);
    house.goes("9.69");
    assert_eq!(house.refused("9.70"), 701, "no ask: the best bid");
    house.tell(&mut peer, &[snapshot("000001", ["0", "0", "9.60"])]);
    house.goes("9.79");
    assert_eq!(house.refused("9.80"), 701, "neither: the last trade");
    eventually("both are up to date", || house.gateway.metrics.quotes_unknown.get() == 1);
    assert_eq!((house.gateway.metrics.quotes_up.get(), house.gateway.metrics.quotes_stale.get()), (1, 0));
    house.gateway.stop();
}

#[test]
fn stale_quotes_let_orders_pass_and_count_them_unless_they_are_to_refuse() {
    let feed = Feed::listen();
    let mut house = House::start(&[&feed], StaleQuotes::Pass);
    house.goes("10.99");
    eventually("it is counted", || house.gateway.metrics.quotes_stale.get() == 1);
    let mut peer = feed.accept();
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.00", "0"])]);
    assert_eq!(house.refused("10.99"), 701);
    house.gateway.stop();
}

/// What the hand-over holds is the newest, however much comes; and orders go on meanwhile.
#[test]
fn a_flood_of_quotes_leaves_the_newest_and_stops_no_order() {
    const COUNT: usize = 200_000;
    let feed = Feed::listen();
    let mut house = House::start(&[&feed], StaleQuotes::Pass);
    let mut peer = feed.accept();
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.50", "0"])]);
    let mut flood = snapshot("000001", ["0", "10.50", "0"]).repeat(COUNT);
    flood.extend(snapshot("000001", ["0", "10.00", "0"]));
    let writing = std::thread::spawn(move || {
        peer.write(&flood);
        peer
    });
    for _ in 0..100 {
        house.goes("10.20");
    }
    let peer = writing.join().expect("written");
    eventually("all came", || house.gateway.metrics.quotes.get() == COUNT as u64 + 2);
    assert_eq!(house.refused("10.21"), 701);
    drop(peer);
    house.gateway.stop();
}

#[test]
fn a_feed_that_says_nothing_of_the_market_is_left_though_its_session_lives() {
    let (primary, backup) = (Feed::listen(), Feed::listen());
    let mut house = House::start_with(&[&primary, &backup], StaleQuotes::Refuse, |quotes| {
        quotes.silence_ms_max = BRIEF_MS;
    });
    let mut silent = primary.accept();
    Feed::answer(&mut silent, RequestStatus::ACCEPTED);
    house.tell(&mut silent, &[snapshot("000001", ["0", "10.50", "0"])]);
    silent.send(&Heartbeat);
    let mut peer = backup.accept();
    eventually("counted", || house.ended("silent") == 1);
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.00", "0"])]);
    assert_eq!(house.refused("10.71"), 701, "the quotes are now those of the backup");
    assert!(silent.next().is_none(), "closed");
    house.gateway.stop();
}

#[test]
fn a_feed_that_never_answers_the_subscription_is_left_whatever_it_sends() {
    let (primary, backup) = (Feed::listen(), Feed::listen());
    let house = House::start_with(&[&primary, &backup], StaleQuotes::Refuse, |quotes| {
        quotes.answer_timeout_ms = BRIEF_MS;
    });
    let mut peer = primary.accept();
    Feed::answer_to(&mut peer, 7, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.50", "0"])]);
    backup.accept();
    eventually("counted", || house.ended("no answer to the subscription") == 1);
    house.gateway.stop();
}

#[test]
fn what_a_feed_has_skipped_makes_all_prices_stale_until_they_come_again() {
    let feed = Feed::listen();
    let mut house = House::start(&[&feed], StaleQuotes::Refuse);
    let mut peer = feed.accept();
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    let of = |reason| GapNotice { channel_no: 9.into(), reason, ..GapNotice::default() };
    let counted = |house: &House, reason: &str| {
        let gaps = house.gateway.metrics.quotes_gaps.with_label_values(&[reason]);
        eventually(reason, || gaps.get() == 1);
    };
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.50", "0"])]);
    peer.send(&of(GapReason::LOST_UPSTREAM));
    counted(&house, "lost upstream");
    house.goes("10.71");
    peer.send(&of(GapReason::SLOW_READER));
    counted(&house, "slow reader");
    assert_eq!(house.refused("10.71"), 703, "any price may have changed");
    assert_eq!(Feed::asked(&mut peer), 2, "for all snapshots again");
    Feed::answer_to(&mut peer, 2, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.00", "0"])]);
    house.goes("10.20");
    assert_eq!(house.refused("10.71"), 701);
    house.gateway.stop();
}

#[test]
fn a_feed_that_ends_or_misbehaves_is_left_for_the_other_one_and_counted() {
    let (primary, backup) = (Feed::listen(), Feed::listen());
    let mut house = House::start(&[&primary, &backup], StaleQuotes::Refuse);
    let mut peer = primary.accept();
    Feed::answer(&mut peer, RequestStatus::NOT_ENTITLED);
    assert!(peer.next().is_none(), "who may not see the quotes leaves");
    eventually("counted", || house.ended("subscription refused") == 1);

    let mut peer = backup.accept();
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.50", "0"])]);
    house.goes("10.71");
    peer.write(&[0xff; 64]);
    let logout: Logout = peer.expect();
    assert_eq!(logout.session_status, SessionStatus::INVALID_MESSAGE, "{}", logout.text);
    assert!(peer.next().is_none(), "closed");
    eventually("it is not up", || house.gateway.metrics.quotes_up.get() == 0);

    let mut peer = primary.accept();
    Feed::answer(&mut peer, RequestStatus::ACCEPTED);
    house.tell(&mut peer, &[snapshot("000001", ["0", "10.00", "0"])]);
    assert_eq!(house.refused("10.71"), 701, "the quotes are now those of the primary");
    let mut short = snapshot("000001", ["0", "10.50", "0"]);
    let cut = short.len() - 4 - 10;
    short.truncate(cut);
    let mut framed = Vec::new();
    let body = short[8..].to_vec();
    wire::szse::frame::encode_with(Snapshot::MSG_TYPE, &mut framed, |out| {
        out.extend_from_slice(&body);
        Ok::<(), std::fmt::Error>(())
    })
    .expect("written");
    peer.write(&framed);
    assert!(peer.next().is_none(), "a snapshot that is cut short");
    drop(peer);
    drop(backup.accept());
    eventually("a feed that closes", || house.ended("peer closed") == 1);
    house.gateway.stop();
}
