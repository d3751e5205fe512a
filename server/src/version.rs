//! The versions this server claims to clients. Clients switch behaviour on them, so they are those of the server whose
//! protocol is spoken.

/// Sent as `Raven-Server-Version` with every answer and in the topology.
pub const SERVER_VERSION: &str = "7.1.5.71028";
/// `FullVersion` of `/build/version`.
pub const FULL_VERSION: &str = "7.1.5";
/// `ProductVersion` of `/build/version`.
pub const PRODUCT_VERSION: &str = "7.1";
/// `BuildVersion` of `/build/version`.
pub const BUILD_VERSION: u32 = 71_028;
/// The name of the only node of the cluster.
pub const NODE_TAG: &str = "A";
