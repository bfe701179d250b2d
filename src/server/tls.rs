//! The server's side of TLS: which certificate is shown, and how it is replaced while connections go on.
//!
//! ```text
//! TlsOptions ── Pair ────────┐
//!                            ├──> ServerConfig ──> Live (swapped whole) ──> one handshake each
//! ClientAuth ── verifier ────┘
//!    ^                                              |
//!    └───────── looked at again every few seconds ──┘
//! ```
//!
//! Files are polled and compared by content: mounted Secrets change by a symlink swap, which file watches miss. The whole
//! `ServerConfig` is swapped, because a certificate resolver alone could not rotate client CAs. The last good certificate
//! and the last good client CA stay independently of each other: a broken CA file must not keep a new certificate out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

use super::cert_store::{self, StoreError};
use super::certs::{Issued, Spec};
use super::client_auth::{self, ClientAuth};
use super::clock;
use super::last_good::{Looked, Part, hash};
use super::metrics::Metrics;
use super::pair::{Pair, Pem};

/// Where the serving certificate comes from.
#[derive(Clone, Debug)]
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
    /// What another part of the program keeps. The server starts without it, and is not ready until it is there.
    Supplied {
        /// For messages, such as `Secret a/b`.
        name: String,
        /// The supply.
        supply: watch::Receiver<Supply>,
    },
}

/// What another part of the program has for the server.
#[derive(Clone, Debug, Default)]
pub struct Supply {
    /// The pair to be served; without one, the last one stays.
    pub pair: Option<Arc<Issued>>,
    /// Why what is wanted could not be had.
    pub trouble: Option<String>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}; see {flags}")]
    Read {
        /// The file.
        file: String,
        /// The options that name it.
        flags: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate in the file.
    #[error("no certificate in {0}: want PEM blocks `CERTIFICATE`, the server's own first")]
    NoCertificate(String),
    /// No key in the file. The parser's own words are left out: they may quote the file.
    #[error(
        "no usable private key in {0}: want one unencrypted PEM block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`"
    )]
    NoKey(String),
    /// The two do not belong together.
    #[error("the key in {key} is not the key of the certificate in {cert}: give files that were issued together")]
    Mismatch {
        /// The certificate's file.
        cert: String,
        /// The key's file.
        key: String,
    },
    /// Its time is over.
    #[error("the certificate in {file} expired at {at}: renew it")]
    Expired {
        /// The file.
        file: String,
        /// When.
        at: Timestamp,
    },
    /// A certificate or key of a kind that cannot be served.
    #[error("the certificate in {file} cannot be served: {source}")]
    Unusable {
        /// The file.
        file: String,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The CA of the callers.
    #[error("the CAs of the callers in {file} cannot be used: {reason}; see --client-ca")]
    ClientCa {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
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

/// The configuration for the next handshake, and how it stands with it.
pub(super) struct Live {
    config: ArcSwapOption<ServerConfig>,
    state: ArcSwap<State>,
    pub(super) clients: Option<ClientAuth>,
}

#[derive(Clone, Default)]
struct State {
    /// The certificate's validity; nothing while there is none.
    valid: Option<(Timestamp, Timestamp)>,
    /// Who has to supply a first certificate.
    awaited: String,
    /// What keeps the newest state of the sources from being served.
    trouble: Vec<String>,
}

impl Live {
    /// None while no certificate is there.
    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.load_full()
    }

    /// When the certificate being served ends, in seconds since the epoch; zero without one.
    pub(super) fn not_after(&self) -> i64 {
        self.state.load().valid.map_or(0, |(_, end)| end.as_second())
    }

    /// For readiness: a client would refuse an expired certificate, so traffic belongs elsewhere.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        let state = self.state.load();
        match state.valid {
            Some((_, end)) if now < end => Ok(()),
            Some((_, end)) => Err(format!("the certificate expired at {end}{}", listed(&state.trouble))),
            None => Err(format!("waiting for a certificate from {}{}", state.awaited, listed(&state.trouble))),
        }
    }

    /// What should be known although the server is ready.
    pub(super) fn note(&self, now: Timestamp) -> Option<String> {
        let state = self.state.load();
        let early = state.valid.filter(|(begin, _)| now < *begin);
        let early = early.map(|(begin, _)| format!("the certificate is not valid before {begin}"));
        let all: Vec<String> = early.into_iter().chain(state.trouble.iter().cloned()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn listed(trouble: &[String]) -> String {
    trouble.iter().map(|what| format!("; {what}")).collect()
}

/// Keeps a [`Live`] configuration in step with its sources.
pub(super) struct Keeper {
    source: TlsOptions,
    live: Arc<Live>,
    pair: Part<Pair>,
    callers: Part<Arc<dyn ClientCertVerifier>>,
    renew_at: Option<Timestamp>,
}

impl Keeper {
    /// Loads everything for the first time.
    ///
    /// # Errors
    /// Whatever keeps it from being served, unless the certificate is supplied later.
    pub(super) fn start(source: TlsOptions, clients: Option<ClientAuth>, now: Timestamp) -> Result<Self, TlsError> {
        if let TlsOptions::Generated { dir } = &source {
            cert_store::ensure(dir, &Spec::default(), now)?;
        }
        let live = Live { config: ArcSwapOption::empty(), state: ArcSwap::default(), clients };
        let (pair, callers) = (Part::new(), Part::new());
        let mut keeper = Self { source, live: Arc::new(live), pair, callers, renew_at: None };
        keeper.look_at_callers()?;
        keeper.look_at_pair(now)?;
        keeper.tell();
        keeper.show()?;
        Ok(keeper)
    }

    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Looks at the sources again. On any error the last good state stays, and the log says why.
    fn look_again(&mut self, now: Timestamp) -> Looked {
        let due = self.renew_at.is_some_and(|at| at <= now);
        if let (TlsOptions::Generated { dir }, true) = (&self.source, due)
            && let Err(error) = cert_store::ensure(dir, &Spec::default(), now)
        {
            tracing::error!(%error, "the serving certificate could not be renewed; trying again in an hour");
            self.renew_at = now.checked_add(Duration::from_secs(3600)).ok();
            return Looked::Bad;
        }
        let callers = self.look_at_callers().unwrap_or_else(|error| {
            tracing::error!(%error, "the changed client CA cannot be used; the last good one stays");
            Looked::Bad
        });
        let pair = self.look_at_pair(now).unwrap_or_else(|error| {
            tracing::error!(%error, "the changed certificate cannot be served; the last good one stays");
            Looked::Bad
        });
        self.tell();
        if (pair == Looked::New || callers == Looked::New)
            && let Err(error) = self.show()
        {
            tracing::error!(%error, "the certificate cannot be served");
            return Looked::Bad;
        }
        if pair == Looked::New {
            let valid = self.live.state.load().valid;
            tracing::info!(not_after = valid.map(|(_, end)| end.to_string()), "serving a new certificate");
        }
        if callers == Looked::New {
            tracing::info!("accepting callers of a new client CA");
        }
        match (pair, callers) {
            (Looked::Same, Looked::Same) => Looked::Same,
            (Looked::Bad, _) | (_, Looked::Bad) => Looked::Bad,
            _ => Looked::New,
        }
    }

    fn look_at_pair(&mut self, now: Timestamp) -> Result<Looked, TlsError> {
        let Some(found) = find(&self.source) else { return Ok(Looked::Same) };
        let looked = self.pair.look(found, |pem| hash(&[&pem.cert, &pem.key]), |pem| Pair::read(pem, now))?;
        if let (TlsOptions::Generated { .. }, Looked::New, Some(pair)) = (&self.source, looked, &self.pair.good) {
            self.renew_at = Some(pair.facts.renew_at());
        }
        Ok(looked)
    }

    fn look_at_callers(&mut self) -> Result<Looked, TlsError> {
        let Some(ClientAuth { ca, .. }) = &self.live.clients else { return Ok(Looked::Same) };
        let found = read(ca, "--client-ca");
        self.callers.look(found, |pem| hash(&[pem]), |pem| client_auth::verifier(pem, &ca.display().to_string()))
    }

    /// Tells how it stands.
    fn tell(&self) {
        let supplied = match &self.source {
            TlsOptions::Supplied { supply, name } => (supply.borrow().trouble.clone(), name.clone()),
            _ => (None, String::new()),
        };
        let trouble = [&self.pair.trouble, &self.callers.trouble, &supplied.0].into_iter().flatten().cloned().collect();
        let valid = self.pair.good.as_ref().map(|pair| (pair.facts.not_before, pair.facts.not_after));
        self.live.state.store(Arc::new(State { valid, awaited: supplied.1, trouble }));
    }

    /// Puts the good parts into the configuration for the next handshake.
    fn show(&self) -> Result<(), TlsError> {
        let Some(pair) = &self.pair.good else { return Ok(()) };
        let config = server_config(pair, self.callers.good.clone())
            .map_err(|source| TlsError::Unusable { file: "the certificate".to_owned(), source })?;
        self.live.config.store(Some(Arc::new(config)));
        Ok(())
    }

    /// Looks again every `period` and whenever something is supplied, for ever.
    pub(super) async fn keep(mut self, period: Duration, metrics: Arc<Metrics>) {
        loop {
            self.pause(period).await;
            // Reading files blocks, and a renewal makes a key.
            let looked = tokio::task::spawn_blocking(move || {
                let looked = self.look_again(clock::now());
                (self, looked)
            });
            let Ok((keeper, looked)) = looked.await else { return };
            self = keeper;
            metrics.set_tls_not_after(self.live.not_after());
            match looked {
                Looked::Same => {}
                Looked::New => metrics.tls_reloaded(),
                Looked::Bad => metrics.tls_reload_failed(),
            }
        }
    }

    async fn pause(&mut self, period: Duration) {
        let pause = tokio::time::sleep(period);
        let TlsOptions::Supplied { supply, .. } = &mut self.source else { return pause.await };
        tokio::select! {
            () = pause => {}
            // When the supplier has gone there is nothing more to wait for, but client CAs still change.
            Ok(()) = supply.changed() => {}
        }
    }
}

/// What the source holds now; none while nothing was supplied.
fn find(source: &TlsOptions) -> Option<Result<Pem, TlsError>> {
    let (cert, key) = match source {
        TlsOptions::Files { cert, key } => (cert.clone(), key.clone()),
        TlsOptions::Generated { dir } => {
            let paths = cert_store::Paths::of(dir);
            (paths.cert, paths.key)
        }
        TlsOptions::Supplied { name, supply } => {
            let pair = supply.borrow().pair.clone()?;
            return Some(Ok(Pem {
                cert: pair.cert_pem.clone().into_bytes(),
                key: pair.key_pem.as_bytes().to_vec().into(),
                cert_name: format!("tls.crt of {name}"),
                key_name: format!("tls.key of {name}"),
            }));
        }
    };
    let flags = "--tls-cert and --tls-key";
    Some(read(&cert, flags).and_then(|cert_pem| {
        let key_pem = read(&key, flags)?.into();
        let (cert_name, key_name) = (cert.display().to_string(), key.display().to_string());
        Ok(Pem { cert: cert_pem, key: key_pem, cert_name, key_name })
    }))
}

fn read(file: &Path, flags: &'static str) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Read { file: file.display().to_string(), flags, source })
}

fn server_config(pair: &Pair, callers: Option<Arc<dyn ClientCertVerifier>>) -> Result<ServerConfig, rustls::Error> {
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(&pair.certified)));
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match callers {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
