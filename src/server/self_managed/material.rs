//! What the Secret holds: the CAs, the key of the newest, and the serving certificate.
//!
//! | key | what it is |
//! |---|---|
//! | `ca.crt` | all CAs that clients should trust, the newest last |
//! | `ca.key` | the key of one of them, which signs; the others sign nothing any more |
//! | `tls.crt`, `tls.key` | the serving certificate, signed by any of them, and its key |

use std::sync::Arc;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::server::certs::Issued;
use crate::server::pair::key_matches;
use crate::server::x509::Facts;

pub(super) const CA_CERT: &str = "ca.crt";
pub(super) const CA_KEY: &str = "ca.key";
pub(super) const CERT: &str = "tls.crt";
pub(super) const KEY: &str = "tls.key";

/// A CA that is trusted.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    facts: Facts,
}

impl Authority {
    /// Reads one; `None` for what is no certificate of a CA.
    pub(super) fn read(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let facts = Facts::of(&der).filter(|facts| facts.is_ca)?;
        Some(Self { pem: pem.trim().to_owned(), der, facts })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.facts.not_after
    }
}

/// The serving certificate.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) issued: Arc<Issued>,
    pub(super) facts: Facts,
}

impl Leaf {
    /// Reads one; `None` unless the key is that of the certificate.
    pub(super) fn read(issued: Issued) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).ok()?;
        let facts = Facts::of(&der)?;
        key_matches(&der, issued.key_pem.as_bytes()).then(|| Self { issued: Arc::new(issued), facts })
    }

    pub(super) fn issued_by(&self, ca: &Authority) -> bool {
        self.facts.issued_by(&ca.facts)
    }
}

/// The Secret's contents, as far as they make sense.
#[derive(Clone, Default)]
pub(super) struct Material {
    pub(super) cas: Vec<Authority>,
    pub(super) ca_key: Option<Zeroizing<String>>,
    pub(super) leaf: Option<Leaf>,
}

impl Material {
    /// Reads what is stored; whatever cannot be read is left out.
    pub(super) fn read<'a>(stored: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let text = |key: &str| stored(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let mut material = Self::default();
        for ca in authorities(text(CA_CERT).unwrap_or_default()) {
            material.trust(ca);
        }
        material.ca_key = text(CA_KEY).map(|key| key.to_owned().into());
        let leaf = text(CERT).zip(text(KEY));
        material.leaf = leaf
            .and_then(|(cert, key)| Leaf::read(Issued { cert_pem: cert.to_owned(), key_pem: key.to_owned().into() }));
        material
    }

    /// Adds a CA, unless it is there.
    pub(super) fn trust(&mut self, ca: Authority) {
        if self.cas.iter().all(|known| known.der != ca.der) {
            self.cas.push(ca);
        }
    }

    /// The CA whose key is there.
    pub(super) fn signer(&self) -> Option<&Authority> {
        let key = self.ca_key.as_ref()?;
        self.cas.iter().rev().find(|ca| key_matches(&ca.der, key.as_bytes()))
    }

    /// What clients should trust: the `caBundle`.
    pub(super) fn bundle(&self) -> String {
        self.cas.iter().map(|ca| format!("{}\n", ca.pem)).collect()
    }

    /// The serving certificate, if clients that trust the bundle accept it at `now`, whatever its names.
    pub(super) fn servable(&self, now: Timestamp) -> Option<&Leaf> {
        let ca_holds = |leaf: &Leaf| self.cas.iter().any(|ca| now < ca.not_after() && leaf.issued_by(ca));
        self.leaf.as_ref().filter(|leaf| now < leaf.facts.not_after && ca_holds(leaf))
    }

    /// What is to be stored.
    pub(super) fn entries(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        let mut entries = vec![(CA_CERT, self.bundle().into())];
        entries.extend(self.ca_key.clone().map(|key| (CA_KEY, key)));
        if let Some(leaf) = &self.leaf {
            entries.push((CERT, leaf.issued.cert_pem.clone().into()));
            entries.push((KEY, leaf.issued.key_pem.clone()));
        }
        entries
    }
}

/// The CAs in a text of several PEM blocks.
pub(super) fn authorities(text: &str) -> impl Iterator<Item = Authority> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = text.split_inclusive(END);
    blocks.filter_map(|block| Authority::read(&block[block.rfind(BEGIN)?..]))
}
