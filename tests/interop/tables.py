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

try:
    import anndata
    import h5py
    import numpy as np
    import pandas as pd
    import pyarrow as pa
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

    def scan(self, path, first=0, count=ALL):
        memory = ctypes.create_string_buffer(40)
        self.call("scan", self.handle, path.encode(), ctypes.c_uint64(first),
                  ctypes.c_uint64(count), memory)
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
        same(f.scan("enum"), np.array([1, 0, 5], "i2"), "enum")
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
        for name, word in [("compound 2d", "2 dimensions"), ("compound with array", "many"),
                           ("floats", "sequence of <f8"), ("references", "object reference"),
                           ("long double", "f16"), ("type", "type"), ("/", "no table")]:
            refused(UNSUPPORTED, lambda: f.scan(name), word)
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
        assert table.schema.field("type").type == pa.utf8()
        for name in obs.columns:
            expected = [None if pd.isna(v) else v for v in obs[name]]
            found = table.column(name).to_pylist()
            assert found == expected, (name, found[:10], expected[:10])
        assert f.scan("/obs/type").column(0).to_pylist() == table.column("type").to_pylist()
        assert f.scan("/obs/maybe").column(0).to_pylist() == table.column("maybe").to_pylist()
        part = f.scan("/obs", 1000, 1500)
        assert part.equals(table.slice(1000, 1500))
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


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in (test_numbers, test_texts, test_walk, test_attributes, test_anndata,
                     test_older_anndata, test_family):
            test(folder)
    print(f"{checked} values compared, h5py {h5py.__version__}")


main()
