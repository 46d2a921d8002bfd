//! Sessions are resumed by either side, with either kind of memory on ours.

use crate::handshake::theirs;
use crate::openssl::tls::{Context, SHANGMI, Settings};
use crate::pair::Pair;
use crate::pki::{NOW_S, Pki, client_config, server_config, strict};
use gm::tls;
use gm::x509::Usage;
use rustls::HandshakeKind;
use std::sync::Arc;

#[test]
fn our_client_resumes_with_their_server() {
    for (suites, mutual) in
        [(c"TLS_SM4_GCM_SM3", false), (c"TLS_SM4_CCM_SM3", false), (c"TLS_SM4_GCM_SM3", true)]
    {
        let pki = Pki::new();
        let identity = theirs(&pki.identity("localhost", Usage::Server));
        let root = mutual.then(|| pki.root());
        let base = Settings { suites, now_s: NOW_S, ..SHANGMI };
        let context = Context::server(&Settings { identity: Some(&identity), root, ..base });
        let client = mutual.then(|| pki.identity("client", Usage::Client));
        let ours = Arc::new(client_config(strict(), pki.roots(), client.as_ref()));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut pair = Pair::with_our_client(&ours, &context);
            pair.run().unwrap();
            // Their tickets come behind the handshake, with the first data.
            pair.talk();
            assert_eq!(pair.ours.handshake_kind(), Some(kind), "{suites:?}, mutual: {mutual}");
            assert_eq!(pair.theirs.is_resumed(), kind == HandshakeKind::Resumed);
        }
    }
}

#[test]
fn their_client_resumes_with_our_server() {
    for tickets in [false, true] {
        let pki = Pki::new();
        let base = Settings { root: Some(pki.root()), now_s: NOW_S, ..SHANGMI };
        let identity = theirs(&pki.identity("client", Usage::Client));
        let context = Context::client(&Settings { identity: Some(&identity), ..base });
        let server = pki.identity("localhost", Usage::Server);
        let mut ours = server_config(strict(), &server, Some(pki.roots()));
        if tickets {
            ours.ticketer = tls::ticketer().unwrap();
        }
        let ours = Arc::new(ours);
        let mut session = None;
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut pair = Pair::with_our_server(&ours, &context);
            if let Some(session) = &session {
                pair.theirs.resume(session);
            }
            pair.run().unwrap();
            pair.talk();
            assert_eq!(pair.ours.handshake_kind(), Some(kind), "tickets: {tickets}");
            assert_eq!(pair.theirs.is_resumed(), kind == HandshakeKind::Resumed);
            // Who the client is, is known of a resumed session too.
            assert!(pair.ours.peer_certificates().is_some());
            session = Some(pair.theirs.into_session());
        }
    }
}

/// A ticket of another server's key is not opened: the handshake is a full one instead.
#[test]
fn a_ticket_of_another_key_leads_to_a_full_handshake() {
    let pki = Pki::new();
    let context = Context::client(&Settings { root: Some(pki.root()), now_s: NOW_S, ..SHANGMI });
    let server = pki.identity("localhost", Usage::Server);
    let mut session = None;
    for _ in 0..2 {
        let mut ours = server_config(strict(), &server, None);
        ours.ticketer = tls::ticketer().unwrap();
        let mut pair = Pair::with_our_server(&Arc::new(ours), &context);
        if let Some(session) = &session {
            pair.theirs.resume(session);
        }
        pair.run().unwrap();
        pair.talk();
        assert_eq!(pair.ours.handshake_kind(), Some(HandshakeKind::Full));
        assert!(!pair.theirs.is_resumed());
        session = Some(pair.theirs.into_session());
    }
}
