//! `portcullis serve`: the webhook, put together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::logging::{self, LogFormat};
use super::reload::{self, Keeper};
use super::tls::TlsArgs;
use super::{cannot, print};
use crate::admission::handler::{Reviewer, routes};
use crate::engine::Bound;
use crate::inventory::Source;
use crate::inventory::from_cluster::Cluster;
use crate::inventory::from_files::Fixed;
use crate::inventory::memory::Memory;
use crate::rules::RULES;
use crate::server::{self, Limits, Metrics, Ops, Options, ServeError, TlsOptions, clock, install_provider};

/// Arguments of `portcullis serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the webhook (HTTPS); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "PORTCULLIS_LISTEN", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// Address of /livez, /readyz, /metrics and /config (HTTP)
    #[arg(long, value_name = "ADDRESS", env = "PORTCULLIS_OPS_LISTEN", default_value = "127.0.0.1:8080")]
    ops_listen: SocketAddr,

    /// The rule set, a file or a folder; reloaded when it changes [default: the built-in one]
    #[arg(long, value_name = "FILE|DIR", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

    /// What is known of the cluster: `memory`, `cluster`, or the path of manifests [default: cluster
    /// with --kubeconfig or inside a cluster, else memory]
    #[arg(long, value_name = "SOURCE", env = "PORTCULLIS_INVENTORY")]
    inventory: Option<String>,

    /// Talk to the cluster of this kubeconfig; implies --inventory cluster
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// Largest body of a review, in bytes
    #[arg(long, value_name = "BYTES", env = "PORTCULLIS_MAX_BODY", default_value_t = 8 * 1024 * 1024)]
    max_body: usize,

    /// How long requests in flight may take to finish after SIGTERM
    #[arg(long, value_name = "DURATION", env = "PORTCULLIS_SHUTDOWN_GRACE", default_value = "20s", value_parser = duration)]
    shutdown_grace: Duration,

    /// Look of the log
    #[arg(long, value_name = "FORMAT", env = "PORTCULLIS_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}; write it as 20s or 1m30s"))?;
    Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())
}

/// Where the knowledge of the cluster comes from.
#[derive(Debug, PartialEq, Eq)]
enum From {
    Memory,
    Cluster,
    Path(PathBuf),
}

impl From {
    /// Inside a cluster nothing but the cluster will do: an empty memory would deny what is fine and
    /// admit what is not.
    fn chosen(inventory: Option<&str>, kubeconfig: Option<&Path>, in_cluster: bool) -> Result<Self, String> {
        match (inventory, kubeconfig) {
            (None, None) if !in_cluster => Ok(Self::Memory),
            (None | Some("cluster"), _) => Ok(Self::Cluster),
            (Some(other), Some(_)) => {
                Err(format!("--kubeconfig implies --inventory cluster, and --inventory {other} is asked for: drop one"))
            }
            (Some("memory"), None) => Ok(Self::Memory),
            (Some(path), None) => Ok(Self::Path(path.into())),
        }
    }
}

pub(super) fn run(args: Args) -> ExitCode {
    logging::start(args.log_format);
    install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot(format!("the runtime cannot start: {error}")),
    };
    match runtime.block_on(serve(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => cannot(reason),
    }
}

/// A source, and how to ask whether it is there.
struct Knowledge {
    source: Arc<dyn Source>,
    cluster: Option<Arc<Cluster>>,
    told: String,
}

async fn serve(args: Args) -> Result<(), String> {
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let from = From::chosen(args.inventory.as_deref(), args.kubeconfig.as_deref(), in_cluster)?;
    let metrics = Arc::new(Metrics::new());
    let keeper = Arc::new(Keeper::start(args.config.clone(), Arc::clone(&metrics), clock::now())?);
    let bound = keeper.bound();
    let knowledge = knowledge(&from, args.kubeconfig.as_deref()).await?;
    let ops = operations(&keeper, &knowledge, &metrics);
    let _reload = AbortOnDropHandle::new(tokio::spawn(keeper.keep(reload::INTERVAL, clock::now)));
    let reviewer = Reviewer {
        bound: Arc::clone(&bound),
        source: Arc::clone(&knowledge.source),
        observer: Arc::clone(&metrics) as _,
        clock: clock::now,
    };
    let (tls, upkeep) = args.tls.source(args.kubeconfig.as_deref()).await?;
    let options = options(&args, tls);
    let banner = |addresses: &server::Bound| announce(&args, addresses, &bound.load(), &knowledge.told);
    let served = server::serve(options, routes(Arc::new(reviewer)), ops, banner).await;
    if let Some(upkeep) = upkeep {
        upkeep.stop().await;
    }
    served.map_err(|error: ServeError| error.to_string())
}

fn options(args: &Args, tls: TlsOptions) -> Options {
    let mut options = Options::new(args.listen, args.ops_listen, tls);
    options.clients = args.tls.clients();
    options.shutdown_grace = args.shutdown_grace;
    options.limits = Limits { max_body: args.max_body, ..options.limits };
    options
}

async fn knowledge(from: &From, kubeconfig: Option<&Path>) -> Result<Knowledge, String> {
    match from {
        From::Memory => {
            warn!(
                "the inventory is in memory: it starts empty and learns from what is admitted here; for trying out only"
            );
            let told = "memory: starts empty, learns from what it admits; for trying out only".to_owned();
            Ok(Knowledge { source: Arc::new(Memory::new()), cluster: None, told })
        }
        From::Path(path) => {
            let source = Fixed::load(path).map_err(|error| error.to_string())?;
            let told = format!("the manifests of {}, which do not change", path.display());
            Ok(Knowledge { source: Arc::new(source), cluster: None, told })
        }
        From::Cluster => {
            let client = Cluster::client(kubeconfig).await.map_err(|error| error.to_string())?;
            let cluster = Cluster::start(client, clock::now);
            let told = "the cluster, watched".to_owned();
            Ok(Knowledge { source: Arc::clone(&cluster) as _, cluster: Some(cluster), told })
        }
    }
}

/// The operations port: what has to be there before requests may come, and what is told of it.
fn operations(keeper: &Arc<Keeper>, knowledge: &Knowledge, metrics: &Arc<Metrics>) -> Ops {
    metrics.set_build_info(env!("CARGO_PKG_VERSION"), option_env!("PORTCULLIS_REVISION").unwrap_or("unknown"));
    metrics.know_rules(RULES.iter().map(|rule| rule.meta().name));
    let shown = Arc::clone(keeper);
    let mut ops = Ops::new(Arc::clone(metrics), Arc::new(move || shown.view()));
    // Without a good one it would not have started, and the last good one stays.
    ops = ops.check("config", Arc::new(|| Ok(())));
    let Some(cluster) = &knowledge.cluster else {
        return ops.check("inventory", Arc::new(|| Ok(())));
    };
    for stats in cluster.stats() {
        let cluster = Arc::clone(cluster);
        let synced =
            move || if cluster.synced(stats.kind) { Ok(()) } else { Err("its list is not complete yet".to_owned()) };
        ops = ops.check(format!("inventory/{}", stats.kind.as_str().to_lowercase()), Arc::new(synced));
    }
    let cluster = Arc::clone(cluster);
    ops.before_scrape(Arc::new(move |metrics: &Metrics| {
        for stats in cluster.stats() {
            let kind = stats.kind.as_str();
            metrics.set_inventory_objects(kind, stats.objects);
            metrics.set_inventory_odd_objects(kind, stats.odd);
            metrics.set_inventory_synced(kind, stats.synced);
            if let Some(at) = stats.last_event {
                metrics.set_inventory_last_event(kind, at);
            }
        }
    }))
}

/// A review to try the webhook with: an allow policy into a namespace without a default deny.
const TRY: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","kind":{"group":"networking.k8s.io","version":"v1","kind":"NetworkPolicy"},"object":{"metadata":{"name":"web","namespace":"shop"},"spec":{"podSelector":{"matchLabels":{"app":"web"}},"ingress":[{"ports":[{"port":8080}]}]}}}}"#;

/// Says on stdout what is served where, and how to try it.
fn announce(args: &Args, addresses: &server::Bound, bound: &Bound, inventory: &str) {
    info!(webhook = %addresses.webhook, operations = %addresses.ops, config = bound.hash, inventory, "serving");
    if args.log_format == LogFormat::Json {
        return;
    }
    let (trust, ca) = match args.tls.generated_ca() {
        None => (String::new(), String::new()),
        Some(ca) => (format!(" --cacert {}", ca.display()), format!(" (CA {})", ca.display())),
    };
    let (webhook, operations) = (addresses.webhook, addresses.ops);
    let rules = bound.rule_set.rules.len();
    print(&format!(
        "portcullis {} serves\n  webhook     https://{webhook}/validate{ca}\n  operations  http://{operations} (/livez, \
         /readyz, /metrics, /config)\n  rules       {}, {rules} of them\n  inventory   {inventory}\n\nTry it:\n\n  curl \
         -sS{trust} https://{webhook}/validate -H 'Content-Type: application/json' -d '{TRY}'\n\n",
        env!("CARGO_PKG_VERSION"),
        bound.rule_set.name,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_never_falls_back_to_memory_inside_a_cluster() {
        let chosen =
            |inventory, kubeconfig: Option<&str>, inside| From::chosen(inventory, kubeconfig.map(Path::new), inside);
        assert_eq!(chosen(None, None, false), Ok(From::Memory));
        assert_eq!(chosen(None, None, true), Ok(From::Cluster));
        assert_eq!(chosen(None, Some("f"), false), Ok(From::Cluster));
        assert_eq!(chosen(Some("cluster"), Some("f"), false), Ok(From::Cluster));
        assert_eq!(chosen(Some("dump.yaml"), None, true), Ok(From::Path("dump.yaml".into())));
        assert_eq!(chosen(Some("memory"), None, false), Ok(From::Memory));
        assert!(chosen(Some("memory"), Some("f"), false).is_err_and(|error| error.contains("drop one")));
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("20").is_err() && duration("-1s").is_err());
    }
}
