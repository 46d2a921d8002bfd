//! A whole run with everything in it, and its page as a browser shows it.

use std::path::Path;

use super::chromium::Chromium;
use super::play;

const WHOLE: &str = r#"
name = "Small <market> & all"
about = "A little of everything."

[orders]
sessions = 4

[quotes]
subscribers = 5

[handshakes]
at = "gateway"

[[phases]]
name = "quiet"
seconds = 3
orders_per_s = 50
quotes_per_s = 50

[[phases]]
name = "storm"
seconds = 3
orders_per_s = 200
quotes_per_s = 300
handshakes_per_s = 20

[[events]]
at_s = 2.0
what = "line a of the cash core is cut"
do = { put = { server = "core-cash", path = "/ports/cash-a/down" } }

[[events]]
at_s = 3.5
do = { primary_source = "down" }

[[events]]
at_s = 4.5
do = { hold = { server = "core-margin", ms = 300 } }
"#;

#[test]
fn a_run_accounts_for_everything_and_its_page_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = play(folder.path(), "whole", WHOLE);
    // 3: a busy machine did not hold the rate, which is no loss.
    assert!(matches!(run.code, Some(0 | 3)), "{:?}", run.code);
    for (name, expected) in [("orders", 1_500), ("quotes", 5 * 1_050), ("handshakes", 60)] {
        let load = run.load(name);
        assert_eq!((load["expected"].as_u64(), load["lost"].as_u64()), (Some(expected), Some(0)), "{name}");
        assert_eq!(load["received"].as_u64(), Some(expected), "{name}");
        assert_eq!(load["phases"].as_array().unwrap().len(), 2);
        let rows = load["rows"].as_array().unwrap();
        assert!(rows.len() >= 6, "a row for each second: {}", rows.len());
        let offered: f64 = rows.iter().map(|row| row["offered_per_s"].as_f64().unwrap()).sum();
        assert!(offered > 0.0);
        let hgrm = std::fs::read_to_string(run.folder.join(format!("{name}.hgrm"))).unwrap();
        assert!(hgrm.contains("Percentile") && hgrm.contains("#[Max"), "{hgrm}");
    }
    let events: Vec<_> =
        run.json["events"].as_array().unwrap().iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "line a of the cash core is cut",
            "the primary source dies",
            "core-margin is held for 300 ms",
            "core-margin goes on"
        ]
    );
    let servers = run.json["components"].as_array().unwrap();
    assert_eq!(servers.len(), 6, "{servers:?}");
    for server in servers {
        assert!(server["conditions"].as_array().unwrap().iter().any(|since| since[1] == "ready"), "{server}");
    }
    assert!(run.html.contains("Small &lt;market&gt; &amp; all") && !run.html.contains("<market>"));
    shown(&run.html_file);
}

/// Opens a page; `None` without a browser, which is said.
fn open(page: &Path) -> Option<Chromium> {
    let Some(mut browser) = Chromium::start() else {
        println!("no chromium: the page is not opened");
        return None;
    };
    browser.viewport(1_280, 900, false);
    browser.open(&format!("file://{}", page.display()));
    browser.wait_for(
        "document.readyState === 'complete' && document.querySelectorAll('svg path.line').length > 0",
    );
    Some(browser)
}

/// How often a selector finds something.
fn count(browser: &mut Chromium, selector: &str) -> u64 {
    browser.value(&format!("document.querySelectorAll({selector:?}).length")).as_u64().unwrap()
}

/// Nothing is fetched from elsewhere, nothing is wrong in the console, and no number is missing in a drawing.
fn is_whole(browser: &mut Chromium) {
    let fetched = browser.value("performance.getEntriesByType('resource').length");
    assert_eq!(fetched, 0, "it needs nothing else");
    assert!(browser.errors.is_empty(), "{:?}", browser.errors);
    assert_eq!(browser.value("/NaN|inf/.test(document.querySelector('main').innerHTML)"), false);
    assert_eq!(
        browser.value("document.documentElement.scrollWidth <= window.innerWidth"),
        true,
        "nothing sticks out"
    );
}

fn shown(page: &Path) {
    let Some(mut browser) = open(page) else { return };
    assert_eq!(browser.text("h1"), "Small <market> & all");
    assert_eq!(count(&mut browser, "#verdict li"), 3, "a word on each load");
    assert_eq!(count(&mut browser, ".tile"), 3);
    assert_eq!(count(&mut browser, "#timeline .phase-name"), 2);
    assert_eq!(count(&mut browser, "#timeline .event"), 4);
    assert_eq!(count(&mut browser, "#events li"), 4);
    assert_eq!(count(&mut browser, "#timeline path.area"), 3);
    assert!(count(&mut browser, "#timeline rect.ready") >= 6, "each server was ready once");
    assert_eq!(count(&mut browser, "#percentiles path.line"), 3);
    assert_eq!(count(&mut browser, "#phases tbody tr"), 5, "handshakes in one phase, the others in two");
    assert_eq!(count(&mut browser, "svg[role=img]"), 2);
    assert!(browser.text("#origin").contains("loadgen run") || browser.text("#origin").contains("run "));
    is_whole(&mut browser);
    browser.viewport(390, 800, true);
    is_whole(&mut browser);
}

/// The page of two runs.
pub(super) fn beside_each_other(page: &Path) {
    let Some(mut browser) = open(page) else { return };
    assert_eq!(count(&mut browser, "#runs tbody tr"), 2);
    assert_eq!(count(&mut browser, "#percentiles-orders path.line"), 2);
    assert_eq!(count(&mut browser, "#p99-orders path.line"), 2);
    is_whole(&mut browser);
}
