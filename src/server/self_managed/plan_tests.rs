use std::net::Ipv4Addr;

use super::*;

const LIFE: Duration = Duration::from_secs(90 * DAY);

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
}

fn terms() -> Terms {
    let spec = Spec { dns: vec!["portcullis.a.svc".to_owned()], ips: vec![Ipv4Addr::LOCALHOST.into()] };
    Terms { spec, life: LIFE }
}

/// The first certificate, as made on day 0.
fn fresh() -> Material {
    step(&Material::default(), None, &Trust::Unknown, 0).expect("there is nothing yet").material
}

fn step(found: &Material, memory: Option<&Material>, trust: &Trust, day: i64) -> Option<Next> {
    let next = next(found, memory, trust, &terms(), at(day)).unwrap();
    // What is stored is what was meant, and then there is nothing left to do.
    if let Some(next) = &next {
        let entries = next.material.entries();
        let get = |key: &str| entries.iter().find(|(name, _)| *name == key).map(|(_, text)| text.as_bytes());
        let read = Material::read(get);
        assert_eq!(read.bundle(), next.material.bundle());
        assert!(read.signer().is_some() && read.servable(at(day)).is_some());
        assert!(super::next(&read, None, trust, &terms(), at(day)).unwrap().is_none());
    }
    next
}

fn registered(material: &Material, day: i64) -> Trust {
    Trust::Registered { bundle: material.bundle(), since: at(day) }
}

fn leaf(material: &Material) -> &Leaf {
    material.leaf.as_ref().unwrap()
}

fn pem(material: &Material) -> &str {
    &leaf(material).issued.cert_pem
}

#[test]
fn the_first_one_is_for_the_names_and_lives_as_long_as_asked() {
    let made = fresh();
    assert_eq!(made.cas.len(), 1);
    assert!(terms().spec.covered_by(&leaf(&made).facts) && leaf(&made).issued_by(made.signer().unwrap()));
    assert_eq!((leaf(&made).facts.not_after, made.cas[0].not_after()), (at(90), at(360)));
    assert!(step(&made, None, &Trust::Unknown, 59).is_none());
}

#[test]
fn it_is_renewed_at_two_thirds_of_its_life_by_the_same_ca() {
    let made = fresh();
    let renewed = step(&made, None, &Trust::Unknown, 60).unwrap().material;
    assert_eq!((renewed.bundle(), leaf(&renewed).facts.not_after), (made.bundle(), at(150)));
}

/// From one CA to the next: both are trusted before the new one signs, and until the old one ends.
#[test]
fn a_ca_is_followed_by_another_with_both_in_the_bundle() {
    let mut material = fresh();
    for day in [60, 120, 180] {
        material = step(&material, None, &Trust::Unknown, day).unwrap().material;
    }
    let old = material.clone();
    let both = step(&old, None, &registered(&old, 0), 240).unwrap().material;
    assert_eq!((both.cas.len(), pem(&both)), (2, pem(&old)), "the old certificate stays");
    assert_eq!(both.cas[0].pem(), old.cas[0].pem(), "the newest is last");

    // Not while it is not known who trusts it, nor while only the old one is registered, nor at once.
    let settled = |seconds: i64, trust: &Trust| {
        let now = at(240).checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        next(&both, None, trust, &terms(), now).unwrap()
    };
    assert!(settled(9999, &Trust::Unknown).is_none());
    assert!(settled(9999, &registered(&old, 0)).is_none());
    assert!(settled(29, &registered(&both, 240)).is_none());
    let after = settled(30, &registered(&both, 240)).unwrap().material;
    assert!(leaf(&after).issued_by(&after.cas[1]) && after.bundle() == both.bundle());
    assert!(settled(0, &Trust::Unregistered).is_some(), "nobody has to be waited for");

    let renewed = step(&after, None, &registered(&both, 240), 305).unwrap().material;
    assert_eq!(renewed.cas.len(), 2, "the old one stays until it ends");
    let alone = step(&renewed, None, &registered(&both, 240), 360).unwrap().material;
    assert_eq!((alone.cas.len(), alone.cas[0].pem()), (1, both.cas[1].pem()));
}

/// What any replica may still show is always trusted, however long it was cut off.
#[test]
fn no_certificate_outlives_its_ca_in_the_bundle() {
    let (mut material, mut shown) = (fresh(), Vec::<(Leaf, i64)>::new());
    for day in 0..1500 {
        let trust = registered(&material, day - 1);
        if let Some(next) = step(&material, None, &trust, day) {
            material = next.material;
        }
        shown.push((leaf(&material).clone(), day));
        for (leaf, since) in &shown {
            let trusted = material.cas.iter().any(|ca| leaf.issued_by(ca));
            assert!(trusted || leaf.facts.not_after <= at(day), "of day {since}, on day {day}");
        }
        assert!(material.cas.len() <= 2);
        shown.retain(|(leaf, _)| at(day) < leaf.facts.not_after);
    }
}

#[test]
fn an_ended_certificate_is_replaced_at_once_whoever_trusts_it() {
    let made = fresh();
    let later = step(&made, None, &Trust::Unknown, 400).unwrap().material;
    assert_eq!(later.cas.len(), 1);
    assert!(leaf(&later).issued_by(&later.cas[0]));
}

/// A deleted Secret is a wish for a new CA: the old certificate stays in use until the new one can follow.
#[test]
fn a_deleted_secret_is_made_anew_without_a_gap() {
    let made = fresh();
    let next = step(&Material::default(), Some(&made), &registered(&made, 0), 1).unwrap().material;
    assert_eq!((next.cas.len(), pem(&next)), (2, pem(&made)));
    assert_ne!(next.ca_key, made.ca_key);
    let after = step(&next, Some(&made), &registered(&next, 1), 2).unwrap().material;
    assert!(leaf(&after).issued_by(&after.cas[1]));
}

#[test]
fn a_secret_that_is_deleted_again_and_again_does_not_grow() {
    let first = fresh();
    let mut memory = first.clone();
    for day in 0..20 {
        memory = step(&Material::default(), Some(&memory), &registered(&memory, 0), day).unwrap().material;
        assert!(memory.cas.len() <= MOST_CAS && memory.cas[0].pem() == first.cas[0].pem());
        assert_eq!(pem(&memory), pem(&first));
    }
}

#[test]
fn each_damage_is_repaired_and_nothing_in_use_is_lost() {
    let (made, stray) = (fresh(), fresh());
    let entries = made.entries();
    let with = |changed: &str, text: Option<&str>| {
        let get = |key: &str| {
            let stored = entries.iter().find(|(name, _)| *name == key).map(|(_, text)| text.as_bytes());
            if key == changed { text.map(str::as_bytes) } else { stored }
        };
        // The borrow ends with what was read.
        Material::read(get)
    };
    let broken = [None, Some(""), Some("broken"), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")];
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        for text in broken {
            let next = step(&with(key, text), Some(&made), &registered(&made, 0), 1).unwrap().material;
            assert!(next.bundle().contains(made.cas[0].pem()), "{key}");
            assert_eq!(pem(&next), pem(&made), "{key}");
            // Without a memory it is at least whole again.
            assert!(step(&with(key, text), None, &Trust::Unknown, 1).is_some(), "{key}");
        }
    }
    let next = step(&with("tls.crt", Some(pem(&stray))), Some(&made), &Trust::Unknown, 1).unwrap().material;
    assert_eq!(pem(&next), pem(&made), "the key was of another certificate");
}

/// As `install.sh` leaves it: a CA without its key, and a certificate by it.
#[test]
fn a_certificate_made_elsewhere_stays_in_use_until_ours_is_trusted() {
    let spec = Spec::default();
    let bundle = certs::generate(&spec, at(0)).unwrap();
    let get = |key: &str| match key {
        "ca.crt" => Some(bundle.ca.cert_pem.as_bytes()),
        "tls.crt" => Some(bundle.leaf.cert_pem.as_bytes()),
        "tls.key" => Some(bundle.leaf.key_pem.as_bytes()),
        _ => None,
    };
    let next = next(&Material::read(get), None, &Trust::Unknown, &terms(), at(1)).unwrap().unwrap().material;
    assert_eq!((next.cas.len(), pem(&next)), (2, bundle.leaf.cert_pem.as_str()));
}

#[test]
fn a_new_name_gets_a_new_certificate_and_a_superfluous_one_stays() {
    let made = fresh();
    let with = |dns: &[&str]| {
        let spec = Spec { dns: dns.iter().map(|&name| name.to_owned()).collect(), ips: vec![] };
        next(&made, None, &Trust::Unknown, &Terms { spec, life: LIFE }, at(1)).unwrap()
    };
    assert!(with(&["portcullis.a.svc"]).is_none());
    let more = with(&["portcullis.a.svc", "portcullis.b.svc"]).unwrap().material;
    assert!(leaf(&more).facts.dns.contains(&"portcullis.b.svc".to_owned()) && more.bundle() == made.bundle());
}

#[test]
fn a_shorter_life_is_taken_up_in_time() {
    let made = fresh();
    let short = Terms { life: Duration::from_secs(9 * DAY), ..terms() };
    assert!(next(&made, None, &Trust::Unknown, &short, at(1)).unwrap().is_none(), "it lasts for longer anyway");
    assert!(next(&made, None, &Trust::Unknown, &short, at(87)).unwrap().is_some());
}
