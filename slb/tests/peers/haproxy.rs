//! HAProxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::program::{Program, wait_for_listener};

/// HAProxy in the foreground, with these sections.
pub(crate) fn run(folder: &Path, sections: &str, listens: SocketAddr) -> Program {
    let file = folder.join("haproxy.cfg");
    let defaults = "defaults\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n";
    std::fs::write(&file, format!("{defaults}{sections}\n")).unwrap();
    let program = Program::start(Command::new("haproxy").arg("-db").arg("-f").arg(&file));
    wait_for_listener(listens);
    program
}
