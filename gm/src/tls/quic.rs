//! Hot path: QUIC packets under SM4-GCM (RFC 9001 with SM4 in the place of AES: draft-yang-quic-sm and what GmSSL
//! and Tongsuo do agree on that).

use super::aead::key_bytes;
use crate::gcm::OpenError;
use crate::{gcm, sm4};
use rustls::Error;
use rustls::crypto::cipher::{AeadKey, Iv, Nonce};
use rustls::quic;

/// Packets under one key (RFC 9001, section 6.6, for AES-GCM).
const PACKETS_MAX: u64 = 1 << 23;
/// Forged packets to stand under one key (the same).
const FORGERIES_MAX: u64 = 1 << 52;
/// Bytes of ciphertext that make the mask of a header.
const SAMPLE_BYTES: usize = 16;

pub(super) struct Gcm;

impl quic::Algorithm for Gcm {
    fn packet_key(&self, key: AeadKey, iv: Iv) -> Box<dyn quic::PacketKey> {
        Box::new(PacketKey { cipher: gcm::Key::new(key_bytes(&key)), iv })
    }

    fn header_protection_key(&self, key: AeadKey) -> Box<dyn quic::HeaderProtectionKey> {
        Box::new(HeaderKey(sm4::Key::new(key_bytes(&key))))
    }

    fn aead_key_len(&self) -> usize {
        16
    }
}

struct PacketKey {
    cipher: gcm::Key,
    iv: Iv,
}

impl PacketKey {
    fn seal(&self, nonce: Nonce, header: &[u8], payload: &mut [u8]) -> quic::Tag {
        quic::Tag::from(&self.cipher.seal(&nonce.0, header, payload)[..])
    }

    fn open<'a>(&self, nonce: Nonce, header: &[u8], payload: &'a mut [u8]) -> Result<&'a [u8], Error> {
        let (data, tag) = payload.split_last_chunk_mut().ok_or(Error::DecryptError)?;
        self.cipher.open(&nonce.0, header, data, tag).map_err(|OpenError| Error::DecryptError)?;
        Ok(data)
    }
}

impl quic::PacketKey for PacketKey {
    fn encrypt_in_place(&self, number: u64, header: &[u8], payload: &mut [u8]) -> Result<quic::Tag, Error> {
        Ok(self.seal(Nonce::new(&self.iv, number), header, payload))
    }

    fn encrypt_in_place_for_path(
        &self,
        path: u32,
        number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<quic::Tag, Error> {
        Ok(self.seal(Nonce::for_path(path, &self.iv, number), header, payload))
    }

    fn decrypt_in_place<'a>(
        &self,
        number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.open(Nonce::new(&self.iv, number), header, payload)
    }

    fn decrypt_in_place_for_path<'a>(
        &self,
        path: u32,
        number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.open(Nonce::for_path(path, &self.iv, number), header, payload)
    }

    fn tag_len(&self) -> usize {
        gcm::TAG_BYTES
    }

    fn confidentiality_limit(&self) -> u64 {
        PACKETS_MAX
    }

    fn integrity_limit(&self) -> u64 {
        FORGERIES_MAX
    }
}

/// Header protection (RFC 9001, section 5.4) with a mask of SM4 in place of AES.
struct HeaderKey(sm4::Key);

impl HeaderKey {
    fn mask(&self, sample: &[u8]) -> Result<[u8; SAMPLE_BYTES], Error> {
        let mut mask = sample.try_into().map_err(|_| Error::General("a sample has 16 bytes".into()))?;
        self.0.encrypt_block(&mut mask);
        Ok(mask)
    }
}

/// Adds the mask; the packet number's length is in the first byte while that is plain.
fn add_mask(
    mask: &[u8; SAMPLE_BYTES],
    first: &mut u8,
    number: &mut [u8],
    is_plain: bool,
) -> Result<(), Error> {
    // A long header hides four bits, a short one five.
    let bits = mask[0] & if *first & 0x80 != 0 { 0x0f } else { 0x1f };
    let plain = if is_plain { *first } else { *first ^ bits };
    let length = usize::from(plain & 3) + 1;
    let number = number.get_mut(..length).ok_or_else(|| Error::General("a packet number cut off".into()))?;
    *first ^= bits;
    number.iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
    Ok(())
}

impl quic::HeaderProtectionKey for HeaderKey {
    fn encrypt_in_place(&self, sample: &[u8], first: &mut u8, number: &mut [u8]) -> Result<(), Error> {
        add_mask(&self.mask(sample)?, first, number, true)
    }

    fn decrypt_in_place(&self, sample: &[u8], first: &mut u8, number: &mut [u8]) -> Result<(), Error> {
        add_mask(&self.mask(sample)?, first, number, false)
    }

    fn sample_len(&self) -> usize {
        SAMPLE_BYTES
    }
}
