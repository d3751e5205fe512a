"""RavenDB over HTTP, with indexes in C#: only where `RAVENDB_URL` names a running server that lets anybody in. Each round
makes two databases of its own there, and removes them.
"""

import http.client
import json
import os
import statistics
import time
import urllib.parse

from workload import BUILD, DURABLE, LIVE, REQUEST, VISIBLE, check, extra

SIGN = '(e.type == "FileLinked" ? 1 : -1)'
MEGABYTES = f"{SIGN} * ((long)e.sizeBytes / 1000000)"
IS_LINK = 'e.type == "FileLinked" || e.type == "FileUnlinked"'
# Name, map and reduce. Texts that look like dates are dates in a map.
INDEXES = (
    ("Runtime",
     'from e in docs.Events where e.type == "JobCompleted" select new { user = e.userId, month = e.at.ToString("yyyy-MM"),'
     " seconds = (long)e.ts - (long)e.startedTs, jobs = 1 }",
     "from r in results group r by new { r.user, r.month } into g select new { user = g.Key.user, month = g.Key.month,"
     " seconds = g.Sum(x => (long)x.seconds), jobs = g.Sum(x => (int)x.jobs) }"),
    ("JobFiles",
     f"from e in docs.Events where {IS_LINK} select new {{ job = e.jobId, file = e.fileId, links = {SIGN} }}",
     "from r in results group r by new { r.job, r.file } into g select new { job = g.Key.job, file = g.Key.file,"
     " links = g.Sum(x => (int)x.links) }"),
    ("Storage",
     f'from e in docs.Events where {IS_LINK} select new {{ user = e.userId, day = e.at.ToString("yyyy-MM-dd"),'
     f" mbs = {MEGABYTES} * (86400 - (long)e.ts % 86400), mb = {MEGABYTES} }}",
     "from r in results group r by new { r.user, r.day } into g select new { user = g.Key.user, day = g.Key.day,"
     " mbs = g.Sum(x => (long)x.mbs), mb = g.Sum(x => (long)x.mb) }"),
    ("UserFiles",
     'from e in docs.Events where e.type == "FileLinked" select new { user = e.userId, largest = (long)e.sizeBytes,'
     " files = new[] { e.fileId }, links = 1 }",
     "from r in results group r by r.user into g select new { user = g.Key, largest = g.Max(x => (long)x.largest),"
     " files = g.SelectMany(x => (IEnumerable<dynamic>)x.files).Distinct(), links = g.Sum(x => (int)x.links) }"),
)


class Ravendb:
    """See the header."""

    name = "RavenDB"

    @staticmethod
    def missing():
        if not os.environ.get("RAVENDB_URL"):
            return "RAVENDB_URL does not name a running server"
        try:
            version = Ravendb(None).version()
        except OSError as error:
            return f"{os.environ['RAVENDB_URL']} does not answer: {error}"
        Ravendb.name = f"RavenDB {version}"
        return None

    def __init__(self, _folder):
        url = urllib.parse.urlsplit(os.environ["RAVENDB_URL"])
        self.connection = http.client.HTTPConnection(url.hostname, url.port or 8080, timeout=600)

    def version(self):
        return self.request("GET", "/build/version")["FullVersion"]

    def request(self, method, path, body=None):
        body = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"RavenDB: {method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text else None

    def make(self, kind):
        self.database = f"magpie-peers-{os.getpid()}-{kind}"
        self.request("PUT", f"/admin/databases?name={self.database}&replicationFactor=1", {"DatabaseName": self.database})

    def remove(self):
        body = {"DatabaseNames": [self.database], "HardDelete": True, "TimeToWaitForConfirmation": "00:00:30"}
        self.request("DELETE", "/admin/databases", body)

    def put(self):
        for name, map_, reduce in INDEXES:
            definition = {"Name": name, "Maps": [map_], "Reduce": reduce}
            self.request("PUT", f"/databases/{self.database}/admin/indexes", {"Indexes": [definition]})

    def insert(self, events, query=""):
        for start in range(0, len(events), REQUEST):
            commands = [
                {"Id": event["id"], "Type": "PUT", "ChangeVector": None,
                 "Document": dict(event, **{"@metadata": {"@collection": "Events"}})}
                for event in events[start : start + REQUEST]
            ]
            self.request("POST", f"/databases/{self.database}/bulk_docs{query}", {"Commands": commands})

    def query(self, text):
        question = {"Query": text, "WaitForNonStaleResults": True, "WaitForNonStaleResultsTimeout": "00:10:00"}
        while True:
            answer = self.request("POST", f"/databases/{self.database}/queries", question)
            if not answer["IsStale"]:
                return answer["Results"]

    def wait(self):
        for name, _, _ in INDEXES:
            self.query(f"from index '{name}' limit 1")

    def check(self, expected):
        runtime, storage = self.query("from index 'Runtime'"), self.query("from index 'Storage'")
        files = self.query("from index 'UserFiles'")
        sums = lambda rows, *fields: tuple(sum(row[field] for row in rows) for field in fields)  # noqa: E731
        check(self.name, sums(runtime, "seconds", "jobs"), expected["runtime"])
        check(self.name, sums(storage, "mbs", "mb"), expected["storage"])
        found = (sum(len(row["files"]) for row in files), *sums(files, "links"))
        check(self.name, found, expected["files"])

    def run(self, events, expected):
        self.make("later")
        try:
            begun = time.perf_counter()
            self.insert(events)
            figures = {DURABLE: len(events) / (time.perf_counter() - begun)}
            begun = time.perf_counter()
            self.put()
            self.wait()
            figures[BUILD] = len(events) / (time.perf_counter() - begun)
            self.check(expected)
        finally:
            self.remove()
        self.make("live")
        try:
            self.put()
            begun = time.perf_counter()
            self.insert(events)
            self.wait()
            figures[LIVE] = len(events) / (time.perf_counter() - begun)
            self.check(expected)
            times = []
            for n in range(50):
                event = extra(n, expected["hot"])
                begun = time.perf_counter()
                self.insert([event], "?waitForIndexesTimeout=00:00:15&waitForSpecificIndex=UserFiles")
                times.append(time.perf_counter() - begun)
            (row,) = self.query(f"from index 'UserFiles' where user = '{expected['hot']}'")
            check(self.name, (row["largest"],), (event["sizeBytes"],))
            figures[VISIBLE] = statistics.median(times) * 1e3
        finally:
            self.remove()
        return figures
