//! What is written of a diagnosis.

use serde_json::{Value, json};

use super::*;

fn mk_diagnosis() -> Diagnosis {
    let check = |id, status, about: &[&str], what: &str, repair: Option<&str>| Check {
        id,
        status,
        about: about.iter().map(|&about| about.to_owned()).collect(),
        what: what.to_owned(),
        repair: repair.map(str::to_owned),
    };
    let checks = vec![
        check("cni", Status::Ok, &[], "Calico enforces", None),
        check("probe", Status::Error, &["p/a", "p/b"], "refused: \u{1b}[31mred", Some("mend it")),
        check("rbac", Status::Unknown, &[], "cannot look", Some("grant it")),
    ];
    Diagnosis { cluster: "v1.33.1".to_owned(), checks }
}

#[test]
fn as_text() {
    let expected = "ok      cni: Calico enforces\nerror   probe: refused: \u{fffd}[31mred (p/a, p/b)\n        = mend it\nunknown rbac: \
                    cannot look\n        = grant it\n\n3 checks: 1 ok, 1 unknown, 0 warning, 1 error\n";
    assert_eq!(text(&mk_diagnosis(), false), expected);
    let coloured = text(&mk_diagnosis(), true);
    assert!(
        coloured.starts_with("\u{1b}[1;32mok      \u{1b}[0m") && coloured.contains("\u{1b}[1;31merror   "),
        "{coloured:?}"
    );
}

#[test]
fn as_json() {
    let written: Value = serde_json::from_str(&json(&mk_diagnosis()).unwrap()).unwrap();
    assert_eq!(written["version"], "v1");
    assert_eq!(written["cluster"], json!({"version": "v1.33.1"}));
    assert_eq!(written["summary"], json!({"ok": 1, "unknown": 1, "warning": 0, "error": 1}));
    let (first, second) = (&written["checks"][0], &written["checks"][1]);
    assert_eq!(*first, json!({"id": "cni", "status": "ok", "about": [], "what": "Calico enforces", "repair": null}));
    assert_eq!((&second["status"], &second["about"]), (&json!("error"), &json!(["p/a", "p/b"])));
}
