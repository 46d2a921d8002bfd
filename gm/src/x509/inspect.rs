//! A certificate for people to read.

use super::read::{Certificate, printable};
use super::request::parse_alt_names;
use super::{AltName, Malformed};
use crate::der;
use crate::sm3;
use std::fmt::Write;

/// Describes a certificate in lines of `name: value`, of any issuer and algorithm.
///
/// # Errors
/// When the bytes are not a certificate of version 3.
pub fn describe(bytes: &[u8]) -> Result<String, Malformed> {
    let certificate = Certificate::from_der(bytes)?;
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        writeln!(out, "{name}: {value}").expect("invariant: a String takes what is written");
    };
    line("subject", &certificate.subject_text());
    line("issuer", &name(certificate.issuer));
    line("serial", &hex(certificate.serial));
    let (not_before, not_after) = certificate.times().unwrap_or_default();
    line("not before", &not_before);
    line("not after", &not_after);
    let algorithm = der::take(&mut &*certificate.signature_algorithm, 6).unwrap_or(&[]);
    line("signature algorithm", &oid_name(algorithm));
    match certificate.public_key() {
        Some(key) => {
            line("key", &format!("SM2 {}", hex(&key.to_sec1())));
            let own = if certificate.is_signed_by(&key) { "yes" } else { "no" };
            line("signed by itself", own);
        }
        None => line("key", "not SM2"),
    }
    if let Some(names) = certificate.extension(&[0x55, 0x1d, 17]).and_then(parse_alt_names) {
        let names: Vec<String> = names
            .iter()
            .map(|name| match name {
                AltName::Dns(name) => format!("DNS:{}", printable(name)),
                AltName::Ip(address) => format!("IP:{address}"),
            })
            .collect();
        line("names", &names.join(", "));
    }
    line("authority", if certificate.is_authority() { "yes" } else { "no" });
    line("usage", &purposes(&certificate));
    line("sm3 fingerprint", &hex(&sm3::digest(bytes)));
    Ok(out)
}

impl Certificate<'_> {
    /// The subject for people: `C=CN, O=…, CN=…`, in the order of the certificate.
    #[must_use]
    pub fn subject_text(&self) -> String {
        name(self.subject())
    }
}

fn purposes(certificate: &Certificate<'_>) -> String {
    let mut found = Vec::new();
    let value = certificate.extension(&[0x55, 0x1d, 37]).and_then(|mut value| der::take(&mut value, 0x30));
    let mut rest = value.unwrap_or(&[]);
    while let Some(oid) = der::take(&mut rest, 6) {
        found.push(oid_name(oid));
    }
    if found.is_empty() { "any".into() } else { found.join(", ") }
}

/// `C=CN, O=…, CN=…` in the order of the certificate.
fn name(mut der: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = der::take(&mut der, 0x30).unwrap_or(&[]);
    while let Some(mut set) = der::take(&mut sets, 0x31) {
        while let Some(mut attribute) = der::take(&mut set, 0x30) {
            let oid = der::take(&mut attribute, 6).unwrap_or(&[]);
            let tag = attribute.first().copied().unwrap_or(0);
            let value = der::take(&mut attribute, tag).unwrap_or(&[]);
            parts.push(format!("{}={}", oid_name(oid), printable(&String::from_utf8_lossy(value))));
        }
    }
    parts.join(", ")
}

fn oid_name(oid: &[u8]) -> String {
    match oid {
        [0x55, 4, 3] => "CN".into(),
        [0x55, 4, 6] => "C".into(),
        [0x55, 4, 7] => "L".into(),
        [0x55, 4, 8] => "ST".into(),
        [0x55, 4, 10] => "O".into(),
        [0x55, 4, 11] => "OU".into(),
        [0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x83, 0x75] => "SM2 with SM3".into(),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => "ECDSA with SHA-256".into(),
        [0x2b, 6, 1, 5, 5, 7, 3, 1] => "TLS server".into(),
        [0x2b, 6, 1, 5, 5, 7, 3, 2] => "TLS client".into(),
        _ => dotted(oid),
    }
}

fn dotted(oid: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let first = numbers.first().copied().unwrap_or(0);
    let head = (first / 40).min(2);
    let tail: Vec<String> = numbers.iter().skip(1).map(u64::to_string).collect();
    [format!("{head}.{}", first - 40 * head), tail.join(".")].join(".")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
