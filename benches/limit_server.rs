//! The limit: what a webhook on this server could do at best.
//!
//! The same listener, TLS, limits and body handling as `portcullis serve`, and in place of the judgement the least that an
//! admission webhook can do with kube's types: read the review with its NetworkPolicy, answer "allowed". `compare.sh` drives
//! both with the same load, so what lies between them is the price of judging.
#![expect(clippy::print_stdout, reason = "it says where it listens, and compare.sh reads that")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use portcullis::server::{Bound, Metrics, Ops, Options, ServeError, TlsOptions, app, install_provider, serve};

/// A webhook that reads every NetworkPolicy and allows it
#[derive(Parser)]
struct Args {
    /// Address of the webhook (HTTPS); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// Address of the operations port (HTTP)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    ops_listen: SocketAddr,

    /// Where the generated CA and certificate are kept
    #[arg(long, value_name = "DIR", default_value = "certs")]
    cert_dir: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    install_provider();
    // As in `portcullis serve`.
    let served = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(args)).map_err(|error| error.to_string()),
        Err(error) => Err(format!("the runtime cannot start: {error}")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("limit_server: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), ServeError> {
    let options = Options::new(args.listen, args.ops_listen, TlsOptions::Generated { dir: args.cert_dir });
    let ops = Ops::new(Arc::new(Metrics::new()), Arc::new(|| serde_json::Value::Null));
    let webhook = Router::new().route("/validate", post(allow));
    let tell = |addresses: &Bound| {
        println!("  webhook     https://{}/validate\n  operations  http://{}", addresses.webhook, addresses.ops);
    };
    serve(options, webhook, ops, tell).await
}

async fn allow(body: Bytes) -> Response {
    match answer(&body) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(reason) => app::error(StatusCode::BAD_REQUEST, &reason),
    }
}

fn answer(body: &[u8]) -> Result<Vec<u8>, String> {
    let review: AdmissionReview<NetworkPolicy> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let request: AdmissionRequest<NetworkPolicy> = review.try_into().map_err(|_| "no request".to_owned())?;
    let response: AdmissionReview<DynamicObject> = AdmissionResponse::from(&request).into_review();
    serde_json::to_vec(&response).map_err(|error| error.to_string())
}
