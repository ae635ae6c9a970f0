#!/usr/bin/env python3
"""Elements of variable length, one by one, beside h5py's values: any selection, parts inside parts, and
virtual datasets whose sources are other files.

variable.py LIBRARY     exit 77: skipped
"""
import ctypes
import os
import sys
import tempfile

import selections
from selections import HYPERSLAB, POINTS, ROWS, BAD_ARGUMENT, Dataset, File, Refused, h5py, np

import pyarrow as pa

EACH = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
checked = 0


def elements(dataset, stop_after=None, **selection):
    """The bytes of each selected element."""
    options, kept = selections.make_options(**selection)
    got = []

    @EACH
    def each(_context, index, data, count):
        assert index == len(got), (index, len(got))
        got.append(ctypes.string_at(data, count))
        return len(got) != stop_after

    selections.call("read_variable", dataset.handle, ctypes.byref(options), each, None)
    del kept
    return got


def flat(value, dtype, outermost=True):
    """What the header says of a value that h5py read."""
    if h5py.check_string_dtype(dtype) and h5py.check_string_dtype(dtype).length is None:
        text = value.encode() if isinstance(value, str) else bytes(value)
        return text if outermost else np.uint64(len(text)).tobytes() + text
    base = h5py.check_vlen_dtype(dtype)
    if base is not None:
        items = b"".join(flat(item, base, False) for item in value)
        return items if outermost else np.uint64(len(value)).tobytes() + items
    if dtype.names:
        return b"".join(flat(value[name], dtype.fields[name][0], False) for name in dtype.names)
    if dtype.subdtype:
        return b"".join(flat(item, dtype.base, False) for item in np.asarray(value, dtype=object).ravel()) \
            if dtype.base.hasobject else np.asarray(value, dtype.base).tobytes()
    return np.asarray(value, dtype).tobytes()


def same(got, wanted, dtype, what):
    global checked
    wanted = [flat(value, dtype) for value in wanted]
    if got != wanted:
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        sys.exit(f"{what}: {len(got)} elements, not {len(wanted)}; at {at}: "
                 f"{got[at:at + 1]} is not {wanted[at:at + 1]}")
    checked += len(got)


# ---- values ----------------------------------------------------------------------------------------

TEXT, BYTES = h5py.string_dtype(), h5py.string_dtype("ascii")
DTYPES = {
    "text": TEXT,
    "ascii": BYTES,
    "i4": h5py.vlen_dtype(np.dtype("<i4")),
    "f8": h5py.vlen_dtype(np.dtype(">f8")),
    "records": h5py.vlen_dtype(np.dtype([("a", "<i2"), ("b", "<f8")])),
    "mixed": np.dtype([("n", "<i8"), ("text", TEXT), ("list", h5py.vlen_dtype(np.dtype("u1"))), ("x", "<f4", (2,))]),
}


def random_text(random):
    return "".join(chr(int(c)) for c in random.integers(0x20, 0x2FF, int(random.integers(0, 12))))


def random_value(random, dtype):
    info = h5py.check_string_dtype(dtype)
    if info:
        text = random_text(random)
        return text if info.encoding == "utf-8" else text.encode("ascii", "replace")
    base = h5py.check_vlen_dtype(dtype)
    if base is not None:
        count = int(random.integers(0, 6))
        out = np.empty(count, base)
        for i in range(count):
            out[i] = random_value(random, base)
        return out
    if dtype.names:
        return tuple(random_value(random, dtype.fields[name][0]) for name in dtype.names)
    if dtype.subdtype:
        return random.integers(-100, 100, dtype.shape).astype(dtype.base)
    return random.integers(0, 100, 1).astype(dtype)[0]


def random_values(random, dtype, shape):
    values = np.empty(shape, dtype)
    for at in np.ndindex(*shape):
        values[at] = random_value(random, dtype)
    return values


def write(dataset, values):
    """h5py writes arrays of sequences of objects one by one only."""
    if dataset.id.get_type().get_class() == h5py.h5t.VLEN:
        for at in np.ndindex(*values.shape):
            dataset[at] = values[at]
    else:
        dataset[...] = values


def check(ours, path, values, random, what):
    dtype = values.dtype
    with Dataset(ours, path) as dataset:
        same(elements(dataset), values.ravel(), dtype, what)
        if not values.size:
            return
        for _ in range(6):
            slab = selections.random_slab(random, values.shape)
            index = np.ix_(*[np.array(selections.slab_places(slab, d), int) for d in range(values.ndim)])
            same(elements(dataset, select=HYPERSLAB, slab=slab), values[index].ravel(), dtype, f"{what} {slab}")
        points = np.stack([random.integers(0, n, 20) for n in values.shape], axis=1)
        same(elements(dataset, select=POINTS, coordinates=points), values[tuple(points.T)], dtype, f"{what} points")
        rows = random.integers(0, values.shape[0], 15)
        same(elements(dataset, select=ROWS, coordinates=rows), values[rows].ravel(), dtype, f"{what} rows")
        for name in dtype.names or ():
            same(elements(dataset, members=[name]), values[name].reshape(values.size, *values[name].shape[
                values.ndim:]), dtype.fields[name][0], f"{what}.{name}")
        if len(elements(dataset, stop_after=1)) != 1:
            sys.exit(f"{what}: it did not stop")
        try:
            elements(dataset, type_="<i4")
            sys.exit(f"{what}: converted")
        except Refused as refusal:
            assert refusal.status == BAD_ARGUMENT, refusal


def random_files(folder):
    random = np.random.default_rng(selections.SEED)
    for libver in ("earliest", "latest"):
        path = os.path.join(folder, f"{libver}.h5")
        all_values = {}
        with h5py.File(path, "w", libver=libver) as file:
            for name, dtype in DTYPES.items():
                for rank, shape in enumerate([(300,), (17, 9), (5, 3, 4)]):
                    for form, options in (("flat", {}), ("chunked", {
                            "chunks": tuple(max(1, n // 3) for n in shape), "compression": "gzip"})):
                        values = random_values(random, dtype, shape)
                        dataset = file.create_dataset(f"{name}_{rank}_{form}", shape, dtype, **options)
                        write(dataset, values)
                        all_values[dataset.name] = values
            file.create_dataset("large", (300000,), h5py.vlen_dtype(np.dtype("<i4")), chunks=(1000,))
            file["large"][200000:200002] = np.array([np.arange(3, dtype="<i4"), np.arange(2, dtype="<i4")], object)
        with File(path) as ours:
            for name, values in all_values.items():
                check(ours, name, values, random, f"{libver}{name}")
            with Dataset(ours, "/large") as large:  # more than one piece
                got = elements(large)
                assert len(got) == 300000 and [i for i, data in enumerate(got) if data] == [200000, 200001]
                got = elements(large, select=HYPERSLAB, slab=([199999], [2], [3], [2]))
                assert [len(data) for data in got] == [0, 12, 0, 0], got
                got = elements(large, select=HYPERSLAB, slab=([1], [2], [150000], [140000]))  # cut inside blocks
                assert [i for i, data in enumerate(got) if data] == [189999, 190000] and len(got) == 280000


# ---- sources in other files ------------------------------------------------------------------------

def arrow(file, path):
    stream, error = ctypes.create_string_buffer(40), selections.Error()
    status = selections.LIB.basalt_hdf5_scan(file.handle, path.encode(), ctypes.c_uint64(0), ctypes.c_uint64(1 << 40),
                                             stream, ctypes.byref(error))
    if status:
        raise Refused(status, error)
    table = pa.RecordBatchReader._import_from_c(ctypes.addressof(stream)).read_all()
    return table.column(0).to_pylist() if table.num_columns == 1 else table.to_pylist()


def plain(value, dtype):
    """As pyarrow gives it."""
    if h5py.check_string_dtype(dtype):
        return value if isinstance(value, str) else value.decode()
    base = h5py.check_vlen_dtype(dtype)
    if base == np.dtype("u1"):
        return bytes(value)
    if base is not None:
        return [plain(item, base) for item in value]
    if dtype.names:
        return {name: plain(value[name], dtype.fields[name][0]) for name in dtype.names}
    return np.asarray(value).tolist()


def virtual_files(folder):
    """Blocks of three files, one of them twice removed, some elements from none: the heap of each is asked."""
    random = np.random.default_rng(selections.SEED + 1)
    parts = {}
    for number in range(3):
        with h5py.File(os.path.join(folder, f"part{number}.h5"), "w") as file:
            for name, dtype in DTYPES.items():
                parts[number, name] = random_values(random, dtype, (40,))
                write(file.create_dataset(name, (40,), dtype), parts[number, name])
    with h5py.File(os.path.join(folder, "between.h5"), "w", libver="latest") as file:
        for name, dtype in DTYPES.items():
            layout = h5py.VirtualLayout((40,), dtype)
            layout[:] = h5py.VirtualSource("part2.h5", name, (40,), dtype)
            file.create_virtual_dataset(name, layout)
    path = os.path.join(folder, "virtual.h5")
    with h5py.File(path, "w", libver="latest") as file:
        for name, dtype in DTYPES.items():
            write(file.create_dataset(name + "_own", (10,), dtype), parts[0, name][:10])
            layout = h5py.VirtualLayout((150,), dtype)
            layout[0:80:2] = h5py.VirtualSource("part0.h5", name, (40,), dtype)
            layout[1:41:2] = h5py.VirtualSource("part1.h5", name, (40,), dtype)[20:]
            layout[90:130] = h5py.VirtualSource("between.h5", name, (40,), dtype)
            layout[130:140] = h5py.VirtualSource(".", name + "_own", (10,), dtype)
            file.create_virtual_dataset(name, layout)
    with File(path) as ours:
        for name, dtype in DTYPES.items():
            values = np.empty((150,), dtype)
            with h5py.File(os.path.join(folder, "empty.h5"), "w") as file:
                values[:] = file.create_dataset(name, (150,), dtype)[()]  # what an unwritten element is
            if h5py.check_string_dtype(dtype):
                values[:] = "" if h5py.check_string_dtype(dtype).encoding == "utf-8" else b""
            values[0:80:2] = parts[0, name]
            values[1:41:2] = parts[1, name][20:]
            values[90:130] = parts[2, name]
            values[130:140] = parts[0, name][:10]
            if dtype.names:
                for row in values:
                    row["text"] = row["text"] if isinstance(row["text"], str) else ""
            check(ours, name, values, random, f"virtual {name}")
            got = arrow(ours, name)
            wanted = [plain(value, dtype) for value in values]
            if got != wanted:
                at = next(i for i in range(150) if got[i] != wanted[i])
                sys.exit(f"virtual {name} as Arrow: {got[at]} is not {wanted[at]} at {at}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        random_files(folder)
        virtual_files(folder)
    print(f"{checked} elements of variable length: equal to h5py")


if __name__ == "__main__":
    main()
