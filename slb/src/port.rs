//! A listener as all workers share it: its sockets, its rules, what is open on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use service::traces::Tracer;
use socket2::{SockRef, Type};
use tokio::sync::watch;
use tokio::time::Instant;
use transport::proxy_protocol::Headers;
use transport::tls::Network;
use transport::{Listener, SocketOptions};

use crate::config::{ListenerConfig, Protocol, QuicConfig};
use crate::limit::Limit;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::pool::Pool;
use crate::udp;

/// What a configuration says of a listener. A connection keeps those that it came under.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) pool: Arc<Pool>,
    pub(crate) socket: SocketOptions,
    pub(crate) idle_timeout: Duration,
    pub(crate) splice: bool,
    pub(crate) connections_max: usize,
    allow: Vec<Network>,
    deny: Vec<Network>,
    pub(crate) access_log_every: u32,
    pub(crate) quic: QuicConfig,
}

impl Rules {
    pub(crate) fn new(config: &ListenerConfig, pool: &Arc<Pool>, socket: SocketOptions) -> Self {
        Self {
            pool: Arc::clone(pool),
            socket,
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
            splice: config.splice,
            connections_max: config.connections_max,
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            access_log_every: config.access_log_every,
            quic: config.quic,
        }
    }

    fn lets_in(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let listed = |list: &[Network]| list.iter().any(|network| network.contains(client));
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }
}

/// Limits of a listener. They change for open connections too.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) connections: Limit,
    /// Bytes to backends.
    pub(crate) inward: Limit,
    /// Bytes to clients.
    pub(crate) outward: Limit,
}

impl Limits {
    fn new(config: &ListenerConfig) -> Self {
        Self {
            connections: Limit::new(config.connections_per_s_max),
            inward: Limit::new(config.bytes_per_s_max),
            outward: Limit::new(config.bytes_per_s_max),
        }
    }

    fn set(&self, config: &ListenerConfig) {
        self.connections.set(config.connections_per_s_max);
        self.inward.set(config.bytes_per_s_max);
        self.outward.set(config.bytes_per_s_max);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    protocol: Protocol,
    /// As configured: port 0 stays 0.
    listen: SocketAddr,
    pub(crate) address: SocketAddr,
    rules: ArcSwap<Rules>,
    limits: Limits,
    /// Connections that ended, for the sample that is logged.
    pub(crate) ended: AtomicU32,
    open: AtomicUsize,
    /// What balancers in front say of its connections.
    pub(crate) headers: Arc<Headers>,
    pub(crate) metrics: ListenerMetrics,
    pub(crate) tracer: Tracer,
    /// Each worker's listening socket once more, for who takes them over.
    sockets: Mutex<Vec<OwnedFd>>,
    /// Another listener or process has its sockets.
    handed_over: AtomicBool,
    closed: watch::Sender<bool>,
}

impl Port {
    pub(crate) fn new(
        config: &ListenerConfig,
        address: SocketAddr,
        sockets: Vec<OwnedFd>,
        rules: Rules,
        (metrics, tracer): (&Metrics, &Tracer),
    ) -> Self {
        Self {
            name: config.name.clone(),
            protocol: config.protocol,
            listen: config.listen,
            address,
            rules: ArcSwap::from_pointee(rules),
            limits: Limits::new(config),
            ended: AtomicU32::new(0),
            open: AtomicUsize::new(0),
            headers: service::proxy::live_headers(&config.accept_proxy, |outcome| {
                metrics.proxy_headers.with_label_values(&[config.name.as_str(), outcome])
            }),
            metrics: ListenerMetrics::new(metrics, &config.name),
            tracer: tracer.clone(),
            sockets: Mutex::new(sockets),
            handed_over: AtomicBool::new(false),
            closed: watch::Sender::new(false),
        }
    }

    pub(crate) fn is(&self, config: &ListenerConfig) -> bool {
        self.name == config.name && self.protocol == config.protocol && self.listen == config.listen
    }

    /// Whether a listener takes over its sockets.
    pub(crate) fn goes_to(&self, config: &ListenerConfig) -> bool {
        self.protocol == config.protocol && self.address == config.listen
    }

    /// Other rules, for connections that come from now on.
    pub(crate) fn configure(&self, config: &ListenerConfig, rules: Rules) {
        self.limits.set(config);
        self.headers.set(config.accept_proxy.clone());
        self.rules.store(Arc::new(rules));
    }

    /// Where its connections go now.
    pub(crate) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.rules.load().pool)
    }

    /// Its listening sockets once more.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.lock().iter().map(OwnedFd::try_clone).collect()
    }

    /// Bounds of its QUIC sessions now.
    pub(crate) fn quic(&self) -> QuicConfig {
        self.rules.load().quic
    }

    /// Its sockets are another's now, who takes what comes on them.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// Lets the sockets go, so that they close with those of the workers.
    pub(crate) fn release_sockets(&self) {
        self.lock().clear();
    }

    /// Ends the listener: its connections go on.
    pub(crate) fn close(&self) {
        self.release_sockets();
        self.closed.send_replace(true);
    }

    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        closed.wait_for(|closed| *closed).await.expect("invariant: the sender is borrowed");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<OwnedFd>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection counted against the limit of its listener.
#[derive(Debug)]
pub(crate) struct Slot {
    port: Arc<Port>,
    rules: Arc<Rules>,
}

impl Slot {
    /// Takes a connection in; `None`: it is refused, which is counted.
    pub(crate) fn take(port: &Arc<Port>, client: SocketAddr) -> Option<Self> {
        let rules = port.rules.load_full();
        if !rules.lets_in(client.ip()) {
            port.metrics.refused_list.inc();
            return None;
        }
        if !port.limits.connections.admit(Instant::now()) {
            port.metrics.refused_rate.inc();
            return None;
        }
        if port.open.fetch_add(1, Ordering::Relaxed) >= rules.connections_max {
            port.open.fetch_sub(1, Ordering::Relaxed);
            port.metrics.refused_limit.inc();
            return None;
        }
        port.metrics.open.inc();
        Some(Self { port: Arc::clone(port), rules })
    }

    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    /// Those of the listener, where bytes are limited.
    pub(crate) fn byte_limits(&self) -> Option<&Limits> {
        let limits = &self.port.limits;
        (!limits.inward.is_none()).then_some(limits)
    }

    pub(crate) fn metrics(&self) -> &ListenerMetrics {
        &self.port.metrics
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.port.open.fetch_sub(1, Ordering::Relaxed);
        self.port.metrics.open.dec();
    }
}

/// Listening sockets that are there already: of a process that hands over, or of listeners that are
/// given up.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(SocketAddr, Protocol, OwnedFd)>);

impl Inherited {
    /// Adds a socket.
    ///
    /// # Errors
    /// When it does not say its address.
    pub(crate) fn add(&mut self, socket: OwnedFd) -> io::Result<()> {
        let said = SockRef::from(&socket);
        let protocol = if said.r#type()? == Type::DGRAM { Protocol::Quic } else { Protocol::Tcp };
        let address = said.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        self.0.push((address, protocol, socket));
        Ok(())
    }

    pub(crate) fn take(&mut self, address: SocketAddr, protocol: Protocol) -> Vec<OwnedFd> {
        let wanted = |(at, of, _): &mut (SocketAddr, Protocol, OwnedFd)| (*at, *of) == (address, protocol);
        self.0.extract_if(.., wanted).map(|(.., socket)| socket).collect()
    }
}

/// An address listened on.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Sockets,
    /// All sockets once more.
    pub(crate) shared: Vec<OwnedFd>,
}

/// What is accepted on.
#[derive(Debug)]
pub(crate) enum Sockets {
    /// For each worker its own.
    Tcp(Vec<Vec<Listener>>),
    /// One, for one worker.
    Quic(OwnedFd),
}

impl Bound {
    /// Listens on `address` for so many workers: on what is inherited (all of it: connections wait
    /// there), and on sockets of its own for workers that would have none.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub(crate) fn tcp(
        mut address: SocketAddr,
        options: SocketOptions,
        workers: usize,
        inherited: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        if inherited.is_empty() {
            Listener::ensure_unused(address)?;
        }
        let mut listeners: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
        for (at, socket) in inherited.into_iter().enumerate() {
            listeners[at % workers].push(Listener::adopt(socket.into(), options)?);
        }
        for own in listeners.iter_mut().filter(|own| own.is_empty()) {
            let bound = Listener::bind(address, options)?;
            // With port 0 the first takes a free one, and the others share it.
            address = bound.local_addr()?;
            own.push(bound);
        }
        let shared = listeners.iter().flatten().filter_map(|listener| listener.share().transpose());
        let shared = shared.map(|socket| socket.map(OwnedFd::from)).collect::<io::Result<_>>()?;
        Ok(Self { address, shared, sockets: Sockets::Tcp(listeners) })
    }

    /// Listens for QUIC, on an inherited socket if there is one.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub(crate) fn quic(address: SocketAddr, mut inherited: Vec<OwnedFd>) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address} (QUIC): {error}"))
        };
        let socket = inherited.pop().map_or_else(|| udp::listen(address), Ok).map_err(named)?;
        let address = SockRef::from(&socket).local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { address, shared: vec![socket.try_clone()?], sockets: Sockets::Quic(socket) })
    }
}
