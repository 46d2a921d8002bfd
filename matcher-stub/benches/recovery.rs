//! How long a matcher with a million orders in its journal takes until it listens again.
//!
//! `cargo bench -p matcher-stub --bench recovery`. The journal is of a real matcher, which takes the stream of `match_path`
//! through its port first; its files are then in the system's cache, as they are when a process alone has died. Each sample is
//! a whole `Server::bind`: configuration, reading, replay with all reports and market data, ports.

mod stream;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use matcher_stub::config::SecurityRange;
use matcher_stub::{Config, Server};
use service::Host;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use stream::{Request, SECURITIES, requests};
use wire::szse::trading::{CancelReject, OrderReport, PartitionIndex, ReportSynchronization};
use wire::szse::{Frame, I32, I64, Logon, Message, Password, Text, frame};

const ORDERS: u32 = 1_000_000;
/// Requests that the client sends before it reads their reports.
const BATCH: usize = 256;

fn config() -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::default();
    config.trading.iter_mut().for_each(|port| port.listen = any);
    config.market_data.iter_mut().for_each(|port| port.listen = any);
    config.security_ranges = vec![SecurityRange { count: SECURITIES, ..config.security_ranges[0].clone() }];
    config
}

/// A session at the cash desk that has all its reports.
fn session(config: &Config, address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a TCP connection");
    let mut bytes = Vec::new();
    let logon = Logon {
        sender_comp_id: Text::literal("BENCH"),
        target_comp_id: config.session.comp_id.parse().expect("a CompID"),
        heart_bt_int_s: I32::new(60),
        password: Password::default(),
        default_appl_ver_id: Text::BLANK,
    };
    frame::encode(&logon, &mut bytes);
    let from_1 =
        |number: u16| PartitionIndex { partition_no: I32::new(number.into()), report_index: I64::new(1) };
    let partitions: Vec<_> = (config.trading[0].partition_first..).take(2).map(from_1).collect();
    ReportSynchronization { partitions: &partitions }.encode(&mut bytes).expect("two partitions");
    stream.write_all(&bytes).expect("it listens");
    stream
}

/// The ClOrdID of the request that a frame answers.
fn answers(frame: Frame<'_>) -> Option<Text<10>> {
    match frame.msg_type {
        OrderReport::MSG_TYPE => frame.view::<OrderReport>().ok().map(|report| report.cl_ord_id),
        CancelReject::MSG_TYPE => frame.view::<CancelReject>().ok().map(|reject| reject.cl_ord_id),
        _ => None,
    }
}

/// Sends all requests and reads an answer to each.
fn send(stream: &mut TcpStream, requests: &[Request]) {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
    for batch in requests.chunks(BATCH) {
        let mut out = Vec::new();
        let mut open = HashSet::new();
        for request in batch {
            match request {
                Request::Order(order) => {
                    open.insert(order.cl_ord_id);
                    frame::encode(order, &mut out);
                }
                Request::Cancel(cancel) => {
                    open.insert(cancel.cl_ord_id);
                    frame::encode(cancel, &mut out);
                }
            }
        }
        stream.write_all(&out).expect("it listens");
        while !open.is_empty() {
            let read = stream.read(&mut chunk).expect("it answers");
            assert!(read > 0, "the matcher closed the session");
            bytes.extend_from_slice(&chunk[..read]);
            let mut done = 0;
            while let Some(frame) =
                frame::decode(&bytes[done..], frame::BODY_LEN_MAX).expect("it sends frames")
            {
                done += frame.bytes.len();
                answers(frame).map(|cl_ord_id| open.remove(&cl_ord_id));
            }
            bytes.drain(..done);
        }
    }
}

fn recovery(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut config = config();
    config.journal.directory = Some(folder.path().to_owned());
    let bind = || Server::bind(config.clone(), &Host::default()).expect("it can be bound");
    let server = bind();
    let mut stream = session(&config, server.address("cash").expect("the desk of the cash core"));
    let running = server.start().expect("a thread");
    // Of a stream's requests 85 % are orders.
    let mut requests = requests(ORDERS / 80 * 100);
    let mut orders = 0;
    requests.retain(|request| {
        orders += u32::from(matches!(request, Request::Order(_)));
        orders <= ORDERS
    });
    send(&mut stream, &requests);
    running.stop().expect("it ends in order");
    drop(stream);

    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Elements(u64::from(ORDERS))).sample_size(10);
    group.bench_function("1,000,000 orders", |bencher| bencher.iter_with_large_drop(bind));
    group.finish();
}

criterion_group!(benches, recovery);
criterion_main!(benches);
