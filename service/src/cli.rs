//! The command line that every server shares.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::Host;
use crate::admin::ask_ready;
use crate::config::{self, Config, ConfigError, Invalid, Origin};
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
    /// When the file cannot be read or is wrong, see [`config::load`]; with `--check-config` when a file that it names cannot be
    /// used; with `--ready` when the server is not ready.
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

    /// Starts logging, and says in the log when no configuration was named: its user may have forgotten it.
    ///
    /// # Errors
    /// See [`crate::telemetry::init`].
    pub fn start_log(&self) -> anyhow::Result<()> {
        crate::telemetry::init(self.log_format)?;
        self.warn_of_defaults();
        Ok(())
    }

    fn warn_of_defaults(&self) {
        if self.config.is_none() {
            tracing::warn!(
                "no --config: running on built-in defaults, plain TCP, for trying out only; --print-config shows them"
            );
        }
    }

    /// What a server with this configuration, which has the process to itself, is given by it.
    ///
    /// # Errors
    /// See [`Host::for_process`].
    pub fn host(&self) -> prometheus::Result<Host> {
        let origin = self.config.as_deref().map(Origin::file).unwrap_or_default();
        Ok(Host { origin, ..Host::for_process()? })
    }

    /// Adds to an error, where a key of the configuration is at fault ([`Invalid`]), where that stands: for all that goes wrong
    /// after the configuration was parsed, such as an address that another server has. Other errors are given back as they are.
    #[must_use]
    pub fn placed(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(invalid) = error.chain().find_map(|cause| cause.downcast_ref::<Invalid>()) else {
            return error;
        };
        let (name, text) = match &self.config {
            // What cannot be read again has no lines.
            Some(path) => (path.display().to_string(), std::fs::read_to_string(path).unwrap_or_default()),
            None => ("default configuration".to_owned(), String::new()),
        };
        ConfigError::at(&name, &text, invalid).into()
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

    fn args(args: &[&str]) -> Result<ServiceArgs, clap::Error> {
        Args::try_parse_from(std::iter::once(&"sample").chain(args)).map(|args| args.service)
    }

    fn config(given: &[&str]) -> anyhow::Result<Option<Sample>> {
        args(given)?.config()
    }

    #[test]
    fn who_names_no_configuration_is_warned() {
        let logged = |given: &[&str]| crate::logged::by(|| args(given).unwrap().warn_of_defaults());
        let said = logged(&[]);
        assert!(
            said.contains("WARN") && said.contains("no --config: running on built-in defaults"),
            "{said}"
        );
        assert_eq!(logged(&["--config", "sample.toml"]), "");
    }

    #[test]
    fn what_is_found_later_is_told_with_file_line_and_key() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "workers = 1\n[admin]\nlisten = \"{address}\"\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let given = args(&["--config", &path]).unwrap();
        let config = given.config::<Sample>().unwrap().unwrap();
        let error = crate::admin::Admin::bind(&config.admin, &crate::Host::default()).err().unwrap();
        let told = given.placed(anyhow::Error::from(error.clone()).context("starting")).to_string();
        let expected = format!(
            "{path}:3:10: `admin.listen`: cannot listen on {address}: Address already in use (os error 98); \
             is another one running?\n 3 | listen = "
        );
        assert!(told.starts_with(&expected), "{told}");
        let told = args(&[]).unwrap().placed(error.into()).to_string();
        assert!(told.starts_with("default configuration: `admin.listen`: cannot listen on"), "{told}");
        assert_eq!(given.placed(anyhow::anyhow!("something else")).to_string(), "something else");
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
