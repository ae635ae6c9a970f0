"""What the command records is read value for value by everybody else's tools.

Arguments: the basalt command. Records Arrow streams through `basalt record`, then compares the file with
what went in: h5py, h5dump, h5repack + h5diff, h5stat, anndata, and Basalt itself through `cat`; lets h5py
change it in r+ and opens it with Basalt again.
"""
import datetime
import decimal
import math
import os
import subprocess
import sys
import tempfile
import traceback

try:
    import anndata.io
    import h5py
    import numpy as np
    import pandas as pd
    import pyarrow as pa
except ImportError as missing:
    print(f"skipped: {missing}; `make test` installs what the tests need")
    sys.exit(77)

COMMAND = os.path.abspath(sys.argv[1])
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def run(*words, data=None, ok=True):
    done = subprocess.run([str(word) for word in words], input=data, capture_output=True, check=False)
    if ok and done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr.decode()}")
    return done


def ipc(batches, schema):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def record(path, name, table, rows_a_batch=1000, *options):
    run(COMMAND, "record", path, "--instrument", name, *options,
        data=ipc(table.to_batches(max_chunksize=rows_a_batch), table.schema))


def read_back(path, name):
    return pa.ipc.open_stream(run(COMMAND, "cat", path, name, "--format", "arrow").stdout).read_all()


def plain_table(rows):
    """Every type without nulls, columns not nullable."""
    at = np.arange(rows)
    columns = {
        "i8": pa.array((at % 256 - 128).astype("i1")), "u8": pa.array((at % 256).astype("u1")),
        "i16": pa.array(at.astype("i2")), "u16": pa.array(at.astype("u2")),
        "i32": pa.array((at * 70001).astype("i4")), "u32": pa.array((at * 70001).astype("u4")),
        "i64": pa.array(at.astype("i8") * -(2**40)), "u64": pa.array(at.astype("u8") * (2**50)),
        "half": pa.array((at % 100 / 8).astype("f2")), "float": pa.array(np.sin(at).astype("f4")),
        "double": pa.array(np.cos(at)), "flag": pa.array(at % 3 == 0),
        "text": pa.array([f"row {i} é" * (i % 4) for i in range(rows)]),
        "large": pa.array([f"{i}" for i in range(rows)], pa.large_utf8()),
        "bytes": pa.array([bytes(range(i % 7)) for i in range(rows)], pa.binary()),
        "fixed": pa.array([i.to_bytes(5, "big") for i in range(rows)], pa.binary(5)),
        "day": pa.array(at.astype("i4"), pa.date32()), "noon": pa.array(at.astype("i8") * 86400000, pa.date64()),
        "clock": pa.array((at % 86400).astype("i4"), pa.time32("s")),
        "nano": pa.array(at.astype("i8"), pa.time64("ns")),
        "when": pa.array(at.astype("i8") * 10**9, pa.timestamp("ns", "UTC")),
        "local": pa.array(at.astype("i8"), pa.timestamp("ms")), "took": pa.array(at.astype("i8"), pa.duration("us")),
    }
    schema = pa.schema([pa.field(name, column.type, nullable=False, metadata={"units": "none"})
                        for name, column in columns.items()], metadata={"made": "for a test"})
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def null_table(rows):
    """Nullable columns with nulls in every third row, and one column that is nullable and has none."""
    table = plain_table(rows)
    missing = np.arange(rows) % 3 == 1
    columns, fields = [], []
    for field, column in zip(table.schema, table.columns):
        values = column.to_pylist() if field.name != "nano" else column.cast(pa.int64()).to_pylist()
        values = [None if gone else value for gone, value in zip(missing, values)]
        if field.name == "nano":
            columns.append(pa.array(values, pa.int64()).cast(field.type))
        elif field.name in ("when", "took"):
            whole = column.cast(pa.int64()).to_pylist()
            columns.append(pa.array([None if g else v for g, v in zip(missing, whole)], pa.int64()).cast(field.type))
        else:
            columns.append(pa.array(values, field.type))
        fields.append(pa.field(field.name, field.type))
    columns.append(pa.array(np.arange(rows)))
    fields.append(pa.field("whole", pa.int64()))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def same(found, expected):
    assert found.schema.equals(expected.schema, check_metadata=True), f"{found.schema}\n!=\n{expected.schema}"
    assert found.num_rows == expected.num_rows, f"{found.num_rows} rows, not {expected.num_rows}"
    for at, name in enumerate(expected.column_names):  # by position: names may repeat
        a, b = found.column(at).combine_chunks(), expected.column(at).combine_chunks()
        if pa.types.is_floating(a.type):
            assert a.is_null().equals(b.is_null()), name
            a = a.cast(pa.float64()).fill_null(math.nan).to_numpy(zero_copy_only=False)
            b = b.cast(pa.float64()).fill_null(math.nan).to_numpy(zero_copy_only=False)
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            assert a.equals(b), f"column {name} differs"


def stored(dataset):
    values = dataset[()]
    if h5py.check_string_dtype(dataset.dtype):
        return [value.decode() for value in values]
    if dataset.dtype.kind == "V":
        return [bytes(value) for value in values]
    if dataset.dtype.kind == "O":
        return [bytes(value) for value in values]
    return values.tolist()


def sent(column):
    if pa.types.is_temporal(column.type):
        wide = pa.int32() if column.type.bit_width == 32 else pa.int64()
        return column.cast(wide).to_pylist()
    return column.to_pylist()


@test
def values_in_h5py(folder):
    table = plain_table(20000)
    path = os.path.join(folder, "plain.h5")
    record(path, "all", table, 777)
    with h5py.File(path) as file:
        group = file["all"]
        for name in table.column_names:
            assert stored(group[name]) == sent(table[name]), name
        assert group["when"].attrs["unit"] in ("ns", b"ns") and group["when"].attrs["timezone"] in ("UTC", b"UTC")
        assert group["_index"][()].tolist() == list(range(20000))
        assert b'"fields"' in group["schema"][()] and len(file.attrs) >= 3
    same(read_back(path, "all"), table)
    assert os.listdir(folder) == ["plain.h5"], os.listdir(folder)


@test
def nulls_in_every_type(folder):
    table = null_table(9001)
    path = os.path.join(folder, "nulls.h5")
    record(path, "all", table, 500)
    same(read_back(path, "all"), table)
    with h5py.File(path) as file:
        mask = [value is None for value in table["i32"].to_pylist()]
        assert file["all/i32/mask"][()].tolist() == mask
        assert np.isnan(file["all/double"][()]).tolist() == mask
        assert file["all/.basalt/validity:text"][()].astype(bool).tolist() == [not gone for gone in mask]
        assert file["all/text"].asstr()[1] == ""


@test
def anndata_reads_a_family(folder):
    table = null_table(3000).select(["i32", "double", "flag", "text", "whole"])
    path = os.path.join(folder, "frame.h5")
    record(path, "obs", table)
    with h5py.File(path) as file:
        frame = anndata.io.read_elem(file["obs"])
    assert list(frame.columns) == table.column_names and len(frame) == 3000
    assert frame["whole"].tolist() == table["whole"].to_pylist()
    assert frame["i32"].isna().tolist() == [value is None for value in table["i32"].to_pylist()]
    assert frame["i32"].dropna().tolist() == [value for value in table["i32"].to_pylist() if value is not None]
    assert frame["double"].dropna().tolist() == [value for value in table["double"].to_pylist() if value is not None]
    assert frame["flag"].dropna().tolist() == [value for value in table["flag"].to_pylist() if value is not None]


@test
def stock_tools(folder):
    path, packed = os.path.join(folder, "a.h5"), os.path.join(folder, "b.h5")
    record(path, "all", plain_table(10000))
    run("h5dump", "-A", path)
    assert b"H5S_UNLIMITED" in run("h5dump", "-d", "/all/double", path).stdout
    run("h5ls", "-r", path)
    run("h5stat", path)
    run("h5repack", path, packed)
    run("h5diff", path, packed)
    with h5py.File(path) as a, h5py.File(packed) as b:
        assert len(a["all"].attrs) == len(b["all"].attrs) > 4
        assert len(a.attrs) == len(b.attrs) > 2


@test
def h5py_changes_it_and_basalt_goes_on(folder):
    path = os.path.join(folder, "edited.h5")
    table = plain_table(5000).select(["i32", "double", "text"])
    record(path, "all", table)
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "added by h5py"
        file["all"].attrs["operator"] = "nobody"
        file["extra"] = np.arange(10)
        file["all/alias"] = h5py.SoftLink("/extra")
        for name in ("i32", "double", "text", "_index"):
            file["all"][name].resize((5003,))
        file["all/i32"][5000:] = [1, 2, 3]
        file["all/double"][5000:] = [0.5, 1.5, 2.5]
        file["all/text"][5000:] = ["x", "yy", "zzz"]
        file["all/_index"][5000:] = [5000, 5001, 5002]
    run(COMMAND, "verify", path)
    found = read_back(path, "all")
    assert found.num_rows == 5003 and found["text"].to_pylist()[-3:] == ["x", "yy", "zzz"]
    record(path, "all", table, 1000, "--resume")
    found = read_back(path, "all")
    assert found.num_rows == 10003 and found["i32"].to_pylist()[5000:5003] == [1, 2, 3]
    assert found["double"].to_pylist()[5003:] == table["double"].to_pylist()
    with h5py.File(path, "r+") as file:
        assert file["extra"][()].tolist() == list(range(10)) and file.attrs["note"] == "added by h5py"
        for name in ("i32", "double", "text", "_index"):
            file["all"][name].resize((4000,))
        del file["extra"]
    assert read_back(path, "all").num_rows == 4000
    record(path, "all", table, 1000, "--resume")
    assert read_back(path, "all")["i32"].to_pylist() == table["i32"].to_pylist()[:4000] + table["i32"].to_pylist()
    run("h5stat", path)
    run("h5dump", path)


KINDS = {"i": 1, "u": 2, "b": 2, "f": 3}


def bounds_of(field, values):
    """What a record must say of these rows of Arrow: kind, nulls, NaN, smallest and largest."""
    stored = sent(values)
    there = [value for value in stored if value is not None]
    if pa.types.is_floating(field.type):
        kind = "f"
    elif pa.types.is_boolean(field.type) or pa.types.is_unsigned_integer(field.type):
        kind = "u"
    else:
        kind = "i" if pa.types.is_integer(field.type) or pa.types.is_temporal(field.type) else ""
    if not kind:
        return 0, len(stored) - len(there), False, None
    array = np.array(there, dtype={"f": "f8", "u": "u8", "i": "i8"}[kind])
    sound = array[~np.isnan(array)] if kind == "f" else array
    bounds = (sound.min(), sound.max()) if len(sound) else None
    return KINDS[kind], len(stored) - len(there), len(sound) < len(array), bounds


def statistics_of(path, name, table):
    """Every chunk's record in the file, as h5py reads it, against the rows; how many chunks there are."""
    count = 0
    with h5py.File(path) as file:
        records = file[f"{name}/.basalt/statistics"][()]
        for at, field in enumerate(table.schema):
            dataset = file[f"{name}/{field.name}"]
            if isinstance(dataset, h5py.Group):
                dataset = dataset["values"]
            for index in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(index)
                first = chunk.chunk_offset[0]
                rows = min(dataset.chunks[0], dataset.shape[0] - first)
                mine = records[(records["column"] == at) & (records["first_row"] == first) &
                               (records["rows"] == rows) & (records["address"] == chunk.byte_offset) &
                               (records["stored_bytes"] == chunk.size)]
                assert len(mine), f"{field.name}: nothing of the chunk at row {first}"
                found = mine[-1]
                kind, nulls, nan, bounds = bounds_of(field, table[field.name].slice(first, rows).combine_chunks())
                assert (found["kind"], found["null_count"]) == (kind, nulls), f"{field.name}: {found}"
                assert found["flags"] == (bounds is not None) + 2 * nan, f"{field.name}: {found}"
                if bounds is not None:
                    view = {1: "i8", 2: "u8", 3: "f8"}[kind]
                    seen = tuple(np.array([found[side]]).view(view)[0] for side in ("minimum", "maximum"))
                    assert seen == bounds, f"{field.name} from row {first}: {seen}, not {bounds}"
                count += 1
    return count


@test
def statistics_of_chunks(folder):
    for make in (plain_table, null_table):
        table = make(20000)
        if make is plain_table:
            at = table.schema.get_field_index("double")
            values = table["double"].to_numpy().copy()
            values[5000:5003], values[7], values[19999] = math.nan, math.inf, -math.inf
            table = table.set_column(at, table.schema.field(at), pa.array(values))
        path = os.path.join(folder, f"{make.__name__}.h5")
        record(path, "all", table.slice(0, 9000))
        record(path, "all", table.slice(9000), 1000, "--resume")
        assert statistics_of(path, "all", table) == 3 * table.num_columns
        run(COMMAND, "verify", path)
        run("h5dump", "-d", "/all/.basalt/statistics", path)
        run("h5stat", path)
        packed = os.path.join(folder, "packed.h5")
        run("h5repack", path, packed)
        run("h5diff", path, packed)


@test
def statistics_when_others_write(folder):
    """A program that allocates makes them void; one that edits in place is found, and mended."""
    table = plain_table(20000)
    path = os.path.join(folder, "x.h5")
    record(path, "all", table, 1000, "--compression", "0")
    with h5py.File(path, "r+") as file:
        file["all/i64"][3] = 2**62
    done = run(COMMAND, "verify", path, ok=False)
    text = done.stdout.decode()
    assert done.returncode == 1 and '"i64"' in text and '"all"' in text and "row 0 " in text, text
    run(COMMAND, "verify", "--rebuild-statistics", path)
    run(COMMAND, "verify", path)
    with h5py.File(path, "r+") as file:
        values = file["all/i64"][()]
        file["foreign"] = np.arange(5000)
        file["all/i64"][4] = -2**62
        values[4] = -2**62
    run(COMMAND, "verify", path)  # they are void, so none of them is wrong
    record(path, "all", table.slice(0, 1000), 1000, "--resume")
    run(COMMAND, "verify", path)
    with h5py.File(path) as file:
        since = file["/.basalt"].attrs["statistics_since"]
        begun = file["all/.basalt/statistics"].attrs["commit"]
        assert since > 1 and begun >= since, f"statistics of commit {begun}, void before {since}"
        assert len(file["all/.basalt/statistics"]) < 2 * table.num_columns
    run(COMMAND, "verify", "--rebuild-statistics", path)
    at = table.schema.get_field_index("i64")
    changed = table.set_column(at, table.schema.field(at), pa.array(values))
    assert statistics_of(path, "all", pa.concat_tables([changed, table.slice(0, 1000)])) == 3 * table.num_columns


@test
def many_columns(folder):
    for columns in (1, 1000, 4096):
        path = os.path.join(folder, f"wide{columns}.h5")
        table = pa.table({f"c{i}": pa.array(np.arange(30) + i) for i in range(columns)},
                         schema=pa.schema([pa.field(f"c{i}", pa.int64(), False) for i in range(columns)]))
        record(path, "wide", table, 10)
        with h5py.File(path) as file:
            for i in (0, columns // 2, columns - 1):
                assert file[f"wide/c{i}"][()].tolist() == (np.arange(30) + i).tolist()
        same(read_back(path, "wide"), table)
        run("h5stat", path)


@test
def strange_names(folder):
    names = ["a/b", ".", "..", "", "schema", "_index", ".basalt", "%2F", "twice", "twice", "naïve ☃", "#2", "x" * 500]
    table = pa.Table.from_arrays([pa.array([float(i)]) for i in range(len(names))],
                                 schema=pa.schema([pa.field(name, pa.float64(), False) for name in names]))
    path = os.path.join(folder, "names.h5")
    record(path, "in/strument", table)
    same(read_back(path, "in%2Fstrument"), table)
    run("h5dump", path)


@test
def bad_input_is_one_sentence(folder):
    path = os.path.join(folder, "x.h5")
    whole = ipc(plain_table(100).to_batches(), plain_table(1).schema)
    cases = {
        "not Arrow": (b"hello, this is not Arrow", "--instrument", "a"),
        "nothing": (b"", "--instrument", "a"),
        "cut": (whole[:len(whole) // 2], "--instrument", "a"),
        "list column": (ipc([pa.record_batch({"l": [[1], [2]]})], pa.schema([("l", pa.list_(pa.int64()))])),
                        "--instrument", "a"),
        "decimal": (ipc([pa.record_batch({"d": pa.array([decimal.Decimal("1.5")])})],
                        pa.schema([("d", pa.decimal128(2, 1))])), "--instrument", "a"),
        "empty name": (whole, "--instrument", ""),
        "long name": (whole, "--instrument", "n" * 10000),
        "not UTF-8": (whole, "--instrument", b"\xff\xfe".decode("utf-8", "surrogateescape")),
    }
    for what, (data, *options) in cases.items():
        if os.path.exists(path):
            os.unlink(path)
        done = subprocess.run([COMMAND, "record", path, *options], input=data, capture_output=True, check=False)
        text = done.stderr.decode(errors="replace").strip()
        assert done.returncode >= 2, f"{what}: ended with {done.returncode}"
        assert text and "\n" not in text.splitlines()[-1] and "Traceback" not in text, f"{what}: {text!r}"
        left = [name for name in os.listdir(folder) if "-log" in name]
        assert not left, f"{what}: {left} left"
    for what, content in {"text.h5": b"not HDF5 at all" * 100, "empty.h5": b"", "short.h5": b"\x89HDF\r\n\x1a\n"}.items():
        target = os.path.join(folder, what)
        with open(target, "wb") as file:
            file.write(content)
        for command in (["ls"], ["cat", target, "/"], ["verify"], ["stat"]):
            words = command + [target] if len(command) == 1 else command
            done = run(COMMAND, *words, ok=False)
            assert done.returncode and done.stderr + done.stdout, f"{words}: {done}"
            assert done.returncode > 0, f"{words} died of a signal"
        with open(target, "rb") as file:
            assert file.read() == content, "a file that is not ours was changed"


def main():
    failed = 0
    for function in TESTS:
        with tempfile.TemporaryDirectory(prefix="basalt-interop-") as folder:
            try:
                function(folder)
                print(f"ok      {function.__name__}")
            except Exception:  # every failure is shown, and the next test still runs
                failed += 1
                print(f"FAILED  {function.__name__}\n{traceback.format_exc()}")
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
