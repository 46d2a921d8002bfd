//! What is in force, and how another configuration takes its place without a connection noticing.
//!
//! A snapshot (configuration, pools, listeners) is replaced whole. Whatever has the same name (and
//! address) before and after is the same thing, with its health, its counts and its connections; what is
//! gone takes nothing new, and its connections go on. Only listening can fail, and it comes first: then
//! all stays as it was.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;
use service::config::Invalid;
use service::traces::Tracer;
use service::{Phase, Shutdown};
use tokio::sync::{mpsc, watch};
use transport::Listener;

use crate::config::{Config, LISTENERS_MAX, ListenerConfig, PoolConfig, Protocol};
use crate::metrics::Metrics;
use crate::pool::{Changes, Pool};
use crate::port::{Bound, Inherited, Port, Rules, Sockets};
use crate::schedule::stable_hash;

/// Why a configuration was not taken over; all stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It makes no sense (only when it was not loaded by [`service::config`]).
    #[error("configuration: {0}")]
    Config(#[source] Invalid),
    /// An address cannot be listened on; the error names it.
    #[error("{0}")]
    Listen(#[source] Invalid),
    /// The system does not hand out the sockets that there are, or the workers are behind.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The balancer accepts nothing any more.
    #[error("it is draining")]
    Draining,
}

impl ApplyError {
    /// The key that is to blame, where one is.
    pub(crate) fn invalid(&self) -> Option<&Invalid> {
        match self {
            Self::Config(invalid) | Self::Listen(invalid) => Some(invalid),
            Self::System(_) | Self::Draining => None,
        }
    }
}

/// What a configuration that was taken over changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Addresses that are listened on anew, by the names of their listeners.
    pub opened: Vec<String>,
    /// Listeners that are gone. Their connections go on.
    pub closed: Vec<String>,
    /// Keys that differ from what is in force and wait for a restart.
    pub wait_for_restart: Vec<&'static str>,
}

/// What is in force at a moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) config: Config,
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) ports: Vec<Arc<Port>>,
}

impl Snapshot {
    pub(crate) fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.iter().find(|pool| pool.name() == name)
    }
}

/// Openings that a worker may be behind with: those of a first configuration, with room to spare.
const OPENINGS_MAX: usize = 16 * LISTENERS_MAX;

/// A worker gets these: a socket to accept on, and what it is one of.
#[derive(Debug)]
pub(crate) enum Opening {
    Tcp(Listener, Arc<Port>),
    Quic(OwnedFd, Arc<Port>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Live {
    now: ArcSwap<Snapshot>,
    /// Held while a configuration is taken over.
    applying: Mutex<()>,
    changes: Changes,
    workers: Vec<mpsc::Sender<Opening>>,
    shutdown: Shutdown,
    pub(crate) metrics: Metrics,
    tracer: Tracer,
}

impl Live {
    /// Puts the first configuration in force, on inherited sockets where there are some. Each worker
    /// gets what it accepts on from its receiver.
    pub(crate) fn start(
        config: Config,
        workers: usize,
        inherited: Inherited,
        (metrics, tracer): (Metrics, Tracer),
        shutdown: Shutdown,
    ) -> Result<(Self, Vec<mpsc::Receiver<Opening>>), ApplyError> {
        let (to, from) = (0..workers).map(|_| mpsc::channel(OPENINGS_MAX)).unzip();
        let empty = Config { listeners: Vec::new(), pools: Vec::new(), ..config.clone() };
        let live = Self {
            now: ArcSwap::from_pointee(Snapshot { config: empty, pools: Vec::new(), ports: Vec::new() }),
            applying: Mutex::default(),
            changes: Arc::new(watch::Sender::new(0)),
            workers: to,
            shutdown,
            metrics,
            tracer,
        };
        live.apply(config, inherited)?;
        Ok((live, from))
    }

    pub(crate) fn now(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.now.load()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Completes when all workers have ended: there is no connection any more.
    pub(crate) async fn workers_ended(&self) {
        for worker in &self.workers {
            worker.closed().await;
        }
    }

    /// Takes over a configuration, or leaves all as it was.
    pub(crate) fn apply(&self, mut config: Config, mut inherited: Inherited) -> Result<Applied, ApplyError> {
        service::config::Config::validate(&config).map_err(ApplyError::Config)?;
        let applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shutdown.phase() != Phase::Running {
            return Err(ApplyError::Draining);
        }
        let old = self.now.load_full();
        let mut applied =
            Applied { wait_for_restart: keep_fixed(&mut config, &old.config), ..Applied::default() };
        let gone: Vec<&Arc<Port>> =
            old.ports.iter().filter(|port| !config.listeners.iter().any(|wanted| port.is(wanted))).collect();
        for port in &gone {
            applied.closed.push(port.name.clone());
            port.sockets()?.into_iter().try_for_each(|socket| inherited.add(socket))?;
        }
        let places = self.places(&old, &config, inherited)?;
        // From here on nothing fails.
        let pools: Vec<_> = config.pools.iter().map(|wanted| self.pool(&old, wanted, &config.zone)).collect();
        let mut new = Snapshot { config, pools, ports: Vec::new() };
        for (wanted, place) in new.config.listeners.iter().zip(places) {
            let pool = new.pool(&wanted.pool).expect("invariant: validated with the configuration");
            let rules = Rules::new(wanted, pool, new.config.socket.into());
            let port = match place {
                Place::Stays(port) => {
                    port.configure(wanted, rules);
                    port
                }
                Place::New(bound) => {
                    applied.opened.push(wanted.name.clone());
                    self.open(wanted, bound, rules)
                }
            };
            new.ports.push(port);
        }
        self.give_up(&old, &new, &gone);
        self.now.store(Arc::new(new));
        drop(applying);
        self.changes.send_modify(|count| *count += 1);
        Ok(applied)
    }

    /// For each listener what there is of it, or its sockets.
    fn places(
        &self,
        old: &Snapshot,
        config: &Config,
        mut inherited: Inherited,
    ) -> Result<Vec<Place>, ApplyError> {
        let mut places = Vec::new();
        let mut most_sockets = 0;
        for (at, wanted) in config.listeners.iter().enumerate() {
            if let Some(port) = old.ports.iter().find(|port| port.is(wanted)) {
                places.push(Place::Stays(Arc::clone(port)));
                continue;
            }
            let sockets = inherited.take(wanted.listen, wanted.protocol);
            most_sockets += 1 + sockets.len();
            let bound = match wanted.protocol {
                Protocol::Tcp => Bound::tcp(wanted.listen, config.socket.into(), self.workers.len(), sockets),
                Protocol::Quic => Bound::quic(wanted.listen, sockets),
            };
            let taken = |error| Invalid::listen(format!("listeners[{at}].listen"), &error);
            places.push(Place::New(bound.map_err(|error| ApplyError::Listen(taken(error)))?));
        }
        if self.workers.iter().any(|worker| worker.capacity() < most_sockets) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the workers are behind: try again").into());
        }
        Ok(places)
    }

    fn pool(&self, old: &Snapshot, wanted: &PoolConfig, zone: &str) -> Arc<Pool> {
        match old.pool(&wanted.name) {
            Some(pool) => {
                pool.configure(wanted, zone);
                Arc::clone(pool)
            }
            None => Arc::new(Pool::new(wanted, zone, &self.metrics, &self.changes)),
        }
    }

    fn open(&self, wanted: &ListenerConfig, bound: Bound, rules: Rules) -> Arc<Port> {
        tracing::info!(listener = wanted.name, address = %bound.address, workers = self.workers.len(), "listening");
        let port =
            Arc::new(Port::new(wanted, bound.address, bound.shared, rules, (&self.metrics, &self.tracer)));
        let open = |worker: &mpsc::Sender<Opening>, opening| {
            if worker.try_send(opening).is_err() {
                // There was room: it has ended, and with it all of the balancer.
                tracing::debug!(listener = wanted.name, "a worker has ended");
            }
        };
        match bound.sockets {
            Sockets::Tcp(workers) => {
                for (worker, listeners) in self.workers.iter().zip(workers) {
                    for listener in listeners {
                        open(worker, Opening::Tcp(listener, Arc::clone(&port)));
                    }
                }
            }
            Sockets::Quic(socket) => {
                let at = stable_hash(wanted.name.as_bytes()) % self.workers.len() as u64;
                open(&self.workers[at as usize], Opening::Quic(socket, Arc::clone(&port)));
            }
        }
        port
    }

    fn give_up(&self, old: &Snapshot, new: &Snapshot, gone: &[&Arc<Port>]) {
        for port in gone {
            tracing::info!(listener = port.name, address = %port.address, "closed");
            if new.config.listeners.iter().any(|wanted| port.goes_to(wanted)) {
                port.hand_over();
            }
            port.close();
            if !new.ports.iter().any(|other| other.name == port.name) {
                self.metrics.forget_listener(&port.name);
            }
        }
        for pool in old.pools.iter().filter(|pool| new.pool(pool.name()).is_none()) {
            pool.retire();
        }
    }
}

enum Place {
    Stays(Arc<Port>),
    New(Bound),
}

/// Keeps what cannot change at run time as it is; names the keys that were to differ.
fn keep_fixed(new: &mut Config, old: &Config) -> Vec<&'static str> {
    fn keep<T: PartialEq + Clone>(key: &'static str, new: &mut T, old: &T) -> Option<&'static str> {
        let differs = new != old;
        new.clone_from(old);
        differs.then_some(key)
    }
    let kept = [
        keep("workers", &mut new.workers, &old.workers),
        keep("read_bytes_max", &mut new.read_bytes_max, &old.read_bytes_max),
        keep("handover", &mut new.handover, &old.handover),
        keep("admin", &mut new.admin, &old.admin),
        keep("socket", &mut new.socket, &old.socket),
        keep("traces", &mut new.traces, &old.traces),
    ];
    kept.into_iter().flatten().collect()
}
