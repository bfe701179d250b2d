//! Portcullis: a validating admission webhook that judges what a change does to connectivity.
//!
//! One pure engine with several callers. A verdict takes five hops: `handler -> review -> engine::evaluate ->
//! Check::check -> decide`. Time comes in as an argument, so every verdict can be replayed.
//!
//! # The rooms, from the bottom up
//!
//! [`netpol`]: what a NetworkPolicy means. Sets of addresses and ports, label selectors and what can be proved about
//! them, the parser of a `spec` with closed key sets, default denies, the extents by which two states are compared, and
//! connectivity: who is isolated, what is allowed by which rule, and what a change opens and closes.
//! Pure: nothing in it knows of a cluster, a request or a file.
//!
//! [`finding`]: what the rules say. A finding with its level, field and evidence, what could not be judged, the report
//! over one request and its verdict.
//!
//! [`object`]: the object under judgement. What it was, what it becomes, who asks and how; and what its author wrote,
//! where the stored object no longer shows it.
//!
//! [`manifest`]: texts as objects. YAML and JSON read as kubectl reads them, with the place of every field kept.
//!
//! [`config`]: the organisation's rules, as used: which rule, how heavy, where, with which parameters. Parameters stay
//! plain values here.
//!
//! [`inventory`]: the cluster as values. Namespaces, their policies and pods at one moment, with the age of that knowledge,
//! and the request laid over them. Where it comes from is behind `Source`: a memory, manifests, or a live cluster, whose
//! file alone knows the Kubernetes client.
//!
//! [`rules`]: the catalogue, one file a rule with its documentation, parameters, check and cases. A rule sees values: no
//! clock, no file, no network.
//!
//! [`engine`]: gives a rule set's parameters their types and judges one request by every entry that matches: levels,
//! merging, the ratchet, a guard around each rule; and says in words what a policy opens. It reads the stopwatch for the
//! metrics, and no verdict depends on it.
//!
//! [`x509`]: what a certificate says of itself, for those who show one and for those who look at one.
//!
//! [`doctor`]: is this cluster fit for Portcullis, and is Portcullis fit in it? Pure judgement over the facts; `gather`
//! alone asks the cluster for them, and writes nothing.
//!
//! [`report`]: what was found, told. Pure functions from findings with their places, from answers and from differences
//! to text, JSON and what else is asked for.
//!
//! [`admission`]: the protocol. `review` reads the request's envelope first and the object second, `decide` turns a
//! report into an answer, and `handler` is the only one of them that knows HTTP and deadlines.
//!
//! [`server`]: HTTPS and the operations port. Certificates, their reload, their upkeep in a Secret, limits of size, time and number, metrics,
//! readiness, and a stop that leaves nobody without an answer.
//!
//! [`cli`]: one file a subcommand, which puts the rest together.
//!
//! # Who may import whom
//!
//! `tests/rooms.rs` reads this table and holds the code to it, its tests aside. A room uses only rooms above it. The
//! standard library is free, but for what tells another story tomorrow: files, the environment, threads, sockets, the
//! clock on the wall and the stopwatch. A row for a file adds to that of its room. Before a row grows, ask whether the
//! code stands in the right room.
//!
//! | room | rooms it may use | crates | of the world |
//! |---|---|---|---|
//! | `netpol` | – | `ipnet`, `range_set_blaze`, `serde`, `serde_json`, `thiserror` | – |
//! | `finding` | `netpol` | `ipnet`, `serde` | – |
//! | `object` | `netpol`, `finding` | `jiff`, `serde`, `serde_json` | – |
//! | `manifest` | `finding`, `object` | `granit_parser`, `serde`, `serde_json`, `thiserror` | – |
//! | `manifest::walk` | – | – | `files` |
//! | `config` | `netpol`, `finding`, `object`, `manifest` | `jiff`, `serde`, `serde_json`, `sha2`, `strsim`, `wildmatch` | – |
//! | `inventory` | `netpol`, `finding`, `object`, `manifest` | `futures`, `imbl`, `jiff`, `serde`, `serde_json`, `serde_path_to_error`, `strsim`, `thiserror`, `tracing` | – |
//! | `inventory::from_cluster` | – | `arc_swap`, `hyper`, `kube`, `tokio` | `environment`, `stopwatch` |
//! | `rules` | `netpol`, `finding`, `object`, `inventory` | `ipnet`, `jiff`, `regex_lite`, `serde`, `serde_json`, `serde_path_to_error`, `thiserror`, `wildmatch` | – |
//! | `engine` | `netpol`, `finding`, `object`, `config`, `inventory`, `rules` | `jiff`, `serde_json`, `thiserror` | `stopwatch` |
//! | `x509` | – | `jiff`, `x509_parser` | – |
//! | `doctor` | `x509` | `jiff`, `k8s_openapi`, `rustls`, `rustls_pki_types`, `serde` | – |
//! | `report` | `netpol`, `finding`, `doctor` | `ipnet`, `serde`, `serde_json` | – |
//! | `admission` | `netpol`, `finding`, `object`, `config`, `inventory`, `rules`, `engine` | `kube`, `serde`, `serde_json`, `thiserror` | – |
//! | `admission::handler` | – | `arc_swap`, `axum`, `jiff`, `tokio`, `tracing` | `stopwatch` |
//! | `server` | `config`, `inventory`, `engine`, `x509`, `admission` | `arc_swap`, `axum`, `bytes`, `http_body_util`, `hyper`, `hyper_util`, `jiff`, `prometheus`, `rcgen`, `rustix`, `rustls`, `rustls_pki_types`, `serde_json`, `sha2`, `thiserror`, `tokio`, `tokio_rustls`, `tokio_util`, `tower`, `tower_http`, `tracing`, `x509_parser`, `zeroize` | `files`, `sockets`, `stopwatch` |
//! | `server::self_managed` | – | `k8s_openapi`, `kube`, `kube_lease_manager` | – |
//! | `server::clock` | – | – | `clock` |
//! | `doctor::gather` | `inventory` | `futures`, `hyper`, `kube`, `serde_json`, `thiserror`, `tokio`, `tokio_rustls` | `environment`, `sockets` |
//! | `cli` | everything | everything | everything |
//! | `main` | `cli` | – | `environment` |

pub mod admission;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod engine;
pub mod finding;
pub mod inventory;
pub mod manifest;
pub mod netpol;
pub mod object;
pub mod report;
pub mod rules;
pub mod server;
pub mod x509;
