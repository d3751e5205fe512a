//! The server's life: start, accepting connections, stopping.
//!
//! It has an accept loop of its own because the usual one has no timeout for slow request heads. It stops in order:
//! no new connections; requests in flight finish within a bounded time, those that wait for indexes at once; index
//! workers stop; the stores are flushed.

use crate::config::Config;
use crate::databases::{DataFolderError, Databases};
use crate::error::ServerError;
use crate::limits::{BLOCKING_THREADS_MAX, HEAD_BYTES_MAX, HEAD_READ_MS_MAX, STOP_MS_MAX};
use crate::random;
use crate::state::AppState;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use magpie_indexes::NativeIndex;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address must not be listened on without TLS.
    #[error("{0}")]
    Unsecured(String),
    /// The address is taken or not of this machine.
    #[error("cannot listen on {address}: {cause}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataFolderError),
    /// A database that must be there cannot be made.
    #[error("database '{name}' cannot be made: {cause}")]
    Database {
        /// The database.
        name: String,
        /// Why.
        cause: Box<ServerError>,
    },
    /// The system gives no threads.
    #[error("the system gives no threads: {0}")]
    Runtime(std::io::Error),
    /// The system gives no random numbers.
    #[error(transparent)]
    Random(#[from] random::RandomError),
}

/// A running server. Dropping it stops it without waiting for requests; [`Server::stop`] stops it in order.
pub struct Server {
    address: SocketAddr,
    app: AppState,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    runtime: Runtime,
}

impl Server {
    /// Opens the data folder, makes the configured databases, listens, and answers from then on. `natives` are
    /// indexes written in Rust; every database has them.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(mut config: Config, natives: Vec<NativeIndex>) -> Result<Self, StartError> {
        if let Some(refusal) = config.refusal() {
            return Err(StartError::Unsecured(refusal));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("http")
            .build()
            .map_err(StartError::Runtime)?;
        let databases = Databases::open(&config.data, natives, config.storage)?;
        for name in &config.databases {
            if databases.record(name).is_none() {
                let made = databases.create(name, magpie_store::json::Object::new(), None);
                made.map_err(|cause| StartError::Database { name: name.clone(), cause: Box::new(cause) })?;
            }
        }
        let listen = |cause| StartError::Listen { address: config.listen, cause };
        let listener = runtime.block_on(TcpListener::bind(config.listen)).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        config.listen = address;
        let connections_max = config.limits.connections_max;
        let app = AppState::new(config, databases, random::uuid()?);
        let stop = watch::Sender::new(false);
        let router = crate::router(app.clone());
        runtime.spawn(crate::housekeeping::run(app.clone()));
        if let Some(every) = app.config().verify_every {
            runtime.spawn(crate::index_verify::scrub(app.clone(), every));
        }
        let accepting = runtime.spawn(accept(listener, router, stop.subscribe(), connections_max));
        tracing::info!("listening on http://{address}");
        Ok(Self { address, app, stop, accepting, runtime })
    }

    /// The address it listens on, with the port it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its databases, for programs that embed it.
    #[must_use]
    pub fn databases(&self) -> &Databases {
        self.app.databases()
    }

    /// Waits for SIGTERM or SIGINT (Ctrl-C). Calls `ready` when one would be heard: before, it ends the process as it stands.
    ///
    /// # Errors
    /// When the system lets no signal be waited for.
    pub fn wait_for_signal(&self, ready: impl FnOnce()) -> std::io::Result<()> {
        self.runtime.block_on(async {
            #[cfg(unix)]
            {
                use tokio::signal::unix::{SignalKind, signal};
                let mut terminate = signal(SignalKind::terminate())?;
                let mut interrupt = signal(SignalKind::interrupt())?;
                ready();
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                Ok(())
            }
            #[cfg(not(unix))]
            {
                ready();
                tokio::signal::ctrl_c().await
            }
        })
    }

    /// Stops in order: requests in flight finish within [`STOP_MS_MAX`], index workers stop, everything is on disk.
    pub fn stop(self) {
        let Self { app, stop, accepting, runtime, .. } = self;
        stop.send_replace(true);
        app.begin_stop();
        if runtime.block_on(accepting).is_err() {
            tracing::error!("the accept loop failed");
        }
        // The runtime would drop their tasks where they stand.
        let told = runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(STOP_MS_MAX), app.changes_ended()).await
        });
        if told.is_err() {
            tracing::warn!("connections that are told changes did not end within {STOP_MS_MAX} ms");
        }
        // Work on blocking threads may still hold a database; it ends by itself or with the process.
        runtime.shutdown_timeout(Duration::from_millis(STOP_MS_MAX));
        app.databases().close();
        tracing::info!("stopped");
    }
}

/// Takes connections until told to stop, then waits for the open ones.
async fn accept(
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
    connections_max: usize,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_READ_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX);
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let place = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let stream = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (Ok(place), Some(stream)) = (place, accepted_stream(stream).await) else { continue };
        let service = TowerToHyperService::new(router.clone());
        // With upgrades, a connection that has become a WebSocket ends here and lives on with its own end.
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut stop = stop.clone();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = told(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    // Every open connection has one of the places.
    let all = places.acquire_many(u32::try_from(connections_max).unwrap_or(u32::MAX));
    if tokio::time::timeout(Duration::from_millis(STOP_MS_MAX), all).await.is_err() {
        tracing::warn!("requests still in flight after {STOP_MS_MAX} ms are cut off");
    }
}

/// Returns when the server is told to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The accepted connection. When the system refuses one (too many open files), waits a moment: it would refuse again
/// at once.
async fn accepted_stream(accepted: std::io::Result<(TcpStream, SocketAddr)>) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => {
            // Answers are written whole, so small packets gain nothing from waiting.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
            Some(stream)
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
