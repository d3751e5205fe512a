"""PostgreSQL: a cluster of its own in a temporary folder, over a Unix socket; `synchronous_commit` on, rows by COPY, a
transaction for each thousand. Live aggregates are kept by triggers for each statement, set by set.

It needs PostgreSQL's programs (Debian: `apt-get install postgresql`) and the Python module psycopg. PostgreSQL refuses to
run as root; root runs it as the user `postgres` that its package makes.
"""

import glob
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from workload import (
    BUILD, COLUMNS, DURABLE, INDEXES, LIVE, REQUEST, SIGN, VISIBLE, check, check_built, check_live, extra, rows_of
)

INTEGERS = ("sizeBytes", "startedTs", "ts")
SETTINGS = {"listen_addresses": "''", "synchronous_commit": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}
LINKED = "FROM new WHERE type IN ('FileLinked', 'FileUnlinked')"
# Aggregates of the new rows are added to those that are there; files of a user are rows of their own.
TRIGGERS = f"""
    CREATE TABLE runtime(userId text, month text, seconds bigint, jobs bigint, PRIMARY KEY (userId, month));
    CREATE TABLE jobfiles(jobId text, fileId text, links bigint, PRIMARY KEY (jobId, fileId));
    CREATE TABLE storage(userId text, day text, mbs bigint, mb bigint, PRIMARY KEY (userId, day));
    CREATE TABLE userfile(userId text, fileId text, links bigint, PRIMARY KEY (userId, fileId));
    CREATE TABLE userfiles(userId text PRIMARY KEY, largest bigint, files bigint, links bigint);
    CREATE FUNCTION aggregate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO runtime AS kept SELECT userId, substr(at, 1, 7), sum(ts - startedTs), count(*) FROM new
          WHERE type = 'JobCompleted' GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (userId, month) DO UPDATE SET seconds = kept.seconds + excluded.seconds, jobs = kept.jobs + excluded.jobs;
      INSERT INTO jobfiles AS kept SELECT jobId, fileId, sum{SIGN} {LINKED} GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (jobId, fileId) DO UPDATE SET links = kept.links + excluded.links;
      INSERT INTO storage AS kept SELECT userId, substr(at, 1, 10),
          sum({SIGN} * (sizeBytes / 1000000) * (86400 - ts % 86400)), sum({SIGN} * (sizeBytes / 1000000)) {LINKED}
          GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (userId, day) DO UPDATE SET mbs = kept.mbs + excluded.mbs, mb = kept.mb + excluded.mb;
      -- A row that was not there has no older version: its xmax is 0.
      WITH touched AS (INSERT INTO userfile AS kept SELECT userId, fileId, count(*) FROM new WHERE type = 'FileLinked'
          GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (userId, fileId) DO UPDATE SET links = kept.links + excluded.links
        RETURNING userId, (xmax = 0)::int AS fresh),
      found AS (SELECT userId, sum(fresh) AS files FROM touched GROUP BY 1)
      INSERT INTO userfiles AS kept SELECT userId, max(sizeBytes), max(found.files), count(*)
          FROM new JOIN found USING (userId) WHERE type = 'FileLinked' GROUP BY 1 ORDER BY 1
        ON CONFLICT (userId) DO UPDATE SET largest = greatest(kept.largest, excluded.largest),
          files = kept.files + excluded.files, links = kept.links + excluded.links;
      RETURN NULL;
    END $$;
    CREATE TRIGGER aggregate AFTER INSERT ON events REFERENCING NEW TABLE AS new FOR EACH STATEMENT
      EXECUTE FUNCTION aggregate();
"""


def programs():
    """The folder of PostgreSQL's programs, the newest; none if there is none."""
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).parent
    versions = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    return pathlib.Path(max(versions, key=lambda path: float(path.split("/")[4]))).parent if versions else None


class Postgres:
    """See the header."""

    name = "PostgreSQL"

    @staticmethod
    def missing():
        try:
            import psycopg  # noqa: F401
        except ImportError:
            return "the Python module psycopg is not installed"
        if not programs():
            return "its programs are not installed (Debian: apt-get install postgresql)"
        if os.getuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True).returncode:
            return "there is no user postgres for root to run it as"
        return None

    def __init__(self, _folder):
        # Of its own, as another user has to reach it, and a socket's path is short.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="magpie-pg-", dir="/tmp"))
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")

    def call(self, program, *arguments):
        command = [*self.user, str(programs() / program), *map(str, arguments)]
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{program}: {done.stderr[-500:]}")

    def start(self):
        data = self.folder / "data"
        self.call("initdb", "-D", data, "-U", "magpie", "-A", "trust", "-E", "UTF8", "--locale=C")
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        self.call("pg_ctl", "-D", data, "-w", "-l", self.folder / "log", "-o", f"-k {self.folder} {options}", "start")

    def stop(self):
        self.call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def open(self, name):
        import psycopg

        connect = lambda database: psycopg.connect(  # noqa: E731
            host=str(self.folder), user="magpie", dbname=database, autocommit=True)
        with connect("postgres") as first:
            Postgres.name = f"PostgreSQL {first.info.server_version // 10000}"
            first.execute(f"CREATE DATABASE {name}")
        database = connect(name)
        kinds = {"id": "text PRIMARY KEY", **{column: "bigint" for column in INTEGERS}}
        columns = ", ".join(f"{column} {kinds.get(column, 'text')}" for column in COLUMNS)
        database.execute(f"CREATE TABLE events({columns})")
        return database

    def insert(self, database, rows):
        for start in range(0, len(rows), REQUEST):
            with database.cursor().copy(f"COPY events({', '.join(COLUMNS)}) FROM STDIN") as copy:
                for row in rows[start : start + REQUEST]:
                    copy.write_row(row)

    def run(self, events, expected):
        try:
            self.start()
            try:
                return self.measure(events, expected)
            finally:
                self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def measure(self, events, expected):
        count, rows = len(events), rows_of(events)
        one = lambda text, *values: database.execute(text, values).fetchone()  # noqa: E731
        database = self.open("later")
        begun = time.perf_counter()
        self.insert(database, rows)
        figures = {DURABLE: count / (time.perf_counter() - begun)}
        begun = time.perf_counter()
        for name, select in INDEXES.items():
            database.execute(f"CREATE TABLE built{name} AS {select}")
        figures[BUILD] = count / (time.perf_counter() - begun)
        check_built(self.name, one, expected)
        database.close()
        database = self.open("live")
        database.execute(TRIGGERS)
        begun = time.perf_counter()
        self.insert(database, rows)
        figures[LIVE] = count / (time.perf_counter() - begun)
        check_live(self.name, one, expected)
        times = []
        for n in range(200):
            event = extra(n, expected["hot"])
            begun = time.perf_counter()
            self.insert(database, rows_of([event]))
            seen = one("SELECT largest FROM userfiles WHERE userId = %s", expected["hot"])
            times.append(time.perf_counter() - begun)
            check(self.name, seen, (event["sizeBytes"],))
        figures[VISIBLE] = statistics.median(times) * 1e3
        database.close()
        return figures
