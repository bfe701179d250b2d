//! Certificates of our own: a small CA and the serving certificate it signs.
//!
//! Pure but for the key generator: the time comes in, PEM goes out. [`super::cert_store`] keeps them on disk.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use zeroize::Zeroizing;

use super::x509::Facts;

/// Ten years: replacing the CA means changing every webhook registration, so it should outlive the installation.
pub(super) const CA_LIFE: Duration = Duration::from_secs(3650 * DAY);
/// A year, renewed by the server itself when a third is left.
pub(super) const LEAF_LIFE: Duration = Duration::from_secs(365 * DAY);
pub(super) const DAY: u64 = 24 * 60 * 60;
/// A certificate must not be "not yet valid" for a client whose clock is a little behind.
const BACKDATED: i64 = 60 * 60;

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A name that cannot stand in a certificate.
    #[error("`{0}` cannot be a DNS name in a certificate: use ASCII letters, digits, `-`, `.` and a leading `*.`")]
    Name(String),
    /// The CA cannot sign.
    #[error("the CA cannot sign: {0}; remove ca.crt and ca.key to have a new one, and update the webhook's caBundle")]
    Ca(String),
    /// The key generator or the encoder failed.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A time outside of what a certificate can hold.
    #[error("a certificate cannot begin at {0}: set the clock of this machine")]
    Time(Timestamp),
}

/// The names and addresses a serving certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

impl Default for Spec {
    /// This machine, and the Service that the manifests in `deploy/` create.
    fn default() -> Self {
        let dns = ["localhost", "portcullis.portcullis.svc", "portcullis.portcullis.svc.cluster.local"];
        Self { dns: dns.map(str::to_owned).to_vec(), ips: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] }
    }
}

impl Spec {
    pub(super) fn covered_by(&self, facts: &Facts) -> bool {
        self.dns.iter().all(|name| facts.dns.contains(name)) && self.ips.iter().all(|ip| facts.ips.contains(ip))
    }
}

/// A certificate and its key, as PEM. `Debug` leaves the key out.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key, PKCS#8; wiped from memory when dropped.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// A CA and a serving certificate signed by it.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// What clients trust: the `caBundle` of a webhook registration.
    pub ca: Issued,
    /// What the server shows. The CA is a root, so that the chain is this one certificate.
    pub leaf: Issued,
}

/// Makes a CA and a serving certificate for `spec`.
///
/// # Errors
/// A name that no certificate can hold, a clock far off, or a failing key generator.
pub fn generate(spec: &Spec, now: Timestamp) -> Result<Bundle, CertError> {
    let ca = generate_ca(CA_LIFE, now)?;
    let leaf = issue(spec, &ca, LEAF_LIFE, now)?;
    Ok(Bundle { ca, leaf })
}

/// Makes a CA that may sign serving certificates for `life`, but no further CA.
///
/// # Errors
/// A clock far off, or a failing key generator.
pub fn generate_ca(life: Duration, now: Timestamp) -> Result<Issued, CertError> {
    let mut params = params(now, seconds(life))?;
    // The time in the name keeps two CAs apart in error messages and trust stores.
    params.distinguished_name = named(&format!("Portcullis CA {}", now.strftime("%Y-%m-%dT%H:%M:%SZ")));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok(Issued { cert_pem: cert.pem(), key_pem: key.serialize_pem().into() })
}

/// Makes a serving certificate for `spec`, signed by `ca`, good for `life`; it never outlives the CA.
///
/// # Errors
/// As [`generate`], and a CA that cannot be read.
pub fn issue(spec: &Spec, ca: &Issued, life: Duration, now: Timestamp) -> Result<Issued, CertError> {
    let ca_key = KeyPair::from_pem(&ca.key_pem).map_err(|_| CertError::Ca("its key cannot be read".to_owned()))?;
    let ca_end = ca_not_after(&ca.cert_pem)?;
    let issuer = Issuer::from_ca_cert_pem(&ca.cert_pem, ca_key).map_err(|error| CertError::Ca(error.to_string()))?;

    let mut params = params(now, seconds(life).min(ca_end.as_second() - now.as_second()))?;
    params.subject_alt_names = alternative_names(spec)?;
    // Clients go by the alternative names; the common name is for people, and has room for 64 characters.
    let title = spec.dns.iter().find(|name| name.len() <= 64).map_or("portcullis", String::as_str);
    params.distinguished_name = named(title);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?;
    Ok(Issued { cert_pem: cert.pem(), key_pem: key.serialize_pem().into() })
}

fn ca_not_after(pem: &str) -> Result<Timestamp, CertError> {
    let unreadable = || CertError::Ca("its certificate cannot be read".to_owned());
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| unreadable())?;
    Facts::of(&block.contents).map(|facts| facts.not_after).ok_or_else(unreadable)
}

fn alternative_names(spec: &Spec) -> Result<Vec<rcgen::SanType>, CertError> {
    let ips = spec.ips.iter().map(|ip| Ok(rcgen::SanType::IpAddress(*ip)));
    let dns = spec.dns.iter().map(|name| {
        let labels = name.strip_prefix("*.").unwrap_or(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let fits = |label: &str| !label.is_empty() && label.len() <= 63 && label.chars().all(plain);
        if !labels.split('.').all(fits) || name.len() > 253 {
            return Err(CertError::Name(name.clone()));
        }
        let name = name.as_str().try_into().map_err(|_| CertError::Name(name.clone()))?;
        Ok(rcgen::SanType::DnsName(name))
    });
    dns.chain(ips).collect()
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn seconds(life: Duration) -> i64 {
    i64::try_from(life.as_secs()).unwrap_or(i64::MAX)
}

fn params(now: Timestamp, life: i64) -> Result<CertificateParams, CertError> {
    // rcgen takes times of another crate, which its own epoch helper yields without naming that crate here.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let after_epoch = |seconds: i64| u64::try_from(seconds).map(Duration::from_secs).map_err(|_| CertError::Time(now));
    // Beyond the year 9000 the sum below would leave what a certificate can say.
    let begin = now.as_second() - BACKDATED;
    if begin > 220_000_000_000 {
        return Err(CertError::Time(now));
    }
    let mut params = CertificateParams::default();
    params.not_before = epoch + after_epoch(begin)?;
    params.not_after = epoch + after_epoch(now.as_second().saturating_add(life))?;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::pem::parse_x509_pem;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn facts(pem: &str) -> Facts {
        Facts::of(&parse_x509_pem(pem.as_bytes()).unwrap().1.contents).unwrap()
    }

    #[test]
    fn the_ca_signs_certificates_and_nothing_else() {
        let ca = generate_ca(CA_LIFE, at("2026-11-23T10:00:00Z")).unwrap();
        let (_, block) = parse_x509_pem(ca.cert_pem.as_bytes()).unwrap();
        let certificate = block.parse_x509().unwrap();
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        assert_eq!((constraints.value.ca, constraints.value.path_len_constraint), (true, Some(0)));
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.value.key_cert_sign() && !usage.value.digital_signature());
        let facts = facts(&ca.cert_pem);
        assert_eq!(facts.not_before, at("2026-11-23T09:00:00Z"));
        assert_eq!(facts.not_after, at("2036-11-20T10:00:00Z"));
    }

    #[test]
    fn the_leaf_is_for_the_names_asked_for_and_from_the_ca() {
        let now = at("2026-11-23T10:00:00Z");
        let bundle = generate(&Spec::default(), now).unwrap();
        let (ca, leaf) = (facts(&bundle.ca.cert_pem), facts(&bundle.leaf.cert_pem));
        assert!(leaf.issued_by(&ca) && !leaf.is_ca && ca.is_ca);
        assert!(Spec::default().covered_by(&leaf));
        assert_eq!(leaf.not_after, at("2027-11-23T10:00:00Z"));
        assert!(leaf.renew_at() > at("2027-07-20T00:00:00Z") && leaf.renew_at() < at("2027-07-30T00:00:00Z"));
        let other = facts(&generate_ca(CA_LIFE, now).unwrap().cert_pem);
        assert!(!leaf.issued_by(&other), "another CA of the same second is told apart");
    }

    #[test]
    fn a_leaf_never_outlives_its_ca() {
        let ca = generate_ca(CA_LIFE, at("2026-11-23T10:00:00Z")).unwrap();
        let leaf = issue(&Spec::default(), &ca, LEAF_LIFE, at("2036-11-01T00:00:00Z")).unwrap();
        assert_eq!(facts(&leaf.cert_pem).not_after, facts(&ca.cert_pem).not_after);
    }

    #[test]
    fn names_that_no_certificate_holds_are_refused() {
        for name in ["", "a b", "bücher.example", "a..b", "a.*.b", ".a"] {
            let spec = Spec { dns: vec![name.to_owned()], ips: vec![] };
            let result = generate(&spec, at("2026-11-23T10:00:00Z"));
            assert!(matches!(result, Err(CertError::Name(_))), "{name:?}");
        }
        let spec = Spec { dns: vec!["*.example.com".to_owned()], ips: vec![] };
        generate(&spec, at("2026-11-23T10:00:00Z")).unwrap();
    }

    #[test]
    fn debug_output_holds_no_key() {
        let bundle = generate(&Spec::default(), at("2026-11-23T10:00:00Z")).unwrap();
        assert!(!format!("{bundle:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_clock_before_the_epoch_is_an_error() {
        assert!(matches!(generate_ca(CA_LIFE, at("1969-01-01T00:00:00Z")), Err(CertError::Time(_))));
    }
}
