//! `gm ca`, `gm cert`, `gm csr`.

use crate::files::{read_first, read_key, with_extension, write_key, write_public};
use crate::password::{Passwords, Protection};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use gm::sm2::SecretKey;
use gm::x509::{AltName, Authority, Certificate, Leaf, Period, Request, Subject, Usage, Validity};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Args)]
struct Whom {
    /// Common name.
    #[arg(long)]
    name: String,
    /// Organisation.
    #[arg(long, default_value = "")]
    organization: String,
    /// Country, two letters.
    #[arg(long, default_value = "CN")]
    country: String,
}

impl Whom {
    fn subject(self) -> Subject {
        Subject { country: self.country, organization: self.organization, common_name: self.name }
    }
}

#[derive(Args)]
struct Names {
    /// A host name the certificate is for; may be given again.
    #[arg(long)]
    dns: Vec<String>,
    /// An address the certificate is for; may be given again.
    #[arg(long)]
    ip: Vec<IpAddr>,
}

impl Names {
    fn all(self) -> Vec<AltName> {
        self.dns.into_iter().map(AltName::Dns).chain(self.ip.into_iter().map(AltName::Ip)).collect()
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum For {
    Server,
    Client,
    Both,
}

impl From<For> for Usage {
    fn from(usage: For) -> Self {
        match usage {
            For::Server => Self::Server,
            For::Client => Self::Client,
            For::Both => Self::ServerAndClient,
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> anyhow::Result<u64> {
    #[allow(clippy::disallowed_methods, reason = "a command line tool asks for the date once")]
    let now = SystemTime::now();
    Ok(now.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
}

/// From an hour ago (clocks differ) for so many days.
fn validity(days: u64) -> anyhow::Result<Validity> {
    let now_s = now_s()?;
    Ok(Validity { not_before_s: now_s.saturating_sub(3600), not_after_s: now_s + days * 86_400 })
}

/// The key in `given`, or a new one, written beside `out`.
fn own_key(given: Option<&Path>, out: &Path, passwords: &Passwords) -> anyhow::Result<SecretKey> {
    if let Some(path) = given {
        return read_key(path, passwords.to_read());
    }
    let key = SecretKey::generate()?;
    write_key(&with_extension(out, "key"), &key, passwords.to_write())?;
    Ok(key)
}

#[derive(Args)]
pub(crate) struct Ca {
    #[command(flatten)]
    whom: Whom,
    /// Days it is valid.
    #[arg(long, default_value_t = 3650)]
    days: u64,
    /// Where to write: PREFIX.crt and PREFIX.key.
    #[arg(long, default_value = "ca", value_name = "PREFIX")]
    out: PathBuf,
    #[command(flatten)]
    protection: Protection,
}

impl Ca {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let passwords = self.protection.passwords()?;
        let key = SecretKey::generate()?;
        let authority = Authority::root(&self.whom.subject(), key.clone(), validity(self.days)?)?;
        write_key(&with_extension(&self.out, "key"), &key, passwords.to_write())?;
        write_public(&with_extension(&self.out, "crt"), "CERTIFICATE", authority.certificate())
    }
}

/// The authority in PREFIX.crt and PREFIX.key. One that has expired is refused: no peer takes what it signs.
fn authority(prefix: &Path, passwords: &Passwords) -> anyhow::Result<Authority> {
    let key = read_key(&with_extension(prefix, "key"), passwords.to_read())?;
    let path = with_extension(prefix, "crt");
    let certificate = read_first(&path, "CERTIFICATE")?;
    let of_file = || format!("taking {} as an authority", path.display());
    if Certificate::from_der(&certificate).with_context(of_file)?.period(now_s()?) == Some(Period::After) {
        return Err(anyhow!("it has expired")).with_context(of_file);
    }
    Authority::new(certificate, key).with_context(of_file)
}

#[derive(Args)]
pub(crate) struct Cert {
    /// The authority: PREFIX.crt and PREFIX.key.
    #[arg(long, default_value = "ca", value_name = "PREFIX")]
    ca: PathBuf,
    /// Serve this request instead of making a key.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "organization", "country", "dns", "ip"])]
    csr: Option<PathBuf>,
    /// Common name.
    #[arg(long, required_unless_present = "csr", default_value = "")]
    name: String,
    /// Organisation.
    #[arg(long, default_value = "")]
    organization: String,
    /// Country, two letters.
    #[arg(long, default_value = "CN")]
    country: String,
    #[command(flatten)]
    names: Names,
    /// What the certificate is for.
    #[arg(long = "for", value_enum, default_value_t = For::Server)]
    usage: For,
    /// Days it is valid.
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Use this key, which may be encrypted, instead of making one.
    #[arg(long, value_name = "FILE", conflicts_with = "csr")]
    key: Option<PathBuf>,
    /// Where to write: PREFIX.crt and, if it was made, PREFIX.key.
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
    #[command(flatten)]
    protection: Protection,
}

impl Cert {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let passwords = self.protection.passwords()?;
        let authority = authority(&self.ca, &passwords)?;
        let (usage, validity) = (self.usage.into(), validity(self.days)?);
        let der = if let Some(path) = &self.csr {
            let request = Request::from_der(&read_first(path, "CERTIFICATE REQUEST")?)
                .with_context(|| format!("reading {}", path.display()))?;
            authority.issue_request(&request, usage, validity)?
        } else {
            let key = own_key(self.key.as_deref(), &self.out, &passwords)?;
            let whom = Whom { name: self.name, organization: self.organization, country: self.country };
            authority.issue(&Leaf {
                subject: &whom.subject(),
                alt_names: &self.names.all(),
                usage,
                public_key: key.public_key(),
                validity,
            })?
        };
        write_public(&with_extension(&self.out, "crt"), "CERTIFICATE", &der)
    }
}

#[derive(Args)]
pub(crate) struct Csr {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    names: Names,
    /// Use this key, which may be encrypted, instead of making one.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where to write: PREFIX.csr and, if it was made, PREFIX.key.
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
    #[command(flatten)]
    protection: Protection,
}

impl Csr {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let key = own_key(self.key.as_deref(), &self.out, &self.protection.passwords()?)?;
        let der = Request::make(&self.whom.subject(), &self.names.all(), &key)?;
        write_public(&with_extension(&self.out, "csr"), "CERTIFICATE REQUEST", &der)
    }
}
