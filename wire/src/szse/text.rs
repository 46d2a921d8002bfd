//! Strings: ASCII, left-justified, padded with spaces.

use std::fmt;
use std::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A string field of `N` bytes. Equality and order are those of the padded bytes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct Text<const N: usize>([u8; N]);

/// Why a string does not fit a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than the field.
    #[error("text of {len} bytes in a field of {max}")]
    TooLong {
        /// Bytes of the string.
        len: usize,
        /// Bytes of the field.
        max: usize,
    },
    /// A byte that is not printable ASCII (0x20 to 0x7e).
    #[error("text is not printable ASCII")]
    NotAscii,
}

impl<const N: usize> Text<N> {
    /// All spaces: how an absent string is sent.
    pub const BLANK: Self = Self([b' '; N]);

    /// Pads `text` with spaces.
    ///
    /// # Errors
    /// The string is longer than the field or not printable ASCII.
    pub const fn new(text: &[u8]) -> Result<Self, TextError> {
        if text.len() > N {
            return Err(TextError::TooLong { len: text.len(), max: N });
        }
        let mut padded = [b' '; N];
        let mut at = 0;
        while at < text.len() {
            if text[at] < b' ' || text[at] > b'~' {
                return Err(TextError::NotAscii);
            }
            padded[at] = text[at];
            at += 1;
        }
        Ok(Self(padded))
    }

    /// For constants of the program, never for input.
    ///
    /// # Panics
    /// The string does not fit; in a `const` that is a compile error.
    #[must_use]
    pub const fn literal(text: &'static str) -> Self {
        match Self::new(text.as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("literal does not fit its field"),
        }
    }

    /// The first `N` bytes of `text`, what is not printable ASCII as `?`: for free texts to people, where a shorter
    /// reason is better than none.
    #[must_use]
    pub fn truncated(text: &str) -> Self {
        let mut padded = [b' '; N];
        for (to, from) in padded.iter_mut().zip(text.bytes()) {
            *to = if (b' '..=b'~').contains(&from) { from } else { b'?' };
        }
        Self(padded)
    }

    /// All bytes, padding included.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes without the padding at the end.
    #[must_use]
    pub fn trimmed(&self) -> &[u8] {
        let len = self.0.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        &self.0[..len]
    }

    /// The string without the padding, or `None` where a peer sent what is not printable ASCII.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        let trimmed = self.trimmed();
        let printable = trimmed.iter().all(|byte| (b' '..=b'~').contains(byte));
        if printable { std::str::from_utf8(trimmed).ok() } else { None }
    }

    /// Nothing but padding.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.iter().all(|&byte| byte == b' ')
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::BLANK
    }
}

impl<const N: usize> FromStr for Text<N> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::new(text.as_bytes())
    }
}

/// Without the padding; bytes that are not printable are escaped, so a peer cannot write into a log.
impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => f.pad(text),
            None => write!(f, "{}", self.trimmed().escape_ascii()),
        }
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.trimmed().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_and_trims() {
        let id: Text<8> = "000001".parse().unwrap();
        assert_eq!(id.as_bytes(), b"000001  ");
        assert_eq!(id.trimmed(), b"000001");
        assert_eq!(id.as_str(), Some("000001"));
        assert_eq!(format!("[{id}] {id:?} [{id:>8}]"), "[000001] \"000001\" [  000001]");
        assert!(Text::<3>::new(b"").unwrap().is_blank());
    }

    #[test]
    fn inner_spaces_stay() {
        assert_eq!(Text::<8>::new(b" a b").unwrap().trimmed(), b" a b");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert_eq!("1234567".parse::<Text<6>>(), Err(TextError::TooLong { len: 7, max: 6 }));
        assert_eq!("通".parse::<Text<6>>(), Err(TextError::NotAscii));
        assert_eq!("a\n".parse::<Text<6>>(), Err(TextError::NotAscii));
        assert_eq!("\x7f".parse::<Text<6>>(), Err(TextError::NotAscii));
    }

    #[test]
    fn foreign_bytes_are_seen_but_not_passed_on() {
        let id = Text::<4>::read_from_bytes(b"\x1b[0m").unwrap();
        assert_eq!(id.as_str(), None);
        assert_eq!(id.to_string(), "\\x1b[0m");
        assert_eq!(Text::<4>::truncated("ab\u{e9}cd").as_bytes(), b"ab??");
    }
}
