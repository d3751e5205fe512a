//! Chains: indexes whose results are documents that other indexes map or load. What may feed what, who waits for whom.
//!
//! An index is stale as long as anything before it in its chain is: a query that waits for it waits for all of them, in
//! order, so that "indexed up to this etag" holds for the documents that were written and for all that follows from
//! them.

use super::Registry;
use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::explain::{ExplainRequest, Explained};
use crate::faults::decode_key;
use crate::function::{FunctionShape, LoadedCollections, MappedCollections};
use crate::index::Index;
use crate::keys::Slot;
use crate::output::{self, OutputCollection};
use magpie_store::{Collection, CollectionFilter, DatabaseView, Etag};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an index takes in and gives out, as far as chains are concerned.
pub(super) struct Link {
    name: String,
    maps: MappedCollections,
    loads: LoadedCollections,
    output: Option<OutputCollection>,
}

impl Link {
    /// The link of a definition that is to be put.
    ///
    /// # Errors
    /// When its output cannot be used.
    pub fn new(definition: &IndexDefinition, shape: &FunctionShape) -> Result<Self, IndexError> {
        Ok(Self {
            name: definition.name.clone(),
            maps: shape.collections.clone(),
            loads: shape.loads.clone(),
            output: OutputCollection::new(Slot(0), definition)?,
        })
    }

    /// The link of a live index.
    pub fn of(index: &Index) -> Self {
        Self {
            name: index.definition().name.clone(),
            maps: index.shape().collections.clone(),
            loads: index.shape().loads.clone(),
            output: index.output().cloned(),
        }
    }

    /// The collections that it reads by name.
    fn reads(&self) -> Vec<&Collection> {
        let maps = if let MappedCollections::Named(names) = &self.maps { names.as_slice() } else { &[] };
        let loads = if let LoadedCollections::Named(names) = &self.loads { names.as_slice() } else { &[] };
        maps.iter().chain(loads).collect()
    }

    fn writes(&self) -> Vec<&Collection> {
        self.output.iter().flat_map(OutputCollection::collections).collect()
    }

    /// The index's name, without the prefix of a replacement.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the index of that name.
    pub fn is(&self, name: &str) -> bool {
        self.name.to_lowercase() == name.to_lowercase()
    }
}

/// Refuses an output that would feed itself, share its collection, or mix with documents that are there.
///
/// `others` are all indexes but the one that is put.
///
/// # Errors
/// [`IndexError::OutputRefused`].
pub(super) fn check<'l>(
    link: &'l Link,
    others: impl Iterator<Item = &'l Link>,
    view: &DatabaseView<'_>,
) -> Result<(), IndexError> {
    let others: Vec<&Link> = others.collect();
    let Some(output) = &link.output else {
        return check_loop(link, &others);
    };
    let (index, collection) = (&link.name, output.collection.as_str());
    let refuse = |reason: String| Err(IndexError::OutputRefused { name: link.name.clone(), reason });
    let forbidden = format!(
        "It is forbidden to create the '{index}' index which would output reduce results to documents in the \
         '{collection}' collection,"
    );
    if link.maps == MappedCollections::All || link.loads == LoadedCollections::All {
        return refuse(format!(
            "{forbidden} as this index is mapping all documents and this will result in an infinite loop."
        ));
    }
    if output.references.as_ref().is_some_and(|(_, references)| *references == output.collection) {
        return refuse(
            "Collection defined in PatternReferencesCollectionName must not be the same as in OutputReduceToCollection."
                .to_owned(),
        );
    }
    for written in output.collections() {
        if link.reads().contains(&written) {
            return refuse(format!(
                "{forbidden} as this index is mapping or referencing the '{}' collection and this will result in an \
                 infinite loop.",
                written.as_str()
            ));
        }
        if let Some(other) = others.iter().find(|other| other.writes().contains(&written)) {
            return refuse(format!(
                "{forbidden} as there is another index named '{}' which also output reduce results to documents in the \
                 same '{}' collection. OutputReduceToCollection must by set to unique value for each index or be null.",
                other.name,
                written.as_str()
            ));
        }
    }
    check_loop(link, &others)?;
    check_empty(link, &output.collection, view)
}

/// Follows the outputs from index to index; whoever comes back to the start is in a loop.
fn check_loop(link: &Link, others: &[&Link]) -> Result<(), IndexError> {
    let mut seen = HashSet::new();
    let Some(way) = way_back(link, link, others, &mut seen) else { return Ok(()) };
    let last = way.last().and_then(|last| last.writes().first().map(|written| written.as_str()));
    let steps: Vec<String> = way.iter().map(|at| step(at)).collect();
    Err(IndexError::OutputRefused {
        name: link.name.clone(),
        reason: format!(
            "It is forbidden to create the '{}' index which would output reduce results to documents in the '{}' \
             collection, as '{}' collection is consumed by other index in a way that would lead to an infinite loop.\n{}",
            link.name,
            link.writes().first().map_or("", |written| written.as_str()),
            last.unwrap_or_default(),
            steps.join("\n--> ")
        ),
    })
}

/// The indexes from `at` on that lead back to `start`, if they do. No deeper than there are indexes.
fn way_back<'l>(
    at: &'l Link,
    start: &'l Link,
    others: &[&'l Link],
    seen: &mut HashSet<&'l str>,
) -> Option<Vec<&'l Link>> {
    if feeds(at, start) {
        return Some(vec![at]);
    }
    for next in others.iter().copied().filter(|other| feeds(at, other)) {
        if seen.insert(&next.name)
            && let Some(mut way) = way_back(next, start, others, seen)
        {
            way.insert(0, at);
            return Some(way);
        }
    }
    None
}

fn feeds(from: &Link, to: &Link) -> bool {
    from.writes().iter().any(|written| to.reads().contains(written))
}

/// `F/Out: Docs => Outs`.
fn step(link: &Link) -> String {
    let names = |collections: Vec<&Collection>| {
        collections.into_iter().map(Collection::as_str).collect::<Vec<_>>().join(", ")
    };
    format!("{}: {} => {}", link.name, names(link.reads()), names(link.writes()))
}

/// Only documents that an index made may be in the collection: those of the index itself, or of one that is gone.
fn check_empty(link: &Link, collection: &Collection, view: &DatabaseView<'_>) -> Result<(), IndexError> {
    let filter = CollectionFilter::Named(vec![collection.clone()]);
    for document in view.documents_in_etag_order(&filter, Etag(0))? {
        if document?.is_artificial() {
            continue;
        }
        let count = view.collections()?.into_iter().find(|found| found.collection == *collection);
        return Err(IndexError::OutputRefused {
            name: link.name.clone(),
            reason: format!(
                "Index '{}' is defined to output the Reduce results to documents in Collection '{}'. This collection \
                 currently has {} documents. All documents in Collection '{}' must be deleted first.",
                link.name,
                collection.as_str(),
                count.map_or(0, |found| found.documents),
                collection.as_str()
            ),
        });
    }
    Ok(())
}

/// Whether an index writes documents that another one follows.
fn writes_for(other: &Index, index: &Index) -> bool {
    other.slot() != index.slot()
        && other.output_collections().any(|written| match index.feed() {
            CollectionFilter::All => true,
            CollectionFilter::Named(names) => names.contains(written),
        })
        && !other.is_replacement()
}

impl Registry {
    /// The links of all live indexes and replacements but those of one name.
    pub(super) fn links_without(&self, name: &str) -> Vec<Link> {
        let links = self.all().into_iter().map(|index| Link::of(&index));
        links.filter(|link| !link.is(name)).collect()
    }

    /// The live indexes whose documents feed this one directly.
    #[must_use]
    pub fn upstream(&self, index: &Index) -> Vec<Arc<Index>> {
        // Most indexes are fed by none: no need to put all in order for that.
        if !self.indexes.iter().any(|other| writes_for(&other, index)) {
            return Vec::new();
        }
        self.all().into_iter().filter(|other| writes_for(other, index)).collect()
    }

    /// Explains a result of an index, and which results of other indexes its documents are, as of the snapshot.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], [`IndexError::Moved`], [`IndexError::Key`] when the key does not fit the index,
    /// [`IndexError::Call`] when its functions cannot be called, and when the store fails or a row is damaged.
    pub fn explain(
        &self,
        view: &DatabaseView<'_>,
        name: &str,
        request: &ExplainRequest,
    ) -> Result<Explained, IndexError> {
        let index = self.get_in(view, name)?.ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
        let mut explained = index.explain(view, request)?;
        if let Explained::Key(explanation) = &mut explained {
            let upstream = self.upstream(&index);
            for entry in &mut explanation.entries {
                let id_key = entry.document.to_lowercase();
                for (other, output) in upstream.iter().filter_map(|other| Some((other, other.output()?))) {
                    if let Some(reduce_key) = output::reduce_key_of(view.kv(), output, &id_key)? {
                        entry.produced_by = Some((other.name(), decode_key(&reduce_key)?));
                    }
                }
            }
        }
        Ok(explained)
    }

    /// The live indexes that come before this one in its chain and itself, each behind all that feed it.
    #[must_use]
    pub fn chain(&self, index: &Arc<Index>) -> Vec<Arc<Index>> {
        let mut chain = Vec::new();
        let mut seen = HashSet::new();
        self.add_to_chain(index, &mut seen, &mut chain);
        chain
    }

    fn add_to_chain(&self, index: &Arc<Index>, seen: &mut HashSet<Slot>, chain: &mut Vec<Arc<Index>>) {
        // Loops were refused when the indexes were put; whatever is met again is not entered again.
        if !seen.insert(index.slot()) {
            return;
        }
        for upstream in self.upstream(index) {
            self.add_to_chain(&upstream, seen, chain);
        }
        chain.push(Arc::clone(index));
    }

    /// Whether an index does not yet show everything that is in the snapshot: documents wait to be indexed, by itself or
    /// by an index before it in its chain, or output documents on the way are not written yet.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_stale(&self, view: &DatabaseView<'_>, index: &Arc<Index>) -> Result<bool, IndexError> {
        // Of an idle auto index nobody waits for what it has not taken in.
        Ok(!index.is_idle() && self.blocked_by(view, index)?.is_some())
    }

    /// The first index of the chain that holds up this one, as of the snapshot; the index itself when it is the only
    /// one that is behind; `None` when it is not stale.
    ///
    /// # Errors
    /// When the store fails.
    pub fn blocked_by(
        &self,
        view: &DatabaseView<'_>,
        index: &Arc<Index>,
    ) -> Result<Option<Arc<Index>>, IndexError> {
        for link in self.chain(index) {
            let is_last = link.slot() == index.slot();
            if link.is_behind(view)? || (!is_last && link.is_output_behind(view)?) {
                return Ok(Some(link));
            }
        }
        Ok(None)
    }

    /// The newest etag among the documents that an index and those before it in its chain follow.
    ///
    /// # Errors
    /// When the store fails.
    pub fn newest_of_chain(&self, view: &DatabaseView<'_>, index: &Arc<Index>) -> Result<Etag, IndexError> {
        self.chain(index)
            .iter()
            .try_fold(Etag(0), |newest, link| Ok(newest.max(view.last_etag_of(link.feed())?)))
    }

    /// Waits until everything up to `etag` is mapped and reduced by this index and by all that come before it in its
    /// chain. Gives `false` when an index of the chain ends first. Never times out by itself.
    pub async fn wait_until_followed(&self, index: &Arc<Index>, etag: Etag) -> bool {
        let mut targets: HashMap<Slot, Etag> = HashMap::new();
        for link in self.chain(index) {
            let target = self.target(&link, etag, &targets);
            if link.slot() == index.slot() {
                return link.wait_until_indexed(target).await;
            }
            match link.wait_until_output(target).await {
                Some(reached) => targets.insert(link.slot(), reached),
                None => return false,
            };
        }
        false
    }

    /// [`Self::wait_until_followed`] for threads: gives whether `etag` was reached within `timeout`.
    #[must_use]
    pub fn wait_until_followed_blocking(&self, index: &Arc<Index>, etag: Etag, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut targets: HashMap<Slot, Etag> = HashMap::new();
        for link in self.chain(index) {
            let target = self.target(&link, etag, &targets);
            let left = deadline.saturating_duration_since(Instant::now());
            if link.slot() == index.slot() {
                return link.wait_until_indexed_blocking(target, left);
            }
            match link.wait_until_output_blocking(target, left) {
                Some(reached) => targets.insert(link.slot(), reached),
                None => return false,
            };
        }
        false
    }

    /// The etag that an index of a chain must reach, when the outputs before it are all there at these etags.
    fn target(&self, link: &Index, etag: Etag, reached: &HashMap<Slot, Etag>) -> Etag {
        self.upstream(link)
            .iter()
            .filter_map(|other| reached.get(&other.slot()))
            .copied()
            .fold(etag, Etag::max)
    }
}
