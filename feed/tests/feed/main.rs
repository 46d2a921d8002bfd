//! A whole feed on real loopback sockets: what comes in from sources, and what each subscriber gets.

#![allow(clippy::unwrap_used)] // A test fails where it unwraps.

mod bad_peers;
mod behind_balancer;
mod board;
mod book;
mod browsers;
mod bus;
mod chromium;
mod conflation;
mod datagrams;
mod door;
mod entitlement;
mod level_one;
mod nats;
mod operators;
mod own_numbers;
mod program;
mod quic;
mod relays;
mod retention;
mod slow_readers;
mod sources;
mod streams;
mod subscribers;
mod support;
mod web_tls;
mod websocket;
mod whole;
