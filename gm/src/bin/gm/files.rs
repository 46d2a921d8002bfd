//! Reading and writing PEM files.

use crate::output::tell_line;
use anyhow::{Context, bail};
use gm::pbes2::Encryption;
use gm::sm2::{KeyDecodeError, SecretKey};
use gm::x509::{Certificate, decode_pem, encode_pem};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Label and contents of a section.
pub(crate) type Section = (String, Zeroizing<Vec<u8>>);

/// The sections of a PEM file; a file in DER is one section without label.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Section>> {
    let bytes = Zeroizing::new(std::fs::read(path).with_context(|| format!("reading {}", path.display()))?);
    if let Ok(text) = std::str::from_utf8(&bytes) {
        let sections = decode_pem(text);
        if !sections.is_empty() {
            return Ok(sections);
        }
    }
    Ok(vec![(String::new(), bytes)])
}

/// The first certificate or request of a file.
pub(crate) fn read_first(path: &Path, label: &str) -> anyhow::Result<Vec<u8>> {
    let found = read(path)?.into_iter().find(|(found, _)| found == label || found.is_empty());
    let (_, der) = found.with_context(|| format!("{} holds no {label}", path.display()))?;
    Ok(der.to_vec())
}

/// All certificates of a file, at least one.
pub(crate) fn read_certificates(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let found = read(path)?.into_iter().filter(|(label, _)| label == "CERTIFICATE" || label.is_empty());
    let certificates: Vec<_> = found.map(|(_, der)| der.to_vec()).collect();
    if certificates.is_empty() {
        bail!("{} holds no CERTIFICATE", path.display());
    }
    for der in &certificates {
        Certificate::from_der(der).with_context(|| format!("reading {}", path.display()))?;
    }
    Ok(certificates)
}

/// The first SM2 key of a file.
pub(crate) fn read_key(path: &Path, password: Option<&str>) -> anyhow::Result<SecretKey> {
    for section in read(path)? {
        if let Some(key) = key(&section, password).transpose() {
            return key.with_context(|| format!("reading the key in {}", path.display()));
        }
    }
    bail!("{} holds no private key", path.display())
}

/// The key in a section; nothing if it holds something else. DER without a label is a key, plain or encrypted.
pub(crate) fn key((label, der): &Section, password: Option<&str>) -> anyhow::Result<Option<SecretKey>> {
    let opened = || {
        let password = password.context("it is encrypted: give --password-file or --password-env")?;
        Ok(SecretKey::from_encrypted_pkcs8_der(der, password.as_bytes())?)
    };
    match label.as_str() {
        "PRIVATE KEY" => Ok(Some(SecretKey::from_pkcs8_der(der)?)),
        "EC PRIVATE KEY" => Ok(Some(SecretKey::from_sec1_der(der)?)),
        "ENCRYPTED PRIVATE KEY" => opened().map(Some),
        "" => match SecretKey::from_pkcs8_der(der) {
            Err(KeyDecodeError::Malformed) if password.is_some() => opened().map(Some),
            key => Ok(Some(key?)),
        },
        _ => Ok(None),
    }
}

/// Writes a key that only its owner may read, encrypted if there is a password. Never over another file.
pub(crate) fn write_key(path: &Path, key: &SecretKey, password: Option<&str>) -> anyhow::Result<()> {
    let text = match password {
        None => encode_pem("PRIVATE KEY", &key.to_pkcs8_der()),
        Some(password) => {
            let sealed = key.to_encrypted_pkcs8_der(password.as_bytes(), Encryption::default())?;
            encode_pem("ENCRYPTED PRIVATE KEY", &sealed)
        }
    };
    write(path, &text, 0o600)
}

/// Writes a section that all may read. Never over another file.
pub(crate) fn write_public(path: &Path, label: &str, der: &[u8]) -> anyhow::Result<()> {
    write(path, &encode_pem(label, der), 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("creating {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    tell_line(&path.display().to_string())
}

/// `prefix` with an extension behind it, whatever dots it has.
pub(crate) fn with_extension(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
