//! What an operator decides before the start.

use crate::databases::Storage;
use crate::limits::Limits;
use magpie_indexes::LawMode;
use magpie_indexes::definition::Numbers;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How far the server may be reached without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum UnsecuredAccess {
    /// Only from this machine.
    #[default]
    Local,
    /// From private networks (10/8, 172.16/12, 192.168/16, link-local, unique local): anybody there may read and write.
    PrivateNetwork,
    /// From anywhere: anybody may read and write.
    PublicNetwork,
}

/// The configuration of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of all data.
    pub data: PathBuf,
    /// Where the rows of databases are; the data folder holds the list of databases in any case.
    pub storage: Storage,
    /// Databases that are created at the start when they are missing.
    pub databases: Vec<String>,
    /// How far the server may be reached.
    pub unsecured_access: UnsecuredAccess,
    /// Host names, besides localhost and addresses, by which a loopback server may be called.
    pub allowed_hosts: Vec<String>,
    /// Whether the address is a loopback one; set by [`Config::new`].
    pub loopback_only: bool,
    /// How long to rest between two verifications of all indexes in the background; `None` verifies on demand only.
    pub verify_every: Option<Duration>,
    /// What a law check does to definitions whose configuration says nothing.
    pub laws: LawMode,
    /// What the large whole numbers of documents are in scripts of indexes whose configuration says nothing.
    pub numbers: Numbers,
    /// The folder whose dumps requests may have imported without sending them; `None` for none.
    pub import_root: Option<PathBuf>,
    /// Sizes and counts.
    pub limits: Limits,
}

impl Config {
    /// A configuration with the usual limits, no databases, and no access from other machines.
    #[must_use]
    pub fn new(listen: SocketAddr, data: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            data: data.into(),
            storage: Storage::Disk,
            databases: Vec::new(),
            unsecured_access: UnsecuredAccess::Local,
            allowed_hosts: Vec::new(),
            loopback_only: listen.ip().to_canonical().is_loopback(),
            verify_every: None,
            laws: LawMode::default(),
            numbers: Numbers::default(),
            import_root: None,
            limits: Limits::default(),
        }
    }

    /// Why this address must not be listened on without TLS, if so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let ip = self.listen.ip().to_canonical();
        let (needed, flag) = if ip.is_loopback() {
            (UnsecuredAccess::Local, "")
        } else if is_private(ip) {
            (UnsecuredAccess::PrivateNetwork, "PrivateNetwork")
        } else {
            (UnsecuredAccess::PublicNetwork, "PublicNetwork")
        };
        (self.unsecured_access < needed).then(|| {
            format!(
                "refusing to listen on {}: the connection is not encrypted and nobody is asked for a password, so \
                 everybody who reaches it could read and write everything. Listen on 127.0.0.1, or allow it with \
                 --unsecured-access {flag}",
                self.listen
            )
        })
    }
}

/// Whether an address belongs to a private network.
fn is_private(ip: std::net::IpAddr) -> bool {
    match ip {
        std::net::IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, UnsecuredAccess};

    #[test]
    fn only_loopback_needs_no_permission() {
        let refused = |address: &str, access| {
            let mut config = Config::new(address.parse().unwrap(), "x");
            config.unsecured_access = access;
            config.refusal().is_some()
        };
        use UnsecuredAccess::{Local, PrivateNetwork, PublicNetwork};
        for (address, needs) in [
            ("127.0.0.1:1", Local),
            ("[::1]:1", Local),
            ("[::ffff:127.0.0.1]:1", Local),
            ("192.168.1.2:1", PrivateNetwork),
            ("[fd00::1]:1", PrivateNetwork),
            ("0.0.0.0:1", PublicNetwork),
            ("[::]:1", PublicNetwork),
            ("8.8.8.8:1", PublicNetwork),
        ] {
            for access in [Local, PrivateNetwork, PublicNetwork] {
                assert_eq!(refused(address, access), access < needs, "{address} {access:?}");
            }
        }
    }
}
