//! What is printed.

use anyhow::Context;
use std::io::{self, ErrorKind, Write};

/// Prints text as it is. Who reads may have seen enough (`gm inspect FILE | head -1`): that is no error, and what the
/// command does besides printing goes on.
pub(crate) fn tell(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing the output"),
        _ => Ok(()),
    }
}

/// As [`tell`], with the end of a line behind it.
pub(crate) fn tell_line(text: &str) -> anyhow::Result<()> {
    tell(&format!("{text}\n"))
}
