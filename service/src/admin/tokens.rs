//! Who may ask the operator's port for what: a file of tokens.
//!
//! ```text
//! # role name token
//! operate alice 3f0c6d1e8a5b4f7c9d2e
//! read prometheus 8b1d2c3e4f5a69788796
//! ```

use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Tokens that a file may have.
const TOKENS_MAX: usize = 100;
/// Bytes that a token has at least, and at most.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Looking.
    Read,
    /// Looking and commands.
    Operate,
}

struct Token {
    role: Role,
    name: String,
    secret: Box<[u8]>,
}

/// The tokens of a file.
pub(crate) struct Tokens(Vec<Token>);

/// What is wrong with a file; it never says a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// A line is not one.
    #[error(
        "line {line}: expected `read NAME TOKEN` or `operate NAME TOKEN`, a token of 16 to 256 characters"
    )]
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// A name or a token stands twice.
    #[error("line {line}: there is another with this name or this token")]
    Twice {
        /// Which, from 1.
        line: usize,
    },
    /// None, or too many.
    #[error("expected 1 to {TOKENS_MAX} tokens")]
    Count,
}

impl Tokens {
    /// What the text of a file says.
    pub(crate) fn parse(text: &str) -> Result<Self, TokenError> {
        let mut tokens: Vec<Token> = Vec::new();
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let [role, name, secret] = words[..] else { return Err(TokenError::Line { line }) };
            let role = match role {
                "read" => Role::Read,
                "operate" => Role::Operate,
                _ => return Err(TokenError::Line { line }),
            };
            if !TOKEN_BYTES.contains(&secret.len()) {
                return Err(TokenError::Line { line });
            }
            let secret: Box<[u8]> = secret.as_bytes().into();
            if tokens.iter().any(|other| other.name == name || other.secret == secret) {
                return Err(TokenError::Twice { line });
            }
            tokens.push(Token { role, name: name.to_owned(), secret });
        }
        if tokens.is_empty() || tokens.len() > TOKENS_MAX { Err(TokenError::Count) } else { Ok(Self(tokens)) }
    }

    /// Whose token this is and what it is good for. Each is compared whole, so that the time it takes tells at most how
    /// long tokens are.
    pub(crate) fn holder(&self, secret: &[u8]) -> Option<(&str, Role)> {
        let mut found = None;
        for token in &self.0 {
            let same: Choice = token.secret.ct_eq(secret);
            if bool::from(same) {
                found = Some((token.name.as_str(), token.role));
            }
        }
        found
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# role name token\noperate alice 0123456789abcdef\n\n read bob fedcba9876543210\n";

    #[test]
    fn a_token_is_somebodys() {
        let tokens = Tokens::parse(FILE).unwrap();
        assert_eq!(tokens.holder(b"0123456789abcdef"), Some(("alice", Role::Operate)));
        assert_eq!(tokens.holder(b"fedcba9876543210"), Some(("bob", Role::Read)));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert_eq!(tokens.holder(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(!format!("{tokens:?}").contains("0123"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_token() {
        let error = |line: &str| Tokens::parse(&format!("{FILE}{line}\n")).unwrap_err().to_string();
        for line in
            ["admin eve 0123456789abcdee", "operate eve short", "operate eve", "read eve 0123456789abcdee x"]
        {
            let error = error(line);
            assert!(error.starts_with("line 5: expected") && !error.contains("eve"), "{error}");
        }
        assert!(error("read alice 0123456789abcdee").starts_with("line 5: there is another"));
        assert!(error("read eve 0123456789abcdef").starts_with("line 5: there is another"));
        assert_eq!(Tokens::parse("# none\n").unwrap_err().to_string(), "expected 1 to 100 tokens");
    }
}
