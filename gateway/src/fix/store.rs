//! Where the sessions' memories are.

use super::config::{Config, Durability, Kind};
use fix::store::{
    BatchStore, Durability as Promise, FileLimits, FileStore, Mark, Marks, MemoryStore, OnReset, Store,
    StoreError,
};
use service::config::Invalid;
use std::path::Path;
use wire::szse::Text;

/// Bytes of messages that a store in memory holds.
const MEMORY_BYTES_MAX: usize = 4 << 20;
/// The longest message of ours.
const MESSAGE_BYTES_MAX: u32 = 64 << 10;

/// A session's memory.
#[derive(Debug)]
pub(super) enum SessionStore {
    File(Box<FileStore>),
    Memory(Box<MemoryStore>),
    /// What it holds is kept by others.
    Elsewhere(Box<BatchStore>),
}

impl SessionStore {
    /// Opens or makes the memory of a client's session.
    ///
    /// # Errors
    /// The folder or the file in it cannot be used.
    pub(super) fn open(config: &Config, comp_id: Text<20>) -> Result<Self, Invalid> {
        match config.store.kind {
            Kind::Memory => return Ok(Self::Memory(Box::new(MemoryStore::new(MEMORY_BYTES_MAX)))),
            Kind::JetStream => {
                return Ok(Self::Elsewhere(Box::new(BatchStore::new(config.store.memory_bytes_max))));
            }
            Kind::File => {}
        }
        let folder = &config.store.directory;
        let path = folder.join(file_name(comp_id, config.comp_id));
        let failed = |path: &Path, problem| Invalid::in_file("fix.store.directory", path, problem);
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error.to_string()))?;
        let limits = FileLimits {
            file_bytes_max: config.store.session_bytes_max,
            message_bytes_max: MESSAGE_BYTES_MAX,
            durability: match config.store.durability {
                Durability::Process => Promise::Process,
                Durability::Power => Promise::Power,
            },
        };
        let store = FileStore::open(&path, limits).map_err(|error| failed(&path, error.to_string()))?;
        if store.cut_bytes() > 0 {
            tracing::warn!(path = %path.display(), bytes = store.cut_bytes(), "an unfinished end was cut off");
        }
        Ok(Self::File(Box::new(store)))
    }
}

/// The names of both parties as those of a file.
fn file_name(comp_id: Text<20>, ours: Text<20>) -> String {
    format!("{}.{}.session", escaped(comp_id), escaped(ours))
}

/// A name, with what neither a file's name nor a subject may have as its code.
pub(super) fn escaped(name: Text<20>) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let each = name.trimmed().iter();
    each.map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

macro_rules! each {
    ($self:expr, $store:ident => $call:expr) => {
        match $self {
            SessionStore::File($store) => $call,
            SessionStore::Memory($store) => $call,
            SessionStore::Elsewhere($store) => $call,
        }
    };
}

impl Store for SessionStore {
    fn next_sender(&self) -> u64 {
        each!(self, store => store.next_sender())
    }

    fn next_target(&self) -> u64 {
        each!(self, store => store.next_target())
    }

    fn append(&mut self, message: &[u8]) -> Result<(), StoreError> {
        each!(self, store => store.append(message))
    }

    fn set_next_target(&mut self, number: u64) -> Result<(), StoreError> {
        each!(self, store => store.set_next_target(number))
    }

    fn marks(&self) -> &Marks {
        each!(self, store => store.marks())
    }

    fn set_mark(&mut self, mark: Mark) {
        each!(self, store => store.set_mark(mark));
    }

    fn read(&mut self, number: u64, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        each!(self, store => store.read(number, out))
    }

    fn reset(&mut self, marks: OnReset) -> Result<(), StoreError> {
        each!(self, store => store.reset(marks))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        each!(self, store => store.commit())
    }

    fn is_safe(&self) -> bool {
        each!(self, store => store.is_safe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files_of_their_own() {
        let name = |comp_id: &str| file_name(comp_id.parse().unwrap(), "US".parse().unwrap());
        assert_eq!(name("client-1"), "client-1.US.session");
        assert_eq!(name("../x"), "%2e%2e%2fx.US.session");
        assert_ne!(name("a.b"), name("a%2eb"));
    }
}
