//! The file `synced`: how far a journal is known to be safe on the disk, for a recovery that finds damage.
//!
//! It is written after each sync and waits for none: the sync itself is what makes records safe. After a loss of power it may
//! be an older one, which says less, and is still true.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const NAME: &str = "synced";
const MARK_BYTES: usize = 12;

/// The mark of a journal that is open for writing.
#[derive(Debug)]
pub(crate) struct Mark(File);

impl Mark {
    /// Opens or makes it; and the number of the last record that it says was synced, 0 where it says nothing.
    pub(crate) fn open(directory: &Path) -> io::Result<(Self, u64)> {
        let path = directory.join(NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = [0; MARK_BYTES];
        let number = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {
                let number = u64::from_le_bytes(bytes[..8].try_into().expect("invariant: eight bytes"));
                if bytes == encode(number) { number } else { 0 }
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        Ok((Self(file), number))
    }

    /// All records up to this one are safe.
    pub(crate) fn set(&self, number: u64) -> io::Result<()> {
        self.0.write_all_at(&encode(number), 0)
    }
}

/// Whether a writer has opened a journal there and synced nothing yet: that it has no segment is no loss.
pub(crate) fn is_begun(directory: &Path) -> bool {
    std::fs::metadata(directory.join(NAME)).is_ok_and(|file| file.len() == 0)
}

fn encode(number: u64) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..8]);
    bytes[8..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
