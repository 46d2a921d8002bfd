//! Certificates for one machine, for a day: what demonstrations and tests need.

use super::{ClientAuth, Settings};
use crate::Clock;
use gm::sm2::SecretKey;
use gm::x509::{AltName, Authority, Leaf, Subject, Usage, Validity, encode_pem};
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const VALID_S: u64 = 24 * 60 * 60;
/// Clocks of one machine agree; those of two containers may be a little apart.
const BEFORE_S: u64 = 5 * 60;

/// Makes an SM2 authority and one certificate by it for `localhost` and the loopback addresses, good for servers and
/// clients, and writes `ca.crt`, `local.crt` and `local.key` into a folder. Returns settings that use them, for either
/// side; with `mutual`, servers want to see a certificate too. The authority's key is not kept.
///
/// # Errors
/// What the system says: the folder cannot be written, or there are no random bytes.
pub fn local_settings(folder: &Path, mutual: bool) -> io::Result<Settings> {
    let clock = Clock::start();
    let now_s = clock.wall_ns(clock.now_ns()).unsigned_abs() / 1_000_000_000;
    let validity = Validity { not_before_s: now_s.saturating_sub(BEFORE_S), not_after_s: now_s + VALID_S };
    let named = |common_name: &str| Subject { common_name: common_name.into(), ..Subject::default() };
    let new_key = || SecretKey::generate().map_err(io::Error::other);
    let authority = Authority::root(&named("Local authority, for a day"), new_key()?, validity)
        .map_err(io::Error::other)?;
    let key = new_key()?;
    let leaf = Leaf {
        subject: &named("localhost"),
        alt_names: &[
            AltName::Dns("localhost".into()),
            AltName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            AltName::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ],
        usage: Usage::ServerAndClient,
        public_key: key.public_key(),
        validity,
    };
    let certificate = authority.issue(&leaf).map_err(io::Error::other)?;
    let file = |name: &str| folder.join(name);
    fs::create_dir_all(folder)?;
    fs::write(file("ca.crt"), encode_pem("CERTIFICATE", authority.certificate()).as_bytes())?;
    fs::write(file("local.crt"), encode_pem("CERTIFICATE", &certificate).as_bytes())?;
    if let Err(error) = fs::remove_file(file("local.key"))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut secret = fs::OpenOptions::new();
    secret.write(true).create_new(true).mode(0o600);
    secret.open(file("local.key"))?.write_all(encode_pem("PRIVATE KEY", &key.to_pkcs8_der()).as_bytes())?;
    Ok(Settings {
        certificate: Some(file("local.crt")),
        key: Some(file("local.key")),
        ca: Some(file("ca.crt")),
        client_auth: if mutual { ClientAuth::Required } else { ClientAuth::None },
        ..Settings::default()
    })
}
