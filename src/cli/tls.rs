//! The arguments of `portcullis serve` about certificates.

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::inventory::from_cluster::Cluster;
use crate::server::certs::Spec;
use crate::server::self_managed::{Options, SHORTEST_LIFETIME, SelfManaged};
use crate::server::{ClientAuth, TlsOptions, clock};

/// Which certificate is served, and whose is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// Serving certificate chain, PEM; reloaded when it changes
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Where the generated CA and certificate are kept, if none is given
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_CERT_DIR", default_value = "certs")]
    cert_dir: PathBuf,

    /// Keep a CA and certificate in this Secret: make, renew and register them
    #[arg(long, value_name = "NS/NAME", env = "PORTCULLIS_TLS_SECRET", conflicts_with = "tls_cert", value_parser = secret)]
    tls_secret: Option<Secret>,

    /// With --tls-secret: a DNS name or address of the server; may be given again [default:
    /// portcullis.NS.svc and portcullis.NS.svc.cluster.local, with the namespace of the Secret]
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_TLS_DNS_NAME", num_args = 1.., value_delimiter = ',')]
    tls_dns_name: Vec<String>,

    /// With --tls-secret: the ValidatingWebhookConfiguration whose webhooks all get the CA bundle
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_WEBHOOK_CONFIGURATION", default_value = "portcullis")]
    webhook_configuration: String,

    /// With --tls-secret: life of a serving certificate, renewed when a third is left; a CA lives
    /// four times as long
    #[arg(long, value_name = "DURATION", env = "PORTCULLIS_TLS_LIFETIME", default_value = "90d", value_parser = lifetime)]
    tls_lifetime: Duration,

    /// Accept only callers with a certificate of a CA in this file, PEM; reloaded when it changes
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CLIENT_CA")]
    client_ca: Option<PathBuf>,

    /// With --client-ca: accept only certificates with this common name or DNS name; may be given
    /// again
    #[arg(long, value_name = "CN", env = "PORTCULLIS_CLIENT_NAME", num_args = 1.., value_delimiter = ',', requires = "client_ca")]
    client_name: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret {
    namespace: String,
    name: String,
}

fn secret(text: &str) -> Result<Secret, String> {
    let plain = |part: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        !part.is_empty() && part.chars().all(fits)
    };
    match text.split_once('/') {
        Some((namespace, name)) if plain(namespace) && plain(name) => {
            Ok(Secret { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("write it as NAMESPACE/NAME".to_owned()),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = |error: jiff::Error| format!("{error}; write it as 90d or 12h");
    let span: Span = text.parse().map_err(wrong)?;
    let life = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    let life = Duration::try_from(life).map_err(|_| "must not be negative".to_owned())?;
    if life < SHORTEST_LIFETIME {
        return Err(format!("at least {}s: the API server has to follow", SHORTEST_LIFETIME.as_secs()));
    }
    Ok(life)
}

impl TlsArgs {
    /// Where the serving certificate comes from; and its upkeep, where that is done here.
    pub(super) async fn source(&self, kubeconfig: Option<&Path>) -> Result<(TlsOptions, Option<SelfManaged>), String> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            return Ok((TlsOptions::Files { cert: cert.clone(), key: key.clone() }, None));
        }
        let Some(options) = self.self_managed() else {
            return Ok((TlsOptions::Generated { dir: self.cert_dir.clone() }, None));
        };
        let client = Cluster::client(kubeconfig).await.map_err(|error| format!("--tls-secret: {error}"))?;
        let upkeep = SelfManaged::start(client, options, clock::now);
        Ok((upkeep.tls(), Some(upkeep)))
    }

    fn self_managed(&self) -> Option<Options> {
        let Secret { namespace, name } = self.tls_secret.clone()?;
        Some(Options {
            spec: self.spec(&namespace),
            namespace,
            secret: name,
            configuration: self.webhook_configuration.clone(),
            life: self.tls_lifetime,
            identity: identity(),
        })
    }

    fn spec(&self, namespace: &str) -> Spec {
        if self.tls_dns_name.is_empty() {
            let name = format!("portcullis.{namespace}.svc");
            return Spec { dns: vec![name.clone(), format!("{name}.cluster.local")], ips: Vec::new() };
        }
        let ip = |name: &String| name.parse::<IpAddr>();
        let ips = self.tls_dns_name.iter().filter_map(|name| ip(name).ok()).collect();
        Spec { dns: self.tls_dns_name.iter().filter(|name| ip(name).is_err()).cloned().collect(), ips }
    }

    /// Whom to let in.
    pub(super) fn clients(&self) -> Option<ClientAuth> {
        let ca = self.client_ca.clone()?;
        Some(ClientAuth { ca, names: self.client_name.clone() })
    }

    /// The CA of a generated certificate, which a user has to be told of.
    pub(super) fn generated_ca(&self) -> Option<PathBuf> {
        let generated = self.tls_cert.is_none() && self.tls_secret.is_none();
        generated.then(|| self.cert_dir.join("ca.crt"))
    }
}

/// The pod's name, and the process for those that run without pods.
fn identity() -> String {
    format!("{}-{}", env::var("HOSTNAME").unwrap_or_else(|_| "portcullis".to_owned()), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::self_managed::LIFETIME;

    #[test]
    fn a_secret_is_named_with_its_namespace() {
        let read = secret("portcullis/portcullis-tls").unwrap();
        assert_eq!((read.namespace.as_str(), read.name.as_str()), ("portcullis", "portcullis-tls"));
        for wrong in ["portcullis-tls", "a/", "/b", "a/b/c", "A/b", "a/../b"] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_lifetime_that_nobody_can_follow_is_refused() {
        assert_eq!(lifetime("90d"), Ok(LIFETIME));
        assert!(lifetime("9s").is_err_and(|error| error.contains("at least 10s")));
    }
}
