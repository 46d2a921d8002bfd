use crate::pipe::{Fault, Pair};
use crate::pki::{Identity, NOW_S, Pki, VALID, client_config, server_config, strict};
use crate::wrong_identifier;
use gm::tls::{self, Mode};
use gm::x509::{Usage, Validity};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use std::sync::Arc;

fn fault(client: CryptoProvider, server: CryptoProvider, pki: &Pki, identity: &Identity) -> Fault {
    let server = server_config(server, identity, None);
    Pair::new(client_config(client, pki.roots(), None), server).run().unwrap_err()
}

fn certificate_fault(pki: &Pki, identity: &Identity) -> CertificateError {
    match fault(strict(), strict(), pki, identity) {
        Fault::Client(Error::InvalidCertificate(error)) => error,
        other => panic!("another fault: {other:?}"),
    }
}

#[test]
fn another_authority() {
    let stranger = Pki::new().identity("localhost", Usage::Server);
    let error = certificate_fault(&Pki::new(), &stranger);
    // Both roots have one name: the signature is what fails.
    assert!(matches!(error, CertificateError::BadSignature | CertificateError::UnknownIssuer), "{error:?}");
}

#[test]
fn another_name_or_use() {
    let pki = Pki::new();
    let error = certificate_fault(&pki, &pki.identity("elsewhere", Usage::Server));
    assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
    let error = certificate_fault(&pki, &pki.identity("localhost", Usage::Client));
    let purpose =
        matches!(error, CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. });
    assert!(purpose, "{error:?}");
}

#[test]
fn a_certificate_out_of_its_time() {
    let pki = Pki::new();
    let late = Validity { not_after_s: NOW_S - 1, ..VALID };
    let error = certificate_fault(&pki, &pki.identity_valid("localhost", Usage::Server, late));
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
    let early = Validity { not_before_s: NOW_S + 1, ..VALID };
    let error = certificate_fault(&pki, &pki.identity_valid("localhost", Usage::Server, early));
    assert!(matches!(error, CertificateError::NotValidYetContext { .. }), "{error:?}");
}

#[test]
fn a_client_without_a_certificate() {
    let pki = Pki::new();
    let server = server_config(strict(), &pki.identity("localhost", Usage::Server), Some(pki.roots()));
    let fault = Pair::new(client_config(strict(), pki.roots(), None), server).run().unwrap_err();
    assert!(matches!(fault, Fault::Server(Error::NoCertificatesPresented)), "{fault:?}");
}

#[test]
fn the_wrong_identifier_in_certificate_verify() {
    let pki = Pki::new();
    let identity = pki.identity("localhost", Usage::Server);
    let mut server = server_config(strict(), &identity, None);
    server.cert_resolver = Arc::new(SingleCertAndKey::from(wrong_identifier::certified(&identity)));
    let fault = Pair::new(client_config(strict(), pki.roots(), None), server).run().unwrap_err();
    let Fault::Client(Error::InvalidCertificate(error)) = fault else { panic!("{fault:?}") };
    assert!(matches!(error, CertificateError::BadSignature), "{error:?}");
}

/// RFC 8998 ties suite, group and signature together: a strict side has nothing in common with an international one.
#[test]
fn a_peer_without_shangmi() {
    let pki = Pki::new();
    let identity = pki.identity("localhost", Usage::Server);
    let international = || tls::provider(Mode::International);
    let fault = fault(international(), strict(), &pki, &identity);
    let Fault::Server(Error::PeerIncompatible(error)) = fault else { panic!("{fault:?}") };
    let nothing_common =
        matches!(error, PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon);
    assert!(nothing_common, "{error:?}");
    // And a strict server cannot even be given a key on P-256.
    let p256 = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(p256.signing_key.serialize_der().into());
    assert!(strict().key_provider.load_private_key(key).is_err());
}

/// A server that mixes: SM4 and curveSM2, but a certificate on P-256. A strict client does not offer its signature.
#[test]
fn a_certificate_on_p256_in_strict_mode() {
    let p256 = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let identity = Identity {
        chain: vec![p256.cert.der().clone()],
        key: PrivateKeyDer::Pkcs8(p256.signing_key.serialize_der().into()),
    };
    let fault = fault(strict(), tls::provider(Mode::Mixed), &Pki::new(), &identity);
    let refused = matches!(
        fault,
        Fault::Server(Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon))
            | Fault::Client(Error::AlertReceived(AlertDescription::HandshakeFailure))
    );
    assert!(refused, "{fault:?}");
}

#[test]
fn an_altered_record() {
    use std::io::Write;
    let pki = Pki::new();
    let server = server_config(strict(), &pki.identity("localhost", Usage::Server), None);
    let mut pair = Pair::new(client_config(strict(), pki.roots(), None), server);
    pair.run().unwrap();
    pair.client.writer().write_all(b"an order").unwrap();
    let mut bytes = Vec::new();
    pair.client.write_tls(&mut bytes).unwrap();
    bytes[12] ^= 1;
    pair.server.read_tls(&mut &bytes[..]).unwrap();
    assert_eq!(pair.server.process_new_packets().unwrap_err(), Error::DecryptError);
}
