//! SM3, SM4-GCM and SM4-CCM of OpenSSL.

use super::{Owned, Result, check, ffi};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::{null, null_mut};

/// SM3.
pub(crate) fn sm3(data: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    // SAFETY: reads the slice and writes the 32 bytes of an SM3 digest.
    let status = unsafe {
        ffi::EVP_Digest(
            data.as_ptr().cast(),
            data.len(),
            digest.as_mut_ptr(),
            null_mut(),
            ffi::EVP_sm3(),
            null_mut(),
        )
    };
    check(status).unwrap();
    digest
}

/// Which mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Gcm,
    Ccm,
}

impl Mode {
    fn name(self) -> &'static CStr {
        match self {
            Self::Gcm => c"SM4-GCM",
            Self::Ccm => c"SM4-CCM",
        }
    }
}

/// An expanded key.
pub(crate) struct Aead {
    mode: Mode,
    cipher: Owned<ffi::Cipher>,
    context: Owned<ffi::CipherCtx>,
    key: [u8; 16],
}

impl Aead {
    pub(crate) fn new(mode: Mode, key: &[u8; 16]) -> Self {
        // SAFETY: makes objects that we own.
        let (cipher, context) = unsafe {
            (ffi::EVP_CIPHER_fetch(null_mut(), mode.name().as_ptr(), null()), ffi::EVP_CIPHER_CTX_new())
        };
        Self {
            mode,
            cipher: Owned::new(cipher, ffi::EVP_CIPHER_free).unwrap(),
            context: Owned::new(context, ffi::EVP_CIPHER_CTX_free).unwrap(),
            key: *key,
        }
    }

    /// The key is expanded once for GCM and for each message in CCM, where the lengths have to be set before it.
    fn start(&self, nonce: &[u8; 12], tag: Option<&[u8; 16]>, len: usize) -> Result<()> {
        let (ctx, encrypt) = (self.context.get(), c_int::from(tag.is_none()));
        let tag: *mut c_void = tag.map_or(null_mut(), |tag| tag.as_ptr().cast_mut().cast());
        // SAFETY: the pointers are of a key of 16, a nonce of 12 and a tag of 16 bytes, which are only read.
        unsafe {
            check(ffi::EVP_CipherInit_ex(ctx, self.cipher.get(), null_mut(), null(), null(), encrypt))?;
            check(ffi::EVP_CIPHER_CTX_ctrl(ctx, ffi::AEAD_SET_IV_BYTES, 12, null_mut()))?;
            if self.mode == Mode::Ccm || !tag.is_null() {
                check(ffi::EVP_CIPHER_CTX_ctrl(ctx, ffi::AEAD_SET_TAG, 16, tag))?;
            }
            let (key, nonce) = (self.key.as_ptr(), nonce.as_ptr());
            check(ffi::EVP_CipherInit_ex(ctx, null(), null_mut(), key, nonce, encrypt))?;
            if self.mode == Mode::Ccm {
                let mut written = 0;
                check(ffi::EVP_CipherUpdate(ctx, null_mut(), &mut written, null(), len as c_int))?;
            }
        }
        Ok(())
    }

    fn crypt(&self, aad: &[u8], data: &mut [u8]) -> Result<()> {
        let (ctx, mut written) = (self.context.get(), 0);
        // SAFETY: reads the slices; writes as many bytes over `data` as it reads of it.
        unsafe {
            if !aad.is_empty() {
                let len = aad.len() as c_int;
                check(ffi::EVP_CipherUpdate(ctx, null_mut(), &mut written, aad.as_ptr(), len))?;
            }
            // Nothing is a message too: CCM wants to be told, with a pointer that is not null.
            let (place, len) = (data.as_mut_ptr(), data.len() as c_int);
            check(ffi::EVP_CipherUpdate(ctx, place, &mut written, place, len))?;
            if self.mode == Mode::Gcm {
                check(ffi::EVP_CipherFinal_ex(ctx, place.wrapping_add(data.len()), &mut written))?;
            }
        }
        Ok(())
    }

    /// Encrypts in place and gives the tag.
    pub(crate) fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        self.start(nonce, None, data.len()).unwrap();
        self.crypt(aad, data).unwrap();
        let mut tag = [0u8; 16];
        // SAFETY: writes the 16 bytes of the tag.
        let status = unsafe {
            ffi::EVP_CIPHER_CTX_ctrl(self.context.get(), ffi::AEAD_GET_TAG, 16, tag.as_mut_ptr().cast())
        };
        check(status).unwrap();
        tag
    }

    /// Decrypts in place, if the tag is right.
    pub(crate) fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> Result<()> {
        self.start(nonce, Some(tag), data.len())?;
        self.crypt(aad, data)
    }
}
