//! Programs that run while a test does.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing takes so long but a hang.
pub(crate) const GUARD: Duration = Duration::from_secs(60);

/// Whether one of these is not here, said once; with CI=true that is a failure.
pub(crate) fn missing(programs: &[&str]) -> bool {
    let is_there = |program: &str| {
        let found =
            Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let Some(program) = programs.iter().find(|program| !is_there(program)) else { return false };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is missing");
    eprintln!("skipped: no {program} here (.ci/peers installs it)");
    true
}

/// A folder that programs of another user may look into.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// An address that is free, below those that the system gives to connections which go out.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 15_000 + (std::process::id() % 16_000) as u16;
    NEXT.compare_exchange(0, begin, Ordering::Relaxed, Ordering::Relaxed).ok();
    loop {
        let port = 15_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 16_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }
}

/// A program that is killed with what holds it.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it without a word on its outputs.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        self.0.wait().unwrap();
    }

    /// Without a warning.
    pub(crate) fn kill(&mut self) {
        // It may be dead already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < GUARD, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until somebody listens.
pub(crate) fn wait_for_listener(address: SocketAddr) {
    wait_for("somebody listens", || TcpStream::connect(address).is_ok());
}

/// What a program that came to its end has said on both outputs, and whether it was content.
pub(crate) fn said(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
