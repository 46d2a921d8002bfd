//! A gateway process that is killed without a warning while reports flow: its FIX client gets each of them once all the same.

use crate::accepted;
use crate::client::FixClient;
use crate::peers::{self, Core, Line, text};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
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

fn write_config(folder: &Path, core: SocketAddr, fix: SocketAddr) -> std::path::PathBuf {
    let path = folder.join("gateway.toml");
    let store = folder.join("fix-store");
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n\
         [fix]\naddress = \"{fix}\"\n[fix.store]\ndirectory = \"{}\"\n[[fix.sessions]]\ncomp_id = \"c1\"\n\
         [[clients]]\ncomp_id = \"c1\"\npassword = \"secret\"\naccounts = [\"a1\"]\n\
         [[cores]]\ncore = \"cash\"\naddress = \"{core}\"\npartition_first = 1\npartitions = 1\nbackoff_min_ms = 1\n\
         heartbeat_s = {}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
        store.display(),
        peers::HEARTBEAT_S,
    );
    std::fs::write(&path, text).expect("written");
    path
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

#[test]
fn each_report_comes_once_though_the_gateway_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Core::listen(&[1]);
    let fix = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let config = write_config(folder.path(), core.address(), fix);
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
    for life in 0..=KILLS {
        let process = Process::start(&config);
        let (mut line, asked) = core.accept();
        assert_eq!(asked, [(1, 1)], "a gateway that starts reads the day from its beginning");
        peers::eventually("it listens", || TcpStream::connect(fix).is_ok());
        client.connect(fix);
        client.logged_on();
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
