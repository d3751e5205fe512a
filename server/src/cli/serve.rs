//! `magpie serve`: runs the server until SIGTERM or Ctrl-C.

use clap::{Args, ValueEnum};
use magpie_indexes::LawMode;
use magpie_indexes::definition::Numbers;
use magpie_server::databases::Storage;
use magpie_server::{Config, Server, UnsecuredAccess};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The folder of all data; made when it is missing.
    #[arg(long, default_value = "./data", value_name = "FOLDER")]
    data: PathBuf,
    /// Keep all data in memory: it is gone when the server stops.
    #[arg(long, conflicts_with = "data")]
    in_memory: bool,
    /// A database that is made when it is missing; may be given several times.
    #[arg(long = "database", default_value = "magpie", value_name = "NAME")]
    databases: Vec<String>,
    /// Listen beyond this machine although the connection is not encrypted and nobody is asked for a password.
    #[arg(long, value_name = "NETWORK")]
    unsecured_access: Option<Network>,
    /// A host name by which this server may be called besides localhost and addresses; may be given several times.
    #[arg(long = "allow-host", value_name = "NAME")]
    allowed_hosts: Vec<String>,
    /// Verify all indexes in the background, with a rest of so many minutes between two times; damages are logged.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    verify_every: Option<u32>,
    /// What becomes of an index definition that breaks a law of map/reduce on a sample of the documents that are there,
    /// unless its configuration Magpie.Laws says otherwise.
    #[arg(long, value_enum, default_value = "warn", value_name = "MODE")]
    laws: Laws,
    /// What whole numbers of documents beyond 2^53 are in the scripts of new indexes, unless their configuration
    /// Magpie.Numbers says otherwise.
    #[arg(long, value_enum, default_value = "double", value_name = "NUMBERS")]
    numbers: DocumentNumbers,
    /// A folder of this machine whose dumps requests may have imported (admin/smuggler/import?file= and import-dir?dir=).
    #[arg(long, value_name = "FOLDER")]
    import_dir_root: Option<PathBuf>,
    /// Largest body of a request that is not streamed, in MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..))]
    limit_request_mib: u16,
    /// Most documents of an all-or-nothing NDJSON upload, in MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..))]
    limit_upload_transaction_mib: u16,
    /// Most open connections.
    #[arg(long, default_value_t = 4096, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit_connections: u32,
}

/// The networks of `--unsecured-access`.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Network {
    /// Private address ranges.
    PrivateNetwork,
    /// Every address.
    PublicNetwork,
}

/// The modes of `--laws`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Laws {
    /// It is refused, with a counterexample.
    Strict,
    /// It is taken, and the answer and the index's statistics say so.
    Warn,
    /// Nothing is checked.
    Off,
}

/// The numbers of `--numbers`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DocumentNumbers {
    /// The nearest double, as in RavenDB.
    Double,
    /// A BigInt.
    Exact,
}

const MIB: usize = 1024 * 1024;

impl Serve {
    /// Starts the server and stops it on a signal.
    ///
    /// # Errors
    /// Why it does not start, in one sentence.
    pub fn run(mut self) -> Result<(), String> {
        // Also in memory the list of databases has a folder, which goes with this value.
        let temporary = if self.in_memory {
            let folder =
                tempfile::tempdir().map_err(|error| format!("no temporary folder can be made: {error}"))?;
            folder.path().clone_into(&mut self.data);
            Some(folder)
        } else {
            None
        };
        let server = Server::start(self.config(), Vec::new()).map_err(|error| error.to_string())?;
        // On standard output, for whoever started it: the log goes to standard error.
        let tell = || println!("Server available on: http://{}", server.address());
        server.wait_for_signal(tell).map_err(|error| format!("no signal can be waited for: {error}"))?;
        tracing::info!("stopping");
        server.stop();
        drop(temporary);
        Ok(())
    }

    fn config(self) -> Config {
        let mut config = Config::new(self.listen, self.data);
        if self.in_memory {
            config.storage = Storage::Memory;
        }
        config.databases = self.databases;
        config.allowed_hosts = self.allowed_hosts;
        config.verify_every = self.verify_every.map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
        config.laws = match self.laws {
            Laws::Strict => LawMode::Strict,
            Laws::Warn => LawMode::Warn,
            Laws::Off => LawMode::Off,
        };
        config.numbers = match self.numbers {
            DocumentNumbers::Double => Numbers::Double,
            DocumentNumbers::Exact => Numbers::Exact,
        };
        config.import_root = self.import_dir_root;
        config.unsecured_access = match self.unsecured_access {
            None => UnsecuredAccess::Local,
            Some(Network::PrivateNetwork) => UnsecuredAccess::PrivateNetwork,
            Some(Network::PublicNetwork) => UnsecuredAccess::PublicNetwork,
        };
        config.limits.request_body_bytes_max = usize::from(self.limit_request_mib) * MIB;
        config.limits.upload_transaction_bytes_max = usize::from(self.limit_upload_transaction_mib) * MIB;
        config.limits.connections_max = usize::try_from(self.limit_connections).unwrap_or(usize::MAX);
        config
    }
}
