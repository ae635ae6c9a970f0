#!/usr/bin/env python3
"""Many queries at once over many files, one of which is being written: none hangs, all are right.

many_queries.py EXTENSION BASALT ROUNDS

A round is eight connections, each of which asks for the UNION ALL of 32 files and for all of the live one, with
SET threads from 1 to 16, each once in sixteen rounds. The live file's rows are 0, 1, 2 …: whatever checkpoint a query sees,
count and sum of it go together. A round that does not end is a fault: where each thread stands is shown."""
import faulthandler
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pyarrow as pa

FILES, CONNECTIONS, ROWS = 32, 8, 2000
HANG_S = 300  # a round takes a fraction of a second; one of a machine that is busy is no fault
BATCH_ROWS, LIVE_ROWS = 100, 200000


class Writer(threading.Thread):
    """Appends to the live file until it is told to stop; not faster than queries can look at all of it."""

    def __init__(self, command, path):
        super().__init__(daemon=True)
        self.recorder = subprocess.Popen([command, "record", path, "--instrument", "live", "--quiet"],
                                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.ending = threading.Event()

    def run(self):
        schema, row = pa.schema([("i", pa.int64()), ("text", pa.string())]), 0
        with pa.ipc.new_stream(self.recorder.stdin, schema) as stream:
            while not self.ending.is_set():
                count = BATCH_ROWS if row < LIVE_ROWS else 1
                numbers = pa.array(range(row, row + count))
                stream.write_batch(pa.record_batch([numbers, numbers.cast(pa.string())], schema))
                row += count
                time.sleep(0.02)
        self.recorder.stdin.close()

    def stop(self):
        self.ending.set()
        self.join()
        return self.recorder.wait()


def make(folder):
    for number in range(FILES):
        with h5py.File(folder / f"f{number:02}.h5", "w") as file:
            file.create_dataset("t/a", data=np.arange(ROWS) + number, chunks=(512,), compression="gzip", shuffle=True)
            file.create_dataset("t/b", data=np.arange(ROWS) / 2, chunks=(700,))
            file["t/s"] = [f"s{i % 9}" for i in range(ROWS)]


def ask(con, folder, faults, seen):
    union = " UNION ALL ".join(f"SELECT a, b, s FROM read_hdf5('{folder}/f{n:02}.h5', '/t')" for n in range(FILES))
    count, total, half, last = con.execute(f"SELECT count(*), sum(a), sum(b), max(s) FROM ({union})").fetchone()
    numbers = ROWS * (ROWS - 1) // 2
    expected = (FILES * ROWS, FILES * numbers + ROWS * FILES * (FILES - 1) // 2, FILES * numbers / 2, "s8")
    if (count, total, half, last) != expected:
        faults.append(f"found {(count, total, half, last)}, expected {expected}")
    rows, total, texts = con.execute(
        f"SELECT count(*), coalesce(sum(i), 0), coalesce(sum(text::BIGINT), 0) "
        f"FROM read_hdf5('{folder}/live.h5', 'live')").fetchone()
    if total != rows * (rows - 1) // 2 or texts != total:
        faults.append(f"the live file: {rows} rows, sums {total} and {texts}")
    seen.add(rows)


def show_stacks():
    """Of Python's threads, and of all where there is a debugger; else what each thread of the process waits in."""
    faulthandler.dump_traceback(sys.stdout)
    if shutil.which("gdb"):
        subprocess.run(["gdb", "-p", str(os.getpid()), "-batch", "-ex", "thread apply all bt 30"], check=False)
        return
    for task in sorted(Path("/proc/self/task").iterdir()):
        print(task.name, *((task / what).read_text().strip() for what in ("comm", "wchan", "syscall")), flush=True)


def run_round(con, turn, work):
    """False if it hangs."""
    con.execute(f"SET threads = {turn * 5 % 16 + 1}")
    threads = [threading.Thread(target=work, args=(con.cursor(),), daemon=True) for _ in range(CONNECTIONS)]
    end = time.monotonic() + HANG_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
    return not any(thread.is_alive() for thread in threads)


def main():
    extension, command, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    faults, seen, answered, done = [], set(), [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        writer = Writer(command, str(folder / "live.h5"))
        writer.start()
        con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        con.execute(f"LOAD '{extension}'")
        while not (folder / "live.h5").exists() or not con.execute(
                f"SELECT count(*) FROM basalt_families('{folder}/live.h5')").fetchone()[0]:
            time.sleep(0.05)

        def work(cursor):
            try:
                ask(cursor, folder, faults, seen)
                answered.append(1)
            except duckdb.Error as error:
                faults.append(str(error))

        while (done < rounds or len(seen) < 2 and done < 20 * rounds) and not faults:  # it must be seen to grow
            if not run_round(con, done, work):
                print(f"round {done}, {done * 5 % 16 + 1} threads: a query has not ended within {HANG_S} s", flush=True)
                show_stacks()
                writer.recorder.kill()
                os._exit(1)  # threads that hang would keep an orderly end from ending
            done += 1
            if len(answered) != done * CONNECTIONS:
                faults.append(f"round {done - 1}: {len(answered)} of {done * CONNECTIONS} have answered so far")
        code = writer.stop()
    print(f"FIGURE {done} rounds of {CONNECTIONS} connections over {FILES} files and a live one, which was seen "
          f"with {len(seen)} different numbers of rows, up to {max(seen, default=0)}: {len(faults)} faults")
    for line in faults[:10]:
        print(line)
    sys.exit(1 if faults or code or len(seen) < 2 or done < rounds else 0)


if __name__ == "__main__":
    main()
