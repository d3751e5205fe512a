"""SQLite: Python's own module, in process; write-ahead log, synced at every commit; live aggregates are triggers."""

import sqlite3
import statistics
import time

from workload import (
    BUILD, COLUMNS, DURABLE, INDEXES, LIVE, REQUEST, VISIBLE, check, check_built, check_live, extra, rows_of
)


class Sqlite:
    """See the header."""

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

    @staticmethod
    def missing():
        return None

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
        count, rows = len(events), rows_of(events)
        one = lambda text, *values: database.execute(text, values).fetchone()  # noqa: E731
        database = self.open("later.db")
        begun = time.perf_counter()
        self.insert(database, rows)
        figures = {DURABLE: count / (time.perf_counter() - begun)}
        begun = time.perf_counter()
        for name, select in INDEXES.items():
            database.execute(f"CREATE TABLE built{name} AS {select}")
        figures[BUILD] = count / (time.perf_counter() - begun)
        check_built(self.name, one, expected)
        database.close()
        database = self.open("live.db")
        database.executescript(self.TRIGGERS)
        begun = time.perf_counter()
        self.insert(database, rows)
        figures[LIVE] = count / (time.perf_counter() - begun)
        check_live(self.name, one, expected)
        times = []
        for n in range(200):
            event = extra(n, expected["hot"])
            begun = time.perf_counter()
            self.insert(database, [tuple(event.get(name) for name in COLUMNS)])
            seen = one("SELECT largest FROM userfiles WHERE userId = ?", expected["hot"])
            times.append(time.perf_counter() - begun)
            check(self.name, seen, (event["sizeBytes"],))
        figures[VISIBLE] = statistics.median(times) * 1e3
        database.close()
        return figures
