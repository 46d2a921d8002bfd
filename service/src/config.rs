//! Configuration files: TOML, unknown keys refused, every error with its place in the file.
//!
//! What is found to be wrong only after parsing is an [`Invalid`], which has the key; where that stands is looked up once, when
//! it is told: here for values, in [`crate::cli::ServiceArgs::placed`] for files that cannot be used and addresses that
//! cannot be listened on, in [`Origin::placed`] for what the log of a server that runs has of them.
//!
//! Servers mark each struct `#[serde(default, deny_unknown_fields)]`, put units into key names
//! (`timeout_ms`), and give a commented file with all defaults as [`Config::DEFAULT_TOML`], which is
//! what `--print-config` prints. [`check_default`] keeps the two from drifting apart.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
    /// The key of the first that cannot be used, and why.
    fn check_files(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// Its `[admin]`, where it has one, for `--ready`.
    fn admin(&self) -> Option<&crate::admin::Config> {
        None
    }
}

/// A value that parses but makes no sense, or names what cannot be used: a file, an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct Invalid {
    /// Where, as a path such as `listeners[0].pool`.
    pub key: String,
    /// What was expected, or why it cannot be used.
    pub problem: String,
}

/// The folder in which a script of the name [`MAKER`], that stands beside the folder, makes what is in it.
const MADE: &str = "certs";
/// See [`MADE`].
const MAKER: &str = "certificates";

impl Invalid {
    /// An error at `key`, which says what was expected.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }

    /// A file that `key` names and that cannot be read.
    pub fn unreadable(key: impl Into<String>, path: &Path, error: &io::Error) -> Self {
        let hint = if error.kind() == io::ErrorKind::NotFound { missing(path) } else { String::new() };
        let shown = transport::absolute(path);
        Self::new(key, format!("cannot read {}: {error}{hint}", shown.display()))
    }

    /// A file that `key` names, and what is wrong with what it holds.
    pub fn in_file(key: impl Into<String>, path: &Path, problem: impl fmt::Display) -> Self {
        Self::new(key, format!("{}: {problem}", transport::absolute(path).display()))
    }

    /// An address that cannot be listened on; the error names it.
    pub fn listen(key: impl Into<String>, error: &io::Error) -> Self {
        let hint = if error.kind() == io::ErrorKind::AddrInUse { "; is another one running?" } else { "" };
        Self::new(key, format!("{error}{hint}"))
    }
}

/// What may be done about a file that is not there.
fn missing(path: &Path) -> String {
    let shown = transport::absolute(path);
    let folder = shown.parent().filter(|folder| folder.file_name().is_some_and(|name| name == MADE));
    let maker = folder.and_then(Path::parent).map(|above| above.join(MAKER));
    match maker.filter(|maker| maker.is_file()) {
        Some(maker) => format!("; {} makes it", maker.display()),
        None if path.is_relative() => {
            "; a relative path begins in the folder that the program was started in".to_owned()
        }
        None => String::new(),
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

/// Reads the text of a file that `key` of a configuration names.
///
/// # Errors
/// When it cannot be read.
pub fn read(key: &str, path: &Path) -> Result<String, Invalid> {
    std::fs::read_to_string(path).map_err(|error| Invalid::unreadable(key, path, &error))
}

/// [`load`] for a file that `key` of another configuration names.
///
/// # Errors
/// As [`load`], at that key.
pub fn load_named<T: Config>(key: &str, path: &Path) -> Result<T, Invalid> {
    let name = transport::absolute(path).display().to_string();
    parse(&read(key, path)?, &name).map_err(|error| Invalid::new(key, error.to_string()))
}

/// Parses and validates `text`; `name` stands for the file in errors.
///
/// # Errors
/// As [`load`].
pub fn parse<T: Config>(text: &str, name: &str) -> Result<T, ConfigError> {
    let config: T = toml::from_str(text).map_err(|error| {
        let message = names::<T>(text, &error);
        let message = message.unwrap_or_else(|| place::explain(text, error.span(), error.message()));
        ConfigError::new(name, text, error.span(), message)
    })?;
    config.validate().map_err(|invalid| ConfigError::at(name, text, &invalid))?;
    Ok(config)
}

/// What is said where a name was wanted and something else stands: as of an unknown name, with those that there are. The
/// parser does not say which; put in quotation marks, it does.
fn names<T: DeserializeOwned>(text: &str, error: &toml::de::Error) -> Option<String> {
    let span = error.span().filter(|_| error.message() == "wanted string or table")?;
    let value = text.get(span.clone()).filter(|value| !value.contains(['"', '\\', '\n']))?;
    let quoted = format!("{}\"{value}\"{}", &text[..span.start], &text[span.end..]);
    let error = toml::from_str::<T>(&quoted).err()?;
    error.message().starts_with("unknown variant ").then(|| error.message().to_owned())
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

/// Checks that of a configuration which names a file that is not there the key and the path are told. For each server's tests.
///
/// # Errors
/// What is told in place of that.
pub fn check_missing<T: Config>(text: &str, key: &str, path: &Path) -> Result<(), String> {
    let config: T = parse(text, "text").map_err(|error| error.to_string())?;
    let problem = format!("cannot read {}: No such file", path.display());
    match config.check_files() {
        Err(invalid) if invalid.key == key && invalid.problem.starts_with(&problem) => Ok(()),
        Err(invalid) => Err(invalid.to_string()),
        Ok(()) => Err(format!("`{key}` is not looked at")),
    }
}

/// The file that a configuration is from, if it is from one: what turns out to be wrong while the server runs is told with its
/// place in that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin(Option<PathBuf>);

impl Origin {
    /// This file.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self(Some(path.to_owned()))
    }

    /// An error with file and line, as the file is now, for a log; without a file, as it is.
    #[must_use]
    pub fn placed(&self, invalid: &Invalid) -> String {
        let Some(path) = &self.0 else { return invalid.to_string() };
        // What cannot be read again has no lines.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        ConfigError::at(&path.display().to_string(), &text, invalid).in_short()
    }
}

/// What is wrong with a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    message: String,
    excerpt: String,
}

impl ConfigError {
    /// What is wrong at a key of `text`; `name` stands for the file.
    #[must_use]
    pub fn at(name: &str, text: &str, invalid: &Invalid) -> Self {
        Self::new(name, text, place::locate(text, &invalid.key), invalid.to_string())
    }

    /// Without the line itself: for a log.
    #[must_use]
    pub fn in_short(&self) -> String {
        format!("{}: {}", self.place, self.message)
    }

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
    fn a_file_that_is_not_there_is_named_from_the_root_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| read("tls.ca", path).unwrap_err().to_string();
        let absent = folder.path().join("certs/ca.crt");
        let said =
            format!("`tls.ca`: cannot read {}: No such file or directory (os error 2)", absent.display());
        assert_eq!(error(&absent), said);
        let maker = folder.path().join("certificates");
        std::fs::write(&maker, "").unwrap();
        assert_eq!(error(&absent), format!("{said}; {} makes it", maker.display()));
        let elsewhere = folder.path().join("other/ca.crt");
        assert!(error(&elsewhere).ends_with("(os error 2)"), "{}", error(&elsewhere));
        let relative = error(Path::new("absent/ca.crt"));
        let here = std::env::current_dir().unwrap().join("absent/ca.crt");
        assert!(relative.contains(&format!("cannot read {}: ", here.display())), "{relative}");
        assert!(relative.ends_with("begins in the folder that the program was started in"), "{relative}");
    }

    #[test]
    fn of_a_file_that_a_key_names_both_places_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pools.toml");
        std::fs::write(&path, "timeout_ms = 1\ntimeout_s = 2\n").unwrap();
        let invalid = load_named::<Sample>("pools", &path).unwrap_err();
        let said = ConfigError::at("sample.toml", "pools = \"pools.toml\"\n", &invalid).to_string();
        let start = format!("sample.toml:1:9: `pools`: {}:2:1: unknown field `timeout_s`", path.display());
        assert!(said.starts_with(&start), "{said}");
        assert!(said.ends_with("\n 1 | pools = \"pools.toml\"\n   |         ^^^^^^^^^^^^"), "{said}");
    }

    #[test]
    fn the_default_text_is_the_default() {
        check_default::<Sample>().unwrap();
    }
}
