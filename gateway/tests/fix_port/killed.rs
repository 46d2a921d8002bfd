//! Gateway processes that are killed without a warning while reports flow: their FIX client gets each of them once all the same, from
//! the one that starts again or, where the memories are in JetStream, from another one.

use crate::accepted;
use crate::client::FixClient;
use crate::nats::{self, Cluster, NODES, TIMEOUT_MS};
use crate::peers::{self, Core, Line, text};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use wire::szse::Message;
use wire::szse::trading::{NewOrder, OrderReport};

/// Reports before the first kill, and between two.
const REPORTS: i64 = 1_500;
const KILLS: i64 = 3;

struct Process(Child);

impl Process {
    fn start(config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }
}

impl Drop for Process {
    /// SIGKILL.
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it has ended");
    }
}

/// A gateway that can be started, and the core and the port that it has each time.
struct Place {
    core: Core,
    fix: SocketAddr,
    config: PathBuf,
}

impl Place {
    /// With sessions that are kept as this part of the configuration says.
    fn new(folder: &Path, store: &str) -> Self {
        let core = Core::listen(&[1]);
        // One that is still free when the next process wants it.
        let [port] = nats::free_ports();
        let fix = SocketAddr::from(([127, 0, 0, 1], port));
        let config = folder.join(format!("gateway-{}.toml", fix.port()));
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n\
             [fix]\naddress = \"{fix}\"\n[fix.store]\n{store}\n[[fix.sessions]]\ncomp_id = \"c1\"\n\
             [[clients]]\ncomp_id = \"c1\"\npassword = \"secret\"\naccounts = [\"a1\"]\n\
             [[cores]]\ncore = \"cash\"\naddress = \"{}\"\npartition_first = 1\npartitions = 1\nbackoff_min_ms = 1\n\
             heartbeat_s = {}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n",
            core.address(),
            peers::HEARTBEAT_S,
        );
        std::fs::write(&config, text).expect("written");
        Self { core, fix, config }
    }
}

/// Sends reports of this and the following numbers, all in one write.
fn report(line: &mut Line, order: &NewOrder, indices: std::ops::RangeInclusive<i64>) {
    let mut bytes = Vec::new();
    for index in indices {
        let named = NewOrder { cl_ord_id: text(&index.to_string()), ..*order };
        let report: OrderReport = accepted(&named, 1, index);
        assert_eq!(OrderReport::MSG_TYPE, 200_102);
        wire::szse::frame::encode(&report, &mut bytes);
    }
    line.peer.write(&bytes);
}

/// Each life of a gateway is in the next of these places. All but the last end by a kill.
fn each_report_comes_once(places: &[Place]) {
    let order = NewOrder {
        account_id: text("a1"),
        base: wire::szse::trading::RequestBase {
            security_id: text("000001"),
            security_id_source: text("102"),
            ..Default::default()
        },
        ..NewOrder::default()
    };
    let mut client = FixClient::new(FixClient::config(1));
    let mut next = 1;
    for (life, Place { core, fix, config }) in (0..=KILLS).zip(places.iter().cycle()) {
        let process = Process::start(config);
        let (mut line, asked) = core.accept();
        assert_eq!(asked, [(1, 1)], "a gateway that starts reads the day from its beginning");
        peers::eventually("logged on, once the sessions' memories are there", || {
            TcpStream::connect(fix).is_ok() && {
                client.connect(*fix);
                while client.turn() && !client.session.is_active() {}
                client.session.is_active()
            }
        });
        let last = (life + 1) * REPORTS;
        report(&mut line, &order, 1..=last);
        // The last life ends well; others end while reports are on their way.
        let until = if life == KILLS { last } else { last - REPORTS / 2 };
        while next <= until {
            client.expect(&[&format!("17=e1-{next}")]);
            next += 1;
        }
        drop(process);
        // What had come is the client's, whatever became of the gateway.
        while let Some(came) = client.next_before_the_end() {
            assert!(came.contains(&format!("|17=e1-{next}|")), "e1-{next}, not {came}");
            next += 1;
        }
        client.lose();
    }
    assert_eq!(next - 1, (KILLS + 1) * REPORTS);
}

#[test]
fn each_report_comes_once_though_the_gateway_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("directory = \"{}\"", folder.path().join("fix-store").display());
    each_report_comes_once(&[Place::new(folder.path(), &store)]);
}

#[test]
fn each_report_comes_once_though_the_gateway_is_killed_and_another_one_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let servers = &cluster.servers;
    let store = format!(
        "kind = \"jetstream\"\n[fix.store.jetstream]\nservers = {servers:?}\nstream = \"fix\"\nreplicas = {NODES}\n\
         timeout_ms = {TIMEOUT_MS}"
    );
    each_report_comes_once(&["a", "b"].map(|_| Place::new(cluster.path(), &store)));
}
