"""ClickHouse in process (the Python module chdb): typed columns, files synced after each insert. Live aggregates are
materialized views, which see inserts only: an update or a delete would not reach them.
"""

import json
import statistics
import time

from workload import BUILD, COLUMNS, DURABLE, INDEXES, LIVE, LINKS, SIGN, VISIBLE, check, check_built, extra

INTEGERS = ("sizeBytes", "startedTs", "ts")
# Columns that only some events have.
NULLABLE = ("jobId", "userId", "fileId", "sizeBytes", "startedTs")
SYNCED = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
WHOLE = "intDiv(sizeBytes, 1000000)"
# The aggregates of each view: columns of its table, how it merges rows, and its query.
VIEWS = {
    "runtime": ("userId String, month String, seconds Int64, jobs UInt64", "SummingMergeTree ORDER BY (userId, month)",
                "SELECT userId, substr(at, 1, 7) AS month, sum(ts - startedTs) AS seconds, count() AS jobs FROM events"
                " WHERE type = 'JobCompleted' GROUP BY userId, month"),
    "jobfiles": ("jobId String, fileId String, links Int64", "SummingMergeTree ORDER BY (jobId, fileId)",
                 f"SELECT jobId, fileId, sum{SIGN} AS links FROM events WHERE {LINKS} GROUP BY jobId, fileId"),
    "storage": ("userId String, day String, mbs Int64, mb Int64", "SummingMergeTree ORDER BY (userId, day)",
                f"SELECT userId, substr(at, 1, 10) AS day, sum({SIGN} * {WHOLE} * (86400 - ts % 86400)) AS mbs,"
                f" sum({SIGN} * {WHOLE}) AS mb FROM events WHERE {LINKS} GROUP BY userId, day"),
    "userfiles": ("userId String, largest SimpleAggregateFunction(max, Int64), files AggregateFunction(uniqExact, String),"
                  " links SimpleAggregateFunction(sum, UInt64)", "AggregatingMergeTree ORDER BY userId",
                  "SELECT userId, max(sizeBytes) AS largest, uniqExactState(assumeNotNull(fileId)) AS files, count() AS links"
                  " FROM events WHERE type = 'FileLinked' GROUP BY userId"),
}


class Clickhouse:
    """See the header."""

    name = "ClickHouse"

    @staticmethod
    def missing():
        try:
            import chdb  # noqa: F401
        except ImportError:
            return "the Python module chdb is not installed"
        return None

    def __init__(self, folder):
        self.folder = folder

    def one(self, text):
        """The first row of an answer, as numbers."""
        rows = str(self.session.query(text, "JSONCompact"))
        return tuple(map(int, json.loads(rows)["data"][0]))

    def table(self, name):
        kind = lambda column: "Int64" if column in INTEGERS else "String"  # noqa: E731
        of = lambda column: f"Nullable({kind(column)})" if column in NULLABLE else kind(column)  # noqa: E731
        self.structure = ", ".join(f"{column} {of(column)}" for column in COLUMNS)
        self.session.query(f"CREATE DATABASE {name}")
        self.session.query(f"USE {name}")
        self.session.query(f"CREATE TABLE events({self.structure}) ENGINE = MergeTree ORDER BY id {SYNCED}")

    def insert(self, path):
        self.session.query(f"INSERT INTO events SELECT * FROM file('{path}', JSONEachRow, '{self.structure}')")

    def run(self, events, expected):
        import chdb
        from chdb import session

        Clickhouse.name = f"ClickHouse (chdb {chdb.__version__})"
        lines = self.folder / "events.ndjson"
        lines.write_text("".join(json.dumps(event) + "\n" for event in events))
        self.session = session.Session(str(self.folder / "click"))
        try:
            return self.measure(events, expected, lines)
        finally:
            self.session.close()

    def measure(self, events, expected, lines):
        count = len(events)
        self.table("later")
        begun = time.perf_counter()
        self.insert(lines)
        figures = {DURABLE: count / (time.perf_counter() - begun)}
        begun = time.perf_counter()
        for name, select in INDEXES.items():
            select = select.replace("sizeBytes / 1000000", WHOLE)
            self.session.query(f"CREATE TABLE built{name} ENGINE = MergeTree ORDER BY tuple() {SYNCED} AS {select}")
        figures[BUILD] = count / (time.perf_counter() - begun)
        check_built(self.name, self.one, expected)
        self.table("live")
        for name, (columns, engine, select) in VIEWS.items():
            self.session.query(f"CREATE TABLE {name}({columns}) ENGINE = {engine} {SYNCED}")
            self.session.query(f"CREATE MATERIALIZED VIEW to_{name} TO {name} AS {select}")
        begun = time.perf_counter()
        self.insert(lines)
        figures[LIVE] = count / (time.perf_counter() - begun)
        check(self.name, self.one("SELECT sum(seconds), sum(jobs) FROM runtime"), expected["runtime"])
        check(self.name, self.one("SELECT sum(mbs), sum(mb) FROM storage"), expected["storage"])
        merged = "SELECT userId, uniqExactMerge(files) AS files, sum(links) AS links FROM userfiles GROUP BY userId"
        check(self.name, self.one(f"SELECT sum(files), sum(links) FROM ({merged})"), expected["files"])
        times = []
        for n in range(200):
            event = extra(n, expected["hot"])
            begun = time.perf_counter()
            self.session.query(f"INSERT INTO events FORMAT JSONEachRow {json.dumps(event)}")
            seen = self.one(f"SELECT max(largest) FROM userfiles WHERE userId = '{expected['hot']}'")
            times.append(time.perf_counter() - begun)
            check(self.name, seen, (event["sizeBytes"],))
        figures[VISIBLE] = statistics.median(times) * 1e3
        return figures
