//! Hot path: records of TLS 1.3 under SM4-GCM and SM4-CCM (RFC 8446, section 5.2).

use crate::gcm::OpenError;
use crate::{ccm, gcm};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

/// Bytes that encryption adds: the inner content type and the tag.
const OVERHEAD_BYTES: usize = 1 + gcm::TAG_BYTES;

/// The 16 bytes of a key that rustls derived for a suite with `key_len` 16.
pub(super) fn key_bytes(key: &AeadKey) -> &[u8; 16] {
    key.as_ref().first_chunk().expect("invariant: rustls gives keys of key_len bytes")
}

/// The two AEADs have one shape.
pub(super) trait Cipher: Send + Sync {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16];
    fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> Result<(), OpenError>;
}

macro_rules! cipher {
    ($module:ident) => {
        impl Cipher for $module::Key {
            fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
                self.seal(nonce, aad, data)
            }

            fn open(
                &self,
                nonce: &[u8; 12],
                aad: &[u8],
                data: &mut [u8],
                tag: &[u8; 16],
            ) -> Result<(), OpenError> {
                self.open(nonce, aad, data, tag)
            }
        }
    };
}
cipher!(gcm);
cipher!(ccm);

pub(super) struct Gcm;

impl Tls13AeadAlgorithm for Gcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Record { cipher: gcm::Key::new(key_bytes(&key)), iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Record { cipher: gcm::Key::new(key_bytes(&key)), iv })
    }

    fn key_len(&self) -> usize {
        16
    }

    /// rustls has no name for SM4; the key goes in the variant of the same shape. [`super::record::Sealer`] takes it.
    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(ConnectionTrafficSecrets::Aes128Gcm { key, iv })
    }
}

pub(super) struct Ccm;

impl Tls13AeadAlgorithm for Ccm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Record { cipher: ccm::Key::new(key_bytes(&key)), iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Record { cipher: ccm::Key::new(key_bytes(&key)), iv })
    }

    fn key_len(&self) -> usize {
        16
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(ConnectionTrafficSecrets::Aes128Gcm { key, iv })
    }
}

/// One direction of a connection.
struct Record<C> {
    cipher: C,
    iv: Iv,
}

impl<C: Cipher> MessageEncrypter for Record<C> {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        let nonce = Nonce::new(&self.iv, sequence).0;
        let tag = self.cipher.seal(&nonce, &make_tls13_aad(length), payload.as_mut());
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + OVERHEAD_BYTES
    }
}

impl<C: Cipher> MessageDecrypter for Record<C> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let length = message.payload.len();
        let aad = make_tls13_aad(length);
        let nonce = Nonce::new(&self.iv, sequence).0;
        let (data, tag) = message.payload.split_last_chunk_mut().ok_or(Error::DecryptError)?;
        self.cipher.open(&nonce, &aad, data, tag).map_err(|OpenError| Error::DecryptError)?;
        let data_len = data.len();
        message.payload.truncate(data_len);
        message.into_tls13_unpadded_message()
    }
}
