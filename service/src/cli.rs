//! The command line that every server shares.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::admin::ask_ready;
use crate::config::{self, Config};
use crate::telemetry::LogFormat;

/// The arguments that every server takes; flatten it into the server's own clap struct.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServiceArgs {
    /// The configuration, in TOML; without it the defaults apply (see --print-config)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration and the files that it names, say what is wrong with it and where, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Print all settings with their defaults and meanings, ready to be saved and edited, and exit
    #[arg(long, conflicts_with = "check_config")]
    pub print_config: bool,

    /// Ask the server that runs with this configuration whether it is ready, say what it answers, and exit: for health checks
    #[arg(long, conflicts_with_all = ["check_config", "print_config"])]
    pub ready: bool,

    /// How log lines are written to standard error; RUST_LOG filters them (default: info)
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl ServiceArgs {
    /// The configuration to run with; None when the arguments asked only to print or check it, and
    /// that is done.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong, see [`config::load`]; with `--ready` when the server is not.
    #[allow(clippy::print_stdout)] // The one thing that belongs on standard output.
    pub fn config<T: Config>(&self) -> anyhow::Result<Option<T>> {
        if self.print_config {
            print!("{}", T::DEFAULT_TOML);
            return Ok(None);
        }
        let config = match &self.config {
            Some(path) => config::load::<T>(path)?,
            None => config::parse::<T>(T::DEFAULT_TOML, "default configuration")?,
        };
        if self.check_config {
            config.check_files()?;
            match &self.config {
                Some(path) => println!("{} is good", path.display()),
                None => println!("the default configuration is good; --config FILE checks a file"),
            }
            return Ok(None);
        }
        if self.ready {
            let admin = config.admin().context("this program has no admin port")?;
            println!("{}", ask_ready(admin)?);
            return Ok(None);
        }
        Ok(Some(config))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use clap::Parser;
    use serde::Deserialize;

    use super::*;
    use crate::config::Invalid;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        service: ServiceArgs,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        workers: u32,
        admin: crate::admin::Config,
    }

    impl Config for Sample {
        const DEFAULT_TOML: &'static str = "workers = 0\n";

        fn validate(&self) -> Result<(), Invalid> {
            Ok(())
        }

        fn admin(&self) -> Option<&crate::admin::Config> {
            Some(&self.admin)
        }
    }

    fn config(args: &[&str]) -> anyhow::Result<Option<Sample>> {
        Args::try_parse_from(std::iter::once(&"sample").chain(args))?.service.config()
    }

    #[test]
    fn without_a_file_the_defaults_apply() {
        assert_eq!(config(&[]).unwrap(), Some(Sample::default()));
    }

    #[test]
    fn a_file_is_read_checked_or_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "workers = 3").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        assert_eq!(config(&["--config", &path]).unwrap(), Some(Sample { workers: 3, ..Sample::default() }));
        assert_eq!(config(&["--check-config", "--config", &path]).unwrap(), None);
        writeln!(file, "worker = 3").unwrap();
        let error = config(&["--check-config", "--config", &path]).unwrap_err().to_string();
        assert!(error.contains(":2:1: unknown field `worker`"), "{error}");
    }

    #[test]
    fn readiness_is_asked_of_the_server_that_runs() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "[admin]\nlisten = \"{free}\"").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let ask = || config(&["--ready", "--config", &path]);
        let error = format!("{:#}", ask().unwrap_err());
        assert!(error.contains(&free.to_string()), "{error}");

        let (host, ready) = (crate::Host::default(), Arc::new(AtomicBool::new(false)));
        let seen = ready.clone();
        let settings = crate::admin::Config { listen: free, ..Default::default() };
        let _admin = crate::admin::Admin::bind(&settings, &host)
            .unwrap()
            .ready(
                move || if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("no source yet".to_owned()) },
            )
            .start()
            .unwrap();
        let error = format!("{:#}", ask().unwrap_err());
        assert!(error.contains("no source yet"), "{error}");
        ready.store(true, Ordering::Relaxed);
        assert_eq!(ask().unwrap(), None);
    }

    #[test]
    fn printing_needs_no_file_and_excludes_checking() {
        assert_eq!(config(&["--print-config"]).unwrap(), None);
        assert!(config(&["--print-config", "--check-config"]).is_err());
    }
}
