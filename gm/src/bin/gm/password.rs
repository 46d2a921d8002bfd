//! The password of encrypted keys: from a file or an environment variable, never from the command line, which every
//! process of the machine can read.

use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Args)]
pub(crate) struct Password {
    /// File whose first line is the password of encrypted keys.
    #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
    password_file: Option<PathBuf>,
    /// Environment variable that holds that password.
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
}

impl Password {
    /// The password, if one was named.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let text = match (&self.password_file, &self.password_env) {
            (None, None) => return Ok(None),
            (Some(path), _) => Zeroizing::new(
                std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
            ),
            (None, Some(name)) => {
                Zeroizing::new(std::env::var(name).with_context(|| format!("reading ${name}"))?)
            }
        };
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            bail!("the password is empty");
        }
        Ok(Some(Zeroizing::new(line.to_owned())))
    }
}

/// How keys are read and written.
#[derive(Args)]
pub(crate) struct Protection {
    #[command(flatten)]
    password: Password,
    /// Encrypt the key that is written with the password (SM4-CBC, PBKDF2 with HMAC-SM3).
    #[arg(long)]
    encrypt: bool,
}

/// A password for what is read, and one for what is written.
pub(crate) struct Passwords {
    to_read: Option<Zeroizing<String>>,
    to_write: Option<Zeroizing<String>>,
}

impl Passwords {
    pub(crate) fn to_read(&self) -> Option<&str> {
        self.to_read.as_ref().map(|text| text.as_str())
    }

    pub(crate) fn to_write(&self) -> Option<&str> {
        self.to_write.as_ref().map(|text| text.as_str())
    }
}

impl Protection {
    pub(crate) fn passwords(&self) -> anyhow::Result<Passwords> {
        let to_read = self.password.read()?;
        let to_write = if self.encrypt {
            Some(to_read.clone().context("--encrypt wants --password-file or --password-env")?)
        } else {
            None
        };
        Ok(Passwords { to_read, to_write })
    }
}
