//! What a server shows. It is looked at, not trusted: judging the chain is up to the checks, and nothing is sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::doctor::facts::Served;

/// To connect and shake hands: longer than that, and the API server has given up as well.
const DEADLINE: Duration = Duration::from_secs(5);

/// Connects to `address` and asks for the server `name`.
pub(super) async fn look(address: &str, name: &str) -> Served {
    let recorder = Arc::new(Recorder::default());
    let shaken = timeout(DEADLINE, shake_hands(address, name, Arc::clone(&recorder))).await;
    let chain = std::mem::take(&mut *recorder.chain.lock().unwrap_or_else(PoisonError::into_inner));
    // A server that wants a certificate of its client ends the handshake, but has shown its own by then.
    if !chain.is_empty() {
        return Served::Chain(chain);
    }
    let why = match shaken {
        Err(_) => format!("no answer within {DEADLINE:?}"),
        Ok(Err(why)) => why,
        Ok(Ok(())) => "the handshake showed no certificate".to_owned(),
    };
    Served::NoAnswer { address: address.to_owned(), why }
}

async fn shake_hands(address: &str, name: &str, recorder: Arc<Recorder>) -> Result<(), String> {
    let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("{name:?}: {error}"))?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
    Ok(())
}

/// Keeps the chain, whatever it is.
#[derive(Debug)]
struct Recorder {
    chain: Mutex<Vec<Vec<u8>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Default for Recorder {
    fn default() -> Self {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { chain: Mutex::default(), algorithms }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).map(|certificate| certificate.to_vec());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = shown.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
