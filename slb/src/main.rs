//! The balancer as a program; all it does is in the library.

use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use service::admin::Admin;
use service::config::Invalid;
use signal_hook::consts::SIGUSR2;
use signal_hook::iterator::Signals;
use slb::{Config, Offer, Server, Takeover};

/// A layer-4 load balancer: one address for many servers
///
/// Takes TCP connections and passes each on to a server of a pool: by weight (smooth weighted round
/// robin), evenly, to the least loaded, or by the client's address. Servers that do not answer are
/// left out until they do. Its configuration changes at run time,
/// by SIGHUP or through the admin port, and no connection is closed for it.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    service: service::cli::ServiceArgs,
}

fn main() -> ExitCode {
    let args: Args = manual::parse();
    service::process::exit_code(run(&args).map_err(|error| args.service.placed(error)), 1)
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(config) = args.service.config::<Config>()? else { return Ok(ExitCode::SUCCESS) };
    args.service.start_log()?;
    // From the start: unhandled, the signal ends the process.
    let restarts = Signals::new([SIGUSR2])?;
    service::process::raise_file_limit();
    let host = args.service.host()?;
    let handover = Some(config.handover.clone()).filter(|path| !path.as_os_str().is_empty());
    let unusable = |error: std::io::Error| Invalid::new("handover", error.to_string());
    let before = handover.as_deref().map_or_else(|| Ok(Takeover::default()), Takeover::ask);
    let mut before = before.map_err(unusable)?;
    let admin = match before.socket(config.admin.listen) {
        Some(socket) => Admin::over(socket, &config.admin, &host)?,
        None => Admin::bind(&config.admin, &host)?,
    };
    let admin_socket = admin.share()?;
    let server = Server::bind_over(config, &host, &mut before)?;
    let admin = admin.ready(server.readiness()).routes(server.routes()).start()?;
    let control = server.control().clone();
    if let Some(file) = &args.service.config {
        control.set_file(file);
    }
    let reloading = control.clone();
    // What is wrong is logged and counted; the answer is for the admin port.
    service::signals::install(&host.shutdown, move || drop(reloading.reload()))?;
    let running = server.start()?;
    before.ready()?;
    let can_hand_over = handover.is_some();
    let _admin = match handover {
        None => Some(admin),
        Some(path) => {
            let offer = Offer::bind(&path, admin_socket).map_err(unusable)?;
            offer.start(control.clone(), host.shutdown.clone(), move || drop(admin))?;
            tracing::info!(path = %path.display(), "can be taken over from");
            None
        }
    };
    restart_on_signal(restarts, can_hand_over)?;
    running.wait_for(|| control.drain_timeout())?;
    Ok(ExitCode::SUCCESS)
}

/// On SIGUSR2 starts this program anew, from the file that it was started from: the new one takes over. One that could
/// not is not started.
fn restart_on_signal(mut signals: Signals, can_hand_over: bool) -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    std::thread::Builder::new().name("restarts".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if !can_hand_over {
                tracing::error!(
                    "SIGUSR2: no handover configured, all goes on here; it takes a restart to turn `handover` on"
                );
                continue;
            }
            let started =
                Command::new(&program).args(std::env::args_os().skip(1)).stdin(Stdio::null()).spawn();
            // If it takes over, this process ends first.
            match started.and_then(|mut child| child.wait()) {
                Ok(status) => tracing::error!(%status, "the process that was to take over has ended"),
                Err(error) => tracing::error!(%error, "no process could be started that takes over"),
            }
        }
    })?;
    Ok(())
}
