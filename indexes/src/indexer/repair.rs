//! Mending rows that a verification found damaged, one piece at a time.

use super::{Gathered, IndexedBatch, Indexer};
use crate::error::IndexError;
use crate::faults::decode_key;
use crate::indexer::KeyReducer;
use crate::output::ResultChange;
use crate::page_reader::PageReader;
use crate::progress::Progress;
use crate::reduce_tree::{ItemChange, ReduceTree, TreeWork};
use crate::stored_result::StoredResult;
use crate::verify::Repair;
use magpie_store::kv::Space;
use magpie_store::{DatabaseView, DocumentId, Timestamp};

impl Indexer {
    /// The batch of one repair. The counters of results and failures stay: damage never changed them.
    ///
    /// # Errors
    /// When the store fails, or the repair meets another damaged row: then that must be mended first.
    pub(crate) fn repair(
        &mut self,
        view: &DatabaseView<'_>,
        progress: Progress,
        repair: &Repair,
        now: Timestamp,
    ) -> Result<IndexedBatch, IndexError> {
        // What the rows were before is not known, so all terms are made anew.
        let progress = Progress { terms: 0, ..progress };
        let mut gathered = Gathered::new(view, progress, now);
        let mut work = TreeWork::default();
        match repair {
            Repair::Row(key) => gathered.batch.delete(Space::Index, key.clone()),
            Repair::Document(id) => {
                self.map_document(&DocumentId::new(id)?, false, &mut gathered)?;
            }
            Repair::Entry { reduce_key, entry_key } => {
                let gone = ItemChange { key: entry_key.clone(), value: None };
                gathered.trees.insert(reduce_key.clone(), vec![gone]);
            }
            Repair::Key(reduce_key) => self.rebuild(reduce_key, &mut work, &mut gathered)?,
            Repair::Terms => {}
        }
        let reduced = self.reduce(&mut gathered)?;
        work.add(reduced);
        gathered.progress = Progress {
            results: progress.results,
            failing_documents: progress.failing_documents,
            failing_keys: progress.failing_keys,
            ..gathered.progress
        };
        self.finish(gathered, work)
    }

    fn rebuild(
        &mut self,
        reduce_key: &[u8],
        work: &mut TreeWork,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        let key = decode_key(reduce_key)?;
        let finalizes = self.shape.finalizes;
        let mut reducer = KeyReducer {
            function: self.function.as_mut(),
            key: &key,
            finalizes,
            failure: None,
            detached: None,
        };
        let mut tree = ReduceTree {
            reader: &mut PageReader::new(gathered.view.kv(), self.slot, self.borders),
            reduce_key,
            batch: &mut gathered.batch,
            work,
        };
        let result = tree.rebuild(&mut reducer)?;
        let Some(output) = &self.output else { return Ok(()) };
        let result = result.as_ref().and_then(StoredResult::visible);
        let change = ResultChange { view: gathered.view, reduce_key, result };
        let writes = self.writes_documents(&gathered.progress);
        let documents = output.follow(&change, writes, &mut gathered.references, &mut gathered.batch)?;
        gathered.documents.extend(documents);
        Ok(())
    }
}
