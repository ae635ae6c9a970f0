#!/usr/bin/env python3
"""A quarter of DuckDB's memory_limit is what a scan takes: as basalt_scan_stats() measures it, and as the process
grows.

budget.py EXTENSION"""
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import duckdb
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

EXTENSION = sys.argv[1]
MIB = 1 << 20


def make(folder):
    rng = np.random.default_rng(3)
    with h5py.File(folder / "chunks.h5", "w") as file:  # 8 MiB a chunk, 128 MiB of numbers
        for name in "abcd":
            file.create_dataset(f"t/{name}", data=rng.integers(0, 1000, 4 * MIB), chunks=(MIB,), compression="gzip",
                                compression_opts=1)
    with h5py.File(folder / "texts.h5", "w") as file:  # 60 MB, and nothing says how long a text is
        texts = file.create_dataset("t/s", (600,), h5py.string_dtype())
        texts[:] = ["x" * 100_000] * 600
    with h5py.File(folder / "large.h5", "w") as file:  # one chunk of 64 MiB
        file.create_dataset("x", data=np.arange(8 * MIB), chunks=(8 * MIB,), compression="gzip", compression_opts=1)


def ask(folder, limit, sql, answer):
    """Budget, measured peak, and how far the process grew, in a process of its own."""
    script = f"""
import duckdb, re
con = duckdb.connect(config={{"allow_unsigned_extensions": "true"}})
con.execute("LOAD '{EXTENSION}'")
con.execute("SET threads = 8")
con.execute("SET enable_progress_bar = false")
con.execute("SELECT sum(hash(i)) FROM range(3000000) t(i)").fetchall()
con.execute("SET memory_limit = '{limit}'")
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = peak()
answer = con.execute({sql!r}).fetchall()[0][0]
print(answer, *con.execute("SELECT memory_budget_bytes, memory_last_bytes FROM basalt_scan_stats()").fetchone(), peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        print(done.stderr)
        sys.exit(1)
    found, budget, measured, grown = (int(word) for word in done.stdout.split()[-4:])
    print(f"{limit}: budget {budget / MIB:.0f} MiB, measured {measured / MIB:.0f}, the process grew by {grown / MIB:.0f}: {sql}")
    if found != answer:
        print(f"the answer is {found}, not {answer}")
        sys.exit(1)
    return budget, measured, grown


def main():
    if tuple(int(part) for part in duckdb.__version__.split(".")[:3]) < (1, 5, 6):
        print("skipped: this DuckDB does not tell its memory_limit")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        folder, faults = Path(name), 0
        make(folder)
        with h5py.File(folder / "chunks.h5") as file:
            total = int(sum(file[f"t/{name}"][:].sum() for name in "abcd"))
        for limit in ("200MB", "400MB", "4GB"):
            for sql, answer in (("SELECT sum(a + b + c + d) FROM read_hdf5('chunks.h5', 't')", total),
                                ("SELECT sum(length(s)) FROM read_hdf5('texts.h5', 't')", 60_000_000)):
                budget, measured, grown = ask(folder, limit, sql, answer)
                wanted = {"200MB": 200, "400MB": 400, "4GB": 4000}[limit] * 1_000_000 // 4
                faults += abs(budget - wanted) > wanted / 100
                if "texts" in sql:
                    continue  # a thread's first read shows how long they are
                faults += not 0 < measured <= budget
                faults += grown > budget + 48 * MIB  # DuckDB's own part, and the allocator's
        # a chunk that is larger than the budget: one thread, one chunk
        _, measured, grown = ask(folder, "100MB", "SELECT sum(x) FROM read_hdf5('large.h5', '/x')",
                                 (8 * MIB) * (8 * MIB - 1) // 2)
        faults += not 64 * MIB <= measured <= 4 * 64 * MIB
    print(f"{faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
