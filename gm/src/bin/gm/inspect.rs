//! `gm inspect`.

use crate::files::{Section, read};
use anyhow::{Context, bail};
use clap::Args;
use gm::sm2::SecretKey;
use gm::x509::{Request, describe};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Inspect {
    /// Files in PEM or DER.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        for path in &self.files {
            for section in read(path)? {
                let text = show(&section).with_context(|| format!("in {}", path.display()))?;
                println!(
                    "{}: {}\n{text}",
                    path.display(),
                    if section.0.is_empty() { "DER" } else { &section.0 }
                );
            }
        }
        Ok(())
    }
}

/// Of a secret key only the public half is shown.
fn show((label, der): &Section) -> anyhow::Result<String> {
    let key = |key: SecretKey| format!("public key: {:?}\n", key.public_key());
    Ok(match label.as_str() {
        "CERTIFICATE" | "TRUSTED CERTIFICATE" => describe(der)?,
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => request(der)?,
        "PRIVATE KEY" => key(SecretKey::from_pkcs8_der(der)?),
        "EC PRIVATE KEY" => key(SecretKey::from_sec1_der(der)?),
        "" => match describe(der) {
            Ok(text) => text,
            Err(_) => request(der).or_else(|_| SecretKey::from_pkcs8_der(der).map(key))?,
        },
        _ => bail!("no way to show a {label}"),
    })
}

fn request(der: &[u8]) -> anyhow::Result<String> {
    let request = Request::from_der(der)?;
    Ok(format!(
        "signed by its own key: yes\nkey: {:?}\nnames: {:?}\n",
        request.public_key(),
        request.alt_names()
    ))
}
