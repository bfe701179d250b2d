//! What has to be done next about the Secret. Pure but for the key generator: time and trust come in.
//!
//! The life of a CA, and what is in the bundle and signs meanwhile:
//!
//! ```text
//!            0                          2/3 of its life        its end
//! old CA     ├── signs ─────────────────────┤── trusted only ─────┤
//! new CA                                    ├─ trusted ─┬─ signs ─────────────
//! bundle     [old]                          [old, new]                        [new]
//! serving    by old                         by old      by new
//!                                              └ settle: every API server has the bundle with both
//! ```
//!
//! A serving certificate never outlives its CA, and a CA leaves the bundle when it ends. So whatever any replica still
//! shows is trusted for as long as it is valid, a replica that was cut off from the API server included.

use std::time::Duration;

use jiff::Timestamp;

use super::material::{Authority, Leaf, Material};
use crate::server::certs::{self, CertError, DAY, Issued, Spec};

/// A quarter of a year, as others of this kind: renewed often enough to be sure that renewal works.
pub const LIFETIME: Duration = Duration::from_secs(90 * DAY);
/// Below this neither a Secret's readers nor the API server's watch could follow.
pub const SHORTEST_LIFETIME: Duration = Duration::from_secs(10);
/// A CA lives for so many serving certificates. More than three, so that a third of it, what is left when it is
/// replaced, is more than any of them.
const LEAVES_OF_A_CA: u32 = 4;
/// More than ever overlap by age. Somebody who deletes the Secret again and again adds one each time.
const MOST_CAS: usize = 6;
/// API servers follow a webhook configuration by a watch, within a second; this leaves room for one that reconnects.
const SETTLE: Duration = Duration::from_secs(30);

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Names of the serving certificate.
    pub(super) spec: Spec,
    /// Its life.
    pub(super) life: Duration,
}

impl Terms {
    fn ca_life(&self) -> Duration {
        self.life * LEAVES_OF_A_CA
    }

    /// How long a bundle has to be registered before a CA in it is relied upon.
    fn settle(&self) -> Duration {
        SETTLE.min(self.life / 6)
    }
}

/// Which CAs the API servers trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Not known: nothing may depend on it.
    Unknown,
    /// There is no webhook configuration, so nobody has to be waited for.
    Unregistered,
    /// This bundle is registered, and was first seen so at that time.
    Registered { bundle: String, since: Timestamp },
}

impl Trust {
    fn covers(&self, ca: &Authority, settle: Duration, now: Timestamp) -> bool {
        match self {
            Self::Unknown => false,
            Self::Unregistered => true,
            Self::Registered { bundle, since } => {
                bundle.contains(ca.pem()) && since.checked_add(settle).is_ok_and(|settled| settled <= now)
            }
        }
    }
}

/// What should be stored instead, and why.
pub(super) struct Next {
    pub(super) material: Material,
    pub(super) reasons: Vec<&'static str>,
}

/// What has to be stored in place of `found`; nothing when that is good. Lost or damaged parts come from `memory`, what
/// this replica served last.
pub(super) fn next(
    found: &Material,
    memory: Option<&Material>,
    trust: &Trust,
    terms: &Terms,
    now: Timestamp,
) -> Result<Option<Next>, CertError> {
    let mut next = Next { material: found.clone(), reasons: Vec::new() };
    if let Some(memory) = memory {
        next.restore(memory, now);
    }
    next.drop_ended(now);
    next.renew_ca(terms, now)?;
    next.renew_leaf(trust, terms, now)?;
    Ok((!next.reasons.is_empty()).then_some(next))
}

impl Next {
    /// Replaced from memory as far as that goes, clients notice nothing of the loss: the old certificate stays in use
    /// until they trust what follows it.
    fn restore(&mut self, memory: &Material, now: Timestamp) {
        let material = &mut self.material;
        if material.signer().is_some() && material.servable(now).is_some() {
            return;
        }
        let before = material.bundle();
        let found: Vec<Authority> = std::mem::take(&mut material.cas);
        for ca in memory.cas.iter().cloned().chain(found) {
            material.trust(ca);
        }
        if material.bundle() != before {
            self.reasons.push("CAs in use were lost: they are in the bundle again");
        }
        if material.servable(now).is_none() && memory.servable(now).is_some() {
            material.leaf.clone_from(&memory.leaf);
            self.reasons.push("the serving certificate was lost or damaged: the one in use is stored again");
        }
    }

    fn drop_ended(&mut self, now: Timestamp) {
        let before = self.material.cas.len();
        self.material.cas.retain(|ca| now < ca.not_after());
        if self.material.cas.len() < before {
            self.reasons.push("a CA has ended and leaves the bundle");
        }
    }

    fn renew_ca(&mut self, terms: &Terms, now: Timestamp) -> Result<(), CertError> {
        let reason = match self.material.signer() {
            None => "there is no CA with its key: made a new one",
            Some(ca) if ca.not_after() <= add(now, terms.ca_life() / 3) => {
                "a third of the CA's life is left: added a new one"
            }
            Some(_) => return Ok(()),
        };
        self.make_room();
        let made = certs::generate_ca(terms.ca_life(), now)?;
        self.material.cas.extend(Authority::read(&made.cert_pem));
        self.material.ca_key = Some(made.key_pem);
        self.reasons.push(reason);
        Ok(())
    }

    /// Drops the oldest CAs that are too many, but not the one that signed what is served.
    fn make_room(&mut self) {
        let Material { cas, leaf, .. } = &mut self.material;
        while cas.len() >= MOST_CAS {
            let idle = |ca: &Authority| leaf.as_ref().is_none_or(|leaf| !leaf.issued_by(ca));
            let oldest = cas.iter().position(idle).unwrap_or(0);
            cas.remove(oldest);
        }
    }

    fn renew_leaf(&mut self, trust: &Trust, terms: &Terms, now: Timestamp) -> Result<(), CertError> {
        let (Some(signer), Some(key)) = (self.material.signer().cloned(), self.material.ca_key.clone()) else {
            return Ok(());
        };
        let reason = match self.material.servable(now) {
            // Nothing worse can come of it.
            None => "there is no valid serving certificate: made a new one",
            Some(leaf) if !leaf.issued_by(&signer) => {
                if !trust.covers(&signer, terms.settle(), now) {
                    return Ok(());
                }
                "the new CA is registered: it signed a new serving certificate"
            }
            Some(leaf) if leaf.facts.not_after <= add(now, terms.life / 3) => {
                "a third of the serving certificate's life is left: renewed it"
            }
            Some(leaf) if !terms.spec.covered_by(&leaf.facts) => "the serving certificate lacks a name: made a new one",
            Some(_) => return Ok(()),
        };
        let ca = Issued { cert_pem: signer.pem().to_owned(), key_pem: key };
        let made = certs::issue(&terms.spec, &ca, terms.life, now)?;
        self.material.leaf = Leaf::read(made);
        self.reasons.push(reason);
        Ok(())
    }
}

fn add(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
