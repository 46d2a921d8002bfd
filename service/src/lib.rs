//! What any daemon needs: configuration, telemetry, metrics, admin HTTP, threads and shutdown.
//!
//! Charter: an NTP daemon could use this crate unchanged. It knows no protocol and none of this
//! workspace's servers, and nothing here is on a hot path except [`shutdown::Shutdown::phase`]
//! (one atomic load) and the counters that [`metrics!`] declares (one atomic add).
//!
//! # The shape of a server
//! Every server of this workspace has the same outside, so that a main, a test and the demo drive
//! them all alike:
//!
//! ```text
//! // lib.rs
//! pub struct Config { pub admin: service::admin::Config, … }  // impl service::config::Config
//! service::metrics! { pub struct Metrics { … } }              // every counter, with its meaning
//! pub struct Server { … }                                     // bound, not yet running
//! impl Server {
//!     /// Binds all listeners (port 0 is allowed) and registers metrics; starts no thread. What a key is to blame for is a
//!     /// [`config::Invalid`] in its error, as [`config::Config::check_files`] gives it.
//!     pub fn bind(config: Config, host: &service::Host) -> Result<Server, BindError>;
//!     pub fn address(&self) -> SocketAddr;                    // or one accessor a listener
//!     pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static;
//!     pub fn routes(&self) -> axum::Router;                   // what it adds to the admin port
//!     /// Starts the threads.
//!     pub fn start(self) -> std::io::Result<service::Running>;
//! }
//! ```
//! ```text
//! // main.rs: the lifecycle
//! fn main() -> ExitCode {
//!     let args: Args = manual::parse();                       // #[command(flatten)] service: cli::ServiceArgs
//!     // An error that is a key's gets the file and the line in which it stands.
//!     service::process::exit_code(run(&args).map_err(|error| args.service.placed(error)), 1)
//! }
//!
//! fn run(args: &Args) -> anyhow::Result<ExitCode> {
//!     let Some(config) = args.service.config::<Config>()? else { return Ok(ExitCode::SUCCESS) };
//!     args.service.start_log()?;
//!     service::process::raise_file_limit();
//!     let host = args.service.host()?;
//!     let admin = Admin::bind(&config.admin, &host)?;
//!     let drain_timeout = Duration::from_millis(config.drain_timeout_ms);
//!     let server = Server::bind(config, &host)?;
//!     let _admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
//!     service::signals::install(&host.shutdown, move || tls.reload())?;  // server.tls() from before the start
//!     let running = server.start()?;
//!     running.wait(drain_timeout)?;                           // until SIGTERM, then drains
//!     Ok(ExitCode::SUCCESS)
//! }
//! ```
//! A thread of the server looks at [`shutdown::Shutdown::phase`] once a turn (or awaits
//! [`shutdown::Shutdown::reached`]): in [`Phase::Draining`] it accepts nothing new, lets what is
//! under way finish and then returns; in [`Phase::Stopping`] it closes all and returns at once.
//! An embedder calls [`Running::stop`] or [`shutdown::Shutdown::drain`] instead of sending signals.

pub mod admin;
pub mod cli;
pub mod config;
mod host;
#[cfg(test)]
mod logged;
pub mod metrics;
pub mod outage;
pub mod process;
pub mod proxy;
pub mod running;
pub mod shutdown;
pub mod signals;
pub mod telemetry;
pub mod tls;
pub mod traces;

pub use host::Host;
pub use prometheus;
pub use running::Running;
pub use shutdown::{Phase, Shutdown};
