//! The server over real sockets: TLS, HTTP/1.1 and HTTP/2, slow and greedy clients, overload, reload and stop.

// `cfg(test)` is always set here; it tells clippy that the helpers are test code as well.
#[cfg(test)]
#[path = "serve/binary.rs"]
mod binary;
#[cfg(test)]
#[path = "serve/clients.rs"]
mod clients;
#[cfg(test)]
#[path = "serve/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "serve/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "serve/pki.rs"]
mod pki;
#[cfg(test)]
#[path = "serve/slow.rs"]
mod slow;
#[cfg(test)]
#[path = "serve/stop.rs"]
mod stop;
#[cfg(test)]
#[path = "serve/tls.rs"]
mod tls;
