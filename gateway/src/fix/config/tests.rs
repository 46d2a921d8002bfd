use crate::Config;
use service::config::parse;
use service::tls::Over;
use std::path::Path;

const CLIENT: &str = "[[clients]]\ncomp_id = \"c\"\npassword = \"p\"\naccounts = [\"1\", \"2\"]\n";

fn error(text: &str) -> String {
    parse::<Config>(&format!("{CLIENT}{text}"), "gateway.toml").unwrap_err().to_string()
}

#[test]
fn sessions_are_clients_and_have_their_accounts() {
    let good =
        "[fix]\naddress = \"127.0.0.1:0\"\n[[fix.sessions]]\ncomp_id = \"c\"\ndefault_account = \"2\"\n";
    assert!(parse::<Config>(&format!("{CLIENT}{good}"), "gateway.toml").is_ok());
    let unknown = error("[[fix.sessions]]\ncomp_id = \"d\"\n");
    assert!(
        unknown.starts_with("gateway.toml:6:11: `fix.sessions[0].comp_id`: expected a comp_id of"),
        "{unknown}"
    );
    assert!(error(&"[[fix.sessions]]\ncomp_id = \"c\"\n".repeat(2)).contains("that no other session has"));
    assert!(
        error("[[fix.sessions]]\ncomp_id = \"c\"\ndefault_account = \"3\"\n").contains("one of the client's")
    );
    assert!(error("[[fix.sessions]]\ncomp_id = \"c\"\nauthentication = \"both\"\n").contains("needs TLS"));
    assert!(error("[[fix.sessions]]\ncomp_id = \"c\"\naccounts = [\"1\"]\n").contains("unknown field"));
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    for (text, problem) in [
        ("transport = \"tls\"", "`fix.transport`: needs a [tls]"),
        ("transport = \"quic\"", "`fix.transport`: expected \"tls\" or \"tcp\""),
        ("comp_id = \"\"", "`fix.comp_id`: expected a name"),
        ("heartbeat_s_min = 0", "`fix.heartbeat_s_min`: expected 1 to"),
        ("logon_timeout_ms = 0", "`fix.logon_timeout_ms`: expected more than 0"),
        ("garbled_max = 0", "`fix.garbled_max`: expected more than 0"),
        ("orders_max = 0", "`fix.orders_max`: expected 1 to"),
        (
            "address = \"127.0.0.1:0\"\norders_max = 1000\n[forwarding]\norders_max = 1001",
            "`fix.orders_max`: expected at least forwarding.orders_max",
        ),
        ("window_bytes = 4096", "`fix.window_bytes`: expected at least"),
        ("reset = \"maybe\"", "unknown variant `maybe`, expected one of `refuse`, `continue`, `replay`"),
        ("store = { kind = \"cloud\" }", "unknown variant `cloud`"),
        ("store = { session_bytes_max = 1 }", "`fix.store.session_bytes_max`: expected at least"),
    ] {
        let error = error(&format!("[fix]\n{text}\n"));
        assert!(error.contains(problem), "{error}");
    }
}

/// docs/fix/connect.md shows an engine's settings beside the gateway's: both are taken, and they are of one session.
#[test]
fn what_integrators_are_shown_is_taken_as_it_stands() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fix/connect.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let configs: Vec<Config> =
        blocks.iter().map(|block| parse::<Config>(block, "connect.md").unwrap()).collect();
    let (config, address) = (&configs[0], configs[0].fix.address.unwrap());
    assert_eq!((configs.len(), config.fix.transport), (2, Some(Over::Tcp)));
    assert_eq!(config.fix.sessions[0].comp_id, config.clients[0].comp_id);
    assert!(blocks[0].contains("password = \"change me\""));
    for setting in [
        format!("SenderCompID={}", config.fix.sessions[0].comp_id),
        format!("TargetCompID={}", config.fix.comp_id),
        format!("SocketConnectHost={}", address.ip()),
        format!("SocketConnectPort={}", address.port()),
        "FIX::Password(\"change me\")".to_owned(),
    ] {
        assert!(page.contains(&setting), "{setting}");
    }
}
