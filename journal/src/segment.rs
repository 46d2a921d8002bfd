//! Segment files: their names, and the making of one.

use crate::format;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The name of the segment whose first record has this number.
pub(crate) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.journal"))
}

/// The numbers of the first records of all segments, ascending.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".journal"));
        let digits =
            digits.filter(|digits| digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        firsts.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes the segment whose first record has this number, of so many bytes. It has its name only once it has its space and
/// its head, so that no reader and no recovery meets half of one.
pub(crate) fn create(directory: &Path, first: u64, segment_bytes: u64) -> io::Result<File> {
    let unfinished = directory.join("next.unfinished");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
    let made = reserve(&file, segment_bytes)
        .and_then(|()| file.write_all_at(&format::head(first), 0))
        .and_then(|()| file.sync_all());
    if let Err(error) = made {
        drop(file);
        fs::remove_file(&unfinished)?;
        return Err(error);
    }
    fs::rename(&unfinished, path(directory, first))?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// Takes the space now: a disk that is full says so here and not in the middle of a record, and no write changes the
/// file's length, which would cost every sync another write.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
        done => Ok(done?),
    }
}
