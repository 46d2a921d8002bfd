//! Full TLS 1.3 handshakes with ShangMi in memory, without tickets: the time of the server's side, ours and OpenSSL
//! 4's, one-sided and mutual. (With the same client, ours; its time is not counted.)
//!
//! `cargo bench -p gm --bench handshake`, with `--features interop` for OpenSSL's part.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros; a benchmark that cannot go on panics"
)]

#[path = "../src/bin/gm/speed/handshake.rs"]
mod handshake;
#[cfg(feature = "interop")]
#[path = "../tests/interop/openssl/mod.rs"]
#[allow(dead_code, unsafe_code, reason = "calls of C functions, of which this benchmark wants a few")]
mod openssl;

use criterion::{Criterion, criterion_group, criterion_main};
use handshake::Sides;

fn ours(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake, server's side");
    for (name, mutual) in [("one-sided", false), ("mutual", true)] {
        let sides = Sides::new(gm::tls::provider(gm::tls::Mode::Strict), mutual).unwrap();
        group.bench_function(name, |b| {
            b.iter_custom(|times| (0..times).map(|_| sides.shake().unwrap()).sum());
        });
    }
}

#[cfg(feature = "interop")]
mod theirs {
    use super::handshake::{read, written};
    use super::openssl::key::Key;
    use super::openssl::tls::{Context, Identity, SHANGMI, Settings};
    use super::openssl::x509::{Certificate, Content};
    use criterion::Criterion;
    use gm::tls::{Mode, provider};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::version::TLS13;
    use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    const CONTENT: Content<'static> = Content {
        name: "speed",
        alt_names: "DNS:localhost",
        usage: "serverAuth,clientAuth",
        valid_s: (0, 4_070_908_800),
    };

    pub(super) fn bench(c: &mut Criterion) {
        let mut group = c.benchmark_group("handshake, server's side");
        let authority = Key::sm2();
        let root = Certificate::root(&Content { name: "root", ..CONTENT }, &authority);
        let identity = || {
            let key = Key::sm2();
            Identity { certificate: root.issue(&CONTENT, &key, &authority).to_der(), key }
        };
        for (name, mutual) in [("one-sided, openssl", false), ("mutual, openssl", true)] {
            let (server, root) = (identity(), root.to_der());
            let client = client(&root, &identity());
            let root = mutual.then_some(&root[..]);
            let settings =
                Settings { identity: Some(&server), root, now_s: 1_800_000_000, tickets: 0, ..SHANGMI };
            let context = Context::server(&settings);
            group.bench_function(name, |b| {
                b.iter_custom(|times| (0..times).map(|_| shake(&client, &context)).sum());
            });
        }
    }

    fn client(root: &[u8], identity: &Identity) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(root.to_vec().into()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider(Mode::Strict)));
        let builder = builder.with_protocol_versions(&[&TLS13]).unwrap().with_root_certificates(roots);
        let key = PrivateKeyDer::Pkcs8(identity.key.to_pkcs8().into());
        let chain = vec![identity.certificate.clone().into()];
        Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
    }

    fn shake(client: &Arc<ClientConfig>, context: &Context) -> Duration {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client: Connection = ClientConnection::new(Arc::clone(client), name).unwrap().into();
        let start = now();
        let mut server = context.connection();
        let mut spent = start.elapsed();
        while client.is_handshaking() || !server.is_shaken() {
            let to_server = written(&mut client).unwrap();
            let start = now();
            server.give(&to_server);
            server.shake().unwrap();
            let to_client = server.take();
            spent += start.elapsed();
            read(&mut client, &to_client).unwrap();
        }
        let start = now();
        drop(server);
        spent + start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "measuring is the purpose")]
    fn now() -> Instant {
        Instant::now()
    }
}

#[cfg(not(feature = "interop"))]
mod theirs {
    pub(super) fn bench(_: &mut criterion::Criterion) {}
}

criterion_group!(benches, ours, theirs::bench);
criterion_main!(benches);
