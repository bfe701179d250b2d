//! A certificate chain and its key: from PEM to what the TLS library serves.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::tls::TlsError;
use super::x509::Facts;

/// Two texts that should be a chain and its key. `Debug` leaves them out.
pub(super) struct Pem {
    pub(super) cert: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// Where the certificate is from, for messages: a file, or a key of a Secret.
    pub(super) cert_name: String,
    /// Where the key is from.
    pub(super) key_name: String,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("cert_name", &self.cert_name).finish_non_exhaustive()
    }
}

/// A chain and its key, ready to be served.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

impl Pair {
    /// Reads a pair. One that is not valid yet is taken: whose clock is wrong cannot be told from here.
    pub(super) fn read(pem: &Pem, now: Timestamp) -> Result<Self, TlsError> {
        let chain = chain(pem)?;
        let facts = chain.first().and_then(|first| Facts::of(first));
        let facts = facts.ok_or_else(|| TlsError::NoCertificate(pem.cert_name.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| TlsError::NoKey(pem.key_name.clone()))?;
        if facts.not_after <= now {
            return Err(TlsError::Expired { file: pem.cert_name.clone(), at: facts.not_after });
        }
        if now < facts.not_before {
            tracing::warn!(file = pem.cert_name, from = %facts.not_before, "the certificate is not valid yet; is the clock right?");
        }
        let certified = Arc::new(certified(chain, key, &default_provider(), pem)?);
        Ok(Self { certified, facts })
    }
}

fn chain(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.cert).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::NoCertificate(pem.cert_name.clone())),
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
    pem: &Pem,
) -> Result<CertifiedKey, TlsError> {
    // Apart from the check below, so that a key of an unknown kind is not taken for one of another certificate.
    let signing = provider.key_provider.load_private_key(key).map_err(|_| TlsError::NoKey(pem.key_name.clone()))?;
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        // `Unknown` comes from keys that do not tell their public half, on a hardware token for instance.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: pem.cert_name.clone(), key: pem.key_name.clone() })
        }
        Err(source) => Err(TlsError::Unusable { file: pem.cert_name.clone(), source }),
    }
}

/// Whether `key_pem` holds the private key of the certificate.
pub(super) fn key_matches(cert: &CertificateDer<'_>, key_pem: &[u8]) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key_pem) else { return false };
    let chain = vec![cert.clone().into_owned()];
    CertifiedKey::from_der(chain, key, &default_provider()).is_ok_and(|pair| pair.keys_match().is_ok())
}
