//! Calling the functions of an index from any thread: queries, checks and explanations do not run on its worker.
//!
//! Functions live on one thread and scripts need the stack of [`limits::SCRIPT_STACK_BYTES`], so [`Calls`] keeps a few
//! threads of its own, started when they are first needed and ended when nothing was asked of them for a while. A call
//! takes an idle thread, hands it one piece of work and waits for the answer. A function that panics costs its thread; one
//! that does not come back in time is left behind with its thread, which ends when the function does. Of those there may
//! be only a few: then calls are refused. Nothing here is shared with the worker, so a hanging call never stops indexing.

use crate::function::{Emitted, FunctionError, IndexFunction, Loads, NoLoads, SharedSource};
use crate::index::lock;
use crate::limits;
use magpie_store::json::Json;
use magpie_store::{Collection, Document};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// A call that gave no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// The function failed, or could not be compiled.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The function panicked.
    #[error("the function panicked: {message}; its thread was ended")]
    Panicked {
        /// The text of the panic.
        message: String,
    },
    /// The function did not come back in time.
    #[error(
        "the function took longer than {ms_max} ms (query_call_ms_max) and was left behind; make it do less for one call"
    )]
    TooLong {
        /// The limit, in milliseconds.
        ms_max: u64,
    },
    /// No thread was free in time.
    #[error(
        "all {threads_max} threads (query_calls_threads_max) that call this index were busy for {ms_max} ms; ask again"
    )]
    Busy {
        /// How many threads there may be.
        threads_max: usize,
        /// How long was waited, in milliseconds.
        ms_max: u64,
    },
    /// So many functions did not come back that no more are called.
    #[error(
        "{count} calls of this index's functions have not come back (query_calls_abandoned_max), so no more are made; \
         mend the functions"
    )]
    Abandoned {
        /// How many.
        count: usize,
    },
    /// The system gave no thread.
    #[error("a thread to call the index's functions could not be started: {cause}")]
    Thread {
        /// The system's words.
        cause: String,
    },
}

/// The bounds of one [`Calls`]. The default values are those of [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Longest time of one call, in milliseconds; compiling the functions counts.
    pub call_ms_max: u64,
    /// Longest wait for a free thread, in milliseconds.
    pub wait_ms_max: u64,
    /// How long a thread without work stays, in milliseconds.
    pub idle_ms_max: u64,
    /// Most threads that work or wait for work.
    pub threads_max: usize,
    /// Most threads left behind in functions that did not come back.
    pub abandoned_max: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            call_ms_max: limits::QUERY_CALL_MS_MAX,
            wait_ms_max: limits::QUERY_CALL_WAIT_MS_MAX,
            idle_ms_max: limits::QUERY_CALLS_IDLE_MS_MAX,
            threads_max: limits::QUERY_CALLS_THREADS_MAX,
            abandoned_max: limits::QUERY_CALLS_ABANDONED_MAX,
        }
    }
}

/// How many threads a [`Calls`] has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallThreads {
    /// Those that work.
    pub busy: usize,
    /// Those that wait for work.
    pub idle: usize,
    /// Those left behind in functions that did not come back.
    pub abandoned: usize,
}

/// The functions of one index, callable from any thread. A call blocks its caller, so none is made on threads that
/// must not block.
///
/// `F` is what each thread works with; all but patches work with the functions of an index.
pub struct Calls<F = Box<dyn IndexFunction>> {
    make: Make<F>,
    limits: CallLimits,
    shared: Arc<Shared<F>>,
}

/// Makes what a thread works with, on that thread.
type Make<F> = Arc<dyn Fn() -> Result<F, FunctionError> + Send + Sync>;

struct Shared<F> {
    state: Mutex<State<F>>,
    /// Told whenever a thread becomes free or goes.
    freed: Condvar,
}

struct State<F> {
    /// Threads without work, the one used last at the end.
    idle: Vec<Thread<F>>,
    /// Threads with and without work, but not those left behind.
    threads: usize,
    abandoned: usize,
    /// The number that the next thread gets.
    next: u64,
}

/// The caller's end of one thread. Whoever holds it is the only one who gives it work; the thread ends when it is
/// dropped.
struct Thread<F> {
    number: u64,
    jobs: SyncSender<Job<F>>,
    /// Set before the handle is dropped when the thread may still be at work.
    left_behind: Arc<AtomicBool>,
}

/// One piece of work. It answers through a channel of its own.
type Job<F> = Box<dyn FnOnce(&mut Functions<F>) + Send>;

/// What a thread works with.
struct Functions<F> {
    make: Make<F>,
    /// Made on first use; `None` after a panic, which may have left it in disorder.
    function: Option<F>,
}

/// What a job tells its caller.
enum Reply<T> {
    /// The map asks for a document.
    Load { id: String, collection: Option<Collection>, tracked: bool },
    /// A patch or query asks for a compare-exchange value.
    Exchange { key: String },
    /// A patch or query asks for the value of a counter.
    Counter { id: String, name: String },
    /// It is done.
    Done(Result<T, CallError>),
}

impl Calls {
    /// For the functions that `source` makes. No thread is started before the first call.
    #[must_use]
    pub fn new(source: SharedSource) -> Self {
        Self::with_limits(source, CallLimits::default())
    }

    /// [`Self::new`] with other bounds.
    #[must_use]
    pub fn with_limits(source: SharedSource, limits: CallLimits) -> Self {
        Self::of(Arc::new(move || source.create()), limits)
    }

    /// [`IndexFunction::map`]. `loads` is asked on the calling thread.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub fn map(&self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, CallError> {
        let document = document.clone();
        Ok(self.call(loads, move |function, loads| function.map(&document, loads))??)
    }

    /// [`IndexFunction::reduce`]: folds `values`, which must not be empty, to one.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub fn reduce(&self, key: Vec<Json>, values: Vec<Json>) -> Result<Json, CallError> {
        Ok(self.call(&mut NoLoads, move |function, _| function.reduce(&key, &values))??)
    }

    /// [`IndexFunction::finalize`], to be called only when the index's shape says that it finalizes.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub fn finalize(&self, reduced: Json) -> Result<Option<Json>, CallError> {
        Ok(self.call(&mut NoLoads, move |function, _| function.finalize(&reduced))??)
    }

    /// Any work with the functions. `loads` is what the work's own loads lead to, and is asked on the calling thread.
    /// The time limit is that of one call, whatever the work is.
    ///
    /// # Errors
    /// Any [`CallError`]; [`CallError::Function`] only when the functions do not compile.
    pub fn call<T: Send + 'static>(
        &self,
        loads: &mut dyn Loads,
        work: impl FnOnce(&mut dyn IndexFunction, &mut dyn Loads) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        self.work(loads, move |function, loads| work(function.as_mut(), loads))
    }
}

impl<F: 'static> Calls<F> {
    /// Threads that work with what `make` gives on each of them.
    pub(crate) fn of(make: Make<F>, limits: CallLimits) -> Self {
        let state = State { idle: Vec::new(), threads: 0, abandoned: 0, next: 0 };
        Self { make, limits, shared: Arc::new(Shared { state: Mutex::new(state), freed: Condvar::new() }) }
    }

    /// Any work with what a thread has, see [`Calls::call`].
    ///
    /// # Errors
    /// Any [`CallError`]; [`CallError::Function`] only when the functions do not compile.
    pub(crate) fn work<T: Send + 'static>(
        &self,
        loads: &mut dyn Loads,
        work: impl FnOnce(&mut F, &mut dyn Loads) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let mut lease = Lease { calls: self, thread: Some(self.thread()?) };
        let (reply, replies) = sync_channel(1);
        let (found, founds) = sync_channel(1);
        let (value, values) = sync_channel(1);
        let job: Job<F> = Box::new(move |functions| {
            let mut loads = RemoteLoads { ask: reply, founds, values };
            let outcome = functions.run(|function| work(function, &mut loads));
            // The caller may have stopped waiting.
            let _ = loads.ask.send(Reply::Done(outcome));
        });
        let sent = lease.thread.as_ref().is_some_and(|thread| thread.jobs.send(job).is_ok());
        let ended = || CallError::Panicked { message: "its thread has ended".to_owned() };
        if !sent {
            lease.end(Ending::Broken);
            return Err(ended());
        }
        let deadline = Instant::now() + Duration::from_millis(self.limits.call_ms_max);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match replies.recv_timeout(left) {
                Ok(Reply::Load { id, collection, tracked }) => {
                    // The function waits for this; it cannot have gone.
                    let _ = found.send(loads.load(&id, collection.as_ref(), tracked));
                }
                Ok(Reply::Exchange { key }) => {
                    let _ = value.send(loads.compare_exchange(&key));
                }
                Ok(Reply::Counter { id, name }) => {
                    let _ = value.send(loads.counter(&id, &name).map(Json::from));
                }
                Ok(Reply::Done(outcome)) => {
                    let broken = matches!(outcome, Err(CallError::Panicked { .. }));
                    lease.end(if broken { Ending::Broken } else { Ending::Sound });
                    return outcome;
                }
                Err(RecvTimeoutError::Timeout) => {
                    lease.end(Ending::LeftBehind);
                    return Err(CallError::TooLong { ms_max: self.limits.call_ms_max });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    lease.end(Ending::Broken);
                    return Err(ended());
                }
            }
        }
    }

    /// How many threads there are now.
    #[must_use]
    pub fn threads(&self) -> CallThreads {
        let state = lock(&self.shared.state);
        let idle = state.idle.len();
        CallThreads { busy: state.threads.saturating_sub(idle), idle, abandoned: state.abandoned }
    }

    /// An idle thread, a new one, or the next that becomes free.
    fn thread(&self) -> Result<Thread<F>, CallError> {
        let deadline = Instant::now() + Duration::from_millis(self.limits.wait_ms_max);
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(thread) = state.idle.pop() {
                return Ok(thread);
            }
            let hopeless = state.abandoned >= self.limits.abandoned_max;
            if hopeless && state.threads == 0 {
                return Err(CallError::Abandoned { count: state.abandoned });
            }
            if !hopeless && state.threads < self.limits.threads_max {
                let thread = self.start(state.next)?;
                state.next += 1;
                state.threads += 1;
                return Ok(thread);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CallError::Busy {
                    threads_max: self.limits.threads_max,
                    ms_max: self.limits.wait_ms_max,
                });
            }
            state = self.shared.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn start(&self, number: u64) -> Result<Thread<F>, CallError> {
        // One job at a time: the handle is taken by one caller, who waits for the answer.
        let (jobs, received) = sync_channel(1);
        let left_behind = Arc::new(AtomicBool::new(false));
        let thread = Thread { number, jobs, left_behind: Arc::clone(&left_behind) };
        let shared = Arc::clone(&self.shared);
        let idle = Duration::from_millis(self.limits.idle_ms_max);
        let make = Arc::clone(&self.make);
        std::thread::Builder::new()
            .name("index calls".to_owned())
            .stack_size(limits::SCRIPT_STACK_BYTES)
            .spawn(move || {
                work_off(&received, Functions { make, function: None }, &shared, number, idle);
                if left_behind.load(Ordering::SeqCst) {
                    lock(&shared.state).abandoned -= 1;
                    shared.freed.notify_all();
                }
            })
            .map_err(|error| CallError::Thread { cause: error.to_string() })?;
        Ok(thread)
    }
}

impl<F> Drop for Calls<F> {
    fn drop(&mut self) {
        // No call is running, since each borrows `self`. Threads without work end when their handles go.
        lock(&self.shared.state).idle.clear();
    }
}

/// The life of a thread: job after job until its handle is dropped or nothing was asked for a while.
fn work_off<F>(
    jobs: &Receiver<Job<F>>,
    mut functions: Functions<F>,
    shared: &Shared<F>,
    number: u64,
    idle: Duration,
) {
    loop {
        match jobs.recv_timeout(idle) {
            Ok(job) => job(&mut functions),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(&shared.state);
                // Who has taken the handle is about to send a job.
                let Some(at) = state.idle.iter().position(|thread| thread.number == number) else { continue };
                state.idle.remove(at);
                state.threads -= 1;
                shared.freed.notify_all();
                return;
            }
        }
    }
}

impl<F> Functions<F> {
    fn run<T>(&mut self, work: impl FnOnce(&mut F) -> T) -> Result<T, CallError> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let function = match &mut self.function {
                Some(function) => function,
                None => self.function.insert((self.make)()?),
            };
            Ok(work(function))
        }));
        outcome.unwrap_or_else(|panic| {
            self.function = None;
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(CallError::Panicked { message: text.unwrap_or("no message").to_owned() })
        })
    }
}

/// Loads that are asked of the calling thread.
struct RemoteLoads<T> {
    ask: SyncSender<Reply<T>>,
    founds: Receiver<Option<Arc<Document>>>,
    values: Receiver<Option<Json>>,
}

impl<T> Loads for RemoteLoads<T> {
    fn load(&mut self, id: &str, collection: Option<&Collection>, tracked: bool) -> Option<Arc<Document>> {
        let asked = Reply::Load { id: id.to_owned(), collection: collection.cloned(), tracked };
        // A caller who stopped waiting makes no use of the outcome.
        self.ask.send(asked).ok()?;
        self.founds.recv().ok().flatten()
    }

    fn compare_exchange(&mut self, key: &str) -> Option<Json> {
        self.ask.send(Reply::Exchange { key: key.to_owned() }).ok()?;
        self.values.recv().ok().flatten()
    }

    fn counter(&mut self, id: &str, name: &str) -> Option<i64> {
        self.ask.send(Reply::Counter { id: id.to_owned(), name: name.to_owned() }).ok()?;
        self.values.recv().ok().flatten()?.as_i64()
    }
}

/// How a call ended, as far as its thread is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The thread can be used again.
    Sound,
    /// The thread has nothing to do, but its state is in doubt.
    Broken,
    /// The thread may still be at work.
    LeftBehind,
}

/// A thread taken for one call. It is given back or given up on every way out, a panic of the caller's loads included.
struct Lease<'a, F> {
    calls: &'a Calls<F>,
    thread: Option<Thread<F>>,
}

impl<F> Lease<'_, F> {
    fn end(&mut self, ending: Ending) {
        let Some(thread) = self.thread.take() else { return };
        let shared = &self.calls.shared;
        let mut state = lock(&shared.state);
        match ending {
            Ending::Sound => state.idle.push(thread),
            Ending::Broken => state.threads -= 1,
            Ending::LeftBehind => {
                state.threads -= 1;
                state.abandoned += 1;
                // The thread looks at this after its handle is gone.
                thread.left_behind.store(true, Ordering::SeqCst);
                drop(thread);
            }
        }
        shared.freed.notify_all();
    }
}

impl<F> Drop for Lease<'_, F> {
    fn drop(&mut self) {
        self.end(Ending::LeftBehind);
    }
}
