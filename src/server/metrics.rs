//! What Prometheus is told. The only file that knows the metrics library.
//!
//! Labels come from closed sets: no namespaces, no object names, no users. Series whose labels are known beforehand begin at
//! zero, so that a rate over the first event is not lost.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::admission::handler::{Observer, Reviewed};

const KINDS: [&str; 2] = ["NetworkPolicy", "Namespace"];
const OPERATIONS: [&str; 3] = ["CREATE", "UPDATE", "DELETE"];
const OUTCOMES: [&str; 6] = ["allowed", "warned", "denied", "exempted", "cannot_judge", "error"];
const CODES: [&str; 11] = ["200", "400", "403", "404", "405", "408", "413", "415", "429", "500", "503"];

/// From what a small review takes to what the API server waits for by default, roughly.
const ADMISSION_BUCKETS: [f64; 16] =
    [5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// A rule takes microseconds; the upper end shows one that looks through a large cluster.
const RULE_BUCKETS: [f64; 12] = [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2, 0.1, 1.0];

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
    findings: IntCounterVec,
    rule_duration: HistogramVec,
    inventory_objects: IntGaugeVec,
    inventory_synced: IntGaugeVec,
    inventory_last_event: GaugeVec,
    inventory_odd: IntGaugeVec,
    config_info: IntGaugeVec,
    config_hash: Mutex<Option<String>>,
    config_reloads: IntCounterVec,
    config_last_reload: IntGauge,
    tls_not_after: IntGauge,
    tls_reloads: IntCounterVec,
    tls_handshake_failures: IntCounter,
    audit_findings: IntGaugeVec,
    audit_last_run: IntGauge,
    build_info: IntGaugeVec,
    answers: IntCounterVec,
}

/// Registers metrics as they are made.
struct Maker(Registry);

impl Maker {
    fn add<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> prometheus::Result<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn histograms(&self, name: &str, help: &str, label: &str, buckets: &[f64]) -> prometheus::Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[label]))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, with the series that are known beforehand at zero.
    #[must_use]
    #[expect(clippy::expect_used, reason = "names and labels are constants of this file, and every test makes one")]
    pub fn new() -> Self {
        let metrics = Self::register().expect("the names and labels of all metrics are valid and distinct");
        metrics.begin_at_zero();
        metrics
    }

    #[rustfmt::skip]
    fn register() -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        make.0.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            requests: make.counters("portcullis_admission_requests_total", "Admission reviews answered.", &["kind", "operation", "outcome", "dry_run"])?,
            duration: make.histograms("portcullis_admission_duration_seconds", "Time from the whole request to the answer.", "kind", &ADMISSION_BUCKETS)?,
            in_flight: make.gauge("portcullis_admission_in_flight", "Admission reviews being judged.")?,
            findings: make.counters("portcullis_findings_total", "Findings of admission reviews.", &["rule", "level"])?,
            rule_duration: make.histograms("portcullis_rule_duration_seconds", "Time a rule took for a review.", "rule", &RULE_BUCKETS)?,
            inventory_objects: make.gauges("portcullis_inventory_objects", "Objects known of the cluster.", &["kind"])?,
            inventory_synced: make.gauges("portcullis_inventory_synced", "1 when a kind's first list is complete.", &["kind"])?,
            inventory_last_event: make.add(GaugeVec::new(Opts::new("portcullis_inventory_last_event_timestamp_seconds", "When the cluster was last heard of, by kind."), &["kind"]))?,
            inventory_odd: make.gauges("portcullis_inventory_odd_objects", "Objects of the cluster that cannot be read, by kind.", &["kind"])?,
            config_info: make.gauges("portcullis_config_info", "The rule set in force, by its hash.", &["hash"])?,
            config_hash: Mutex::new(None),
            config_reloads: make.counters("portcullis_config_reloads_total", "Attempts to load a changed rule set.", &["result"])?,
            config_last_reload: make.gauge("portcullis_config_last_reload_success_timestamp_seconds", "When the rule set in force was loaded.")?,
            tls_not_after: make.gauge("portcullis_tls_certificate_not_after_timestamp_seconds", "When the serving certificate ends; 0 without one.")?,
            tls_reloads: make.counters("portcullis_tls_reloads_total", "Attempts to take a changed certificate or client CA.", &["result"])?,
            tls_handshake_failures: make.add(IntCounter::new("portcullis_tls_handshake_failures_total", "TLS handshakes that failed or took too long."))?,
            audit_findings: make.gauges("portcullis_audit_findings", "Findings of the last sweep.", &["rule", "level"])?,
            audit_last_run: make.gauge("portcullis_audit_last_run_timestamp_seconds", "When the last sweep ended.")?,
            build_info: make.gauges("portcullis_build_info", "The build that is running.", &["version", "revision"])?,
            answers: make.counters("portcullis_http_responses_total", "Answers of the webhook's port, refusals included.", &["code"])?,
            registry: make.0,
        })
    }

    fn begin_at_zero(&self) {
        for outcome in OUTCOMES {
            for dry_run in ["false", "true"] {
                for kind in KINDS {
                    for operation in OPERATIONS {
                        self.requests.with_label_values(&[kind, operation, outcome, dry_run]);
                    }
                }
            }
        }
        for kind in KINDS {
            self.duration.with_label_values(&[kind]);
        }
        for result in ["success", "failure"] {
            self.config_reloads.with_label_values(&[result]);
            self.tls_reloads.with_label_values(&[result]);
        }
        for code in CODES {
            self.answers.with_label_values(&[code]);
        }
    }

    /// Lets the series of these rules begin at zero.
    pub fn know_rules<'a>(&self, rules: impl IntoIterator<Item = &'a str>) {
        for rule in rules {
            self.rule_duration.with_label_values(&[rule]);
            for level in ["audit", "warn", "deny"] {
                self.findings.with_label_values(&[rule, level]);
            }
        }
    }

    /// The text format, version 0.0.4. Empty if it cannot be written, which the library knows no reason for.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            String::new()
        })
    }

    /// How many objects of a kind are known.
    pub fn set_inventory_objects(&self, kind: &str, count: usize) {
        self.inventory_objects.with_label_values(&[kind]).set(whole(count));
    }

    /// Whether the first list of a kind is complete.
    pub fn set_inventory_synced(&self, kind: &str, synced: bool) {
        self.inventory_synced.with_label_values(&[kind]).set(synced.into());
    }

    /// When something was last heard of a kind.
    pub fn set_inventory_last_event(&self, kind: &str, at: Timestamp) {
        self.inventory_last_event.with_label_values(&[kind]).set(at.as_duration().as_secs_f64());
    }

    /// How many objects of a kind cannot be read.
    pub fn set_inventory_odd_objects(&self, kind: &str, count: usize) {
        self.inventory_odd.with_label_values(&[kind]).set(whole(count));
    }

    /// The hash of the rule set in force; the one before it disappears.
    pub fn set_config(&self, hash: &str) {
        let mut current = self.config_hash.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = current.as_deref().filter(|old| *old != hash) {
            // An error means that it is not there.
            let _ = self.config_info.remove_label_values(&[old]);
        }
        self.config_info.with_label_values(&[hash]).set(1);
        *current = Some(hash.to_owned());
    }

    /// A changed rule set was loaded.
    pub fn config_reloaded(&self, at: Timestamp) {
        self.config_reloads.with_label_values(&["success"]).inc();
        self.set_config_last_reload(at);
    }

    /// A changed rule set was refused; the last good one stays.
    pub fn config_reload_failed(&self) {
        self.config_reloads.with_label_values(&["failure"]).inc();
    }

    /// When the rule set in force was loaded, at the start too.
    pub fn set_config_last_reload(&self, at: Timestamp) {
        self.config_last_reload.set(at.as_second());
    }

    /// When the serving certificate ends, in seconds since the epoch; zero without one.
    pub fn set_tls_not_after(&self, seconds: i64) {
        self.tls_not_after.set(seconds);
    }

    /// A changed certificate or client CA is in use.
    pub(super) fn tls_reloaded(&self) {
        self.tls_reloads.with_label_values(&["success"]).inc();
    }

    /// A changed certificate or client CA was refused; the last good one stays.
    pub(super) fn tls_reload_failed(&self) {
        self.tls_reloads.with_label_values(&["failure"]).inc();
    }

    /// The result of a sweep: counts by rule and level. What is not listed disappears.
    pub fn set_audit<'a>(&self, findings: impl IntoIterator<Item = (&'a str, &'a str, usize)>, at: Timestamp) {
        self.audit_findings.reset();
        for (rule, level, count) in findings {
            self.audit_findings.with_label_values(&[rule, level]).set(whole(count));
        }
        self.audit_last_run.set(at.as_second());
    }

    /// Which build this is.
    pub fn set_build_info(&self, version: &str, revision: &str) {
        self.build_info.with_label_values(&[version, revision]).set(1);
    }

    pub(super) fn handshake_failed(&self) {
        self.tls_handshake_failures.inc();
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.answers.with_label_values(&[status.as_str()]).inc();
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

impl Observer for Metrics {
    fn begun(&self) {
        self.in_flight.inc();
    }

    fn ended(&self) {
        self.in_flight.dec();
    }

    fn reviewed(&self, review: &Reviewed) {
        let dry_run = if review.dry_run { "true" } else { "false" };
        self.requests.with_label_values(&[review.kind, review.operation, review.outcome, dry_run]).inc();
        self.duration.with_label_values(&[review.kind]).observe(seconds(review.duration));
        for (rule, level) in &review.findings {
            self.findings.with_label_values(&[*rule, level.as_str()]).inc();
        }
        for (rule, duration) in &review.rule_durations {
            self.rule_duration.with_label_values(&[*rule]).observe(seconds(*duration));
        }
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
