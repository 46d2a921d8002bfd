use super::*;
use crate::sm2::SecretKey;

const VALIDITY: Validity = Validity { not_before_s: 1_700_000_000, not_after_s: 4_000_000_000 };

fn subject(common_name: &str) -> Subject {
    Subject { country: "CN".into(), organization: "通道".into(), common_name: common_name.into() }
}

fn authority() -> Authority {
    Authority::root(&subject("Root"), SecretKey::generate().unwrap(), VALIDITY).unwrap()
}

#[test]
fn an_issued_certificate_says_what_was_asked_for() {
    let ca = authority();
    let key = SecretKey::generate().unwrap();
    let names = [AltName::Dns("localhost".into()), AltName::Ip([127, 0, 0, 1].into())];
    let leaf = Leaf {
        subject: &subject("leaf"),
        alt_names: &names,
        usage: Usage::Server,
        public_key: key.public_key(),
        validity: VALIDITY,
    };
    let der = ca.issue(&leaf).unwrap();
    let text = describe(&der).unwrap();
    for wanted in [
        "subject: C=CN, O=通道, CN=leaf",
        "issuer: C=CN, O=通道, CN=Root",
        "not before: 20231114221320Z",
        "names: DNS:localhost, IP:127.0.0.1",
        "authority: no",
        "usage: TLS server",
        "signed by itself: no",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
    let root = Certificate::from_der(ca.certificate()).unwrap();
    assert!(Certificate::from_der(&der).unwrap().is_signed_by(&root.public_key().unwrap()));
    assert!(describe(ca.certificate()).unwrap().contains("authority: yes"));
}

#[test]
fn an_authority_comes_back_from_its_certificate_and_only_with_its_key() {
    let key = SecretKey::generate().unwrap();
    let root = Authority::root(&subject("Root"), key.clone(), VALIDITY).unwrap();
    let back = Authority::new(root.certificate().to_vec(), key).unwrap();
    assert_eq!(back.certificate(), root.certificate());
    let other = Authority::new(root.certificate().to_vec(), SecretKey::generate().unwrap());
    assert_eq!(other.err(), Some(AuthorityError::OtherKey));
}

#[test]
fn a_leaf_is_no_authority() {
    let key = SecretKey::generate().unwrap();
    let leaf = Leaf {
        subject: &subject("leaf"),
        alt_names: &[],
        usage: Usage::ServerAndClient,
        public_key: key.public_key(),
        validity: VALIDITY,
    };
    let leaf = authority().issue(&leaf).unwrap();
    assert_eq!(Authority::new(leaf, key).err(), Some(AuthorityError::NotAnAuthority));
}

#[test]
fn a_certificate_is_valid_from_its_first_second_to_its_last() {
    // The second one has its years before and after 2050, which are written in two forms.
    for (first, last) in [(1_700_000_000, 1_700_000_001), (946_684_800, 4_000_000_000)] {
        let validity = Validity { not_before_s: first, not_after_s: last };
        let root = Authority::root(&subject("Root"), SecretKey::generate().unwrap(), validity).unwrap();
        let period = |now_s| Certificate::from_der(root.certificate()).unwrap().period(now_s).unwrap();
        assert_eq!([first - 1, first].map(period), [Period::Before, Period::Within]);
        assert_eq!([last, last + 1].map(period), [Period::Within, Period::After]);
    }
}

#[test]
fn a_request_is_served_as_asked_and_refused_when_altered() {
    let key = SecretKey::generate().unwrap();
    let names = [AltName::Dns("gateway.example".into()), AltName::Ip("::1".parse().unwrap())];
    let der = Request::make(&subject("gateway"), &names, &key).unwrap();
    let request = Request::from_der(&der).unwrap();
    assert_eq!(request.public_key(), key.public_key());
    assert_eq!(request.alt_names(), names);
    let issued = authority().issue_request(&request, Usage::ServerAndClient, VALIDITY).unwrap();
    let text = describe(&issued).unwrap();
    assert!(text.contains("names: DNS:gateway.example, IP:::1") && text.contains("TLS server, TLS client"));
    for at in 0..der.len() {
        let mut bad = der.clone();
        bad[at] ^= 1;
        // The outer algorithm is not signed; nothing reads it either.
        if let Ok(request) = Request::from_der(&bad) {
            assert_eq!(request.subject(), Request::from_der(&der).unwrap().subject());
        }
        assert!(Request::from_der(&der[..at]).is_err());
    }
}

#[test]
fn pem_goes_both_ways() {
    for len in 0..100u8 {
        let der: Vec<u8> = (0..len).collect();
        let pem = encode_pem("CERTIFICATE", &der);
        let sections = decode_pem(&pem);
        assert_eq!(sections.len(), 1);
        assert_eq!(sections[0].0, "CERTIFICATE");
        assert_eq!(sections[0].1[..], der);
    }
}

#[test]
fn no_altered_certificate_panics() {
    let der = authority().certificate().to_vec();
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut bad = der.clone();
            bad[at] ^= 1 << bit;
            if let Ok(text) = describe(&bad) {
                assert!(!text.is_empty());
            }
        }
        assert!(describe(&der[..at]).is_err());
    }
}
