//! Does the certificate that is shown fit the CA bundle, the name that is called, and the calendar?

use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Check;
use super::facts::{Facts, Served};
use super::registration::{Role, Webhook};
use crate::x509;

const CA: &str = "webhook-ca-bundle";
const LEAF: &str = "webhook-certificate";
/// Less than that is left: somebody has to act.
const SOON: i64 = 14 * DAY;
const DAY: i64 = 24 * 60 * 60;
const REGISTER: &str = "put the CA's certificate into clientConfig.caBundle of both webhooks";
const RENEW: &str = "renew it: `deploy/install.sh --renew`, or see why cert-manager does not";

/// The name by which the API server knows a server, whatever address it connects to.
pub(super) fn server_name(webhook: &Webhook<'_>) -> String {
    let config = &webhook.hook.client_config;
    if let Some(service) = &config.service {
        return format!("{}.{}.svc", service.name, service.namespace);
    }
    let rest = config.url.as_deref().and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6.to_owned(),
        None => authority.split(':').next().unwrap_or_default().to_owned(),
    }
}

pub(super) fn check(webhook: &Webhook<'_>, facts: &Facts, now: Timestamp) -> Vec<Check> {
    if webhook.role == Role::Neither {
        return Vec::new();
    }
    let bundle = webhook.hook.client_config.ca_bundle.as_ref().map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let cas: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bundle).collect();
    let cas: Vec<Authority> = cas.unwrap_or_default().into_iter().filter_map(Authority::of).collect();
    let served = facts.served.get(&webhook.about).unwrap_or(&Served::NotTried);
    let mut checks = vec![ca_bundle(bundle, &cas, webhook.hook.client_config.service.is_some(), now)];
    checks.push(match served {
        Served::NotTried => not_tried(),
        Served::NoAnswer { address, why } => {
            let repair =
                "is a replica running and ready, and does a firewall or NetworkPolicy let this machine through?";
            Check::error(LEAF, format!("no TLS at {address}: {why}"), repair)
        }
        // Without a bundle the API server goes by its machine's roots, which are not these.
        Served::Chain(_) if bundle.is_empty() => {
            Check::bad(LEAF, super::Status::Unknown, "there is no caBundle to compare the certificate with", REGISTER)
        }
        Served::Chain(chain) => certificate(chain, &cas, &server_name(webhook), now),
    });
    checks.into_iter().map(|check| check.about(webhook)).collect()
}

fn not_tried() -> Check {
    Check::bad(
        LEAF,
        super::Status::Unknown,
        "the Service is not reachable from here, so its certificate was not seen",
        "run this inside the cluster, or `kubectl -n portcullis port-forward service/portcullis 8443:443` and \
         --connect 127.0.0.1:8443",
    )
}

/// A certificate of the bundle.
struct Authority {
    der: CertificateDer<'static>,
    facts: x509::Facts,
}

impl Authority {
    fn of(der: CertificateDer<'static>) -> Option<Self> {
        let facts = x509::Facts::of(&der)?;
        Some(Self { der, facts })
    }

    fn valid(&self, now: Timestamp) -> bool {
        self.facts.not_before <= now && now < self.facts.not_after
    }
}

fn ca_bundle(bundle: &[u8], cas: &[Authority], by_service: bool, now: Timestamp) -> Check {
    if bundle.is_empty() && by_service {
        return Check::error(
            CA,
            "there is no caBundle: the API server trusts no certificate of a Service without it",
            REGISTER,
        );
    }
    if bundle.is_empty() {
        let what = "there is no caBundle: the API server goes by the roots of its own machine";
        return Check::warning(CA, what, REGISTER);
    }
    let last = cas.iter().filter(|ca| ca.valid(now)).map(|ca| ca.facts.not_after).max();
    let expired = cas.iter().filter(|ca| ca.facts.not_after <= now).count();
    match last {
        None if cas.is_empty() => Check::error(CA, "the caBundle holds no certificate in PEM", REGISTER),
        None => Check::error(CA, format!("none of the {} certificates in the caBundle is valid now", cas.len()), RENEW),
        Some(last) if left(last, now) < SOON => {
            Check::warning(CA, format!("the caBundle is of use for {} more, until {last}", days(last, now)), RENEW)
        }
        Some(last) if expired > 0 => {
            let what =
                format!("{expired} of {} certificates in the caBundle have expired; the last ends {last}", cas.len());
            Check::warning(CA, what, "take the old ones out, once every replica shows a certificate of the new one")
        }
        Some(last) => {
            let s = if cas.len() == 1 { "" } else { "s" };
            Check::ok(CA, format!("{} certificate{s}, valid until {last}", cas.len()))
        }
    }
}

fn certificate(chain: &[Vec<u8>], cas: &[Authority], name: &str, now: Timestamp) -> Check {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let Some((leaf, facts)) = chain.first().and_then(|leaf| Some((leaf, x509::Facts::of(leaf)?))) else {
        return Check::error(LEAF, "what is shown is no X.509 certificate", RENEW);
    };
    let all: Vec<&Authority> = cas.iter().collect();
    if let Err(why) = trusted(&chain, &all, &facts) {
        let what = format!("the caBundle does not fit the certificate that is shown: {why}");
        return Check::error(
            LEAF,
            what,
            "register the CA that signed it: deploy/install.sh does; or serve a certificate of that CA",
        );
    }
    let valid: Vec<&Authority> = cas.iter().filter(|ca| ca.valid(now)).collect();
    if trusted(&chain, &valid, &facts).is_err() {
        return Check::error(LEAF, "the CA that signed the certificate has expired", RENEW);
    }
    let fits = ServerName::try_from(name)
        .is_ok_and(|name| ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok()));
    if !fits {
        let names =
            facts.dns.into_iter().chain(facts.ips.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ");
        let what = format!("the certificate is for {names}, and the API server asks for {name}");
        return Check::error(LEAF, what, format!("issue one for {name}: `portcullis certs generate --dns {name}`"));
    }
    calendar(&facts, name, now)
}

fn calendar(facts: &x509::Facts, name: &str, now: Timestamp) -> Check {
    let (from, until) = (facts.not_before, facts.not_after);
    if now < from {
        return Check::error(LEAF, format!("the certificate is valid only from {from}"), "are the clocks right?");
    }
    if until <= now {
        return Check::error(LEAF, format!("the certificate expired {until}"), RENEW);
    }
    let what = format!("for {name}, signed by the caBundle, valid for {} more, until {until}", days(until, now));
    if left(until, now) < SOON || facts.renew_at() <= now {
        return Check::warning(LEAF, format!("{what}: less than a third of its life, or than 14 days"), RENEW);
    }
    Check::ok(LEAF, what)
}

/// Whether one of the authorities vouches for the chain, whatever the date: that is told apart.
fn trusted(chain: &[CertificateDer<'_>], cas: &[&Authority], facts: &x509::Facts) -> Result<(), String> {
    let Some((leaf, rest)) = chain.split_first() else { return Err("it is empty".to_owned()) };
    // Go takes a certificate for trusted that stands in the bundle itself; webpki wants a CA above it.
    if cas.iter().any(|ca| ca.der == *leaf) {
        return Ok(());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(cas.iter().map(|ca| ca.der.clone()));
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| error.to_string())?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let moment = u64::try_from(facts.not_after.as_second() - 1).unwrap_or_default();
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(moment));
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, rest, moment, algorithms).map_err(|error| match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "another CA signed it".to_owned()
        }
        other => other.to_string(),
    })
}

/// Seconds.
fn left(until: Timestamp, now: Timestamp) -> i64 {
    until.as_second() - now.as_second()
}

fn days(until: Timestamp, now: Timestamp) -> String {
    match left(until, now) / DAY {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
