//! A restart without a refused or a closed connection: a new process takes over the listening sockets of
//! the old one (SCM_RIGHTS over a Unix socket), accepts on them, and says so; only then the old one drains.
//!
//! The sockets themselves never close, so nobody in their queues is lost, which sharing a port between two
//! processes (SO_REUSEPORT) could not promise. When the new process fails before it says that it is ready,
//! the old one goes on as if nothing had been.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt,
};
use rustix::process::geteuid;
use service::Shutdown;

use crate::config::Protocol;
use crate::control::Control;
use crate::port::Inherited;
use crate::states::BackendState;

/// Sockets of one message: the system takes 253 (SCM_MAX_FD).
const SOCKETS_A_MESSAGE: usize = 128;
/// How long the other process may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new process may take from its sockets to accepting on them.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// A pause after a failure, so that running out of files does not become a busy loop.
const BACKOFF: Duration = Duration::from_millis(50);

/// What is known of backends, bytes at most.
const STATES_BYTES_MAX: u32 = 32 << 20;

/// Old to new: some sockets come with this; what is known of backends follows (its length in four bytes, and JSON); all
/// has come; the path is free.
const SOCKETS: u8 = b'S';
const STATES: u8 = b'T';
const ALL_SENT: u8 = b'A';
const PATH_FREE: u8 = b'F';
/// New to old: connections are accepted.
const READY: u8 = b'R';

/// What is taken over from the process before: nothing by default.
#[derive(Debug, Default)]
pub struct Takeover {
    sockets: Inherited,
    states: Vec<BackendState>,
    from: Option<UnixStream>,
}

impl Takeover {
    /// Asks the process that listens at `path` for its sockets; nobody may be there.
    ///
    /// # Errors
    /// When somebody is there and does not do as it should.
    pub fn ask(path: &Path) -> io::Result<Self> {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        let mut from = match UnixStream::connect(path) {
            Ok(from) => from,
            Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        from.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut taken = Self::default();
        let mut count = 0;
        while receive(&mut from, &mut taken, &mut count)? {}
        tracing::info!(sockets = count, "taking over from the process before");
        Ok(Self { from: Some(from), ..taken })
    }

    /// The socket of an address, such as that of the admin port.
    pub fn socket(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.sockets.take(address, Protocol::Tcp).pop().map(TcpListener::from)
    }

    pub(crate) fn sockets(&mut self) -> Inherited {
        std::mem::take(&mut self.sockets)
    }

    /// What the process before knew of backends.
    pub(crate) fn states(&self) -> &[BackendState] {
        &self.states
    }

    /// Tells the process before that connections are accepted here, and waits until the path is free.
    ///
    /// # Errors
    /// When it does not answer. It may have ended.
    pub fn ready(self) -> io::Result<()> {
        let Some(mut from) = self.from else { return Ok(()) };
        from.write_all(&[READY])?;
        expect(&mut from, PATH_FREE)
    }
}

/// Takes in one message; whether more will come.
fn receive(from: &mut UnixStream, taken: &mut Takeover, count: &mut usize) -> io::Result<bool> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_A_MESSAGE))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut kind = [0];
    let received =
        recvmsg(&*from, &mut [IoSliceMut::new(&mut kind)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        let RecvAncillaryMessage::ScmRights(files) = message else { continue };
        for file in files {
            taken.sockets.add(file)?;
            *count += 1;
        }
    }
    match (received.bytes, kind[0]) {
        (1, SOCKETS) => Ok(true),
        (1, STATES) => {
            taken.states = receive_states(from)?;
            Ok(true)
        }
        (1, ALL_SENT) => Ok(false),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the process before broke off its handover")),
    }
}

fn receive_states(from: &mut UnixStream) -> io::Result<Vec<BackendState>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len);
    if len > STATES_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{len} bytes are said of backends")));
    }
    let mut json = vec![0; len as usize];
    from.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn send_states(to: &mut UnixStream, states: &[BackendState]) -> io::Result<()> {
    let json = serde_json::to_vec(states)?;
    let len = u32::try_from(json.len()).ok().filter(|len| *len <= STATES_BYTES_MAX);
    let len = len.ok_or_else(|| io::Error::other("too much is known of backends"))?;
    to.write_all(&[STATES])?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(&json)
}

/// A process that can be taken over from.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    admin: TcpListener,
}

impl Offer {
    /// Listens at `path`, for processes of the same user. Whoever was there before is to have freed it.
    /// `admin` is the admin port's socket, which is handed over too.
    ///
    /// # Errors
    /// When the path cannot be listened on.
    pub fn bind(path: &Path, admin: TcpListener) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("handover at {}: {error}", path.display()))
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(named)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(named)?;
        Ok(Self { listener, admin })
    }

    /// Waits, on a thread of its own, for a process that takes over; then lets the admin port go with
    /// `release_admin` and drains.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(
        self,
        control: Control,
        shutdown: Shutdown,
        release_admin: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let wait = move || {
            for asking in self.listener.incoming() {
                match asking.and_then(|mut to| self.hand_over(&control, &mut to).map(|pid| (to, pid))) {
                    Ok((to, pid)) => {
                        control.note_handed_over();
                        return self.end(to, pid, &shutdown, release_admin);
                    }
                    Err(error) => {
                        tracing::error!(%error, "nothing was handed over, all goes on here");
                        std::thread::sleep(BACKOFF);
                    }
                }
            }
        };
        std::thread::Builder::new().name("slb-handover".to_owned()).spawn(wait).map(drop)
    }

    /// Hands the sockets to who asks; returns its process once it accepts on them.
    fn hand_over(&self, control: &Control, to: &mut UnixStream) -> io::Result<u32> {
        let peer = sockopt::socket_peercred(&*to)?;
        if peer.uid != geteuid() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user's process asks"));
        }
        let pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
        tracing::info!(pid, "another process asks to take over");
        to.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let mut sockets = control.sockets()?;
        sockets.push(self.admin.try_clone()?.into());
        for some in sockets.chunks(SOCKETS_A_MESSAGE) {
            let files: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            send(to, SOCKETS, &files)?;
        }
        send_states(to, &control.states())?;
        send(to, ALL_SENT, &[])?;
        to.set_read_timeout(Some(READY_TIMEOUT))?;
        expect(to, READY)?;
        Ok(pid)
    }

    fn end(self, mut to: UnixStream, pid: u32, shutdown: &Shutdown, release_admin: impl FnOnce()) {
        shutdown.name_successor(pid);
        drop(self);
        release_admin();
        if let Err(error) = to.write_all(&[PATH_FREE]) {
            tracing::warn!(%error, "the process that took over could not be told");
        }
        shutdown.drain("another process took over");
    }
}

fn send(to: &UnixStream, kind: u8, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_A_MESSAGE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        assert!(
            ancillary.push(SendAncillaryMessage::ScmRights(files)),
            "there is room for a message's sockets"
        );
    }
    sendmsg(to, &[IoSlice::new(&[kind])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

fn expect(from: &mut UnixStream, expected: u8) -> io::Result<()> {
    let mut said = [0];
    from.read_exact(&mut said)?;
    if said[0] == expected {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the other process says something else"))
}
