use std::os::unix::fs::PermissionsExt;

use super::*;

/// What is done to a folder, in words and in deed.
type Damage = (&'static str, fn(&Paths));

const NOW: &str = "2026-11-23T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn contents(paths: &Paths) -> [Vec<u8>; 4] {
    [&paths.ca_cert, &paths.ca_key, &paths.cert, &paths.key].map(|path| fs::read(path).unwrap())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn the_folder_and_the_keys_are_for_the_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("new/certs");
    let paths = ensure(&dir, &Spec::default(), at(NOW)).unwrap();
    assert_eq!((mode(&dir), mode(&paths.ca_key), mode(&paths.key)), (0o700, 0o600, 0o600));
    let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".lock", "ca.crt", "ca.key", "tls.crt", "tls.key"], "nothing temporary is left");
}

#[test]
fn a_folder_that_was_there_keeps_its_mode() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    ensure(root.path(), &Spec::default(), at(NOW)).unwrap();
    assert_eq!(mode(root.path()), 0o755);
}

#[test]
fn good_certificates_are_reused() {
    let root = tempfile::tempdir().unwrap();
    let first = contents(&ensure(root.path(), &Spec::default(), at(NOW)).unwrap());
    let second = contents(&ensure(root.path(), &Spec::default(), at("2027-06-23T10:00:00Z")).unwrap());
    assert_eq!(first, second);
}

#[test]
fn with_a_third_of_its_life_left_the_leaf_is_renewed_by_the_same_ca() {
    let root = tempfile::tempdir().unwrap();
    let first = contents(&ensure(root.path(), &Spec::default(), at(NOW)).unwrap());
    let second = contents(&ensure(root.path(), &Spec::default(), at("2027-08-01T10:00:00Z")).unwrap());
    assert_eq!(first[..2], second[..2]);
    assert!(first[2] != second[2] && first[3] != second[3]);
}

#[test]
fn a_leaf_that_does_not_fit_is_replaced() {
    let damage: [Damage; 4] = [
        ("unreadable", |paths| fs::write(&paths.cert, b"\xff\xfe").unwrap()),
        ("no key", |paths| fs::remove_file(&paths.key).unwrap()),
        ("key of another", |paths| fs::copy(&paths.ca_key, &paths.key).map(|_| ()).unwrap()),
        ("from another CA", |paths| {
            let other = certs::generate(&Spec::default(), at(NOW)).unwrap();
            write_pair(&paths.cert, &paths.key, &other.leaf).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let root = tempfile::tempdir().unwrap();
        let paths = ensure(root.path(), &Spec::default(), at(NOW)).unwrap();
        let before = contents(&paths);
        damage(&paths);
        let after = contents(&ensure(root.path(), &Spec::default(), at(NOW)).unwrap());
        assert_eq!(before[..2], after[..2], "{what}: the CA stays");
        assert!(before[2] != after[2] && before[3] != after[3], "{what}");
    }
}

#[test]
fn other_names_need_another_leaf() {
    let root = tempfile::tempdir().unwrap();
    let before = contents(&ensure(root.path(), &Spec::default(), at(NOW)).unwrap());
    let mut spec = Spec::default();
    spec.dns.push("webhook.example.com".to_owned());
    assert_ne!(before[2], contents(&ensure(root.path(), &spec, at(NOW)).unwrap())[2]);
}

#[test]
fn an_expired_or_missing_ca_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let paths = ensure(root.path(), &Spec::default(), at(NOW)).unwrap();
    let first = contents(&paths);
    let second = contents(&ensure(root.path(), &Spec::default(), at("2040-01-01T00:00:00Z")).unwrap());
    assert!((0..4).all(|file| first[file] != second[file]));
    fs::remove_file(&paths.ca_cert).unwrap();
    let third = contents(&ensure(root.path(), &Spec::default(), at("2040-01-01T00:00:00Z")).unwrap());
    assert!((0..4).all(|file| second[file] != third[file]));
}

#[test]
fn a_broken_ca_is_an_error_and_stays() {
    let damage: [Damage; 3] = [
        ("no certificate", |paths| fs::write(&paths.ca_cert, "x").unwrap()),
        ("not the key", |paths| fs::copy(&paths.key, &paths.ca_key).map(|_| ()).unwrap()),
        ("not the certificate of a CA", |paths| fs::copy(&paths.cert, &paths.ca_cert).map(|_| ()).unwrap()),
    ];
    for (what, damage) in damage {
        let root = tempfile::tempdir().unwrap();
        let paths = ensure(root.path(), &Spec::default(), at(NOW)).unwrap();
        damage(&paths);
        let before = contents(&paths);
        let error = ensure(root.path(), &Spec::default(), at(NOW)).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("remove both"), "{error}");
        assert_eq!(before, contents(&paths), "{what}");
    }
}

#[test]
fn two_processes_at_once_agree() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ensure(root.path(), &Spec::default(), at(NOW)).unwrap());
        }
    });
    let paths = Paths::of(root.path());
    let before = contents(&paths);
    ensure(root.path(), &Spec::default(), at(NOW)).unwrap();
    assert_eq!(before, contents(&paths));
}

#[test]
fn save_never_overwrites_unless_forced() {
    let root = tempfile::tempdir().unwrap();
    let bundle = || certs::generate(&Spec::default(), at(NOW)).unwrap();
    fs::write(root.path().join("tls.key"), "precious").unwrap();
    let error = save(root.path(), &bundle(), false).unwrap_err();
    assert!(matches!(&error, StoreError::Exists(path) if path.ends_with("tls.key")), "{error}");
    assert!(!root.path().join("ca.key").exists(), "nothing is written before the refusal");
    let paths = save(root.path(), &bundle(), true).unwrap();
    assert_eq!((mode(&paths.key), mode(&paths.ca_key)), (0o600, 0o600));
}

#[test]
fn a_folder_that_cannot_be_made_names_the_flag() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let error = ensure(&root.path().join("file/certs"), &Spec::default(), at(NOW)).unwrap_err().to_string();
    assert!(error.contains("--cert-dir"), "{error}");
}
