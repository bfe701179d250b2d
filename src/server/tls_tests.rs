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
    Keeper::start(folder.source(), at(now)).map(|_| ()).unwrap_err().to_string()
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
    let keeper = Keeper::start(Folder::good().source(), at(NOW)).unwrap();
    assert_eq!(keeper.live().config().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn changed_files_are_served_from_then_on() {
    let folder = Folder::good();
    let mut keeper = Keeper::start(folder.source(), at(NOW)).unwrap();
    let before = keeper.live().config();
    assert!(!keeper.look_again(at(NOW)), "nothing changed");
    let later = certs::generate(&Spec::default(), at("2026-11-24T10:00:00Z")).unwrap().leaf;
    folder.write("tls.crt", &later.cert_pem);
    assert!(!keeper.look_again(at(NOW)), "the key is still the old one");
    assert!(Arc::ptr_eq(&before, &keeper.live().config()), "the last good one stays");
    folder.write("tls.key", &later.key_pem);
    assert!(keeper.look_again(at(NOW)));
    assert!(!Arc::ptr_eq(&before, &keeper.live().config()));
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
    let mut keeper = Keeper::start(source, at(NOW)).unwrap();
    link("..2", "..tmp");
    fs::rename(path("..tmp"), path("..data")).unwrap();
    assert!(keeper.look_again(at(NOW)));
}

#[test]
fn files_that_vanish_and_come_back_are_no_change() {
    let folder = Folder::good();
    let mut keeper = Keeper::start(folder.source(), at(NOW)).unwrap();
    let key = folder.0.path().join("tls.key");
    fs::rename(&key, folder.0.path().join("away")).unwrap();
    assert!(!keeper.look_again(at(NOW)));
    fs::rename(folder.0.path().join("away"), &key).unwrap();
    keeper.look_again(at(NOW));
    assert!(keeper.live().check(at(NOW)).is_ok());
}

#[test]
fn a_running_server_renews_its_own_certificate() {
    let root = tempfile::tempdir().unwrap();
    let source = TlsOptions::Generated { dir: root.path().to_owned() };
    let mut keeper = Keeper::start(source, at(NOW)).unwrap();
    assert!(!keeper.look_again(at("2027-06-01T00:00:00Z")));
    assert!(keeper.look_again(at("2027-08-01T00:00:00Z")));
    assert_eq!(keeper.live().not_after(), at("2028-07-31T00:00:00Z").as_second());
    assert!(!keeper.look_again(at("2027-08-01T00:00:05Z")), "once is enough");
}

#[test]
fn an_expired_certificate_is_not_ready() {
    let keeper = Keeper::start(Folder::good().source(), at(NOW)).unwrap();
    assert!(keeper.live().check(at(NOW)).is_ok());
    assert!(keeper.live().check(at("2027-11-23T10:00:00Z")).is_err());
}
