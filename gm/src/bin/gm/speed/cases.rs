//! What is measured.

use super::handshake::Sides;
use super::{rustcrypto, timed};
use ::sm3::Digest;
use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12, inout::InOutBuf};
use anyhow::Context;
use gm::sm2::{EphemeralKey, SecretKey};
use gm::tls::{self, Mode};
use gm::{gcm, sm3};
use sm2::dsa::signature::{Signer, Verifier};
use std::time::Duration;

pub(super) struct Case {
    /// The key in the figures; its end is the unit.
    pub(super) figure: &'static str,
    /// Bytes of a message, for figures that have several.
    pub(super) size: Option<&'static str>,
    pub(super) ours: bool,
    /// What one run counts in the unit.
    pub(super) worth: f64,
    pub(super) run: Box<dyn FnMut(u32) -> Duration>,
}

impl Case {
    pub(super) fn maker(&self) -> &'static str {
        if self.ours { "gm" } else { "rustcrypto" }
    }
}

const SIZES: [(usize, &str); 4] = [(64, "64"), (256, "256"), (1024, "1024"), (16_384, "16384")];
const MEGA: f64 = 1e6;

pub(super) fn all() -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (bytes, size) in SIZES {
        cases.extend(seal(bytes, size));
    }
    cases.extend(hash());
    cases.extend(sm2_ours()?);
    cases.extend(sm2_theirs()?);
    for (figure, mutual) in [("handshakes_s", false), ("handshakes_mutual_s", true)] {
        cases.push(handshakes(figure, true, mutual)?);
        cases.push(handshakes(figure, false, mutual)?);
    }
    Ok(cases)
}

/// Sealing in place with the additional data of a TLS record.
fn seal(bytes: usize, size: &'static str) -> [Case; 2] {
    let figure = "sm4_gcm_mb_s";
    let worth = bytes as f64 / MEGA;
    let key = gcm::Key::new(&[1; 16]);
    let mut data = vec![0; bytes];
    let ours = move |n| timed(n, || key.seal(&[2; 12], &[3; 5], &mut data));
    let peer = aes_gcm::AesGcm::<::sm4::Sm4, U12>::new(&[1; 16].into());
    let mut data = vec![0; bytes];
    let theirs = move |n| {
        timed(n, || peer.encrypt_inout_detached(&[2; 12].into(), &[3; 5], InOutBuf::from(&mut data[..])))
    };
    [
        Case { figure, size: Some(size), ours: true, worth, run: Box::new(ours) },
        Case { figure, size: Some(size), ours: false, worth, run: Box::new(theirs) },
    ]
}

fn hash() -> [Case; 2] {
    let data = vec![0u8; 16_384];
    let worth = data.len() as f64 / MEGA;
    let other = data.clone();
    let ours = move |n| timed(n, || sm3::digest(&data));
    let theirs = move |n| timed(n, || ::sm3::Sm3::digest(&other));
    [
        Case { figure: "sm3_mb_s", size: None, ours: true, worth, run: Box::new(ours) },
        Case { figure: "sm3_mb_s", size: None, ours: false, worth, run: Box::new(theirs) },
    ]
}

fn each<T>(figure: &'static str, ours: bool, mut run: impl FnMut() -> T + 'static) -> Case {
    Case { figure, size: None, ours, worth: 1.0, run: Box::new(move |n| timed(n, &mut run)) }
}

/// What the server's side of full handshakes costs. The client, which is not counted, is gm's for both: so no
/// handshake is measured that another implementation does not accept.
fn handshakes(figure: &'static str, ours: bool, mutual: bool) -> anyhow::Result<Case> {
    let of_server = if ours { tls::provider(Mode::Strict) } else { rustcrypto::provider() };
    let sides = Sides::new(of_server, mutual)?;
    // Once with every error told: then the timed ones cannot fail another way.
    sides.shake().context("the handshake to be measured fails")?;
    let run = move |n| (0..n).map(|_| sides.shake().unwrap_or(Duration::MAX)).sum();
    Ok(Case { figure, size: None, ours, worth: 1.0, run: Box::new(run) })
}

fn sm2_ours() -> anyhow::Result<[Case; 4]> {
    let key = SecretKey::generate()?;
    let peer = *EphemeralKey::generate()?.public_key();
    let signature = key.sign(b"id", b"message")?;
    let (public, agreeing) = (*key.public_key(), key.clone());
    Ok([
        each("sm2_sign_s", true, move || key.sign(b"id", b"message")),
        each("sm2_verify_s", true, move || public.verify(b"id", b"message", &signature)),
        each("sm2_ecdh_s", true, move || agreeing.diffie_hellman(&peer)),
        each("sm2_keygen_s", true, EphemeralKey::generate),
    ])
}

fn sm2_theirs() -> anyhow::Result<[Case; 4]> {
    use sm2::elliptic_curve::Generate;
    let secret = sm2::SecretKey::try_generate()?;
    let key = sm2::dsa::SigningKey::new("id", &secret).map_err(|_| anyhow::anyhow!("no signing key"))?;
    let signature: sm2::dsa::Signature = key.sign(b"message");
    let verifying = key.verifying_key().clone();
    let peer = sm2::SecretKey::try_generate()?.public_key();
    Ok([
        each("sm2_sign_s", false, move || Signer::<sm2::dsa::Signature>::sign(&key, b"message")),
        each("sm2_verify_s", false, move || verifying.verify(b"message", &signature)),
        each("sm2_ecdh_s", false, move || {
            elliptic_curve::ecdh::diffie_hellman(secret.to_nonzero_scalar(), peer.as_affine())
        }),
        each("sm2_keygen_s", false, || sm2::SecretKey::try_generate().map(|key| key.public_key())),
    ])
}
