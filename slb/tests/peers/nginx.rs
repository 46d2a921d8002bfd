//! nginx, and wrk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::Generator;
use crate::program::{Program, free_address, wait_for_listener};
use crate::story::Behind;

/// nginx in the foreground, as one process, with its files in a folder of its own.
pub(crate) fn run(folder: &Path, conf: &str, listens: SocketAddr) -> Program {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join("nginx.conf");
    std::fs::write(&file, conf).unwrap();
    let program = Program::start(Command::new("nginx").arg("-p").arg(folder).arg("-c").arg(&file).args([
        "-e",
        "stderr",
        "-g",
        "daemon off; master_process off; pid nginx.pid;",
    ]));
    wait_for_listener(listens);
    program
}

/// A configuration with this server of HTTP.
pub(crate) fn http(server: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};"))
        .concat();
    format!("events {{}}\nhttp {{ access_log off; {temporary}\n{server} }}\n")
}

/// A configuration with this server of TCP.
pub(crate) fn stream(server: &str) -> String {
    format!("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {{}}\nstream {{ {server} }}\n")
}

pub(crate) struct Nginx {
    address: SocketAddr,
    folder: PathBuf,
    program: Program,
}

impl Nginx {
    pub(crate) fn start(folder: &Path) -> Self {
        let address = free_address();
        Self { address, folder: folder.to_owned(), program: Self::serve(folder, address) }
    }

    fn serve(folder: &Path, address: SocketAddr) -> Program {
        let server = format!("server {{ listen {address}; location / {{ return 200 hello; }} }}");
        run(folder, &http(&server), address)
    }
}

impl Behind for Nginx {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn kill(&mut self) {
        self.program.kill();
    }

    fn revive(&mut self) {
        self.program = Self::serve(&self.folder, self.address);
    }
}

/// Each request on a connection of its own. What broke is a line of its report.
pub(crate) fn wrk(at: SocketAddr) -> Generator {
    let mut command = Command::new("wrk");
    command
        .args(["-t", "1", "-c", "16", "-d", "1s", "--timeout", "60s", "-H", "Connection: close"])
        .arg(format!("http://{at}/"));
    Generator {
        command,
        error: |content, text| {
            !content
                || text.contains("Socket errors")
                || text.contains("Non-2xx")
                || text.contains(" 0 requests")
        },
    }
}
