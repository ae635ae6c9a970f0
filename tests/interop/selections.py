#!/usr/bin/env python3
"""Random selections of random datasets, as any type, beside h5py's values; fixed seeds.

selections.py LIBRARY     exit 77: skipped
"""
import ctypes
import errno
import os
import sys
import tempfile
import threading

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

LIB = ctypes.CDLL(sys.argv[1])
BAD_ARGUMENT, CORRUPT, UNSUPPORTED, CANCELLED, TOO_LARGE = 3, 6, 8, 12, 17
ALL, HYPERSLAB, POINTS, ROWS = range(4)
SEED = 20240611
checked = {"datasets": 0, "selections": 0, "conversions": 0, "refusals": 0}


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("os_errno", ctypes.c_int),
                ("file_offset", ctypes.c_uint64), ("message", ctypes.c_char * 240)]


U64S = ctypes.POINTER(ctypes.c_uint64)


class Options(ctypes.Structure):
    _fields_ = [("struct_bytes", ctypes.c_size_t), ("select", ctypes.c_int), ("start", U64S),
                ("count", U64S), ("stride", U64S), ("block", U64S), ("coordinates", U64S),
                ("coordinate_count", ctypes.c_uint64), ("members", ctypes.POINTER(ctypes.c_char_p)),
                ("member_count", ctypes.c_size_t), ("type", ctypes.c_char_p), ("clip", ctypes.c_bool),
                ("alone", ctypes.c_bool), ("cancel", ctypes.c_void_p)]


class ScanOptions(ctypes.Structure):
    _fields_ = [("struct_bytes", ctypes.c_size_t), ("first_row", ctypes.c_uint64),
                ("row_count", ctypes.c_uint64), ("layout", ctypes.c_int),
                ("missing_as_null", ctypes.c_bool), ("without_dictionaries", ctypes.c_bool),
                ("ascii_as_binary", ctypes.c_bool), ("cancel", ctypes.c_void_p)]


class Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "cache_bytes", "cache_bytes_max", "chunks_cached", "chunks_decoded", "chunks_served",
        "bytes_read", "bytes_decoded")]


class Mapping(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_void_p), ("byte_count", ctypes.c_uint64),
                ("private_data", ctypes.c_void_p * 2)]


class Refused(Exception):
    def __init__(self, status, error):
        super().__init__(f"{status}: {error.message.decode()}")
        self.status = status


def call(name, *arguments):
    error = Error()
    status = getattr(LIB, "basalt_hdf5_" + name)(*arguments, ctypes.byref(error))
    if status:
        raise Refused(status, error)


def u64s(values):
    values = np.ascontiguousarray(values, dtype=np.uint64)
    return values.ctypes.data_as(U64S), values


class File:
    def __init__(self, path):
        self.handle = ctypes.c_void_p()
        call("open", path.encode(), ctypes.byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIB.basalt_hdf5_close(ctypes.byref(self.handle))

    def stats(self):
        stats = Stats()
        LIB.basalt_hdf5_get_stats(self.handle, ctypes.byref(stats))
        return stats


def make_options(select=ALL, slab=None, coordinates=None, members=(), type_=None, clip=False, alone=False,
                 cancel=None):
    """The options, and what must live as long as they."""
    options, kept = Options(), []
    LIB.basalt_hdf5_read_options_init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
    options.select, options.clip, options.alone, options.cancel = select, clip, alone, cancel
    if slab is not None:
        for name, values in zip(("start", "count", "stride", "block"), slab):
            pointer, values = u64s(values)
            kept.append(values)
            setattr(options, name, pointer)
    if coordinates is not None:
        options.coordinates, values = u64s(coordinates)
        options.coordinate_count = len(coordinates)
        kept.append(values)
    if members:
        names = (ctypes.c_char_p * len(members))(*[member.encode() for member in members])
        options.members, options.member_count = names, len(members)
        kept.append(names)
    if type_:
        options.type = type_.encode()
    return options, kept


class Dataset:
    def __init__(self, file, path):
        self.handle = ctypes.c_void_p()
        call("dataset_open", file.handle, path.encode(), ctypes.byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIB.basalt_hdf5_dataset_close(ctypes.byref(self.handle))

    def map(self, dtype):
        mapping = Mapping()
        call("map", self.handle, ctypes.byref(mapping))
        values = np.frombuffer(ctypes.string_at(mapping.bytes, mapping.byte_count), dtype)
        LIB.basalt_hdf5_unmap(self.handle, ctypes.byref(mapping))
        return values

    def read(self, dtype, select=ALL, slab=None, coordinates=None, members=(), type_=None, clip=False,
             alone=False, cancel=None):
        """A flat array of `dtype`, which is what the type must be."""
        options, kept = make_options(select, slab, coordinates, members, type_, clip, alone, cancel)
        count, element = ctypes.c_uint64(), ctypes.c_uint64()
        call("read_size", self.handle, ctypes.byref(options), ctypes.byref(count), ctypes.byref(element))
        dtype = np.dtype(dtype)
        assert element.value == dtype.itemsize, (element.value, dtype)
        out = np.full(count.value * element.value, 0xA5, dtype=np.uint8)
        call("read", self.handle, ctypes.byref(options), ctypes.c_void_p(out.ctypes.data),
             ctypes.c_uint64(out.nbytes))
        return out.view(dtype) if dtype.itemsize else out


# ---- datasets --------------------------------------------------------------------------------------

TYPES = ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8",
         "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "S7", "V5",
         np.dtype([("a", "<i2"), ("b", ">f8"), ("c", [("x", "u1"), ("y", "<f4", (2,))])])]
FILTERS = [{}, {}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True},
           {"fletcher32": True}, {"compression": "gzip", "shuffle": True, "fletcher32": True}]


def random_values(random, dtype, shape):
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype.kind == "f":
        values = (random.standard_normal(count) * 100).astype(dtype)
        values[random.random(count) < 0.02] = np.nan
        return values.reshape(shape)
    raw = random.integers(0, 256, count * dtype.itemsize, dtype=np.uint8)
    if dtype.kind == "S":
        raw = raw % 26 + 65
    if dtype.names:
        values = np.zeros(count, dtype)
        values["a"] = random.integers(-30000, 30000, count)
        values["b"] = random.standard_normal(count)
        values["c"]["x"] = random.integers(0, 256, count)
        values["c"]["y"] = random.standard_normal((count, 2))
        return values.reshape(shape)
    return raw.view(dtype).reshape(shape)


def make_dataset(random, file, name):
    """One with any shape, index, filters, missing chunks; gives what h5py says it holds."""
    rank = int(random.integers(1, 5))
    dtype = np.dtype(TYPES[random.integers(len(TYPES))])
    shape = tuple(int(n) for n in random.integers(1, (400, 40, 14, 9)[rank - 1], rank))
    options = {}
    if dtype.kind in "iuf" and random.random() < 0.4:
        options["fillvalue"] = np.array(7).astype(dtype)[()]
    if random.random() < 0.8:
        options["chunks"] = tuple(int(random.integers(1, n + 1)) for n in shape)
        options.update(FILTERS[random.integers(len(FILTERS))])
        grow = random.integers(4)
        if grow == 1:
            options["maxshape"] = (None, *shape[1:])
        elif grow == 2:
            options["maxshape"] = (*shape[:-1], None)
        elif grow == 3:
            options["maxshape"] = (None,) * rank
    dataset = file.create_dataset(name, shape, dtype, **options)
    if random.random() < 0.5:
        dataset[...] = random_values(random, dtype, shape)
    else:  # here and there, so that chunks are missing
        for _ in range(int(random.integers(0, 4))):
            at = tuple(slice(a, a + int(random.integers(1, n - a + 1)))
                       for n in shape for a in [int(random.integers(0, n))])
            dataset[at] = random_values(random, dtype, dataset[at].shape)


# ---- selections ------------------------------------------------------------------------------------

def random_slab(random, shape):
    start, count, stride, block = [], [], [], []
    for n in shape:
        a = int(random.integers(0, n))
        b = int(random.integers(1, min(n - a, 5) + 1)) if random.random() < 0.5 else 1
        s = b + int(random.integers(0, 5))
        most = (n - a - b) // s + 1
        start.append(a)
        block.append(b)
        stride.append(s)
        count.append(int(random.integers(0 if random.random() < 0.05 else 1, most + 1)))
    return start, count, stride, block


def slab_places(slab, dimension):
    start, count, stride, block = (part[dimension] for part in slab)
    return [start + i * stride + j for i in range(count) for j in range(block)]


def random_selection(random, values):
    """(arguments of Dataset.read, what it should give)"""
    kind = int(random.integers(4))
    shape = values.shape
    if kind == ALL:
        return {}, values
    if kind == HYPERSLAB:
        slab = random_slab(random, shape)
        return {"select": HYPERSLAB, "slab": slab}, values[np.ix_(
            *[np.array(slab_places(slab, d), dtype=int) for d in range(values.ndim)])]
    if kind == POINTS:
        points = np.stack([random.integers(0, n, 37) for n in shape], axis=1)
        return {"select": POINTS, "coordinates": points}, values[tuple(points.T)]
    rows = random.integers(0, shape[0], int(random.integers(0, 30)))
    if random.random() < 0.5:
        rows = np.sort(rows)
    return {"select": ROWS, "coordinates": rows}, values[rows]


def same(ours, theirs, what):
    theirs = np.ascontiguousarray(theirs).reshape(-1)
    if ours.tobytes() != theirs.tobytes():
        bad = [i for i in range(len(theirs)) if ours[i].tobytes() != theirs[i].tobytes()]
        sys.exit(f"{what}: {len(bad)} of {len(theirs)} differ, first {bad[0]}: "
                 f"{ours[bad[0]]!r} is not {theirs[bad[0]]!r}")


def check_dataset(random, dataset, values, what):
    for number in range(6):
        arguments, expected = random_selection(random, values)
        arguments["alone"] = bool(random.integers(2))
        ours = dataset.read(values.dtype, **arguments)
        same(ours, expected, f"{what} selection {number} {arguments}")
        checked["selections"] += 1
        if values.dtype.names:
            same(dataset.read("<f4", members=["b"], type_="<f4", **arguments),
                 expected["b"].astype("<f4"), f"{what} member b as <f4")
            same(dataset.read(">u2", members=["c", "x"], type_=">u2", **arguments),
                 expected["c"]["x"].astype(">u2"), f"{what} member c.x")
            same(dataset.read(np.dtype(("<f8", 2)).base, members=["c", "x"], type_="<f8", **arguments),
                 expected["c"]["x"].astype("<f8"), f"{what} member c.x as float")
            checked["conversions"] += 3
        elif values.dtype.kind in "iu":
            for target in ("<f8", ">f8", "<f4"):
                same(dataset.read(target, type_=target, **arguments), expected.astype(target),
                     f"{what} as {target}")
                checked["conversions"] += 1
            check_narrow(dataset, arguments, expected, TYPES[random.integers(13)], what)
        elif values.dtype.kind == "f":
            for target in ("<f8", ">f4", "<f2"):
                with np.errstate(all="ignore"):
                    wanted = expected.astype(target)
                ours = dataset.read(target, type_=target, clip=True, **arguments)
                wanted = np.ascontiguousarray(wanted).reshape(-1)
                if not np.array_equal(ours, wanted, equal_nan=True):
                    sys.exit(f"{what} as {target} differs")
                checked["conversions"] += 1


def check_narrow(dataset, arguments, expected, target, what):
    """Integers: refused if one does not fit, the nearest with clip."""
    limits = np.iinfo(target)
    exact = [int(value) for value in np.ascontiguousarray(expected).reshape(-1)]
    clipped = np.array([min(max(value, limits.min), limits.max) for value in exact], dtype=target)
    same(dataset.read(target, type_=target, clip=True, **arguments), clipped, f"{what} clipped to {target}")
    checked["conversions"] += 1
    if all(limits.min <= value <= limits.max for value in exact):
        same(dataset.read(target, type_=target, **arguments), clipped, f"{what} as {target}")
        return
    first = min(i for i, value in enumerate(exact) if not limits.min <= value <= limits.max)
    try:
        dataset.read(target, type_=target, **arguments)
        sys.exit(f"{what} as {target}: element {first} does not fit, and was given")
    except Refused as refused:
        if refused.status != TOO_LARGE or "element " not in str(refused):
            sys.exit(f"{what} as {target}: {refused}")
    checked["refusals"] += 1


def random_files(folder, rounds):
    for round_ in range(rounds):
        random = np.random.default_rng(SEED + round_)
        path = os.path.join(folder, "random.h5")
        with h5py.File(path, "w", libver="latest" if round_ % 2 else "earliest") as file:
            for i in range(10):
                make_dataset(random, file, f"d{i}")
        with h5py.File(path) as theirs, File(path) as ours:
            for i in range(10):
                what = f"seed {SEED + round_} d{i} {theirs[f'd{i}']} chunks {theirs[f'd{i}'].chunks}"
                with Dataset(ours, f"d{i}") as dataset:
                    check_dataset(random, dataset, theirs[f"d{i}"][...], what)
                checked["datasets"] += 1


# ---- numbers ---------------------------------------------------------------------------------------

def special_floats(folder):
    """Every float16 as everything, odd floats and integers with spare bits against libhdf5."""
    path = os.path.join(folder, "floats.h5")
    halves = np.arange(65536, dtype=np.uint16).view("<f2")
    random = np.random.default_rng(SEED)
    doubles = random.integers(0, 2**64, 20000, dtype=np.uint64).view("<f8")
    small = (random.standard_normal(20000) * 10.0 ** random.integers(-9, 6, 20000)).astype("<f8")
    with h5py.File(path, "w") as file:
        file["halves"], file["doubles"], file["small"] = halves, doubles, small
        file["long"] = small.astype(np.longdouble)
        odd = h5py.h5t.IEEE_F32LE.copy()
        odd.set_fields(20, 14, 6, 0, 14)
        odd.set_ebias(31)
        odd.set_precision(21)
        odd.set_size(4)
        space = h5py.h5s.create_simple((20000,))
        made = h5py.h5d.create(file.id, b"odd", odd, space)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.clip(small, -1e9, 1e9).astype("<f4"))
        spare = h5py.h5t.STD_I32LE.copy()
        spare.set_precision(13)
        spare.set_offset(5)
        made = h5py.h5d.create(file.id, b"spare", spare, space)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, random.integers(-4096, 4096, 20000, dtype="<i4"))
        brain = h5py.h5t.IEEE_F32LE.copy()
        brain.set_fields(15, 7, 8, 0, 7)
        brain.set_precision(16)
        brain.set_size(2)
        brain.set_ebias(127)
        made = h5py.h5d.create(file.id, b"brain", brain, space)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, small.astype("<f4"))
    with np.errstate(all="ignore"), h5py.File(path) as theirs, File(path) as ours:
        def compare(name, target, expected):
            with Dataset(ours, name) as dataset:
                got = dataset.read(target, type_=target, clip=True)
            if not np.array_equal(got, expected, equal_nan=True):
                bad = [i for i in range(len(got)) if got[i] != expected[i]
                       and not (np.isnan(got[i]) and np.isnan(expected[i]))]
                sys.exit(f"{name} as {target}: {got[bad[0]]!r} is not {expected[bad[0]]!r} ({len(bad)})")
            checked["conversions"] += len(got)
        compare("halves", "<f8", halves.astype("<f8"))
        compare("halves", ">f4", halves.astype(">f4"))
        for target in ("<f2", "<f4", ">f4", ">f2"):
            compare("doubles", target, doubles.astype(target))
            compare("small", target, small.astype(target))
        compare("long", "<f8", small)
        for name, memory in (("odd", "<f4"), ("spare", "<i4"), ("brain", "<f4")):
            wanted = np.empty(20000, memory)
            theirs[name].id.read(h5py.h5s.ALL, h5py.h5s.ALL, wanted)
            compare(name, memory, wanted)
        with Dataset(ours, "small") as dataset:
            got = dataset.read("<u2", type_="bfloat16", clip=True)
        bits = small.astype("<f4")
        exact = np.array([float(x) for x in small])
        back = (got.astype("<u4") << 16).view("<f4").astype("<f8")
        step = np.abs(np.nextafter(bits, np.float32(np.inf)).astype("<f8")) * 2.0**-8 + 1e-38
        if not np.all(np.abs(back - exact) <= step):
            sys.exit("small as bfloat16 is not the nearest")


# ---- refusals, threads ------------------------------------------------------------------------------

def refused(status, text, run):
    try:
        run()
    except Refused as reason:
        if reason.status != status or text not in str(reason):
            sys.exit(f"expected {status} with {text!r}: {reason}")
        checked["refusals"] += 1
        return
    sys.exit(f"expected {status} with {text!r}, but it was given")


def refusals(folder):
    path = os.path.join(folder, "refused.h5")
    with h5py.File(path, "w") as file:
        file["floats"] = np.array([1.0, 2.5, np.nan, 1e300])
        file["texts"] = np.array([b"abc", b"abcdef"], dtype="S6")
        file["variable"] = ["a", "b"]
        file["flags"] = np.array([True, False])
        file.create_dataset("chunks", (1000,), "<f8", chunks=(100,), compression="gzip")[...] = 1.5
        place = file["chunks"].id.get_chunk_info(7).byte_offset
    with File(path) as ours:
        with Dataset(ours, "floats") as floats:
            same(floats.map("<f8"), np.array([1.0, 2.5, np.nan, 1e300]), "mapped")
            refused(TOO_LARGE, "element 1 ", lambda: floats.read("<i4", type_="<i4"))
            refused(TOO_LARGE, "element 3 ", lambda: floats.read("<f4", type_="<f4"))
            same(floats.read("<i2", type_="<i2", clip=True), np.array([1, 2, 0, 32767], "<i2"), "clip")
            refused(BAD_ARGUMENT, "dimension 0", lambda: floats.read(
                "<f8", select=HYPERSLAB, slab=([3], [2], [1], [1])))
            refused(BAD_ARGUMENT, "place 4", lambda: floats.read("<f8", select=ROWS, coordinates=[4]))
            refused(BAD_ARGUMENT, "member", lambda: floats.read("<f8", members=["x"]))
            refused(BAD_ARGUMENT, "names no type", lambda: floats.read("<f8", type_="x9"))
            refused(UNSUPPORTED, "cannot be read", lambda: floats.read("S4", type_="S4"))
        with Dataset(ours, "texts") as texts:
            same(texts.read("S9", type_="S9"), np.array([b"abc", b"abcdef"], "S9"), "texts")
            refused(TOO_LARGE, "element 1 ", lambda: texts.read("S4", type_="S4"))
            same(texts.read("S4", type_="S4", clip=True), np.array([b"abc", b"abcd"], "S4"), "cut")
        with Dataset(ours, "variable") as variable:
            refused(UNSUPPORTED, "variable length", lambda: variable.read("V16"))
        with Dataset(ours, "flags") as flags:
            same(flags.read("<i4", type_="<i4"), np.array([1, 0], "<i4"), "flags")
    with open(path, "r+b") as file:
        file.seek(place + 10)
        file.write(b"\xff" * 8)
    with File(path) as ours, Dataset(ours, "chunks") as chunks:
        refused(UNSUPPORTED, "not mapped", lambda: chunks.map("<f8"))
        refused(CORRUPT, "/chunks: the chunk at", lambda: chunks.read("<f8"))
        refused(CORRUPT, "/chunks: the chunk at", lambda: chunks.read("<f8", select=ROWS, coordinates=[750]))
        same(chunks.read("<f8", select=ROWS, coordinates=[650]), np.array([1.5]), "beside damage")


def cancelling(folder):
    """A token that is not requested changes nothing; one that is ends a read, and a scan at its next batch."""
    path = os.path.join(folder, "cancel.h5")
    values = np.arange(4 << 20, dtype="<i4")
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, chunks=(1 << 16,), compression="gzip", compression_opts=1)
    token, error = ctypes.c_void_p(), Error()
    if LIB.basalt_cancel_create(ctypes.byref(token), ctypes.byref(error)):
        sys.exit(error.message)
    options = ScanOptions()
    stream = ctypes.create_string_buffer(40)
    get_next = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    array = ctypes.create_string_buffer(80)
    with File(path) as ours, Dataset(ours, "d") as dataset:
        same(dataset.read("<i4", cancel=token), values, "a token at rest")
        LIB.basalt_hdf5_scan_options_init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
        options.cancel = token
        call("scan_with", ours.handle, b"/d", ctypes.byref(options), stream)
        pointers = ctypes.cast(stream, ctypes.POINTER(ctypes.c_void_p))
        if get_next(pointers[1])(ctypes.addressof(stream), ctypes.addressof(array)):
            sys.exit("the first batch was cancelled by nobody")
        release(ctypes.cast(array, ctypes.POINTER(ctypes.c_void_p))[8])(ctypes.addressof(array))
        LIB.basalt_cancel_request(token)
        if get_next(pointers[1])(ctypes.addressof(stream), ctypes.addressof(array)) != errno.ECANCELED:
            sys.exit("a cancelled scan goes on")
        release(pointers[3])(ctypes.addressof(stream))
        refused(CANCELLED, "cancelled", lambda: dataset.read("<i4", cancel=token))
        refused(CANCELLED, "cancelled", lambda: dataset.read("<i4", cancel=token, alone=True))
    LIB.basalt_cancel_free(ctypes.byref(token))


def small_slices(folder):
    """Eight threads, many slices each: right, and a chunk decoded once."""
    path = os.path.join(folder, "slices.h5")
    values = np.arange(40 * 4096, dtype="<i4").reshape(-1, 8)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, chunks=(512, 8), compression="gzip", shuffle=True)
    failures = []

    def read_some(dataset, seed):
        random = np.random.default_rng(seed)
        for _ in range(300):
            row, count = int(random.integers(0, len(values) - 20)), int(random.integers(1, 20))
            got = dataset.read("<i4", select=HYPERSLAB, slab=([row, 2], [count, 4], [1, 1], [1, 1]))
            if not np.array_equal(got.reshape(-1, 4), values[row:row + count, 2:6]):
                failures.append((seed, row, count))
    with File(path) as ours, Dataset(ours, "d") as dataset:
        threads = [threading.Thread(target=read_some, args=(dataset, SEED + i)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = ours.stats()
        if failures or stats.chunks_decoded != 40:
            sys.exit(f"small slices: {len(failures)} wrong, {stats.chunks_decoded} chunks decoded, not 40")
        checked["selections"] += 8 * 300


def main():
    with tempfile.TemporaryDirectory() as temporary:
        random_files(temporary, int(os.environ.get("BASALT_ROUNDS", "60")))
        special_floats(temporary)
        refusals(temporary)
        cancelling(temporary)
        small_slices(temporary)
    print(", ".join(f"{count} {name}" for name, count in checked.items()) + ": equal to h5py")


if __name__ == "__main__":
    main()
