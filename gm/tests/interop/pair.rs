//! A connection of ours and one of OpenSSL's joined by memory.

use crate::openssl;
use crate::openssl::tls::{Context, Peer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// Which side found fault first.
#[derive(Debug)]
pub(crate) enum Fault {
    Ours(rustls::Error),
    Theirs(openssl::Error),
}

pub(crate) struct Pair {
    pub(crate) ours: Connection,
    pub(crate) theirs: Peer,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToOurs,
    ToTheirs,
}

impl Pair {
    pub(crate) fn with_our_client(ours: &Arc<ClientConfig>, theirs: &Context) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let ours = ClientConnection::new(Arc::clone(ours), name).unwrap().into();
        Self { ours, theirs: theirs.connection() }
    }

    pub(crate) fn with_our_server(ours: &Arc<ServerConfig>, theirs: &Context) -> Self {
        Self { ours: ServerConnection::new(Arc::clone(ours)).unwrap().into(), theirs: theirs.connection() }
    }

    /// Shakes hands and carries bytes until neither side has any.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        self.run_altered(|_, _| {})
    }

    /// The same with someone between both who may alter what passes.
    pub(crate) fn run_altered(&mut self, mut alter: impl FnMut(Way, &mut Vec<u8>)) -> Result<(), Fault> {
        loop {
            self.theirs.shake().map_err(Fault::Theirs)?;
            let mut to_ours = self.theirs.take();
            alter(Way::ToOurs, &mut to_ours);
            self.give_ours(&to_ours).map_err(Fault::Ours)?;
            let mut to_theirs = self.take_ours();
            alter(Way::ToTheirs, &mut to_theirs);
            if to_ours.is_empty() && to_theirs.is_empty() {
                return Ok(());
            }
            self.theirs.give(&to_theirs);
        }
    }

    pub(crate) fn give_ours(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        while !bytes.is_empty() {
            self.ours.read_tls(&mut bytes).unwrap();
            self.ours.process_new_packets()?;
        }
        Ok(())
    }

    pub(crate) fn take_ours(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.ours.wants_write() {
            self.ours.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Both sides are established.
    pub(crate) fn is_shaken(&self) -> bool {
        !self.ours.is_handshaking() && self.theirs.is_shaken()
    }

    /// Sends 100,000 bytes each way in pieces of all kinds of lengths, and checks that they arrive.
    pub(crate) fn talk(&mut self) {
        let text: Vec<u8> = (0..100_000u32).map(|i| (i ^ i >> 7) as u8).collect();
        let (mut at, mut len) = (0, 1);
        while at < text.len() {
            let piece = &text[at..text.len().min(at + len)];
            self.ours.writer().write_all(piece).unwrap();
            let bytes = self.take_ours();
            self.theirs.give(&bytes);
            let mut read = Vec::new();
            self.theirs.read(&mut read).unwrap();
            assert_eq!(read, piece);
            self.theirs.write(piece).unwrap();
            let bytes = self.theirs.take();
            self.give_ours(&bytes).unwrap();
            let mut read = vec![0; piece.len()];
            self.ours.reader().read_exact(&mut read).unwrap();
            assert_eq!(read, piece);
            at += len;
            // Up to a record's most, and over every remainder of the registers' width.
            len = (len * 21 / 13 + 1) % 16_384 + 1;
        }
    }
}
