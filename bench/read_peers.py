"""The files that the read benchmarks use, and h5py's side of each.

read_peers.py make --folder F [--quick]      the files and what bound_read needs to know of them
read_peers.py --path P --mode M …            as bench/read.c, through h5py
"""
import argparse
import json
import os
import resource
import statistics
import threading
import time

import h5py
import numpy as np

CHUNK = 65536
CASES = [  # every chunk index, with and without filters
    ("btree1", "earliest", None, None), ("single", "latest", None, "whole"),
    ("implicit", "latest", None, "early"), ("fixed", "latest", None, None),
    ("extensible", "latest", "one", None), ("btree2", "latest", "all", None)]


def wave(count: int, dtype: str) -> np.ndarray:
    """Slow waves with noise in the low bits, as an instrument gives them."""
    noise = np.random.default_rng(1).integers(0, 4096, count) / 4096.0
    return (np.floor(np.sin(np.arange(count) * 1e-3) * 2048 + noise * 4) / 16).astype(dtype)


def create(file, name, values, chunks, filters, maxshape=None, early=False):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(chunks)
    if "s" in filters:
        properties.set_shuffle()
    if "g" in filters:
        properties.set_deflate(6)
    if early:
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    limits = tuple(h5py.h5s.UNLIMITED if n is None else n for n in maxshape or values.shape)
    space = h5py.h5s.create_simple(values.shape, limits)
    made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(values.dtype), space, properties)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return h5py.Dataset(made)


def note_chunks(dataset, path):
    with open(path, "w", encoding="ascii") as out:
        if dataset.chunks is None:
            piece = 1 << 20
            for at in range(0, dataset.nbytes, piece):
                print(dataset.id.get_offset() + at, min(piece, dataset.nbytes - at), file=out)
            return
        infos = []
        dataset.id.chunk_iter(infos.append)
        for info in sorted(infos, key=lambda one: one.chunk_offset):
            print(info.byte_offset, info.size, file=out)


def make(folder: str, quick: bool) -> None:
    count = CHUNK * (32 if quick else 256)
    with h5py.File(os.path.join(folder, "whole.h5"), "w") as file:
        for dtype in ("f8", "f4"):
            values = wave(count, dtype)
            for filters in ("", "g", "sg"):
                name = f"{dtype}{filters}"
                create(file, name, values, (CHUNK,), filters)
            file.create_dataset(f"{dtype}contiguous", data=values)
        file.flush()
        for name, dataset in file.items():
            note_chunks(dataset, os.path.join(folder, f"{name}.chunks"))
    side = 1024 if quick else 2048
    for index, libver, grow, form in CASES:
        with h5py.File(os.path.join(folder, f"{index}.h5"), "w", libver=libver) as file:
            values = wave(side * side, "f4").reshape(side, side)
            maxshape = {None: None, "one": (None, side), "all": (None, None)}[grow]
            chunks = values.shape if form == "whole" else (64, 128)
            create(file, "raw", values, chunks, "", maxshape, form == "early")
            if form != "early":
                create(file, "filtered", values, chunks, "sg", maxshape)
    chunks = 10000 if quick else 1000000
    for libver in ("earliest", "latest"):
        with h5py.File(os.path.join(folder, f"many-{libver}.h5"), "w", libver=libver) as file:
            create(file, "d", np.arange(chunks * 16, dtype="<i4"), (16,), "", (None,))
    with h5py.File(os.path.join(folder, "list.h5"), "w") as file:
        for i in range(1000 if quick else 100000):
            if i % 1000 == 0:
                group = file.create_group(f"g{i // 1000}")
            group.create_dataset(f"d{i}", (4,), "<i4")


def whole(file, args, out):
    dataset = file[args.dataset]
    if args.rows:
        if out[0] is None:
            out[0] = np.ones((args.rows, args.columns), dataset.dtype)
        dataset.read_direct(out[0], np.s_[:args.rows, :args.columns])
        return
    if out[0] is None:
        out[0] = np.ones(dataset.shape, dataset.dtype)
    dataset.read_direct(out[0])


def slices(file, args):
    dataset = file[args.dataset]

    def read(seed):
        for at in np.random.default_rng(seed).integers(0, len(dataset) - 100, 1000):
            dataset[at:at + 100]
    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def visit(path):
    found = 0

    def each(_, item):
        nonlocal found
        if isinstance(item, h5py.Dataset):
            found += 1
            _ = item.shape, item.dtype, item.chunks
    with h5py.File(path) as file:
        file.visititems(each)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("make", nargs="?")
    parser.add_argument("--folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--path")
    parser.add_argument("--mode", default="whole")
    parser.add_argument("--dataset", default="/d")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--columns", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    if args.make:
        make(args.folder, args.quick)
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out, seconds, extra = [None], [], 0
    random = np.random.default_rng(1)
    with h5py.File(args.path) as file:
        for _ in range(args.repeat + 1):
            begin = time.perf_counter()
            if args.mode == "slices":
                slices(file, args)
            elif args.mode == "element":
                dataset = file[args.dataset]
                _ = dataset[int(random.integers(len(dataset)))]
            elif args.mode == "list":
                extra = visit(args.path)
            else:
                whole(file, args, out)
            seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": statistics.median(seconds[1:]), "extra": extra,
                      "memory_bytes": (peak - before) * 1024}))


if __name__ == "__main__":
    main()
