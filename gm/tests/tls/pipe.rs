//! Two connections joined by memory.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

/// Which side found fault.
#[derive(Debug)]
pub(crate) enum Fault {
    Client(Error),
    Server(Error),
}

impl Pair {
    pub(crate) fn new(client: ClientConfig, server: ServerConfig) -> Self {
        Self::of(&Arc::new(client), &Arc::new(server))
    }

    pub(crate) fn of(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(client), name).unwrap(),
            server: ServerConnection::new(Arc::clone(server)).unwrap(),
        }
    }

    /// Carries bytes both ways until neither side has any.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        loop {
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut to_server).unwrap();
            }
            let mut rest = &to_server[..];
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).unwrap();
                self.server.process_new_packets().map_err(Fault::Server)?;
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut to_client).unwrap();
            }
            let mut rest = &to_client[..];
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).unwrap();
                self.client.process_new_packets().map_err(Fault::Client)?;
            }
            if to_server.is_empty() && to_client.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends a message each way and checks that it arrives.
    pub(crate) fn talk(&mut self) {
        let (question, answer) = (vec![0x51; 40_000], vec![0xa5; 40_000]);
        for piece in question.chunks(10_000) {
            self.client.writer().write_all(piece).unwrap();
            self.server.writer().write_all(&answer[..piece.len()]).unwrap();
            self.run().unwrap();
            let mut read = vec![0; piece.len()];
            self.server.reader().read_exact(&mut read).unwrap();
            assert_eq!(read, piece);
            self.client.reader().read_exact(&mut read).unwrap();
            assert_eq!(read, answer[..piece.len()]);
        }
    }
}
