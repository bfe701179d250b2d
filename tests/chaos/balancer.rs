//! What a Service and kube-proxy are in a cluster: one port in front of the replicas that are ready.
//!
//! New connections go to the ready ones in turn. Readiness is asked for every 200 ms, so that, as with endpoints, a
//! replica still gets connections for a moment after it has stopped being ready. Connections that exist stay, whatever
//! becomes of their replica's readiness; nothing is tried a second time.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::harness::Webhook;

/// How long endpoints lag behind readiness, at most.
pub(crate) const LAG: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Backend {
    port: u16,
    ops_port: u16,
    ready: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    backends: Mutex<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
}

/// The balancer, at work for as long as its runtime.
#[derive(Clone, Debug)]
pub(crate) struct Balancer {
    port: u16,
    shared: Arc<Shared>,
}

impl Balancer {
    pub(crate) fn start(runtime: &Runtime) -> Self {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        runtime.spawn(probe(Arc::clone(&shared)));
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on it is asked whether it is ready.
    pub(crate) fn add(&self, webhook: &Webhook) {
        let backend = Backend { port: webhook.port(), ops_port: webhook.ops_port(), ready: AtomicBool::new(false) };
        self.shared.backends.lock().expect("backends").push(Arc::new(backend));
    }

    pub(crate) fn remove(&self, webhook: &Webhook) {
        self.shared.backends.lock().expect("backends").retain(|backend| backend.port != webhook.port());
    }

    /// How many get new connections.
    pub(crate) fn ready(&self) -> usize {
        self.shared.all().iter().filter(|backend| backend.ready.load(Ordering::SeqCst)).count()
    }
}

impl Shared {
    fn all(&self) -> Vec<Arc<Backend>> {
        self.backends.lock().expect("backends").clone()
    }

    fn next(&self) -> Option<Arc<Backend>> {
        let ready: Vec<_> = self.all().into_iter().filter(|backend| backend.ready.load(Ordering::SeqCst)).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (!ready.is_empty()).then(|| Arc::clone(&ready[turn % ready.len()]))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            // Out of open files, which would fail again at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // With nobody there it is closed, as a Service without endpoints refuses.
        let Some(backend) = shared.next() else { continue };
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, backend.port)).await else { return };
            client.set_nodelay(true).ok();
            server.set_nodelay(true).ok();
            // When one side has said all, the other may go on. An error on either ends both.
            copy_bidirectional(&mut client, &mut server).await.ok();
        });
    }
}

async fn probe(shared: Arc<Shared>) {
    let mut tick = interval(LAG);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for backend in shared.all() {
            tokio::spawn(async move {
                let answer = timeout(Duration::from_secs(1), is_ready(backend.ops_port)).await;
                backend.ready.store(matches!(answer, Ok(Ok(true))), Ordering::SeqCst);
            });
        }
    }
}

async fn is_ready(ops_port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ops_port)).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: probe\r\n\r\n").await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.ends_with(b" 200"))
}
