//! Chains as a server shows them, and the bundles they are compared with.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

pub(super) const SERVICE: &str = "portcullis.portcullis.svc";
const CA: &str = "webhook-ca-bundle";
const LEAF: &str = "webhook-certificate";

pub(super) struct Chain {
    pub(super) bundle: String,
    shown: Vec<Vec<u8>>,
}

impl Chain {
    pub(super) fn served(&self) -> Served {
        Served::Chain(self.shown.clone())
    }
}

/// Days from [`NOW`], the past below zero.
fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |days: i64| {
        let seconds = now().as_second() + days * 24 * 60 * 60;
        let date = Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().cast_unsigned(), date.day().cast_unsigned())
    };
    (params.not_before, params.not_after) = (at(from), at(until));
}

fn mk_ca(until: i64) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("CA {until}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid(&mut params, -1000, until);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn mk_leaf(ca: &Issuer<'static, KeyPair>, name: &str, from: i64, until: i64) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    valid(&mut params, from, until);
    params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().to_vec()
}

/// A CA, and a certificate of it that is `age` days old and lasts `left` more.
pub(super) fn mk_chain(name: &str, age: i64, left: i64) -> Chain {
    let (ca, bundle) = mk_ca(3000);
    Chain { bundle, shown: vec![mk_leaf(&ca, name, -age, left)] }
}

/// The fit cluster with this bundle in both webhooks, and this being shown.
fn with(bundle: Option<&str>, served: &Served) -> Facts {
    let mut facts = mk_facts();
    for hook in facts.registrations.as_mut().unwrap()[0].webhooks.iter_mut().flatten() {
        hook.client_config.ca_bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
    }
    facts.served.values_mut().for_each(|shown| *shown = served.clone());
    facts
}

#[test]
fn a_chain_that_fits() {
    let chain = mk_chain(SERVICE, 10, 100);
    assert_eq!(faults(&with(Some(&chain.bundle), &chain.served())), []);
    // Old and new CA side by side, as during a rotation.
    let (_, other) = mk_ca(2000);
    assert_eq!(faults(&with(Some(&format!("{other}{}", chain.bundle)), &chain.served())), []);
    // One that stands in the bundle itself.
    let mut params = CertificateParams::new(vec![SERVICE.to_owned()]).unwrap();
    valid(&mut params, -1, 300);
    let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(faults(&with(Some(&own.pem()), &Served::Chain(vec![own.der().to_vec()]))), []);
}

#[test]
fn an_intermediate_is_followed_where_it_is_shown() {
    let (root, bundle) = mk_ca(3000);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid(&mut params, -100, 1000);
    let key = KeyPair::generate().unwrap();
    let between = params.signed_by(&key, &root).unwrap().der().to_vec();
    let leaf = mk_leaf(&Issuer::new(params, key), SERVICE, -10, 100);
    assert_eq!(faults(&with(Some(&bundle), &Served::Chain(vec![leaf.clone(), between]))), []);
    assert_fault(&with(Some(&bundle), &Served::Chain(vec![leaf])), LEAF, Status::Error, &["another CA signed it"]);
}

#[test]
fn a_chain_that_does_not_fit() {
    let (chain, other) = (mk_chain(SERVICE, 10, 100), mk_chain(SERVICE, 10, 100));
    let said = ["does not fit", "another CA signed it", "register the CA that signed it"];
    assert_fault(&with(Some(&other.bundle), &chain.served()), LEAF, Status::Error, &said);

    let named = mk_chain("portcullis.other.svc", 10, 100);
    let said = ["is for portcullis.other.svc", "asks for portcullis.portcullis.svc", "certs generate --dns"];
    assert_fault(&with(Some(&named.bundle), &named.served()), LEAF, Status::Error, &said);

    let garbage = Served::Chain(vec![b"x".to_vec()]);
    assert_fault(&with(Some(&chain.bundle), &garbage), LEAF, Status::Error, &["no X.509"]);
    let away = Served::NoAnswer { address: "127.0.0.1:1".into(), why: "refused".into() };
    assert_fault(&with(Some(&chain.bundle), &away), LEAF, Status::Error, &["no TLS at 127.0.0.1:1: refused"]);
}

#[test]
fn the_calendar() {
    for (age, left, status, said) in [
        (100, 0, Status::Error, "expired 2026-06-01T00:00:00Z"),
        (100, -5, Status::Error, "expired 2026-05-27"),
        (-5, 100, Status::Error, "valid only from 2026-06-06"),
        (10, 13, Status::Warning, "valid for 13 days more"),
        (300, 65, Status::Warning, "a third of its life"),
    ] {
        let chain = mk_chain(SERVICE, age, left);
        assert_fault(&with(Some(&chain.bundle), &chain.served()), LEAF, status, &[said]);
    }
    let chain = mk_chain(SERVICE, 10, 25);
    assert_eq!(
        faults(&with(Some(&chain.bundle), &chain.served())),
        [],
        "short-lived ones are fine until their last third"
    );
}

#[test]
fn bundles() {
    let chain = mk_chain(SERVICE, 10, 100);
    let find = |bundle: Option<&str>| {
        let faults = faults(&with(bundle, &chain.served()));
        faults.into_iter().find(|fault| fault.id == CA).unwrap()
    };
    for (bundle, status, said) in [
        (None, Status::Error, "there is no caBundle"),
        (Some("-----BEGIN NONSENSE-----"), Status::Error, "no certificate in PEM"),
        (Some(mk_ca(-3).1.as_str()), Status::Error, "none of the 1 certificates"),
        (Some(mk_ca(9).1.as_str()), Status::Warning, "of use for 9 days more"),
    ] {
        let check = find(bundle);
        assert!(check.status == status && check.what.contains(said), "{check:?}");
    }
    let facts = with(Some(&format!("{}{}", mk_ca(-3).1, chain.bundle)), &chain.served());
    assert_fault(&facts, CA, Status::Warning, &["1 of 2 certificates", "have expired"]);
}

/// webpki does not ask how old a root is; Go does.
#[test]
fn a_root_that_has_expired_vouches_for_nobody() {
    let (old, old_pem) = mk_ca(-3);
    let leaf = Served::Chain(vec![mk_leaf(&old, SERVICE, -10, 100)]);
    let faults = faults(&with(Some(&format!("{old_pem}{}", mk_ca(3000).1)), &leaf));
    let said = faults.iter().find(|fault| fault.id == LEAF).unwrap();
    assert_eq!(said.what, "the CA that signed the certificate has expired");
}

#[test]
fn what_is_not_reachable_is_unknown_and_says_how_to_reach_it() {
    let chain = mk_chain(SERVICE, 10, 100);
    let said = ["not reachable from here", "inside the cluster", "--connect"];
    assert_fault(&with(Some(&chain.bundle), &Served::NotTried), LEAF, Status::Unknown, &said);
}

#[test]
fn a_url_has_a_name_of_its_own() {
    use crate::doctor::{certificate::server_name, registration::webhooks};
    for (url, expected) in [
        ("https://portcullis.example.com/validate", "portcullis.example.com"),
        ("https://127.0.0.1:8443/validate", "127.0.0.1"),
        ("https://[::1]:8443/validate", "::1"),
    ] {
        let mut registrations = registered(mk_registration());
        let config = &mut registrations[0].webhooks.as_mut().unwrap()[0].client_config;
        (config.service, config.url) = (None, Some(url.into()));
        assert_eq!(server_name(&webhooks(&registrations)[0]), expected);
    }
}
