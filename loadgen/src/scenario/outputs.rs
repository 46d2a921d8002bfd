//! Where a result goes: opened before the run, so that a run of hours does not end at a path that cannot be written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::result::Run;
use super::{Args, html};

/// A file that is written at the end. What stood in it before stays until then; one that was not there and is not written is
/// taken away again.
struct Output {
    path: PathBuf,
    file: File,
    created: bool,
    written: bool,
}

impl Output {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let created = !path.exists();
        let file = File::options().create(true).write(true).truncate(false).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned(), file, created, written: false })
    }

    fn write(mut self, text: &str) -> anyhow::Result<()> {
        self.written = true;
        // What is no file, as a pipe, cannot be cut.
        if self.file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            self.file.set_len(0).with_context(|| self.path.display().to_string())?;
        }
        self.file.write_all(text.as_bytes()).with_context(|| self.path.display().to_string())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.created
            && !self.written
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "an empty file stays");
        }
    }
}

/// All that a run writes.
pub struct Outputs {
    json: Option<Output>,
    html: Option<Output>,
    hgrm: Option<PathBuf>,
}

impl Outputs {
    /// Opens what is wanted.
    ///
    /// # Errors
    /// A path that cannot be written.
    pub fn open(args: &Args) -> anyhow::Result<Self> {
        if let Some(folder) = &args.hgrm {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(Self {
            json: args.json.as_deref().map(Output::open).transpose()?,
            html: args.html.as_deref().map(Output::open).transpose()?,
            hgrm: args.hgrm.clone(),
        })
    }

    /// Writes the result, first the JSON, from which all else can be made. Where one cannot be written, the others are.
    ///
    /// # Errors
    /// The first that could not be written.
    pub fn write(self, run: &Run) -> anyhow::Result<()> {
        let Self { json, html, hgrm } = self;
        let json = json.map_or(Ok(()), |output| output.write(&run.json()?));
        let html = html.map_or(Ok(()), |output| output.write(&html::page(run)));
        let hgrm = hgrm.map_or(Ok(()), |folder| run.write_hgrm(&folder));
        json.and(html).and(hgrm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_it_has_until_it_is_written_and_no_empty_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        drop(Output::open(&path).unwrap());
        assert!(!path.exists());
        Output::open(&path).unwrap().write("a long result").unwrap();
        drop(Output::open(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a long result");
        Output::open(&path).unwrap().write("short").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
        assert!(Output::open(&folder.path().join("none/x")).is_err());
    }
}
