//! Certification requests (PKCS#10, RFC 2986).

use super::build::{alt_names_extension, name, signed};
use super::read::take_whole;
use super::{AltName, Subject, element, sequence};
use crate::der;
use crate::sm2::{DEFAULT_ID, PublicKey, RandomUnavailable, SecretKey, Signature};
use std::net::IpAddr;
use thiserror::Error;

/// OID 1.2.840.113549.1.9.14, the extensions asked for.
const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
/// OID 2.5.29.17, SubjectAltName.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 17];

/// A request is not one this authority serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not PKCS#10.
    #[error("not a PKCS#10 request")]
    Malformed,
    /// Its key is not on curveSM2.
    #[error("the key is not on curveSM2")]
    OtherAlgorithm,
    /// It is not signed by the key it is about.
    #[error("the request is not signed by its own key")]
    Signature,
}

/// A request that was checked to be signed by its own key.
#[derive(Debug, Clone)]
pub struct Request {
    subject: Vec<u8>,
    public_key: PublicKey,
    alt_names: Vec<AltName>,
}

impl Request {
    /// Makes a request, in DER.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn make(
        subject: &Subject,
        alt_names: &[AltName],
        key: &SecretKey,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        let attributes = if alt_names.is_empty() {
            Vec::new()
        } else {
            let extensions = sequence(&[&alt_names_extension(alt_names)]);
            sequence(&[&element(6, &[&EXTENSION_REQUEST]), &element(0x31, &[&extensions])])
        };
        let body = sequence(&[
            &[2, 1, 0],
            &name(subject),
            &key.public_key().to_spki_der(),
            &element(0xa0, &[&attributes]),
        ]);
        signed(&body, key)
    }

    /// Reads and checks a request in DER.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn from_der(mut bytes: &[u8]) -> Result<Self, RequestError> {
        let mut whole = der::take(&mut bytes, 0x30).ok_or(RequestError::Malformed)?;
        let body = take_whole(&mut whole, 0x30).ok_or(RequestError::Malformed)?;
        der::take(&mut whole, 0x30).ok_or(RequestError::Malformed)?;
        let Some([0, signature @ ..]) = der::take(&mut whole, 3) else { return Err(RequestError::Malformed) };
        let (subject, key, attributes) = parts(body).ok_or(RequestError::Malformed)?;
        let public_key = PublicKey::from_spki_der(key).map_err(|_| RequestError::OtherAlgorithm)?;
        let signature = Signature::from_der(signature).map_err(|_| RequestError::Signature)?;
        public_key.verify(DEFAULT_ID, body, &signature).map_err(|_| RequestError::Signature)?;
        let alt_names = alt_names(attributes).unwrap_or_default();
        Ok(Self { subject: subject.to_vec(), public_key, alt_names })
    }

    /// The subject's Name in DER.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The key the request is about.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The names it asks for.
    #[must_use]
    pub fn alt_names(&self) -> &[AltName] {
        &self.alt_names
    }
}

/// Subject, key and attributes of a CertificationRequestInfo.
fn parts(mut body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut body = der::take(&mut body, 0x30)?;
    der::take(&mut body, 2)?;
    Some((take_whole(&mut body, 0x30)?, take_whole(&mut body, 0x30)?, der::take(&mut body, 0xa0)?))
}

fn alt_names(mut attributes: &[u8]) -> Option<Vec<AltName>> {
    while let Some(mut attribute) = der::take(&mut attributes, 0x30) {
        if der::take(&mut attribute, 6)? != EXTENSION_REQUEST {
            continue;
        }
        let mut extensions = der::take(&mut der::take(&mut attribute, 0x31)?, 0x30)?;
        while let Some(mut extension) = der::take(&mut extensions, 0x30) {
            if der::take(&mut extension, 6)? == SUBJECT_ALT_NAME {
                return parse_alt_names(der::take(&mut extension, 4)?);
            }
        }
    }
    None
}

/// The host names and addresses of a SubjectAltName; other kinds are passed over.
pub(super) fn parse_alt_names(mut value: &[u8]) -> Option<Vec<AltName>> {
    let mut names = der::take(&mut value, 0x30)?;
    let mut found = Vec::new();
    while let Some(&tag) = names.first() {
        let contents = der::take(&mut names, tag)?;
        match tag {
            0x82 => found.push(AltName::Dns(std::str::from_utf8(contents).ok()?.to_owned())),
            0x87 => {
                let v4 = <[u8; 4]>::try_from(contents).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(contents).map(IpAddr::from));
                found.push(AltName::Ip(address.ok()?));
            }
            _ => {}
        }
    }
    Some(found)
}
