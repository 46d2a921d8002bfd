use crate::pipe::Pair;
use crate::pki::{Pki, client_config, server_config, strict};
use gm::tls::{self, CURVE_SM2, CURVE_SM2_ML_KEM_768, Mode, TLS_SM4_CCM_SM3, TLS_SM4_GCM_SM3};
use gm::x509::Usage;
use rustls::crypto::CryptoProvider;
use rustls::server::Acceptor;
use rustls::{CipherSuite, HandshakeKind, NamedGroup};
use std::sync::Arc;

fn suite_and_group(pair: &Pair) -> (CipherSuite, NamedGroup) {
    let suite = pair.client.negotiated_cipher_suite().unwrap().suite();
    let group = pair.client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(pair.server.negotiated_cipher_suite().unwrap().suite(), suite);
    assert_eq!(pair.server.negotiated_key_exchange_group().unwrap().name(), group);
    (suite, group)
}

fn shaken(client: CryptoProvider, server: CryptoProvider) -> Pair {
    let pki = Pki::new();
    let server = server_config(server, &pki.identity("localhost", Usage::Server), None);
    let mut pair = Pair::new(client_config(client, pki.roots(), None), server);
    pair.run().unwrap();
    pair.talk();
    pair
}

fn exported(pair: &Pair) -> [[u8; 32]; 2] {
    let client = pair.client.export_keying_material([0; 32], b"EXPORTER-test", None).unwrap();
    let server = pair.server.export_keying_material([0; 32], b"EXPORTER-test", None).unwrap();
    [client, server]
}

#[test]
fn strict_mode_agrees_on_the_first_suite_and_group() {
    let pair = shaken(strict(), strict());
    assert_eq!(suite_and_group(&pair), (TLS_SM4_GCM_SM3, CURVE_SM2));
    let [client, server] = exported(&pair);
    assert_eq!(client, server);
}

#[test]
fn ccm_when_only_one_side_wants_it() {
    let mut server = strict();
    server.cipher_suites.remove(0);
    assert_eq!(suite_and_group(&shaken(strict(), server)), (TLS_SM4_CCM_SM3, CURVE_SM2));
}

#[test]
fn the_hybrid_group_and_its_component() {
    let hybrid = || tls::prefer_hybrid(strict());
    assert_eq!(suite_and_group(&shaken(hybrid(), hybrid())).1, CURVE_SM2_ML_KEM_768);
    // A server without ML-KEM takes the share of curveSM2 that came along, with no further round trip.
    let mut server = strict();
    server.kx_groups.truncate(1);
    let pair = shaken(hybrid(), server);
    assert_eq!(suite_and_group(&pair).1, CURVE_SM2);
    assert_eq!(pair.client.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn a_server_that_wants_another_group_asks_for_it() {
    let mut server = strict();
    server.kx_groups.remove(0);
    let pair = shaken(strict(), server);
    assert_eq!(suite_and_group(&pair).1, CURVE_SM2_ML_KEM_768);
    assert_eq!(pair.client.handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
}

#[test]
fn mutual_authentication() {
    let pki = Pki::new();
    let server_identity = pki.identity("localhost", Usage::Server);
    let client_identity = pki.identity("client-7", Usage::Client);
    let server = server_config(strict(), &server_identity, Some(pki.roots()));
    let mut pair = Pair::new(client_config(strict(), pki.roots(), Some(&client_identity)), server);
    pair.run().unwrap();
    pair.talk();
    assert_eq!(pair.server.peer_certificates().unwrap(), client_identity.chain);
    assert_eq!(pair.client.peer_certificates().unwrap(), server_identity.chain);
}

#[test]
fn sessions_resume_by_ticket_and_by_memory() {
    for tickets in [false, true] {
        let pki = Pki::new();
        let mut server = server_config(strict(), &pki.identity("localhost", Usage::Server), None);
        if tickets {
            server.ticketer = tls::ticketer().unwrap();
        }
        let (client, server) = (Arc::new(client_config(strict(), pki.roots(), None)), Arc::new(server));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut pair = Pair::of(&client, &server);
            pair.run().unwrap();
            pair.talk();
            assert_eq!(pair.client.handshake_kind(), Some(kind), "tickets: {tickets}");
        }
    }
}

#[test]
fn keys_are_updated_within_a_connection() {
    let mut pair = shaken(strict(), strict());
    pair.client.refresh_traffic_keys().unwrap();
    pair.server.refresh_traffic_keys().unwrap();
    pair.talk();
}

#[test]
fn mixed_mode_speaks_shangmi_with_a_strict_peer() {
    let pair = shaken(tls::provider(Mode::Mixed), strict());
    let (suite, group) = suite_and_group(&pair);
    assert!(tls::is_coherent(suite, group) && suite == TLS_SM4_GCM_SM3);
}

/// A server looks at the hello and decides in which world it answers.
#[test]
fn a_client_hello_tells_whether_shangmi_is_offered() {
    for (mode, wanted) in [(Mode::Strict, true), (Mode::Mixed, true), (Mode::International, false)] {
        let pki = Pki::new();
        let client = Arc::new(client_config(tls::provider(mode), pki.roots(), None));
        let server = server_config(strict(), &pki.identity("localhost", Usage::Server), None);
        let mut pair = Pair::of(&client, &Arc::new(server));
        let mut bytes = Vec::new();
        pair.client.write_tls(&mut bytes).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &bytes[..]).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        assert_eq!(tls::offers_shangmi(&accepted.client_hello()), wanted, "{mode:?}");
    }
}
