"""The peer of ingest.c: h5py appends the same shape, batch by batch, without a flush.

It survives nothing: a kill before the close leaves a file that nobody can open.
Prints one JSON line: seconds to append, seconds with the close, MB/s.
"""
import argparse
import json
import os
import time

import h5py
import numpy as np

ROWS, COLUMNS = 1000, 8


def batches_of_waves() -> list:
    noise = np.random.default_rng(1)
    ring = []
    for at in range(64):
        when = (at * ROWS + np.arange(ROWS)) * 1e-3
        grain = noise.integers(0, 4096, (COLUMNS, ROWS)) / 4096.0
        ring.append([np.floor(np.sin(when * (c + 1)) * 2048 + grain[c] * 4) / 16 for c in range(COLUMNS)])
    return ring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", required=True)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--level", type=int, default=0)
    args = parser.parse_args()
    batches = args.megabytes * 1_000_000 // (ROWS * COLUMNS * 8)
    ring = batches_of_waves()
    filters = {"compression": args.level, "shuffle": True} if args.level else {"fletcher32": True}
    start = time.perf_counter()
    with h5py.File(args.path, "w") as file:
        columns = [
            file.create_dataset(f"wave/c{c}", (0,), "f8", maxshape=(None,), chunks=(131072,), **filters)
            for c in range(COLUMNS)
        ]
        for i in range(batches):
            rows = (i + 1) * ROWS
            for column, values in zip(columns, ring[i % 64]):
                column.resize((rows,))
                column[rows - ROWS:rows] = values
        append = time.perf_counter() - start
    whole = time.perf_counter() - start
    megabytes = batches * ROWS * COLUMNS * 8 / 1e6
    print(json.dumps({
        "megabytes": megabytes, "append_s": append, "whole_s": whole,
        "append_mb_s": megabytes / append, "whole_mb_s": megabytes / whole,
        "file_bytes": os.path.getsize(args.path),
    }))


if __name__ == "__main__":
    main()
