//! What must fail does fail, on both sides of the wire.

use crate::handshake::{our_client, our_server, theirs};
use crate::openssl::key::Key;
use crate::openssl::tls::{Context, Identity, SHANGMI, Settings};
use crate::openssl::x509::{Certificate, Content};
use crate::pair::{Fault, Pair, Way};
use crate::pki::{self, NOW_S, Pki, VALID, client_config, server_config, strict};
use crate::wrong_identifier;
use gm::tls::{self, Mode};
use gm::x509::{Usage, Validity};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, Error};
use std::sync::Arc;

const BASE: Settings<'static> = Settings { now_s: NOW_S, ..SHANGMI };

/// Our client meets this server of theirs.
fn client_refuses(pki: &Pki, server: &pki::Identity) -> CertificateError {
    let identity = theirs(server);
    let context = Context::server(&Settings { identity: Some(&identity), ..BASE });
    let ours = client_config(strict(), pki.roots(), None);
    match Pair::with_our_client(&Arc::new(ours), &context).run() {
        Err(Fault::Ours(Error::InvalidCertificate(error))) => error,
        other => panic!("{other:?}"),
    }
}

/// Their client meets this server of ours.
fn they_refuse(pki: &Pki, server: &pki::Identity) -> String {
    let context = Context::client(&Settings { root: Some(pki.root()), ..BASE });
    let ours = server_config(strict(), server, None);
    their_fault(Pair::with_our_server(&Arc::new(ours), &context))
}

/// They find fault, and we do not count the handshake as done.
fn their_fault(mut pair: Pair) -> String {
    let error = match pair.run() {
        Err(Fault::Theirs(error)) => error.0,
        other => panic!("{other:?}"),
    };
    // The alert that they sent ends it here too.
    let alert = pair.theirs.take();
    assert!(matches!(pair.give_ours(&alert), Err(Error::AlertReceived(_))));
    error
}

#[test]
fn another_authority() {
    let (pki, stranger) = (Pki::new(), Pki::new().identity("localhost", Usage::Server));
    let error = client_refuses(&pki, &stranger);
    assert!(matches!(error, CertificateError::BadSignature | CertificateError::UnknownIssuer), "{error:?}");
    let error = they_refuse(&pki, &stranger);
    assert!(error.contains("certificate verify failed") && error.contains("unable to get"), "{error}");
}

#[test]
fn another_authority_of_the_client() {
    let pki = Pki::new();
    let (server, stranger) =
        (pki.identity("localhost", Usage::Server), Pki::new().identity("client", Usage::Client));
    // Their server and our client,
    let identity = theirs(&server);
    let context = Context::server(&Settings { identity: Some(&identity), root: Some(pki.root()), ..BASE });
    let ours = client_config(strict(), pki.roots(), Some(&stranger));
    let error = their_fault(Pair::with_our_client(&Arc::new(ours), &context));
    assert!(error.contains("certificate verify failed"), "{error}");
    // and our server and their client.
    let identity = theirs(&stranger);
    let context = Context::client(&Settings { identity: Some(&identity), root: Some(pki.root()), ..BASE });
    let ours = server_config(strict(), &server, Some(pki.roots()));
    let fault = Pair::with_our_server(&Arc::new(ours), &context).run().unwrap_err();
    assert!(matches!(fault, Fault::Ours(Error::InvalidCertificate(_))), "{fault:?}");
}

#[test]
fn a_client_without_a_certificate() {
    let pki = Pki::new();
    let server = pki.identity("localhost", Usage::Server);
    let identity = theirs(&server);
    let context = Context::server(&Settings { identity: Some(&identity), root: Some(pki.root()), ..BASE });
    let ours = client_config(strict(), pki.roots(), None);
    let error = their_fault(Pair::with_our_client(&Arc::new(ours), &context));
    assert!(error.contains("peer did not return a certificate"), "{error}");
    let context = Context::client(&Settings { root: Some(pki.root()), ..BASE });
    let ours = server_config(strict(), &server, Some(pki.roots()));
    let fault = Pair::with_our_server(&Arc::new(ours), &context).run().unwrap_err();
    assert!(matches!(fault, Fault::Ours(Error::NoCertificatesPresented)), "{fault:?}");
}

#[test]
fn another_name() {
    let pki = Pki::new();
    let elsewhere = pki.identity("elsewhere", Usage::Server);
    let error = client_refuses(&pki, &elsewhere);
    assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
    let error = they_refuse(&pki, &elsewhere);
    assert!(error.contains("hostname mismatch"), "{error}");
}

#[test]
fn another_use() {
    let pki = Pki::new();
    let client = pki.identity("localhost", Usage::Client);
    let error = client_refuses(&pki, &client);
    let purpose =
        matches!(error, CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. });
    assert!(purpose, "{error:?}");
    let error = they_refuse(&pki, &client);
    assert!(error.contains("purpose"), "{error}");
}

#[test]
fn a_certificate_out_of_its_time() {
    let pki = Pki::new();
    let late = Validity { not_after_s: NOW_S - 1, ..VALID };
    let late = pki.identity_valid("localhost", Usage::Server, late);
    let error = client_refuses(&pki, &late);
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
    let error = they_refuse(&pki, &late);
    assert!(error.contains("certificate has expired"), "{error}");
    let early = Validity { not_before_s: NOW_S + 1, ..VALID };
    let early = pki.identity_valid("localhost", Usage::Server, early);
    let error = client_refuses(&pki, &early);
    assert!(matches!(error, CertificateError::NotValidYetContext { .. }), "{error:?}");
    let error = they_refuse(&pki, &early);
    assert!(error.contains("certificate is not yet valid"), "{error}");
}

/// What we would refuse of them is refused by them of us: so both sign with the same identifier. (That ours refuses
/// another is in `tests/tls/refusal.rs`; OpenSSL cannot be made to sign with another.)
#[test]
fn the_wrong_identifier_in_certificate_verify() {
    let pki = Pki::new();
    let server = pki.identity("localhost", Usage::Server);
    let wrong = |identity| Arc::new(SingleCertAndKey::from(wrong_identifier::certified(identity)));
    let mut ours = server_config(strict(), &server, None);
    ours.cert_resolver = wrong(&server);
    let context = Context::client(&Settings { root: Some(pki.root()), ..BASE });
    let error = their_fault(Pair::with_our_server(&Arc::new(ours), &context));
    assert!(error.contains("bad signature"), "{error}");
    let mut ours = client_config(strict(), pki.roots(), None);
    ours.client_auth_cert_resolver = wrong(&pki.identity("client", Usage::Client));
    let identity = theirs(&server);
    let context = Context::server(&Settings { identity: Some(&identity), root: Some(pki.root()), ..BASE });
    let error = their_fault(Pair::with_our_client(&Arc::new(ours), &context));
    assert!(error.contains("bad signature"), "{error}");
}

/// SM4 and curveSM2, but a key on P-256: RFC 8998 ties the certificate to the suite.
#[test]
fn a_certificate_on_p256_in_strict_mode() {
    let (authority, key) = (Key::p256(), Key::p256());
    let root = Content { name: "Root", alt_names: "", usage: "", valid_s: (NOW_S - 9, NOW_S + 9) };
    let root = Certificate::root(&root, &authority);
    let leaf = Content {
        name: "leaf",
        alt_names: "DNS:localhost",
        usage: "serverAuth",
        valid_s: (NOW_S - 9, NOW_S + 9),
    };
    let certificate = root.issue(&leaf, &key, &authority).to_der();
    let identity = Identity { certificate, key };
    // Their server has nothing to sign with that our client offers.
    let context = Context::server(&Settings { identity: Some(&identity), signatures: c"", ..BASE });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.to_der().into()).unwrap();
    let ours = client_config(strict(), Arc::new(roots), None);
    let error = their_fault(Pair::with_our_client(&Arc::new(ours), &context));
    assert!(error.contains("no suitable signature algorithm"), "{error}");
    // Their client has a certificate that our server does not ask for: it comes without one.
    let pki = Pki::new();
    let context = Context::client(&Settings { identity: Some(&identity), signatures: c"", ..BASE });
    let ours = server_config(strict(), &pki.identity("localhost", Usage::Server), Some(pki.roots()));
    let fault = Pair::with_our_server(&Arc::new(ours), &context).run().unwrap_err();
    assert!(matches!(fault, Fault::Ours(Error::NoCertificatesPresented)), "{fault:?}");
    // And a strict side of ours cannot be given such a key.
    let key = PrivateKeyDer::Pkcs8(identity.key.to_pkcs8().into());
    assert!(strict().key_provider.load_private_key(key).is_err());
}

#[test]
fn tls_1_2() {
    let old = Settings { tls_1_2_at_most: true, groups: c"", signatures: c"", ..BASE };
    let mut pair = our_server(strict(), old);
    let fault = pair.run().unwrap_err();
    assert!(matches!(fault, Fault::Ours(Error::PeerIncompatible(_))), "{fault:?}");
    let error = their_fault(our_client(strict(), old));
    assert!(error.contains("unsupported protocol"), "{error}");
}

#[test]
fn a_peer_without_shangmi() {
    let international = Settings { suites: c"TLS_AES_128_GCM_SHA256", groups: c"X25519:P-256", ..BASE };
    let fault = our_server(strict(), international).run().unwrap_err();
    assert!(matches!(fault, Fault::Ours(Error::PeerIncompatible(_))), "{fault:?}");
    let error = their_fault(our_client(strict(), international));
    assert!(error.contains("no shared cipher"), "{error}");
    // Who mixes suites and groups of both worlds finds no common group.
    let suite_alone = Settings { groups: c"X25519:P-256", ..BASE };
    let fault = our_server(strict(), suite_alone).run().unwrap_err();
    assert!(matches!(fault, Fault::Ours(Error::PeerIncompatible(_))), "{fault:?}");
}

/// Someone in between takes the better suite (or group) out of the hello: the sides agree on the other one, and find
/// that they have not seen the same hello.
#[test]
fn a_downgrade_in_between() {
    let (gcm, ccm) = (tls::TLS_SM4_GCM_SM3, tls::TLS_SM4_CCM_SM3);
    assert_eq!((u16::from(gcm), u16::from(ccm)), (0xc6, 0xc7));
    let alter = |way, bytes: &mut Vec<u8>| {
        // Of the ClientHello: both suites, GCM first, become CCM and something that nobody knows.
        let hello = bytes.first() == Some(&22) && bytes.get(5) == Some(&1);
        if hello && way == Way::ToTheirs {
            let at = bytes.windows(4).position(|four| four == [0, 0xc6, 0, 0xc7]).unwrap();
            bytes[at..at + 4].copy_from_slice(&[0, 0xc7, 0x7f, 0x7f]);
        }
    };
    let both = Settings { suites: c"TLS_SM4_GCM_SM3:TLS_SM4_CCM_SM3", ..BASE };
    let fault = our_client(strict(), both).run_altered(alter).unwrap_err();
    // Their secrets are of another transcript, so their first encrypted record is noise to us.
    assert!(matches!(fault, Fault::Ours(Error::DecryptError)), "{fault:?}");
    let alter = |way, bytes: &mut Vec<u8>| {
        let hello = bytes.first() == Some(&22) && bytes.get(5) == Some(&1);
        if hello && way == Way::ToOurs {
            let at = bytes.windows(4).position(|four| four == [0, 0xc6, 0, 0xc7]).unwrap();
            bytes[at..at + 4].copy_from_slice(&[0, 0xc7, 0x7f, 0x7f]);
        }
    };
    let fault = our_server(tls::provider(Mode::Mixed), both).run_altered(alter).unwrap_err();
    let Fault::Theirs(error) = fault else { panic!("{fault:?}") };
    assert!(error.0.contains("decryption failed or bad record mac"), "{error:?}");
}
