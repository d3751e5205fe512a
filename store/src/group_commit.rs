//! Many callers, one commit: the leader/follower queue in front of the disk. It has no thread of its own.
//!
//! The first caller to arrive leads: it takes what waits (its own request first, bounded by weight), runs it as one
//! group, hands out the results, and passes the lead to the caller that has waited longest. So while one group is
//! being synced the next one gathers, and a lone caller waits for nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A queue of requests `T` that are answered by results `R`, group by group.
pub(crate) struct GroupCommit<T, R> {
    queue: Mutex<Queue<T, R>>,
    weight_max: usize,
}

struct Queue<T, R> {
    waiting: VecDeque<Waiting<T, R>>,
    /// Whether some caller leads. While nobody does, nobody waits.
    led: bool,
}

struct Waiting<T, R> {
    request: T,
    weight: usize,
    ticket: Arc<Ticket<R>>,
}

struct Ticket<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

enum State<R> {
    Waits,
    Leads,
    Done(R),
    /// The leader panicked before it had a result.
    Abandoned,
}

impl<R> Ticket<R> {
    fn set(&self, state: State<R>) {
        *lock(&self.state) = state;
        self.changed.notify_one();
    }

    /// Waits until it is not waiting any more, and takes that state.
    fn wait(&self) -> State<R> {
        let mut state = lock(&self.state);
        loop {
            match std::mem::replace(&mut *state, State::Waits) {
                State::Waits => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                other => return other,
            }
        }
    }
}

/// Nothing is left half done while one of this file's locks is held, so a poisoned one is fine.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, R> GroupCommit<T, R> {
    /// An empty queue. A group's weight stays within `weight_max` unless its first request alone exceeds it.
    pub(crate) fn new(weight_max: usize) -> Self {
        Self { queue: Mutex::new(Queue { waiting: VecDeque::new(), led: false }), weight_max }
    }

    /// Puts a request in and waits for its result. `run` gets the requests of a group in order of arrival and gives
    /// one result for each; it may run on any caller's thread, and never on two at once.
    ///
    /// `None`: the caller that ran the group panicked, and the outcome is unknown.
    pub(crate) fn submit(&self, request: T, weight: usize, run: impl FnOnce(Vec<T>) -> Vec<R>) -> Option<R> {
        let ticket = Arc::new(Ticket { state: Mutex::new(State::Waits), changed: Condvar::new() });
        {
            let mut queue = lock(&self.queue);
            queue.waiting.push_back(Waiting { request, weight, ticket: Arc::clone(&ticket) });
            if !queue.led {
                queue.led = true;
                ticket.set(State::Leads);
            }
        }
        match ticket.wait() {
            State::Leads => self.lead(run, &ticket),
            State::Done(result) => Some(result),
            State::Waits | State::Abandoned => None,
        }
    }

    fn lead(&self, run: impl FnOnce(Vec<T>) -> Vec<R>, own: &Ticket<R>) -> Option<R> {
        let (requests, tickets) = self.take_group();
        let mut lead = Lead { group_commit: self, tickets: tickets.into_iter() };
        for result in run(requests) {
            if let Some(ticket) = lead.tickets.next() {
                ticket.set(State::Done(result));
            }
        }
        drop(lead);
        match own.wait() {
            State::Done(result) => Some(result),
            _ => None,
        }
    }

    fn take_group(&self) -> (Vec<T>, Vec<Arc<Ticket<R>>>) {
        let mut queue = lock(&self.queue);
        let mut weight = 0_usize;
        let mut group = (Vec::new(), Vec::new());
        while let Some(next) = queue.waiting.front() {
            weight = weight.saturating_add(next.weight);
            if weight > self.weight_max && !group.0.is_empty() {
                break;
            }
            if let Some(taken) = queue.waiting.pop_front() {
                group.0.push(taken.request);
                group.1.push(taken.ticket);
            }
        }
        group
    }
}

/// The lead over the queue; passed on when dropped, also by a panic.
struct Lead<'a, T, R> {
    group_commit: &'a GroupCommit<T, R>,
    /// Tickets of the group without a result yet.
    tickets: std::vec::IntoIter<Arc<Ticket<R>>>,
}

impl<T, R> Drop for Lead<'_, T, R> {
    fn drop(&mut self) {
        for ticket in self.tickets.by_ref() {
            ticket.set(State::Abandoned);
        }
        let mut queue = lock(&self.group_commit.queue);
        match queue.waiting.front() {
            Some(next) => next.ticket.set(State::Leads),
            None => queue.led = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn each_caller_gets_its_own_result_and_groups_never_overlap() {
        let commits = GroupCommit::new(50);
        let (running, groups) = (AtomicBool::new(false), AtomicUsize::new(0));
        let run = |requests: Vec<usize>| {
            assert!(!running.swap(true, Ordering::SeqCst));
            assert!(requests.len() <= 5);
            groups.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            running.store(false, Ordering::SeqCst);
            requests.into_iter().map(|request| request * 2).collect()
        };
        thread::scope(|scope| {
            for caller in 0..8 {
                let (commits, run) = (&commits, &run);
                scope.spawn(move || {
                    for n in 0..500 {
                        let request = caller * 1000 + n;
                        assert_eq!(commits.submit(request, 10, run), Some(request * 2));
                    }
                });
            }
        });
        assert!(groups.into_inner() <= 4000);
    }

    #[test]
    fn those_who_come_during_a_group_share_the_next_one() {
        let commits = GroupCommit::new(100);
        let (release, released) = mpsc::channel::<()>();
        let (entered, in_first) = mpsc::channel::<()>();
        let sizes = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let (commits, sizes) = (&commits, &sizes);
            scope.spawn(move || {
                commits.submit(0, 1, |requests| {
                    entered.send(()).unwrap();
                    released.recv().unwrap();
                    requests
                })
            });
            in_first.recv().unwrap();
            for request in 1..=4 {
                scope.spawn(move || {
                    let run = |requests: Vec<i32>| {
                        lock(sizes).push(requests.len());
                        requests
                    };
                    assert_eq!(commits.submit(request, 30, run), Some(request));
                });
            }
            while lock(&commits.queue).waiting.len() < 4 {
                thread::yield_now();
            }
            release.send(()).unwrap();
        });
        assert_eq!(sizes.into_inner().unwrap(), [3, 1], "three of weight 30 fit into 100");
    }

    #[test]
    fn a_panicking_leader_leaves_nobody_waiting() {
        let commits: GroupCommit<i32, i32> = GroupCommit::new(100);
        let (entered, in_first) = mpsc::channel::<()>();
        let (release, released) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let commits = &commits;
            let first = scope.spawn(move || {
                commits.submit(0, 1, |_| {
                    entered.send(()).unwrap();
                    released.recv().unwrap();
                    panic!("on purpose")
                })
            });
            in_first.recv().unwrap();
            let second = scope.spawn(move || commits.submit(1, 1, |requests| requests));
            while lock(&commits.queue).waiting.is_empty() {
                thread::yield_now();
            }
            release.send(()).unwrap();
            assert!(first.join().is_err());
            assert_eq!(second.join().unwrap(), Some(1));
        });
        assert_eq!(commits.submit(2, 1, |_| Vec::new()), None, "no result is an unknown outcome");
        assert_eq!(commits.submit(3, 1, |requests| requests), Some(3));
    }
}
