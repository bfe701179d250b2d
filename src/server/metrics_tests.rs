use super::*;

fn value<'a>(text: &'a str, series: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

fn review() -> Reviewed {
    Reviewed {
        kind: "NetworkPolicy",
        operation: "CREATE",
        outcome: "denied",
        dry_run: true,
        duration: Duration::from_micros(300),
        findings: vec![("egress-private-cidr", crate::finding::Level::Deny)],
        rule_durations: vec![("egress-private-cidr", Duration::from_micros(3))],
    }
}

#[test]
fn what_is_known_beforehand_begins_at_zero() {
    let metrics = Metrics::new();
    metrics.know_rules(["egress-private-cidr"]);
    let text = metrics.render();
    for series in [
        r#"portcullis_admission_requests_total{dry_run="false",kind="Namespace",operation="DELETE",outcome="cannot_judge"}"#,
        r#"portcullis_admission_requests_total{dry_run="false",kind="other",operation="other",outcome="error"}"#,
        r#"portcullis_admission_duration_seconds_count{kind="NetworkPolicy"}"#,
        "portcullis_admission_in_flight",
        r#"portcullis_config_reloads_total{result="success"}"#,
        r#"portcullis_config_reloads_total{result="failure"}"#,
        r#"portcullis_findings_total{level="audit",rule="egress-private-cidr"}"#,
        r#"portcullis_rule_duration_seconds_count{rule="egress-private-cidr"}"#,
        r#"portcullis_http_responses_total{code="429"}"#,
        "portcullis_tls_handshake_failures_total",
    ] {
        assert_eq!(value(&text, series), "0", "{series}");
    }
    assert!(text.contains("process_resident_memory_bytes"));
}

#[test]
fn a_review_is_counted_once_in_each() {
    let metrics = Metrics::new();
    metrics.begun();
    assert_eq!(value(&metrics.render(), "portcullis_admission_in_flight"), "1");
    metrics.reviewed(&review());
    metrics.ended();
    let text = metrics.render();
    let denied = r#"portcullis_admission_requests_total{dry_run="true",kind="NetworkPolicy",operation="CREATE",outcome="denied"}"#;
    assert_eq!(value(&text, denied), "1");
    assert_eq!(value(&text, "portcullis_admission_in_flight"), "0");
    assert_eq!(value(&text, r#"portcullis_findings_total{level="deny",rule="egress-private-cidr"}"#), "1");
    let bucket = |name: &str, label: &str, le: &str| {
        value(&text, &format!(r#"portcullis_{name}_duration_seconds_bucket{{{label},le="{le}"}}"#)).to_owned()
    };
    let kind = r#"kind="NetworkPolicy""#;
    assert_eq!(bucket("admission", kind, "0.00005"), "0", "the smallest bucket is 50 µs");
    assert_eq!(bucket("admission", kind, "0.0005"), "1");
    assert_eq!(bucket("admission", kind, "5"), "1", "the largest is 5 s");
    assert_eq!(bucket("rule", r#"rule="egress-private-cidr""#, "0.000005"), "1");
}

#[test]
fn only_the_rule_set_in_force_is_shown() {
    let metrics = Metrics::new();
    metrics.set_config("aaaa");
    metrics.set_config("aaaa");
    metrics.set_config("bbbb");
    let text = metrics.render();
    assert_eq!(value(&text, r#"portcullis_config_info{hash="bbbb"}"#), "1");
    assert!(!text.contains("aaaa"));
}

#[test]
fn gauges_show_what_was_set() {
    let metrics = Metrics::new();
    let at: Timestamp = "2026-11-23T10:00:00.5Z".parse().unwrap();
    metrics.set_inventory_objects("namespaces", 12);
    metrics.set_inventory_synced("namespaces", true);
    metrics.set_inventory_last_event("namespaces", at);
    metrics.set_inventory_odd_objects("namespaces", 1);
    metrics.config_reloaded(at);
    metrics.config_reload_failed();
    metrics.set_tls_not_after(at.as_second());
    metrics.set_build_info("0.1.0", "abc");
    let text = metrics.render();
    for (series, expected) in [
        (r#"inventory_objects{kind="namespaces"}"#, "12"),
        (r#"inventory_synced{kind="namespaces"}"#, "1"),
        (r#"inventory_last_event_timestamp_seconds{kind="namespaces"}"#, "1795428000.5"),
        (r#"inventory_odd_objects{kind="namespaces"}"#, "1"),
        (r#"config_reloads_total{result="success"}"#, "1"),
        (r#"config_reloads_total{result="failure"}"#, "1"),
        ("config_last_reload_success_timestamp_seconds", "1795428000"),
        ("tls_certificate_not_after_timestamp_seconds", "1795428000"),
        (r#"build_info{revision="abc",version="0.1.0"}"#, "1"),
    ] {
        assert_eq!(value(&text, &format!("portcullis_{series}")), expected, "{series}");
    }
}

#[test]
fn a_refused_rule_set_is_a_state_until_a_good_one_is_in_force() {
    let metrics = Metrics::new();
    let at: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    let in_step = || value(&metrics.render(), "portcullis_config_last_reload_successful").to_owned();
    metrics.set_config_last_reload(at);
    assert_eq!(in_step(), "1");
    metrics.config_reload_failed();
    assert_eq!(in_step(), "0");
    metrics.config_reloaded(at);
    assert_eq!(in_step(), "1");
}

#[test]
fn a_connection_counts_while_it_is_held() {
    let metrics = Metrics::new();
    metrics.set_max_connections(4096);
    let held = [metrics.connected(), metrics.connected()];
    assert_eq!(value(&metrics.render(), "portcullis_http_connections"), "2");
    drop(held);
    assert_eq!(value(&metrics.render(), "portcullis_http_connections"), "0");
    assert_eq!(value(&metrics.render(), "portcullis_http_max_connections"), "4096");
}

#[test]
fn the_codes_are_a_closed_set() {
    let metrics = Metrics::new();
    for code in [200, 418, 429, 599] {
        metrics.answered(StatusCode::from_u16(code).unwrap());
    }
    let text = metrics.render();
    let count = |code: &str| value(&text, &format!(r#"portcullis_http_responses_total{{code="{code}"}}"#)).to_owned();
    assert_eq!([count("200"), count("429"), count("other")], ["1", "1", "2"]);
    assert!(!text.contains(r#"code="418""#));
}
