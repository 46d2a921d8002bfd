//! Session tickets sealed with SM4-GCM, so that any thread or process with the key resumes a session.

use crate::gcm;
use rustls::crypto::GetRandomFailed;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seconds after which a new key takes over; a ticket lives for one more turn.
const KEY_LIFETIME_S: u32 = 6 * 60 * 60;
/// Longest ticket that is looked at, in bytes: rustls' own state with two certificates of common size fits.
const TICKET_BYTES_MAX: usize = 16 << 10;

/// A source of tickets whose keys change every six hours, for `ServerConfig::ticketer`.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ok(Arc::new(TicketRotator::new(KEY_LIFETIME_S, || Ok(Box::new(Ticketer::new()?)))?))
}

/// Tickets under one key: nonce, ciphertext, tag.
#[derive(Debug)]
struct Ticketer {
    key: gcm::Key,
}

impl Ticketer {
    fn new() -> Result<Self, GetRandomFailed> {
        let mut key = Zeroizing::new([0; 16]);
        getrandom::fill(&mut key[..]).map_err(|_| GetRandomFailed)?;
        Ok(Self { key: gcm::Key::new(&key) })
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        KEY_LIFETIME_S
    }

    /// The nonces are random: 96 bits stand 2^32 tickets of one key with a chance of collision of 2^-33.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; gcm::NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(nonce.len() + plain.len() + gcm::TAG_BYTES);
        ticket.extend(nonce);
        ticket.extend(plain);
        let tag = self.key.seal(&nonce, &[], &mut ticket[gcm::NONCE_BYTES..]);
        ticket.extend(tag);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (nonce, rest) = ticket.split_first_chunk()?;
        let (sealed, tag) = rest.split_last_chunk()?;
        let mut plain = sealed.to_vec();
        self.key.open(nonce, &[], &mut plain, tag).ok()?;
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_once_sealed_and_not_when_altered() {
        let ticketer = Ticketer::new().unwrap();
        let ticket = ticketer.encrypt(b"a session").unwrap();
        assert_eq!(ticketer.decrypt(&ticket).unwrap(), b"a session");
        for at in 0..ticket.len() {
            let mut bad = ticket.clone();
            bad[at] ^= 1;
            assert_eq!(ticketer.decrypt(&bad), None);
            assert_eq!(ticketer.decrypt(&ticket[..at]), None);
        }
        assert_eq!(Ticketer::new().unwrap().decrypt(&ticket), None);
        assert_eq!(ticketer.decrypt(&[0; TICKET_BYTES_MAX + 1]), None);
    }
}
