//! Log lines, of the generator and of servers that it runs inside: warnings, on standard error.

use tracing_subscriber::EnvFilter;

/// Installs the subscriber; `RUST_LOG` asks for more or less.
///
/// # Errors
/// `RUST_LOG` makes no sense, or a subscriber is there already.
pub fn init() -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) => EnvFilter::try_new(directives)?,
        Err(_) => EnvFilter::new("error"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| anyhow::anyhow!("{error}"))
}
