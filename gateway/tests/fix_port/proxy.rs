//! FIX clients behind a balancer, which says with a PROXY header for whom it connects.

use crate::House;
use crate::client::FixClient;
use crate::peers;
use gateway::audit::Record;

#[test]
fn a_client_behind_a_balancer_is_known_by_its_own_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit = folder.path().join("audit");
    let mut house = House::start(folder.path(), |config| {
        config.fix.accept_proxy.from = vec!["127.0.0.1".parse().expect("a network")];
        config.audit.directory = Some(audit.clone());
        config.audit.segment_bytes = 2 << 20;
    });
    let from = "192.0.2.7:51000".parse().expect("an address");
    let mut client = FixClient::new(FixClient::config(1));
    client.connect_behind(house.address, &transport::proxy_protocol::encode(from, house.address));
    client.logged_on();
    client.order("x", "");
    let order = house.line.order();
    house.accept(&order, 1);
    client.expect(&["150=0", "11=x"]);

    // Who comes from there must say for whom: a logon is no header.
    let mut direct = FixClient::new(FixClient::config(2));
    direct.connect(house.address);
    assert_eq!(direct.expect_end(), "closed");
    let headers = |outcome| house.gateway.metrics.proxy_headers.with_label_values(&["fix", outcome]).get();
    peers::eventually("it is counted", || headers("malformed") == 1);
    client.log_out();
    house.gateway.stop();

    let mut reader = journal::Reader::oldest(&audit).expect("a journal");
    let mut sessions = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        if let Ok(Record::Session { comp_id, peer, what, .. }) = Record::parse(record.kind, record.payload) {
            sessions.push(format!("{comp_id} {what} from {peer}"));
        }
    }
    let of_client = ["c1 logged on by FIX from 192.0.2.7:51000", "c1 FIX session ended from 192.0.2.7:51000"];
    assert_eq!(sessions, of_client);
}
