//! A way to a server that can be shut for its answers: it does what it is asked, and who asks hears nothing, and nothing of why.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The way to one server, for all who connect to it here.
pub(crate) struct Gate {
    address: SocketAddr,
    bar: Arc<Bar>,
}

#[derive(Default)]
struct Bar {
    shut: Mutex<bool>,
    moved: Condvar,
}

impl Bar {
    fn wait(&self) {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.moved.wait_while(shut, |shut| *shut));
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.moved.notify_all();
    }
}

impl Gate {
    /// An open one before this server, `nats://HOST:PORT`.
    pub(crate) fn before(server: &str) -> Self {
        let server: SocketAddr = server.trim_start_matches("nats://").parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, bar) = (listener.local_addr().expect("bound"), Arc::new(Bar::default()));
        let of_all = bar.clone();
        // It ends with the test program.
        std::thread::spawn(move || {
            while let Ok((here, _)) = listener.accept() {
                // Who comes before the server is there is closed, and comes again.
                if let Ok(there) = TcpStream::connect(server) {
                    carry(&here, &there, None);
                    carry(&there, &here, Some(of_all.clone()));
                }
            }
        });
        Self { address, bar }
    }

    /// How to connect through it.
    pub(crate) fn server(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn shut(&self) {
        self.bar.set(true);
    }

    pub(crate) fn open(&self) {
        self.bar.set(false);
    }
}

/// Gives on what comes from one end until either is over, each time that the bar is out of the way.
fn carry(from: &TcpStream, to: &TcpStream, bar: Option<Arc<Bar>>) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a handle");
    let (mut from, mut to) = (clone(from), clone(to));
    to.set_nodelay(true).expect("set");
    std::thread::spawn(move || {
        let mut chunk = vec![0; 1 << 16];
        while let Ok(bytes @ 1..) = from.read(&mut chunk) {
            bar.iter().for_each(|bar| bar.wait());
            if to.write_all(&chunk[..bytes]).is_err() {
                break;
            }
        }
        // It may be over already.
        drop(to.shutdown(Shutdown::Both));
    });
}
