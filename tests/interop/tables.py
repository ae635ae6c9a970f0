#!/usr/bin/env python3
"""Files that h5py, anndata and Basalt made, read through basalt/hdf5.h, value for value.

tables.py LIBRARY     exit 77: skipped
"""
import ctypes
import json
import math
import os
import sys
import tempfile
import warnings

del sys.path[0]  # where this file is: "tables" below is PyTables, which pandas wants
try:
    import anndata
    import h5py
    import netCDF4
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import scipy.sparse
    import tables
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

LIB = ctypes.CDLL(sys.argv[1])
CORRUPT, UNSUPPORTED, NOT_FOUND = 6, 8, 1
GROUP, DATASET, TYPE, SOFT, EXTERNAL = range(5)
ALL = 2**64 - 1
checked = 0


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("os_errno", ctypes.c_int),
                ("file_offset", ctypes.c_uint64), ("message", ctypes.c_char * 240)]


class Entry(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), ("depth", ctypes.c_uint), ("kind", ctypes.c_int),
                ("type", ctypes.c_char_p), ("target", ctypes.c_char_p), ("rank", ctypes.c_uint),
                ("dims", ctypes.c_uint64 * 32), ("max_dims", ctypes.c_uint64 * 32),
                ("layout", ctypes.c_char_p), ("chunk_dims", ctypes.c_uint64 * 32),
                ("filters", ctypes.c_char_p), ("raw_bytes", ctypes.c_uint64),
                ("stored_bytes", ctypes.c_uint64), ("attributes", ctypes.c_uint64)]


class ScanOptions(ctypes.Structure):
    _fields_ = [("struct_bytes", ctypes.c_size_t), ("first_row", ctypes.c_uint64),
                ("row_count", ctypes.c_uint64), ("layout", ctypes.c_int),
                ("missing_as_null", ctypes.c_bool),
                ("without_dictionaries", ctypes.c_bool), ("ascii_as_binary", ctypes.c_bool)]


class TableOf(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_char_p), ("rows", ctypes.c_uint64), ("columns", ctypes.c_uint64)]


PLAIN, WIDE = 1, 2
EACH_ENTRY = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.POINTER(Entry))
EACH_ATTRIBUTE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p,
                                  ctypes.c_char_p, ctypes.c_char_p)


class Refused(Exception):
    def __init__(self, status, error):
        super().__init__(f"{status}: {error.message.decode()}")
        self.status = status


class File:
    """One open basalt_hdf5."""

    def __init__(self, path):
        self.handle = ctypes.c_void_p()
        self.call("open", path.encode(), ctypes.byref(self.handle))

    def call(self, name, *arguments):
        error = Error()
        status = getattr(LIB, "basalt_hdf5_" + name)(*arguments, ctypes.byref(error))
        if status:
            raise Refused(status, error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIB.basalt_hdf5_close(ctypes.byref(self.handle))

    def table_of(self, path):
        found = TableOf()
        self.call("describe_table", self.handle, path.encode(), ctypes.byref(found))
        return found.kind.decode(), found.rows, found.columns

    def walk(self, path="/", depth=1000, limit=None):
        found = []

        def each(_, pointer):
            e = pointer[0]
            copy = Entry.from_buffer_copy(e)
            for name, kind in Entry._fields_:
                if kind is ctypes.c_char_p:
                    setattr(copy, name, getattr(e, name))
            found.append(copy)
            return limit is None or len(found) < limit

        self.call("walk", self.handle, path.encode(), depth, EACH_ENTRY(each), None)
        return found

    def attributes(self, path):
        found = {}

        def each(_, name, kind, value):
            found[name.decode()] = (kind.decode(), json.loads(value.decode()))
            return True

        self.call("each_attribute", self.handle, path.encode(), EACH_ATTRIBUTE(each), None)
        return found

    def scan(self, path, first=0, count=ALL, **how):
        memory = ctypes.create_string_buffer(40)
        options = ScanOptions(ctypes.sizeof(ScanOptions), first, count, **how)
        self.call("scan_with", self.handle, path.encode(), ctypes.byref(options), memory)
        table = pa.RecordBatchReader._import_from_c(ctypes.addressof(memory)).read_all()
        table.validate(full=True)
        return table


def refused(status, call, *words):
    try:
        call()
    except Refused as e:
        assert e.status == status, e
        for word in words:
            assert word in str(e), (word, str(e))
        return
    raise AssertionError(f"not refused: {words}")


def same(table, expected, what):
    """One column against a numpy array."""
    global checked
    assert table.num_columns == 1 and table.num_rows == len(expected), (what, table.num_rows)
    column = table.column(0).combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
        expected = expected.reshape(-1)
    found = column.to_numpy(zero_copy_only=False)
    if expected.dtype.kind == "f":
        assert found.dtype == expected.dtype.newbyteorder("="), what
        assert np.array_equal(found, expected, equal_nan=True), what
    else:
        assert list(found) == list(expected), (what, list(found)[:5], list(expected)[:5])
    checked += len(expected)


def test_numbers(folder):
    path = os.path.join(folder, "numbers.h5")
    rng = np.random.default_rng(1)
    arrays = {}
    for kind in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]:
        for order in "<>":
            raw = rng.integers(0, 256, 1000 * int(kind[1]), dtype=np.uint8)
            arrays[f"{order}{kind}"] = raw.view(order + kind)
    arrays["bool"] = rng.integers(0, 2, 1000).astype(bool)
    arrays["2d"] = rng.random((70, 3))
    arrays["4d"] = rng.integers(0, 1000, (20, 2, 3, 4)).astype(">i4")
    arrays["2d bool"] = rng.integers(0, 2, (50, 5)).astype(bool)
    arrays["none"] = np.zeros(0)
    arrays["none 2d"] = np.zeros((0, 4))
    with h5py.File(path, "w") as f:
        for name, array in arrays.items():
            f[name] = array
            f.create_dataset("chunked " + name, data=array, compression="gzip", shuffle=True,
                             chunks=(7,) + array.shape[1:],
                             maxshape=(None,) + array.shape[1:])
        f["scalar"] = 42.5
        f["array type"] = np.zeros(4, dtype=[("x", "i4")])["x"]
        space = h5py.h5s.create_simple((3,))
        kind = h5py.h5t.array_create(h5py.h5t.NATIVE_INT16, (2, 2))
        d = h5py.h5d.create(f.id, b"arrays", kind, space)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(12, dtype="i2").reshape(3, 2, 2), kind)
        f["null"] = h5py.Empty("f4")
        f["fill"] = np.zeros(1)
        f.create_dataset("unwritten", (5,), "i4", fillvalue=9)
        f["enum"] = np.array([1, 0, 5], dtype=h5py.enum_dtype({"a": 0, "b": 1, "z": 5}, "i2"))
        f["opaque"] = np.array([b"abc", b"d\0f"], dtype="V3")
        narrow = h5py.h5t.STD_I16LE.copy()
        narrow.set_precision(10)
        narrow.set_offset(3)
        d = h5py.h5d.create(f.id, b"narrow", narrow, h5py.h5s.create_simple((4,)))
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([-512, -1, 0, 511], "i2"))
        f.create_dataset("big", data=np.arange(300000), chunks=(100000,))
    with File(path) as f:
        for name, array in arrays.items():
            for prefix in ["", "chunked "]:
                table = f.scan("/" + prefix + name)
                assert table.column_names == [prefix + name]
                same(table, array, prefix + name)
                part = f.scan("/" + prefix + name, 13, 29)
                same(part, array[13:42], prefix + name + " in part")
        shape = f.scan("4d").schema.field(0)
        assert isinstance(shape.type, pa.FixedShapeTensorType) and shape.type.shape == [2, 3, 4]
        assert f.scan("2d").schema.field(0).type == pa.list_(pa.field("item", pa.float64(), False), 3)
        same(f.scan("scalar"), np.array([42.5]), "scalar")
        same(f.scan("arrays"), np.arange(12, dtype="i2").reshape(3, 4), "arrays")
        assert f.scan("null").num_rows == 0
        same(f.scan("unwritten"), np.full(5, 9, "i4"), "fill value")
        assert f.scan("enum").column(0).type == pa.dictionary(pa.int8(), pa.utf8())
        assert f.scan("enum").column(0).to_pylist() == ["b", "a", "z"]
        names = f.scan("enum", without_dictionaries=True).column(0)
        assert names.type == pa.utf8() and names.to_pylist() == ["b", "a", "z"]
        assert f.scan("opaque").column(0).to_pylist() == [b"abc", b"d\0f"]
        same(f.scan("narrow"), np.array([-512, -1, 0, 511], "i2"), "fewer bits")
        same(f.scan("big", 99990, 100020), np.arange(99990, 200010), "chunks larger than a batch")
        same(f.scan("big", 10**12), np.arange(0), "beyond the end")
        refused(NOT_FOUND, lambda: f.scan("/nothing"), "nothing")


def test_texts(folder):
    path = os.path.join(folder, "texts.h5")
    texts = ["", "a", "zwei Wörter", "€" * 100, "x\ny"]
    with h5py.File(path, "w") as f:
        f["variable"] = texts
        f.create_dataset("ascii", data=["abc", "d"], dtype=h5py.string_dtype("ascii"))
        f["fixed"] = np.array([t.encode() for t in texts], dtype=h5py.string_dtype("utf-8", 300))
        f["bytes"] = np.array([b"abc", b"d", b""])
        f["2d"] = np.array([["a", "b"], ["cc", ""]], dtype=object)
        space = h5py.h5s.create_simple((2,))
        padded = h5py.h5t.C_S1.copy()
        padded.set_size(4)
        padded.set_strpad(h5py.h5t.STR_SPACEPAD)
        h5py.h5d.create(f.id, b"padded", padded, space).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.array([b"ab  ", b" c  "], "S4"), padded)
        f.create_dataset("sequence", (2,), dtype=h5py.vlen_dtype("u1"))
        f["sequence"][0] = np.array([1, 2, 3], "u1")
        f["latin"] = np.array([b"caf\xe9"])
        f.create_dataset("floats", (2,), dtype=h5py.vlen_dtype("f8"))
        f.create_dataset("references", data=[f["latin"].ref], dtype=h5py.ref_dtype)
        record = [("x", ">i4"), ("a text", "S5"), ("y", "f8"), ("b", "?"),
                  ("v", h5py.string_dtype())]
        rows = [(i, f"t{i % 10}", i / 8, i % 3 == 0, "w" * (i % 4)) for i in range(1000)]
        f.create_dataset("compound", data=np.array(rows, dtype=record), chunks=(30,))
        f["compound scalar"] = np.array((1, 2.5), dtype=[("x", "i4"), ("y", "f4")])
        f["complex"] = np.array([1 + 2j, 3 - 4j])
        f["compound 2d"] = np.zeros((2, 2), dtype=[("x", "i4")])
        f["compound with array"] = np.zeros(2, dtype=[("x", "i4"), ("many", "f4", (3,))])
        f["long double"] = np.zeros(2, dtype="longdouble")
        f["type"] = np.dtype("f8")
    with File(path) as f:
        for name in ["variable", "fixed"]:
            assert f.scan(name).column(0).to_pylist() == texts, name
        assert f.scan("ascii").column(0).to_pylist() == ["abc", "d"]
        assert f.scan("bytes").column(0).to_pylist() == ["abc", "d", ""]
        assert f.scan("padded").column(0).to_pylist() == ["ab", " c"]
        assert f.scan("2d").column(0).to_pylist() == [["a", "b"], ["cc", ""]]
        assert f.scan("sequence").column(0).to_pylist() == [b"\1\2\3", b""]
        table = f.scan("compound")
        assert table.column_names == ["x", "a text", "y", "b", "v"]
        assert [tuple(r.values()) for r in table.to_pylist()] == rows
        assert f.scan("compound", 25, 40).equals(table.slice(25, 40))
        assert f.scan("compound scalar").to_pylist() == [{"x": 1, "y": 2.5}]
        assert f.scan("complex").to_pydict() == {"r": [1, 3], "i": [2, -4]}
        assert f.scan("compound 2d").column(0).to_pylist() == [[{"x": 0}] * 2] * 2
        assert f.scan("compound with array").column("many").to_pylist() == [[0, 0, 0]] * 2
        assert f.scan("floats").column(0).to_pylist() == [[], []]
        assert f.scan("references").column(0).to_pylist() == ["/latin"]
        for name, word in [("long double", "f16"), ("type", "type")]:
            refused(UNSUPPORTED, lambda: f.scan(name), word)
        assert f.scan("latin", ascii_as_binary=True).column(0).to_pylist() == [b"caf\xe9"]
        try:
            f.scan("latin")
            raise AssertionError("not refused")
        except OSError as e:
            assert "not UTF-8" in str(e), e


def test_walk(folder):
    path = os.path.join(folder, "walk.h5")
    with h5py.File(path, "w") as f:
        f.create_group("a/b/c")
        f["a/x"] = np.arange(6).reshape(2, 3)
        f["a/b/c/root again"] = f["/"]
        f["a/b/x again"] = f["a/x"]
        f["soft"] = h5py.SoftLink("/a/x")
        f["dangling"] = h5py.SoftLink("/nowhere")
        f["external"] = h5py.ExternalLink("other.h5", "/there")
        f["type"] = np.dtype("i4")
        f.create_dataset("z", (100, 10), "f4", chunks=(10, 10), maxshape=(None, 10), shuffle=True,
                         compression=4, fletcher32=True)[:20] = 1
        f["a"].attrs["one"] = 1
        f["a"].attrs["two"] = "2"
        for i in range(500):
            f[f"many/{i}"] = i
    with File(path) as f, h5py.File(path) as h:
        entries = f.walk()
        paths = [e.path.decode() for e in entries]
        assert len(set(paths)) == len(paths)
        expected = {"/"}
        h.visit(lambda name: expected.add("/" + name))
        hard = {e.path.decode() for e in entries if e.kind in (GROUP, DATASET, TYPE)}
        assert {h[p].id.__hash__() for p in hard} == {h[p].id.__hash__() for p in expected}
        assert len(hard) == len({hash(h[p].id) for p in expected}), "each object once"
        by_path = {e.path.decode(): e for e in entries}
        for e in entries:
            assert e.depth == (0 if e.path == b"/" else e.path.count(b"/")), e.path
            parent = e.path.rsplit(b"/", 1)[0].decode() or "/"
            if e.path != b"/":
                assert paths.index(parent) < paths.index(e.path.decode()), "parents first"
        z = by_path["/z"]
        assert (z.kind, z.type, z.layout, z.rank) == (DATASET, b"<f4", b"chunked", 2)
        assert list(z.dims[:2]) == [100, 10] and list(z.max_dims[:2]) == [2**64 - 1, 10]
        assert list(z.chunk_dims[:2]) == [10, 10] and z.raw_bytes == 4000
        assert z.filters == b"shuffle, deflate 4, fletcher32", z.filters
        assert z.stored_bytes == h["z"].id.get_storage_size()
        assert by_path["/soft"].kind == SOFT and by_path["/soft"].target == b"/a/x"
        assert by_path["/dangling"].kind == SOFT
        assert by_path["/external"].kind == EXTERNAL
        assert b"other.h5" in by_path["/external"].target
        assert by_path["/type"].kind == TYPE
        assert by_path["/a"].attributes == 2
        assert [e.path for e in f.walk("/a/b", 0)] == [b"/a/b"]
        assert {e.path for e in f.walk("a/b/", 1)} == {b"/a/b", b"/a/b/c", b"/a/b/x again"}
        assert [e.depth for e in f.walk("/soft", 3)] == [0]
        assert len(f.walk(limit=3)) == 3
        refused(NOT_FOUND, lambda: f.walk("/a/nothing"))


def test_attributes(folder):
    path = os.path.join(folder, "attributes.h5")
    with h5py.File(path, "w") as f:
        a = f.attrs
        a["int"] = np.int8(-5)
        a["big"] = np.uint64(2**64 - 1)
        a["float"] = 0.1
        a["single"] = np.float32(0.1)
        a["half"] = np.array([1.5, -2**-24, np.inf, 65504], "f2")
        a["odd"] = np.array([math.nan, math.inf, -math.inf])
        a["text"] = 'a "quoted"\n€'
        a["fixed"] = np.bytes_("fixed")
        a["texts"] = ["a", "", "c"]
        a["2d"] = np.arange(6).reshape(2, 3)
        a["bool"] = True
        a["enum"] = np.array([1, 0], dtype=h5py.enum_dtype({"OFF": 0, "ON": 1}))
        a["compound"] = np.array((1, 2.5, b"x"), dtype=[("a", "i4"), ("b", ">f8"), ("c", "S3")])
        a["empty"] = h5py.Empty("f4")
        a["none"] = np.zeros(0)
        a["opaque"] = np.void(b"\1\2\xff")
        a["big endian"] = np.array([1, 256], ">i2")
        a.create("sequence", [np.array([1, 2]), np.array([3])], (2,), h5py.vlen_dtype("i4"))
        for i in range(100):
            a[f"many {i}"] = i
    with File(path) as f:
        found = f.attributes("/")
    expected = {
        "int": -5, "big": 2**64 - 1, "float": 0.1, "half": [1.5, -2**-24, "Infinity", 65504],
        "odd": ["NaN", "Infinity", "-Infinity"], "text": 'a "quoted"\n€', "fixed": "fixed",
        "texts": ["a", "", "c"], "2d": [[0, 1, 2], [3, 4, 5]], "bool": True, "enum": ["ON", "OFF"],
        "compound": {"a": 1, "b": 2.5, "c": "x"}, "empty": None, "none": [], "opaque": "0102ff",
        "big endian": [1, 256], "sequence": [[1, 2], [3]], "many 99": 99,
    }
    for name, value in expected.items():
        assert found[name][1] == value, (name, found[name], value)
    assert np.float32(found["single"][1]) == np.float32(0.1)
    assert found["float"][0] == "<f8" and found["text"][0] == "utf-8 string"
    assert len(found) == len(expected) - 1 + 1 + 100


def test_anndata(folder):
    path = os.path.join(folder, "cells.h5ad")
    n = 3000
    rng = np.random.default_rng(2)
    types = pd.Categorical.from_codes(rng.integers(-1, 3, n), ["B", "T", "NK cell"])
    obs = pd.DataFrame({
        "type": types,
        "rank": pd.Categorical.from_codes(rng.integers(-1, 3, n), [10, 20, 30]),
        "count": rng.integers(0, 100, n),
        "share": rng.random(n),
        "flag": rng.integers(0, 2, n).astype(bool),
        "maybe": pd.array([None if i % 7 == 0 else i for i in range(n)], dtype="Int64"),
        "maybe flag": pd.array([None if i % 5 == 0 else i % 2 == 0 for i in range(n)],
                               dtype="boolean"),
        "text": [f"cell text {i}" for i in range(n)],
    }, index=[f"cell{i}" for i in range(n)])
    data = anndata.AnnData(X=rng.random((n, 4)), obs=obs)
    data.write_h5ad(path, convert_strings_to_categoricals=False)
    with File(path) as f:
        table = f.scan("/obs")
        assert table.column_names == ["_index"] + list(obs.columns), table.column_names
        assert table.column("_index").to_pylist() == list(obs.index)
        assert table.schema.field("type").type == pa.dictionary(pa.int8(), pa.utf8())
        for name in obs.columns:
            expected = [None if pd.isna(v) else v for v in obs[name]]
            found = table.column(name).to_pylist()
            assert found == expected, (name, found[:10], expected[:10])
        values = f.scan("/obs", without_dictionaries=True)
        assert values.schema.field("type").type == pa.utf8()
        assert values.to_pydict() == table.to_pydict()
        assert f.scan("/obs/type").column(0).to_pylist() == table.column("type").to_pylist()
        assert f.scan("/obs/maybe").column(0).to_pylist() == table.column("maybe").to_pylist()
        part = f.scan("/obs", 1000, 1500)
        assert part.to_pydict() == table.slice(1000, 1500).to_pydict()
        same(f.scan("/X"), data.X, "X")
        assert f.scan("/var").num_rows == 4
        refused(UNSUPPORTED, lambda: f.scan("/uns"), "no table")
    with h5py.File(path, "r+") as h:
        h["obs/type/codes"][5] = 9
    with File(path) as f:
        try:
            f.scan("/obs")
            raise AssertionError("not refused")
        except OSError as e:
            assert "code 9" in str(e), e


def test_older_anndata(folder):
    """Categories beside the columns, found by reference."""
    path = os.path.join(folder, "older.h5ad")
    with h5py.File(path, "w") as f:
        g = f.create_group("obs")
        g.attrs["encoding-type"] = "dataframe"
        g.attrs["_index"] = "index"
        g.attrs["column-order"] = np.array(["kind"], dtype=object)
        g["index"] = ["a", "b", "c"]
        g["kind"] = np.array([1, -1, 0], "i1")
        g["__categories/kind"] = ["x", "y"]
        g["kind"].attrs["categories"] = g["__categories/kind"].ref
    with File(path) as f:
        assert f.scan("obs").to_pydict() == {"index": ["a", "b", "c"], "kind": ["y", None, "x"]}


def test_family(folder):
    """A family of Basalt's own, with every type, through the store and back through the file."""
    path = os.path.join(folder, "store.h5")
    n = 20000
    rng = np.random.default_rng(3)

    def some(values, kind):
        return pa.array([None if i % 11 == 3 else v for i, v in enumerate(values)], kind)

    ints = [int(v) for v in rng.integers(0, 100, n)]
    columns = {
        "strict": pa.array(ints, pa.int32()),
        "int8": some(ints, pa.int8()), "uint64": some(ints, pa.uint64()),
        "bool": some([v % 2 == 0 for v in ints], pa.bool_()),
        "half": pa.array(np.array(ints, "f2")), "float": some(rng.random(n).tolist(), pa.float32()),
        "double": some(rng.random(n).tolist(), pa.float64()),
        "text": some([f"text {v}" for v in ints], pa.utf8()),
        "large": some(["€" * (v % 5) for v in ints], pa.large_utf8()),
        "bytes": some([b"\1\2\0"[:v % 4] for v in ints], pa.binary()),
        "fixed": some([bytes([v, 0, 1]) for v in ints], pa.binary(3)),
        "date": some(ints, pa.date32()), "time": some(ints, pa.time64("ns")),
        "when": some(ints, pa.timestamp("us", "UTC")), "long": some(ints, pa.duration("ms")),
        "a/b": pa.array(ints, pa.int16()), ".hidden": pa.array(ints, pa.int16()), "": some(ints, pa.int8()),
        "schema": pa.array(ints, pa.int64()), "_index": pa.array(ints, pa.int64()),
    }
    fields = [pa.field(k, v.type, v.null_count > 0, {"unit": "m"} if k == "double" else None)
              for k, v in columns.items()]
    columns = list(columns.values()) + [pa.array(ints, pa.int8()), pa.array(ints, pa.int8())]
    fields += [pa.field("twice", pa.int8(), False), pa.field("twice", pa.int8(), False)]
    schema = pa.schema(fields, metadata={"made by": "a test"})
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    store, error, rows = ctypes.c_void_p(), Error(), ctypes.c_uint64()
    stream = ctypes.create_string_buffer(40)
    pa.RecordBatchReader.from_batches(
        schema, [batch.slice(i, 3000) for i in range(0, n, 3000)]
    )._export_to_c(ctypes.addressof(stream))

    def check(status):
        assert status == 0, error.message.decode()

    check(LIB.basalt_store_open(path.encode(), None, ctypes.byref(store), ctypes.byref(error)))
    check(LIB.basalt_append_stream(store, b"my/family", stream, None, 1, ctypes.byref(rows),
                                   ctypes.byref(error)))
    assert rows.value == n
    check(LIB.basalt_store_checkpoint(store, ctypes.byref(error)))
    for closed in (False, True):
        if closed:
            check(LIB.basalt_store_close(ctypes.byref(store), ctypes.byref(error)))
        with File(path) as f:
            table = f.scan("/my%2Ffamily")
            assert table.schema.equals(schema, check_metadata=True), table.schema
            whole = pa.Table.from_batches([batch])
            assert table.equals(whole), "a family read back"
            assert f.scan("/my%2Ffamily", 8000, 5000).equals(whole.slice(8000, 5000))
            attributes = f.attributes("/my%2Ffamily")
            assert attributes["instrument_id"][1] == "my/family"
    with h5py.File(path, "r+") as h:
        del h["my%2Ffamily/strict"]
        h["my%2Ffamily/strict"] = np.zeros(n)
    with File(path) as f:
        refused(CORRUPT, lambda: f.scan("/my%2Ffamily"), "strict", "another program")


def plain(value):
    """A value of h5py as pyarrow says it."""
    if isinstance(value, (np.void, tuple)) and getattr(value, "dtype", None) is not None \
            and value.dtype.names:
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, np.bytes_):
        return value.decode()
    if isinstance(value, np.generic):
        return value.item()
    return value.decode() if isinstance(value, bytes) else value


def equal(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, float) and isinstance(b, float) and a != a:
        return b != b
    return a == b and (a is None) == (b is None)


def agree(table, expected, what):
    """A dict of columns (lists; None or NaN: null or NaN) against a table."""
    global checked
    assert table.column_names == list(expected), (what, table.column_names, list(expected))
    for name, values in expected.items():
        found = table.column(name).to_pylist()
        assert len(found) == len(values), (what, name, len(found), len(values))
        for i, (a, b) in enumerate(zip(found, values)):
            assert equal(a, plain(b)), (what, name, i, a, plain(b))
        checked += len(values)


def left_out(table):
    return json.loads((table.schema.metadata or {}).get(b"basalt.left_out", b"[]"))


def test_group(folder):
    path = os.path.join(folder, "group.h5")
    rng = np.random.default_rng(4)
    columns = {"b": rng.random(3000), "a": rng.integers(0, 9, 3000),
               "ä": np.array([f"t{i}" for i in range(3000)], dtype=object)}
    with h5py.File(path, "w") as f:
        g = f.create_group("g")
        for name, values in columns.items():
            g.create_dataset(name, data=values, chunks=(170,),
                             dtype=None if values.dtype != object else h5py.string_dtype())
        g["matrix"] = np.zeros((3000, 2))
        g["other"] = np.zeros(7)
        g["scalar"] = 1
        g["wide float"] = np.zeros(3000, "longdouble")
        g.create_group("inner")["x"] = np.zeros((2, 2))
        o = f.create_group("ordered")
        for name in "abc":
            o[name] = np.full(5, ord(name))
        o.attrs["column-order"] = ["c", "a"]
        f.create_group("empty")
    with File(path) as f:
        whole = f.scan("g")
        agree(whole, {k: columns[k] for k in sorted(columns)}, "group")
        assert left_out(whole) == ["matrix", "other", "scalar", "wide float"], left_out(whole)
        assert f.table_of("g") == ("group", 3000, 3)
        agree(f.scan("g", 1234, 999), {k: columns[k][1234:2233] for k in sorted(columns)}, "part")
        ordered = f.scan("ordered")
        agree(ordered, {"c": [99] * 5, "a": [97] * 5}, "column-order")
        assert left_out(ordered) == ["b"]
        for name in ["empty", "g/inner", "/"]:
            refused(UNSUPPORTED, lambda: f.scan(name), "no table", name.strip("/"))


def test_compound(folder):
    path = os.path.join(folder, "compound.h5")
    n = 1000
    colour = h5py.enum_dtype({"RED": 3, "GREEN": -2, "BLUE": 70}, "i2")
    inner = np.dtype([("p", ">f4"), ("q", "S3"), ("deep", [("n", "u1"), ("m", "<i8", (2,))])])
    kind = np.dtype([("half", "f2"), ("colour", colour), ("flag", "?"), ("inner", inner),
                     ("grid", ">i2", (2, 3)), ("raw", "V5"), ("fixed", h5py.string_dtype("utf-8", 8)),
                     ("text", h5py.string_dtype()), ("list", h5py.vlen_dtype("<i4")),
                     ("ref", h5py.ref_dtype)])
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as f:
        f["there/it is"] = 1
        records = np.zeros(n, kind)
        for i in range(n):
            r = records[i]
            r["half"] = i / 8
            r["colour"] = [3, -2, 70, 5][i % 4]
            r["flag"] = i % 3 == 0
            r["inner"]["p"] = i / 4
            r["inner"]["q"] = b"ab"[: i % 3]
            r["inner"]["deep"]["n"] = i % 256
            r["inner"]["deep"]["m"] = [i, -i]
            r["grid"] = rng.integers(-999, 999, (2, 3))
            r["raw"] = bytes([i % 256, 0, 1, 2, 3])
            r["fixed"] = "ä€"[: i % 3].encode()
            r["text"] = "w" * (i % 5)
            r["list"] = np.arange(i % 7, dtype="i4")
            r["ref"] = f["there/it is"].ref if i % 2 else h5py.Reference()
        f.create_dataset("records", data=records, chunks=(77,))
        nested = h5py.vlen_dtype(np.dtype([("a", "i1"), ("b", "f8")]))
        d = f.create_dataset("lists of records", (3,), nested)
        d[1] = np.array([(1, 2.5), (3, 4.5)], np.dtype([("a", "i1"), ("b", "f8")]))
        f.create_dataset("time", (2,), "i4")
        h5py.h5d.create(f.id, b"times", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,)))
    names = {3: "RED", -2: "GREEN", 70: "BLUE", 5: None}
    expected = {name: list(records[name]) for name in kind.names}
    expected["colour"] = [names[int(v)] for v in records["colour"]]
    expected["grid"] = [list(v.reshape(-1)) for v in records["grid"]]
    expected["raw"] = [bytes([i % 256, 0, 1, 2, 3]) for i in range(n)]
    expected["ref"] = ["/there/it is" if i % 2 else None for i in range(n)]
    with File(path) as f:
        for first, count in [(0, n), (501, 333)]:
            table = f.scan("records", first, count)
            grid = table.column("grid")
            assert table.schema.field("grid").type.shape == [2, 3]
            storage = pa.chunked_array([c.storage for c in grid.chunks])
            table = table.set_column(4, "grid", storage)
            part = {k: v[first:first + count] for k, v in expected.items()}
            raw = part.pop("raw")
            assert table.column("raw").to_pylist() == raw
            agree(table.drop_columns(["raw"]), part, "records")
        assert table.schema.field("colour").type == pa.dictionary(pa.int8(), pa.utf8())
        assert table.schema.field("flag").type == pa.bool_()
        assert f.scan("lists of records").column(0).to_pylist() == \
            [[], [{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}], []]
        refused(UNSUPPORTED, lambda: f.scan("times"), "times", "time")


def test_wide(folder):
    path = os.path.join(folder, "wide.h5")
    data = np.random.default_rng(6).random((2000, 5))
    with h5py.File(path, "w") as f:
        f.create_dataset("m", data=data, chunks=(64, 3), compression="gzip")
        f["flat"] = data[:, 0]
    with File(path) as f:
        for first, count in [(0, 2000), (777, 500)]:
            part = data[first:first + count]
            expected = {"row": list(range(first, first + count))}
            expected.update({str(i): part[:, i] for i in range(5)})
            agree(f.scan("m", first, count, layout=WIDE), expected, "wide")
        refused(UNSUPPORTED, lambda: f.scan("flat", layout=WIDE), "flat", "two dimensions")


def test_pandas(folder):
    n = 500
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({
        "x": rng.random(n), "y": rng.integers(0, 100, n), "z": rng.random(n).astype("f4"),
        "when": pd.date_range("2020-01-01", periods=n, freq="h").astype("datetime64[ns]"),
        "span": pd.to_timedelta(np.arange(n), unit="s").astype("timedelta64[ns]"),
        "flag": rng.integers(0, 2, n).astype(bool), "y2": rng.integers(0, 100, n),
    }, index=pd.date_range("2021-01-01", periods=n, freq="min").astype("datetime64[ns]"))
    frame.loc[frame.index[3], "x"] = math.nan
    texts = pd.DataFrame({"t": [None if i % 9 == 0 else f"text {i}" for i in range(n)],
                          "v": np.arange(n)})
    path = os.path.join(folder, "pandas.h5")
    frame.to_hdf(path, key="fixed", format="fixed")
    frame.to_hdf(path, key="all_columns", format="table", data_columns=True)
    frame[["x", "y", "y2"]].to_hdf(path, key="blocks", format="table")
    texts.to_hdf(path, key="texts", format="table", data_columns=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it pickles, which is what is wanted here
        texts.to_hdf(path, key="objects", format="fixed")
    frame["x"].to_hdf(path, key="series", format="fixed")
    mixed = {"mixed": pd.DataFrame({
        "b": np.arange(5), "ä t": ["x", None, "zz", "", "w"], "a": np.arange(5) / 2, "c": pd.Categorical(
            ["u", "v", None, "u", "w"]), "o": pd.Categorical([3, 1, 2, 1, 3], ordered=True), "b2": np.arange(5) * 2,
        "zone": pd.date_range("2020", periods=5, tz="Europe/Berlin").astype("datetime64[ns, Europe/Berlin]"),
        "f": [True, False, True, False, True], "i1": np.arange(5, dtype="i1"), "f4": np.arange(5, dtype="f4"),
        "span": pd.to_timedelta(np.arange(5), unit="s").astype("timedelta64[ns]")},
        index=pd.date_range("2021", periods=5, name="when", tz="UTC").astype("datetime64[ns, UTC]"))}
    mixed["data_columns"] = mixed["mixed"].copy()
    mixed["numbers"] = pd.DataFrame(np.arange(12).reshape(3, 4), columns=[10, 2, -3, 4])
    mixed["others"] = pd.DataFrame(np.arange(6.0).reshape(3, 2), columns=[1.5, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are no identifiers
        for key, value in mixed.items():
            value.to_hdf(path, key=key, format="table", data_columns=["b2", "c"] if key == "data_columns" else None)
        pd.DataFrame({("p", 1): [1, 2], ("q", 2): [3, 4]}).to_hdf(path, key="tuples", format="table")
        pd.DataFrame({"v": [1.5, 2.5]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", "n"])).to_hdf(
            path, key="level_table", format="table")
    pd.DataFrame(rng.random((20, 3))).to_hdf(path, key="numbered", format="fixed")
    pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])).to_hdf(
        path, key="levels", format="fixed")

    def nanoseconds(values):
        return [int(v) for v in np.asarray(values).astype("i8")]

    def expect(table, source, renamed=None):
        names = [source.index.name or "index"] + [str(name) for name in source.columns]
        assert table.column_names == (renamed or names), table.column_names
        for i, (name, found) in enumerate(zip(names, table.columns)):
            values = source.index if i == 0 else source.iloc[:, i - 1]
            if isinstance(values.dtype, pd.CategoricalDtype):
                assert pa.types.is_dictionary(found.type) and found.type.ordered == values.cat.ordered, name
                assert found.chunk(0).dictionary.to_pylist() == list(values.cat.categories), name
                found = pa.chunked_array([found.to_pylist()])
                values = values.astype(object).where(values.notna(), None)
            zone = getattr(values.dtype, "tz", None)
            if values.dtype.kind in "Mm":
                wanted = pa.timestamp("ns", str(zone) if zone else None) if values.dtype.kind == "M" \
                    else pa.duration("ns")
                assert found.type == wanted, (name, found.type, wanted)
                assert found.cast(pa.int64()).to_pylist() == nanoseconds(
                    values.tz_convert(None) if zone and i == 0 else values.dt.tz_convert(None) if zone else values), name
            else:
                agree(pa.table({"v": found}), {"v": [None if v is None else v for v in values]}, name)

    with File(path) as f:
        expect(f.scan("fixed"), pd.read_hdf(path, "fixed"))
        expect(f.scan("fixed", 100, 50), frame.iloc[100:150])
        expect(f.scan("all_columns"), pd.read_hdf(path, "all_columns"))
        read = pd.read_hdf(path, "texts")
        expect(f.scan("texts"), read.astype(object).where(read.notna(), None).astype({"v": "i8"}))
        expect(f.scan("blocks"), pd.read_hdf(path, "blocks"))
        for key in mixed:
            got = f.scan(key)
            assert not got.schema.metadata or b"basalt.not_read" not in got.schema.metadata, key
            wanted = pd.read_hdf(path, key)
            for name in wanted.columns:
                if wanted[name].dtype == object or str(wanted[name].dtype) in ("str", "string"):
                    wanted[name] = wanted[name].astype(object).where(wanted[name].notna(), None)
            expect(got, wanted)
        tuples = f.scan("tuples")
        assert b"pickled" in tuples.schema.metadata[b"basalt.not_read"]
        assert tuples.column_names == ["index", "values_block_0[0]", "values_block_0[1]"]
        assert f.scan("level_table").column_names == ["index", "k", "n", "v"]
        objects = f.scan("objects")
        assert left_out(objects) == ["t"] and objects.column_names == ["index", "v"]
        assert objects.column("v").to_pylist() == list(range(n))
        agree(f.scan("series").drop_columns(["index"]), {"values": list(frame["x"])}, "series")
        numbered = pd.read_hdf(path, "numbered")
        numbered.columns = [str(c) for c in numbered.columns]
        expect(f.scan("numbered"), numbered)
        assert f.table_of("fixed") == ("pandas frame", n, 8)
        refused(UNSUPPORTED, lambda: f.scan("levels"), "levels", "several levels")


def test_netcdf(folder):
    path = os.path.join(folder, "climate.nc")
    rng = np.random.default_rng(8)
    with netCDF4.Dataset(path, "w") as d:
        d.createDimension("time", None)
        d.createDimension("lat", 4)
        d.createDimension("lon", 6)
        d.createDimension("station", 3)
        time = d.createVariable("time", "f8", ("time",))
        time.units = "hours since 2000-01-01"
        time[:] = np.arange(50) / 2
        d.createVariable("lat", "f4", ("lat",))[:] = np.linspace(-60, 60, 4)
        d.createVariable("lon", "f4", ("lon",))[:] = np.linspace(0, 300, 6)
        t = d.createVariable("t", "i2", ("time", "lat", "lon"), fill_value=-99, zlib=True,
                             chunksizes=(7, 4, 6))
        t.set_auto_maskandscale(False)
        t.units = "K"
        t.scale_factor = 0.5
        t[:] = rng.integers(-100, 100, (50, 4, 6))
        t[3, 1, 1] = -99
        d.createVariable("where", "f8", ("station",))[:] = [1, 2, 3]
        d.createVariable("by station", "i4", ("station", "time"))[:] = rng.integers(0, 9, (3, 50))
    with netCDF4.Dataset(path) as d, File(path) as f:
        d.set_auto_maskandscale(False)

        def expected(name):
            v = d[name]
            index = np.indices(v.shape).reshape(v.ndim, -1)
            columns = {}
            for i, dim in enumerate(v.dimensions):
                columns[dim] = d[dim][:][index[i]] if dim in d.variables else index[i]
            columns[name] = v[:].reshape(-1)
            return columns

        for name in ["t", "where", "by station"]:
            whole = expected(name)
            agree(f.scan(name), whole, name)
            for first, count in [(1, 1), (37, 100), (1000, 10**6)]:
                agree(f.scan(name, first, count),
                      {k: v[first:first + count] for k, v in whole.items()}, name)
        field = f.scan("t").schema.field("t")
        assert field.metadata[b"units"] == b"K" and b"_Netcdf4Dimid" not in field.metadata
        assert f.scan("t").schema.field("time").metadata[b"units"] == b"hours since 2000-01-01"
        nulls = f.scan("t", missing_as_null=True).column("t").to_pylist()
        assert nulls == [None if v == -99 else v for v in expected("t")["t"]]
        assert f.scan("t").column("t").null_count == 0
        same(f.scan("t", layout=PLAIN), d["t"][:], "a variable as a dataset")
        same(f.scan("time"), d["time"][:], "a coordinate")
        assert f.table_of("t") == ("netCDF variable", 1200, 4)
        root = f.scan("/")  # all lengths are met once: the first name; a bare dimension is no column
        assert root.column_names == ["lat"], root.column_names
        assert left_out(root) == ["by station", "lon", "t", "time", "where"], left_out(root)


def triplets(matrix, by_row):
    major = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
    rows, columns = (major, matrix.indices) if by_row else (matrix.indices, major)
    return {"row": rows, "column": columns, "value": matrix.data}


def test_sparse(folder):
    path = os.path.join(folder, "sparse.h5ad")
    dense = scipy.sparse.random(3000, 400, 0.01, "csr", random_state=9)
    dense.data[dense.indptr[100]:dense.indptr[2000]] = 0  # many rows without an entry
    dense.eliminate_zeros()
    obs = pd.DataFrame(index=[str(i) for i in range(3000)])
    data = anndata.AnnData(X=dense.tocsr(), obs=obs, layers={"by column": dense.tocsc()})
    data.write_h5ad(path)
    with h5py.File(path, "r+") as h:
        g = h.create_group("old")
        g.attrs["h5sparse_format"] = "csr"
        g.attrs["h5sparse_shape"] = [3000, 400]
        for part in ("data", "indices", "indptr"):
            g[part] = getattr(dense.tocsr(), part)
        h.create_group("broken").attrs["encoding-type"] = "csr_matrix"
        for part in ("data", "indices"):
            h["broken"][part] = getattr(dense.tocsr(), part)
        h["broken/indptr"] = np.zeros(3001, "i4")
    with File(path) as f:
        for name, by_row, matrix in [("X", True, dense.tocsr()), ("old", True, dense.tocsr()),
                                     ("layers/by column", False, dense.tocsc())]:
            expected = triplets(matrix, by_row)
            table = f.scan(name)
            agree(table, expected, name)
            assert json.loads(table.schema.metadata[b"basalt.matrix_shape"]) == [3000, 400]
            for first, count in [(1, 1), (5000, 3000)]:
                agree(f.scan(name, first, count),
                      {k: v[first:first + count] for k, v in expected.items()}, name)
        assert f.table_of("X")[0] == "sparse matrix (CSR)"
        try:
            f.scan("broken")
            raise AssertionError("not refused")
        except OSError as e:
            assert "indptr" in str(e), e


def corpus_frame(h, group):
    """What AnnData reads, by h5py alone."""
    attributes = group.attrs
    index = attributes["_index"]
    order = [str(c) for c in attributes["column-order"]]
    found = {}
    for name in ([index] if index not in order else []) + order:
        item = group[name]
        if isinstance(item, h5py.Group):
            codes, values = item["codes"][:], item["categories"][:]
        elif "categories" in item.attrs:
            codes, values = item[:], h[item.attrs["categories"]][:]
        else:
            found[name] = item[:]
            continue
        found[name] = [None if c < 0 else values[c] for c in codes]
    return found


def test_corpus(folder):
    """Every group and dataset of the AnnData and netCDF files of other projects; none is skipped."""
    corpus = os.environ.get("BASALT_CORPUS")
    if not corpus:
        corpus = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared",
                              "corpus")
    if not os.path.isdir(corpus):
        print("there is no corpus (set BASALT_CORPUS): only files made here are compared")
        return
    files = [os.path.join(corpus, "anndata", name) for name in sorted(os.listdir(
        os.path.join(corpus, "anndata"))) if name.endswith(".h5ad")]
    files += [os.path.join(corpus, "hidefix", name) for name in
              ("coads_climatology.nc4", "feb.nc4", "jan.nc4")]
    frames = matrices = variables = records = 0
    for path in files:
        with h5py.File(path) as h, File(path) as f:
            for entry in f.walk():
                name = entry.path.decode()
                if entry.kind not in (GROUP, DATASET):
                    continue
                item = h[name]
                kind = item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", ""))
                if entry.kind == GROUP and kind == "dataframe":
                    agree(f.scan(name), corpus_frame(h, item), f"{path} {name}")
                    frames += 1
                elif entry.kind == GROUP and kind in ("csr_matrix", "csc_matrix", "csr", "csc"):
                    parts = type("", (), {k: item[k][:] for k in ("data", "indices", "indptr")})
                    agree(f.scan(name), triplets(parts, kind.startswith("csr")), f"{path} {name}")
                    matrices += 1
                elif entry.kind == DATASET and item.dtype.names:
                    found = f.scan(name)
                    for column in item.dtype.names:
                        values = [plain(v) for v in item[:][column]]
                        names = f"uns/{column}_categories"
                        if name in ("/obs", "/var") and names in h:
                            values = [plain(h[names][:][v]) for v in values]
                        agree(found.select([column]), {column: values}, f"{path} {name}")
                    records += 1
                elif entry.kind == DATASET and "DIMENSION_LIST" in item.attrs:
                    v = item[:].reshape(-1)
                    found = f.scan(name)
                    agree(found.select([found.num_columns - 1]), {name[1:]: v}, f"{path} {name}")
                    index = np.indices(item.shape).reshape(item.ndim, -1)
                    for i in range(item.ndim):
                        scale = item.dims[i][0]
                        agree(found.select([i]), {scale.name[1:]: scale[:][index[i]]}, name)
                    variables += 1
                elif entry.kind == DATASET:
                    values = item[()]
                    table = f.scan(name)
                    column = table.column(0).combine_chunks()
                    if isinstance(column, pa.ExtensionArray):
                        column = column.storage
                    values = np.atleast_1d(values)
                    if "categories" in item.attrs:
                        names = h[item.attrs["categories"]][:]
                        values = np.array([names[c] for c in values], dtype=object)
                    agree(pa.table({"v": column}),
                          {"v": [plain(v.reshape(-1)) if isinstance(v, np.ndarray) else v
                                 for v in values]}, f"{path} {name}")
                else:
                    try:
                        table = f.scan(name)
                    except Refused as e:
                        assert e.status == UNSUPPORTED and "no table" in str(e), e
                        continue
                    agree(table, {c: item[c][:] for c in table.column_names}, f"{path} {name}")
    print(f"corpus: {len(files)} files, {frames} frames, {matrices} sparse matrices, "
          f"{variables} variables, {records} records")
    assert frames >= 10 and matrices >= 10 and variables >= 3 and records >= 5


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in (test_numbers, test_texts, test_walk, test_attributes, test_anndata,
                     test_older_anndata, test_family, test_group, test_compound, test_wide,
                     test_pandas, test_netcdf, test_sparse, test_corpus):
            test(folder)
    print(f"{checked} values compared, h5py {h5py.__version__}, PyTables {tables.__version__}, "
          f"netCDF4 {netCDF4.__version__}")


main()
