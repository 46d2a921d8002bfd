//! ShangMi for rustls with RustCrypto's primitives: what handshakes cost when nothing but the cryptography differs.
//!
//! RustCrypto has no such provider, so this one is ours, written as [`gm::tls`] is: the same boxes, the same copies.
//! SM2 (key exchange, signatures, points and signatures decoded), SM3, HMAC and SM4-GCM are RustCrypto's. Of gm is
//! what is done once, when a key is loaded (PKCS#8), and the randomness of the hello, which is the operating
//! system's; HKDF (upon HMAC) and the parsing of certificates are rustls's and webpki's for both.

use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12, inout::InOutBuf};
use aes_gcm::{AesGcm, Tag};
use gm::tls::{CURVE_SM2, Mode, SM2SIG_SM3, TLS_SM4_GCM_SM3};
use hmac::Mac;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SharedSecret, SupportedKxGroup,
    WebPkiSupportedAlgorithms, hash,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer,
};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, NamedGroup, PeerMisbehaved,
    ProtocolVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, Tls13CipherSuite,
};
use sm2::dsa::signature::{Signer, Verifier};
use sm2::elliptic_curve::{Generate, sec1::ToSec1Point};
use sm3::{Digest, Sm3};
use std::sync::Arc;

/// The identifier in signatures of certificates (GB/T 35276).
const CERTIFICATE_ID: &str = "1234567812345678";
/// The identifier in CertificateVerify (RFC 8998, section 3.2.1).
const HANDSHAKE_ID: &str = "TLSv1.3+GM+Cipher+Suite";
/// SM3 in the registry of TLS hash algorithms.
const HASH_SM3: u8 = 7;
/// SM2 in the registry of TLS signature algorithms (the low byte of sm2sig_sm3).
const SIGNATURE_SM2: u8 = 8;
const DIGEST_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// An uncompressed point: 4, x, y.
const POINT_BYTES: usize = 65;
/// id-ecPublicKey and curveSM2, as the contents of an AlgorithmIdentifier.
const KEY_ALGORITHM: &[u8] =
    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d];
/// SM2 with SM3, likewise.
const SM2_WITH_SM3: &[u8] = &[6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x75];

static SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: TLS_SM4_GCM_SM3,
        hash_provider: &Sm3Hash,
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &HkdfUsingHmac(&Sm3Hmac),
    aead_alg: &Sm4Gcm,
    quic: None,
};

static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&Sm2Verifier { id: CERTIFICATE_ID }],
    mapping: &[(SM2SIG_SM3, &[&Sm2Verifier { id: HANDSHAKE_ID }])],
};

/// TLS_SM4_GCM_SM3, curveSM2 and sm2sig_sm3 alone.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(&SUITE)],
        kx_groups: vec![&CurveSm2],
        signature_verification_algorithms: ALGORITHMS,
        secure_random: gm::tls::provider(Mode::Strict).secure_random,
        key_provider: &Keys,
    }
}

struct Sm3Hash;

impl hash::Hash for Sm3Hash {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(HashContext(Sm3::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&Sm3::digest(data))
    }

    fn output_len(&self) -> usize {
        DIGEST_BYTES
    }

    fn algorithm(&self) -> hash::HashAlgorithm {
        hash::HashAlgorithm::Unknown(HASH_SM3)
    }
}

struct HashContext(Sm3);

impl hash::Context for HashContext {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

struct Sm3Hmac;

impl rustls::crypto::hmac::Hmac for Sm3Hmac {
    fn with_key(&self, key: &[u8]) -> Box<dyn rustls::crypto::hmac::Key> {
        Box::new(HmacKey(hmac::Hmac::new_from_slice(key).expect("invariant: HMAC has keys of any length")))
    }

    fn hash_output_len(&self) -> usize {
        DIGEST_BYTES
    }
}

/// The state after the key's block: it is cloned for each tag, as ours is.
struct HmacKey(hmac::Hmac<Sm3>);

impl rustls::crypto::hmac::Key for HmacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> rustls::crypto::hmac::Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        middle.iter().for_each(|piece| mac.update(piece));
        mac.update(last);
        rustls::crypto::hmac::Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        DIGEST_BYTES
    }
}

struct Sm4Gcm;

/// One direction of a connection.
struct Record {
    cipher: AesGcm<sm4::Sm4, U12>,
    iv: Iv,
}

impl Record {
    fn new(key: &AeadKey, iv: Iv) -> Self {
        let key: [u8; 16] =
            *key.as_ref().first_chunk().expect("invariant: rustls gives keys of key_len bytes");
        Self { cipher: AesGcm::new(&key.into()), iv }
    }
}

impl Tls13AeadAlgorithm for Sm4Gcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Record::new(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Record::new(&key, iv))
    }

    fn key_len(&self) -> usize {
        16
    }

    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl MessageEncrypter for Record {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        let nonce = Nonce::new(&self.iv, sequence).0.into();
        let data = InOutBuf::from(payload.as_mut());
        let tag = self.cipher.encrypt_inout_detached(&nonce, &make_tls13_aad(length), data);
        payload.extend_from_slice(&tag.map_err(|_| Error::EncryptError)?);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG_BYTES
    }
}

impl MessageDecrypter for Record {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let aad = make_tls13_aad(message.payload.len());
        let nonce = Nonce::new(&self.iv, sequence).0.into();
        let (data, tag) = message.payload.split_last_chunk_mut::<TAG_BYTES>().ok_or(Error::DecryptError)?;
        let (data_len, tag) = (data.len(), Tag::from(*tag));
        self.cipher
            .decrypt_inout_detached(&nonce, &aad, InOutBuf::from(data), &tag)
            .map_err(|_| Error::DecryptError)?;
        message.payload.truncate(data_len);
        message.into_tls13_unpadded_message()
    }
}

#[derive(Debug)]
struct CurveSm2;

struct Exchange {
    key: sm2::SecretKey,
    share: Vec<u8>,
}

impl SupportedKxGroup for CurveSm2 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let key = sm2::SecretKey::try_generate().map_err(|_| GetRandomFailed)?;
        let share = key.public_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(Exchange { key, share }))
    }

    fn name(&self) -> NamedGroup {
        CURVE_SM2
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // TLS 1.3 has uncompressed points only; the crate would take others.
        if peer.len() != POINT_BYTES {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let peer = sm2::PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let secret = elliptic_curve::ecdh::diffie_hellman(self.key.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(&secret.raw_secret_bytes()[..]))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        CURVE_SM2
    }
}

#[derive(Debug)]
struct Sm2Verifier {
    id: &'static str,
}

impl SignatureVerificationAlgorithm for Sm2Verifier {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = sm2::dsa::VerifyingKey::from_sec1_bytes(self.id, key).map_err(|_| InvalidSignature)?;
        let signature = sm2::dsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(KEY_ALGORITHM)
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(SM2_WITH_SM3)
    }
}

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn rustls::sign::SigningKey>, Error> {
        let PrivateKeyDer::Pkcs8(der) = &key else {
            return Err(Error::General("the key is not PKCS#8".into()));
        };
        let decoded = gm::sm2::SecretKey::from_pkcs8_der(der.secret_pkcs8_der())
            .map_err(|error| Error::General(error.to_string()))?;
        let signing = sm2::dsa::SigningKey::from_slice(HANDSHAKE_ID, &decoded.to_bytes()[..])
            .map_err(|error| Error::General(error.to_string()))?;
        let spki = decoded.public_key().to_spki_der();
        Ok(Arc::new(Key { signing: Arc::new(signing), spki }))
    }
}

#[derive(Debug)]
struct Key {
    signing: Arc<sm2::dsa::SigningKey>,
    spki: Vec<u8>,
}

impl rustls::sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let offered = offered.contains(&SM2SIG_SM3);
        offered.then(|| Box::new(Sm2Signer(Arc::clone(&self.signing))) as Box<dyn rustls::sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki.as_slice().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Unknown(SIGNATURE_SM2)
    }
}

#[derive(Debug)]
struct Sm2Signer(Arc<sm2::dsa::SigningKey>);

impl rustls::sign::Signer for Sm2Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: sm2::dsa::Signature =
            self.0.try_sign(message).map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SM2SIG_SM3
    }
}
