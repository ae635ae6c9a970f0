#!/usr/bin/env python3
"""Queries that are interrupted at any moment end with DuckDB's word for that or with the right result, leave no file
open, and the connection goes on.

interrupts.py EXTENSION ROUNDS"""
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import duckdb
import h5py
import numpy as np

ROWS, FILES, HANG_S = 1_000_000, 8, 120


def make(folder):
    values = np.arange(ROWS, dtype="f8")
    for number in range(FILES):
        with h5py.File(folder / f"f{number}.h5", "w") as file:
            for column in "ab":
                file.create_dataset(f"t/{column}", data=values, chunks=(50_000,), compression="gzip", shuffle=True)


def open_files(folder):
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.realpath(link).startswith(str(folder)) for link in links)


def ask(con, sql, delay):
    """The sum, or None if the query was interrupted."""
    answer = []

    def work():
        try:
            answer.append(con.execute(sql).fetchall()[0][0])
        except duckdb.InterruptException:
            answer.append(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if delay is not None:
        time.sleep(delay)
        con.interrupt()
    thread.join(HANG_S)
    if thread.is_alive():
        print(f"a query has not ended {HANG_S} s after its interrupt")
        sys.exit(1)
    if not answer:
        sys.exit(1)  # the thread has said why
    return answer[0]


def main():
    extension, rounds = sys.argv[1], int(sys.argv[2])
    rng, interrupted, faults = random.Random(1), 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        make(folder)
        con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        con.execute(f"LOAD '{extension}'")
        sql, expected = f"SELECT sum(a + b) FROM read_hdf5('{folder}/*.h5', '/t')", float(FILES * ROWS * (ROWS - 1))
        began = time.perf_counter()
        if ask(con, sql, None) != expected:
            faults.append("the sum is wrong before anything was interrupted")
        whole = time.perf_counter() - began
        for _ in range(rounds):
            answer = ask(con, sql, rng.uniform(0, whole))
            interrupted += answer is None
            if answer not in (None, expected):
                faults.append(f"an interrupted query says {answer}")
        if ask(con, sql, None) != expected:
            faults.append("the sum is wrong after all the interrupts")
        if open_files(folder):
            faults.append(f"{open_files(folder)} files are still open")
    print(f"FIGURE {interrupted} of {rounds} queries interrupted: {len(faults)} faults")
    for line in faults[:10]:
        print(line)
    sys.exit(1 if faults or not interrupted else 0)


if __name__ == "__main__":
    main()
