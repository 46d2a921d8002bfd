//! `gm inspect`.

use crate::files::{Section, key, read};
use crate::issue::now_s;
use crate::output::tell;
use crate::password::Password;
use anyhow::{Context, bail};
use clap::Args;
use gm::x509::{Certificate, Period, Request, describe};
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
                let kind = if section.0.is_empty() { "DER" } else { &section.0 };
                tell(&format!("{}: {kind}\n{text}\n", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Of a secret key only the public half is shown.
fn show(section: &Section, password: Option<&str>) -> anyhow::Result<String> {
    let (label, der) = section;
    match label.as_str() {
        "CERTIFICATE" | "TRUSTED CERTIFICATE" => return certificate(der),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => return request(der),
        "" => {
            if let Ok(text) = certificate(der).or_else(|_| request(der)) {
                return Ok(text);
            }
        }
        _ => {}
    }
    // Nothing tells what DER without a label is meant to be.
    let found = match key(section, password) {
        Err(_) if label.is_empty() && password.is_none() => {
            bail!("neither PEM nor a certificate, request or plain key in DER")
        }
        found => found?,
    };
    match found {
        Some(key) => Ok(format!("public key: {:?}\n", key.public_key())),
        None => bail!("no way to show a {label}"),
    }
}

fn certificate(der: &[u8]) -> anyhow::Result<String> {
    let now = match Certificate::from_der(der)?.period(now_s()?) {
        Some(Period::Before) => "no, not yet",
        Some(Period::Within) => "yes",
        Some(Period::After) => "no, it has expired",
        None => "unknown: its times are in another form",
    };
    Ok(format!("{}valid now: {now}\n", describe(der)?))
}

fn request(der: &[u8]) -> anyhow::Result<String> {
    let request = Request::from_der(der)?;
    Ok(format!(
        "signed by its own key: yes\nkey: {:?}\nnames: {:?}\n",
        request.public_key(),
        request.alt_names()
    ))
}
