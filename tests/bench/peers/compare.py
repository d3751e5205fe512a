#!/usr/bin/env python3
"""Magpie and its peers on the common workload, alternating in one run: one table of medians and ratios.

    tests/bench/peers/run [EVENTS] [ROUNDS]

Each round runs every system once, one after the other, on the same events: so what else happens on the machine meets
all of them alike. A figure is only printed when the results are right. Peers: SQLite and, where they can be had,
PostgreSQL, DuckDB, ClickHouse and RavenDB; each file says how. A peer that cannot be had is left out with a reason.
Rows of SQLite and PostgreSQL are parsed into columns before the clock starts, which the others do while it runs.
"""

import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

from magpie import Magpie
from peer_clickhouse import Clickhouse
from peer_duckdb import Duckdb
from peer_postgres import Postgres
from peer_ravendb import Ravendb
from peer_sqlite import Sqlite
from workload import FIGURES, VISIBLE, expectations

PEERS = (Sqlite, Postgres, Duckdb, Clickhouse, Ravendb)


def load():
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def measure(systems, events, rounds):
    """The figures of each system, a list of rounds for each."""
    expected = expectations(events)
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
    return measured


def table(systems, measured):
    names = [system.name for system in systems]
    ratios_to = " | ".join(f"Magpie to {name}" for name in names[1:])
    yield f"| | {' | '.join(names)} | {ratios_to} |"
    yield "|---|" + "---|" * (2 * len(names) - 1)
    for figure in FIGURES:
        is_time = figure == VISIBLE
        medians = [statistics.median(measured[system][figure] or [0]) for system in systems]
        shown = [f"{value:,.2f} ms" if is_time else f"{value:,.0f} events/s" for value in medians]
        ratio = lambda value: value / medians[0] if is_time else medians[0] / value  # noqa: E731
        cells = [text if value else "-" for text, value in zip(shown, medians)]
        cells += [f"{ratio(value):.2f} x" if value else "-" for value in medians[1:]]
        yield f"| {figure} | {' | '.join(cells)} |"


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with open(sys.argv[1]) as lines:
        events = [json.loads(line) for line in lines]
    missing = {peer: peer.missing() for peer in PEERS}
    systems = [Magpie] + [peer for peer in PEERS if not missing[peer]]
    before = load()
    measured = measure(systems, events, rounds)
    print(f"{len(events)} events, median of {rounds} rounds, load average before {before}, at the end {load()}\n")
    for line in table(systems, measured):
        print(line)
    for peer, reason in missing.items():
        if reason:
            print(f"\n{peer.name} was left out: {reason}.")


main()
