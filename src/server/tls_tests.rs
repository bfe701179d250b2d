use super::*;
use crate::server::certs::{self, Bundle};

const NOW: &str = "2026-11-23T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn bundle() -> Bundle {
    certs::generate(&Spec::default(), at(NOW)).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(cert: &str, key: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("tls.crt", cert);
        folder.write("tls.key", key);
        folder
    }

    fn good() -> Self {
        let leaf = bundle().leaf;
        Self::new(&leaf.cert_pem, &leaf.key_pem)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn source(&self) -> TlsOptions {
        TlsOptions::Files { cert: self.0.path().join("tls.crt"), key: self.0.path().join("tls.key") }
    }
}

fn refused(folder: &Folder, now: &str) -> String {
    Keeper::start(folder.source(), None, at(now)).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn each_broken_pair_is_named_for_what_it_is() {
    let leaf = bundle().leaf;
    let stray = bundle().leaf;
    let (cert, key) = (leaf.cert_pem.as_str(), leaf.key_pem.as_str());
    let cases = [
        ("", key, "no certificate in", "tls.crt"),
        (key, key, "no certificate in", "tls.crt"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key, "no certificate in", "tls.crt"),
        (cert, "", "no usable private key in", "tls.key"),
        (cert, cert, "no usable private key in", "tls.key"),
        (cert, stray.key_pem.as_str(), "is not the key of the certificate", "tls.crt"),
    ];
    for (cert, key, problem, file) in cases {
        let error = refused(&Folder::new(cert, key), NOW);
        assert!(error.contains(problem) && error.contains(file), "{error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn an_expired_certificate_is_refused_with_its_date() {
    let error = refused(&Folder::good(), "2027-11-23T10:00:00Z");
    assert!(error.contains("expired at 2027-11-23T10:00:00Z"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::good();
    fs::remove_file(folder.0.path().join("tls.key")).unwrap();
    let error = refused(&folder, NOW);
    assert!(error.contains("cannot read") && error.contains("tls.key"), "{error}");
}

#[test]
fn both_protocols_are_offered() {
    let keeper = Keeper::start(Folder::good().source(), None, at(NOW)).unwrap();
    assert_eq!(keeper.live().config().unwrap().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn changed_files_are_served_from_then_on() {
    let folder = Folder::good();
    let mut keeper = Keeper::start(folder.source(), None, at(NOW)).unwrap();
    let before = keeper.live().config().unwrap();
    assert_eq!(keeper.look_again(at(NOW)), Looked::Same);
    let later = certs::generate(&Spec::default(), at("2026-11-24T10:00:00Z")).unwrap().leaf;
    folder.write("tls.crt", &later.cert_pem);
    assert_eq!(keeper.look_again(at(NOW)), Looked::Bad, "the key is still the old one");
    assert!(Arc::ptr_eq(&before, &keeper.live().config().unwrap()), "the last good one stays");
    folder.write("tls.key", &later.key_pem);
    assert_eq!(keeper.look_again(at(NOW)), Looked::New);
    assert!(!Arc::ptr_eq(&before, &keeper.live().config().unwrap()));
    assert_eq!(keeper.live().not_after(), at("2027-11-24T10:00:00Z").as_second());
}

/// Kubernetes mounts a Secret as links to `..data`, itself a link that is swapped: the files' own links never change.
#[test]
fn a_swapped_secret_mount_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let fill = |name: &str| {
        let leaf = bundle().leaf;
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("tls.crt"), leaf.cert_pem).unwrap();
        fs::write(path(name).join("tls.key"), leaf.key_pem).unwrap();
    };
    fill("..1");
    fill("..2");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
    link("..1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let source = TlsOptions::Files { cert: path("tls.crt"), key: path("tls.key") };
    let mut keeper = Keeper::start(source, None, at(NOW)).unwrap();
    link("..2", "..tmp");
    fs::rename(path("..tmp"), path("..data")).unwrap();
    assert_eq!(keeper.look_again(at(NOW)), Looked::New);
}

#[test]
fn files_that_vanish_and_come_back_are_no_change() {
    let folder = Folder::good();
    let mut keeper = Keeper::start(folder.source(), None, at(NOW)).unwrap();
    let key = folder.0.path().join("tls.key");
    fs::rename(&key, folder.0.path().join("away")).unwrap();
    assert_eq!(keeper.look_again(at(NOW)), Looked::Bad);
    assert_eq!(keeper.look_again(at(NOW)), Looked::Same, "told once");
    fs::rename(folder.0.path().join("away"), &key).unwrap();
    keeper.look_again(at(NOW));
    assert_eq!((keeper.live().check(at(NOW)), keeper.live().note(at(NOW))), (Ok(()), None));
}

#[test]
fn a_running_server_renews_its_own_certificate() {
    let root = tempfile::tempdir().unwrap();
    let source = TlsOptions::Generated { dir: root.path().to_owned() };
    let mut keeper = Keeper::start(source, None, at(NOW)).unwrap();
    assert_eq!(keeper.look_again(at("2027-06-01T00:00:00Z")), Looked::Same);
    assert_eq!(keeper.look_again(at("2027-08-01T00:00:00Z")), Looked::New);
    assert_eq!(keeper.live().not_after(), at("2028-07-31T00:00:00Z").as_second());
    assert_eq!(keeper.look_again(at("2027-08-01T00:00:05Z")), Looked::Same, "once is enough");
}

#[test]
fn an_expired_certificate_is_not_ready() {
    let keeper = Keeper::start(Folder::good().source(), None, at(NOW)).unwrap();
    assert!(keeper.live().check(at(NOW)).is_ok());
    assert!(keeper.live().check(at("2027-11-23T10:00:00Z")).is_err());
}

#[test]
fn what_cannot_be_served_is_noted_until_it_is_mended() {
    let folder = Folder::good();
    let mut keeper = Keeper::start(folder.source(), None, at(NOW)).unwrap();
    assert_eq!(keeper.live().note(at(NOW)), None);
    let good = fs::read_to_string(folder.0.path().join("tls.key")).unwrap();
    folder.write("tls.key", "broken");
    assert_eq!(keeper.look_again(at(NOW)), Looked::Bad);
    assert!(keeper.live().note(at(NOW)).unwrap().contains("no usable private key in"));
    assert!(keeper.live().check(at(NOW)).is_ok());
    folder.write("tls.key", &good);
    keeper.look_again(at(NOW));
    assert_eq!(keeper.live().note(at(NOW)), None);
}

#[test]
fn a_certificate_of_tomorrow_is_served_and_noted() {
    let tomorrow = certs::generate(&Spec::default(), at("2026-11-24T10:00:00Z")).unwrap().leaf;
    let keeper = Keeper::start(Folder::new(&tomorrow.cert_pem, &tomorrow.key_pem).source(), None, at(NOW)).unwrap();
    assert!(keeper.live().check(at(NOW)).is_ok());
    assert_eq!(keeper.live().note(at(NOW)).unwrap(), "the certificate is not valid before 2026-11-24T09:00:00Z");
    assert_eq!(keeper.live().note(at("2026-11-24T09:00:00Z")), None);
}

#[test]
fn the_chain_is_served_whole() {
    let Bundle { ca, leaf } = bundle();
    let both = format!("{}{}", leaf.cert_pem, ca.cert_pem);
    let keeper = Keeper::start(Folder::new(&both, &leaf.key_pem).source(), None, at(NOW)).unwrap();
    assert_eq!(keeper.pair.good.unwrap().certified.cert.len(), 2);
}

fn callers(folder: &Folder) -> Option<ClientAuth> {
    Some(ClientAuth { ca: folder.0.path().join("client-ca.crt"), names: vec![] })
}

/// Each part has its own last good state: a broken client CA does not keep a new certificate out, and the other way round.
#[test]
fn a_broken_client_ca_does_not_stop_the_certificate() {
    let folder = Folder::good();
    assert!(Keeper::start(folder.source(), callers(&folder), at(NOW)).is_err(), "there is none");
    folder.write("client-ca.crt", &bundle().ca.cert_pem);
    let mut keeper = Keeper::start(folder.source(), callers(&folder), at(NOW)).unwrap();

    let later = certs::generate(&Spec::default(), at("2026-11-24T10:00:00Z")).unwrap().leaf;
    folder.write("client-ca.crt", "broken");
    folder.write("tls.crt", &later.cert_pem);
    folder.write("tls.key", &later.key_pem);
    assert_eq!(keeper.look_again(at(NOW)), Looked::Bad);
    assert_eq!(keeper.live().not_after(), at("2027-11-24T10:00:00Z").as_second());
    let note = keeper.live().note(at("2026-11-24T10:00:00Z")).unwrap();
    assert!(note.contains("client-ca.crt") && note.contains("--client-ca"), "{note}");

    let before = keeper.live().config().unwrap();
    folder.write("client-ca.crt", &bundle().ca.cert_pem);
    assert_eq!(keeper.look_again(at(NOW)), Looked::New);
    assert!(!Arc::ptr_eq(&before, &keeper.live().config().unwrap()), "the whole configuration is swapped");
}

#[test]
fn a_supply_is_waited_for_and_followed() {
    let (send, supply) = watch::channel(Supply::default());
    let source = TlsOptions::Supplied { name: "Secret a/b".to_owned(), supply };
    let mut keeper = Keeper::start(source, None, at(NOW)).unwrap();
    assert!(keeper.live().config().is_none());
    assert_eq!((keeper.live().not_after(), keeper.look_again(at(NOW))), (0, Looked::Same));
    send.send_modify(|supply| supply.trouble = Some("no rights".to_owned()));
    keeper.look_again(at(NOW));
    let reason = keeper.live().check(at(NOW)).unwrap_err();
    assert_eq!(reason, "waiting for a certificate from Secret a/b; no rights");

    send.send_replace(Supply { pair: Some(Arc::new(bundle().leaf)), trouble: None });
    assert_eq!(keeper.look_again(at(NOW)), Looked::New);
    assert!(keeper.live().check(at(NOW)).is_ok() && keeper.live().config().is_some());
    assert_eq!(keeper.look_again(at(NOW)), Looked::Same);
}
