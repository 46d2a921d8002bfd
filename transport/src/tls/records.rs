//! Hot path: TLS 1.3 records of an established connection, without a socket.
//!
//! rustls does the handshake and keeps the key schedule; the records are done here, because its own record layer
//! copies each message twice and cannot seal for several connections at once. Rules: one copy from the caller's bytes
//! into the record, opening in place, no allocation but growing the output (the suites that are not SM4-GCM allocate
//! one record in rustls).

use gm::tls::TLS_SM4_GCM_SM3;
use gm::tls::record::{PLAINTEXT_BYTES_MAX, Sealer};
use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets, ProtocolVersion, SupportedCipherSuite,
};
use std::io::{self, IoSlice};

/// Bytes of a record's header: content type, version, length.
const HEADER_BYTES: usize = 5;
/// Longest record, header and all (RFC 8446, section 5.2).
pub(crate) const RECORD_BYTES_MAX: usize = HEADER_BYTES + PLAINTEXT_BYTES_MAX + 256;
/// Longest handshake message taken after the handshake: session tickets, which carry what the server likes.
const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// Records in a row that may carry no data (empty ones, tickets, changes of keys): more are an attack on the reader's time.
const IDLE_RECORDS_MAX: u32 = 32;

/// close_notify (RFC 8446, section 6.1).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
/// bad_record_mac, fatal (RFC 8446, section 6.2).
const BAD_RECORD_MAC: [u8; 2] = [2, 20];
/// Handshake types (RFC 8446, section 4).
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// A KeyUpdate that asks for none in return.
const KEY_UPDATE_MESSAGE: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];

/// What rustls keeps of the connection: its key schedule and, for a client, its store of sessions.
pub(crate) enum Schedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

impl Schedule {
    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(kernel) => kernel.negotiated_cipher_suite(),
            Self::Server(kernel) => kernel.negotiated_cipher_suite(),
        }
    }

    fn next_sealing(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(kernel) => kernel.update_tx_secret(),
            Self::Server(kernel) => kernel.update_tx_secret(),
        }
    }

    fn next_opening(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(kernel) => kernel.update_rx_secret(),
            Self::Server(kernel) => kernel.update_rx_secret(),
        }
    }
}

/// The writing half's key.
#[allow(clippy::large_enum_variant, reason = "the large one is the common one, and the connection is boxed")]
enum Seal {
    Sm4Gcm(Sealer),
    Other { encrypter: Box<dyn MessageEncrypter>, sequence: u64, sequence_end: u64 },
}

impl Seal {
    fn new(
        suite: SupportedCipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        if suite.suite() == TLS_SM4_GCM_SM3
            && let Some(sealer) = Sealer::from_secrets(sequence, &secrets)
        {
            return Ok(Self::Sm4Gcm(sealer));
        }
        let (tls13, key, iv) = parts(suite, secrets)?;
        let encrypter = tls13.aead_alg.encrypter(key, iv);
        Ok(Self::Other { encrypter, sequence, sequence_end: tls13.common.confidentiality_limit })
    }

    fn is_nearly_used_up(&self) -> bool {
        match self {
            Self::Sm4Gcm(sealer) => sealer.is_nearly_used_up(),
            Self::Other { sequence, sequence_end, .. } => sequence + 1 >= *sequence_end,
        }
    }

    fn seal(&mut self, kind: ContentType, parts: &[IoSlice<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Sm4Gcm(sealer) => sealer.seal_as(kind, parts, out).map_err(|_| Error::EncryptError),
            Self::Other { encrypter, sequence, .. } => {
                let payload: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
                let message = OutboundPlainMessage {
                    typ: kind,
                    version: ProtocolVersion::TLSv1_3,
                    payload: OutboundChunks::new(&payload),
                };
                out.extend(encrypter.encrypt(message, *sequence)?.encode());
                *sequence += 1;
                Ok(())
            }
        }
    }
}

/// The reading half's key.
struct Open {
    decrypter: Box<dyn MessageDecrypter>,
    sequence: u64,
}

impl Open {
    fn new(
        suite: SupportedCipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (tls13, key, iv) = parts(suite, secrets)?;
        Ok(Self { decrypter: tls13.aead_alg.decrypter(key, iv), sequence })
    }
}

/// A suite of TLS 1.3, and the key in its own terms.
fn parts(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<
    (&'static rustls::Tls13CipherSuite, rustls::crypto::cipher::AeadKey, rustls::crypto::cipher::Iv),
    Error,
> {
    let tls13 = suite.tls13().ok_or_else(|| Error::General("not a suite of TLS 1.3".into()))?;
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((tls13, key, iv)),
        _ => Err(Error::General("traffic secrets of a kind that is not known here".into())),
    }
}

/// Both directions of an established connection.
pub(crate) struct Records {
    schedule: Schedule,
    seal: Seal,
    open: Open,
    /// The head of a handshake message whose rest has not come.
    message: Vec<u8>,
    /// The peer has asked for a change of our key.
    rekey_asked: bool,
    /// Records in a row that carried no data.
    idle: u32,
    /// The peer has said that it will send nothing more.
    pub(crate) ended: bool,
}

/// What came of opening what was there.
#[derive(Default)]
pub(crate) struct Opened {
    /// Bytes of plaintext, now at the buffer's beginning.
    pub(crate) plain: usize,
    /// Bytes of whole records looked at; behind them is the head of one whose rest has not come.
    pub(crate) consumed: usize,
    /// What stopped it: nothing more will be read. The plaintext before it is good.
    pub(crate) failed: Option<io::Error>,
}

impl Records {
    pub(crate) fn new(schedule: Schedule, secrets: ExtractedSecrets) -> Result<Self, Error> {
        let suite = schedule.suite();
        Ok(Self {
            seal: Seal::new(suite, secrets.tx)?,
            open: Open::new(suite, secrets.rx)?,
            schedule,
            message: Vec::new(),
            rekey_asked: false,
            idle: 0,
            ended: false,
        })
    }

    /// The suite that was agreed.
    pub(crate) fn suite(&self) -> SupportedCipherSuite {
        self.schedule.suite()
    }

    /// Appends records with the slices' first `bytes_max` bytes to `out`, and says how many bytes those were.
    pub(crate) fn seal(
        &mut self,
        slices: &[IoSlice<'_>],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut cut = Cut { slices, offset: 0 };
        let mut total = 0;
        let mut record = [IoSlice::new(&[]); RECORD_SLICES];
        while total < bytes_max {
            let (count, bytes) = cut.take((bytes_max - total).min(PLAINTEXT_BYTES_MAX), &mut record);
            if bytes == 0 {
                break;
            }
            self.rekey_if_due(out)?;
            self.seal.seal(ContentType::ApplicationData, &record[..count], out).map_err(invalid)?;
            total += bytes;
        }
        Ok(total)
    }

    /// Appends one record, which may be empty.
    #[cfg(test)]
    pub(crate) fn seal_one(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.seal.seal(ContentType::ApplicationData, &[IoSlice::new(payload)], out).unwrap();
    }

    /// The key of SM4-GCM when a record may be sealed at once, together with other connections'.
    #[inline]
    pub(crate) fn sealer(&mut self) -> Option<&mut Sealer> {
        match &mut self.seal {
            Seal::Sm4Gcm(sealer) if !self.rekey_asked && !sealer.is_nearly_used_up() => Some(sealer),
            _ => None,
        }
    }

    /// Says to the peer that nothing more comes.
    pub(crate) fn close_notify(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.seal.seal(ContentType::Alert, &[IoSlice::new(&CLOSE_NOTIFY)], out).map_err(invalid)
    }

    /// Says to the peer that what it sent cannot be opened.
    pub(crate) fn refuse(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.seal.seal(ContentType::Alert, &[IoSlice::new(&BAD_RECORD_MAC)], out).map_err(invalid)
    }

    /// Whether the peer waits for a change of our key.
    pub(crate) fn rekey_asked(&self) -> bool {
        self.rekey_asked
    }

    /// Changes the writing key where the peer asked for it or the key is used up.
    pub(crate) fn rekey_if_due(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !self.rekey_asked && !self.seal.is_nearly_used_up() {
            return Ok(());
        }
        self.rekey_asked = false;
        self.seal.seal(ContentType::Handshake, &[IoSlice::new(&KEY_UPDATE_MESSAGE)], out).map_err(invalid)?;
        let next = self.schedule.next_sealing().map_err(invalid)?;
        self.seal = Seal::new(self.suite(), next).map_err(invalid)?;
        Ok(())
    }

    /// Opens the records in `buffer` where they lie and moves what they carry to its beginning.
    pub(crate) fn open(&mut self, buffer: &mut [u8]) -> Opened {
        let mut opened = Opened::default();
        while !self.ended {
            let rest = &mut buffer[opened.consumed..];
            let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { break };
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let (kind, whole) = (ContentType::from(header[0]), HEADER_BYTES + length);
            if kind != ContentType::ApplicationData || whole > RECORD_BYTES_MAX {
                opened.failed = Some(text("a record that TLS 1.3 does not know"));
                break;
            }
            if rest.len() < whole {
                break;
            }
            match self.open_record(&mut rest[HEADER_BYTES..whole]) {
                Ok(0) if self.idle == IDLE_RECORDS_MAX => {
                    opened.failed = Some(text("too many records in a row that carry nothing"));
                    break;
                }
                Ok(plain) => {
                    self.idle = if plain == 0 { self.idle + 1 } else { 0 };
                    let from = opened.consumed + HEADER_BYTES;
                    buffer.copy_within(from..from + plain, opened.plain);
                    opened.plain += plain;
                    opened.consumed += whole;
                }
                Err(error) => {
                    opened.failed = Some(error);
                    break;
                }
            }
        }
        opened
    }

    /// Opens one record and says how many bytes of application data are now at its beginning.
    fn open_record(&mut self, sealed: &mut [u8]) -> io::Result<usize> {
        let message =
            InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, sealed);
        let message = self.open.decrypter.decrypt(message, self.open.sequence).map_err(invalid)?;
        self.open.sequence += 1;
        match message.typ {
            ContentType::ApplicationData if self.message.is_empty() => Ok(message.payload.len()),
            ContentType::Handshake => {
                let payload = message.payload.to_vec();
                self.handshake(&payload).map(|()| 0)
            }
            // What stands before the description, the level, means nothing any more (RFC 8446, section 6).
            ContentType::Alert if matches!(message.payload, [_, 0]) => {
                self.ended = true;
                Ok(0)
            }
            ContentType::Alert => {
                let description = message.payload.get(1).copied().unwrap_or(0);
                let description = rustls::AlertDescription::from(description);
                Err(invalid(Error::AlertReceived(description)))
            }
            _ => Err(text("a record of a kind that has no place here")),
        }
    }

    /// Handshake messages that come after the handshake, whole or in parts.
    fn handshake(&mut self, payload: &[u8]) -> io::Result<()> {
        let kind = self.message.first().or(payload.first());
        if !matches!(kind, Some(&(NEW_SESSION_TICKET | KEY_UPDATE))) {
            return Err(text("a handshake message that has no place here"));
        }
        self.message.extend_from_slice(payload);
        if self.message.len() > MESSAGE_BYTES_MAX {
            return Err(text("a handshake message longer than any that is taken"));
        }
        let message = std::mem::take(&mut self.message);
        let mut rest = &message[..];
        while let Some(([kind, a, b, c], behind)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some((body, next)) = behind.split_at_checked(length) else { break };
            match (*kind, &mut self.schedule) {
                (NEW_SESSION_TICKET, Schedule::Client(kernel)) => {
                    kernel.handle_new_session_ticket(body).map_err(invalid)?;
                }
                (KEY_UPDATE, _) if next.is_empty() => self.key_update(body)?,
                _ => return Err(text("a handshake message that has no place here")),
            }
            rest = next;
        }
        self.message.extend_from_slice(rest);
        Ok(())
    }

    fn key_update(&mut self, body: &[u8]) -> io::Result<()> {
        self.rekey_asked |= match body {
            [0] => false,
            [1] => true,
            _ => return Err(text("a malformed KeyUpdate")),
        };
        let next = self.schedule.next_opening().map_err(invalid)?;
        self.open = Open::new(self.suite(), next).map_err(invalid)?;
        Ok(())
    }
}

/// Slices that one record may join; more go into the next.
const RECORD_SLICES: usize = 64;

/// Slices, cut into records.
struct Cut<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are done.
    offset: usize,
}

impl<'a> Cut<'a> {
    /// The next bytes, at most `bytes_max`, as parts; says how many parts and how many bytes.
    fn take(&mut self, bytes_max: usize, parts: &mut [IoSlice<'a>; RECORD_SLICES]) -> (usize, usize) {
        let (mut count, mut total) = (0, 0);
        while count < parts.len() && total < bytes_max {
            let Some(first) = self.slices.first() else { break };
            let slices = self.slices;
            let left = &slices[0][self.offset..];
            let bytes = left.len().min(bytes_max - total);
            parts[count] = IoSlice::new(&left[..bytes]);
            (count, total, self.offset) = (count + 1, total + bytes, self.offset + bytes);
            if self.offset == first.len() {
                (self.slices, self.offset) = (&slices[1..], 0);
            }
        }
        (count, total)
    }
}

fn text(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

pub(crate) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
