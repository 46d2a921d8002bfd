//! What RFC 8998 wants works, with either side as client.

use crate::openssl::key::Key;
use crate::openssl::tls::{Context, Identity, SHANGMI, Settings};
use crate::pair::Pair;
use crate::pki::{self, NOW_S, Pki, client_config, server_config, strict};
use gm::tls::{self, CURVE_SM2, CURVE_SM2_ML_KEM_768, TLS_SM4_CCM_SM3, TLS_SM4_GCM_SM3};
use gm::x509::Usage;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{CipherSuite, Connection, HandshakeKind, NamedGroup};
use std::ffi::CStr;
use std::sync::Arc;

/// An identity of ours in OpenSSL's hands.
pub(crate) fn theirs(identity: &pki::Identity) -> Identity {
    let PrivateKeyDer::Pkcs8(key) = &identity.key else { panic!("not PKCS#8") };
    Identity {
        certificate: identity.chain[0].to_vec(),
        key: Key::from_pkcs8(key.secret_pkcs8_der()).unwrap(),
    }
}

/// RFC 8998 with these suites and groups, for OpenSSL's side.
fn settings<'a>(suites: &'a CStr, groups: &'a CStr) -> Settings<'a> {
    Settings { suites, groups, now_s: NOW_S, ..SHANGMI }
}

pub(crate) fn our_client(provider: CryptoProvider, settings: Settings<'_>) -> Pair {
    let pki = Pki::new();
    let identity = theirs(&pki.identity("localhost", Usage::Server));
    let context = Context::server(&Settings { identity: Some(&identity), ..settings });
    Pair::with_our_client(&Arc::new(client_config(provider, pki.roots(), None)), &context)
}

pub(crate) fn our_server(provider: CryptoProvider, settings: Settings<'_>) -> Pair {
    let pki = Pki::new();
    let context = Context::client(&Settings { root: Some(pki.root()), ..settings });
    let server = server_config(provider, &pki.identity("localhost", Usage::Server), None);
    Pair::with_our_server(&Arc::new(server), &context)
}

/// Both sides came to the same suite, group and secrets, and understand each other.
fn agree(mut pair: Pair, suite: CipherSuite, group: NamedGroup) -> HandshakeKind {
    pair.run().unwrap();
    assert!(pair.is_shaken());
    pair.talk();
    let names = match (suite, group) {
        (TLS_SM4_GCM_SM3, CURVE_SM2) => ("TLS_SM4_GCM_SM3", "curveSM2"),
        (TLS_SM4_GCM_SM3, _) => ("TLS_SM4_GCM_SM3", "curveSM2MLKEM768"),
        (_, CURVE_SM2) => ("TLS_SM4_CCM_SM3", "curveSM2"),
        _ => ("TLS_SM4_CCM_SM3", "curveSM2MLKEM768"),
    };
    assert_eq!((&pair.theirs.suite()[..], &pair.theirs.group()[..]), names);
    let (ours, label) = (&pair.ours, "EXPORTER-interop");
    assert_eq!(ours.negotiated_cipher_suite().unwrap().suite(), suite);
    assert_eq!(ours.negotiated_key_exchange_group().unwrap().name(), group);
    let secret = ours.export_keying_material([0; 32], label.as_bytes(), None).unwrap();
    assert_eq!(secret, pair.theirs.exported(label));
    ours.handshake_kind().unwrap()
}

#[test]
fn both_suites_and_both_groups_both_ways() {
    for (suites, suite) in [(c"TLS_SM4_GCM_SM3", TLS_SM4_GCM_SM3), (c"TLS_SM4_CCM_SM3", TLS_SM4_CCM_SM3)] {
        for (groups, group) in [(c"curveSM2", CURVE_SM2), (c"curveSM2MLKEM768", CURVE_SM2_ML_KEM_768)] {
            let hybrid = group == CURVE_SM2_ML_KEM_768;
            let provider = || if hybrid { tls::prefer_hybrid(strict()) } else { strict() };
            let client = agree(our_client(provider(), settings(suites, groups)), suite, group);
            assert_eq!(client, HandshakeKind::Full);
            let server = agree(our_server(provider(), settings(suites, groups)), suite, group);
            assert_eq!(server, HandshakeKind::Full);
        }
    }
}

/// The client's share is of a group that the server does not want: HelloRetryRequest.
#[test]
fn another_group_is_asked_for_both_ways() {
    let hybrid_only = settings(c"TLS_SM4_GCM_SM3", c"curveSM2MLKEM768");
    let kind = agree(our_client(strict(), hybrid_only), TLS_SM4_GCM_SM3, CURVE_SM2_ML_KEM_768);
    assert_eq!(kind, HandshakeKind::FullWithHelloRetryRequest);
    let mut provider = strict();
    provider.kx_groups.retain(|group| group.name() == CURVE_SM2_ML_KEM_768);
    let both = settings(c"TLS_SM4_GCM_SM3", c"*curveSM2:curveSM2MLKEM768");
    let kind = agree(our_server(provider, both), TLS_SM4_GCM_SM3, CURVE_SM2_ML_KEM_768);
    assert_eq!(kind, HandshakeKind::FullWithHelloRetryRequest);
}

/// OpenSSL's share of the hybrid group comes beside one of curveSM2: a server without ML-KEM takes that.
#[test]
fn our_hybrid_share_falls_back_to_its_component() {
    let plain_only = settings(c"TLS_SM4_GCM_SM3", c"curveSM2");
    let kind = agree(our_client(tls::prefer_hybrid(strict()), plain_only), TLS_SM4_GCM_SM3, CURVE_SM2);
    assert_eq!(kind, HandshakeKind::Full);
}

#[test]
fn mutual_authentication_both_ways() {
    let pki = Pki::new();
    let (server, client) =
        (pki.identity("localhost", Usage::Server), pki.identity("client-7", Usage::Client));
    for suites in [c"TLS_SM4_GCM_SM3", c"TLS_SM4_CCM_SM3"] {
        let base = Settings { root: Some(pki.root()), ..settings(suites, c"curveSM2") };
        let (their_server, their_client) = (theirs(&server), theirs(&client));
        let context = Context::server(&Settings { identity: Some(&their_server), ..base });
        let ours = client_config(strict(), pki.roots(), Some(&client));
        let mut pair = Pair::with_our_client(&Arc::new(ours), &context);
        pair.run().unwrap();
        pair.talk();
        assert_eq!(pair.theirs.peer_certificate(), client.chain[0].to_vec());
        let context = Context::client(&Settings { identity: Some(&their_client), ..base });
        let ours = server_config(strict(), &server, Some(pki.roots()));
        let mut pair = Pair::with_our_server(&Arc::new(ours), &context);
        pair.run().unwrap();
        pair.talk();
        assert_eq!(pair.theirs.peer_certificate(), server.chain[0].to_vec());
        // OpenSSL sends the root along, which it has for checking.
        assert_eq!(pair.ours.peer_certificates().unwrap()[0], client.chain[0]);
    }
}

#[test]
fn keys_are_updated_by_either_side() {
    for mut pair in [our_client(strict(), settings(c"TLS_SM4_GCM_SM3", c"curveSM2")), {
        our_server(strict(), settings(c"TLS_SM4_CCM_SM3", c"curveSM2"))
    }] {
        pair.run().unwrap();
        pair.talk();
        match &mut pair.ours {
            Connection::Client(client) => client.refresh_traffic_keys().unwrap(),
            Connection::Server(server) => server.refresh_traffic_keys().unwrap(),
        }
        pair.talk();
        pair.theirs.update_keys();
        pair.talk();
    }
}

/// Where both worlds are on offer, ShangMi is what both sides come to.
#[test]
fn mixed_mode_speaks_shangmi_with_who_wants_it() {
    let pair = our_client(tls::provider(tls::Mode::Mixed), settings(c"TLS_SM4_GCM_SM3", c"curveSM2"));
    agree(pair, TLS_SM4_GCM_SM3, CURVE_SM2);
    let pair = our_server(tls::provider(tls::Mode::Mixed), settings(c"TLS_SM4_GCM_SM3", c"curveSM2"));
    agree(pair, TLS_SM4_GCM_SM3, CURVE_SM2);
}
