"""Repacks of a file of gzip chunks, against h5repack and against a loop of h5py; for run.py."""
import os
import shutil
import statistics
import subprocess
import sys
import time

import h5py
import hdf5plugin

from read_peers import CHUNK, create, wave

KINDS = {  # filters: of `basalt copy`, of h5repack, of h5py
    "shuffle + gzip 6": ("shuffle,deflate:6", ["SHUF", "GZIP=6"], {"shuffle": True, "compression": "gzip",
                                                                  "compression_opts": 6}),
    "shuffle + zstd 3": ("shuffle,zstd:3", ["SHUF", "UD=32015,0,1,3"], {"shuffle": True, **hdf5plugin.Zstd(3)}),
    "the same chunks": ("keep", [], None)}


def h5py_copy(source: str, target: str, filters: dict) -> None:
    with h5py.File(source) as one, h5py.File(target, "w") as other:
        for name, dataset in one.items():
            made = other.create_dataset(name, dataset.shape, dataset.dtype, chunks=dataset.chunks, **filters)
            for at in range(0, len(dataset), 16 * CHUNK):
                made[at:at + 16 * CHUNK] = dataset[at:at + 16 * CHUNK]


def timed(source: str, target: str, side) -> tuple[float, int]:
    if os.path.exists(target):
        os.unlink(target)
    start = time.perf_counter()
    if callable(side):
        side()
    else:
        environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
        subprocess.run(side, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start, os.path.getsize(target)


def copies(bench, megabytes: int) -> None:
    folder = os.path.join(bench.folder, "copies")
    os.makedirs(folder, exist_ok=True)
    source, target = os.path.join(folder, "source.h5"), os.path.join(folder, "target.h5")
    basalt = os.path.join(os.path.dirname(bench.programs), "basalt")
    with h5py.File(source, "w") as file:
        create(file, "a", wave(megabytes * 1000000 // 8, "<f4"), (CHUNK,), "g")
        create(file, "b", wave(megabytes * 1000000 // 16, "<f8"), (CHUNK,), "g")
    for what, (filters, repack, python) in KINDS.items():
        sides = {"basalt": [basalt, "copy", source, target, "--filters", filters, "--quiet"],
                 "h5repack": ["h5repack", *[part for one in repack for part in ("-f", one)], source, target]}
        if python:
            sides["h5py"] = lambda python=python: h5py_copy(source, target, python)
        runs: dict[str, list] = {name: [] for name in sides}
        for _ in range(bench.rounds):
            for name, side in sides.items():
                print(f"  copy, {what}: {name}", file=sys.stderr, flush=True)
                runs[name].append(timed(source, target, side))
        seconds = {name: statistics.median(run[0] for run in all_runs) for name, all_runs in runs.items()}
        sizes = {name: all_runs[0][1] for name, all_runs in runs.items()}
        ratio = seconds["h5repack"] / seconds["basalt"]
        bench.row(f"{megabytes / 1000:g} GB of gzip chunks repacked, {what}: against h5repack",
                  " / ".join(f"{name} {value:.2f} s" for name, value in seconds.items()) + f" = {ratio:.1f} x",
                  "", True, {"seconds": seconds, "bytes": sizes})
    shutil.rmtree(folder)
