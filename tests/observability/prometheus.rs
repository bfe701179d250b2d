//! A real Prometheus on loopback.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::assets::{ALERTS, promtool, tool};
use crate::harness::{Process, free_port, get, wait_until};

/// A running Prometheus that scrapes and evaluates every second. Dropping it kills it.
pub(crate) struct Prometheus {
    // Killed before its folder goes.
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes these operations ports, as one job in one namespace of one cluster.
    pub(crate) fn start(targets: &[u16]) -> Self {
        (0..3).find_map(|_| Self::try_start(targets)).expect("lost the race for a free port every time")
    }

    fn try_start(targets: &[u16]) -> Option<Self> {
        let folder = TempDir::with_prefix("portcullis-prometheus-").expect("temporary folder");
        let targets: Vec<_> = targets.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{ALERTS}']\nscrape_configs:\n  - \
             job_name: portcullis\n    static_configs:\n      - targets: [{}]\n        labels: {{namespace: portcullis, \
             cluster: test}}\n",
            targets.join(", ")
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("written");
        promtool(&["check", "config", file.to_str().expect("a path")], None).unwrap_or_else(|text| panic!("{text}"));
        let port = free_port();
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let log = folder.path().join("prometheus.log");
        let process = Process::start(&tool("prometheus"), &arguments, &log, |command| {
            command.current_dir(folder.path());
        });
        let mut prometheus = Self { process, port, _folder: folder };
        let ready = wait_until(Duration::from_secs(30), "Prometheus to be ready", || {
            if prometheus.process.lost_its_port() {
                return Some(false);
            }
            assert!(prometheus.process.exited().is_none(), "it ended\n{}", prometheus.process.log_tail());
            get(port, "/-/ready").is_some_and(|(status, _)| status == 200).then_some(true)
        });
        ready.then_some(prometheus)
    }

    /// `data` of an answer of the API.
    fn api(&self, path: &str) -> Result<Value, String> {
        let (_, body) = get(self.port, &format!("/api/v1/{path}")).ok_or_else(|| self.process.log_tail())?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }

    /// The samples that an expression selects now, each with `metric` and `value`.
    pub(crate) fn samples(&self, expression: &str) -> Result<Vec<Value>, String> {
        let data = self.api(&format!("query?query={}", encoded(expression)))?;
        data["result"].as_array().cloned().ok_or_else(|| format!("not a vector: {data}"))
    }

    /// The value of an expression that selects one sample; nothing for none or several.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        match self.samples(expression).ok()?.as_slice() {
            [one] => one["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }

    /// Every rule as Prometheus has read it.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let groups = self.api("rules").expect("the rules");
        let rules = |group: &Value| group["rules"].as_array().expect("rules").clone();
        groups["groups"].as_array().expect("groups").iter().flat_map(rules).collect()
    }

    /// The alerts that are pending or firing.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.api("alerts").expect("the alerts")["alerts"].as_array().expect("alerts").clone()
    }
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
