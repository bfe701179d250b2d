use super::*;
use crate::server::certs::{self, Spec};

fn leaf(dns: &[&str]) -> CertificateDer<'static> {
    let spec = Spec { dns: dns.iter().map(|&name| name.to_owned()).collect(), ips: vec![] };
    let bundle = certs::generate(&spec, "2026-11-23T10:00:00Z".parse().unwrap()).unwrap();
    CertificateDer::from_pem_slice(bundle.leaf.cert_pem.as_bytes()).unwrap()
}

fn accepting(names: &[&str]) -> ClientAuth {
    ClientAuth { ca: "ca.crt".into(), names: names.iter().map(|&name| name.to_owned()).collect() }
}

#[test]
fn a_common_name_or_a_dns_name_has_to_be_equal() {
    // The common name is the first of them.
    let chain = [leaf(&["kube-apiserver", "apiserver.example"])];
    for accepted in ["kube-apiserver", "apiserver.example"] {
        assert_eq!(accepting(&["other", accepted]).refused(Some(&chain)), None);
    }
    let refused = accepting(&["apiserver", "kube-apiserver.example", "*.example"]).refused(Some(&chain)).unwrap();
    assert!(refused.contains(&"kube-apiserver".to_owned()), "{refused:?}");
}

#[test]
fn without_names_the_ca_is_enough_and_with_names_a_certificate_is_needed() {
    assert_eq!(accepting(&[]).refused(Some(&[leaf(&["any"])])), None);
    assert_eq!(accepting(&["a"]).refused(None), Some(vec![]));
}

#[test]
fn a_file_without_a_certificate_is_refused_with_its_name() {
    for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = verifier(pem.as_bytes(), "callers.crt").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("callers.crt") && error.contains("--client-ca"), "{error}");
    }
}

#[test]
fn one_line_a_second_is_let_through() {
    let rarely = Rarely::default();
    let at = |second| Timestamp::from_second(second).unwrap();
    assert_eq!([1, 1, 1, 2, 2, 3].map(|second| rarely.now(at(second))), [true, false, false, true, false, true]);
}
