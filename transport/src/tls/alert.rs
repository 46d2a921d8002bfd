//! What a peer says when it ends TLS, in words that stay the same: for who has to mend it, and as the value of a metric's label.

use rustls::{AlertDescription, Error};
use std::io;

/// What the peer's alert says, if an alert was what ended the connection. In TLS 1.3 a client whose certificate is refused has taken the
/// handshake for done by then: it is a read that brings it.
#[must_use]
pub fn refused_by_peer(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let is_alert = matches!(error, Error::AlertReceived(_));
    is_alert.then(|| told_by_alert(error).unwrap_or("the peer ended TLS with an alert"))
}

/// The words for an alert, if the error is one and there are any.
pub(crate) fn told_by_alert(error: &Error) -> Option<&'static str> {
    let &Error::AlertReceived(alert) = error else { return None };
    Some(match alert {
        AlertDescription::CertificateRequired => "the peer wants a certificate (TLS alert)",
        AlertDescription::CertificateExpired => "the peer takes our certificate for expired (TLS alert)",
        AlertDescription::CertificateRevoked => "the peer takes our certificate for revoked (TLS alert)",
        AlertDescription::UnknownCA => "the peer does not know our certificate's authority (TLS alert)",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => "the peer refuses our certificate (TLS alert)",
        AlertDescription::DecryptError => "the peer takes a signature or a key of ours for wrong (TLS alert)",
        AlertDescription::BadRecordMac => "a record of ours came spoilt (TLS alert)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_from_other_errors() {
        let error = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let alert = |alert| refused_by_peer(&error(Error::AlertReceived(alert)));
        assert_eq!(
            alert(AlertDescription::CertificateExpired),
            Some("the peer takes our certificate for expired (TLS alert)")
        );
        assert_eq!(alert(AlertDescription::NoRenegotiation), Some("the peer ended TLS with an alert"));
        assert_eq!(refused_by_peer(&error(Error::DecryptError)), None);
        assert_eq!(refused_by_peer(&io::ErrorKind::ConnectionReset.into()), None);
    }
}
