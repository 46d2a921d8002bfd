//! Certificates and configurations for the tests, at a fixed time.

use gm::sm2::SecretKey;
use gm::tls::{self, Mode};
use gm::x509::{AltName, Authority, Leaf, Subject, Usage, Validity};
use rustls::client::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ConfigBuilder, ConfigSide, RootCertStore, WantsVerifier};
use std::sync::Arc;
use std::time::Duration;

/// The moment at which every test happens.
pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const VALID: Validity = Validity { not_before_s: NOW_S - 1000, not_after_s: NOW_S + 1000 };

#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW_S)))
    }
}

pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

pub(crate) struct Pki {
    authority: Authority,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let subject = Subject { common_name: "Test Root".into(), ..Subject::default() };
        Self { authority: Authority::root(&subject, SecretKey::generate().unwrap(), VALID).unwrap() }
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root().to_vec())).unwrap();
        Arc::new(roots)
    }

    /// The root's certificate.
    pub(crate) fn root(&self) -> &[u8] {
        self.authority.certificate()
    }

    pub(crate) fn identity(&self, name: &str, usage: Usage) -> Identity {
        self.identity_valid(name, usage, VALID)
    }

    pub(crate) fn identity_valid(&self, name: &str, usage: Usage, validity: Validity) -> Identity {
        let key = SecretKey::generate().unwrap();
        let leaf = Leaf {
            subject: &Subject { common_name: name.into(), ..Subject::default() },
            alt_names: &[AltName::Dns(name.into())],
            usage,
            public_key: key.public_key(),
            validity,
        };
        Identity {
            chain: vec![self.authority.issue(&leaf).unwrap().into()],
            key: PrivateKeyDer::Pkcs8(key.to_pkcs8_der().to_vec().into()),
        }
    }
}

fn versions<S: ConfigSide>(
    builder: ConfigBuilder<S, rustls::WantsVersions>,
) -> ConfigBuilder<S, WantsVerifier> {
    builder.with_protocol_versions(&[&TLS13]).unwrap()
}

pub(crate) fn server_config(
    provider: CryptoProvider,
    identity: &Identity,
    clients: Option<Arc<RootCertStore>>,
) -> ServerConfig {
    let provider = Arc::new(provider);
    let builder = versions(ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Fixed)));
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap(),
        ),
    };
    builder.with_single_cert(identity.chain.clone(), identity.key.clone_key()).unwrap()
}

pub(crate) fn client_config(
    provider: CryptoProvider,
    roots: Arc<RootCertStore>,
    identity: Option<&Identity>,
) -> ClientConfig {
    let builder = versions(ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Fixed)))
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key()).unwrap()
        }
    }
}

pub(crate) fn strict() -> CryptoProvider {
    tls::provider(Mode::Strict)
}
