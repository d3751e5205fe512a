"""DuckDB in process: it has no live aggregates, so only what it does is measured."""

import json
import time

from workload import BUILD, COLUMNS, DURABLE, INDEXES, check_built


class Duckdb:
    """See the header."""

    name = "DuckDB"

    @staticmethod
    def missing():
        try:
            import duckdb  # noqa: F401
        except ImportError:
            return "the Python module duckdb is not installed"
        return None

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
        check_built(self.name, lambda text: map(int, database.execute(text).fetchone()), expected)
        database.close()
        return figures
