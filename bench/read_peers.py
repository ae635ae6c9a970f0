"""The files that the read benchmarks use, and the sides of other readers.

read_peers.py make --folder F [--quick]      the files and what bound_read needs to know of them
read_peers.py --path P --mode M …            as bench/read.c, through h5py
read_peers.py --reader R --path P …          the whole of a dataset through hidefix, or through zarrs from
                                             the Zarr arrays that `make` puts beside the files
"""
import argparse
import json
import os
import resource
import statistics
import threading
import time
import warnings

import h5py
import hdf5plugin
import numpy as np

CHUNK = 65536
CODECS = {  # the same data by the filters that HDF5 does not come with
    "lzf": {"compression": "lzf"}, "lz4": hdf5plugin.LZ4(), "zstd": hdf5plugin.Zstd(),
    "blosc": hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.SHUFFLE)}
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


def make_codecs(folder: str, count: int) -> None:
    values = wave(count, "f8")
    with h5py.File(os.path.join(folder, "codecs.h5"), "w") as file:
        for name, options in CODECS.items():
            file.create_dataset(name, data=values, chunks=(CHUNK,), **options)
        file.flush()
        for name, dataset in file.items():
            note_chunks(dataset, os.path.join(folder, f"{name}.chunks"))


def make_columns(folder: str, count: int) -> None:
    """Two groups of 8 columns, as they are and as one writes them to save space."""
    values = wave(count // 8, "f8")
    with h5py.File(os.path.join(folder, "columns.h5"), "w") as file:
        for name, filters in (("raw", ""), ("filtered", "sg")):
            file.create_group(name)
            for column in range(8):
                create(file[name], f"c{column}", values, (CHUNK,), filters)


def make_zarr(folder: str, count: int) -> str:
    """What whole.h5 has, as Zarr 3 with the same chunks and codecs. Says why not, if not."""
    try:
        import zarr
        from zarr.codecs import GzipCodec, ZstdCodec
        from zarr.codecs.numcodecs import Shuffle
    except ImportError as reason:
        return str(reason)
    warnings.simplefilter("ignore")  # of codecs that are not in the specification
    for dtype in ("f8", "f4"):
        values = wave(count, dtype)
        for form, codecs in (("g", [GzipCodec(level=6)]),
                             ("sg", [Shuffle(elementsize=values.itemsize), GzipCodec(level=6)]),
                             ("zstd", [ZstdCodec(level=3)])):
            if form == "zstd" and dtype == "f4":
                continue
            name = "zstd" if form == "zstd" else dtype + form
            made = zarr.create_array(store=os.path.join(folder, name + ".zarr"), shape=values.shape,
                                     chunks=(CHUNK,), dtype=values.dtype, compressors=codecs)
            made[:] = values
    return ""


def make_kernels(folder: str) -> None:
    """Small, for a processor that is simulated; each has one thing to undo."""
    values = wave(1 << 18, "f8")
    with h5py.File(os.path.join(folder, "kernels.h5"), "w") as file:
        file.create_dataset("shuffle8", data=values, chunks=(CHUNK,), shuffle=True)
        file.create_dataset("shuffle4", data=values.astype("f4"), chunks=(CHUNK,), shuffle=True)
        file.create_dataset("sum", data=values, chunks=(CHUNK,), fletcher32=True)
        file.create_dataset("big", data=values.astype(">f8"), chunks=(CHUNK,))
        file.create_dataset("integers", data=np.arange(1 << 18, dtype="<i4"), chunks=(CHUNK,))


def make(folder: str, quick: bool) -> None:
    count = CHUNK * (32 if quick else 256)
    make_codecs(folder, count)
    make_kernels(folder)
    make_columns(folder, count)
    print(json.dumps({"zarr": make_zarr(folder, count)}))
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


def others(args) -> dict:
    """New memory a time: they take none of the caller's. A reader that is not there says why."""
    name = args.dataset.strip("/")
    try:
        if args.reader == "hidefix":
            import hidefix
            index = hidefix.Index(args.path)
            read = lambda: index.dataset(name)[(slice(None),)]
        else:
            import zarr
            import zarrs  # noqa: F401
            zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
            warnings.simplefilter("ignore")
            array = zarr.open_array(os.path.join(os.path.dirname(args.path), name + ".zarr"), mode="r")
            read = lambda: array[:]
    except ImportError as reason:
        return {"seconds": 0, "missing": str(reason)}
    seconds = []
    for _ in range(args.repeat + 1):
        begin = time.perf_counter()
        values = read()
        seconds.append(time.perf_counter() - begin)
        del values
    return {"seconds": statistics.median(seconds[1:])}


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
    parser.add_argument("--reader", choices=("h5py", "hidefix", "zarrs"), default="h5py")
    args = parser.parse_args()
    if args.make:
        make(args.folder, args.quick)
        return
    if args.reader != "h5py":
        print(json.dumps(others(args)))
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
