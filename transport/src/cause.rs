//! Errors in words: the whole chain of causes, each said once, with what a bare name of a TLS library leaves out; and paths in
//! them.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// An error and what caused it, as "a: b: c". A cause that what stands before it has told already is not said again: many errors
/// have the text of their cause in their own, and the cause besides.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = of_one(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let said = of_one(cause);
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// A path as errors show it: from the root, so that it can be found whichever folder the program was started in.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn of_one(error: &(dyn Error + 'static)) -> String {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => of_one(wrapped),
        None => error.downcast_ref::<rustls::Error>().map_or_else(|| error.to_string(), of_tls),
    }
}

fn of_tls(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, PeerIncompatible};
    if let Some(alert) = crate::tls::told_by_alert(error) {
        return alert.to_owned();
    }
    let hint = match error {
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        ) => "it does not speak what `tls.suites` allows",
        // A bad signature is what an authority of the same name with another key comes to.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "no authority of `tls.ca` has issued it",
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "`tls.server_name` says which name is expected, the address where it is not set",
        rustls::Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon,
        ) => "it does not speak what `tls.suites` allows",
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => return error.to_string(),
    };
    format!("{error} ({hint})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError};

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("outer")]
        Bare(#[source] io::Error),
        #[error("outer: {0}")]
        Telling(#[source] io::Error),
    }

    #[test]
    fn each_cause_is_told_once() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(causes(&Layer::Bare(refused())), "outer: connection refused");
        assert_eq!(causes(&Layer::Telling(refused())), "outer: connection refused");
        let nested = io::Error::other(Layer::Bare(refused()));
        assert_eq!(causes(&nested), "outer: connection refused");
        assert_eq!(causes(&refused()), "connection refused");
    }

    #[test]
    fn what_tls_says_is_explained() {
        let of = |error: rustls::Error| causes(&io::Error::new(io::ErrorKind::InvalidData, error));
        let unknown = of(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(
            unknown,
            "invalid peer certificate: UnknownIssuer (no authority of `tls.ca` has issued it)"
        );
        let alert = |alert| of(rustls::Error::AlertReceived(alert));
        let unknown = "the peer does not know our certificate's authority (TLS alert)";
        assert_eq!(alert(AlertDescription::UnknownCA), unknown);
        let failed = "received fatal alert: HandshakeFailure (it does not speak what `tls.suites` allows)";
        assert_eq!(alert(AlertDescription::HandshakeFailure), failed);
        assert_eq!(alert(AlertDescription::InternalError), "received fatal alert: InternalError");
        assert_eq!(of(rustls::Error::NoCertificatesPresented), "peer sent no certificates");
    }
}
