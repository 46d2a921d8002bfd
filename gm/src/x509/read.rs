//! Reading certificates, as far as issuing and showing need it. Checking chains is webpki's work, not ours.

use super::build::{generalized_time, seconds_of};
use crate::der;
use crate::sm2::{DEFAULT_ID, PublicKey, Signature};
use thiserror::Error;

/// OID 2.5.4.3, its contents.
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];

/// The bytes are not an X.509 certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an X.509 certificate")]
pub struct Malformed;

/// The parts of a certificate, as slices of its DER. The names are whole elements, the rest contents.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    body: &'a [u8],
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) extensions: &'a [u8],
    pub(super) signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

/// Takes one element with any tag: the whole of it.
pub(super) fn take_whole<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let before = *input;
    der::take(input, tag)?;
    before.get(..before.len() - input.len())
}

/// Where a moment lies to a certificate's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// It is not valid yet.
    Before,
    /// It is valid.
    Within,
    /// It has expired.
    After,
}

/// What a stranger wrote, without characters that a terminal acts on.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl<'a> Certificate<'a> {
    /// From DER.
    ///
    /// # Errors
    /// When it is not a certificate of version 3.
    pub fn from_der(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes).ok_or(Malformed)
    }

    fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let mut whole = der::take(&mut bytes, 0x30)?;
        let body = take_whole(&mut whole, 0x30)?;
        let signature_algorithm = der::take(&mut whole, 0x30)?;
        let [0, signature @ ..] = der::take(&mut whole, 3)? else { return None };
        let mut rest = der::take(&mut &*body, 0x30)?;
        der::take(&mut rest, 0xa0)?;
        let serial = der::take(&mut rest, 2)?;
        der::take(&mut rest, 0x30)?;
        let issuer = take_whole(&mut rest, 0x30)?;
        let validity = der::take(&mut rest, 0x30)?;
        let subject = take_whole(&mut rest, 0x30)?;
        let key = take_whole(&mut rest, 0x30)?;
        let extensions = match rest.first() {
            None => &[],
            Some(_) => der::take(&mut der::take(&mut rest, 0xa3)?, 0x30)?,
        };
        Some(Self {
            body,
            serial,
            issuer,
            validity,
            subject,
            key,
            extensions,
            signature_algorithm,
            signature,
        })
    }

    /// The subject's Name in DER.
    #[must_use]
    pub fn subject(&self) -> &'a [u8] {
        self.subject
    }

    /// The subject's common name: the first, if it is UTF-8 or ASCII.
    #[must_use]
    pub fn common_name(&self) -> Option<&'a str> {
        let mut name = der::take(&mut &*self.subject, 0x30)?;
        while let Some(mut set) = der::take(&mut name, 0x31) {
            while let Some(mut attribute) = der::take(&mut set, 0x30) {
                if der::take(&mut attribute, 6) == Some(&COMMON_NAME) {
                    // UTF8String, PrintableString: other kinds of text are not used for names any more.
                    let text = der::take(&mut &*attribute, 0x0c).or(der::take(&mut &*attribute, 0x13))?;
                    return std::str::from_utf8(text).ok();
                }
            }
        }
        None
    }

    /// The key, if it is on curveSM2.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        PublicKey::from_spki_der(self.key).ok()
    }

    /// Whether `issuer` signed it with the default identifier.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        Signature::from_der(self.signature)
            .is_ok_and(|signature| issuer.verify(DEFAULT_ID, self.body, &signature).is_ok())
    }

    /// Where `now_s` (seconds since 1970) lies to its validity; nothing if that is not written as RFC 5280 wants.
    #[must_use]
    pub fn period(&self, now_s: u64) -> Option<Period> {
        let (not_before, not_after) = self.times()?;
        let now = generalized_time(now_s);
        // Texts of one length compare as the times do.
        if not_before.len() != now.len() || not_after.len() != now.len() {
            return None;
        }
        Some(match () {
            () if now < not_before => Period::Before,
            () if now > not_after => Period::After,
            () => Period::Within,
        })
    }

    /// The first second of its validity, in seconds since 1970; nothing if that is not written as RFC 5280 wants.
    #[must_use]
    pub fn not_before_s(&self) -> Option<u64> {
        seconds_of(&self.times()?.0)
    }

    /// The last second of its validity, in seconds since 1970; nothing if that is not written as RFC 5280 wants.
    #[must_use]
    pub fn not_after_s(&self) -> Option<u64> {
        seconds_of(&self.times()?.1)
    }

    /// The same for people: `YYYY-MM-DD HH:MM:SS UTC`.
    #[must_use]
    pub fn not_after_text(&self) -> Option<String> {
        let text = generalized_time(self.not_after_s()?);
        let part = |from: usize, to: usize| text.get(from..to);
        let (date, time) =
            ([part(0, 4)?, part(4, 6)?, part(6, 8)?], [part(8, 10)?, part(10, 12)?, part(12, 14)?]);
        Some(format!("{} {} UTC", date.join("-"), time.join(":")))
    }

    /// First and last second, as `YYYYMMDDHHMMSSZ` if they are written as RFC 5280 wants.
    pub(super) fn times(&self) -> Option<(String, String)> {
        let mut validity = self.validity;
        let mut next = || {
            let tag = *validity.first()?;
            let text = printable(std::str::from_utf8(der::take(&mut validity, tag)?).ok()?);
            // UTCTime has two digits of the year: those of 1950 to 2049.
            let century = if text.as_bytes().first()? < &b'5' { "20" } else { "19" };
            Some(if tag == 23 { format!("{century}{text}") } else { text })
        };
        Some((next()?, next()?))
    }

    /// Whether it may sign certificates.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        let value = self.extension(&[0x55, 0x1d, 19]).and_then(|mut value| der::take(&mut value, 0x30));
        value.is_some_and(|mut contents| der::take(&mut contents, 1) == Some(&[0xff]))
    }

    /// The value of the extension with this OID (its contents), if it is there.
    pub(super) fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.extensions;
        while let Some(mut extension) = der::take(&mut rest, 0x30) {
            if der::take(&mut extension, 6) == Some(oid) {
                if extension.first() == Some(&1) {
                    der::take(&mut extension, 1)?;
                }
                return der::take(&mut extension, 4);
            }
        }
        None
    }
}
