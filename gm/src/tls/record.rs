//! Hot path: application data records of TLS_SM4_GCM_SM3 for connections whose keys were taken out of rustls
//! (`dangerous_extract_secrets`, see [`Sealer::from_secrets`]), one by one or up to 8 connections at once.
//!
//! No allocation but growing the output; the handshake and everything but application data stay with rustls.

use super::RECORDS_MAX;
use crate::gcm::{self, LANES, Lane, Lanes, NONCE_BYTES, TAG_BYTES, seal_lanes};
use rustls::crypto::cipher::make_tls13_aad;
use rustls::{ConnectionTrafficSecrets, ContentType};
use std::io::IoSlice;
use thiserror::Error;
use zeroize::Zeroize;

/// Longest plaintext of a record (RFC 8446, section 5.1).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// Bytes that a record adds to its plaintext: header, inner content type, tag.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;

const HEADER_BYTES: usize = 5;
/// Up to this plaintext, records of several connections are sealed together.
const TOGETHER_BYTES_MAX: usize = 767;

/// No record can be sealed under this key any more: the connection needs a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the key of the connection has sealed all the records it may")]
pub struct KeyUsedUp;

/// The writing half of a connection's record protection.
pub struct Sealer {
    key: gcm::Key,
    iv: [u8; NONCE_BYTES],
    sequence: u64,
    sequence_end: u64,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

impl Sealer {
    /// From key and IV of the traffic secret, and the sequence number of the next record.
    #[must_use]
    pub fn new(key: &[u8; 16], iv: [u8; NONCE_BYTES], sequence: u64) -> Self {
        Self { key: gcm::Key::new(key), iv, sequence, sequence_end: RECORDS_MAX }
    }

    /// From what rustls gives for a connection under TLS_SM4_GCM_SM3; nothing for another suite. As rustls has no
    /// name for SM4, the key comes as that of AES-128-GCM: ask for the negotiated suite first.
    #[must_use]
    pub fn from_secrets(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Option<Self> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { return None };
        Some(Self::new(key.as_ref().first_chunk()?, iv.as_ref().try_into().ok()?, sequence))
    }

    /// Whether the next record but one could not be sealed any more: the connection needs a new key now, and the
    /// record that says so still fits.
    #[must_use]
    pub fn is_nearly_used_up(&self) -> bool {
        self.sequence + 1 >= self.sequence_end
    }

    /// Appends one record of application data with `payload` to `out`.
    ///
    /// # Errors
    /// [`KeyUsedUp`]; nothing is appended.
    ///
    /// # Panics
    /// When `payload` is longer than [`PLAINTEXT_BYTES_MAX`].
    pub fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), KeyUsedUp> {
        self.seal_as(ContentType::ApplicationData, &[IoSlice::new(payload)], out)
    }

    /// Appends one record with the parts as its payload to `out`.
    ///
    /// # Errors
    /// [`KeyUsedUp`]; nothing is appended.
    ///
    /// # Panics
    /// When the parts together are longer than [`PLAINTEXT_BYTES_MAX`].
    pub fn seal_as(
        &mut self,
        content_type: ContentType,
        parts: &[IoSlice<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), KeyUsedUp> {
        let payload_bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        assert!(payload_bytes <= PLAINTEXT_BYTES_MAX, "more than a record takes");
        let nonce = self.next_nonce()?;
        let aad = make_tls13_aad(payload_bytes + 1 + TAG_BYTES);
        out.reserve(payload_bytes + OVERHEAD_BYTES);
        out.extend(aad);
        let start = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.push(content_type.into());
        let tag = self.key.seal(&nonce, &aad, &mut out[start..]);
        out.extend(tag);
        Ok(())
    }

    fn next_nonce(&mut self) -> Result<[u8; NONCE_BYTES], KeyUsedUp> {
        if self.sequence >= self.sequence_end {
            return Err(KeyUsedUp);
        }
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(byte, s)| *byte ^= s);
        self.sequence += 1;
        Ok(nonce)
    }
}

/// Appends one record with the same `payload` to the output of every connection, as [`Sealer::seal`] would. Any
/// number of connections; 8 at a time share the registers when the payload is short.
///
/// # Errors
/// [`KeyUsedUp`] if it is so for any of them; then nothing is appended anywhere.
///
/// # Panics
/// When `payload` is longer than [`PLAINTEXT_BYTES_MAX`].
pub fn seal_for_all(
    connections: &mut [(&mut Sealer, &mut Vec<u8>)],
    payload: &[u8],
) -> Result<(), KeyUsedUp> {
    assert!(payload.len() <= PLAINTEXT_BYTES_MAX, "more than a record takes");
    if connections.iter().any(|(sealer, _)| sealer.sequence >= sealer.sequence_end) {
        return Err(KeyUsedUp);
    }
    if payload.len() >= TOGETHER_BYTES_MAX {
        return connections.iter_mut().try_for_each(|(sealer, out)| sealer.seal(payload, out));
    }
    let mut plain = [u8::from(ContentType::ApplicationData); TOGETHER_BYTES_MAX];
    plain[..payload.len()].copy_from_slice(payload);
    let plain = &plain[..=payload.len()];
    let aad = make_tls13_aad(plain.len() + TAG_BYTES);
    for group in connections.chunks_mut(LANES) {
        seal_group(group, &aad, plain)?;
    }
    Ok(())
}

fn seal_group(
    group: &mut [(&mut Sealer, &mut Vec<u8>)],
    aad: &[u8; HEADER_BYTES],
    plain: &[u8],
) -> Result<(), KeyUsedUp> {
    let mut lanes: Lanes<'_> = Default::default();
    for (lane, (sealer, out)) in lanes.iter_mut().zip(group) {
        let nonce = sealer.next_nonce()?;
        out.extend(aad);
        let start = out.len();
        out.resize(start + plain.len() + TAG_BYTES, 0);
        *lane = Some(Lane { key: &sealer.key, nonce, sealed: &mut out[start..] });
    }
    seal_lanes(&mut lanes, aad, plain);
    Ok(())
}
