//! What a failed connection failed of, in words for whoever is on call.

use core::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};

use crate::Tls;

impl Tls {
    /// Says why TLS with `host` failed, if that is why a connection failed: which file or which side has to change. It
    /// says nothing that stands in a file.
    pub fn explain(&self, host: &str, error: &(dyn Error + 'static)) -> Option<String> {
        let error = of_rustls(error)?;
        Some(if let rustls::Error::InvalidCertificate(refusal) = error {
            self.of_certificate(host, refusal)
        } else if let rustls::Error::AlertReceived(alert) = error {
            self.of_alert(host, *alert)
        } else {
            format!("TLS with {host} failed: {error}")
        })
    }

    fn of_certificate(&self, host: &str, refusal: &CertificateError) -> String {
        let trusted = match self.ca_file() {
            Some(file) => format!("ca_file {}", file.display()),
            None => "the authorities of this system, as no ca_file is named".to_owned(),
        };
        if matches!(refusal, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
            format!("the certificate of {host} is not vouched for by {trusted}")
        } else {
            format!("the certificate of {host} is refused: {refusal} (checked with {trusted})")
        }
    }

    fn of_alert(&self, host: &str, alert: AlertDescription) -> String {
        match self.client_cert_file() {
            None if ASKS_FOR_CERTIFICATE.contains(&alert) => {
                format!("{host} wants a client certificate and no client_cert_file is named ({alert:?})")
            }
            Some(file) => {
                format!("{host} refused TLS with client_cert_file {} ({alert:?})", file.display())
            }
            None => format!("{host} refused TLS ({alert:?})"),
        }
    }
}

/// What servers say when a client shows no certificate: TLS 1.3, TLS 1.2.
const ASKS_FOR_CERTIFICATE: &[AlertDescription] = &[
    AlertDescription::CertificateRequired,
    AlertDescription::HandshakeFailure,
    AlertDescription::BadCertificate,
];

/// The error of rustls behind an error. What an IO error wraps is not its source but stands in it, and the Redis driver's
/// source is a shared pointer, which is an error of its own.
fn of_rustls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match (shared, wrapped) {
            (Some(shared), _) => Some(&**shared),
            (None, Some(wrapped)) => Some(wrapped),
            (None, None) => error.source(),
        };
    }
    None
}
