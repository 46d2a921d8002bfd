//! A story in a simulated network: a backend is cut off without a word, and comes back.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use service::Host;
use slb::{
    BackendConfig, Config, ConnectConfig, Control, HealthConfig, ListenerConfig, PoolConfig, Scheduler,
    Server, State,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 7000;

/// Says its name on each connection and holds it.
async fn backend(name: u8) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The end of the connection, or of the way to it, is part of the story.
            while stream.write_all(&[name]).await.is_ok() && stream.read_u8().await.is_ok() {}
        });
    }
}

fn config() -> Config {
    let backend = |name: &str| BackendConfig::new(name, SocketAddr::from((turmoil::lookup(name), PORT)));
    Config {
        workers: 1,
        listeners: vec![ListenerConfig::new("l", SocketAddr::from(([0, 0, 0, 0], PORT)), "p")],
        pools: vec![PoolConfig {
            scheduler: Scheduler::Rr,
            health: HealthConfig {
                interval_ms: 1000,
                timeout_ms: 500,
                rise: 2,
                fall: 2,
                ..HealthConfig::default()
            },
            connect: ConnectConfig { timeout_ms: 200, attempts: 2 },
            ..PoolConfig::new("p", vec![backend("a"), backend("b")])
        }],
        ..Config::default()
    }
}

/// Two backends and a balancer in front of them; what has its metrics, and once it runs its handle.
fn town(sim: &mut turmoil::Sim<'_>, config: fn() -> Config) -> (Host, Arc<OnceLock<Control>>) {
    sim.host("a", || backend(b'a'));
    sim.host("b", || backend(b'b'));
    let (host, control) = (Host::default(), Arc::new(OnceLock::new()));
    let (of_balancer, set) = (host.clone(), Arc::clone(&control));
    sim.host("balancer", move || {
        let (host, control) = (of_balancer.clone(), Arc::clone(&set));
        async move {
            let server = Server::bind(config(), &host)?;
            control.set(server.control().clone()).unwrap();
            Ok(server.run().await?)
        }
    });
    (host, control)
}

/// The backend that a new connection comes to.
async fn open() -> io::Result<(char, TcpStream)> {
    let mut stream = TcpStream::connect(("balancer", PORT)).await?;
    let name = char::from(stream.read_u8().await?);
    Ok((name, stream))
}

async fn wait_for(control: &Control, state: State) {
    control.wait_until(|pools| pools[0].backends[1].state == state).await;
}

#[test]
fn a_backend_cut_off_without_a_word_is_passed_over_taken_out_and_brought_back() {
    let mut sim = turmoil::Builder::new().rng_seed(1).simulation_duration(Duration::from_secs(60)).build();
    let (host, control) = town(&mut sim, config);
    sim.client("client", async move {
        let (mut names, mut streams) = (String::new(), Vec::new());
        for _ in 0..4 {
            let (name, stream) = open().await?;
            names.push(name);
            streams.push(stream);
        }
        assert_eq!(names, "abab");

        turmoil::hold("balancer", "b");
        for _ in 0..4 {
            assert_eq!(open().await?.0, 'a', "the attempt on b times out, and a takes it");
        }
        streams[0].write_u8(0).await?;
        assert_eq!(streams[0].read_u8().await?, b'a', "connections to a notice nothing");
        let control = control.get().unwrap();
        wait_for(control, State::Down).await;
        let timeouts = "slb_backend_connect_failures_total{backend=\"b\",pool=\"p\",reason=\"timeout\"} ";
        let count =
            |text: String| text.lines().find_map(|line| line.strip_prefix(timeouts)?.parse::<u64>().ok());
        let tried = count(service::metrics::text(&host.registry)).unwrap();
        assert!(tried >= 1);
        for _ in 0..4 {
            assert_eq!(open().await?.0, 'a');
        }
        assert_eq!(count(service::metrics::text(&host.registry)), Some(tried), "b is not even tried");

        turmoil::release("balancer", "b");
        wait_for(control, State::Up).await;
        let pair = (open().await?.0, open().await?.0);
        assert!(pair == ('a', 'b') || pair == ('b', 'a'), "{pair:?}");
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn checks_begin_every_interval_however_long_the_one_before_took() {
    let mut sim = turmoil::Builder::new().rng_seed(2).simulation_duration(Duration::from_secs(60)).build();
    let as_long_as_the_interval = || {
        let mut config = config();
        config.pools[0].health =
            HealthConfig { interval_ms: 1000, timeout_ms: 1000, fall: 3, ..HealthConfig::default() };
        config
    };
    let (_, control) = town(&mut sim, as_long_as_the_interval);
    sim.client("client", async move {
        open().await?;
        turmoil::hold("balancer", "b");
        let held_at = turmoil::elapsed();
        wait_for(control.get().unwrap(), State::Down).await;
        let took = turmoil::elapsed() - held_at;
        // An interval at most until a check begins that fails, and three of them one after the other; each alarm is late by
        // two ticks at most.
        assert!(took <= Duration::from_millis(4_010), "{took:?}");
        Ok(())
    });
    sim.run().unwrap();
}
