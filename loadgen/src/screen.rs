//! Drawing: on a terminal a few lines that are drawn over and over in place, elsewhere plain lines now and then.

use std::io::{self, IsTerminal, Write};

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Accent,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Accent => "\x1b[36m",
        }
    }
}

/// A line of styled pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends a piece.
    pub(crate) fn add(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Appends a piece of at least `width` characters.
    pub(crate) fn cell(self, style: Style, text: impl AsRef<str>, width: usize) -> Self {
        self.add(style, format!("{:<width$}", text.as_ref()))
    }

    fn print(&self, to: &mut impl Write, columns: usize, colours: bool) -> io::Result<()> {
        let mut left = columns;
        for (style, text) in &self.0 {
            let shown: String = text.chars().take(left).collect();
            left -= shown.chars().count();
            if colours && *style != Style::Plain {
                write!(to, "{}{shown}\x1b[0m", style.code())?;
            } else {
                write!(to, "{shown}")?;
            }
        }
        Ok(())
    }
}

/// Where it is drawn.
pub(crate) struct Screen<W: Write> {
    to: W,
    terminal: bool,
    colours: bool,
    /// Lines drawn the last time.
    drawn: usize,
}

impl Screen<io::Stdout> {
    /// On standard output.
    pub(crate) fn stdout() -> Self {
        let to = io::stdout();
        let terminal = to.is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { to, terminal, colours, drawn: 0 }
    }
}

impl<W: Write> Screen<W> {
    /// Whether what is drawn can be drawn over.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Its width now.
    pub(crate) fn columns(&self) -> usize {
        size().0
    }

    /// Draws these lines over those of the last time.
    pub(crate) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let (columns, rows) = size();
        // What is taller than the terminal cannot be drawn over: its top has left the screen.
        let shown = &lines[..lines.len().min(rows.saturating_sub(1))];
        // One write for the whole picture, so that it does not flicker.
        let mut picture = Vec::new();
        if self.drawn > 0 {
            write!(picture, "\x1b[{}A", self.drawn)?;
        }
        for line in shown {
            line.print(&mut picture, columns, self.colours)?;
            picture.extend_from_slice(b"\x1b[K\n");
        }
        picture.extend_from_slice(b"\x1b[J");
        self.drawn = shown.len();
        self.to.write_all(&picture)?;
        self.to.flush()
    }

    /// Prints a line that stays, below what is drawn.
    pub(crate) fn say(&mut self, line: &Line) -> io::Result<()> {
        self.drawn = 0;
        line.print(&mut self.to, usize::MAX, self.colours)?;
        writeln!(self.to)?;
        self.to.flush()
    }
}

fn size() -> (usize, usize) {
    let found = terminal_size::terminal_size();
    found.map_or((100, 40), |(width, height)| (usize::from(width.0), usize::from(height.0)))
}

/// `text` in lines of at most `width` characters, broken between words; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How far something is, as a bar of `width` characters.
pub(crate) fn bar(part: f64, width: usize) -> String {
    let full = (part.clamp(0.0, 1.0) * width as f64).round() as usize;
    "━".repeat(full) + &"─".repeat(width - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(colours: bool) -> Screen<Vec<u8>> {
        Screen { to: Vec::new(), terminal: true, colours, drawn: 0 }
    }

    #[test]
    fn draws_over_what_it_drew() {
        let mut screen = screen(true);
        let line = Line::new().cell(Style::Good, "up", 4).add(Style::Plain, "x");
        screen.draw(&[line.clone(), line.clone()]).unwrap();
        screen.draw(&[line]).unwrap();
        let one = "\x1b[32mup  \x1b[0mx\x1b[K\n";
        let wanted = format!("{one}{one}\x1b[J\x1b[2A{one}\x1b[J");
        assert_eq!(String::from_utf8(screen.to).unwrap(), wanted);
    }

    #[test]
    fn cuts_at_the_edge_by_characters() {
        let mut out = Vec::new();
        Line::new().add(Style::Bold, "通道通道").add(Style::Plain, "ab").print(&mut out, 5, false).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "通道通道a");
    }

    #[test]
    fn wraps_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("通道 通道 abcdef", 5), ["通道 通道", "abcdef"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn a_bar_is_as_long_as_it_says() {
        assert_eq!((bar(0.5, 4).as_str(), bar(7.0, 2).as_str(), bar(-1.0, 2).as_str()), ("━━──", "━━", "──"));
    }
}
