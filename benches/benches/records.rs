//! One market-data frame into a TLS record of SM4-GCM: by rustls' buffered and unbuffered interfaces, by our own record
//! layer, and by it for eight connections in one pass. Time is per record.
#![allow(missing_docs, reason = "a benchmark")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gm::sm2::SecretKey;
use gm::tls::record::{Sealer, seal_for_all};
use gm::tls::{Mode, provider};
use gm::x509::{AltName, Authority, Leaf, Subject, Usage, Validity};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

const FRAME_BYTES: [usize; 3] = [128, 512, 4_096];
const LANES: usize = 8;
/// Every year that this may run in.
const ALWAYS: Validity = Validity { not_before_s: 1_700_000_000, not_after_s: 4_000_000_000 };

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let named = |name: &str| Subject { common_name: name.into(), ..Subject::default() };
    let authority = Authority::root(&named("bench"), SecretKey::generate().unwrap(), ALWAYS).unwrap();
    let key = SecretKey::generate().unwrap();
    let leaf = Leaf {
        subject: &named("localhost"),
        alt_names: &[AltName::Dns("localhost".into())],
        usage: Usage::Server,
        public_key: key.public_key(),
        validity: ALWAYS,
    };
    let chain = vec![CertificateDer::from(authority.issue(&leaf).unwrap())];
    let key = PrivateKeyDer::Pkcs8(key.to_pkcs8_der().to_vec().into());
    let provider = Arc::new(provider(Mode::Strict));
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate().to_vec())).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(client), Arc::new(server))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// A client after its handshake, by rustls' buffered interface.
fn buffered() -> ClientConnection {
    let (client, server) = configs();
    let mut client = ClientConnection::new(client, name()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        server.read_tls(&mut &flight[..]).unwrap();
        server.process_new_packets().unwrap();
        flight.clear();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        client.read_tls(&mut &flight[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    client
}

/// The same by its unbuffered interface.
fn unbuffered() -> UnbufferedClientConnection {
    let (client, server) = configs();
    let mut client = UnbufferedClientConnection::new(client, name()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let (mut incoming, mut flight) = (Vec::new(), Vec::new());
    loop {
        let UnbufferedStatus { discard, state, .. } = client.process_tls_records(&mut incoming);
        match state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                let start = flight.len();
                if let Err(EncodeError::InsufficientSize(wanted)) = data.encode(&mut []) {
                    flight.resize(start + wanted.required_size, 0);
                }
                data.encode(&mut flight[start..]).unwrap();
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(_) if !server.is_handshaking() => break,
            _ => {
                server.read_tls(&mut &flight[..]).unwrap();
                server.process_new_packets().unwrap();
                flight.clear();
                incoming.drain(..discard);
                while server.wants_write() {
                    server.write_tls(&mut incoming).unwrap();
                }
                continue;
            }
        }
        incoming.drain(..discard);
    }
    client
}

fn sealer(lane: u8) -> Sealer {
    Sealer::new(&[lane; 16], [lane; 12], 0)
}

fn records(criterion: &mut Criterion) {
    for bytes in FRAME_BYTES {
        let frame = vec![7; bytes];
        let mut group = criterion.benchmark_group(format!("record/{bytes}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        let (mut client, mut out) = (buffered(), Vec::new());
        group.bench_function("rustls buffered", |bencher| {
            bencher.iter(|| {
                out.clear();
                client.writer().write_all(black_box(&frame)).unwrap();
                client.write_tls(&mut out).unwrap();
                black_box(&out);
            });
        });
        let (mut client, mut out) = (unbuffered(), vec![0; bytes + 64]);
        group.bench_function("rustls unbuffered", |bencher| {
            bencher.iter(|| match client.process_tls_records(&mut []).state.unwrap() {
                ConnectionState::WriteTraffic(mut traffic) => {
                    black_box(traffic.encrypt(black_box(&frame), &mut out).unwrap());
                }
                other => panic!("{other:?}"),
            });
        });
        let (mut own, mut out) = (sealer(0), Vec::new());
        group.bench_function("own", |bencher| {
            bencher.iter(|| {
                if own.is_nearly_used_up() {
                    own = sealer(0);
                }
                out.clear();
                own.seal(black_box(&frame), &mut out).unwrap();
                black_box(&out);
            });
        });
        together(&mut group, &frame);
    }
}

/// Time and throughput are for all eight: divide by eight.
fn together(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, frame: &[u8]) {
    let mut own: Vec<Sealer> = (0..LANES as u8).map(sealer).collect();
    let mut outs = vec![Vec::new(); LANES];
    group.throughput(Throughput::Bytes((LANES * frame.len()) as u64));
    group.bench_function("own, 8 connections in a pass (time for 8)", |bencher| {
        bencher.iter(|| {
            if own[0].is_nearly_used_up() {
                own = (0..LANES as u8).map(sealer).collect();
            }
            outs.iter_mut().for_each(Vec::clear);
            let mut lanes: Vec<_> = own.iter_mut().zip(&mut outs).collect();
            seal_for_all(&mut lanes, black_box(frame)).unwrap();
        });
        black_box(&outs);
    });
}

criterion_group!(benches, records);
criterion_main!(benches);
