//! What is taken for a configuration, and what is said of what is not.

use super::*;
use service::config::{check_default, parse};

fn error(text: &str) -> String {
    parse::<Config>(text, "gateway.toml").unwrap_err().to_string()
}

#[test]
fn the_default_text_is_the_default() {
    check_default::<Config>().unwrap();
}

#[test]
fn the_default_text_has_what_tls_needs() {
    let config: Config =
        tls::check_default(&["transport", "quic"], |config: &Config| config.tls.as_ref()).unwrap();
    assert_eq!(config.listen.transport, Some(tls::Over::Tls));
    assert_eq!(config.listen.quic, Some(config.listen.address), "the same number, in UDP");
    assert_eq!(config.cores[0].transport, Some(tls::Over::Tls));
}

#[test]
fn tls_that_cannot_be_is_refused_where_it_stands() {
    let error = |text: &str| error(text).lines().next().unwrap().to_owned();
    let listen = |value: &str| error(&format!("[listen]\n{value}\n"));
    assert_eq!(
        listen("transport = \"tls\""),
        "gateway.toml:2:13: `listen.transport`: needs a [tls] with certificate, key and ca"
    );
    assert_eq!(
        listen("quic = \"127.0.0.1:1\""),
        "gateway.toml:2:8: `listen.quic`: needs a [tls] with certificate, key and ca"
    );
    let mixed = error("[listen]\nquic = \"127.0.0.1:1\"\n[tls]\nsuites = \"mixed\"\n");
    assert!(mixed.contains("`listen.quic`: cannot choose by the client"), "{mixed}");
    assert!(listen("transport = \"quic\"").contains("`listen.quic` says"));
    assert!(listen("transport = \"ssl\"").contains("unknown variant `ssl`, expected one of `tcp`"));
    let upstream = "[[cores]]\ncore = \"cash\"\npartition_first = 1\npartitions = 1\naddress = \"127.0.0.1:1\"\ntransport = \"quic\"\n";
    assert!(error(upstream).contains("`cores[0].transport`: needs a [tls]"), "{}", error(upstream));
    assert!(error("[tls]\nsuites = \"gm\"").contains("unknown variant `gm`, expected one of `shangmi`"));
    assert!(error("[tls]\nhandshakes_max = 0").contains("`tls.handshakes_max`: expected more than 0"));
    assert!(
        error("[tls]\ncert = \"a\"")
            .contains("unknown field `cert`, expected one of `suites`, `certificate`")
    );
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    let primary = "[quotes]\nprimary = \"127.0.0.1:1\"\n";
    assert!(error("[quotes]\nbackup = \"127.0.0.1:1\"").contains("expected a `primary` too"));
    assert!(error(primary).contains("`quotes.primary`: needs reference data"));
    let checks = "[checks]\nsecurities = \"x\"\nstale_quotes = \"refuse\"\n";
    assert!(parse::<Config>(&format!("{checks}{primary}"), "x").is_ok());
    let same = error(&format!("{checks}{primary}backup = \"127.0.0.1:1\""));
    assert!(same.contains("`quotes.backup`: expected another address"), "{same}");
    let client = "[[clients]]\ncomp_id = \"a\"\npassword = \"p\"\naccounts = [\"1\"]\n";
    assert!(error(&client.repeat(2)).starts_with("gateway.toml:6:11: `clients[1].comp_id`"));
    assert!(error(&client.replace("[\"1\"]", "[]")).contains("`clients[0].accounts`: expected 1 to 256"));
    let core = "[[cores]]\ncore = \"cash\"\naddress = \"127.0.0.1:1\"\npartition_first = 1\npartitions = 2\n";
    assert!(error(&core.repeat(2)).contains("`cores[1].core`: there is a cash core already"));
    let other = core.replace("cash", "margin");
    let alike = error(&format!("{core}{other}"));
    let said = "gateway.toml:9:19: `cores[1].partition_first`: expected numbers that no other core's partitions have";
    assert!(alike.starts_with(said), "{alike}");
    let moved =
        error(&format!("{}{other}partition_offset = 1\n", core.replace("partitions = 2", "partitions = 3")));
    assert!(moved.starts_with("gateway.toml:11:20: `cores[1].partition_offset`: "), "{moved}");
    assert!(
        error(&core.replace("= 1\n", "= 65535\n"))
            .contains("`cores[0].partition_first`: expected numbers up")
    );
    assert!(parse::<Config>(&format!("{core}{other}partition_offset = 10\n"), "x").is_ok());
    assert!(error(&core.replace("partitions = 2", "partitions = 0")).contains("expected 1 to 256"));
    assert!(error("[log]\nwindow_bytes = 4096").starts_with("gateway.toml:2:16: `log.window_bytes`"));
    assert!(error("[forwarding]\nstall_timeout_ms = 0").contains("`forwarding.stall_timeout_ms`"));
    let primary = "[quotes]\nprimary = \"127.0.0.1:1\"\n";
    assert!(error("[quotes]\nbackup = \"127.0.0.1:1\"").contains("expected a `primary` too"));
    assert!(error(primary).contains("`quotes.primary`: needs reference data"));
    let checks = "[checks]\nsecurities = \"x\"\nstale_quotes = \"refuse\"\n";
    assert!(parse::<Config>(&format!("{checks}{primary}"), "x").is_ok());
    let same = error(&format!("{checks}{primary}backup = \"127.0.0.1:1\""));
    assert!(same.contains("`quotes.backup`: expected another address"), "{same}");
    let client = "[[clients]]\ncomp_id = \"a\"\npassword = \"\"\naccounts = [\"1\"]\n";
    let cancel = "[[cancel_on_disconnect]]\ncomp_id = \"a\"\n";
    assert!(error(cancel).contains("`cancel_on_disconnect[0].comp_id`: expected the comp_id of a client"));
    let twice = error(&format!("{client}{cancel}{cancel}"));
    assert!(twice.contains("`cancel_on_disconnect[1].comp_id`: expected a client that is not"), "{twice}");
    assert!(error(&format!("{client}{cancel}grace_ms = 600001")).contains("at most 600000"));
    assert!(error("[forwarding]\norder_max = 1").starts_with("gateway.toml:2:1: unknown field"));
}

#[test]
fn no_two_ports_have_one_address() {
    let fix = error("[fix]\naddress = \"127.0.0.1:7001\"\n");
    let said = "`fix.address`: \"listen\" and \"fix\" have the same address 127.0.0.1:7001";
    assert!(fix.starts_with(&format!("gateway.toml:2:11: {said}")), "{fix}");
    let admin = error("[admin]\nlisten = \"127.0.0.1:7001\"\n");
    assert!(admin.contains("`admin.listen`: \"listen\" and \"admin\" have the same address"), "{admin}");
    let free = "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    assert!(parse::<Config>(free, "x").is_ok());
}

#[test]
fn a_stream_is_kept_three_times_unless_told_otherwise() {
    let audit = "[audit.jetstream]\nservers = [\"nats://127.0.0.1:4222\"]\nstream = \"a\"\n";
    let config = parse::<Config>(audit, "gateway.toml").unwrap();
    assert_eq!(config.audit.jetstream.unwrap().replicas, 3);
    assert!(
        error(&format!("{audit}replicas = 2\n")).contains("`audit.jetstream.replicas`: expected 1, 3 or 5")
    );
}

#[test]
fn a_password_does_not_print() {
    let text = "[[clients]]\ncomp_id = \"a\"\npassword = \"hush\"\naccounts = [\"1\"]\n";
    assert!(!format!("{:?}", parse::<Config>(text, "gateway.toml").unwrap()).contains("hush"));
    let long = error(&text.replace("hush", "hush, hush and hush"));
    assert!(long.contains("at most 16 bytes") && long.contains("password = (not shown)"), "{long}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_key_and_where_it_was_sought() {
    let check = |text: &str, key: &str| {
        service::config::check_missing::<Config>(text, key, "/nonexistent/x".as_ref()).unwrap();
    };
    let tls = "[tls]\ncertificate = \"/nonexistent/x\"\nkey = \"/nonexistent/y\"\nca = \"/nonexistent/z\"\n";
    check(tls, "tls.certificate");
    let traces = "[traces]\nendpoint = \"http://127.0.0.1:1/\"\nid_key_file = \"/nonexistent/x\"\n";
    check(traces, "traces.id_key_file");
    for (section, key) in [("checks", "rules"), ("checks", "securities"), ("control", "token_file")] {
        let text = format!("[{section}]\n{key} = \"/nonexistent/x\"\n");
        check(&text, &format!("{section}.{key}"));
    }
}
