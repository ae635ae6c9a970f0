#!/usr/bin/env python3
"""Files that COPY writes, looked at by others: h5py, h5dump, `basalt verify`; and what is left of the target when the
process is killed, the disk is full, the query is interrupted, or somebody writes to it.

copies.py EXTENSION BASALT ROUNDS      ROUNDS: kills"""
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

try:
    import duckdb
    import h5py
    import numpy as np
    import pyarrow as pa
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

EXTENSION, COMMAND = sys.argv[1], sys.argv[2]


def connect():
    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    con.execute(f"LOAD '{EXTENSION}'")
    return con


def check(true, sentence):
    if not true:
        print(sentence)
        sys.exit(1)


def refused(con, sql, words):
    try:
        con.execute(sql)
    except duckdb.Error as error:
        check(words in str(error), f"the error is: {error}")
        return
    check(False, f"it was no error: {sql}")


def others_in(folder, *expected):
    left = sorted(set(os.listdir(folder)) - set(expected))
    check(not left, f"left behind: {left}")


def look_with_h5py(con, folder):
    path = folder / "values.h5"
    con.execute(f"""COPY (SELECT i, i / 4 AS x, 'n' || i AS s, i % 3 = 0 AS b, CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS n,
        TIMESTAMP '2020-01-01' + to_seconds(i) AS t FROM range(100000) r(i)) TO '{path}'
        (FORMAT basalt, COLUMNS ('i', 'x', 's', 'b', 'n', 't'), NOT_NULL ('i', 'b'), CHUNK_ROWS 10000, COMPRESSION_LEVEL 1)""")
    with h5py.File(path) as file:
        rows, group = np.arange(100_000), file["data"]
        check((group["i"][:] == rows).all(), "h5py reads other integers")
        check((group["x"][:] == rows / 4).all(), "h5py reads other floats")
        check((group["b"][:] == (rows % 3 == 0)).all(), "h5py reads other bools")
        check(group["s"].asstr()[99_999] == "n99999", "h5py reads other texts")
        check((group["n/values"][:][rows % 5 != 0] == rows[rows % 5 != 0]).all(), "h5py reads other nullable integers")
        check((group["n/mask"][:] == (rows % 5 == 0)).all(), "h5py reads another mask")
        check(group["t"].attrs["unit"] == b"us" and group["t"][1] - group["t"][0] == 1_000_000, "h5py reads other instants")
        check(group["x"].chunks == (10_000,) and group["x"].compression == "gzip", "other chunks or filters")
    for command in (["h5dump", "-H", path], [COMMAND, "verify", path]):
        done = subprocess.run(command, capture_output=True, text=True)
        check(done.returncode == 0, f"{command[0]}: {done.stdout[-300:]}{done.stderr[-300:]}")
    others_in(folder, "values.h5")


def kill_in_the_midst(folder, rounds):
    """The file is the old one or the new one, whole; the next COPY works and clears up."""
    rng, path = random.Random(2), folder / "killed.h5"
    con, seen = connect(), {0: 0, 1: 0}
    con.execute(f"COPY (SELECT 0 FROM range(1000)) TO '{path}' (FORMAT basalt, COLUMNS 'a')")
    for _ in range(rounds):
        child = subprocess.Popen([sys.executable, __file__, EXTENSION, COMMAND, "child", str(path)], stdout=subprocess.PIPE)
        check(child.stdout.readline() == b"begins\n", "the child did not begin")
        time.sleep(rng.random() * 0.8)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if not path.exists():  # DuckDB's own rename
            check(False, "the target is gone")
        value, rows = con.execute(f"SELECT any_value(a), count(*) FROM read_hdf5('{path}', 'data')").fetchone()
        check(rows == (1000, 400_000)[value], f"{rows} rows of {value}")
        seen[value] += 1
        con.execute(f"COPY (SELECT 0 FROM range(1000)) TO '{path}' (FORMAT basalt, COLUMNS 'a', USE_TMP_FILE false)")
        con.execute(f"COPY (SELECT 0 FROM range(1000)) TO '{folder}/tmp_killed.h5' (FORMAT basalt, COLUMNS 'a')")
        os.remove(folder / "tmp_killed.h5")
        others_in(folder, "values.h5", "killed.h5")
    os.remove(path)
    return seen


def child(path):
    con = connect()
    print("begins", flush=True)
    con.execute(f"COPY (SELECT 1 FROM range(400000)) TO '{path}' (FORMAT basalt, COLUMNS 'a')")
    time.sleep(10)


def fill_the_disk(folder):
    """A process that may not write large files says so and leaves nothing."""
    path = folder / "full.h5"
    script = f"""
import resource, signal, duckdb
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
con = duckdb.connect(config={{"allow_unsigned_extensions": "true"}})
con.execute("LOAD '{EXTENSION}'")
resource.setrlimit(resource.RLIMIT_FSIZE, (@, @))
try:
    con.execute("COPY (SELECT hash(i) FROM range(3000000) t(i)) TO '{path}' (FORMAT basalt, COLUMNS 'a')")
    print("written")
except duckdb.Error as error:
    print(error)
"""
    for limit, old in ((16 << 20, False), (16 << 20, True), (1 << 18, True)):
        if old:
            connect().execute(f"COPY (SELECT 7) TO '{path}' (FORMAT basalt, COLUMNS 'a')")
        done = subprocess.run([sys.executable, "-c", script.replace("@", str(limit))], capture_output=True, text=True)
        check("File too large" in done.stdout and "full.h5" in done.stdout, f"it says: {done.stdout}{done.stderr}")
        check(".part-" not in done.stdout, f"it names a file that nobody gave: {done.stdout}")
        others_in(folder, "values.h5", *(["full.h5"] if old else []))
        if old:
            check(connect().execute(f"SELECT a FROM '{path}'").fetchall() == [(7,)], "the old file is another")
    os.remove(path)


def interrupt(folder):
    con, path = connect(), folder / "stopped.h5"
    for delay in (0.05, 0.3, 0.6):
        timer = threading.Timer(delay, con.interrupt)
        timer.start()
        try:
            con.execute(f"COPY (SELECT i FROM range(1000000000) t(i)) TO '{path}' (FORMAT basalt, COLUMNS 'a')")
            check(False, "it was not interrupted")
        except duckdb.InterruptException:
            pass
        timer.join()
        others_in(folder, "values.h5")
    check(con.execute("SELECT 1").fetchall() == [(1,)], "the connection does not go on")


def replace_what_is_in_use(con, folder):
    """A store that has a writer, or its log beside it, is not replaced, nor is what is no file."""
    path = folder / "live.h5"
    writer = subprocess.Popen([COMMAND, "record", str(path), "--instrument", "live", "--quiet"],
                              stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    batch = pa.record_batch({"x": pa.array(range(1000))})
    stream = pa.ipc.new_stream(writer.stdin, batch.schema)
    while not path.exists() or not list(folder.glob("live.h5-log*")):
        stream.write_batch(batch)
        writer.stdin.flush()
        time.sleep(0.05)
    copy = f"COPY (SELECT 1) TO '{path}' (FORMAT basalt, COLUMNS 'a'"
    refused(con, copy + ")", "a store that somebody writes to: it is not replaced")
    refused(con, copy + ", USE_TMP_FILE false)", "a store that somebody writes to: it is not replaced")
    writer.kill()
    writer.wait()
    refused(con, copy + ")", "a log beside it: it is not replaced")
    refused(con, copy + ", USE_TMP_FILE false)", "a log beside it: it is not replaced")
    os.mkfifo(folder / "pipe")
    refused(con, f"COPY (SELECT 1) TO '{folder}/pipe' (FORMAT basalt, COLUMNS 'a')", "is no regular file")


def main():
    if tuple(int(part) for part in duckdb.__version__.split(".")[:3]) < (1, 5, 6):
        print("skipped: this DuckDB has no copy functions for extensions in C")
        sys.exit(77)
    if sys.argv[3] == "child":
        child(sys.argv[4])
        return
    with tempfile.TemporaryDirectory() as name:
        folder, con = Path(name), connect()
        look_with_h5py(con, folder)
        seen = kill_in_the_midst(folder, int(sys.argv[3]))
        fill_the_disk(folder)
        interrupt(folder)
        replace_what_is_in_use(con, folder)
    print(f"{sys.argv[3]} kills: {seen[0]} old files, {seen[1]} new ones; disk full, interrupts, targets in use: right")


if __name__ == "__main__":
    main()
