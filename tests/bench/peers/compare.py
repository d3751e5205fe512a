#!/usr/bin/env python3
"""Magpie and its peers on the common workload, alternating in one run: one table of medians and ratios.

    tests/bench/peers/run [EVENTS] [ROUNDS]

Each round runs every system once, one after the other, on the same events: so what else happens on the machine meets
all of them alike. A figure is only printed when the results are right. Peers: SQLite (Python's own module, in process,
write-ahead log, synced at every commit) and, where it can be installed, DuckDB (in process). Their rows are parsed into
columns before the clock starts, which Magpie has to do while it runs.
"""

import atexit
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
REQUEST = 1_000
COLUMNS = ("id", "type", "jobId", "userId", "fileId", "sizeBytes", "startedTs", "at", "ts", "src", "trace")
LINKS = "type IN ('FileLinked', 'FileUnlinked')"
SIGN = "(CASE type WHEN 'FileLinked' THEN 1 ELSE -1 END)"
# The four indexes in SQL: name, key columns, select.
INDEXES = {
    "Runtime": "SELECT userId, substr(at, 1, 7) AS month, sum(ts - startedTs) AS seconds, count(*) AS jobs FROM events"
    " WHERE type = 'JobCompleted' GROUP BY userId, month",
    "JobFiles": f"SELECT jobId, fileId, sum{SIGN} AS links FROM events WHERE {LINKS} GROUP BY jobId, fileId",
    "Storage": f"SELECT userId, substr(at, 1, 10) AS day, sum({SIGN} * (sizeBytes / 1000000) * (86400 - ts % 86400)) AS mbs,"
    f" sum({SIGN} * (sizeBytes / 1000000)) AS mb FROM events WHERE {LINKS} GROUP BY userId, day",
    "UserFiles": "SELECT userId, max(sizeBytes) AS largest, count(DISTINCT fileId) AS files, count(*) AS links FROM events"
    " WHERE type = 'FileLinked' GROUP BY userId",
}
DURABLE, BUILD, LIVE, VISIBLE = "durable ingest", "build of all four", "ingest with all four live", "insert until visible"
FIGURES = (DURABLE, BUILD, LIVE, VISIBLE)


class Sqlite:
    """Python's SQLite module; live indexes are triggers."""

    name = f"SQLite {sqlite3.sqlite_version}"
    # A trigger for each index keeps the same aggregates; files of a job and of a user are rows of their own.
    TRIGGERS = """
        CREATE TABLE runtime(userId, month, seconds, jobs, PRIMARY KEY(userId, month)) WITHOUT ROWID;
        CREATE TABLE jobfiles(jobId, fileId, links, PRIMARY KEY(jobId, fileId)) WITHOUT ROWID;
        CREATE TABLE storage(userId, day, mbs, mb, PRIMARY KEY(userId, day)) WITHOUT ROWID;
        CREATE TABLE userfile(userId, fileId, links, PRIMARY KEY(userId, fileId)) WITHOUT ROWID;
        CREATE TABLE userfiles(userId PRIMARY KEY, largest, files, links) WITHOUT ROWID;
        CREATE TRIGGER completed AFTER INSERT ON events WHEN NEW.type = 'JobCompleted' BEGIN
          INSERT INTO runtime VALUES (NEW.userId, substr(NEW.at, 1, 7), NEW.ts - NEW.startedTs, 1)
            ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds, jobs = jobs + 1;
        END;
        CREATE TRIGGER links AFTER INSERT ON events WHEN NEW.type IN ('FileLinked', 'FileUnlinked') BEGIN
          INSERT INTO jobfiles VALUES (NEW.jobId, NEW.fileId, CASE NEW.type WHEN 'FileLinked' THEN 1 ELSE -1 END)
            ON CONFLICT DO UPDATE SET links = links + excluded.links;
          INSERT INTO storage VALUES (NEW.userId, substr(NEW.at, 1, 10),
              CASE NEW.type WHEN 'FileLinked' THEN 1 ELSE -1 END * (NEW.sizeBytes / 1000000) * (86400 - NEW.ts % 86400),
              CASE NEW.type WHEN 'FileLinked' THEN 1 ELSE -1 END * (NEW.sizeBytes / 1000000))
            ON CONFLICT DO UPDATE SET mbs = mbs + excluded.mbs, mb = mb + excluded.mb;
        END;
        CREATE TRIGGER linked AFTER INSERT ON events WHEN NEW.type = 'FileLinked' BEGIN
          INSERT INTO userfiles VALUES (NEW.userId, NEW.sizeBytes,
              NOT EXISTS (SELECT 1 FROM userfile WHERE userId = NEW.userId AND fileId = NEW.fileId), 1)
            ON CONFLICT DO UPDATE SET largest = max(largest, excluded.largest), files = files + excluded.files,
              links = links + 1;
          INSERT INTO userfile VALUES (NEW.userId, NEW.fileId, 1) ON CONFLICT DO UPDATE SET links = links + 1;
        END;
    """

    def __init__(self, folder):
        self.folder = folder

    def open(self, name):
        database = sqlite3.connect(self.folder / name, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -65536"):
            database.execute(f"PRAGMA {pragma}")
        types = ("TEXT PRIMARY KEY", "", "", "", "", "INTEGER", "INTEGER", "", "INTEGER", "", "")
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, types))
        database.execute(f"CREATE TABLE events({columns})")
        return database

    def insert(self, database, rows):
        places = ", ".join("?" for _ in COLUMNS)
        for start in range(0, len(rows), REQUEST):
            database.execute("BEGIN")
            database.executemany(f"INSERT INTO events VALUES ({places})", rows[start : start + REQUEST])
            database.execute("COMMIT")

    def run(self, events, expected):
        count, rows = len(events), [tuple(event.get(name) for name in COLUMNS) for event in events]
        database = self.open("later.db")
        begun = time.perf_counter()
        self.insert(database, rows)
        figures = {DURABLE: count / (time.perf_counter() - begun)}
        begun = time.perf_counter()
        for name, select in INDEXES.items():
            database.execute(f"CREATE TABLE built{name} AS {select}")
        figures[BUILD] = count / (time.perf_counter() - begun)
        found = database.execute("SELECT sum(seconds), sum(jobs) FROM builtRuntime").fetchone()
        check(self.name, found, expected["runtime"])
        check(self.name, database.execute("SELECT sum(mbs), sum(mb) FROM builtStorage").fetchone(), expected["storage"])
        check(self.name, database.execute("SELECT sum(files), sum(links) FROM builtUserFiles").fetchone(), expected["files"])
        database.close()
        database = self.open("live.db")
        database.executescript(self.TRIGGERS)
        begun = time.perf_counter()
        self.insert(database, rows)
        figures[LIVE] = count / (time.perf_counter() - begun)
        check(self.name, database.execute("SELECT sum(files), sum(links) FROM userfiles").fetchone(), expected["files"])
        times = []
        for n in range(200):
            event = extra(n, expected["hot"])
            begun = time.perf_counter()
            self.insert(database, [tuple(event.get(name) for name in COLUMNS)])
            seen = database.execute("SELECT largest FROM userfiles WHERE userId = ?", (expected["hot"],)).fetchone()
            times.append(time.perf_counter() - begun)
            check(self.name, seen, (event["sizeBytes"],))
        figures[VISIBLE] = statistics.median(times) * 1e3
        database.close()
        return figures


class Duckdb:
    """DuckDB in process: it has no live aggregates, so only what it does is measured."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, events, expected):
        import duckdb

        Duckdb.name = f"DuckDB {duckdb.__version__}"
        lines = self.folder / "events.ndjson"
        if not lines.exists():
            lines.write_text("".join(json.dumps(event) + "\n" for event in events))
        numbers = ("sizeBytes", "startedTs", "ts")
        columns = ", ".join(f"'{name}': '{'BIGINT' if name in numbers else 'VARCHAR'}'" for name in COLUMNS)
        database = duckdb.connect(str(self.folder / "duck.db"), config={"threads": 2})
        begun = time.perf_counter()
        database.execute(f"CREATE TABLE events AS SELECT * FROM read_json('{lines}', format='newline_delimited',"
                         " columns={" + columns + "})")
        database.execute("CHECKPOINT")
        figures = {DURABLE: len(events) / (time.perf_counter() - begun)}
        begun = time.perf_counter()
        for name, select in INDEXES.items():
            select = select.replace("sizeBytes / 1000000", "sizeBytes // 1000000").replace("(at,", '("at",')
            database.execute(f"CREATE TABLE built{name} AS {select}")
        figures[BUILD] = len(events) / (time.perf_counter() - begun)
        found = database.execute("SELECT sum(seconds), sum(jobs) FROM builtRuntime").fetchone()
        check(self.name, tuple(map(int, found)), expected["runtime"])
        database.close()
        return figures


class Magpie:
    """The server over HTTP, as its users have it."""

    name = "Magpie"

    def __init__(self, folder):
        self.folder = folder
        text = (HERE.parent / "workload" / "indexes.rs").read_text()
        self.indexes = re.findall(r'\[\n\s+"(\w+)",\n\s+"(map\(.*?\}\))",\n\s+"(groupBy.*?\}\))",\n\s+\]', text, re.S)
        assert [name for name, _, _ in self.indexes] == list(INDEXES), self.indexes

    def start(self, name):
        command = [os.environ["MAGPIE"], "serve", "--listen", "127.0.0.1:0", "--data", str(self.folder / name)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        # Also when a check ends this process.
        atexit.register(self.process.kill)
        for line in self.process.stdout:
            if line.startswith("Server available on: "):
                self.address = line.split("//")[1].strip().rstrip("/")
                self.connection = http.client.HTTPConnection(self.address, timeout=600)
                return
        raise SystemExit("the server did not start")

    def stop(self):
        self.connection.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def request(self, method, path, body=None, kind="application/json"):
        body = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        self.connection.request(method, f"/databases/magpie{path}", body, {"Content-Type": kind})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text else None

    def insert(self, body):
        self.request("POST", "/docs/ndjson?collection=Events&onError=skip", body, "application/x-ndjson")

    def put(self):
        for name, map_, reduce in self.indexes:
            definition = {"Name": name, "Maps": [map_], "Reduce": reduce,
                          "Configuration": {"Magpie.Tier": "auto", "Magpie.Laws": "off"}}
            self.request("PUT", "/indexes", {"Indexes": [definition]})

    def query(self, text):
        question = {"Query": text, "WaitForNonStaleResults": True, "WaitForNonStaleResultsTimeout": "00:10:00"}
        while True:
            answer = self.request("POST", "/queries", question)
            if not answer["IsStale"]:
                return answer["Results"]

    def wait(self):
        for name, _, _ in self.indexes:
            self.query(f"from index '{name}' limit 1")

    def sums(self, index, *fields):
        (row,) = self.query(f"from index '{index}' reduce")
        return tuple(row[field] for field in fields)

    def run(self, events, expected):
        count = len(events)
        body = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events).encode()
        self.start("later")
        begun = time.perf_counter()
        self.insert(body)
        figures = {DURABLE: count / (time.perf_counter() - begun)}
        begun = time.perf_counter()
        self.put()
        self.wait()
        figures[BUILD] = count / (time.perf_counter() - begun)
        check(self.name, self.sums("Runtime", "seconds", "jobs"), expected["runtime"])
        check(self.name, self.sums("Storage", "mbSeconds", "mb"), expected["storage"])
        self.stop()
        self.start("live")
        self.put()
        begun = time.perf_counter()
        self.insert(body)
        self.wait()
        figures[LIVE] = count / (time.perf_counter() - begun)
        check(self.name, self.sums("Runtime", "seconds", "jobs"), expected["runtime"])
        times = []
        for n in range(200):
            event = extra(n, expected["hot"])
            document = dict(event, **{"@metadata": {"@collection": "Events"}})
            command = {"Id": event["id"], "Type": "PUT", "ChangeVector": None, "Document": document}
            path = "/bulk_docs?waitForIndexesTimeout=00:00:15&waitForSpecificIndex=UserFiles"
            begun = time.perf_counter()
            self.request("POST", path, {"Commands": [command]})
            times.append(time.perf_counter() - begun)
        (row,) = self.query(f"from index 'UserFiles' where user = '{expected['hot']}'")
        check(self.name, (row["largest"],), (event["sizeBytes"],))
        figures[VISIBLE] = statistics.median(times) * 1e3
        self.stop()
        return figures


def extra(n, user):
    """One more link of the user with the most links."""
    return {"id": f"extra-{n}", "type": "FileLinked", "jobId": "job-extra", "userId": user, "fileId": "file-extra",
            "sizeBytes": (2_000 + n) * 1_000_000, "at": "2025-03-01T00:00:00Z", "ts": 1_740_787_200}


def check(who, found, expected):
    if tuple(found) != tuple(expected):
        raise SystemExit(f"{who} gives {found} instead of {expected}")


def expectations(events):
    """Sums over all keys, by a plain loop."""
    runtime, storage, files, links = [0, 0], [0, 0], set(), {}
    for event in events:
        if event["type"] == "JobCompleted":
            runtime[0] += event["ts"] - event["startedTs"]
            runtime[1] += 1
        elif "fileId" in event:
            megabytes = event["sizeBytes"] // 1_000_000 * (1 if event["type"] == "FileLinked" else -1)
            storage[0] += megabytes * (86_400 - event["ts"] % 86_400)
            storage[1] += megabytes
            if event["type"] == "FileLinked":
                files.add((event["userId"], event["fileId"]))
                links[event["userId"]] = links.get(event["userId"], 0) + 1
    return {"runtime": tuple(runtime), "storage": tuple(storage), "files": (len(files), sum(links.values())),
            "hot": max(links, key=links.get)}


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    events = [json.loads(line) for line in open(sys.argv[1])]
    expected = expectations(events)
    systems = [Magpie, Sqlite]
    try:
        import duckdb  # noqa: F401
        systems.append(Duckdb)
    except ImportError:
        print("DuckDB is not installed: left out", file=sys.stderr)
    measured = {system: {figure: [] for figure in FIGURES} for system in systems}
    for number in range(rounds):
        for system in systems:
            folder = pathlib.Path(tempfile.mkdtemp(prefix="magpie-peers-"))
            try:
                for figure, value in system(folder).run(events, expected).items():
                    measured[system][figure].append(value)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            print(f"round {number + 1}: {system.name}", file=sys.stderr)
    names = [system.name for system in systems]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{len(events)} events, median of {rounds} rounds, load average at the end {load}\n")
    print("| | " + " | ".join(names) + " | " + " | ".join(f"Magpie to {name}" for name in names[1:]) + " |")
    print("|---|" + "---|" * (2 * len(names) - 1))
    for figure in FIGURES:
        medians = [statistics.median(measured[system][figure] or [0]) for system in systems]
        unit = "ms" if figure == VISIBLE else "events/s"
        shown = [f"{value:,.2f} {unit}" if unit == "ms" else f"{value:,.0f} {unit}" for value in medians]
        ratios = []
        for value in medians[1:]:
            ratio = (value / medians[0] if unit == "ms" else medians[0] / value) if value else 0
            ratios.append(f"{ratio:.2f} x" if value else "-")
        print(f"| {figure} | " + " | ".join(s if v else "-" for s, v in zip(shown, medians)) + " | " + " | ".join(ratios) + " |")


main()
