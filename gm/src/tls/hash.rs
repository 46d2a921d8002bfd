//! SM3 and HMAC-SM3 as rustls wants them.

use crate::{hmac as sm3_hmac, sm3};
use rustls::crypto::{hash, hmac};

/// SM3 in the registry of TLS hash algorithms.
const HASH_SM3: u8 = 7;

pub(super) struct Sm3Hash;

impl hash::Hash for Sm3Hash {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(Context(sm3::Sm3::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&sm3::digest(data))
    }

    fn output_len(&self) -> usize {
        sm3::DIGEST_BYTES
    }

    fn algorithm(&self) -> hash::HashAlgorithm {
        hash::HashAlgorithm::Unknown(HASH_SM3)
    }
}

struct Context(sm3::Sm3);

impl hash::Context for Context {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finish())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finish())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

pub(super) struct Sm3Hmac;

impl hmac::Hmac for Sm3Hmac {
    fn with_key(&self, key: &[u8]) -> Box<dyn hmac::Key> {
        Box::new(Key(sm3_hmac::Key::new(key)))
    }

    fn hash_output_len(&self) -> usize {
        sm3::DIGEST_BYTES
    }
}

struct Key(sm3_hmac::Key);

impl hmac::Key for Key {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> hmac::Tag {
        hmac::Tag::new(&self.0.tag_chained(first, middle, last))
    }

    fn tag_len(&self) -> usize {
        sm3::DIGEST_BYTES
    }
}
