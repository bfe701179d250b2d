use super::*;
use crate::manifest;
use crate::netpol::port_set::Protocol;

fn pods(text: &str) -> Vec<Option<Result<Pod, Fault>>> {
    let reading = manifest::parse("x.yaml", text);
    assert_eq!(reading.problems, []);
    reading.documents.iter().map(|document| read(document, "default")).collect()
}

fn only(text: &str) -> Pod {
    match pods(text).pop().flatten() {
        Some(Ok(pod)) => pod,
        other => panic!("no pod: {other:?}"),
    }
}

#[test]
fn a_pod_has_its_labels_ports_addresses_and_controller() {
    let pod = only(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: a
  labels: {app: web, empty: null}
  ownerReferences:
  - {apiVersion: v1, kind: Node, name: node, uid: u}
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}
spec:
  initContainers:
  - {name: i, ports: [{name: setup, containerPort: 1}]}
  - {name: s, restartPolicy: Always, ports: [{name: mesh, containerPort: 15000}]}
  containers:
  - name: c
    image: x
    ports: [{name: http, containerPort: 8080}, {containerPort: 9}, {name: dns, containerPort: 53, protocol: UDP}]
  - {name: d}
status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
",
    );
    assert_eq!(pod.to_string(), "a/web-1");
    let labels = [("app", "web"), ("empty", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(pod.labels, labels.into());
    let ports: Vec<_> = pod.ports.iter().map(|port| (port.protocol, port.name.as_str(), port.number)).collect();
    assert_eq!(ports, [(Protocol::Tcp, "http", 8080), (Protocol::Tcp, "mesh", 15000), (Protocol::Udp, "dns", 53)]);
    assert_eq!(pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
    assert_eq!(pod.controller, Some(Controller { kind: "ReplicaSet".to_owned(), name: "web".to_owned() }));
    assert!(!pod.host_network);
}

#[test]
fn a_workload_is_what_its_template_says() {
    let template = "{metadata: {labels: {app: web}}, spec: {hostNetwork: true}}";
    let kinds = [
        ("apps/v1", "Deployment"),
        ("extensions/v1beta1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1beta2", "DaemonSet"),
        ("batch/v1", "Job"),
        ("v1", "ReplicationController"),
    ];
    for (version, kind) in kinds {
        let labels = "{app: other}";
        let text = format!(
            "{{apiVersion: {version}, kind: {kind}, metadata: {{name: x, labels: {labels}}}, spec: {{template: {template}}}}}"
        );
        let pod = only(&text);
        assert_eq!((pod.kind.as_str(), pod.namespace.as_str(), pod.host_network), (kind, "default", true));
        assert_eq!(pod.labels.get("app").map(String::as_str), Some("web"), "{kind}");
    }
    let cron = format!(
        "{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: x}}, spec: {{jobTemplate: {{spec: {{template: {template}}}}}}}}}"
    );
    assert_eq!(only(&cron).labels.len(), 1);
    assert_eq!(only("{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}}").labels.len(), 0);
}

#[test]
fn kinds_of_others_are_not_read_and_broken_ones_are_told_of() {
    assert_eq!(pods("{apiVersion: batch.volcano.sh/v1, kind: Job, metadata: {name: x}}"), [None]);
    assert_eq!(pods("{apiVersion: v1, kind: Service, metadata: {name: x}}"), [None]);
    let fault = |text: &str| match pods(text).pop().flatten() {
        Some(Err(fault)) => fault.to_string(),
        other => panic!("no fault: {other:?}"),
    };
    assert_eq!(fault("{apiVersion: v1, kind: Pod, metadata: {}}"), "metadata.name: the object has no name");
    let message = fault("{apiVersion: v1, kind: Pod, metadata: {name: x, labels: {version: 1}}}");
    assert!(message.starts_with("metadata.labels.version: invalid type: integer `1`"), "{message}");
    let spec = "{template: {spec: {containers: [{ports: [{containerPort: http}]}]}}}";
    let message = fault(&format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: x}}, spec: {spec}}}"));
    assert!(message.starts_with("spec.template.spec.containers[0].ports[0].containerPort: "), "{message}");
}
