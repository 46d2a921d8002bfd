//! Configuration files: TOML, unknown keys refused, every error with its place in the file.
//!
//! Servers mark each struct `#[serde(default, deny_unknown_fields)]`, put units into key names
//! (`timeout_ms`), and give a commented file with all defaults as [`Config::DEFAULT_TOML`], which is
//! what `--print-config` prints. [`check_default`] keeps the two from drifting apart.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

mod place;

/// The configuration of a server.
pub trait Config: DeserializeOwned + Default {
    /// All defaults, with a comment for each key, in TOML.
    const DEFAULT_TOML: &'static str;

    /// Checks what types cannot: ranges that span keys, references between sections.
    ///
    /// # Errors
    /// The first key that is wrong, and why.
    fn validate(&self) -> Result<(), Invalid>;

    /// Checks the files that it names, for `--check-config`.
    ///
    /// # Errors
    /// The first that cannot be used, and why.
    fn check_files(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Its `[admin]`, where it has one, for `--ready`.
    fn admin(&self) -> Option<&crate::admin::Config> {
        None
    }
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
    let config: T = toml::from_str(text).map_err(|error| {
        let message = place::explain(text, error.span(), error.message());
        ConfigError::new(name, text, error.span(), message)
    })?;
    config.validate().map_err(|invalid| {
        let message = format!("`{}`: {}", invalid.key, invalid.problem);
        ConfigError::new(name, text, place::locate(text, &invalid.key), message)
    })?;
    Ok(config)
}

/// Checks that no two of these have one address: each with the key of its address and its name. Port 0, which takes a
/// free port, is in nobody's way.
///
/// # Errors
/// The second of two with the same address; both are named.
pub fn addresses_differ<'a>(
    all: impl IntoIterator<Item = (String, &'a str, SocketAddr)>,
) -> Result<(), Invalid> {
    let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
    for (key, name, address) in all {
        if let Some((first, _)) = seen.iter().find(|(_, taken)| *taken == address && address.port() != 0) {
            let problem = format!("\"{first}\" and \"{name}\" have the same address {address}");
            return Err(Invalid::new(key, problem));
        }
        seen.push((name, address));
    }
    Ok(())
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
    fn new(name: &str, text: &str, span: Option<std::ops::Range<usize>>, message: String) -> Self {
        match span {
            Some(span) => {
                let (line, column, excerpt) = place::excerpt(text, &span);
                Self { place: format!("{name}:{line}:{column}"), message, excerpt }
            }
            None => Self { place: name.to_owned(), message, excerpt: String::new() },
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.place, self.message, self.excerpt)
    }
}

impl std::error::Error for ConfigError {}

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
    fn two_at_one_address_are_both_named() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let check = |ports: [u16; 3]| {
            let names = ["a", "b", "c"].into_iter().zip(ports);
            addresses_differ(names.map(|(name, port)| (format!("{name}.listen"), name, at(port))))
        };
        assert_eq!(check([1, 2, 3]), Ok(()));
        assert_eq!(check([0, 1, 0]), Ok(()));
        let problem = "\"a\" and \"c\" have the same address 127.0.0.1:1";
        assert_eq!(check([1, 2, 1]), Err(Invalid::new("c.listen", problem)));
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
