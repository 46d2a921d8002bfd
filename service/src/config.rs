//! Configuration files: TOML, unknown keys refused, every error with its place in the file.
//!
//! Servers mark each struct `#[serde(default, deny_unknown_fields)]`, put units into key names
//! (`timeout_ms`), and give a commented file with all defaults as [`Config::DEFAULT_TOML`], which is
//! what `--print-config` prints. [`check_default`] keeps the two from drifting apart.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// The configuration of a server.
pub trait Config: DeserializeOwned + Default {
    /// All defaults, with a comment for each key, in TOML.
    const DEFAULT_TOML: &'static str;

    /// Checks what types cannot: ranges that span keys, references between sections.
    ///
    /// # Errors
    /// The first key that is wrong, and why.
    fn validate(&self) -> Result<(), Invalid>;
}

/// A value that parses but makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where, as a path such as `listeners[0].pool`.
    pub key: String,
    /// What was expected.
    pub problem: String,
}

impl Invalid {
    /// An error at `key`, which says what was expected.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// Reads and validates the configuration in `path`.
///
/// # Errors
/// When the file cannot be read, is not TOML, has an unknown key or a wrong value: with the file,
/// the line, the key and what was expected.
pub fn load<T: Config>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, &path.display().to_string()).map_err(anyhow::Error::from)
}

/// Parses and validates `text`; `name` stands for the file in errors.
///
/// # Errors
/// As [`load`].
pub fn parse<T: Config>(text: &str, name: &str) -> Result<T, ConfigError> {
    let config: T = toml::from_str(text)
        .map_err(|error| ConfigError::new(name, text, error.span(), error.message().to_owned()))?;
    config.validate().map_err(|invalid| {
        let message = format!("`{}`: {}", invalid.key, invalid.problem);
        ConfigError::new(name, text, locate(text, &invalid.key), message)
    })?;
    Ok(config)
}

/// Checks that [`Config::DEFAULT_TOML`] says just what [`Default`] does. For each server's tests.
///
/// # Errors
/// When the text does not parse, or parses to something else.
pub fn check_default<T: Config + PartialEq + fmt::Debug>() -> Result<(), String> {
    let parsed: T = parse(T::DEFAULT_TOML, "default").map_err(|error| error.to_string())?;
    let built = T::default();
    if parsed == built { Ok(()) } else { Err(format!("text says {parsed:#?}, code says {built:#?}")) }
}

/// What is wrong with a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    message: String,
    excerpt: String,
}

impl ConfigError {
    fn new(name: &str, text: &str, span: Option<Range<usize>>, message: String) -> Self {
        let Some(span) = span else {
            return Self { place: name.to_owned(), message, excerpt: String::new() };
        };
        let start = if text.is_char_boundary(span.start) { span.start } else { 0 };
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let number = text[..line_start].matches('\n').count() + 1;
        let line = text[line_start..].lines().next().unwrap_or_default();
        let column = text[line_start..start].chars().count();
        let marked = text.get(start..span.end).and_then(|marked| marked.lines().next());
        let shown = marked.map_or(1, |marked| marked.chars().count()).max(1);
        let gutter = number.to_string().len();
        let excerpt = format!("\n {number} | {line}\n {:gutter$} | {:column$}{}", "", "", "^".repeat(shown));
        Self { place: format!("{name}:{number}:{}", column + 1), message, excerpt }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.place, self.message, self.excerpt)
    }
}

impl std::error::Error for ConfigError {}

/// Where the value of `key` stands in `text`; the nearest enclosing table when the key itself is
/// left to its default.
fn locate(text: &str, key: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = Some(root.get_ref());
    for part in key.split('.') {
        let (name, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
            Some((name, index)) => (name, index.parse::<usize>().ok()),
            None => (part, None),
        };
        let Some(mut value) = table.take().and_then(|table| table.get(name)) else { break };
        if let (DeValue::Array(items), Some(index)) = (value.get_ref(), index) {
            let Some(item) = items.get(index) else { break };
            value = item;
        }
        found = Some(value.span());
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        timeout_ms: u32,
        pools: Vec<Pool>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Pool {
        name: String,
        weight: u32,
    }

    impl Config for Sample {
        const DEFAULT_TOML: &'static str = "# How long.\ntimeout_ms = 0\npools = []\n";

        fn validate(&self) -> Result<(), Invalid> {
            match self.pools.iter().position(|pool| pool.weight > 100) {
                Some(at) => Err(Invalid::new(format!("pools[{at}].weight"), "expected 0 to 100")),
                None => Ok(()),
            }
        }
    }

    fn error(text: &str) -> String {
        parse::<Sample>(text, "sample.toml").unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        assert_eq!(
            error("timeout_ms = 1\ntimeout_s = 2\n"),
            "sample.toml:2:1: unknown field `timeout_s`, expected `timeout_ms` or `pools`\n 2 | timeout_s = 2\n   | ^^^^^^^^^"
        );
    }

    #[test]
    fn a_wrong_type_is_refused_with_what_was_expected() {
        let error = error("\ntimeout_ms = \"soon\"");
        assert!(
            error.starts_with("sample.toml:2:14: invalid type: string \"soon\", expected u32"),
            "{error}"
        );
        assert!(error.contains("2 | timeout_ms = \"soon\""), "{error}");
    }

    #[test]
    fn a_wrong_value_is_located_by_its_key() {
        let error = error("[[pools]]\nname = \"a\"\n[[pools]]\nname = \"b\"\nweight = 101\n");
        assert!(error.starts_with("sample.toml:5:10: `pools[1].weight`: expected 0 to 100"), "{error}");
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_its_line() {
        assert!(error("timeout_ms = 1\n[[[\n").starts_with("sample.toml:2:"));
    }

    #[test]
    fn excerpts_survive_wide_characters_and_the_end_of_the_text() {
        assert!(error("# 通道\n通道 = 1").starts_with("sample.toml:2:1:"));
        assert!(error("timeout_ms =").starts_with("sample.toml:1:"));
    }

    #[test]
    fn a_file_is_named_when_it_cannot_be_read() {
        let error = format!("{:#}", load::<Sample>(Path::new("/nonexistent/x.toml")).unwrap_err());
        assert!(error.contains("cannot read /nonexistent/x.toml: No such file"), "{error}");
    }

    #[test]
    fn the_default_text_is_the_default() {
        check_default::<Sample>().unwrap();
    }
}
