//! The kill switches as they are kept on disk, so that what was stopped stays stopped over a restart.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// What is switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Switches {
    /// The switch of all gateways.
    pub(crate) global: bool,
    /// This gateway's.
    pub(crate) gateway: bool,
    /// Accounts that are stopped, ascending.
    pub(crate) accounts: Vec<String>,
}

impl Switches {
    /// What the file says; nothing is switched on where there is none yet.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        toml::from_str(&text).map_err(io::Error::other)
    }

    /// Writes it beside the file and then in its place: after a crash one of the two is there, whole.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn store(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(b"# Kill switches that are on. Written by the gateway.\n")?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Switches an account on or off.
    pub(crate) fn set_account(&mut self, name: &str, on: bool) {
        match self.accounts.binary_search_by(|other| other.as_str().cmp(name)) {
            Err(at) if on => self.accounts.insert(at, name.to_owned()),
            Ok(at) if !on => {
                self.accounts.remove(at);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kill.toml");
        assert_eq!(Switches::load(&path).unwrap(), Switches::default());
        let mut switches = Switches { gateway: true, ..Switches::default() };
        switches.set_account("b", true);
        switches.set_account("a", true);
        switches.set_account("a", true);
        switches.store(&path).unwrap();
        assert_eq!(Switches::load(&path).unwrap(), switches);
        assert_eq!(switches.accounts, ["a", "b"]);
        switches.set_account("a", false);
        switches.set_account("c", false);
        assert_eq!(switches.accounts, ["b"]);
        std::fs::write(&path, "gateway = maybe").unwrap();
        assert!(Switches::load(&path).is_err(), "what cannot be read is not taken for nothing");
    }
}
