//! The HTTP edge of Magpie: RavenDB's protocol over the store, the indexes and the queries.
//!
//! # Promise
//! * Its routes answer as RavenDB's do; what Magpie adds stands under one key, `Magpie`, in answers. A route that is
//!   not built answers 400 and says so.
//! * A write is answered when it is on disk. A batch is all or nothing.
//! * Work that waits for the disk never runs on the async threads; waiting for indexes holds no thread at all.
//! * A fault in a request, or in this program, is answered; it never ends the process.
//!
//! It does not encrypt and asks nobody for a password yet: it listens on loopback unless it is told otherwise.
//!
//! # Example
//! ```no_run
//! use magpie_server::{Config, Server};
//!
//! let mut config = Config::new(([127, 0, 0, 1], 0).into(), "data");
//! config.databases.push("events".to_owned());
//! let server = Server::start(config, Vec::new()).unwrap();
//! println!("http://{}", server.address());
//! server.stop();
//! ```

mod admin_databases;
mod answer;
mod array_splitter;
mod attachments;
mod batch_attachments;
mod body;
mod boot;
mod bulk_insert;
mod bulk_query;
mod changes;
pub mod clock;
pub mod cluster_transaction;
mod compare_exchange;
mod config;
mod counters;
pub mod csv;
mod database_folder;
pub mod databases;
mod document_pages;
mod document_text;
mod documents;
mod dump;
mod envelope;
pub mod error;
mod gzip;
mod hilo;
mod housekeeping;
mod identities;
mod import_thread;
mod includes;
mod index_admin;
mod index_debug;
mod index_explain;
mod index_laws;
mod index_performance;
mod index_staleness;
mod index_stats;
mod index_terms;
mod index_trial;
mod index_verify;
mod index_wait;
mod indexes;
pub mod limits;
mod line_splitter;
mod multi_get;
mod ndjson;
pub mod ndjson_line;
mod operations;
mod patch;
mod patch_document;
mod queries;
mod query_string;
pub mod random;
mod request;
mod server;
mod smuggler;
mod smuggler_export;
mod smuggler_folder;
pub mod state;
mod stats;
mod stream_body;
mod streams;
mod timespan;
mod topology;
mod upload;
pub mod version;
mod write_batch;

pub use config::{Config, UnsecuredAccess};
pub use databases::{DataFolderError, Databases, OpenDatabase};
pub use error::ServerError;
pub use limits::Limits;
pub use server::{Server, StartError};
pub use state::AppState;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::routing::{any, delete, get, head, patch, post, put};

/// Every route of the server.
pub fn router(app: AppState) -> Router {
    database_routes()
        .route("/build/version", get(topology::build_version))
        .route("/topology", get(topology::of_database))
        .route("/cluster/topology", get(topology::of_cluster))
        .route("/cluster/node-info", get(topology::node_info))
        .route("/databases", get(admin_databases::list))
        .route("/admin/databases", get(admin_databases::get).put(admin_databases::put))
        .route("/admin/databases", delete(admin_databases::delete))
        .route("/admin/databases/disable", post(admin_databases::disable))
        .route("/admin/databases/enable", post(admin_databases::enable))
        .route("/operations/state", get(operations::server_state))
        .route("/admin/operations/next-operation-id", get(operations::server_next_id))
        .route("/admin/operations/kill", post(operations::server_kill))
        .fallback(route_not_found)
        .method_not_allowed_fallback(route_not_found)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), envelope::wrap))
        .with_state(app)
}

/// The routes of one database. They are not nested, so that handlers see the whole path.
fn database_routes() -> Router<AppState> {
    Router::new()
        .route(&of_db("/docs"), get(documents::get).head(documents::head).post(documents::post))
        .route(&of_db("/docs"), put(documents::put).delete(documents::delete).patch(patch_document::patch))
        .route(&of_db("/json-patch"), patch(patch_document::json_patch))
        .route(&of_db("/docs/size"), get(documents::size))
        .route(&of_db("/docs/ndjson"), post(ndjson::post))
        .route(&of_db("/collections/docs"), get(document_pages::of_collection))
        .route(&of_db("/changes"), get(changes::get))
        .route(&of_db("/bulk_docs"), post(write_batch::post))
        .route(&of_db("/bulk_insert"), post(bulk_insert::post))
        .route(&of_db("/operations"), get(operations::list))
        .route(&of_db("/operations/next-operation-id"), get(operations::next_operation_id))
        .route(&of_db("/operations/state"), get(operations::state))
        .route(&of_db("/operations/kill"), post(operations::kill))
        .route(&of_db("/queries"), get(queries::get).post(queries::post))
        .route(&of_db("/streams/queries"), get(streams::get_query).post(streams::post_query))
        .route(&of_db("/streams/queries"), head(streams::head_query))
        .route(&of_db("/streams/docs"), get(streams::documents))
        .route(&of_db("/queries"), patch(bulk_query::patch).delete(bulk_query::delete))
        .route(
            &of_db("/attachments"),
            get(attachments::get)
                .head(attachments::get)
                .post(attachments::get)
                .put(attachments::put)
                .delete(attachments::delete),
        )
        .route(&of_db("/attachments/bulk"), post(attachments::get_many).delete(attachments::delete_many))
        .route(&of_db("/smuggler/import"), post(smuggler::import))
        .route(&of_db("/smuggler/import/csv"), post(smuggler::import_csv))
        .route(&of_db("/admin/smuggler/import"), get(smuggler_folder::import_file))
        .route(&of_db("/admin/smuggler/import-dir"), get(smuggler_folder::import_folder))
        .route(&of_db("/smuggler/validate-options"), post(smuggler::validate_options))
        .route(&of_db("/smuggler/export"), post(smuggler_export::export).get(smuggler_export::export))
        .route(&of_db("/multi_get"), post(multi_get::post))
        .route(
            &of_db("/cmpxchg"),
            get(compare_exchange::get).put(compare_exchange::put).delete(compare_exchange::delete),
        )
        .route(&of_db("/hilo/next"), get(hilo::next))
        .route(&of_db("/hilo/return"), put(hilo::give_back))
        .route(&of_db("/identity/next"), post(identities::next))
        .route(&of_db("/identity/seed"), post(identities::seed))
        .route(&of_db("/debug/identities"), get(identities::list))
        .merge(index_routes())
        .route(&of_db("/stats"), get(stats::database))
        .route(&of_db("/stats/essential"), get(stats::database_essential))
        .route(&of_db("/stats/detailed"), get(stats::database_detailed))
        .route(&of_db("/collections/stats"), get(stats::collections))
        .route(&of_db("/collections/stats/detailed"), get(stats::collections))
        .route(&of_db("/healthcheck"), get(topology::health))
        .route(&of_db("/configuration/client"), get(topology::client_configuration))
        .route(&of_db("/admin/record"), get(admin_databases::record))
        .route(&of_db("/revisions"), get(topology::revisions))
        .route(&of_db("/counters"), get(counters::get).post(counters::post))
        .route(&of_db("/revisions/config"), get(topology::revisions_configuration))
}

/// The routes of one database that are about its indexes.
fn index_routes() -> Router<AppState> {
    Router::new()
        .route(&of_db("/indexes"), any(indexes::dispatch))
        .route(&of_db("/indexes/has-changed"), post(indexes::has_changed))
        .route(&of_db("/indexes/stats"), get(index_stats::statistics))
        .route(&of_db("/indexes/status"), get(index_stats::status))
        .route(&of_db("/indexes/staleness"), get(index_staleness::get))
        .route(&of_db("/indexes/progress"), get(index_stats::progress))
        .route(&of_db("/indexes/errors"), get(index_stats::errors).delete(index_admin::clear_errors))
        .route(&of_db("/indexes/explain"), get(index_explain::get))
        .route(&of_db("/indexes/verify"), get(index_verify::verify).post(index_verify::verify))
        .route(&of_db("/indexes/debug"), get(index_debug::debug))
        .route(&of_db("/indexes/performance"), get(index_performance::get))
        .route(&of_db("/indexes/replace"), post(index_debug::replace))
        .route(&of_db("/indexes/total-time"), get(index_debug::total_time))
        .route(&of_db("/indexes/source"), get(index_debug::source))
        .route(&of_db("/indexes/laws"), get(index_laws::get))
        .route(&of_db("/indexes/test"), post(index_trial::post))
        .route(&of_db("/indexes/terms"), get(index_terms::get))
        .route(&of_db("/indexes/set-priority"), post(index_admin::set_priority))
        .route(&of_db("/indexes/set-lock"), post(index_admin::set_lock))
        .route(&of_db("/admin/indexes"), put(indexes::put))
        .route(&of_db("/admin/indexes/stop"), post(index_admin::stop))
        .route(&of_db("/admin/indexes/start"), post(index_admin::start))
        .route(&of_db("/admin/indexes/enable"), post(index_admin::enable))
        .route(&of_db("/admin/indexes/disable"), post(index_admin::disable))
}

/// A path of one database.
fn of_db(path: &str) -> String {
    format!("/databases/{{db}}{path}")
}

/// Not 404: the clients take that for "there is no such document".
async fn route_not_found(method: Method, uri: Uri) -> ServerError {
    ServerError::RouteNotFound { method: method.to_string(), path: uri.path().to_owned() }
}
