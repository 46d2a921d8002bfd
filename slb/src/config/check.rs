//! What a health check asks: `[pools.health.check]`.

use serde::{Deserialize, Serialize, Serializer};
use service::config::Invalid;

/// What a backend is asked, and what is a good answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Check {
    /// It accepts a connection.
    #[default]
    Tcp,
    /// It answers `GET` with one of these statuses.
    Http {
        /// What is got.
        #[serde(default = "root")]
        path: String,
        /// The `Host` header; empty: the backend's address.
        #[serde(default)]
        host: String,
        /// Good statuses.
        #[serde(default = "ok")]
        status: Vec<u16>,
    },
    /// It is sent some bytes and its answer contains others: a logon, a PING.
    Exchange {
        /// Sent after the connect; empty: nothing, the backend speaks first. A logon has a password in it, so it is
        /// never shown.
        #[serde(default, serialize_with = "not_shown")]
        send: Bytes,
        /// What the answer must contain.
        expect: Bytes,
    },
}

fn root() -> String {
    "/".to_owned()
}

fn ok() -> Vec<u16> {
    vec![200]
}

fn not_shown<S: Serializer>(sent: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if sent.bytes.is_empty() { "" } else { "(not shown)" })
}

/// Bytes in a configuration: text as it stands (TOML's escapes help: `"\\u0001"`), or `hex:` and
/// hexadecimal digits, in which blanks do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes {
    text: String,
    bytes: Vec<u8>,
}

impl Bytes {
    /// What they stand for.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = match text.strip_prefix("hex:") {
            None => text.clone().into_bytes(),
            Some(digits) => from_hex(digits)?,
        };
        Ok(Self { text, bytes })
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.text
    }
}

/// Says where the digits are wrong and not what they are: a password may be among them.
fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for char in text.chars().filter(|char| !char.is_whitespace()) {
        let Some(digit) = char.to_digit(16) else {
            return Err(format!(
                "expected hexadecimal digits behind hex:, the character at {} is none (blanks do not count)",
                digits.len() + 1
            ));
        };
        digits.push(digit as u8);
    }
    if !digits.len().is_multiple_of(2) {
        return Err(format!(
            "expected an even number of hexadecimal digits behind hex:, there are {}",
            digits.len()
        ));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Bytes that a check sends or expects, at most: a logon has some hundred.
const BYTES_MAX: usize = 4096;

impl Check {
    pub(super) fn validate(&self, key: &str) -> Result<(), Invalid> {
        match self {
            Self::Tcp => Ok(()),
            Self::Http { path, host, status } => {
                let clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
                if !path.starts_with('/') || !clean(path) || path.len() > BYTES_MAX {
                    return Err(Invalid::new(
                        format!("{key}.path"),
                        "expected a path from / on, without blanks",
                    ));
                }
                if !clean(host) || host.len() > BYTES_MAX {
                    return Err(Invalid::new(format!("{key}.host"), "expected a host name"));
                }
                if status.is_empty() || status.iter().any(|status| !(100..=599).contains(status)) {
                    return Err(Invalid::new(format!("{key}.status"), "expected statuses from 100 to 599"));
                }
                Ok(())
            }
            Self::Exchange { send, expect } => {
                if send.bytes.len() > BYTES_MAX {
                    return Err(Invalid::new(
                        format!("{key}.send"),
                        format!("expected at most {BYTES_MAX} bytes"),
                    ));
                }
                if expect.bytes.is_empty() || expect.bytes.len() > BYTES_MAX {
                    return Err(Invalid::new(
                        format!("{key}.expect"),
                        format!("expected 1 to {BYTES_MAX} bytes"),
                    ));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<Vec<u8>, String> {
        Bytes::try_from(text.to_owned()).map(|bytes| bytes.bytes)
    }

    #[test]
    fn bytes_are_text_or_hexadecimal() {
        assert_eq!(bytes("8=FIX\u{1}"), Ok(b"8=FIX\x01".to_vec()));
        assert_eq!(bytes("hex: 00 0a fF"), Ok(vec![0, 10, 255]));
        assert_eq!(bytes(""), Ok(vec![]));
        assert!(bytes("hex:0").is_err() && bytes("hex:0g").is_err());
    }

    #[test]
    fn what_is_sent_is_never_shown() {
        let odd = bytes("hex: 73 65 6").unwrap_err();
        assert!(odd.ends_with("there are 5") && !odd.contains("73"), "{odd}");
        let wrong = bytes("hex: 73 6g").unwrap_err();
        assert!(wrong.contains("at 4 is none") && !wrong.contains("73"), "{wrong}");
        let shown = |send: &str| {
            let bytes = |text: &str| Bytes::try_from(text.to_owned()).unwrap();
            let check = Check::Exchange { send: bytes(send), expect: bytes("+PONG") };
            serde_json::to_value(check).unwrap()
        };
        let wanted = |send: &str| serde_json::json!({"kind": "exchange", "send": send, "expect": "+PONG"});
        assert_eq!(shown("hex: 73"), wanted("(not shown)"));
        assert_eq!(shown(""), wanted(""));
    }
}
