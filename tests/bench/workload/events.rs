//! The events of the common workload, and what its four indexes must give.
//!
//! About ten events a job: created, started, completed, up to nine links of files, and an unlink for two links in five.
//! Users are drawn with Zipf's law (exponent 1.2), so the first one has about a fifth of all jobs; each has a pool of
//! files of fixed sizes. Sizes are whole megabytes, so megabyte-seconds are whole numbers. The same numbers in every run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write as _;

/// 2025-01-01T00:00:00Z, in seconds.
const FIRST_DAY: u64 = 1_735_689_600;
const DAYS: u64 = 60;
const DAY: u64 = 86_400;
const ZIPF_EXPONENT: f64 = 1.2;
/// The days of January 2025; the events end in March.
const MONTH_DAYS: [u64; 3] = [31, 28, 31];

/// What happened to a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Created,
    Started,
    Completed { started: u64 },
    Linked { file: u64 },
    Unlinked { file: u64 },
}

/// An event on its way; they are ordered by time, and then as they were made.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    time: u64,
    sequence: u64,
    kind: Kind,
    job: u64,
    user: u64,
}

/// Numbers without a random source. The order in which they are drawn is part of the workload.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What the indexes must give.
#[derive(Default)]
pub struct Expected {
    /// (user, month) -> (seconds, jobs).
    pub runtime: BTreeMap<(String, String), (i64, i64)>,
    /// job -> file -> links that were not taken back.
    pub job_files: BTreeMap<String, BTreeMap<String, i64>>,
    /// (user, day) -> (megabyte-seconds to the end of the day, megabytes).
    pub storage: BTreeMap<(String, String), (i64, i64)>,
    /// user -> (largest size, files, links).
    pub user_files: BTreeMap<String, (i64, BTreeSet<String>, i64)>,
}

/// The lines of all events, and what comes of them.
pub struct Events {
    /// One JSON document each, without its collection.
    pub lines: Vec<String>,
    /// What comes of them.
    pub expected: Expected,
}

impl Events {
    /// The user with the most links, and how many those are.
    pub fn hot(&self) -> Option<(&str, i64)> {
        let hot = self.expected.user_files.iter().max_by_key(|(_, (_, _, links))| *links);
        hot.map(|(user, (_, _, links))| (user.as_str(), *links))
    }
}

/// So many events in the order of their times.
pub fn generate(count: usize) -> Events {
    let events = count as u64;
    let mut draw = Draw(42);
    let users = (events / 200).max(50);
    let mut shares = Vec::new();
    let mut sum = 0.0;
    for user in 0..users {
        sum += ((user + 1) as f64).powf(-ZIPF_EXPONENT);
        shares.push(sum);
    }
    // The larger a user, the more files, up to 2,000.
    let pool_of = |user: u64| {
        let share = (events as f64 / 500.0) / ((user + 1) as f64).powf(0.8);
        (0..2000 - 5_u64).take_while(|files| (*files as f64) < share).count() as u64 + 5
    };
    let mut made = Events { lines: Vec::with_capacity(count), expected: Expected::default() };
    let mut heap: BinaryHeap<Reverse<Event>> = BinaryHeap::new();
    let jobs = (events / 10).max(1);
    let (mut sequence, mut job) = (0_u64, 0_u64);
    while made.lines.len() < count {
        let at = FIRST_DAY + job * DAYS * DAY / jobs;
        while let Some(Reverse(next)) = heap.peek()
            && next.time <= at
            && made.lines.len() < count
        {
            if let Some(Reverse(event)) = heap.pop() {
                made.add(&event, &mut draw);
            }
        }
        let point = draw.fraction() * sum;
        let user = shares.partition_point(|share| *share < point) as u64;
        let user = user.min(users - 1);
        let started = at + draw.between(1, 60);
        let mut ended = started + draw.between(30, 3600);
        if month(started) != month(ended) {
            ended = started;
        }
        let mut push = |time: u64, kind: Kind| {
            sequence += 1;
            heap.push(Reverse(Event { time, sequence, kind, job, user }));
        };
        push(at, Kind::Created);
        push(started, Kind::Started);
        let pool = pool_of(user);
        let mut files = BTreeSet::new();
        for _ in 0..draw.between(1, 9).min(pool) {
            files.insert(draw.next() % pool);
        }
        for file in files {
            let linked = draw.between(started, ended);
            push(linked, Kind::Linked { file });
            if draw.fraction() < 0.4 {
                push(linked + draw.between(60, 5 * DAY), Kind::Unlinked { file });
            }
        }
        push(ended, Kind::Completed { started });
        job += 1;
    }
    made
}

fn month(time: u64) -> usize {
    let mut day = (time - FIRST_DAY) / DAY;
    for (month, days) in MONTH_DAYS.into_iter().enumerate() {
        if day < days {
            return month;
        }
        day -= days;
    }
    MONTH_DAYS.len()
}

fn date(time: u64) -> String {
    let mut day = (time - FIRST_DAY) / DAY;
    for days in MONTH_DAYS.into_iter().take(month(time)) {
        day -= days;
    }
    format!("2025-{:02}-{:02}", month(time) + 1, day + 1)
}

/// The size of a user's file, in bytes.
fn size(user: u64, file: u64) -> i64 {
    (1 + (user * 7919 + file * 104_729) as i64 % 1000) * 1_000_000
}

impl Events {
    fn add(&mut self, event: &Event, draw: &mut Draw) {
        let Event { time, kind, job, user, .. } = *event;
        let day = date(time);
        let second = time % DAY;
        let (user_name, job_name) = (format!("user-{user:05}"), format!("job-{job:07}"));
        let name = match kind {
            Kind::Created => "JobCreated",
            Kind::Started => "JobStarted",
            Kind::Completed { .. } => "JobCompleted",
            Kind::Linked { .. } => "FileLinked",
            Kind::Unlinked { .. } => "FileUnlinked",
        };
        let mut line = format!(
            r#"{{"id":"ev-{:09}","type":"{name}","jobId":"{job_name}","userId":"{user_name}""#,
            self.lines.len()
        );
        // Writing to a String cannot fail.
        match kind {
            Kind::Linked { file } | Kind::Unlinked { file } => {
                let (file_name, bytes) = (format!("file-{user:05}-{file:05}"), size(user, file));
                let _ = write!(line, r#","fileId":"{file_name}","sizeBytes":{bytes}"#);
                let sign = if matches!(kind, Kind::Linked { .. }) { 1 } else { -1 };
                let megabytes = sign * bytes / 1_000_000;
                let storage = self.expected.storage.entry((user_name.clone(), day.clone())).or_default();
                storage.0 += megabytes * (DAY - second) as i64;
                storage.1 += megabytes;
                let files = self.expected.job_files.entry(job_name).or_default();
                *files.entry(file_name.clone()).or_default() += sign;
                if sign == 1 {
                    let files = self.expected.user_files.entry(user_name).or_default();
                    files.0 = files.0.max(bytes);
                    files.1.insert(file_name);
                    files.2 += 1;
                }
            }
            Kind::Completed { started } => {
                let _ = write!(line, r#","startedTs":{started}"#);
                let month = day.get(..7).unwrap_or_default().to_owned();
                let runtime = self.expected.runtime.entry((user_name, month)).or_default();
                runtime.0 += (time - started) as i64;
                runtime.1 += 1;
            }
            Kind::Created | Kind::Started => {}
        }
        let clock = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        let _ = write!(
            line,
            r#","at":"{day}T{clock}Z","ts":{time},"src":"worker-{:02}.jobs.local","trace":"{:016x}{:016x}"}}"#,
            job % 64,
            draw.next(),
            draw.next()
        );
        self.lines.push(line);
    }
}
