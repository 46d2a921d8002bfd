//! TLS 1.3 and QUIC with ShangMi (RFC 8998) as a [`CryptoProvider`] of rustls and, by it, of quinn.
//!
//! Start at [`provider`]. Nothing in rustls is changed: suites, groups and schemes that it does not know by name go
//! by their numbers. [`record`] writes records for connections whose keys were taken out of rustls.

mod aead;
mod hash;
mod kx;
mod quic;
pub mod record;
mod sign;
#[cfg(test)]
mod tests;
mod ticket;
mod verify;

pub use kx::{CURVE_SM2_GROUP, CURVE_SM2_ML_KEM_768_GROUP};
pub use ticket::ticketer;

use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, WebPkiSupportedAlgorithms, ring};
use rustls::server::ClientHello;
use rustls::{
    CipherSuite, CipherSuiteCommon, NamedGroup, SignatureScheme, SupportedCipherSuite, Tls13CipherSuite,
};

/// TLS_SM4_GCM_SM3 (RFC 8998, section 2).
pub const TLS_SM4_GCM_SM3: CipherSuite = CipherSuite::Unknown(0x00c6);
/// TLS_SM4_CCM_SM3 (RFC 8998, section 2).
pub const TLS_SM4_CCM_SM3: CipherSuite = CipherSuite::Unknown(0x00c7);
/// curveSM2 (RFC 8998, section 2).
pub const CURVE_SM2: NamedGroup = NamedGroup::Unknown(41);
/// curveSM2MLKEM768 (draft-yang-tls-hybrid-sm2-mlkem).
pub const CURVE_SM2_ML_KEM_768: NamedGroup = NamedGroup::Unknown(0x11ee);
/// sm2sig_sm3 (RFC 8998, section 2).
pub const SM2SIG_SM3: SignatureScheme = SignatureScheme::Unknown(0x0708);

/// Records of TLS_SM4_GCM_SM3 and TLS_SM4_CCM_SM3 under one key before rustls takes a new one: the bound that RFC
/// 8446, section 5.5 gives for AES-GCM, whose block is as long, rounded down.
const RECORDS_MAX: u64 = 1 << 24;

/// TLS_SM4_GCM_SM3 for rustls.
pub static SM4_GCM_SM3: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: TLS_SM4_GCM_SM3,
        hash_provider: &hash::Sm3Hash,
        confidentiality_limit: RECORDS_MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::Sm3Hmac),
    aead_alg: &aead::Gcm,
    quic: Some(&quic::Gcm),
};

/// TLS_SM4_CCM_SM3 for rustls. (Without QUIC: no public peer has it there.)
pub static SM4_CCM_SM3: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: TLS_SM4_CCM_SM3,
        hash_provider: &hash::Sm3Hash,
        confidentiality_limit: RECORDS_MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&hash::Sm3Hmac),
    aead_alg: &aead::Ccm,
    quic: None,
};

/// What a party is willing to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// ShangMi and nothing else, as RFC 8998 wants it: SM4 suites only with SM2 certificates, sm2sig_sm3 and an SM2
    /// group. What a peer offers beside them is not looked at.
    Strict,
    /// ShangMi first, and the international algorithms beside it. A server that must not mix both within one
    /// connection asks [`offers_shangmi`] and takes [`Mode::Strict`] or [`Mode::International`] for it.
    Mixed,
    /// The international algorithms alone.
    International,
}

/// The algorithms of a mode, for `ClientConfig::builder_with_provider` and `ServerConfig::builder_with_provider`.
/// ShangMi exists in TLS 1.3 only: build with `with_protocol_versions(&[&rustls::version::TLS13])`.
#[must_use]
pub fn provider(mode: Mode) -> CryptoProvider {
    match mode {
        Mode::Strict => CryptoProvider {
            cipher_suites: vec![
                SupportedCipherSuite::Tls13(&SM4_GCM_SM3),
                SupportedCipherSuite::Tls13(&SM4_CCM_SM3),
            ],
            kx_groups: vec![CURVE_SM2_GROUP, CURVE_SM2_ML_KEM_768_GROUP],
            signature_verification_algorithms: verify::SHANGMI,
            secure_random: &Random,
            key_provider: &sign::Keys { international: false },
        },
        Mode::Mixed => mixed(),
        Mode::International => CryptoProvider { secure_random: &Random, ..ring::default_provider() },
    }
}

fn mixed() -> CryptoProvider {
    let shangmi = provider(Mode::Strict);
    let international = ring::default_provider();
    CryptoProvider {
        cipher_suites: [shangmi.cipher_suites, international.cipher_suites].concat(),
        kx_groups: [shangmi.kx_groups, international.kx_groups].concat(),
        signature_verification_algorithms: verify::mixed(),
        secure_random: &Random,
        key_provider: &sign::Keys { international: true },
    }
}

/// Puts the hybrid group first, so that a client sends its key share at once (RFC 8446 lets the server ask for
/// another) and a server prefers it.
#[must_use]
pub fn prefer_hybrid(mut provider: CryptoProvider) -> CryptoProvider {
    provider.kx_groups.sort_by_key(|group| group.name() != CURVE_SM2_ML_KEM_768);
    provider
}

/// Whether a client offers all of what RFC 8998 ties together: suite, group and signature.
#[must_use]
pub fn offers_shangmi(hello: &ClientHello<'_>) -> bool {
    let suite = hello.cipher_suites().iter().any(|suite| [TLS_SM4_GCM_SM3, TLS_SM4_CCM_SM3].contains(suite));
    let groups = hello.named_groups().unwrap_or(&[]);
    let group = groups.iter().any(|group| [CURVE_SM2, CURVE_SM2_ML_KEM_768].contains(group));
    suite && group && hello.signature_schemes().contains(&SM2SIG_SM3)
}

/// Whether suite and group of a connection belong together by RFC 8998: both ShangMi or neither. For a client in
/// [`Mode::Mixed`] after the handshake, when it must not accept what a server mixed.
#[must_use]
pub fn is_coherent(suite: CipherSuite, group: NamedGroup) -> bool {
    let suite = [TLS_SM4_GCM_SM3, TLS_SM4_CCM_SM3].contains(&suite);
    suite == [CURVE_SM2, CURVE_SM2_ML_KEM_768].contains(&group)
}

/// The suite that protects QUIC's initial packets, whatever is negotiated (RFC 9001, section 5.2): the second
/// argument of `QuicServerConfig::with_initial` and `QuicClientConfig::with_initial` of quinn.
///
/// # Panics
/// Never: the suite of AES-128-GCM has keys for QUIC.
#[must_use]
pub fn quic_initial_suite() -> rustls::quic::Suite {
    ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(Tls13CipherSuite::quic_suite)
        .expect("invariant: AES-128-GCM has QUIC keys")
}

/// The signature algorithms of a mode, for verifiers built by hand.
#[must_use]
pub fn signature_algorithms(mode: Mode) -> WebPkiSupportedAlgorithms {
    provider(mode).signature_verification_algorithms
}

/// The operating system's generator.
#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(bytes).map_err(|_| GetRandomFailed)
    }
}
