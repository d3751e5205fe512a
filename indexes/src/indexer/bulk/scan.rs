//! One reading of all documents for the bulk builds that run at a time: documents are read and unpacked once, not once
//! for each index.
//!
//! A thread reads the documents of one snapshot in the order of their ids, in chunks, and keeps the last few until all
//! builds have taken them. A build joins wherever the reading stands, takes the chunks to the end, and then those from the
//! first on that it has missed: so nobody has to wait for others to begin. Whoever is too slow, or hangs in its functions,
//! goes on in a lane of its own over the same snapshot, where it holds up nobody. The rows that a build makes depend on
//! none of this.

use crate::error::IndexError;
use crate::index::lock;
use crate::limits;
use magpie_store::kv::KvError;
use magpie_store::{Database, DatabaseView, Document, Etag, StoreError};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often somebody who waits looks whether it must still wait.
const LOOK: Duration = Duration::from_millis(20);

/// Documents that follow each other.
pub(super) struct Chunk {
    /// Its place in the order of all.
    number: u64,
    pub documents: Vec<Document>,
    bytes: usize,
    is_last: bool,
}

/// A chunk as a build takes it.
pub(super) struct Taken {
    /// How many the build has taken before.
    pub order: u64,
    /// How often the chunks had begun anew with the first one.
    pub turn: u64,
    pub chunk: Arc<Chunk>,
}

/// The readings of one database.
#[derive(Default)]
pub struct Scans(Mutex<Option<Arc<Scan>>>);

/// A reading.
#[derive(Default)]
struct Scan {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest etag of the snapshot, once it is taken.
    etag: Option<Etag>,
    /// The least that it may be: tombstones up to here may be gone, so an older snapshot has documents of whose deletion
    /// no build would hear.
    purged: Etag,
    lanes: Vec<Lane>,
    /// The builds that read along; `None` where one has left.
    builds: Vec<Option<Build>>,
    /// How many chunks there are, once that is known.
    total: Option<u64>,
    /// What ended it before its time.
    failure: Option<StoreError>,
    reader: Option<JoinHandle<()>>,
    ended: bool,
}

/// Builds that go at one pace, and the chunks that are kept for them.
struct Lane {
    chunks: VecDeque<Arc<Chunk>>,
    /// How many chunks it had before those.
    passed: u64,
    bytes: usize,
    /// Where the next chunk begins.
    next: Place,
    /// How many looks went by lately in which builds waited for a slower one.
    lost: u32,
    changed: Arc<Condvar>,
}

#[derive(Clone)]
struct Place {
    number: u64,
    after: Option<Box<str>>,
}

struct Build {
    lane: usize,
    /// What it takes next, counted as the lane's.
    next: u64,
    /// The number of the chunk that it began with.
    first: u64,
    taken: u64,
    /// How many of its threads wait for a chunk.
    waiting: usize,
}

/// A build's part in a reading, until it is dropped.
pub struct Joined {
    scan: Arc<Scan>,
    build: usize,
}

/// What a lane has to do next.
enum Next {
    Read(Place),
    /// A build that is too slow goes on in a lane of this number.
    Split(usize),
    End,
}

impl std::fmt::Debug for Scans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scans")
    }
}

impl Scans {
    /// Joins the reading that is under way, or begins one; `None` when no thread could be started for it.
    #[must_use]
    pub fn join(&self, database: &Arc<Database>) -> Option<Joined> {
        let mut current = lock(&self.0);
        if let Some(scan) = &*current
            && let Some(build) = lock(&scan.state).join(database.purged())
        {
            return Some(Joined { scan: Arc::clone(scan), build });
        }
        let scan = Arc::new(Scan::default());
        let mut state = lock(&scan.state);
        state.lanes.push(Lane::new(Place { number: 0, after: None }));
        let build = state.join(database.purged())?;
        let (reading, database) = (Arc::clone(&scan), Arc::clone(database));
        let thread = std::thread::Builder::new().name("index scan".to_owned());
        state.reader = Some(thread.spawn(move || reading.read(&database)).ok()?);
        drop(state);
        *current = Some(Arc::clone(&scan));
        Some(Joined { scan, build })
    }
}

impl Lane {
    fn new(next: Place) -> Self {
        Self { chunks: VecDeque::new(), passed: 0, bytes: 0, next, lost: 0, changed: Arc::default() }
    }

    fn is_full(&self, lanes: usize) -> bool {
        self.chunks.len() >= limits::SCAN_CHUNKS_AHEAD_MAX
            || self.bytes >= limits::SCAN_BYTES_AHEAD_MAX / lanes.max(1)
    }

    fn at(&self, next: u64) -> Option<&Arc<Chunk>> {
        self.chunks.get(usize::try_from(next.checked_sub(self.passed)?).ok()?)
    }
}

impl State {
    /// Has a build read along from the oldest chunk that is kept; `None` when all have been at the end already, or the
    /// snapshot is older than the last purge of tombstones.
    fn join(&mut self, purged: Etag) -> Option<usize> {
        if self.etag.is_some_and(|etag| etag < purged) {
            return None;
        }
        self.purged = self.purged.max(purged);
        let in_time = |lane: &&Lane| !self.ended && self.total.is_none_or(|total| lane.passed < total);
        let lane = self.lanes.first().filter(in_time)?;
        let first = lane.chunks.front().map_or(lane.next.number, |chunk| chunk.number);
        self.builds.push(Some(Build { lane: 0, next: lane.passed, first, taken: 0, waiting: 0 }));
        self.tell_all();
        Some(self.builds.len() - 1)
    }

    fn builds_of(&self, lane: usize) -> impl Iterator<Item = &Build> {
        let builds = self.builds.iter().flatten();
        builds.filter(move |build| build.lane == lane && Some(build.taken) != self.total)
    }

    /// What the reader of a lane has to do; `None` is to wait.
    fn next(&mut self, at: usize) -> Option<Next> {
        // Nobody joins the first lane without builds: what is ended stays so.
        let Some(oldest) = self.builds_of(at).map(|build| build.next).min() else {
            self.ended |= at == 0;
            return Some(Next::End);
        };
        let to = self.total.and_then(|total| {
            self.builds_of(at).map(|build| build.next + total.saturating_sub(build.taken)).max()
        });
        let lanes = self.lanes.len();
        let lane = self.lanes.get_mut(at)?;
        while lane.passed < oldest
            && let Some(chunk) = lane.chunks.pop_front()
        {
            lane.bytes -= chunk.bytes;
            lane.passed += 1;
        }
        if to.is_some_and(|to| lane.passed + lane.chunks.len() as u64 >= to) {
            // The rest is there, and nobody needs more.
            return None;
        }
        if !lane.is_full(lanes) || lane.chunks.is_empty() {
            lane.lost = lane.lost.saturating_sub(1);
            return Some(Next::Read(lane.next.clone()));
        }
        (lane.lost >= limits::SCAN_LOOKS_LOST_MAX).then(|| self.split(at)).flatten().map(Next::Split)
    }

    /// Notes that the lane could not go on in all the time of a look, although somebody waited for it.
    fn note_lost(&mut self, at: usize) {
        let somebody_waits = self.builds_of(at).any(|build| build.waiting > 0);
        if let Some(lane) = self.lanes.get_mut(at)
            && somebody_waits
        {
            lane.lost += 1;
        }
    }

    /// Moves the builds that stand on the oldest chunk of a lane to a new one, which begins with the same chunks.
    fn split(&mut self, at: usize) -> Option<usize> {
        let new = self.lanes.len();
        let lane = self.lanes.get_mut(at)?;
        lane.lost = 0;
        let (chunks, passed, bytes, next) = (lane.chunks.clone(), lane.passed, lane.bytes, lane.next.clone());
        self.lanes.push(Lane { chunks, passed, bytes, ..Lane::new(next) });
        for build in self.builds.iter_mut().flatten() {
            if build.lane == at && build.next == passed {
                build.lane = new;
            }
        }
        Some(new)
    }

    fn push(&mut self, at: usize, chunk: Chunk) {
        if chunk.is_last {
            self.total = Some(chunk.number + 1);
        }
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.next = match chunk.documents.last().filter(|_| !chunk.is_last) {
            Some(last) => Place { number: chunk.number + 1, after: Some(last.id.key().into()) },
            None => Place { number: 0, after: None },
        };
        lane.bytes += chunk.bytes;
        lane.chunks.push_back(Arc::new(chunk));
        lane.changed.notify_all();
    }

    /// The next chunk of a build; the inner `None` when it has had all.
    fn take(&mut self, build: usize) -> Option<Option<Taken>> {
        let total = self.total;
        let Some(Some(build)) = self.builds.get_mut(build) else { return Some(None) };
        if Some(build.taken) == total {
            return Some(None);
        }
        let chunk = Arc::clone(self.lanes.get(build.lane)?.at(build.next)?);
        let taken = Taken { order: build.taken, turn: u64::from(chunk.number < build.first), chunk };
        (build.next, build.taken) = (build.next + 1, build.taken + 1);
        Some(Some(taken))
    }

    /// Where a build is told that there is more.
    fn news_of(&self, build: usize) -> Option<Arc<Condvar>> {
        let lane = self.builds.get(build)?.as_ref()?.lane;
        self.lanes.get(lane).map(|lane| Arc::clone(&lane.changed))
    }

    /// Notes that a thread of a build waits, or does no longer.
    fn note_waiting(&mut self, build: usize, waits: bool) {
        if let Some(Some(build)) = self.builds.get_mut(build) {
            build.waiting = if waits { build.waiting + 1 } else { build.waiting.saturating_sub(1) };
        }
    }

    fn fail(&mut self, cause: StoreError) {
        self.ended = true;
        self.failure.get_or_insert(cause);
        self.tell_all();
    }

    fn tell_all(&self) {
        self.lanes.iter().for_each(|lane| lane.changed.notify_all());
    }
}

impl Scan {
    /// The thread of the reading.
    fn read(&self, database: &Database) {
        // Whatever ends it, nobody must wait for it any more.
        let mut panicked = IfDropped(self, true);
        let view = self.snapshot(database);
        std::thread::scope(|scope| self.read_lane(0, &view, scope));
        panicked.1 = false;
    }

    /// A snapshot that is new enough for all who have joined.
    fn snapshot<'d>(&self, database: &'d Database) -> DatabaseView<'d> {
        loop {
            let view = database.view();
            let mut state = lock(&self.state);
            if view.last_etag() >= state.purged {
                state.etag = Some(view.last_etag());
                return view;
            }
        }
    }

    fn read_lane<'s>(
        &'s self,
        lane: usize,
        view: &'s DatabaseView<'_>,
        scope: &'s std::thread::Scope<'s, '_>,
    ) {
        let mut panicked = IfDropped(self, true);
        if let Err(error) = self.read_chunks(lane, view, scope) {
            lock(&self.state).fail(error);
        }
        panicked.1 = false;
    }

    fn read_chunks<'s>(
        &'s self,
        lane: usize,
        view: &'s DatabaseView<'_>,
        scope: &'s std::thread::Scope<'s, '_>,
    ) -> Result<(), StoreError> {
        loop {
            match self.wait_for_room(lane) {
                Next::End => return Ok(()),
                Next::Read(place) => {
                    let chunk = Chunk::read(view, place.number, place.after)?;
                    lock(&self.state).push(lane, chunk);
                }
                Next::Split(new) => {
                    let thread = std::thread::Builder::new().name("index scan".to_owned());
                    let started = thread.spawn_scoped(scope, move || self.read_lane(new, view, scope));
                    started.map_err(|error| {
                        StoreError::Kv(KvError::Storage(format!(
                            "no thread could be started to read documents: {error}"
                        )))
                    })?;
                }
            }
        }
    }

    fn wait_for_room(&self, lane: usize) -> Next {
        let mut state = lock(&self.state);
        loop {
            if state.failure.is_some() {
                return Next::End;
            }
            if let Some(next) = state.next(lane) {
                return next;
            }
            let Some(news) = state.lanes.get(lane).map(|lane| Arc::clone(&lane.changed)) else {
                return Next::End;
            };
            let looked = news.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            state = looked.0;
            if looked.1.timed_out() {
                state.note_lost(lane);
            }
        }
    }
}

/// Tells the builds that a thread of the reading has panicked, if it was set when it is dropped.
struct IfDropped<'s>(&'s Scan, bool);

impl Drop for IfDropped<'_> {
    fn drop(&mut self) {
        if self.1 {
            let cause = "a thread that reads documents panicked".to_owned();
            lock(&self.0.state).fail(StoreError::Corrupt(cause));
        }
    }
}

impl Chunk {
    /// Reads the documents behind an id.
    pub fn read(view: &DatabaseView<'_>, number: u64, after: Option<Box<str>>) -> Result<Self, StoreError> {
        let mut documents = Vec::new();
        let mut bytes = 0;
        let mut is_last = true;
        for document in view.documents_by_prefix("", after.as_deref())? {
            let document = document?;
            bytes += document.body.len() + document.metadata.len();
            documents.push(document);
            if documents.len() >= limits::BULK_CHUNK_DOCUMENTS_MAX || bytes >= limits::BULK_CHUNK_BYTES_MAX {
                is_last = false;
                break;
            }
        }
        Ok(Self { number, documents, bytes, is_last })
    }

    /// The chunk behind this one; `None` when it is the last.
    pub fn next(&self, view: &DatabaseView<'_>) -> Result<Option<Self>, StoreError> {
        if self.is_last {
            return Ok(None);
        }
        let after = self.documents.last().map(|last| last.id.key().into());
        Self::read(view, self.number + 1, after).map(Some)
    }
}

impl Joined {
    /// The next chunk; `None` when there are no more, or as soon as `is_over`.
    pub(super) fn next(&self, is_over: impl Fn() -> bool) -> Result<Option<Taken>, IndexError> {
        let mut state = lock(&self.scan.state);
        loop {
            let Some(news) = state.news_of(self.build) else { return Ok(None) };
            if let Some(taken) = state.take(self.build) {
                drop(state);
                news.notify_all();
                return Ok(taken);
            }
            if let Some(failure) = &state.failure {
                return Err(IndexError::Store(again(failure)));
            }
            if is_over() {
                return Ok(None);
            }
            state.note_waiting(self.build, true);
            state = news.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            state.note_waiting(self.build, false);
        }
    }

    /// The newest etag of what is read, once there was a chunk.
    pub(super) fn etag(&self) -> Option<Etag> {
        lock(&self.scan.state).etag
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut state = lock(&self.scan.state);
        if let Some(build) = state.builds.get_mut(self.build) {
            *build = None;
        }
        // The last one waits for the thread, which holds the database.
        let is_last = state.builds.iter().all(Option::is_none);
        state.ended |= is_last;
        let reader = if is_last { state.reader.take() } else { None };
        state.tell_all();
        drop(state);
        if let Some(reader) = reader {
            // A panic in it has been told as a failure.
            let _ = reader.join();
        }
    }
}

/// The same error for another build.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(what) => StoreError::Corrupt(what.clone()),
        other => StoreError::Kv(KvError::Storage(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, Place, State};
    use magpie_store::Etag;

    /// Of a document that was deleted behind the snapshot, and whose tombstone is gone, a build would never hear.
    #[test]
    fn nobody_joins_a_reading_that_is_older_than_a_purge() {
        let mut state = State::default();
        state.lanes.push(Lane::new(Place { number: 0, after: None }));
        assert!(state.join(Etag(3)).is_some());
        assert_eq!(state.purged, Etag(3), "the snapshot that is still to be taken has to be as new");
        state.etag = Some(Etag(5));
        assert!(state.join(Etag(5)).is_some());
        assert!(state.join(Etag(6)).is_none());
    }
}
