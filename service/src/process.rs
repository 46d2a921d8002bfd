//! The process: its limits, and how it ends.

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one: a connection is a file, and the usual soft
/// limit of 1,024 is a leftover of select(2). Returns the limit now in force, None for no limit.
/// What goes wrong is logged: the server still runs, with fewer connections.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, open_files_max = limit.current, "cannot raise the limit on open files");
            limit.current
        }
    }
}

/// What a main returns: its own exit code or, when it could not go on, `failed`, with the reason in one piece on standard
/// error. (An error that a main returns is printed with a backtrace where RUST_BACKTRACE asks for one, which says nothing
/// to who has to mend a configuration.)
#[allow(clippy::print_stderr)] // For a person at a terminal, where there may be no log yet.
pub fn exit_code(outcome: anyhow::Result<ExitCode>, failed: u8) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", transport::causes(error.as_ref()));
        ExitCode::from(failed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        assert_eq!(raise_file_limit(), getrlimit(Resource::Nofile).maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
