//! slb in front of servers, changed by its admin port as an operator would.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use service::admin::{self, Admin};
use service::{Host, Running};
use slb::{Config, Server};

use crate::program::wait_for;
use crate::story::Behind;

/// The names of the servers behind it.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    admin: admin::Serving,
    running: Option<Running>,
}

impl Balancer {
    /// In turn by weight, checked often, and after failed connects soon tried again.
    pub(crate) fn start(servers: &[impl Behind]) -> Self {
        let mut text = "workers = 2\n[[listeners]]\nname = \"l\"\nlisten = \"127.0.0.1:0\"\npool = \"p\"\n\
                        [[pools]]\nname = \"p\"\n\
                        health = { interval_ms = 50, timeout_ms = 10_000, rise = 2, fall = 2 }\n\
                        outlier = { ejection_ms = 500 }\n"
            .to_owned();
        for (name, server) in NAMES.iter().zip(servers) {
            let address = server.address();
            writeln!(text, "[[pools.backends]]\nname = \"{name}\"\naddress = \"{address}\"").unwrap();
        }
        Self::with(&text)
    }

    /// With this configuration, whose first listener is `l`.
    pub(crate) fn with(text: &str) -> Self {
        let config: Config = service::config::parse(text, "slb.toml").unwrap();
        let host = Host::default();
        let server = Server::bind(config, &host).unwrap();
        let admin = Admin::bind(&admin::Config::default(), &host).unwrap();
        let admin = admin.ready(server.readiness()).routes(server.routes()).start().unwrap();
        let address = server.address("l").unwrap();
        Self { address, admin, running: Some(server.start().unwrap()) }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.admin.address()).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        body.to_owned()
    }

    pub(crate) fn reweight(&self, name: &str, weight: u32) {
        self.request("POST", &format!("/backends/p/{name}/weight"), &format!("{{\"weight\": {weight}}}"));
    }

    pub(crate) fn drain(&self, name: &str, draining: bool) {
        self.request("POST", &format!("/backends/p/{name}/drain"), &format!("{{\"draining\": {draining}}}"));
    }

    pub(crate) fn wait_for_state(&self, name: &str, state: &str) {
        wait_for(&format!("{name} is {state}"), || {
            let pools: serde_json::Value =
                serde_json::from_str(&self.request("GET", "/backends", "")).unwrap();
            let mut backends = pools[0]["backends"].as_array().unwrap().iter();
            backends.any(|backend| backend["name"] == *name && backend["state"] == *state)
        });
    }

    /// A metric, or 0 where there is none of that name.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.request("GET", "/metrics", "");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Connections that have come to each server.
    pub(crate) fn connections(&self) -> HashMap<&'static str, u64> {
        let count =
            |name| self.metric(&format!("slb_backend_connections_total{{backend=\"{name}\",pool=\"p\"}}"));
        NAMES.map(|name| (name, count(name))).into()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().unwrap();
        }
    }
}
