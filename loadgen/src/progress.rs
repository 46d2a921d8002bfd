//! What is said while a run goes on: on a terminal one line that changes, elsewhere a plain line now and then.

use std::io::{self, IsTerminal, Write};

/// Between two plain lines.
const PLAIN_EVERY_NS: u64 = 5_000_000_000;
/// To the line's beginning, and clear it.
const AGAIN: &str = "\r\x1b[2K";

/// Where the running line goes.
#[derive(Debug)]
pub struct Progress<W: Write> {
    to: W,
    terminal: bool,
    columns: usize,
    next_plain_ns: u64,
    shown: bool,
}

impl Progress<io::Stderr> {
    /// On standard error, so that standard output holds the result alone.
    #[must_use]
    pub fn stderr() -> Self {
        let to = io::stderr();
        let terminal = to.is_terminal();
        Self::new(to, terminal, columns())
    }
}

/// The terminal's width.
#[must_use]
pub fn columns() -> usize {
    terminal_size::terminal_size().map_or(100, |(terminal_size::Width(columns), _)| usize::from(columns))
}

impl<W: Write> Progress<W> {
    /// On anything that takes text; `terminal` says whether it understands being overwritten.
    pub fn new(to: W, terminal: bool, columns: usize) -> Self {
        Self { to, terminal, columns, next_plain_ns: 0, shown: false }
    }

    /// Shows `line`: at once on a terminal, else if the last one is some seconds old.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn show(&mut self, now_ns: u64, line: &str) -> io::Result<()> {
        if self.terminal {
            // A line that wraps cannot be overwritten.
            let cut =
                line.char_indices().nth(self.columns.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
            write!(self.to, "{AGAIN}{}", &line[..cut])?;
            self.shown = true;
            return self.to.flush();
        }
        if now_ns < self.next_plain_ns {
            return Ok(());
        }
        self.next_plain_ns = now_ns + PLAIN_EVERY_NS;
        writeln!(self.to, "{line}")
    }

    /// Says something that stays.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.to, "{line}")
    }

    /// Takes the changing line away.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.shown) {
            write!(self.to, "{AGAIN}")?;
            self.to.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(progress: Progress<Vec<u8>>) -> String {
        String::from_utf8(progress.to).unwrap()
    }

    #[test]
    fn a_terminal_sees_one_line_that_changes() {
        let mut progress = Progress::new(Vec::new(), true, 6);
        progress.show(0, "12345678").unwrap();
        progress.show(1, "ab").unwrap();
        progress.say("stays").unwrap();
        progress.clear().unwrap();
        assert_eq!(text(progress), "\r\x1b[2K12345\r\x1b[2Kab\r\x1b[2Kstays\n");
    }

    #[test]
    fn a_pipe_gets_plain_lines_now_and_then() {
        let mut progress = Progress::new(Vec::new(), false, 3);
        for second in 0..=11 {
            progress.show(second * 1_000_000_000, &format!("line {second}")).unwrap();
        }
        progress.say("end").unwrap();
        assert_eq!(text(progress), "line 0\nline 5\nline 10\nend\n");
    }
}
