//! The thread of an import, and the operation that tells how it goes. It may wait for a slow client or disk.

use crate::dump::counts::Counts;
use crate::dump::import::Target;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use std::sync::Arc;
use tokio::sync::oneshot;

/// An import that runs.
pub(crate) struct Importing(oneshot::Receiver<Result<Counts, ServerError>>);

impl Importing {
    /// Starts `work` as the operation that the request names, or a new one.
    ///
    /// # Errors
    /// When too many run already, the id is none, or no thread can be started.
    pub(crate) fn start(
        request: &DatabaseRequest,
        work: impl FnOnce(Target<'_>) -> Result<Counts, ServerError> + Send + 'static,
    ) -> Result<Self, ServerError> {
        let place = request.app.dump_place()?;
        let numbers = request.app.config().numbers;
        let database = Arc::clone(&request.database);
        let id = match request.query.number("operationId")? {
            Some(id) => id,
            None => database.operations().next_id(),
        };
        let (done, result) = oneshot::channel();
        let run = move || {
            let importing = database.importing();
            let running = database.operations().start(id);
            let result = work(Target { database: &database, numbers, running: &running });
            match &result {
                Ok(counts) => running.complete_with(counts.to_json()),
                Err(error) => running.fail(error),
            }
            importing.end();
            // Whoever asked may be gone; the operation's state has the result as well.
            let _ = done.send(result);
            drop(place);
        };
        std::thread::Builder::new()
            .name("import".to_owned())
            .spawn(run)
            .map_err(|cause| ServerError::Panicked(format!("no thread could be started: {cause}")))?;
        Ok(Self(result))
    }

    /// What it came to.
    ///
    /// # Errors
    /// What ended it.
    pub(crate) async fn ended(self) -> Result<Counts, ServerError> {
        self.0.await.unwrap_or_else(|_| Err(ServerError::Panicked("the import".to_owned())))
    }
}
