"""Magpie: the server over HTTP, as its users have it."""

import atexit
import http.client
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

from workload import BUILD, DURABLE, INDEXES, LIVE, VISIBLE, check, extra

HERE = pathlib.Path(__file__).parent


class Magpie:
    """See the header."""

    name = "Magpie"

    @staticmethod
    def missing():
        return None

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
