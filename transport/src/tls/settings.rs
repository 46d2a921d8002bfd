//! TLS settings of a configuration, and what is loaded from the files they name.

use super::peers::{Bounds, Network};
use crate::absolute;
use crate::quic::route::ServerId;
use gm::sm2::KeyDecodeError;
use gm::tls::{Mode, provider};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The protocol name that QUIC needs (RFC 9001, section 8.1).
const ALPN: &[u8] = b"tongdao";

/// `[tls]` of a server's or a client's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is spoken.
    pub suites: Suites,
    /// PEM file with the own certificate and the chain behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file with the own private key (PKCS#8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// For `mixed`: certificate and key for the peers that speak no ShangMi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub international_certificate: Option<PathBuf>,
    /// The key of `international_certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub international_key: Option<PathBuf>,
    /// PEM file with the authorities whose certificates are accepted of peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether a server asks its clients for a certificate.
    pub client_auth: ClientAuth,
    /// The name in the certificate of a server dialled; empty: the address itself.
    pub server_name: String,
    /// Prefer the hybrid key exchange curveSM2MLKEM768.
    pub hybrid: bool,
    /// How long a handshake may take, milliseconds.
    pub handshake_timeout_ms: u32,
    /// Handshakes under way at a time, at most; one more connection is closed at once.
    pub handshakes_max: usize,
    /// Of them, those of one address (of IPv6: one /64) at most; 0: no bound of its own.
    pub peer_handshakes_max: u32,
    /// Handshakes that one address may begin in a second; 0: no bound.
    pub peer_handshakes_per_s_max: u32,
    /// Addresses that have no bound of their own: balancers, behind which all clients have one address.
    pub peer_exempt: Vec<Network>,
    /// The number of this server in its QUIC connection IDs, as hexadecimal digits, by which a balancer knows it; empty:
    /// they are random.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub quic_server_id: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            suites: Suites::ShangMi,
            certificate: None,
            key: None,
            international_certificate: None,
            international_key: None,
            ca: None,
            client_auth: ClientAuth::None,
            server_name: String::new(),
            hybrid: false,
            handshake_timeout_ms: 5_000,
            handshakes_max: 4_096,
            peer_handshakes_max: 1_024,
            peer_handshakes_per_s_max: 500,
            peer_exempt: ["127.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network")).into(),
            quic_server_id: String::new(),
        }
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suites {
    /// ShangMi alone (RFC 8998).
    ShangMi,
    /// ShangMi with who offers it whole, and the international algorithms with the others.
    Mixed,
    /// The international algorithms alone.
    International,
}

impl Suites {
    /// What is to be done with a certificate that is not SM2 where these want one.
    fn want_sm2(self) -> Option<&'static str> {
        match self {
            Self::ShangMi => Some(
                "`suites = \"shangmi\"`, the default, wants certificates of SM2 (`gm cert` makes them); with this one \
                 `suites = \"international\"` is spoken",
            ),
            Self::Mixed => Some(
                "with `suites = \"mixed\"` it stands at `international_key`, with its certificate at \
                 `international_certificate`, beside those of SM2",
            ),
            Self::International => None,
        }
    }
}

/// Whether a server asks its clients for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It does not.
    None,
    /// It asks; who shows one shows a good one.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// The settings cannot be used: which key, and why.
#[derive(Debug, Error)]
#[error("tls.{key}: {problem}")]
pub struct LoadError {
    /// The key of `[tls]`.
    pub key: &'static str,
    /// What is wrong.
    pub problem: LoadProblem,
}

/// What is wrong with what a key of `[tls]` says. Each text names the file, if there is one, from the root.
#[derive(Debug, Error)]
pub enum LoadProblem {
    /// It is needed, and missing.
    #[error("is not set: {0}")]
    Missing(&'static str),
    /// A file cannot be read.
    #[error("cannot read {}: {error}", absolute(path).display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{}: {error}", absolute(path).display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// A file without what it is named for.
    #[error("{}: no {what} in it", absolute(path).display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What is wanted of it.
        what: &'static str,
    },
    /// A private key that only a passphrase opens.
    #[error(
        "{0}: the private key in it is encrypted, and a server has nobody to ask for the passphrase; decrypt it \
         (openssl pkey -in {0} -out FILE), name that file, and let nobody but the server read it",
        absolute(path).display()
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// A key that is another certificate's.
    #[error("{} is not the key of the certificate in {}", absolute(path).display(), absolute(certificate).display())]
    OtherKey {
        /// The private key.
        path: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// A key of another algorithm where the suites want SM2.
    #[error("{}: not an SM2 key: {mend}", absolute(path).display())]
    NotSm2 {
        /// The private key.
        path: PathBuf,
        /// What is to be done.
        mend: &'static str,
    },
    /// A private key that the suites cannot use.
    #[error("{}: not a private key that these suites can use: {why}", absolute(path).display())]
    Key {
        /// The private key.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A certificate that cannot be used, of one's own or of an authority.
    #[error("{}: {why}", absolute(path).display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library takes it not.
    #[error("{0}")]
    Refused(rustls::Error),
    /// The authorities cannot be used.
    #[error("{0}")]
    Authorities(rustls::server::VerifierBuilderError),
    /// Not a server's number.
    #[error("{0}")]
    ServerId(String),
    /// Not a host name or an address.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
}

impl LoadProblem {
    fn at(self, key: &'static str) -> LoadError {
        LoadError { key, problem: self }
    }

    /// Of a file that could not be read as PEM.
    fn of_pem(path: &Path, error: pem::Error) -> Self {
        let path = path.to_owned();
        match error {
            pem::Error::Io(error) => Self::Unreadable { path, error },
            error => Self::File { path, error },
        }
    }

    /// Of a file whose certificate the TLS library takes not. What that says is of a peer's.
    fn of_certificate(path: &Path, error: rustls::Error) -> Self {
        let why = match error {
            rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding) => {
                "not a certificate: its DER is broken".to_owned()
            }
            rustls::Error::InvalidCertificate(error) => {
                format!("not a certificate that can be used: {error}")
            }
            error => return Self::Refused(error),
        };
        Self::Certificate { path: path.to_owned(), why }
    }
}

impl From<rustls::server::VerifierBuilderError> for LoadError {
    fn from(error: rustls::server::VerifierBuilderError) -> Self {
        LoadProblem::Authorities(error).at("ca")
    }
}

/// How long a certificate is good that `[tls]` names as one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The key that names it.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Its subject, for people.
    pub subject: String,
    /// The first second in which it is good, since 1970.
    pub begins_s: u64,
    /// The last one.
    pub ends_s: u64,
    /// The same for people.
    pub ends: String,
}

impl OwnCertificate {
    fn read(der: &[u8], key: &'static str, path: &Path) -> Option<Self> {
        let certificate = gm::x509::Certificate::from_der(der).ok()?;
        Some(Self {
            key,
            path: path.to_owned(),
            subject: certificate.subject_text(),
            begins_s: certificate.not_before_s()?,
            ends_s: certificate.not_after_s()?,
            ends: certificate.not_after_text()?,
        })
    }
}

impl Settings {
    fn mode(&self) -> Mode {
        match self.suites {
            Suites::ShangMi => Mode::Strict,
            Suites::Mixed => Mode::Mixed,
            Suites::International => Mode::International,
        }
    }

    fn provider(&self, mode: Mode) -> Arc<rustls::crypto::CryptoProvider> {
        let provider = provider(mode);
        Arc::new(if self.hybrid { gm::tls::prefer_hybrid(provider) } else { provider })
    }

    pub(super) fn peer_bounds(&self) -> Bounds {
        Bounds {
            under_way_max: self.peer_handshakes_max,
            per_s_max: self.peer_handshakes_per_s_max,
            exempt: self.peer_exempt.clone(),
        }
    }

    /// The configurations of a server: by the client's hello in `mixed`, one else.
    pub(super) fn server_choice(&self) -> Result<super::Choice, LoadError> {
        let own = Pair::of(self.certificate.as_deref(), self.key.as_deref(), ["certificate", "key"]);
        Ok(match self.suites {
            Suites::Mixed => {
                let (certificate, key) =
                    (self.international_certificate.as_deref(), self.international_key.as_deref());
                let keys = ["international_certificate", "international_key"];
                super::Choice::ByHello {
                    shangmi: self.server(Mode::Strict, own?)?,
                    international: self.server(Mode::International, Pair::of(certificate, key, keys)?)?,
                }
            }
            Suites::ShangMi | Suites::International => super::Choice::One(self.server(self.mode(), own?)?),
        })
    }

    /// How long the own certificates are good; one that does not say so as RFC 5280 wants is left out.
    ///
    /// # Errors
    /// [`LoadError`] of the files.
    pub fn own_certificates(&self) -> Result<Vec<OwnCertificate>, LoadError> {
        let own = [
            (&self.certificate, "certificate"),
            (&self.international_certificate, "international_certificate"),
        ];
        let mut all = Vec::new();
        for (path, key) in own {
            let Some(path) = path else { continue };
            let chain = certificates(path, key)?;
            all.extend(chain.first().and_then(|leaf| OwnCertificate::read(leaf, key, path)));
        }
        Ok(all)
    }

    /// When the first of the own certificates ends, in seconds since 1970; nothing where it does not say so as RFC 5280 wants.
    ///
    /// # Errors
    /// [`LoadError`] of the files.
    pub fn certificate_ends_s(&self) -> Result<Option<u64>, LoadError> {
        Ok(self.own_certificates()?.iter().map(|certificate| certificate.ends_s).min())
    }

    fn server(&self, mode: Mode, own: Pair<'_>) -> Result<Arc<ServerConfig>, LoadError> {
        let provider = self.provider(mode);
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(refused("suites"))?;
        let builder = match self.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Optional | ClientAuth::Required => {
                let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider);
                let optional = self.client_auth == ClientAuth::Optional;
                let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder
            .with_single_cert(own.chain()?, own.key()?)
            .map_err(|error| own.refused(self.suites, error))?;
        config.ticketer = gm::tls::ticketer().map_err(refused("suites"))?;
        config.send_tls13_tickets = 2;
        config.enable_secret_extraction = true;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// The configuration of a client.
    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, LoadError> {
        let provider = self.provider(self.mode());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(self.roots()?, provider.clone()).build()?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(refused("suites"))?
            .with_webpki_verifier(verifier);
        let mut config = if self.certificate.is_some() || self.key.is_some() {
            let own = Pair::of(self.certificate.as_deref(), self.key.as_deref(), ["certificate", "key"])?;
            builder
                .with_client_auth_cert(own.chain()?, own.key()?)
                .map_err(|error| own.refused(self.suites, error))?
        } else {
            builder.with_no_client_auth()
        };
        config.enable_secret_extraction = true;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    pub(super) fn server_id(&self) -> Result<Option<ServerId>, LoadError> {
        let id = Some(self.quic_server_id.as_str()).filter(|text| !text.is_empty());
        let wrong = |error| LoadProblem::ServerId(error).at("quic_server_id");
        id.map(|text| text.parse::<ServerId>().map_err(wrong)).transpose()
    }

    /// The name that the certificate of a server at this address must bear.
    pub(super) fn name_of(&self, address: std::net::IpAddr) -> Result<ServerName<'static>, LoadError> {
        if self.server_name.is_empty() {
            return Ok(ServerName::from(address));
        }
        let name = ServerName::try_from(self.server_name.as_str());
        let wrong = |_| LoadProblem::Name(self.server_name.clone()).at("server_name");
        Ok(name.map_err(wrong)?.to_owned())
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, LoadError> {
        let why = "the authorities whose certificates are accepted of peers";
        let path = self.ca.as_deref().ok_or_else(|| LoadProblem::Missing(why).at("ca"))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, "ca")? {
            let unusable = |error| LoadProblem::of_certificate(path, error).at("ca");
            roots.add(certificate).map_err(unusable)?;
        }
        Ok(Arc::new(roots))
    }
}

/// Whether a file that has no private key as PEM has one that is encrypted.
fn is_encrypted(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
}

/// A certificate's file and its key's.
#[derive(Clone, Copy)]
struct Pair<'a> {
    certificate: &'a Path,
    key: &'a Path,
    /// The keys of the configuration that name them.
    keys: [&'static str; 2],
}

impl<'a> Pair<'a> {
    fn of(
        certificate: Option<&'a Path>,
        key: Option<&'a Path>,
        keys: [&'static str; 2],
    ) -> Result<Self, LoadError> {
        let why = "the certificate that is shown to peers, and its key";
        let missing = |key| LoadProblem::Missing(why).at(key);
        Ok(Self {
            certificate: certificate.ok_or_else(|| missing(keys[0]))?,
            key: key.ok_or_else(|| missing(keys[1]))?,
            keys,
        })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, LoadError> {
        certificates(self.certificate, self.keys[0])
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, LoadError> {
        let path = self.key;
        let problem = |error: pem::Error| match error {
            pem::Error::NoItemsFound if is_encrypted(path) => {
                LoadProblem::Encrypted { path: path.to_owned() }
            }
            pem::Error::NoItemsFound => {
                LoadProblem::Empty { path: path.to_owned(), what: "private key (PKCS#8 in PEM)" }
            }
            error => LoadProblem::of_pem(path, error),
        };
        PrivateKeyDer::from_pem_file(path).map_err(|error| problem(error).at(self.keys[1]))
    }

    /// What is said when the TLS library takes the two not.
    fn refused(&self, suites: Suites, error: rustls::Error) -> LoadError {
        let [certificate_key, key] = self.keys;
        let path = self.key.to_owned();
        match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                LoadProblem::OtherKey { path, certificate: self.certificate.to_owned() }.at(key)
            }
            // All that is said in words of its own is of the key.
            rustls::Error::General(why) => match suites.want_sm2() {
                Some(mend) if why == KeyDecodeError::OtherAlgorithm.to_string() => {
                    LoadProblem::NotSm2 { path, mend }.at(key)
                }
                _ => LoadProblem::Key { path, why }.at(key),
            },
            error => LoadProblem::of_certificate(self.certificate, error).at(certificate_key),
        }
    }
}

fn certificates(path: &Path, key: &'static str) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let file = |error| LoadProblem::of_pem(path, error).at(key);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(file)?.collect();
    let found = found.map_err(file)?;
    if found.is_empty() {
        return Err(LoadProblem::Empty { path: path.to_owned(), what: "certificate (PEM)" }.at(key));
    }
    Ok(found)
}

fn refused(key: &'static str) -> impl Fn(rustls::Error) -> LoadError {
    move |error| LoadProblem::Refused(error).at(key)
}
