//! What goes with every program of ours: shell completions and man pages, made of its own command line, so that they say
//! what the program does. `NAME --completions SHELL` writes the first to standard output, `NAME --man-pages DIRECTORY` a
//! page for the program and one for each of its subcommands.
//!
//! Both stand alone on the line, and are looked for before anything else: a program that must have a subcommand, or a
//! configuration, needs none for them. A `main` calls [`parse`] in place of `clap::Parser::parse`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, Parser, ValueEnum};
use clap_complete::Shell;

const COMPLETIONS: &str = "--completions";
const MAN_PAGES: &str = "--man-pages";
/// What `--help` says of them at its end.
const HELP: &str = "For packages: --completions SHELL (bash, elvish, fish, powershell, zsh) prints what completes this command line, and --man-pages DIRECTORY writes its man pages there.";

/// The arguments of this process; ends it, when they ask for help, completions or man pages, or make no sense.
#[must_use]
pub fn parse<T: Parser>() -> T {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(asked) = asked(&arguments) {
        let made = asked.and_then(|asked| make(command::<T>(), &asked, &mut io::stdout().lock()));
        std::process::exit(made.map_or_else(
            |error| {
                eprintln!("{error:#}");
                2
            },
            |()| 0,
        ));
    }
    T::from_arg_matches(&command::<T>().get_matches_from(arguments)).unwrap_or_else(|error| error.exit())
}

fn command<T: Parser>() -> Command {
    T::command().after_help(HELP)
}

/// What may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Completions(Shell),
    ManPages(PathBuf),
}

/// What a command line asks for; `None` for one that is the program's own business.
fn asked(arguments: &[OsString]) -> Option<anyhow::Result<Asked>> {
    let [_, what, value @ ..] = arguments else { return None };
    let one = || match value {
        [value] => Ok(value.as_os_str()),
        _ => Err(anyhow::anyhow!("{} takes one value, and stands alone", what.display())),
    };
    let shell = |name: &OsStr| {
        let shell = name.to_str().and_then(|name| Shell::from_str(name, true).ok());
        shell.with_context(|| format!("{}: no shell of {:?}", name.display(), Shell::value_variants()))
    };
    match what.to_str() {
        Some(COMPLETIONS) => Some(one().and_then(shell).map(Asked::Completions)),
        Some(MAN_PAGES) => Some(one().map(|directory| Asked::ManPages(directory.into()))),
        _ => None,
    }
}

fn make(mut command: Command, asked: &Asked, out: &mut impl Write) -> anyhow::Result<()> {
    match asked {
        Asked::Completions(shell) => {
            let name = command.get_name().to_string();
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command, name, &mut text);
            out.write_all(&text).context("writing completions")
        }
        Asked::ManPages(directory) => pages(command, directory),
    }
}

fn pages(command: Command, directory: &Path) -> anyhow::Result<()> {
    let context = || format!("man pages in {}", directory.display());
    std::fs::create_dir_all(directory).with_context(context)?;
    clap_mangen::generate_to(command, directory).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Subcommand;

    /// Looks after things
    #[derive(Parser)]
    #[command(name = "keeper", version)]
    struct Cli {
        #[command(subcommand)]
        command: Things,
    }

    #[derive(Subcommand)]
    enum Things {
        /// Counts them
        Count {
            /// From here on
            #[arg(long)]
            from: Option<u64>,
        },
    }

    fn line(arguments: &[&str]) -> Vec<OsString> {
        std::iter::once("keeper").chain(arguments.iter().copied()).map(Into::into).collect()
    }

    #[test]
    fn only_what_stands_alone_is_ours() {
        assert!(asked(&line(&[])).is_none() && asked(&line(&["count", "--from", "1"])).is_none());
        assert!(asked(&line(&["count", COMPLETIONS, "bash"])).is_none(), "clap refuses it");
        let shell = asked(&line(&[COMPLETIONS, "zsh"])).unwrap().unwrap();
        assert_eq!(shell, Asked::Completions(Shell::Zsh));
        for wrong in [&[COMPLETIONS][..], &[COMPLETIONS, "dos"], &[MAN_PAGES], &[MAN_PAGES, "a", "b"]] {
            assert!(asked(&line(wrong)).unwrap().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn completions_know_subcommands_and_their_options() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            make(command::<Cli>(), &Asked::Completions(*shell), &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("keeper") && text.contains("count") && text.contains("from"), "{shell}");
        }
    }

    #[test]
    fn there_is_a_page_for_the_program_and_each_subcommand() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("man1");
        make(command::<Cli>(), &Asked::ManPages(directory.clone()), &mut Vec::new()).unwrap();
        let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(page("keeper.1").contains("Looks after things"));
        assert!(page("keeper-count.1").contains("From here on"));
    }

    #[test]
    fn a_directory_that_cannot_be_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let asked = Asked::ManPages(file.path().join("man1"));
        assert!(make(command::<Cli>(), &asked, &mut Vec::new()).is_err());
    }
}
