//! Who may call the webhook: certificates of a CA, and the names in them.
//!
//! A caller without a certificate of the CA does not get past the handshake. One with such a certificate and another
//! name gets past it and is answered 403, since only HTTP can say why.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::tls::TlsError;
use super::x509::Facts;

/// Which callers are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM file with the CAs whose certificates are accepted; followed when it changes.
    pub ca: PathBuf,
    /// Common names or DNS names, of which a caller needs one; empty: any certificate of the CAs.
    pub names: Vec<String>,
}

impl ClientAuth {
    /// The names in a caller's certificate, if none of them is accepted.
    pub(super) fn refused(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<Vec<String>> {
        if self.names.is_empty() {
            return None;
        }
        let facts = chain.and_then(|chain| Facts::of(chain.first()?));
        let names: Vec<String> =
            facts.into_iter().flat_map(|facts| facts.common_name.into_iter().chain(facts.dns)).collect();
        (!names.iter().any(|name| self.names.contains(name))).then_some(names)
    }
}

/// Accepts certificates of the CAs in `pem`, and nothing without a certificate.
pub(super) fn verifier(pem: &[u8], file: &str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let broken = |reason: String| TlsError::ClientCa { file: file.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| broken("a PEM block in it is damaged".to_owned()))?;
        roots.add(certificate).map_err(|error| broken(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(broken("there is no certificate in it; want PEM blocks `CERTIFICATE`".to_owned()));
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build();
    verifier.map(|verifier| verifier as _).map_err(|error| broken(error.to_string()))
}

/// Whether an error of the handshake is about the caller's certificate, or the lack of one.
pub(super) fn is_about_the_caller(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)))
}

/// Lets one line a second through: whoever can connect could fill the log otherwise.
#[derive(Debug, Default)]
pub(super) struct Rarely(AtomicI64);

impl Rarely {
    pub(super) fn now(&self, now: Timestamp) -> bool {
        self.0.swap(now.as_second(), Ordering::Relaxed) != now.as_second()
    }
}

#[cfg(test)]
#[path = "client_auth_tests.rs"]
mod tests;
