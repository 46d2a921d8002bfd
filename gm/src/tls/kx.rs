//! Key exchange: curveSM2 (RFC 8998, section 3.3.1) and curveSM2MLKEM768 (draft-yang-tls-hybrid-sm2-mlkem).

use super::{CURVE_SM2, CURVE_SM2_ML_KEM_768};
use crate::sm2::{EphemeralKey, PublicKey};
use ml_kem::kem::{Decapsulate, Encapsulate, Kem, KeyExport};
use ml_kem::{DecapsulationKey768, EncapsulationKey768, MlKem768};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// curveSM2 alone.
pub static CURVE_SM2_GROUP: &dyn SupportedKxGroup = &CurveSm2;
/// curveSM2 and ML-KEM-768: secret as long as one of both is.
pub static CURVE_SM2_ML_KEM_768_GROUP: &dyn SupportedKxGroup = &CurveSm2MlKem768;

/// Bytes of ML-KEM-768's encapsulation key.
const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// Bytes of ML-KEM-768's ciphertext.
const CIPHERTEXT_BYTES: usize = 1088;

fn bad_share() -> Error {
    PeerMisbehaved::InvalidKeyShare.into()
}

fn agree(ours: &EphemeralKey, peer: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let peer = PublicKey::from_sec1(peer).map_err(|_| bad_share())?;
    Ok(ours.diffie_hellman(&peer))
}

#[derive(Debug)]
struct CurveSm2;

struct Sm2Exchange {
    key: EphemeralKey,
    share: [u8; PublicKey::BYTES],
}

impl Sm2Exchange {
    fn start() -> Result<Self, Error> {
        let key = EphemeralKey::generate().map_err(|_| GetRandomFailed)?;
        let share = key.public_key().to_sec1();
        Ok(Self { key, share })
    }
}

impl SupportedKxGroup for CurveSm2 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Sm2Exchange::start()?))
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

impl ActiveKeyExchange for Sm2Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        Ok(SharedSecret::from(&agree(&self.key, peer)?[..]))
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

/// Shares are a point and what ML-KEM sends, the secret is the point's x and ML-KEM's secret, in this order.
#[derive(Debug)]
struct CurveSm2MlKem768;

struct HybridExchange {
    sm2: Sm2Exchange,
    ml_kem: DecapsulationKey768,
    share: Vec<u8>,
}

fn join(x: &[u8; 32], ml_kem: &[u8]) -> SharedSecret {
    SharedSecret::from(&Zeroizing::new([&x[..], ml_kem].concat())[..])
}

impl SupportedKxGroup for CurveSm2MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let sm2 = Sm2Exchange::start()?;
        let (ml_kem, encapsulation) = MlKem768::generate_keypair();
        let share = [&sm2.share[..], &encapsulation.to_bytes()[..]].concat();
        Ok(Box::new(HybridExchange { sm2, ml_kem, share }))
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (point, encapsulation) = peer.split_at_checked(PublicKey::BYTES).ok_or_else(bad_share)?;
        let encapsulation: &[u8; ENCAPSULATION_KEY_BYTES] =
            encapsulation.try_into().map_err(|_| bad_share())?;
        let encapsulation = EncapsulationKey768::new(&(*encapsulation).into()).map_err(|_| bad_share())?;
        let sm2 = Sm2Exchange::start()?;
        let x = agree(&sm2.key, point)?;
        let (ciphertext, secret) = encapsulation.encapsulate();
        Ok(CompletedKeyExchange {
            group: CURVE_SM2_ML_KEM_768,
            pub_key: [&sm2.share[..], &ciphertext[..]].concat(),
            secret: join(&x, &secret),
        })
    }

    fn name(&self) -> NamedGroup {
        CURVE_SM2_ML_KEM_768
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

impl ActiveKeyExchange for HybridExchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (point, ciphertext) = peer.split_at_checked(PublicKey::BYTES).ok_or_else(bad_share)?;
        let ciphertext: &[u8; CIPHERTEXT_BYTES] = ciphertext.try_into().map_err(|_| bad_share())?;
        let x = agree(&self.sm2.key, point)?;
        Ok(join(&x, &self.ml_kem.decapsulate(&(*ciphertext).into())))
    }

    /// A server without ML-KEM can take the point alone: its share is sent too.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((CURVE_SM2, &self.sm2.share))
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        Ok(SharedSecret::from(&agree(&self.sm2.key, peer)?[..]))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        CURVE_SM2_ML_KEM_768
    }
}
