//! `portcullis explain` as its users see it: the real binary, its output and exit codes.
#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of this file are test code as well")]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

// ---- Helpers ---------------------------------------------------------------------------------------------------------

/// What a command came to.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

fn run(program: &str, args: &[&str], input: &str) -> Done {
    let mut command = Command::new(program);
    command.args(args).env_remove("PORTCULLIS_CONFIG").env("NO_COLOR", "1");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // One that gives up before it reads leaves nobody to write to.
    let writer = std::thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("ended");
    writer.join().expect("no panic");
    Done {
        code: output.status.code().expect("ended by itself"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// `explain` over [`CLUSTER`] on stdin.
fn explain(args: &[&str]) -> Done {
    run(env!("CARGO_BIN_EXE_portcullis"), &[&["explain", "-"], args].concat(), CLUSTER)
}

fn asked(from: &str, to: &str, port: &str) -> Value {
    let done = explain(&["--from", from, "--to", to, "--port", port, "-o", "json"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

fn verdict(from: &str, to: &str, port: &str) -> String {
    asked(from, to, port)["verdict"].as_str().expect("text").to_owned()
}

/// A folder with [`CLUSTER`] and a file of questions; the paths of both.
fn with_questions(questions: &str) -> (TempDir, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (cluster, file) = (path("cluster.yaml"), path("questions.jsonl"));
    fs::write(&cluster, CLUSTER).expect("written");
    fs::write(&file, questions).expect("written");
    (folder, cluster, file)
}

fn ask_all(questions: &str, args: &[&str]) -> Done {
    let (_folder, cluster, file) = with_questions(questions);
    run(env!("CARGO_BIN_EXE_portcullis"), &[&["explain", &cluster, "--queries", &file], args].concat(), "")
}

fn lines(done: &Done) -> Vec<Value> {
    done.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// `data` is closed; `db` there lets `shop`'s `web` in by the name of its port. `shop` is open, but for `web`, which
/// reaches `data`, port 53, and addresses but those of 10.0.0.0/8.
const CLUSTER: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: data}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web, pod-template-hash: abc}}
    spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: shop, labels: {app: api, "on": "yes"}}, status: {podIP: 10.0.0.7}}
---
{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: shop}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: job, namespace: shop}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: job, namespace: shop}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: data}
spec:
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, ports: [{name: postgres, containerPort: 5432}, {name: dns, containerPort: 53, protocol: UDP}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: infra, labels: {app: agent}}, spec: {hostNetwork: true}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: data}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-web, namespace: data}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: web}}}]
      ports: [{port: postgres}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: data}}}]
    - ports: [{port: 53, protocol: UDP}]
    - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}, {ipBlock: {cidr: "2001:db8::/32"}}]
      ports: [{port: 443}]
"#;

// ---- One question ----------------------------------------------------------------------------------------------------

#[test]
fn what_is_allowed_is_told_with_the_rules_that_allow_it() {
    let done = explain(&["--from", "shop/web", "--to", "data/db", "--port", "5432"]);
    let expected = "\
allow: shop/Deployment/web to data/StatefulSet/db on TCP/5432
  shop/web egress[0] lets it out; data/from-web ingress[0] lets it in

from shop/Deployment/web (egress)
  isolated by shop/web
  allowed by shop/web egress[0]
to data/StatefulSet/db (ingress)
  isolated by data/default-deny, data/from-web
  allowed by data/from-web ingress[0]
";
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, expected, ""));
}

#[test]
fn what_is_denied_is_told_with_what_is_missing_and_a_policy_that_allows_it() {
    let done = explain(&["--from", "shop/api", "--to", "data/db", "--port", "5432"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let near = "    data/from-web ingress[0] has the port, but not shop/api among its peers\n";
    let open = "from shop/api (egress)\n  not isolated: no policy selects it for egress\n";
    assert!(done.out.starts_with("deny: shop/api to data/StatefulSet/db on TCP/5432\n"), "{}", done.out);
    assert!(done.out.contains(near) && done.out.contains(open), "{}", done.out);

    let (_, manifest) = done.out.split_once("\n# Lets ").expect("a repair");
    let more = format!("{CLUSTER}---\n# {manifest}");
    let args = ["explain", "-", "--from", "shop/api", "--to", "data/db", "--port", "5432", "-o", "json"];
    let mended = run(env!("CARGO_BIN_EXE_portcullis"), &args, &more);
    let answer: Value = serde_json::from_str(&mended.out).expect("JSON");
    assert_eq!((answer["verdict"].as_str(), mended.code), (Some("allow"), 0), "{more}");
    assert_eq!(answer["ingress"]["allowedBy"], json!(["data/allow-shop-api-to-db-tcp-5432-ingress ingress[0]"]));
}

#[test]
fn both_ends_get_their_repair_when_both_block() {
    let answer = asked("data/db", "shop/web", "8080");
    assert_eq!((&answer["verdict"], answer["repair"].as_array().map(Vec::len)), (&json!("deny"), Some(1)));
    let answer = asked("shop/web", "shop/api", "80");
    assert_eq!(answer["repair"].as_array().map(Vec::len), Some(1));
    let text = answer["repair"][0].as_str().expect("text");
    assert!(text.contains("\"on\": \"yes\"") && !text.contains("pod-template-hash"), "{text}");
}

#[test]
fn the_json_is_the_contracts() {
    let answer = asked("shop/web", "data/db", "5432");
    assert_eq!(answer["verdict"], "allow");
    assert_eq!(answer["egress"], json!({"isolatedBy": ["shop/web"], "allowedBy": ["shop/web egress[0]"]}));
    let isolated =
        json!({"isolatedBy": ["data/default-deny", "data/from-web"], "allowedBy": ["data/from-web ingress[0]"]});
    assert_eq!(answer["ingress"], isolated);
    assert!(answer["why"].is_string() && answer.get("id").is_none());
    let line = explain(&["--from", "shop/web", "--to", "data/db", "--port", "5432", "-o", "jsonl"]).out;
    assert_eq!((line.lines().count(), serde_json::from_str::<Value>(&line).ok()), (1, Some(answer)));
}

#[test]
fn a_port_may_have_the_name_that_the_called_pod_gives_it() {
    assert_eq!(verdict("shop/web", "data/db", "postgres"), "allow");
    let wrong = explain(&["--from", "shop/web", "--to", "data/db", "--port", "postgers"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert!(wrong.err.contains("did you mean `postgres`?"), "{}", wrong.err);
    let other = explain(&["--from", "shop/web", "--to", "data/db", "--port", "dns"]);
    assert!(other.code == 2 && other.err.contains("a port of UDP"), "{other:?}");
    let udp = explain(&["--from", "shop/web", "--to", "data/db", "--port", "dns", "--protocol", "udp"]);
    assert!(udp.code == 0 && udp.out.starts_with("deny:") && udp.out.contains("UDP/53"), "{udp:?}");
    let address = explain(&["--from", "shop/web", "--to", "192.0.2.1", "--port", "http"]);
    assert!(address.code == 2 && address.err.contains("ask for a number"), "{address:?}");
}

#[test]
fn an_end_may_be_an_address() {
    assert_eq!(verdict("shop/web", "192.0.2.1", "443"), "allow");
    assert_eq!(verdict("shop/web", "2001:db8::1", "443"), "allow");
    assert_eq!(verdict("shop/web", "2001:db9::1", "443"), "deny");
    assert_eq!(verdict("shop/web", "10.9.9.9", "443"), "deny");
    assert_eq!(verdict("192.0.2.1", "data/db", "5432"), "deny");
    assert_eq!(verdict("192.0.2.1", "2001:db8::1", "80"), "allow");
    let repair = asked("2001:db8::1", "data/db", "5432")["repair"][0].as_str().map(str::to_owned).expect("a repair");
    assert!(repair.contains("cidr: \"2001:db8::1/128\""), "{repair}");
    // The address of a pod means the pod.
    let pod = asked("10.0.0.7", "data/db", "5432");
    assert_eq!((&pod["from"], &pod["notes"]), (&json!("shop/api"), &json!(["10.0.0.7 is the address of shop/api"])));
}

#[test]
fn what_policies_do_not_govern_is_unknown() {
    let answer = asked("infra/agent", "data/db", "5432");
    assert_eq!(answer["verdict"], "unknown");
    assert!(answer["why"].as_str().is_some_and(|why| why.contains("hostNetwork")), "{answer}");
    assert!(answer["notes"][0].as_str().is_some_and(|note| note.contains("infra")), "{answer}");
    assert!(answer.get("repair").is_none());
}

#[test]
fn a_policy_that_cannot_be_read_leaves_its_namespace_in_doubt() {
    let odd = r#"---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: odd, namespace: shop}, spec: {podSelector: {}, layer7: {}}}
"#;
    let args = ["explain", "-", "--from", "shop/api", "--to", "shop/bare", "--port", "80", "-o", "json"];
    let done = run(env!("CARGO_BIN_EXE_portcullis"), &args, &format!("{CLUSTER}{odd}"));
    let answer: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!((done.code, &answer["verdict"]), (2, &json!("unknown")), "{done:?}");
    assert!(answer["why"].as_str().is_some_and(|why| why.contains("shop/odd")), "{answer}");
    assert!(done.err.starts_with("warning: <stdin>:"), "{}", done.err);
}

#[test]
fn a_workload_asked_to_itself_is_two_of_its_pods() {
    let workload = explain(&["--from", "shop/web", "--to", "shop/web", "--port", "8080"]).out;
    assert!(workload.starts_with("deny: shop/Deployment/web to another of its pods"), "{workload}");
    let pod = explain(&["--from", "data/db", "--to", "data/sts/db", "--port", "1"]).out;
    assert!(pod.contains("asked of two pods"), "{pod}");
    let itself = explain(&["--from", "shop/bare", "--to", "shop/bare", "--port", "1"]).out;
    assert!(itself.starts_with("allow: shop/bare to itself") && itself.contains("always reaches itself"), "{itself}");
}

#[test]
fn without_a_port_the_ports_are_told_and_without_an_end_what_it_reaches() {
    let ports = explain(&["--from", "shop/web", "--to", "data/db", "-o", "jsonl"]).out;
    let answer: Value = serde_json::from_str(&ports).expect("JSON");
    assert_eq!((&answer["verdict"], &answer["ports"]), (&json!("allow"), &json!(["TCP/5432"])));
    let udp = explain(&["--from", "shop/web", "--to", "data/db", "--protocol", "UDP", "-o", "jsonl"]).out;
    assert_eq!(serde_json::from_str::<Value>(&udp).expect("JSON")["verdict"], "deny");
    let repair = explain(&["--from", "shop/web", "--to", "shop/api", "--protocol", "TCP"]).out;
    assert!(repair.starts_with("deny:") && repair.contains("    - ports:\n        - protocol: TCP\n"), "{repair}");

    let to = explain(&["--to", "data/db"]).out;
    assert!(to.contains("  namespace shop: Deployment/web on TCP/5432\n"), "{to}");
    assert!(to.contains("  not known: infra/agent (hostNetwork)\n"), "{to}");
    let from = explain(&["--from", "shop/web"]).out;
    assert!(from.contains("  every IPv4 address but 10.0.0.0/8; 2001:db8::/32 on TCP/443, UDP/53\n"), "{from}");
    assert!(from.contains("  10.0.0.0/8; every IPv6 address but 2001:db8::/32 on UDP/53\n"), "{from}");
    let address: Value = serde_json::from_str(&explain(&["--from", "192.0.2.1", "-o", "json"]).out).expect("JSON");
    assert_eq!(address["reach"]["pods"][0]["namespace"], "shop");
}

#[test]
fn an_ipblock_means_pods_or_not_as_it_is_asked() {
    let policy = r#"---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: block, namespace: data},
 spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}}
"#;
    let ask = |setting: &str| {
        let args = ["explain", "-", "--from", "shop/api", "--to", "data/db", "--port", "1", "-o", "jsonl"];
        let args = [&args[..], &["--ipblock-matches-pods", setting]].concat();
        let done = run(env!("CARGO_BIN_EXE_portcullis"), &args, &format!("{CLUSTER}{policy}"));
        serde_json::from_str::<Value>(&done.out).expect("JSON")["verdict"].clone()
    };
    assert_eq!((ask("true"), ask("false")), (json!("allow"), json!("deny")));
}

#[test]
fn a_name_that_is_not_known_is_told_with_the_nearest() {
    for (from, told) in [
        ("shop/wbe", "did you mean `shop/web`?"),
        ("sohp/web", "did you mean `shop/web`?"),
        ("data/web", "there is shop/Deployment/web"),
        ("web", "there is shop/Deployment/web"),
        ("shop/job", "shop/Deployment/job, shop/Job/job"),
        ("shop/Servise/web", "is no kind of pods or workloads"),
    ] {
        let done = explain(&["--from", from, "--to", "data/db", "--port", "1"]);
        assert!(done.code == 2 && done.out.is_empty() && done.err.contains(told), "{done:?}");
    }
    let json = explain(&["--from", "shop/wbe", "--to", "data/db", "--port", "1", "-o", "jsonl"]);
    let answer: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((json.code, &answer["verdict"]), (2, &json!("unknown")));
    let bare = explain(&["--from", "web", "--to", "data/db", "--port", "5432", "-n", "shop"]);
    assert!(bare.code == 0 && bare.out.starts_with("allow:"), "{bare:?}");
}

#[test]
fn bad_usage_ends_with_2() {
    for args in [
        &[][..],
        &["--from", "shop/web", "--to", "data/db", "--port", "0"],
        &["--from", "shop/web", "--to", "data/db", "--port", "1", "--protocol", "icmp"],
        &["--from", "shop/web", "--port", "1"],
        &["--from", "shop/web", "--queries", "x"],
        &["--queries", "-"],
        &["--queries", "/no/such/file"],
        &["--from", "shop/web", "--to", "data/db", "--test-plan"],
        &["--from", "shop/web", "--to", "data/db", "-o", "yaml"],
    ] {
        let done = explain(args);
        assert!(done.code == 2 && done.out.is_empty() && !done.err.is_empty(), "{args:?} {done:?}");
    }
}

// ---- Many questions --------------------------------------------------------------------------------------------------

#[test]
fn questions_are_answered_in_their_order_and_bad_ones_stop_no_other() {
    let questions = "\u{feff}{\"id\": \"1\", \"from\": \"shop/web\", \"to\": \"data/db\", \"protocol\": \"TCP\", \"port\": 5432}\r\n\
        \r\n\
        {\"id\": 2, \"from\": \"shop/api\", \"to\": \"data/db\", \"port\": 5432.0, \"more\": true}\n\
        {\"id\": 3, \"from\": \"shop/nobody\", \"to\": \"data/db\", \"port\": 1}\n\
        {\"id\": 4, \"from\": \"shop/web\", \n\
        not JSON\n\
        {\"id\": 12345678901234567890123, \"from\": \"shop/web\", \"to\": \"data/db\", \"port\": \"postgres\"}\n\
        {\"from\": \"infra/agent\", \"to\": \"data/db\", \"port\": \"80\"}";
    let done = ask_all(questions, &[]);
    let answers = lines(&done);
    let told: Vec<(&Value, &str)> =
        answers.iter().map(|answer| (&answer["id"], answer["verdict"].as_str().expect("text"))).collect();
    let big: Value = serde_json::from_str("12345678901234567890123").expect("a number");
    let (one, two, three, four, none) = (json!("1"), json!(2), json!(3), json!(4), Value::Null);
    let expected = [
        (&one, "allow"),
        (&two, "deny"),
        (&three, "unknown"),
        (&four, "unknown"),
        (&none, "unknown"),
        (&big, "allow"),
        (&none, "unknown"),
    ];
    assert_eq!(told, expected);
    assert!(done.out.contains("\"id\":12345678901234567890123,"), "{}", done.out);
    assert_eq!(done.code, 2);
    let good = ask_all("{\"from\": \"shop/web\", \"to\": \"data/db\", \"port\": 1}\n", &[]);
    assert_eq!((good.code, good.err.as_str(), lines(&good).len()), (0, "", 1));
    assert!(lines(&good)[0].get("id").is_none());
}

#[test]
fn questions_may_come_on_stdin_and_answers_as_text_or_one_document() {
    let question = "{\"from\": \"shop/web\", \"to\": \"data/db\", \"port\": 5432}\n";
    let (_folder, cluster, _) = with_questions("");
    let binary = env!("CARGO_BIN_EXE_portcullis");
    let done = run(binary, &["explain", "--queries", "-", &cluster], question);
    assert_eq!((done.code, lines(&done).len()), (0, 1));
    let text = ask_all(&question.repeat(2), &["-o", "text"]).out;
    assert_eq!(text.matches("allow: shop/Deployment/web to data/StatefulSet/db").count(), 2, "{text}");
    let whole: Value = serde_json::from_str(&ask_all(&question.repeat(3), &["-o", "json"]).out).expect("JSON");
    assert_eq!(whole.as_array().map(Vec::len), Some(3));
}

#[test]
fn each_answer_comes_before_the_next_question() {
    let (_folder, cluster, _) = with_questions("");
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["explain", "--queries", "-", &cluster])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let mut answers = std::io::BufReader::new(child.stdout.take().expect("piped"));
    for id in 0..3 {
        writeln!(stdin, "{{\"id\": {id}, \"from\": \"shop/web\", \"to\": \"data/db\", \"port\": 1}}").expect("written");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut answers, &mut line).expect("an answer");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["id"], id);
    }
    drop(stdin);
    assert!(child.wait().expect("ended").success());
}

// ---- The test plan ---------------------------------------------------------------------------------------------------

/// The plan, read by a shell.
fn plan(args: &[&str]) -> String {
    let done = explain(&[args, &["--test-plan"]].concat());
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    let read = run("bash", &["-n"], &done.out);
    assert_eq!((read.code, read.err.as_str()), (0, ""), "{}", done.out);
    done.out
}

#[test]
fn a_plan_tries_the_connection_with_a_pod_of_the_same_labels() {
    let text = plan(&["--from", "shop/web", "--to", "data/db", "--port", "5432"]);
    assert!(text.contains("Expected: connects"), "{text}");
    let run = "kubectl --namespace=shop run portcullis-probe-1 --rm --attach --quiet --restart=Never \
               --image=busybox:1.37 --labels=app=web \\\n  --command -- nc -z -w 3 \"$address\" 5432\n";
    assert!(text.contains(run) && text.contains("get pods --selector=app=db"), "{text}");
    let address = plan(&["--from", "shop/bare", "--to", "2001:db8::1", "--port", "80", "--test-image", "x y'z"]);
    assert!(address.contains("'--image=x y'\\''z'") && address.contains("nc -z -w 3 2001:db8::1 80"), "{address}");
    assert!(address.contains(r#"'--overrides={"apiVersion":"v1","metadata":{"labels":null}}'"#), "{address}");
    let outside = plan(&["--from", "192.0.2.1", "--to", "shop/api", "--port", "80"]);
    assert!(outside.contains("run from 192.0.2.1") && outside.contains("get pod/api"), "{outside}");
    assert!(!outside.contains("kubectl --namespace=shop run"), "{outside}");
    let udp = plan(&["--from", "shop/web", "--to", "data/db", "--port", "dns", "--protocol", "udp"]);
    assert!(udp.contains("nc -u -z -w 3") && udp.contains("success proves nothing"), "{udp}");
    let sctp = plan(&["--from", "shop/web", "--to", "data/db", "--port", "1", "--protocol", "sctp"]);
    assert!(sctp.contains("--protocol=sctp"), "{sctp}");
    let host = plan(&["--from", "infra/agent", "--to", "data/db", "--port", "1"]);
    assert!(!host.contains("kubectl") && host.contains("not known"), "{host}");
}

#[test]
fn a_plan_of_many_questions_has_a_probe_for_each() {
    let questions = "{\"from\": \"shop/web\", \"to\": \"data/db\", \"port\": 5432}\n{\"from\": \"$(reboot)\\n`x`\"}\n\
                     {\"from\": \"shop/api\", \"to\": \"data/db\", \"port\": 5432}\n";
    let done = ask_all(questions, &["--test-plan"]);
    assert_eq!(done.code, 2);
    let read = run("bash", &["-n"], &done.out);
    assert_eq!((read.code, read.err.as_str()), (0, ""), "{}", done.out);
    assert!(done.out.contains("portcullis-probe-1") && done.out.contains("portcullis-probe-3"), "{}", done.out);
    assert!(done.out.contains("# 2. cannot be tried"), "{}", done.out);
}
