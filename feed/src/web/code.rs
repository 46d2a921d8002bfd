//! A security as browsers name it: `000001.SZ`.

use std::fmt;
use std::str::FromStr;
use wire::szse::code::{SOURCE_SHANGHAI, SOURCE_SHENZHEN};
use wire::szse::{SecurityId, SecurityIdSource};

/// SecurityID and SecurityIDSource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Code {
    pub(super) id: SecurityId,
    pub(super) source: SecurityIdSource,
}

/// Not a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a code such as 000001.SZ")]
pub(super) struct BadCode;

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            SOURCE_SHENZHEN => write!(f, "{}.SZ", self.id),
            SOURCE_SHANGHAI => write!(f, "{}.SH", self.id),
            other => write!(f, "{}.{other}", self.id),
        }
    }
}

/// Without a suffix it is Shenzhen's; a market without a letter code of its own goes by its SecurityIDSource.
impl FromStr for Code {
    type Err = BadCode;

    fn from_str(text: &str) -> Result<Self, BadCode> {
        let (id, market) = text.split_once('.').unwrap_or((text, "SZ"));
        let source = match market {
            "SZ" => SOURCE_SHENZHEN,
            "SH" => SOURCE_SHANGHAI,
            other => other.parse().map_err(|_| BadCode)?,
        };
        let id: SecurityId = id.parse().map_err(|_| BadCode)?;
        if id.is_blank() || source.is_blank() { Err(BadCode) } else { Ok(Self { id, source }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["000001.SZ", "600000.SH", "00700.103"] {
            assert_eq!(text.parse::<Code>().unwrap().to_string(), text);
        }
        assert_eq!("000001".parse::<Code>().unwrap().to_string(), "000001.SZ");
        for text in ["", ".SZ", "000001.", "123456789.SZ", "000001.SHENZHEN", "平安.SZ"] {
            assert_eq!(text.parse::<Code>(), Err(BadCode), "{text}");
        }
    }
}
