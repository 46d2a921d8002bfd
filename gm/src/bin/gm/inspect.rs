//! `gm inspect`.

use crate::files::{Section, key, read};
use crate::password::Password;
use anyhow::{Context, bail};
use clap::Args;
use gm::x509::{Request, describe};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Inspect {
    /// Files in PEM or DER.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    password: Password,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let password = self.password.read()?;
        let password = password.as_ref().map(|text| text.as_str());
        for path in &self.files {
            for section in read(path)? {
                let text = show(&section, password).with_context(|| format!("in {}", path.display()))?;
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
fn show(section: &Section, password: Option<&str>) -> anyhow::Result<String> {
    let (label, der) = section;
    match label.as_str() {
        "CERTIFICATE" | "TRUSTED CERTIFICATE" => return Ok(describe(der)?),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => return request(der),
        "" => {
            if let Ok(text) = describe(der).map_err(anyhow::Error::from).or_else(|_| request(der)) {
                return Ok(text);
            }
        }
        _ => {}
    }
    match key(section, password)? {
        Some(key) => Ok(format!("public key: {:?}\n", key.public_key())),
        None => bail!("no way to show a {label}"),
    }
}

fn request(der: &[u8]) -> anyhow::Result<String> {
    let request = Request::from_der(der)?;
    Ok(format!(
        "signed by its own key: yes\nkey: {:?}\nnames: {:?}\n",
        request.public_key(),
        request.alt_names()
    ))
}
