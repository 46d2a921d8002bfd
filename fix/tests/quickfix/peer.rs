//! A QuickFIX process, built from `peer.cpp` beside this file.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();

/// The program, or `None` (said once) where QuickFIX is not installed; with CI=true that is a failure.
pub(crate) fn program() -> Option<&'static Path> {
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fix/tests/quickfix/peer.cpp");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quickfix-peer");
    let compiler = Command::new("c++")
        // Its headers have exception specifications that C++17 no longer takes.
        .args(["-std=c++14", "-O1", "-w", "-o"])
        .arg(&program)
        .arg(&source)
        .args(["-lquickfix", "-lpthread"])
        .output();
    let why = match compiler {
        Ok(output) if output.status.success() => return Some(program),
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "QuickFIX is missing: {why}");
    eprintln!("skipped: no QuickFIX here (.ci/peers installs it): {why}");
    None
}

/// HeartBtInt of both: short, as tests wait for heartbeats, and longer than a busy machine holds one of them up.
pub(crate) const HEART_BT_S: u16 = 2;

/// The engine's settings. The session's week begins at an odd time, so that a test does not run over its end.
pub(crate) fn settings(role: &str, port: u16, folder: &Path, more: &str) -> String {
    let dictionary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fix/TONGDAO-FIX44.xml");
    format!(
        "[DEFAULT]\nConnectionType={role}\nStartDay=wednesday\nStartTime=04:33:17\nEndDay=wednesday\nEndTime=04:33:16\n\
         HeartBtInt={HEART_BT_S}\nReconnectInterval=1\nFileStorePath={}\nUseDataDictionary=Y\nDataDictionary={}\n{more}\n\
         [SESSION]\nBeginString=FIX.4.4\nSenderCompID=PEER\nTargetCompID=TONGDAO\n\
         SocketConnectHost=127.0.0.1\nSocketConnectPort={port}\nSocketAcceptPort={port}\nSocketReuseAddress=Y\n",
        folder.join("quickfix").display(),
        dictionary.display(),
    )
}

pub(crate) struct Peer {
    child: Child,
    commands: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it printed since the last [`Peer::forget`].
    pub(crate) said: Vec<String>,
}

impl Peer {
    pub(crate) fn start(role: &str, settings: &str, folder: &Path) -> Self {
        Self::start_as("user", role, settings, folder)
    }

    /// The same with another Username.
    pub(crate) fn start_as(username: &str, role: &str, settings: &str, folder: &Path) -> Self {
        let path = folder.join("settings");
        std::fs::write(&path, settings).expect("settings written");
        let mut child = Command::new(program().expect("built"))
            .env("PEER_USERNAME", username)
            .arg(role)
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = sync_channel(10_000);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let commands = child.stdin.take();
        Self { child, commands, lines, said: Vec::new() }
    }

    /// Gives it a command.
    pub(crate) fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("running");
        writeln!(commands, "{command}").expect("the peer listens");
    }

    /// Takes in what it printed meanwhile.
    pub(crate) fn listen(&mut self) {
        self.said.extend(self.lines.try_iter());
    }

    /// The same, waiting for a line.
    pub(crate) fn listen_for(&mut self, wait: Duration) {
        match self.lines.recv_timeout(wait) {
            Ok(line) => self.said.push(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => panic!("the peer has ended: {:#?}", self.said),
        }
        self.listen();
    }

    pub(crate) fn forget(&mut self) {
        self.listen();
        self.said.clear();
    }

    /// It printed a line that begins so and has all these parts.
    pub(crate) fn has_said(&self, start: &str, parts: &[&str]) -> bool {
        let fits = |line: &&String| line.starts_with(start) && parts.iter().all(|part| line.contains(part));
        self.said.iter().any(|line| fits(&line))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.commands = None;
        self.child.kill().expect("it can be ended");
        self.child.wait().expect("it has ended");
    }
}
