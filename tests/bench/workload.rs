//! Four indexes over the events of a job service as users write them: plain loops, helpers of additional sources, sets.

use std::collections::BTreeMap;

/// The scripts of one index.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Its map.
    pub map: &'static str,
    /// Its reduce.
    pub reduce: &'static str,
}

/// The helpers of the indexes.
const HELPERS: &str = r"
function netLinks(values) {
  var net = {}, kept = [];
  for (var i = 0; i < values.length; i++) {
    var links = values[i].files;
    for (var j = 0; j < links.length; j++) net[links[j].f] = (net[links[j].f] || 0) + links[j].c;
  }
  for (var file in net) { if (net[file] !== 0) kept.push({ f: file, c: net[file] }); }
  return kept;
}
function distinct(values) {
  var seen = {}, kept = [];
  for (var i = 0; i < values.length; i++) {
    var files = values[i].files;
    for (var j = 0; j < files.length; j++) {
      var file = files[j];
      if (seen[file] !== 1) { seen[file] = 1; kept.push(file); }
    }
  }
  return kept;
}";

/// The indexes.
pub const INDEXES: [Workload; 4] = [
    Workload {
        name: "Runtime",
        map: "map('Events', function (e) { if (e.type !== 'JobCompleted') return null; \
              return { user: e.userId, month: e.at.substr(0, 7), secs: e.ts - e.startedTs, n: 1 }; })",
        reduce: "groupBy(function (x) { return { user: x.user, month: x.month }; }).aggregate(function (g) { \
                 var secs = 0, n = 0; \
                 for (var i = 0; i < g.values.length; i++) { secs += g.values[i].secs; n += g.values[i].n; } \
                 return { user: g.key.user, month: g.key.month, secs: secs, n: n }; })",
    },
    Workload {
        name: "JobLinks",
        map: "map('Events', function (e) { if (e.type === 'FileLinked') return { job: e.jobId, files: [{ f: e.fileId, c: 1 }] }; \
              if (e.type === 'FileUnlinked') return { job: e.jobId, files: [{ f: e.fileId, c: -1 }] }; return null; })",
        reduce: "groupBy(x => x.job).aggregate(g => ({ job: g.key, files: netLinks(g.values) }))",
    },
    Workload {
        name: "StorageSeconds",
        map: "map('Events', function (e) { if (e.type !== 'FileLinked' && e.type !== 'FileUnlinked') return null; \
              var mb = (e.type === 'FileLinked' ? 1 : -1) * e.sizeBytes / 1000000; \
              return { user: e.userId, day: e.at.substr(0, 10), mbs: mb * (86400 - e.ts % 86400), mb: mb }; })",
        reduce: "groupBy(function (x) { return { user: x.user, day: x.day }; }).aggregate(function (g) { \
                 var mbs = 0, mb = 0; \
                 for (var i = 0; i < g.values.length; i++) { mbs += g.values[i].mbs; mb += g.values[i].mb; } \
                 return { user: g.key.user, day: g.key.day, mbs: mbs, mb: mb }; })",
    },
    Workload {
        name: "UserFiles",
        map: "map('Events', function (e) { if (e.type !== 'FileLinked') return null; \
              return { user: e.userId, maxSize: e.sizeBytes, files: [e.fileId], distinctFiles: 1, n: 1 }; })",
        reduce: "groupBy(x => x.user).aggregate(g => { var files = distinct(g.values); return { user: g.key, \
                 maxSize: g.values.reduce((most, v) => v.maxSize > most ? v.maxSize : most, 0), files: files, \
                 distinctFiles: files.length, n: g.values.reduce((sum, v) => sum + v.n, 0) }; })",
    },
];

/// The additional sources of the indexes.
pub fn sources() -> BTreeMap<String, String> {
    BTreeMap::from([("helpers.js".to_owned(), HELPERS.to_owned())])
}

/// Events of one job after the other: of ten events seven are links, one is an unlink, two begin and end the job.
pub fn events() -> Vec<String> {
    let event = |n: u32| {
        let (kind, more) = match n % 10 {
            0 => ("JobStarted", String::new()),
            9 => ("JobCompleted", format!(r#","startedTs":{}"#, 1_735_690_000 + n * 60)),
            place => {
                let kind = if place == 8 { "FileUnlinked" } else { "FileLinked" };
                let file = if place == 8 { n - 1 } else { n };
                (
                    kind,
                    format!(
                        r#","fileId":"file-00001-{file:05}","sizeBytes":{}000000"#,
                        1 + file * 7919 % 1000
                    ),
                )
            }
        };
        let (job, second) = (n / 10, n % 60);
        format!(
            r#"{{"id":"ev-{n:09}","type":"{kind}","jobId":"job-{job:07}","userId":"user-00001"{more},"at":"2025-01-01T08:30:{second:02}Z","ts":{},"src":"worker-{:02}.jobs.local","trace":"{:032x}"}}"#,
            1_735_691_000 + n * 60,
            job % 64,
            u128::from(n) * 0x9e37_79b9_7f4a_7c15_f39c_c060
        )
    };
    (0..640).map(event).collect()
}
