"""What all systems run: the events' columns, the four indexes in SQL, and what must come out."""

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
# What is measured: events per second, and the last in milliseconds.
DURABLE, BUILD, LIVE, VISIBLE = "durable ingest", "build of all four", "ingest with all four live", "insert until visible"
FIGURES = (DURABLE, BUILD, LIVE, VISIBLE)
# Sums over all keys of an index, and the expectation that they meet.
SUMS = {"Runtime": ("sum(seconds), sum(jobs)", "runtime"), "Storage": ("sum(mbs), sum(mb)", "storage"),
        "UserFiles": ("sum(files), sum(links)", "files")}


def extra(n, user):
    """One more link of the user with the most links."""
    return {"id": f"extra-{n}", "type": "FileLinked", "jobId": "job-extra", "userId": user, "fileId": "file-extra",
            "sizeBytes": (2_000 + n) * 1_000_000, "at": "2025-03-01T00:00:00Z", "ts": 1_740_787_200}


def check(who, found, expected):
    if tuple(found) != tuple(expected):
        raise SystemExit(f"{who} gives {found} instead of {expected}")


def check_built(who, one, expected):
    """Checks the tables that were built of the indexes; `one` gives the row that a query answers with."""
    for index, (sums, key) in SUMS.items():
        check(who, one(f"SELECT {sums} FROM built{index}"), expected[key])


def check_live(who, one, expected):
    """The same of the tables that are kept up to date."""
    for index, (sums, key) in SUMS.items():
        check(who, one(f"SELECT {sums} FROM {index.lower()}"), expected[key])


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


def rows_of(events):
    """The events as rows, parsed before any clock starts."""
    return [tuple(event.get(name) for name in COLUMNS) for event in events]
