//! What a NetworkPolicy means: pure sets and the parser, without cluster, clock or files.
//!
//! ```text
//! NetworkPolicy ── PolicySpec { pod_selector, types, ingress, egress }
//!                                 Selector           PolicyRule { peers, ports }
//!                                                     Peer: ipBlock -> IpSet │ selectors -> Selector
//!                                                     PortSet
//! connectivity: who is isolated, what is allowed by which rule, what a change opens and closes
//! coverage:  which pods some policies isolate          (union of Selectors)
//! extent:    pods x addresses x ports, and containment (what a change makes worse)
//! ```

pub mod connectivity;
pub mod coverage;
pub mod extent;
pub mod groups;
pub mod ip_set;
pub mod pod;
pub mod policy;
pub mod port_set;
mod ranges;
pub mod selector;
mod value;

/// The label that names a namespace; set by every API server since 1.21 and settable by nobody.
/// Source: API reference, well-known labels.
pub const METADATA_NAME: &str = "kubernetes.io/metadata.name";
