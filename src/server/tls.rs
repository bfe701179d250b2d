//! The server's side of TLS: which certificate is shown, and how it is replaced while connections go on.
//!
//! ```text
//! Source ── load ──> Loaded { config, not_after } ──> Live (swapped whole) ──> one handshake each
//!    ^                                                   |
//!    └──────────── looked at again every few seconds ────┘
//! ```
//!
//! Files are polled and compared by content: mounted Secrets change by a symlink swap, which file watches miss. The whole
//! `ServerConfig` is swapped, because a certificate resolver alone could not rotate client CAs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::cert_store::{self, StoreError};
use super::certs::Spec;
use super::clock;
use super::x509::Facts;

/// Where the serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsOptions {
    /// PEM files of somebody else, followed when they change.
    Files {
        /// The certificate, followed by its intermediates.
        cert: PathBuf,
        /// Its unencrypted key.
        key: PathBuf,
    },
    /// Our own CA and certificate in this folder, made and renewed here.
    Generated {
        /// The folder.
        dir: PathBuf,
    },
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}; see --tls-cert and --tls-key")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate in the file.
    #[error("no certificate in {0}: want PEM blocks `CERTIFICATE`, the server's own first")]
    NoCertificate(PathBuf),
    /// No key in the file. The parser's own words are left out: they may quote the file.
    #[error(
        "no usable private key in {0}: want one unencrypted PEM block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`"
    )]
    NoKey(PathBuf),
    /// The two do not belong together.
    #[error("the key in {key} is not the key of the certificate in {cert}: give files that were issued together")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Its time is over.
    #[error("the certificate in {file} expired at {at}: renew it")]
    Expired {
        /// The file.
        file: PathBuf,
        /// When.
        at: Timestamp,
    },
    /// A certificate or key of a kind that cannot be served.
    #[error("the certificate in {file} cannot be served: {source}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The generated certificates.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes aws-lc-rs the process's default, for libraries that ask for one; this module never does. Call it first in
/// `main`; calling it again does nothing.
pub fn install_provider() {
    // An error means that one is installed already, by an earlier call.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Whether `key_pem` holds the private key of the certificate.
pub(super) fn key_matches(cert: &CertificateDer<'_>, key_pem: &[u8]) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key_pem) else { return false };
    let chain = vec![cert.clone().into_owned()];
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).is_ok_and(|pair| pair.keys_match().is_ok())
}

/// A certificate ready to be served.
struct Loaded {
    config: Arc<ServerConfig>,
    not_after: Timestamp,
    /// When it should be looked at again although no file changed.
    renew_at: Option<Timestamp>,
}

/// The configuration for the next handshake.
pub(super) struct Live {
    config: ArcSwap<ServerConfig>,
    not_after: AtomicI64,
}

impl Live {
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// When the certificate being served ends, in seconds since the epoch.
    pub(super) fn not_after(&self) -> i64 {
        self.not_after.load(Ordering::Relaxed)
    }

    /// For readiness: a client would refuse an expired certificate, so traffic belongs elsewhere.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        if self.not_after() <= now.as_second() {
            return Err("the certificate has expired".to_owned());
        }
        Ok(())
    }
}

/// Keeps a [`Live`] configuration in step with its source.
pub(super) struct Keeper {
    source: TlsOptions,
    live: Arc<Live>,
    /// The contents last looked at, good or bad: a bad state is reported once, not at every look.
    seen: Option<[u8; 32]>,
    renew_at: Option<Timestamp>,
}

impl Keeper {
    /// Loads the certificate for the first time.
    ///
    /// # Errors
    /// Whatever keeps it from being served.
    pub(super) fn start(source: TlsOptions, now: Timestamp) -> Result<Self, TlsError> {
        if let TlsOptions::Generated { dir } = &source {
            cert_store::ensure(dir, &Spec::default(), now)?;
        }
        let seen = contents_hash(&source);
        let loaded = load(&source, now)?;
        let live = Live { config: ArcSwap::new(loaded.config), not_after: loaded.not_after.as_second().into() };
        Ok(Self { source, live: Arc::new(live), seen, renew_at: loaded.renew_at })
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Looks at the source again; true when another certificate is served from now on. On any error the last good one
    /// stays, and the log says why.
    pub(super) fn look_again(&mut self, now: Timestamp) -> bool {
        let due = self.renew_at.is_some_and(|at| at <= now);
        if let (TlsOptions::Generated { dir }, true) = (&self.source, due)
            && let Err(error) = cert_store::ensure(dir, &Spec::default(), now)
        {
            tracing::error!(%error, "the serving certificate could not be renewed; trying again in an hour");
            self.renew_at = now.checked_add(Duration::from_secs(3600)).ok();
            return false;
        }
        let hash = contents_hash(&self.source);
        if hash == self.seen {
            return false;
        }
        self.seen = hash;
        match load(&self.source, now) {
            Ok(loaded) => {
                self.live.not_after.store(loaded.not_after.as_second(), Ordering::Relaxed);
                self.live.config.store(loaded.config);
                self.renew_at = loaded.renew_at;
                tracing::info!(not_after = %loaded.not_after, "serving a new certificate");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the changed certificate cannot be served; the last good one stays");
                false
            }
        }
    }

    /// Looks again every `period`, for ever, and calls `changed` with the new end of validity.
    pub(super) async fn keep(mut self, period: Duration, changed: impl Fn(i64) + Send) {
        loop {
            tokio::time::sleep(period).await;
            // Reading files blocks, and a renewal makes a key.
            let looked = tokio::task::spawn_blocking(move || {
                let renewed = self.look_again(clock::now());
                (self, renewed)
            });
            let Ok((keeper, renewed)) = looked.await else { return };
            self = keeper;
            if renewed {
                changed(self.live.not_after());
            }
        }
    }
}

fn files(source: &TlsOptions) -> (PathBuf, PathBuf) {
    match source {
        TlsOptions::Files { cert, key } => (cert.clone(), key.clone()),
        TlsOptions::Generated { dir } => {
            let paths = cert_store::Paths::of(dir);
            (paths.cert, paths.key)
        }
    }
}

/// A fingerprint of both files; `None` when one cannot be read.
fn contents_hash(source: &TlsOptions) -> Option<[u8; 32]> {
    let (cert, key) = files(source);
    let mut hash = Sha256::new();
    for file in [cert, key] {
        let bytes = fs::read(file).ok()?;
        hash.update(bytes.len().to_le_bytes());
        hash.update(&bytes);
    }
    Some(hash.finalize().into())
}

fn load(source: &TlsOptions, now: Timestamp) -> Result<Loaded, TlsError> {
    let (cert, key) = files(source);
    let chain = read_chain(&cert)?;
    let pem = fs::read(&key).map_err(|source| TlsError::Read { file: key.clone(), source })?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey(key.clone()))?;

    let facts =
        chain.first().and_then(|first| Facts::of(first)).ok_or_else(|| TlsError::NoCertificate(cert.clone()))?;
    if facts.not_after <= now {
        return Err(TlsError::Expired { file: cert, at: facts.not_after });
    }
    if now < facts.not_before {
        tracing::warn!(file = %cert.display(), from = %facts.not_before, "the certificate is not valid yet; is the clock right?");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pair = certified(chain, private, &provider, &cert, &key)?;
    let config = server_config(pair, provider).map_err(|source| TlsError::Unusable { file: cert, source })?;
    let renew_at = matches!(source, TlsOptions::Generated { .. }).then(|| facts.renew_at());
    Ok(Loaded { config: Arc::new(config), not_after: facts.not_after, renew_at })
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = fs::read(file).map_err(|source| TlsError::Read { file: file.to_owned(), source })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::NoCertificate(file.to_owned())),
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
    cert: &Path,
    key: &Path,
) -> Result<CertifiedKey, TlsError> {
    // Apart from the check below, so that a key of an unknown kind is not taken for one of another certificate.
    let signing = provider.key_provider.load_private_key(private).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        // `Unknown` comes from keys that do not tell their public half, on a hardware token for instance.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(source) => Err(TlsError::Unusable { file: cert.to_owned(), source }),
    }
}

fn server_config(pair: CertifiedKey, provider: Arc<CryptoProvider>) -> Result<ServerConfig, rustls::Error> {
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(pair));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
