//! Making certificates.

use super::read::{Certificate, Malformed};
use super::request::Request;
use super::{SM2_WITH_SM3, bit_string, element, sequence};
use crate::der;
use crate::sm2::{DEFAULT_ID, PublicKey, RandomUnavailable, SecretKey};
use crate::sm3;
use std::net::IpAddr;
use thiserror::Error;

/// Seconds since 1970 between which a certificate is valid, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before_s: u64,
    /// Last second.
    pub not_after_s: u64,
}

/// Whom a certificate is about. Empty fields are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Country, two letters.
    pub country: String,
    /// Organisation.
    pub organization: String,
    /// Common name.
    pub common_name: String,
}

/// A name that a peer checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AltName {
    /// A host name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// What a leaf's key may do in TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Be a server.
    Server,
    /// Be a client.
    Client,
    /// Be both, as a gateway is.
    ServerAndClient,
}

/// A certificate to be issued.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// Whose.
    pub subject: &'a Subject,
    /// The names it answers to.
    pub alt_names: &'a [AltName],
    /// For what.
    pub usage: Usage,
    /// The key it is about.
    pub public_key: &'a PublicKey,
    /// When.
    pub validity: Validity,
}

/// An authority cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The key is not the certificate's.
    #[error("the key does not belong to the certificate")]
    OtherKey,
    /// The certificate is a leaf: what it signs no peer accepts.
    #[error("the certificate is not an authority's")]
    NotAnAuthority,
}

/// Someone who signs certificates.
#[derive(Debug)]
pub struct Authority {
    key: SecretKey,
    /// Its Name in DER.
    name: Vec<u8>,
    certificate: Vec<u8>,
}

impl Authority {
    /// A root: its certificate is signed by itself.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn root(subject: &Subject, key: SecretKey, validity: Validity) -> Result<Self, RandomUnavailable> {
        let name = name(subject);
        let extensions = [
            // Critical: it is an authority. Critical: it signs certificates and lists.
            extension(&[0x55, 0x1d, 19], true, &sequence(&[&[1, 1, 0xff]])),
            extension(&[0x55, 0x1d, 15], true, &[3, 2, 1, 6]),
            key_identifier(key.public_key()),
        ];
        let body = body(&name, &name, validity, key.public_key(), &extensions.concat())?;
        let certificate = signed(&body, &key)?;
        Ok(Self { key, name, certificate })
    }

    /// From its certificate and key.
    ///
    /// # Errors
    /// When the certificate is malformed or not an authority's, or the key another's.
    pub fn new(certificate: Vec<u8>, key: SecretKey) -> Result<Self, AuthorityError> {
        let parsed = Certificate::from_der(&certificate)?;
        if parsed.public_key() != Some(*key.public_key()) {
            return Err(AuthorityError::OtherKey);
        }
        if !parsed.is_authority() {
            return Err(AuthorityError::NotAnAuthority);
        }
        let name = parsed.subject().to_vec();
        Ok(Self { key, name, certificate })
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Issues a certificate, in DER.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn issue(&self, leaf: &Leaf<'_>) -> Result<Vec<u8>, RandomUnavailable> {
        self.issue_to(&name(leaf.subject), leaf.public_key, leaf.alt_names, leaf.usage, leaf.validity)
    }

    /// Issues a certificate for a request, with the subject and names it asks for.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn issue_request(
        &self,
        request: &Request,
        usage: Usage,
        validity: Validity,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        self.issue_to(request.subject(), request.public_key(), request.alt_names(), usage, validity)
    }

    fn issue_to(
        &self,
        subject: &[u8],
        key: &PublicKey,
        alt_names: &[AltName],
        usage: Usage,
        validity: Validity,
    ) -> Result<Vec<u8>, RandomUnavailable> {
        let issuer = element(0x80, &[&identifier(self.key.public_key())]);
        let mut extensions = [
            // Critical: digitalSignature and keyAgreement. A leaf has no BasicConstraints: some peers want none.
            extension(&[0x55, 0x1d, 15], true, &[3, 2, 3, 0x88]),
            extension(&[0x55, 0x1d, 37], false, &extended_usage(usage)),
            key_identifier(key),
            extension(&[0x55, 0x1d, 35], false, &sequence(&[&issuer])),
        ]
        .concat();
        if !alt_names.is_empty() {
            extensions.extend(alt_names_extension(alt_names));
        }
        signed(&body(&self.name, subject, validity, key, &extensions)?, &self.key)
    }
}

/// TBSCertificate, version 3, with a random serial number.
fn body(
    issuer: &[u8],
    subject: &[u8],
    validity: Validity,
    key: &PublicKey,
    extensions: &[u8],
) -> Result<Vec<u8>, RandomUnavailable> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| RandomUnavailable)?;
    // Positive, and in its shortest form.
    serial[0] = serial[0] & 0x7f | 0x40;
    let valid = sequence(&[&time(validity.not_before_s), &time(validity.not_after_s)]);
    Ok(sequence(&[
        &[0xa0, 3, 2, 1, 2],
        &element(2, &[&serial]),
        &SM2_WITH_SM3,
        issuer,
        &valid,
        subject,
        &key.to_spki_der(),
        &element(0xa3, &[&sequence(&[extensions])]),
    ]))
}

/// The body, the algorithm and the signature with the default identifier.
pub(super) fn signed(body: &[u8], key: &SecretKey) -> Result<Vec<u8>, RandomUnavailable> {
    let signature = key.sign(DEFAULT_ID, body)?.to_der();
    Ok(sequence(&[body, &SM2_WITH_SM3, &bit_string(&signature)]))
}

/// A Name: country as PrintableString, the rest as UTF8String.
pub(super) fn name(subject: &Subject) -> Vec<u8> {
    let part = |last: u8, tag: u8, text: &str| {
        if text.is_empty() {
            return Vec::new();
        }
        let attribute = sequence(&[&[6, 3, 0x55, 4, last], &element(tag, &[text.as_bytes()])]);
        element(0x31, &[&attribute])
    };
    sequence(&[
        &part(6, 0x13, &subject.country),
        &part(10, 0x0c, &subject.organization),
        &part(3, 0x0c, &subject.common_name),
    ])
}

/// An Extension with a short OID.
pub(super) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&element(6, &[oid]), flag, &element(4, &[value])])
}

/// The first 160 bits of the key's SM3: a key identifier of our own method (RFC 7093 allows any).
fn identifier(key: &PublicKey) -> [u8; 20] {
    *sm3::digest(&key.to_sec1()).first_chunk().expect("invariant: a digest has 32 bytes")
}

fn key_identifier(key: &PublicKey) -> Vec<u8> {
    extension(&[0x55, 0x1d, 14], false, &element(4, &[&identifier(key)]))
}

/// ExtKeyUsage: serverAuth is id-kp 1, clientAuth id-kp 2.
fn extended_usage(usage: Usage) -> Vec<u8> {
    let purpose = |last: u8| element(6, &[&[0x2b, 6, 1, 5, 5, 7, 3, last]]);
    match usage {
        Usage::Server => sequence(&[&purpose(1)]),
        Usage::Client => sequence(&[&purpose(2)]),
        Usage::ServerAndClient => sequence(&[&purpose(1), &purpose(2)]),
    }
}

/// SubjectAltName.
pub(super) fn alt_names_extension(names: &[AltName]) -> Vec<u8> {
    let mut all = Vec::new();
    for name in names {
        match name {
            AltName::Dns(name) => der::put(&mut all, 0x82, name.as_bytes()),
            AltName::Ip(IpAddr::V4(address)) => der::put(&mut all, 0x87, &address.octets()),
            AltName::Ip(IpAddr::V6(address)) => der::put(&mut all, 0x87, &address.octets()),
        }
    }
    extension(&[0x55, 0x1d, 17], false, &sequence(&[&all]))
}

/// UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, section 4.1.2.5).
fn time(seconds: u64) -> Vec<u8> {
    let text = generalized_time(seconds);
    if text.as_str() < "2050" {
        element(23, &[&text.as_bytes()[2..]])
    } else {
        element(24, &[text.as_bytes()])
    }
}

/// `YYYYMMDDHHMMSSZ`: earlier times are lesser texts.
pub(super) fn generalized_time(seconds: u64) -> String {
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let rest = seconds % 86_400;
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The date of a day after 1970-01-01, by the years of 400 that begin in March.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The way back from [`generalized_time`]; nothing where it leads to no such text.
pub(super) fn seconds_of(text: &str) -> Option<u64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let year = year.checked_sub(u64::from(month <= 2))?;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day;
    let days = year / 400 * 146_097 + year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + day_of_year;
    let seconds = days.checked_sub(719_469)? * 86_400 + hour * 3600 + minute * 60 + second;
    (generalized_time(seconds) == text).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_was_written_is_read_again() {
        for seconds in (0..9_000_000_000).step_by(86_399 * 13) {
            assert_eq!(seconds_of(&generalized_time(seconds)), Some(seconds));
        }
        for wrong in
            ["", "19691231235959Z", "20260229000000Z", "20261301000000Z", "20260101240000Z", "2026010100000Z"]
        {
            assert_eq!(seconds_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_what_a_calendar_says() {
        let text = |seconds| String::from_utf8(time(seconds)[2..].to_vec()).unwrap();
        assert_eq!(text(0), "700101000000Z");
        assert_eq!(text(951_782_400), "000229000000Z");
        assert_eq!(text(2_524_607_999), "491231235959Z");
        assert_eq!(text(2_524_608_000), "20500101000000Z");
        assert_eq!(text(4_107_542_400), "21000301000000Z");
    }
}
