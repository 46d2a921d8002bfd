//! What a server's connections go over: TLS settings loaded, given to listeners and dials, reloaded, counted.

use crate::Host;
use crate::config::{Config, Invalid, Origin, parse};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Opts};
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use transport::tls::{Client, LoadError, LoadProblem, OwnCertificate, Server};
pub use transport::tls::{Settings, local_settings};
use transport::{Connector, Listener, SocketOptions};

/// What one wire goes over; where a configuration does not say, TLS when it has a `[tls]`, and TCP else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Plain TCP, whatever `[tls]` says.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// QUIC.
    Quic,
}

/// Checks that a wire over TLS or QUIC has a `[tls]`; `key` is the one that says what the wire goes over.
///
/// # Errors
/// [`Invalid`] when it has not.
pub fn validate(settings: Option<&Settings>, over: Option<Over>, key: &str) -> Result<(), Invalid> {
    match over {
        Some(Over::Tls | Over::Quic) if settings.is_none() => {
            Err(Invalid::new(key, "needs a [tls] with certificate, key and ca"))
        }
        _ => Ok(()),
    }
}

/// [`validate`] for what is listened on over TCP: QUIC has a key of its own where it is spoken at all.
///
/// # Errors
/// [`Invalid`] without a `[tls]` that is needed, and for QUIC.
pub fn validate_listener(settings: Option<&Settings>, over: Option<Over>, key: &str) -> Result<(), Invalid> {
    match over {
        Some(Over::Quic) => Err(Invalid::new(key, "expected \"tls\" or \"tcp\": this port is not for QUIC")),
        _ => validate(settings, over, key),
    }
}

/// [`validate_listener`] for a server that also listens on QUIC, at `listen.quic`.
///
/// # Errors
/// [`Invalid`] without a `[tls]` that is needed, and for QUIC in the wrong place.
pub fn validate_listen(
    settings: Option<&Settings>,
    over: Option<Over>,
    quic: Option<SocketAddr>,
) -> Result<(), Invalid> {
    if over == Some(Over::Quic) {
        let problem = "expected \"tls\" or \"tcp\"; where QUIC is listened on, `listen.quic` says";
        return Err(Invalid::new("listen.transport", problem));
    }
    if quic.is_some() && settings.is_some_and(|settings| settings.suites == transport::tls::Suites::Mixed) {
        let problem = "cannot choose by the client: needs other suites than \"mixed\"";
        return Err(Invalid::new("listen.quic", problem));
    }
    validate(settings, quic.map(|_| Over::Quic), "listen.quic")?;
    validate(settings, over, "listen.transport")
}

/// Checks the numbers of a `[tls]`.
///
/// # Errors
/// [`Invalid`] for the first that makes no sense.
pub fn validate_limits(settings: Option<&Settings>) -> Result<(), Invalid> {
    let limits = settings.map(|tls| {
        [("handshake_timeout_ms", tls.handshake_timeout_ms != 0), ("handshakes_max", tls.handshakes_max != 0)]
    });
    match limits.into_iter().flatten().find(|(_, good)| !good) {
        Some((key, _)) => Err(Invalid::new(format!("tls.{key}"), "expected more than 0")),
        None => Ok(()),
    }
}

/// Loads what the section `section` names, to see whether it can be used, and drops it: for `--check-config`. Of a certificate that
/// has ended, or will soon, it warns on standard error: a server starts with it, and peers refuse it.
///
/// # Errors
/// [`Invalid`] for the key whose file cannot be used.
#[allow(clippy::print_stderr)] // Nothing is logged when a configuration is checked.
pub fn check_files(settings: Option<&Settings>, section: &str, dials: bool) -> Result<(), Invalid> {
    let Some(settings) = settings else { return Ok(()) };
    let failed = |error| unusable(section, error);
    load_server(settings, section)?;
    for certificate in settings.own_certificates().map_err(failed)? {
        if let Some(ending) = ending(&certificate, now_s()) {
            let OwnCertificate { key, path, subject, ends, .. } = certificate;
            let path = transport::absolute(&path);
            let path = path.display();
            eprintln!("warning: {section}.{key}: {path}: the certificate of {subject} {ending} ({ends})");
        }
    }
    if dials { Client::load(settings).map(drop).map_err(failed) } else { Ok(()) }
}

/// Loads what the section `section` names, for a server that listens.
///
/// # Errors
/// [`Invalid`] for the key whose file cannot be used.
pub fn load_server(settings: &Settings, section: &str) -> Result<Arc<Server>, Invalid> {
    Server::load(settings).map_err(|error| unusable(section, error))
}

/// Loads again what [`load_server`] has loaded, for connections to come.
///
/// # Errors
/// As [`load_server`]; what was there stays.
pub fn reload_server(server: &Server, section: &str) -> Result<(), Invalid> {
    server.reload().map_err(|error| unusable(section, error))
}

fn unusable(section: &str, LoadError { key, problem }: LoadError) -> Invalid {
    let key = format!("{section}.{key}");
    match problem {
        LoadProblem::Unreadable { path, error } => Invalid::unreadable(key, &path, &error),
        LoadProblem::File { path, error } => Invalid::in_file(key, &path, error),
        LoadProblem::Empty { path, what } => Invalid::in_file(key, &path, format!("no {what} in it")),
        problem => Invalid::new(key, problem.to_string()),
    }
}

const S_PER_DAY: u64 = 86_400;
/// From so many days before its end on a certificate is warned of, as the alert does (deploy/prometheus).
const WARNED_DAYS: u64 = 14;

fn now_s() -> u64 {
    let clock = transport::Clock::start();
    clock.wall_ns(clock.now_ns()).max(0).cast_unsigned() / 1_000_000_000
}

/// What is to be said of an own certificate at a time, in seconds since 1970: that it has ended, or will soon. One that is made for a few
/// days is warned of in the last third of them.
fn ending(certificate: &OwnCertificate, now_s: u64) -> Option<String> {
    let OwnCertificate { begins_s, ends_s, .. } = *certificate;
    let warned_s = (WARNED_DAYS * S_PER_DAY).min(ends_s.saturating_sub(begins_s) / 3);
    match now_s.checked_sub(ends_s) {
        Some(ago_s) if ago_s > 0 => Some(format!("ended {} days ago: peers refuse it", ago_s / S_PER_DAY)),
        _ if ends_s - now_s <= warned_s => {
            Some(format!("ends in {} days: peers will refuse it", (ends_s - now_s) / S_PER_DAY))
        }
        _ => None,
    }
}

/// Says in the log what is to be said of the own certificates.
fn warn_of_end(settings: &Settings) -> Result<(), LoadError> {
    for certificate in settings.own_certificates()? {
        if let Some(ending) = ending(&certificate, now_s()) {
            let OwnCertificate { key, path, subject, ends, .. } = certificate;
            tracing::warn!(file = %path.display(), subject, ends, "tls.{key}: the certificate {ending}");
        }
    }
    Ok(())
}

/// Checks that the `[tls]` which stands as a comment in [`Config::DEFAULT_TOML`] has every key, each with its default, and
/// parses; and so do these other `keys` that stand there as comments. Returns what it parses to. For each server's tests.
///
/// # Errors
/// What is missing or wrong.
pub fn check_default<T: Config>(keys: &[&str], tls: impl Fn(&T) -> Option<&Settings>) -> Result<T, String> {
    let path = |name: &str| Some(PathBuf::from(name));
    let whole = Settings {
        certificate: path("certificate"),
        key: path("key"),
        ca: path("ca"),
        international_certificate: path("international_certificate"),
        international_key: path("international_key"),
        ..Settings::default()
    };
    let table = toml::Table::try_from(&whole).map_err(|error| error.to_string())?;
    let mut lines: Vec<&str> = table.keys().map(String::as_str).collect();
    lines.extend_from_slice(keys);
    let parsed: T = parse(&uncommented(T::DEFAULT_TOML, "[tls]", &lines)?, "default")
        .map_err(|error| error.to_string())?;
    let said = tls(&parsed).ok_or("no [tls]")?;
    let Settings { certificate, key, ca, international_certificate, international_key, .. } = said.clone();
    let expected = Settings {
        certificate,
        key,
        ca,
        international_certificate,
        international_key,
        ..Settings::default()
    };
    if *said == expected { Ok(parsed) } else { Err(format!("text says {said:#?}, code says {expected:#?}")) }
}

/// The text with its comments `# KEY = value` of these keys, and `# section`, made to count.
fn uncommented(text: &str, section: &str, keys: &[&str]) -> Result<String, String> {
    let of = |line: &str, key: &str| {
        line.strip_prefix("# ")
            .and_then(|line| line.strip_prefix(key))
            .is_some_and(|rest| rest.starts_with(" = "))
    };
    if let Some(key) = keys.iter().find(|key| !text.lines().any(|line| of(line, key))) {
        return Err(format!("no line `# {key} = …`"));
    }
    let counts =
        |line: &str| line.strip_prefix("# ") == Some(section) || keys.iter().any(|key| of(line, key));
    Ok(text.lines().map(|line| if counts(line) { &line[2..] } else { line }.to_owned() + "\n").collect())
}

/// A server's TLS. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    server: Option<Arc<Server>>,
    client: Option<Arc<Client>>,
    settings: Option<Settings>,
    origin: Origin,
}

impl Tls {
    /// Loads what `[tls]` names, for a server that listens and, if `dials`, connects to others; registers its metrics.
    /// Without settings all wires are plain.
    ///
    /// # Errors
    /// [`Invalid`] for the key whose file cannot be used.
    ///
    /// # Panics
    /// If a host is used for two servers.
    pub fn load(settings: Option<&Settings>, dials: bool, host: &Host) -> Result<Self, Invalid> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let failed = |error| unusable("tls", error);
        let server = load_server(settings, "tls")?;
        warn_of_end(settings).map_err(failed)?;
        let client = if dials { Some(Client::load(settings).map_err(failed)?) } else { None };
        let collector = Handshakes::new(server.clone());
        host.registry.register(Box::new(collector)).expect("invariant: one server a host");
        let (settings, origin) = (Some(settings.clone()), host.origin.clone());
        Ok(Self { server: Some(server), client, settings, origin })
    }

    /// A listener over TCP, with TLS or without it.
    ///
    /// # Panics
    /// When TLS is asked for without a `[tls]`: see [`validate`].
    pub fn listener(&self, bound: Listener, over: Option<Over>) -> Listener {
        let wanted = matches!(over, Some(Over::Tls | Over::Quic));
        assert!(!wanted || self.server.is_some(), "invariant: validated, see service::tls::validate");
        bound.with_tls(self.server.clone().filter(|_| over != Some(Over::Tcp)))
    }

    /// A listener for QUIC.
    ///
    /// # Errors
    /// What the system says; also without a `[tls]`.
    pub fn quic(&self, address: SocketAddr) -> io::Result<Listener> {
        let server = self.server.clone().ok_or_else(|| io::Error::other("QUIC needs a [tls]"))?;
        Listener::bind_quic(address, server)
    }

    /// How connections are made.
    ///
    /// # Panics
    /// When TLS or QUIC is asked for without a `[tls]`: see [`validate`].
    pub fn connector(&self, options: SocketOptions, over: Option<Over>) -> Connector {
        let client = || self.client.clone().expect("invariant: validated, see service::tls::validate");
        match over {
            Some(Over::Tcp) => Connector::tcp(options),
            Some(Over::Quic) => Connector::quic(client()),
            Some(Over::Tls) => Connector::tls(options, client()),
            None if self.client.is_some() => Connector::tls(options, client()),
            None => Connector::tcp(options),
        }
    }

    /// Loads the files again, for connections to come. What cannot be loaded is logged, and what was there stays.
    pub fn reload(&self) {
        let sides = [
            ("accepting", self.server.as_ref().map(|server| server.reload())),
            ("dialling", self.client.as_ref().map(|client| client.reload())),
        ];
        for (side, outcome) in sides {
            match outcome {
                Some(Ok(())) => tracing::info!(side, "certificates loaded again"),
                Some(Err(error)) => {
                    let error = self.origin.placed(&unusable("tls", error));
                    tracing::error!(side, %error, "certificates not loaded again; the old ones stay");
                }
                None => {}
            }
        }
        if let Some(Err(error)) = self.settings.as_ref().map(warn_of_end) {
            tracing::debug!(%error, "what was loaded before stays");
        }
    }
}

/// The handshakes' counts as metrics, and the end of the certificate.
struct Handshakes {
    server: Arc<Server>,
    total: IntCounterVec,
    under_way: IntGauge,
    not_after: IntGauge,
}

impl Handshakes {
    fn new(server: Arc<Server>) -> Self {
        let under_way = IntGauge::new("tls_handshakes_under_way", "TLS and QUIC handshakes under way now.");
        let help =
            "When the certificate that is shown to peers ends, seconds since 1970; of two, the first to end.";
        let not_after = IntGauge::new("tls_certificate_not_after_seconds", help);
        Self {
            server,
            total: Self::total(),
            under_way: under_way.expect("invariant: a good name"),
            not_after: not_after.expect("invariant: a good name"),
        }
    }
}

impl Handshakes {
    fn total() -> IntCounterVec {
        let help = "TLS and QUIC handshakes by their outcome. Resumed ones are established too; retried ones were sent \
                    back to prove their address (QUIC); untracked ones came from too many addresses for bounds by address.";
        let total = IntCounterVec::new(Opts::new("tls_handshakes_total", help), &["outcome"]);
        total.expect("invariant: a good name")
    }
}

impl Collector for Handshakes {
    fn desc(&self) -> Vec<&Desc> {
        [self.total.desc(), self.under_way.desc(), self.not_after.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counts = self.server.counts();
        // A new one each time: two scrapes at once would else add the same growth twice.
        let total = Self::total();
        let outcomes = [
            ("established", &counts.established),
            ("resumed", &counts.resumed),
            ("failed", &counts.failed),
            ("left", &counts.left),
            ("timed_out", &counts.timed_out),
            ("refused", &counts.refused),
            ("refused_peer", &counts.refused_peer),
            ("refused_rate", &counts.refused_rate),
            ("retried", &counts.retried),
            ("untracked", &counts.untracked),
            ("accept_error", &counts.accept_errors),
        ];
        for (outcome, count) in outcomes {
            total.with_label_values(&[outcome]).inc_by(count.load(Ordering::Relaxed));
        }
        self.under_way.set(counts.under_way() as i64);
        self.not_after.set(i64::try_from(self.server.certificate_ends_s()).unwrap_or(i64::MAX));
        [total.collect(), self.under_way.collect(), self.not_after.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_its_key_and_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let good = local_settings(folder.path(), true).unwrap();
        let absent = folder.path().join("absent");
        let error = |settings: &Settings| check_files(Some(settings), "web.tls", true).unwrap_err();
        let no_key = error(&Settings { key: Some(absent.clone()), ..good.clone() });
        assert_eq!(no_key.key, "web.tls.key");
        assert_eq!(
            no_key.problem,
            format!("cannot read {}: No such file or directory (os error 2)", absent.display())
        );
        let no_ca = Settings { ca: Some(absent), ..good.clone() };
        assert_eq!(Tls::load(Some(&no_ca), true, &Host::default()).unwrap_err().key, "tls.ca");
        let mixed_up = error(&Settings { certificate: good.key.clone(), ..good.clone() });
        let said = format!("{}: no certificate (PEM) in it", good.key.as_ref().unwrap().display());
        assert_eq!((mixed_up.key.as_str(), mixed_up.problem), ("web.tls.certificate", said));
    }

    /// The same file by a path that begins in the folder that the program was started in.
    fn relative(path: &Path) -> PathBuf {
        let above = std::env::current_dir().unwrap().components().count() - 1;
        PathBuf::from("../".repeat(above)).join(path.strip_prefix("/").unwrap())
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_with_its_whole_path() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let good = local_settings(folder.path(), true).unwrap();
        let other = local_settings(elsewhere.path(), true).unwrap();
        let certificate = relative(good.certificate.as_ref().unwrap());
        let error = |key: &Path| {
            let (certificate, key) = (Some(certificate.clone()), Some(key.to_owned()));
            let settings = Settings { certificate, key, ..good.clone() };
            check_files(Some(&settings), "tls", false).unwrap_err().problem
        };
        let key = relative(other.key.as_ref().unwrap());
        let [shown, of] = [&key, &certificate].map(|path| transport::absolute(path).display().to_string());
        assert_eq!(error(&key), format!("{shown} is not the key of the certificate in {of}"));
        let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        std::fs::write(&key, pem).unwrap();
        let said = error(&key);
        assert!(said.starts_with(&format!("{shown}: the private key in it is encrypted")), "{said}");
        assert!(said.contains(&format!("(openssl pkey -in {shown} -out FILE)")), "{said}");
    }

    #[test]
    fn what_cannot_be_loaded_again_is_logged_with_file_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let good = local_settings(folder.path(), true).unwrap();
        let (config, key) = (folder.path().join("server.toml"), good.key.clone().unwrap());
        std::fs::write(&config, "# A server.\n[tls]\nkey = \"local.key\"\n").unwrap();
        let host = Host { origin: Origin::file(&config), ..Host::default() };
        let tls = Tls::load(Some(&good), true, &host).unwrap();
        std::fs::remove_file(&key).unwrap();
        let said = crate::logged::by(|| tls.reload());
        for side in ["accepting", "dialling"] {
            let line =
                said.lines().find(|line| line.contains(side)).unwrap_or_else(|| panic!("{side}: {said}"));
            let wanted = format!("{}:3:7: `tls.key`: cannot read {}", config.display(), key.display());
            assert!(line.contains("ERROR") && line.contains(&wanted), "{line}");
        }
    }

    #[test]
    fn of_a_certificate_that_has_ended_or_will_soon_it_is_warned() {
        let folder = tempfile::tempdir().unwrap();
        let settings = local_settings(folder.path(), false).unwrap();
        let [certificate] = &settings.own_certificates().unwrap()[..] else { panic!("one") };
        assert_eq!((certificate.key, certificate.subject.as_str()), ("certificate", "CN=localhost"));
        assert_eq!(settings.certificate_ends_s().unwrap(), Some(certificate.ends_s));
        let at = |now_s| ending(certificate, now_s);
        assert_eq!(at(certificate.begins_s), None, "its first day is its last one: that is no reason");
        assert_eq!(at(certificate.ends_s).unwrap(), "ends in 0 days: peers will refuse it");
        let ended = at(certificate.ends_s + 3 * S_PER_DAY).unwrap();
        assert_eq!(ended, "ended 3 days ago: peers refuse it");
        let long = OwnCertificate { begins_s: certificate.ends_s - 90 * S_PER_DAY, ..certificate.clone() };
        assert_eq!(ending(&long, long.ends_s - 15 * S_PER_DAY), None);
        assert!(ending(&long, long.ends_s - 13 * S_PER_DAY).unwrap().contains("ends in 13 days"));
        assert!(long.ends.ends_with(" UTC") && long.ends.len() == "2026-01-02 03:04:05 UTC".len());
    }
}
