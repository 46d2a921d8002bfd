//! Keys of OpenSSL: on curveSM2, and on P-256 to be refused.

use super::{Owned, Result, check, ffi, from_der, to_der};
use std::ffi::{CStr, c_int};
use std::ptr::{null, null_mut};

pub(crate) struct Key(Owned<ffi::Pkey>);

/// With what a key is encrypted (PBES2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encryption {
    pub(crate) cipher: &'static CStr,
    pub(crate) prf: Prf,
    pub(crate) iterations: c_int,
}

/// What PBKDF2 runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prf {
    HmacSm3,
    HmacSha256,
}

impl Key {
    pub(crate) fn sm2() -> Self {
        // SAFETY: makes a key; "SM2" takes no further argument.
        let key = unsafe { ffi::EVP_PKEY_Q_keygen(null_mut(), null(), c"SM2".as_ptr()) };
        Self(Owned::new(key, ffi::EVP_PKEY_free).unwrap())
    }

    pub(crate) fn p256() -> Self {
        // SAFETY: makes a key; "EC" takes the name of a curve.
        let key = unsafe { ffi::EVP_PKEY_Q_keygen(null_mut(), null(), c"EC".as_ptr(), c"P-256".as_ptr()) };
        Self(Owned::new(key, ffi::EVP_PKEY_free).unwrap())
    }

    /// A key for agreements in TLS on curveSM2.
    pub(crate) fn curve_sm2() -> Self {
        // SAFETY: makes a key; "curveSM2" takes no further argument.
        let key = unsafe { ffi::EVP_PKEY_Q_keygen(null_mut(), null(), c"curveSM2".as_ptr()) };
        Self(Owned::new(key, ffi::EVP_PKEY_free).unwrap())
    }

    /// The uncompressed public point.
    pub(crate) fn share(&self) -> Vec<u8> {
        let mut point = null_mut();
        // SAFETY: gives a copy of the point, which we free after copying it again.
        unsafe {
            let len = ffi::EVP_PKEY_get1_encoded_public_key(self.get(), &mut point);
            assert!(len > 0);
            let share = std::slice::from_raw_parts(point, len).to_vec();
            ffi::CRYPTO_free(point.cast(), c"".as_ptr(), 0);
            share
        }
    }

    /// The x coordinate of the common point with the peer's share.
    pub(crate) fn agree(&self, share: &[u8]) -> Result<[u8; 32]> {
        let (mut secret, mut len) = ([0; 32], 32);
        // SAFETY: the peer's key is made of copies; the secret is as long as it says.
        unsafe {
            let peer = Owned::new(ffi::EVP_PKEY_new(), ffi::EVP_PKEY_free)?;
            check(ffi::EVP_PKEY_copy_parameters(peer.get(), self.get()))?;
            check(ffi::EVP_PKEY_set1_encoded_public_key(peer.get(), share.as_ptr(), share.len()))?;
            let ctx = Owned::new(ffi::EVP_PKEY_CTX_new(self.get(), null_mut()), ffi::EVP_PKEY_CTX_free)?;
            check(ffi::EVP_PKEY_derive_init(ctx.get()))?;
            check(ffi::EVP_PKEY_derive_set_peer(ctx.get(), peer.get()))?;
            check(ffi::EVP_PKEY_derive(ctx.get(), secret.as_mut_ptr(), &mut len))?;
        }
        assert_eq!(len, 32);
        Ok(secret)
    }

    pub(super) fn get(&self) -> *mut ffi::Pkey {
        self.0.get()
    }

    /// A public key from SubjectPublicKeyInfo.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self> {
        Ok(Self(from_der(der, ffi::d2i_PUBKEY, ffi::EVP_PKEY_free)?))
    }

    pub(crate) fn to_spki(&self) -> Vec<u8> {
        to_der(self.get(), ffi::i2d_PUBKEY)
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let info = from_der(der, ffi::d2i_PKCS8_PRIV_KEY_INFO, ffi::PKCS8_PRIV_KEY_INFO_free)?;
        Self::from_info(&info)
    }

    fn from_info(info: &Owned<ffi::Pkcs8>) -> Result<Self> {
        // SAFETY: makes a key of what it reads.
        Ok(Self(Owned::new(unsafe { ffi::EVP_PKCS82PKEY(info.get()) }, ffi::EVP_PKEY_free)?))
    }

    fn info(&self) -> Owned<ffi::Pkcs8> {
        // SAFETY: makes an object of what it reads.
        Owned::new(unsafe { ffi::EVP_PKEY2PKCS8(self.get()) }, ffi::PKCS8_PRIV_KEY_INFO_free).unwrap()
    }

    pub(crate) fn to_pkcs8(&self) -> Vec<u8> {
        to_der(self.info().get(), ffi::i2d_PKCS8_PRIV_KEY_INFO)
    }

    pub(crate) fn from_encrypted(der: &[u8], password: &str) -> Result<Self> {
        let sealed = from_der(der, ffi::d2i_X509_SIG, ffi::X509_SIG_free)?;
        let (text, len) = (password.as_ptr().cast(), password.len() as c_int);
        // SAFETY: reads the object and as many bytes of the password as it is told.
        let info = unsafe { ffi::PKCS8_decrypt(sealed.get(), text, len) };
        Self::from_info(&Owned::new(info, ffi::PKCS8_PRIV_KEY_INFO_free)?)
    }

    pub(crate) fn to_encrypted(&self, password: &str, encryption: Encryption) -> Vec<u8> {
        let prf = match encryption.prf {
            Prf::HmacSm3 => ffi::NID_HMAC_WITH_SM3,
            Prf::HmacSha256 => ffi::NID_HMAC_WITH_SHA256,
        };
        let (text, len) = (password.as_ptr().cast(), password.len() as c_int);
        // SAFETY: salt and IV are made by it when none are given; `PKCS8_set0_pbe` takes over the algorithm, and
        // only reads the rest.
        let sealed = unsafe {
            let cipher = ffi::EVP_CIPHER_fetch(null_mut(), encryption.cipher.as_ptr(), null());
            let cipher = Owned::new(cipher, ffi::EVP_CIPHER_free).unwrap();
            let algorithm =
                ffi::PKCS5_pbe2_set_iv(cipher.get(), encryption.iterations, null_mut(), 0, null_mut(), prf);
            ffi::PKCS8_set0_pbe(text, len, self.info().get(), algorithm)
        };
        to_der(Owned::new(sealed, ffi::X509_SIG_free).unwrap().get(), ffi::i2d_X509_SIG)
    }

    /// Signs with SM3 under the identifier; DER.
    pub(crate) fn sign(&self, id: &[u8], message: &[u8]) -> Vec<u8> {
        let hasher = Hasher::new(self, id);
        let mut signature = vec![0; 80];
        let mut len = signature.len();
        // SAFETY: writes at most `len` bytes and tells how many.
        unsafe {
            let ctx = hasher.digest.get();
            check(ffi::EVP_DigestSignInit(ctx, null_mut(), ffi::EVP_sm3(), null_mut(), self.get())).unwrap();
            let (out, data) = (signature.as_mut_ptr(), message.as_ptr());
            check(ffi::EVP_DigestSign(ctx, out, &mut len, data, message.len())).unwrap();
        }
        signature.truncate(len);
        signature
    }

    pub(crate) fn verify(&self, id: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
        let hasher = Hasher::new(self, id);
        let ctx = hasher.digest.get();
        // SAFETY: reads the two slices.
        unsafe {
            check(ffi::EVP_DigestVerifyInit(ctx, null_mut(), ffi::EVP_sm3(), null_mut(), self.get()))?;
            let (s, data) = (signature.as_ptr(), message.as_ptr());
            check(ffi::EVP_DigestVerify(ctx, s, signature.len(), data, message.len()))
        }
    }

    /// Encrypts for this key; DER.
    pub(crate) fn encrypt(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.transform(message, ffi::EVP_PKEY_encrypt_init, ffi::EVP_PKEY_encrypt)
    }

    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>> {
        self.transform(ciphertext, ffi::EVP_PKEY_decrypt_init, ffi::EVP_PKEY_decrypt)
    }

    fn transform(&self, input: &[u8], init: Init, transform: Transform) -> Result<Vec<u8>> {
        // SAFETY: makes a context; without an output the function tells the length, which the second call writes.
        unsafe {
            let ctx = Owned::new(ffi::EVP_PKEY_CTX_new(self.get(), null_mut()), ffi::EVP_PKEY_CTX_free)?;
            check(init(ctx.get()))?;
            let mut len = 0;
            check(transform(ctx.get(), null_mut(), &mut len, input.as_ptr(), input.len()))?;
            let mut output = vec![0; len];
            check(transform(ctx.get(), output.as_mut_ptr(), &mut len, input.as_ptr(), input.len()))?;
            output.truncate(len);
            Ok(output)
        }
    }
}

type Init = unsafe extern "C" fn(*mut ffi::PkeyCtx) -> c_int;
type Transform = unsafe extern "C" fn(*mut ffi::PkeyCtx, *mut u8, *mut usize, *const u8, usize) -> c_int;

/// What hashes for a signature, with the identifier set. Fields drop in this order: the first refers to the second.
struct Hasher {
    digest: Owned<ffi::DigestCtx>,
    _key: Owned<ffi::PkeyCtx>,
}

impl Hasher {
    fn new(key: &Key, id: &[u8]) -> Self {
        // SAFETY: makes two objects that we own; the identifier is copied.
        unsafe {
            let ctx = ffi::EVP_PKEY_CTX_new(key.get(), null_mut());
            let ctx = Owned::new(ctx, ffi::EVP_PKEY_CTX_free).unwrap();
            check(ffi::EVP_PKEY_CTX_set1_id(ctx.get(), id.as_ptr().cast(), id.len() as c_int)).unwrap();
            let digest = Owned::new(ffi::EVP_MD_CTX_new(), ffi::EVP_MD_CTX_free).unwrap();
            ffi::EVP_MD_CTX_set_pkey_ctx(digest.get(), ctx.get());
            Self { digest, _key: ctx }
        }
    }
}
