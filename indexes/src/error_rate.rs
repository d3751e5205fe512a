//! When so much of an index fails that its results must not be trusted.

use crate::error::IndexError;
use crate::index::Index;
use crate::progress::Progress;
use magpie_store::DatabaseView;

/// The share of failing documents or keys above which an index is not to be trusted, in per cent.
///
/// Source: RavenDB's allowed error rate.
const FAILING_PERCENT_MAX: u64 = 15;

impl Index {
    /// Why so much fails that results must not be trusted, if it does. A function of the current documents only.
    pub(crate) fn failing_text(
        &self,
        view: &DatabaseView<'_>,
        progress: &Progress,
    ) -> Result<Option<String>, IndexError> {
        if progress.failing_documents == 0 && progress.failing_keys == 0 {
            return Ok(None);
        }
        let mut documents = 0;
        for collection in view.collections()? {
            if self.mapped().contains(&collection.collection) {
                documents += collection.documents;
            }
        }
        let keys = progress.results + progress.failing_keys;
        let too_many = |failing: u64, all: u64| failing * 100 > all * FAILING_PERCENT_MAX;
        let name = self.name();
        let percent = |failing: u64, all: u64| {
            let hundredths = failing * 10_000 / all.max(1);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
        };
        let (failing, map_failing) = (progress.failing_keys, progress.failing_documents);
        if self.is_map_reduce() && (too_many(failing, keys) || too_many(map_failing, documents)) {
            let rate = percent(failing + map_failing, keys + documents);
            return Ok(Some(format!(
                "Index {name} is invalid, out of {documents} map attempts and {keys} reduce attempts, {map_failing} and {failing} has failed respectively. Error rate of {rate}% exceeds allowed {FAILING_PERCENT_MAX}% error rate"
            )));
        }
        if too_many(map_failing, documents) {
            let rate = percent(map_failing, documents);
            return Ok(Some(format!(
                "Index {name} is invalid, out of {documents} map attempts, {map_failing} has failed. Error rate of {rate}% exceeds allowed {FAILING_PERCENT_MAX}% error rate"
            )));
        }
        Ok(None)
    }
}
