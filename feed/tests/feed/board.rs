//! The quote board in a real browser. Its pictures are left in `target/board`.

use crate::browsers::{Totals, levels, levels_by, trade, with_web};
use crate::chromium::Chromium;
use crate::support::*;
use crate::websocket::WebSocket;
use serde_json::Value;
use std::net::SocketAddr;
use wire::szse::market::TickTrade;
use wire::szse::{Qty, Timestamp};

const NAMES: &[&str] = &[
    "远山银行",
    "通道科技",
    "东湖电力",
    "北辰医药",
    "青禾食品",
    "长桥港口",
    "金秋酒业",
    "云岭水泥",
    "海石能源",
    "星河电子",
    "南屏传媒",
    "白鹭航空",
    "松江机械",
    "玉泉乳业",
    "临川化工",
    "赤城新材",
];

/// A browser, or nothing where there is none; that is a failure where everything must be tested.
fn browser() -> Option<Chromium> {
    let found = Chromium::start();
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "chromium is not installed: see .ci/peers");
        eprintln!("skipped: chromium is not installed (bash .ci/peers)");
    }
    found
}

fn names() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let row = |(index, name): (usize, &&str)| format!("{:06},102,{name}\n", index + 1);
    let rows: String = NAMES.iter().enumerate().map(row).collect();
    std::fs::write(file.path(), format!("security_id,source,name\n{rows}")).unwrap();
    file
}

/// A morning of trades of each security that wander about, and at its end a snapshot with their totals; returns the last
/// prices in cents, and the totals.
fn morning(source: &mut Peer) -> (Vec<i64>, Vec<Totals>) {
    let mut random = 7_u64;
    let mut below = |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    let mut prices: Vec<i64> = NAMES.iter().map(|_| 1_000).collect();
    let mut totals = vec![Totals::default(); NAMES.len()];
    let mut number = 0;
    let mut bytes = Vec::new();
    for half_minute in 0..200_i64 {
        let clock = (9 * 60 + 30) * 60 + half_minute * 30;
        let stamp = (clock / 3_600 * 10_000 + clock / 60 % 60 * 100 + clock % 60) * 1_000;
        for ((security, price), total) in (1..).zip(&mut prices).zip(&mut totals) {
            *price = (*price + below(7) as i64 - 3 + i64::from(security % 3 == 1) * below(2) as i64)
                .clamp(930, 1_080);
            number += 1;
            let shares = 100 + 100 * below(90) as i64;
            *total = total.and(shares, *price * 100);
            let tick = TickTrade {
                last_qty: Qty::whole(shares),
                bid_appl_seq_num: i64::from(below(3) as u32).into(),
                transact_time: Timestamp::from_raw(20_260_706_000_000_000 + stamp),
                ..trade(security, number, &format!("{}.{:02}", *price / 100, *price % 100))
            };
            bytes.extend(bytes_of(&tick));
        }
    }
    for ((security, price), total) in (1..).zip(&prices).zip(&totals) {
        let ms = 18_000_000 + i64::from(security);
        bytes.extend(levels_by(100, security, ms, [100_000, *price * 100], *total));
    }
    source.send_bytes(&bytes);
    (prices, totals)
}

fn cents(price: i64) -> String {
    format!("{}.{:02}", price / 100, price % 100)
}

/// The depth as the page shows it: ten levels of a side, the best one first, price and lots.
fn shown(page: &mut Chromium, side: &str) -> Vec<(String, i64)> {
    let rows = page.value(&format!(
        "[...document.querySelectorAll('#{side} .level')].map((row) => [row.children[0].textContent.slice(1), \
         row.children[1].textContent, row.children[2].textContent])"
    ));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut rows: Vec<(usize, String, i64)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row[0]).parse().unwrap(), text(&row[1]), text(&row[2]).parse().unwrap()))
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, price, lots)| (price, lots)).collect()
}

/// The same as the feed's own state says it.
fn said(feed: SocketAddr, code: &str, side: &str) -> Vec<(String, i64)> {
    let mut browser = WebSocket::connect(feed);
    browser.say(&format!("{{\"op\":\"subscribe\",\"codes\":[{code:?}],\"want\":[\"depth\"]}}"));
    let depth = browser.event("depth");
    let level = |level: &Value| {
        let quantity: Qty = level[1].as_str().unwrap().parse().unwrap();
        (level[0].as_str().unwrap().strip_suffix("00").unwrap().to_owned(), quantity.raw() / 10_000)
    };
    depth[side].as_array().unwrap().iter().map(level).collect()
}

fn shows(page: &mut Chromium, selector: &str, text: &str) {
    page.wait_for(&format!("document.querySelector({selector:?})?.textContent === {text:?}"));
}

/// Waits until a fact of the security that is open, such as its trades, is this.
fn shows_fact(page: &mut Chromium, name: &str, text: &str) {
    page.wait_for(&format!(
        "[...document.querySelectorAll('#facts div')].some((fact) => fact.children[0].textContent === {name:?} && \
         fact.children[1].textContent === {text:?})"
    ));
}

#[test]
fn a_trader_watches_searches_and_switches() {
    let Some(mut page) = browser() else { return };
    let names = names();
    let feed = with_web(|web| web.names = Some(names.path().to_owned()));
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let (prices, totals) = morning(&mut primary);
    let address = feed.web.unwrap();
    page.viewport(1_440, 900, false);
    page.open(&format!("http://{address}/"));

    // All securities are in the list, the first one is open, and what is shown of it is what the feed has.
    page.wait_for("document.querySelectorAll('#watch tr').length === 16");
    shows(&mut page, "#last", &cents(prices[0]));
    shows(&mut page, "#name", "远山银行");
    page.wait_for("document.querySelectorAll('#bids .level').length === 10 && document.querySelector('#bids b').textContent !== '–'");
    for side in ["bids", "asks"] {
        let expected = said(address, "000001.SZ", side);
        assert_eq!((expected.len(), shown(&mut page, side)), (10, expected), "{side}");
    }
    page.wait_for("document.querySelectorAll('#trades tr').length === 50");
    page.wait_for("document.querySelector('#sources').textContent.includes('source-1 正常')");
    page.wait_for("document.querySelector('#channels').textContent.includes('#3,200')");
    shows_fact(&mut page, "笔数", "200");
    page.screenshot("desktop-zh.png");

    // The market moves, and the page with it.
    primary.send_bytes(&levels_by(100, 1, 18_005_000, [100_000, 106_600], totals[0].and(100, 106_600)));
    shows(&mut page, "#last", "10.66");
    shows_fact(&mut page, "笔数", "201");
    shows(&mut page, "#percent", "+6.60%");
    assert_eq!(shown(&mut page, "asks"), said(address, "000001.SZ", "asks"));

    // Digits typed anywhere find a security.
    page.press(&["0", "0", "0", "0", "0", "7"]);
    shows(&mut page, "#found li.at b", "000007.SZ");
    page.screenshot("search-zh.png");
    page.press(&["Enter"]);
    shows(&mut page, "#code", "000007.SZ");
    shows(&mut page, "#last", &cents(prices[6]));
    page.press(&["9"]);
    shows(&mut page, "#found li", "没有找到");
    page.press(&["Escape"]);
    page.wait_for("!document.querySelector('#search').open");

    // The other language, and the other colours.
    let red = "getComputedStyle(document.querySelector('.watch .rise')).color";
    assert_eq!(page.value(red), "rgb(242, 85, 90)", "up is red");
    page.click("#colours");
    assert_eq!(page.value(red), "rgb(47, 177, 112)", "up is green");
    page.click("#language");
    assert_eq!(
        (page.text("#watch-title"), page.text("#colours")),
        ("Watch list".into(), "Green is up".into())
    );
    page.screenshot("desktop-en.png");
    page.click("#colours");

    // On a phone nothing stands beyond its edge.
    page.viewport(390, 844, true);
    page.wait_for("innerWidth === 390");
    assert_eq!(page.value("document.documentElement.scrollWidth <= 390"), true);
    page.screenshot("phone-en.png");
    page.click("#language");
    page.screenshot("phone-zh.png");

    let others = "performance.getEntriesByType('resource').filter((entry) => new URL(entry.name).origin !== location.origin)";
    assert_eq!(page.value(&format!("{others}.length")), 0, "it asks others for something");
    assert_eq!(page.errors, Vec::<String>::new());
}

#[test]
fn a_fund_is_shown_to_its_tick() {
    let Some(mut page) = browser() else { return };
    let feed = with_web(|_| {});
    let [mut primary, _backup] = feed.sources();
    primary.send_bytes(&levels_by(10, 1, 500, [40_120, 40_130], Totals::at(40_130)));
    page.viewport(1_440, 900, false);
    page.open(&format!("http://{}/", feed.web.unwrap()));
    shows(&mut page, "#last", "4.013");
    shows(&mut page, "#change", "+0.001");
    shows(&mut page, "#spread", "0.002");
    page.wait_for(
        "document.querySelector('#chart').dispatchEvent(new PointerEvent('pointermove')) && \
         document.querySelector('#tip').textContent.includes(' 4.013 ')",
    );
    // A price of whole cents beside others that are not.
    primary.send_bytes(&levels_by(10, 1, 900, [40_120, 40_100], Totals::at(40_100)));
    shows(&mut page, "#change", "-0.002");
    shows(&mut page, "#last", "4.010");
    shows(&mut page, "#watch .number", "4.010");
    // A share has no more than two.
    primary.send_bytes(&levels(1, 1_000, 1_003));
    shows(&mut page, "#change", "+0.03");
    shows(&mut page, "#spread", "0.02");
    assert_eq!(page.errors, Vec::<String>::new());
}

#[test]
fn a_feed_that_dies_is_shown_and_the_page_heals_when_it_is_back() {
    let Some(mut page) = browser() else { return };
    let address = free_address();
    let mut feed = with_web(|web| web.listen = Some(address));
    let [mut primary, _backup] = feed.sources();
    primary.send_bytes(&levels(1, 500, 1_002));
    page.viewport(1_440, 900, false);
    page.open(&format!("http://{address}/"));
    shows(&mut page, "#last", "10.02");
    page.wait_for("document.querySelector('#link').dataset.state === 'live'");

    feed.take_running().stop().unwrap();
    page.wait_for("document.querySelector('#link').dataset.state === 'broken'");
    page.wait_for("document.body.classList.contains('broken')");
    assert_eq!(page.text("#link"), "连接已断开，重连中");
    assert_eq!(page.text("#last"), "10.02", "the last that was known, and shown as such");
    page.screenshot("broken-zh.png");

    let sources: Vec<_> = feed.upstreams.iter().map(Upstream::address).collect();
    let again = Feed::with_sources(&sources, |config| config.web.listen = Some(address));
    let [mut primary, _backup] = feed.sources();
    again.wait_for_sources(2);
    primary.send_bytes(&levels(1, 900, 1_003));
    page.wait_for("document.querySelector('#link').dataset.state === 'live'");
    shows(&mut page, "#last", "10.03");
    assert_eq!(page.value("document.body.classList.contains('broken')"), false);
    assert_eq!(shown(&mut page, "bids"), said(address, "000001.SZ", "bids"));
    assert_eq!(page.errors, Vec::<String>::new());
}
