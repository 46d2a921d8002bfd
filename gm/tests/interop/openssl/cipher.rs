//! SM3, HMAC-SM3, SM4-GCM and SM4-CCM of OpenSSL.

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

/// HMAC-SM3.
pub(crate) fn hmac_sm3(key: &[u8], data: &[u8]) -> [u8; 32] {
    let (mut tag, mut len) = ([0; 32], 0);
    // SAFETY: reads both slices and the two names, writes the 32 bytes it is told of and the length.
    let out = unsafe {
        ffi::EVP_Q_mac(
            null_mut(),
            c"HMAC".as_ptr(),
            null(),
            c"SM3".as_ptr(),
            null(),
            key.as_ptr().cast(),
            key.len(),
            data.as_ptr(),
            data.len(),
            tag.as_mut_ptr(),
            tag.len(),
            &raw mut len,
        )
    };
    assert!(!out.is_null() && len == tag.len(), "OpenSSL gave no tag");
    tag
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

/// An expanded key, for either direction.
pub(crate) struct Aead {
    mode: Mode,
    sealing: Owned<ffi::CipherCtx>,
    opening: Owned<ffi::CipherCtx>,
}

impl Aead {
    pub(crate) fn new(mode: Mode, key: &[u8; 16]) -> Self {
        let context = |encrypt| {
            // SAFETY: makes objects that we own; the key is 16 bytes, which are copied.
            unsafe {
                let cipher = ffi::EVP_CIPHER_fetch(null_mut(), mode.name().as_ptr(), null());
                let cipher = Owned::new(cipher, ffi::EVP_CIPHER_free).unwrap();
                let context = Owned::new(ffi::EVP_CIPHER_CTX_new(), ffi::EVP_CIPHER_CTX_free).unwrap();
                let (ctx, key) = (context.get(), key.as_ptr());
                check(ffi::EVP_CipherInit_ex(ctx, cipher.get(), null_mut(), null(), null(), encrypt))
                    .unwrap();
                check(ffi::EVP_CIPHER_CTX_ctrl(ctx, ffi::AEAD_SET_IV_BYTES, 12, null_mut())).unwrap();
                if mode == Mode::Ccm {
                    check(ffi::EVP_CIPHER_CTX_ctrl(ctx, ffi::AEAD_SET_TAG, 16, null_mut())).unwrap();
                }
                check(ffi::EVP_CipherInit_ex(ctx, null(), null_mut(), key, null(), encrypt)).unwrap();
                context
            }
        };
        Self { mode, sealing: context(1), opening: context(0) }
    }

    fn crypt(&self, direction: Direction<'_>, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Result<()> {
        let (context, encrypt) = match direction {
            Direction::Seal => (&self.sealing, 1),
            Direction::Open(_) => (&self.opening, 0),
        };
        let (ctx, mut written) = (context.get(), 0);
        let (place, len) = (data.as_mut_ptr(), data.len() as c_int);
        // SAFETY: reads a nonce of 12 and a tag of 16 bytes, and the slices; writes as many bytes over `data` as it
        // reads of it.
        unsafe {
            check(ffi::EVP_CipherInit_ex(ctx, null(), null_mut(), null(), nonce.as_ptr(), encrypt))?;
            if let Direction::Open(tag) = direction {
                let tag: *mut c_void = tag.as_ptr().cast_mut().cast();
                check(ffi::EVP_CIPHER_CTX_ctrl(ctx, ffi::AEAD_SET_TAG, 16, tag))?;
            }
            if self.mode == Mode::Ccm {
                check(ffi::EVP_CipherUpdate(ctx, null_mut(), &mut written, null(), len))?;
            }
            if !aad.is_empty() {
                let len = aad.len() as c_int;
                check(ffi::EVP_CipherUpdate(ctx, null_mut(), &mut written, aad.as_ptr(), len))?;
            }
            // Nothing is a message too: CCM wants to be told, with a pointer that is not null.
            check(ffi::EVP_CipherUpdate(ctx, place, &mut written, place, len))?;
            if self.mode == Mode::Gcm {
                check(ffi::EVP_CipherFinal_ex(ctx, place.wrapping_add(data.len()), &mut written))?;
            }
        }
        Ok(())
    }

    /// Encrypts in place and gives the tag.
    pub(crate) fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        self.crypt(Direction::Seal, nonce, aad, data).unwrap();
        let mut tag = [0u8; 16];
        // SAFETY: writes the 16 bytes of the tag.
        let status = unsafe {
            ffi::EVP_CIPHER_CTX_ctrl(self.sealing.get(), ffi::AEAD_GET_TAG, 16, tag.as_mut_ptr().cast())
        };
        check(status).unwrap();
        tag
    }

    /// Decrypts in place, if the tag is right.
    pub(crate) fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> Result<()> {
        self.crypt(Direction::Open(tag), nonce, aad, data)
    }
}

#[derive(Clone, Copy)]
enum Direction<'a> {
    Seal,
    Open(&'a [u8; 16]),
}
