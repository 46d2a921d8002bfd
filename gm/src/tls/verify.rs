//! Checking signatures of certificates (default identifier) and of CertificateVerify (RFC 8998's identifier).

use super::SM2SIG_SM3;
use crate::sm2::{DEFAULT_ID, KEY_ALGORITHM, PublicKey, Signature, TLS13_ID};
use rustls::SignatureScheme;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use std::sync::LazyLock;

/// OID 1.2.156.10197.1.501, SM2 with SM3, as the contents of an AlgorithmIdentifier without parameters.
const SM2_WITH_SM3: &[u8] = &[6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x75];
/// The same with NULL as parameters, which some authorities write.
const SM2_WITH_SM3_NULL: &[u8] = &[6, 8, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x75, 5, 0];

#[derive(Debug)]
struct Verifier {
    id: &'static [u8],
    signature_algorithm: AlgorithmIdentifier,
}

const fn verifier(id: &'static [u8], algorithm: &'static [u8]) -> Verifier {
    Verifier { id, signature_algorithm: AlgorithmIdentifier::from_slice(algorithm) }
}

static CERTIFICATE: Verifier = verifier(DEFAULT_ID, SM2_WITH_SM3);
static CERTIFICATE_NULL: Verifier = verifier(DEFAULT_ID, SM2_WITH_SM3_NULL);
static HANDSHAKE: Verifier = verifier(TLS13_ID, SM2_WITH_SM3);

/// `all` is for the chain of certificates, `mapping` for CertificateVerify.
pub(super) static SHANGMI: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&CERTIFICATE, &CERTIFICATE_NULL],
    mapping: &[(SM2SIG_SM3, &[&HANDSHAKE])],
};

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// Both worlds, ShangMi first.
pub(super) fn mixed() -> WebPkiSupportedAlgorithms {
    static ALL: LazyLock<Vec<&'static dyn SignatureVerificationAlgorithm>> =
        LazyLock::new(|| [SHANGMI.all, international().all].concat());
    static MAPPING: LazyLock<Vec<(SignatureScheme, Algorithms)>> =
        LazyLock::new(|| [SHANGMI.mapping, international().mapping].concat());
    WebPkiSupportedAlgorithms { all: &ALL, mapping: &MAPPING }
}

fn international() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

impl SignatureVerificationAlgorithm for Verifier {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = PublicKey::from_sec1(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(self.id, message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(&KEY_ALGORITHM)
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature_algorithm
    }
}
