//! Certificates and requests made and checked by OpenSSL.

use super::key::Key;
use super::{Owned, Result, check, ffi, from_der, to_der};
use std::ffi::{CString, c_int};
use std::ptr::null_mut;

/// What a certificate says.
pub(crate) struct Content<'a> {
    pub(crate) name: &'a str,
    /// In the form of OpenSSL's configuration: `DNS:localhost`. Empty: none.
    pub(crate) alt_names: &'a str,
    /// `serverAuth`, `clientAuth`; empty: an authority.
    pub(crate) usage: &'a str,
    pub(crate) valid_s: (u64, u64),
}

pub(crate) struct Certificate(Owned<ffi::X509>);

fn name(text: &str) -> Owned<ffi::X509Name> {
    // SAFETY: makes a name and copies the text into it.
    unsafe {
        let name = Owned::new(ffi::X509_NAME_new(), ffi::X509_NAME_free).unwrap();
        let (bytes, len) = (text.as_ptr(), text.len() as c_int);
        let kind = ffi::MBSTRING_UTF8;
        check(ffi::X509_NAME_add_entry_by_txt(name.get(), c"CN".as_ptr(), kind, bytes, len, -1, 0)).unwrap();
        name
    }
}

impl Certificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self> {
        Ok(Self(from_der(der, ffi::d2i_X509, ffi::X509_free)?))
    }

    pub(crate) fn to_der(&self) -> Vec<u8> {
        to_der(self.0.get(), ffi::i2d_X509)
    }

    pub(super) fn get(&self) -> *mut ffi::X509 {
        self.0.get()
    }

    /// An authority's, signed by its own key.
    pub(crate) fn root(content: &Content<'_>, key: &Key) -> Self {
        let certificate = Self::body(content, key);
        // SAFETY: copies the name.
        unsafe {
            let name = ffi::X509_get_subject_name(certificate.get());
            check(ffi::X509_set_issuer_name(certificate.get(), name)).unwrap();
        }
        certificate.extend(ffi::NID_BASIC_CONSTRAINTS, "critical,CA:TRUE");
        certificate.signed(key)
    }

    /// A leaf for `key`, signed by `self` with its key.
    pub(crate) fn issue(&self, content: &Content<'_>, key: &Key, authority: &Key) -> Self {
        let certificate = Self::body(content, key);
        // SAFETY: copies the name.
        unsafe {
            let name = ffi::X509_get_subject_name(self.get());
            check(ffi::X509_set_issuer_name(certificate.get(), name)).unwrap();
        }
        certificate.extend(ffi::NID_SUBJECT_ALT_NAME, content.alt_names);
        certificate.extend(ffi::NID_EXT_KEY_USAGE, content.usage);
        certificate.signed(authority)
    }

    fn body(content: &Content<'_>, key: &Key) -> Self {
        // SAFETY: makes a certificate; everything is copied into it.
        unsafe {
            let certificate = Owned::new(ffi::X509_new(), ffi::X509_free).unwrap();
            let x = certificate.get();
            check(ffi::X509_set_version(x, 2)).unwrap();
            check(ffi::ASN1_INTEGER_set(ffi::X509_get_serialNumber(x), 7)).unwrap();
            let (from, to) = content.valid_s;
            assert!(!ffi::ASN1_TIME_set(ffi::X509_getm_notBefore(x), from.cast_signed()).is_null());
            assert!(!ffi::ASN1_TIME_set(ffi::X509_getm_notAfter(x), to.cast_signed()).is_null());
            check(ffi::X509_set_subject_name(x, name(content.name).get())).unwrap();
            check(ffi::X509_set_pubkey(x, key.get())).unwrap();
            Self(certificate)
        }
    }

    fn extend(&self, nid: c_int, value: &str) {
        let value = CString::new(value).unwrap();
        // SAFETY: makes an extension from the text and copies it into the certificate.
        unsafe {
            let extension = ffi::X509V3_EXT_conf_nid(null_mut(), null_mut(), nid, value.as_ptr());
            let extension = Owned::new(extension, ffi::X509_EXTENSION_free).unwrap();
            check(ffi::X509_add_ext(self.get(), extension.get(), -1)).unwrap();
        }
    }

    fn signed(self, key: &Key) -> Self {
        // SAFETY: signs with SM3 and, for SM2, the default identifier; whoever is on P-256 signs with SHA-256.
        let status = unsafe {
            let sm3 = ffi::X509_sign(self.get(), key.get(), ffi::EVP_sm3());
            if sm3 > 0 { sm3 } else { ffi::X509_sign(self.get(), key.get(), ffi::EVP_sha256()) }
        };
        check(status).unwrap();
        self
    }

    /// Whether `key` signed it.
    pub(crate) fn verify(&self, key: &Key) -> Result<()> {
        // SAFETY: reads both.
        check(unsafe { ffi::X509_verify(self.get(), key.get()) })
    }
}

/// A request for `key`, in DER.
pub(crate) fn request(subject: &str, key: &Key) -> Vec<u8> {
    // SAFETY: makes a request; everything is copied into it.
    unsafe {
        let request = Owned::new(ffi::X509_REQ_new(), ffi::X509_REQ_free).unwrap();
        check(ffi::X509_REQ_set_subject_name(request.get(), name(subject).get())).unwrap();
        check(ffi::X509_REQ_set_pubkey(request.get(), key.get())).unwrap();
        check(ffi::X509_REQ_sign(request.get(), key.get(), ffi::EVP_sm3())).unwrap();
        to_der(request.get(), ffi::i2d_X509_REQ)
    }
}

/// Whether a request is signed by the key in it.
pub(crate) fn verify_request(der: &[u8]) -> Result<()> {
    let request = from_der(der, ffi::d2i_X509_REQ, ffi::X509_REQ_free)?;
    // SAFETY: the key is the request's own and only read.
    check(unsafe { ffi::X509_REQ_verify(request.get(), ffi::X509_REQ_get0_pubkey(request.get())) })
}
