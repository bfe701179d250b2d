use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Document, Error, Place, Reading, parse, read};

/// The value of the only document.
fn value(text: &str) -> Value {
    let reading = parse("x.yaml", text);
    assert_eq!(problems(&reading), Vec::<String>::new(), "{text}");
    assert_eq!(reading.documents.len(), 1, "{text}");
    reading.documents[0].value.clone()
}

fn problems(reading: &Reading) -> Vec<String> {
    reading.problems.iter().map(ToString::to_string).collect()
}

/// The only problem.
fn error(text: &str) -> (Option<Place>, Error) {
    let reading = parse("x.yaml", text);
    assert_eq!(reading.problems.len(), 1, "{reading:?}");
    (reading.problems[0].place, reading.problems[0].error.clone())
}

fn at(line: usize, column: usize) -> Place {
    Place { line, column }
}

/// Each compared with kubectl 1.36: `kubectl annotate --local -f x.yaml a=b -o json`.
#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let cases = [
        ("0644", json!(420)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("-0x1f", json!(-31)),
        ("0b101", json!(5)),
        ("+5", json!(5)),
        ("1_000", json!(1000)),
        ("08", json!(8)),
        ("1e3", json!(1000)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("10.0.0.0/8", json!("10.0.0.0/8")),
        ("1.2.3", json!("1.2.3")),
        ("190:20:30", json!("190:20:30")),
        ("2001-01-01", json!("2001-01-01")),
        ("007", json!(7)),
        ("0_8", json!(8)),
        ("0x_1", json!(1)),
        ("0B11", json!(3)),
        ("1.", json!(1)),
        ("-.5", json!(-0.5)),
        ("-0.0", json!(0)),
        (".e3", json!(".e3")),
        ("1e999", json!("1e999")),
        ("0x", json!("0x")),
        ("--5", json!("--5")),
        ("0x+5", json!("0x+5")),
        ("yes", json!(true)),
        ("On", json!(true)),
        ("y", json!(true)),
        ("off", json!(false)),
        ("N", json!(false)),
        ("yEs", json!("yEs")),
        ("~", json!(null)),
        ("", json!(null)),
        ("'yes'", json!("yes")),
        ("\"0644\"", json!("0644")),
        ("!!str 0644", json!("0644")),
        ("!!int '5'", json!(5)),
        ("! 6", json!("6")),
        ("!mine 6", json!("6")),
        ("|\n  yes", json!("yes\n")),
    ];
    for (text, expected) in cases {
        assert_eq!(value(&format!("v: {text}"))["v"], expected, "{text}");
    }
}

#[test]
fn keys_become_text_as_in_kubectl() {
    assert_eq!(value("yes: 1\n0644: 2\n'no': 3\n1.5: 4"), json!({"true": 1, "420": 2, "no": 3, "1.5": 4}));
    assert_eq!(error("~: 1").1, Error::OddKey);
    assert_eq!(error("? [a]\n: 1").1, Error::OddKey);
    assert_eq!(error("{a: b}: 1").1, Error::OddKey);
}

#[test]
fn what_breaks_a_template_is_said_to_need_rendering() {
    for text in ["{{- if .Values.on }}\na: 1\n{{- end }}", "name: {{ .Release.Name }}", "a: 1\nb: {{ x }}-c"] {
        let error = error(text).1;
        assert!(matches!(error, Error::Template(_)) && error.to_string().contains("rendered first"), "{text}: {error}");
    }
    // Text with braces is none, nor is what is wrong for another reason.
    assert_eq!(value("key: '{{ request.object }}'"), json!({"key": "{{ request.object }}"}));
    assert!(matches!(error("a: '{{ x }}'\na: 1").1, Error::DuplicateKey(_)));
}

#[test]
fn a_key_given_twice_is_an_error_at_its_place() {
    let twice = || Error::DuplicateKey("egress".to_owned());
    assert_eq!(error("spec:\n  egress: []\n  egress: [{}]\n"), (Some(at(3, 3)), twice()));
    assert_eq!(error(r#"{"egress": 1, "egress": 2}"#), (Some(at(1, 15)), twice()));
}

#[test]
fn values_that_json_lacks_are_errors() {
    assert!(matches!(error("v: .nan").1, Error::OddScalar { .. }));
    assert!(matches!(error("v: !!binary aGVsbG8=").1, Error::OddScalar { .. }));
    assert!(matches!(error("v: !!int hello").1, Error::OddScalar { .. }));
}

#[test]
fn documents_are_read_one_by_one_past_a_bad_one() {
    let text = "a: 1\n---\nb: [1,\n---\n# nothing\n---\nc: x: y\n---\nd: 1\n";
    let reading = parse("x.yaml", text);
    let values: Vec<_> = reading.documents.iter().map(|document| (document.line, document.value.clone())).collect();
    assert_eq!(values, [(1, json!({"a": 1})), (9, json!({"d": 1}))]);
    let places: Vec<_> = reading.problems.iter().map(|problem| problem.place).collect();
    assert_eq!(places, [Some(at(3, 4)), Some(at(7, 5))], "{:?}", reading.problems);
    assert!(problems(&reading)[1].starts_with("x.yaml:7:5: not valid YAML or JSON: mapping values"));
}

#[test]
fn empty_texts_hold_nothing() {
    for text in ["", "# nothing\n", "---\n---\n", "\u{feff}", "null"] {
        let reading = parse("x.yaml", text);
        assert!(reading.documents.is_empty() && reading.problems.is_empty(), "{text:?}: {reading:?}");
    }
}

#[test]
fn fields_know_their_place() {
    let text = "\
# a comment
kind: NetworkPolicy
metadata:
  labels:
    kubernetes.io/metadata.name: x
    kubernetes: y
spec:
  egress:
    - to:
        - ipBlock:
            cidr: 10.0.0.0/8
        - {podSelector: {}}
";
    let document = &parse("x.yaml", text).documents[0];
    let cases = [
        ("", at(2, 1)),
        ("spec", at(7, 1)),
        ("spec.egress[0]", at(9, 7)),
        ("spec.egress[0].to[0].ipBlock", at(10, 11)),
        ("spec.egress[0].to[0].ipBlock.cidr", at(11, 13)),
        ("spec.egress[0].to[1].podSelector", at(12, 12)),
        ("metadata.labels.kubernetes.io/metadata.name", at(5, 5)),
        ("metadata.labels[kubernetes.io/metadata.name]", at(5, 5)),
        ("metadata.labels[\"kubernetes\"]", at(6, 5)),
        // What is not there stands where the nearest part of its path does.
        ("spec.egress[0].ports[3].port", at(9, 7)),
        ("spec.egress[7].to", at(8, 3)),
        ("spec.ingress", at(7, 1)),
        ("nonsense[", at(2, 1)),
    ];
    for (field, expected) in cases {
        assert_eq!(document.place(field), expected, "{field}");
    }
}

#[test]
fn lists_are_unfolded_with_the_places_of_their_items() {
    let text = "\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: a}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicyList
  items:
  - metadata: {name: b}
    spec: {}
";
    let documents = parse("x.yaml", text).documents;
    let found: Vec<_> = documents
        .iter()
        .map(|item| (item.line, item.api_version(), item.kind(), item.place("metadata.name")))
        .collect();
    assert_eq!(found, [(4, "v1", "Namespace", at(6, 14)), (10, "networking.k8s.io/v1", "NetworkPolicy", at(10, 16)),]);
    // An object that is merely called a list.
    let named = parse("x.yaml", "kind: AllowList\nmetadata: {name: x}\nitems: [a]");
    assert_eq!(named.documents[0].kind(), "AllowList");
}

#[test]
fn json_is_read_with_tabs_and_escapes_and_several_values() {
    let text = "{\n\t\"a\": \"http:\\/\\/x\\ud83d\\ude00\",\n\t\"b\": [1, 2.5, true, null]\n}\n";
    assert_eq!(value(text), json!({"a": "http://x😀", "b": [1, 2.5, true, null]}));
    let reading = parse("x.json", "{\"a\": 1}\n  {\"b\": 2} {\"c\": {\"d\": 3}}\n");
    let places: Vec<_> = reading.documents.iter().map(|document| document.place("")).collect();
    assert_eq!(places, [at(1, 1), at(2, 3), at(2, 12)], "{reading:?}");
    assert_eq!(reading.documents[2].place("c.d"), at(2, 19));
}

#[test]
fn anchors_aliases_and_merges_are_expanded() {
    let text = "base: &b {x: 1, z: 2}\nuse: {<<: *b, z: 3}\nboth: {<<: [{x: 5}, *b]}\nsame: *b\n";
    assert_eq!(
        value(text),
        json!({"base": {"x": 1, "z": 2}, "use": {"x": 1, "z": 3}, "both": {"x": 5, "z": 2}, "same": {"x": 1, "z": 2}})
    );
    assert_eq!(parse("x", text).documents[0].place("same.x"), at(1, 11));
    // Where it stands matters to kubectl, though not to YAML.
    let text = "base: &b {k: 1, z: 2}\na: {k: 5, <<: *b}\nb: {<<: *b, k: 5}\n";
    assert_eq!((value(text)["a"]["k"].clone(), value(text)["b"]["k"].clone()), (json!(1), json!(5)));
    assert!(matches!(error("base: &b {k: 1}\na: {k: 5, <<: *b, k: 6}").1, Error::DuplicateKey(_)));
    assert_eq!(error("a: &a [*a]").1, Error::RecursiveAlias);
    assert_eq!(error("a: {<<: 1}").1, Error::OddMerge);
    assert!(matches!(error("a: *nowhere").1, Error::Syntax(_)));
    // An anchor belongs to its document.
    assert!(matches!(error("a: &a 1\n---\nb: *a").1, Error::Syntax(_)));
}

#[test]
fn hostile_nesting_is_an_error_at_its_place() {
    for text in ["- ".repeat(100_000), "[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let (place, error) = error(&format!("a: 1\n---\n{text}"));
        assert_eq!(error, Error::TooDeep, "{}", &text[..6]);
        assert_eq!(place.map(|place| place.line), Some(3));
    }
    let after = parse("x", &format!("{}\n---\na: 1\n", "- ".repeat(100_000)));
    assert_eq!((after.documents.len(), after.problems.len()), (1, 1), "the next document is still read");
    // Aliases must not add up levels either.
    let mut chain = format!("a0: &a0 {}{}\n", "[".repeat(100), "]".repeat(100));
    for i in 1..2_000 {
        chain += &format!("a{i}: &a{i} {}*a{}{}\n", "[".repeat(100), i - 1, "]".repeat(100));
    }
    assert_eq!(error(&chain).1, Error::TooDeep);
}

#[test]
fn a_text_of_nothing_but_broken_documents_is_given_up() {
    for text in ["a: [\n---\n", "{\"a\": 1, \"a\": 2}\n"] {
        let reading = parse("x.yaml", &text.repeat(5_000));
        assert_eq!(reading.problems.len(), super::MAX_BROKEN + 1, "{text}");
        assert_eq!(reading.problems.last().map(|problem| &problem.error), Some(&Error::Hopeless));
    }
}

#[test]
fn the_place_of_one_json_value_among_many_costs_nothing() {
    let reading = parse("x.json", &"{\"a\":\n1} ".repeat(50_000));
    assert_eq!(reading.documents.len(), 50_000);
    assert_eq!(reading.documents.last().map(|document| document.place("a")), Some(at(50_000, 5)));
}

#[test]
fn alias_bombs_are_an_error() {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..20 {
        let inner = vec![format!("*a{}", i - 1); 9].join(", ");
        laughs += &format!("a{i}: &a{i} [{inner}]\n");
    }
    assert_eq!(error(&laughs).1, Error::AliasBomb);
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    assert_eq!(error(&long).1, Error::AliasBomb);
    let anchors = |count: usize| (0..count).map(|i| format!("- &a{i} x\n")).collect::<String>();
    assert!(parse("x.yaml", &anchors(10_000)).problems.is_empty());
    assert_eq!(error(&anchors(10_001)).1, Error::TooManyAnchors);
}

#[test]
fn folders_are_read_in_lexical_order_without_hidden_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b.yml", b"v: 3");
    write("a/z.YAML", b"v: 1");
    write("a.json", b"{\"v\": 2}");
    write("notes.txt", b"v: 9");
    write(".git/x.yaml", b"v: 9");
    write("..2026_01/a.yaml", b"v: 9");
    let reading = read(&[folder.path().to_owned()]);
    let values: Vec<_> = reading.documents.iter().map(|document| document.value["v"].clone()).collect();
    assert_eq!((values, problems(&reading)), (vec![json!(1), json!(2), json!(3)], vec![]));

    write("c.yaml", b"a: 1\nb: \xff\n");
    let reading = read(&[folder.path().to_owned(), PathBuf::from("/nowhere.yaml")]);
    assert_eq!(reading.documents.len(), 3);
    let problems = problems(&reading);
    assert!(problems[0].ends_with("c.yaml:2:4: is not UTF-8 text from here on; save it as UTF-8"), "{problems:?}");
    assert!(problems[1].starts_with("/nowhere.yaml: cannot be read: "), "{problems:?}");
}

#[test]
fn a_folder_without_manifests_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(&[folder.path().to_owned()]).problems[0].error, Error::NoManifests);
}

#[test]
#[ignore = "a measurement: cargo test --release manifest -- --ignored --nocapture"]
fn a_large_dump_is_read_in_seconds() {
    let item = "- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: n, namespace: x}\n  \
                spec:\n    podSelector: {}\n    egress:\n    - to:\n      - ipBlock: {cidr: 10.0.0.0/8}\n";
    let text = format!("kind: List\nitems:\n{}", item.repeat(100_000));
    let began = std::time::Instant::now();
    let reading = parse("x.yaml", &text);
    assert_eq!((reading.documents.len(), reading.problems.len()), (100_000, 0));
    println!("{} MB in {:?}", text.len() / 1_000_000, began.elapsed());
}

#[test]
fn a_part_is_a_document_that_knows_its_places() {
    let text = "a:\n  - b: {x.y/z: {kind: List, items: [{kind: A}, {kind: B, c: 1}]}}\n    d: &d {e: 1}\n    f: *d\n";
    let document = &parse("x.yaml", text).documents[0];
    let part = &document.parts("a[0].d")[0];
    assert_eq!((&part.value, part.line, &*part.file), (&json!({"e": 1}), 3, "x.yaml"));
    assert_eq!(part.place("e"), Place { line: 3, column: 12 });
    assert_eq!(document.parts("a[0].f")[0].value, json!({"e": 1}));
    let list = document.parts("a[0].b[x.y/z]");
    assert_eq!(list.iter().map(Document::kind).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(list[1].place("c"), Place { line: 2, column: 58 });
    assert_eq!(document.parts("a[0].b.x.y/z").len(), 2);
    for nowhere in ["a[1]", "b", "a[0].d.e.g", "a[x]"] {
        assert!(document.parts(nowhere).is_empty(), "{nowhere}");
    }
}
