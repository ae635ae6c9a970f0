#!/usr/bin/env python3
"""A query sees one state of a file that is being written, from its first row to its last.

snapshot.py EXTENSION BASALT

A recorder appends the rows (i, i as text), i = 0, 1, 2 …, and checkpoints several times a second. While it does:
  streams   a query whose rows are fetched one part after the other, with checkpoints in between, ends where the
            file ended when it began, and has every row before that once
  threads   a query that is slow on purpose, on four threads, counts what it also adds up
  twice     a file that is named twice in a query is opened twice, and may show two states, each of them whole;
            behind WITH … AS MATERIALIZED it is one
A round in which the file did not change meanwhile shows nothing: there must be some in which it did."""
import sys
import tempfile
import time
from pathlib import Path

import duckdb

import many_queries

ROUNDS, ROWS_FIRST, WAIT_S = 6, 30_000, 60
many_queries.BATCH_ROWS = 500
FAULTS, CHANGED = [], {"streams": 0, "threads": 0, "twice": 0}


def check(what, right, *found):
    if not right:
        FAULTS.append(f"{what}: {found}")


def total_of(rows):
    return rows * (rows - 1) // 2


class Live:
    def __init__(self, con, path):
        self.con, self.path = con, path
        self.table = f"read_hdf5('{path}', 'live')"

    def rows(self):
        """Of the last checkpoint."""
        found = self.con.execute(f"SELECT rows FROM basalt_families('{self.path}')").fetchall()
        return found[0][0] if found else 0

    def wait_for_more_than(self, rows):
        end = time.monotonic() + WAIT_S
        while self.rows() <= rows:
            if time.monotonic() > end:
                sys.exit(f"there is no checkpoint with more than {rows} rows within {WAIT_S} s")
            time.sleep(0.02)


def check_streams(con, live):
    con.execute("SET streaming_buffer_size = '100KB'")
    before = live.rows()
    result = con.execute(f"SELECT i, text FROM {live.table}")
    rows = result.fetchmany(100)
    while part := result.fetchmany(20_000):
        if len(rows) == 100 or len(rows) == 20_100:  # twice the file goes on, while there is more to fetch
            live.wait_for_more_than(live.rows())
        rows += part
    CHANGED["streams"] += live.rows() > len(rows)
    check("streams: it begins at the last checkpoint", len(rows) >= before, len(rows), before)
    check("streams: every row once, in order", all(row == (i, str(i)) for i, row in enumerate(rows)), rows[-1])


def check_threads(con, live):
    con.execute("SET threads = 4")
    before = live.rows()
    count, last, total, texts, wrong = con.execute(
        f"SELECT count(*), max(i), sum(i), sum(text::BIGINT), count(*) FILTER (text <> i::VARCHAR) FROM {live.table} "
        "WHERE list_sum([sqrt(i + k) FOR k IN range(400)]) > 0").fetchone()
    after = live.rows()
    CHANGED["threads"] += after > before
    check("threads: a state that there was", before <= count <= after, before, count, after)
    check("threads: it is whole", (last, total, texts, wrong) == (count - 1, total_of(count), total_of(count), 0),
          count, last, total, texts, wrong)


def check_twice(con, live):
    one, other, total, other_total = con.execute(
        f"SELECT (SELECT count(*) FROM {live.table}), (SELECT count(*) FROM {live.table}), "
        f"(SELECT sum(i) FROM {live.table}), (SELECT sum(text::BIGINT) FROM {live.table})").fetchone()
    wholes = {total_of(rows) for rows in range(one, live.rows() + 1)}
    check("twice: each state is whole", other >= one and {total, other_total} <= wholes, one, other, total, other_total)
    before = live.rows()
    one, other, total, pairs = con.execute(
        f"WITH live AS MATERIALIZED (FROM {live.table} WHERE list_sum([sqrt(i + k) FOR k IN range(200)]) > 0) "
        "SELECT (SELECT count(*) FROM live), (SELECT max(i) + 1 FROM live), (SELECT sum(i) FROM live), "
        "(SELECT count(*) FROM live a JOIN live b ON a.i = b.text::BIGINT)").fetchone()
    CHANGED["twice"] += live.rows() > before
    check("twice: materialized, it is one state", one == other == pairs and total == total_of(one), one, other, total,
          pairs)


def main():
    extension, command = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "live.h5"
        writer = many_queries.Writer(command, str(path))
        writer.start()
        con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        con.execute(f"LOAD '{extension}'")
        live = Live(con.cursor(), path)
        while not path.exists():
            time.sleep(0.02)
        live.wait_for_more_than(ROWS_FIRST)
        for _ in range(ROUNDS):
            check_streams(con, live)
            check_threads(con, live)
            check_twice(con, live)
        rows, code = live.rows(), writer.stop()
    print(f"FIGURE {ROUNDS} rounds over a file that grew to {rows} rows; it changed during {CHANGED['streams']} "
          f"streamed queries, {CHANGED['threads']} on four threads, {CHANGED['twice']} with a table twice: {len(FAULTS)} faults")
    for line in FAULTS[:10]:
        print(line)
    sys.exit(1 if FAULTS or code or not all(CHANGED.values()) else 0)


if __name__ == "__main__":
    main()
