//! Portcullis: a validating admission webhook that judges what a change does to connectivity.

pub mod admission;
pub mod cli;
pub mod config;
pub mod engine;
pub mod finding;
pub mod inventory;
pub mod manifest;
pub mod netpol;
pub mod object;
pub mod rules;
pub mod server;
