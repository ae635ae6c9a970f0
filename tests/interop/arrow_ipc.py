#!/usr/bin/env python3
"""Arrow IPC between Basalt and pyarrow, both ways, value for value.

arrow_ipc.py PROGRAM [LIBRARY]

PROGRAM is arrow_ipc.c; LIBRARY the shared library, to which pyarrow's own arrays are given in
memory (not with a sanitizer, which would have to be loaded first). Exit 77: skipped.
"""
import ctypes
import decimal
import io
import random
import subprocess
import sys

try:
    import pyarrow as pa
except ImportError:
    print("skipped: pyarrow is not installed for this Python")
    sys.exit(77)

PROGRAM = sys.argv[1]
LIBRARY = sys.argv[2] if len(sys.argv) > 2 else None
CORRUPT, UNSUPPORTED = 6, 8
checked = 0

TYPES = [
    pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(),
    pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.utf8(),
    pa.large_utf8(), pa.binary(), pa.large_binary(), pa.binary(1), pa.binary(7), pa.date32(),
    pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
    pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us", "Europe/Berlin"),
    pa.timestamp("ns"), pa.timestamp("ns", "+05:30"), pa.duration("s"), pa.duration("ms"),
    pa.duration("us"), pa.duration("ns"),
]


def random_column(kind, rows, null_share, rng):
    """From raw bytes, so that every bit pattern occurs, NaN payloads and wild dates too."""
    mask = [rng.random() < null_share for _ in range(rows)]
    if kind == pa.bool_():
        values = [rng.random() < 0.5 for _ in range(rows)]
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        letters = ["a", "Z", " ", "\n", "\x00", "ä", "€", "😀", '"']
        values = ["".join(rng.choices(letters, k=rng.randrange(9))) for _ in range(rows)]
    elif pa.types.is_fixed_size_binary(kind):
        values = [rng.randbytes(kind.byte_width) for _ in range(rows)]
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = [rng.randbytes(rng.randrange(12)) for _ in range(rows)]
    else:
        width = kind.bit_width // 8
        validity = pa.array([not m for m in mask], pa.bool_()).buffers()[1] if any(mask) else None
        return pa.Array.from_buffers(
            kind, rows, [validity, pa.py_buffer(rng.randbytes(rows * width) + b"\0" * 8)])
    return pa.array([None if m else v for m, v in zip(mask, values)], kind)


def write(table_batches, schema, **options):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in table_batches:
            writer.write_batch(batch)
    return sink.getvalue()


def run(data, *arguments):
    done = subprocess.run([PROGRAM, *arguments], input=data, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


def read(data):
    with pa.ipc.open_stream(data) as reader:
        batches = list(reader)
        return reader.schema, batches


def bits(array):
    """Validity and the bytes of each value: NaN equals NaN of the same payload."""
    if pa.types.is_floating(array.type):
        wide = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[array.type.bit_width]
        return array.view(wide).to_pylist()
    if hasattr(array.type, "unit") or pa.types.is_date(array.type) or pa.types.is_time(array.type):
        return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64()).to_pylist()
    return array.to_pylist()


def same(found, expected, what):
    global checked
    assert found.num_rows == expected.num_rows, (what, found.num_rows, expected.num_rows)
    for i, field in enumerate(expected.schema):
        a, b = found.column(i), expected.column(i)
        a.validate(full=not pa.types.is_temporal(a.type))  # random dates may be no whole days
        assert a.type == b.type, (what, field, a.type)
        assert a.null_count == b.null_count, (what, field, a.null_count, b.null_count)
        assert bits(a) == bits(b), (what, field)
        checked += len(a)


def round_trip(batches, schema, what, **options):
    data = write(batches, schema, **options)
    code, out, message = run(data)
    assert code == 0, (what, code, message)
    found_schema, found = read(out)
    assert found_schema.equals(schema, check_metadata=True), (what, found_schema, schema)
    assert len(found) == len(batches), (what, len(found), len(batches))
    for a, b in zip(found, batches):
        same(a, b, what)
    code, out, message = run(data, "17")
    assert code == 0, (what, code, message)
    found_schema, found = read(out)
    rows = sum(b.num_rows for b in batches)
    if rows:
        one = pa.Table.from_batches(found).combine_chunks().to_batches()[0]
        whole = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        same(one, whole, what + " in slices")


def batch_of(types, rows, null_share, rng, schema=None):
    columns = [random_column(kind, rows, null_share, rng) for kind in types]
    schema = schema or pa.schema([pa.field(f"c{i}", k) for i, k in enumerate(types)])
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def test_types(rng):
    for kind in TYPES:
        for rows, share in ((0, 0), (1, 0), (1, 1), (63, 0.3), (200, 0), (200, 0.5), (64, 1)):
            batch = batch_of([kind], rows, share, rng)
            round_trip([batch], batch.schema, f"{kind} {rows}")


def test_streams(rng):
    for _ in range(25):
        types = rng.choices(TYPES, k=rng.randrange(1, 9))
        batches = [batch_of(types, rng.choice([0, 1, 7, 100]), rng.random(), rng)
                   for _ in range(rng.randrange(5))]
        schema = batches[0].schema if batches else batch_of(types, 0, 0, rng).schema
        round_trip(batches, schema, f"stream of {len(batches)}")
    empty = pa.schema([])
    round_trip([], empty, "no columns")


def test_schemas(rng):
    schema = pa.schema([
        pa.field("", pa.int32(), nullable=False, metadata={"unit": "m/s", "": "", "ä": "€"}),
        pa.field("a/b", pa.utf8()),
        pa.field("a/b", pa.utf8(), metadata={b"raw": bytes(range(256))}),
        pa.field("n" * 4096, pa.timestamp("us", "Europe/Berlin"), nullable=False),
    ], metadata={"made by": "a test", "x": "y" * 100000})
    batch = batch_of([f.type for f in schema], 10, 0, rng, schema)
    round_trip([batch, batch], schema, "metadata")
    wide = pa.schema([pa.field(f"c{i}", TYPES[i % len(TYPES)]) for i in range(4096)])
    round_trip([batch_of([f.type for f in wide], 3, 0.3, rng, wide)], wide, "4096 columns")


def test_older_writers(rng):
    batch = batch_of(TYPES, 50, 0.3, rng)
    round_trip([batch], batch.schema, "metadata V4", metadata_version=pa.ipc.MetadataVersion.V4)
    round_trip([batch], batch.schema, "before 0.15", metadata_version=pa.ipc.MetadataVersion.V4,
               use_legacy_format=True)


def refused(data, status, *words):
    code, _, message = run(data)
    assert code == status, (words, code, message)
    for word in words:
        assert word in message, (word, message)
    assert message.count("\n") == 1, message


def test_refusals(rng):
    for kind, name in [
        (pa.list_(pa.int32()), "list"), (pa.large_list(pa.int32()), "large_list"),
        (pa.list_(pa.int32(), 2), "fixed_size_list"), (pa.struct([("x", pa.int8())]), "struct"),
        (pa.map_(pa.utf8(), pa.int8()), "map"), (pa.null(), "null"),
        (pa.decimal128(9, 2), "decimal"), (pa.string_view(), "string_view"),
        (pa.binary_view(), "binary_view"), (pa.month_day_nano_interval(), "interval"),
        (pa.dictionary(pa.int8(), pa.utf8()), "dictionary"),
        (pa.run_end_encoded(pa.int32(), pa.utf8()), "run_end_encoded"),
        (pa.list_view(pa.int8()), "list_view"),
        (pa.dense_union([pa.field("a", pa.int8())]), "union"),
    ]:
        schema = pa.schema([("good", pa.int8()), ("bad", kind)])
        refused(write([], schema), UNSUPPORTED, '"bad"', name)
    batch = batch_of([pa.int64()], 1000, 0, rng)
    for codec in ("lz4", "zstd"):
        refused(write([batch], batch.schema, compression=codec), UNSUPPORTED, codec)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    refused(sink.getvalue(), UNSUPPORTED, "IPC file")
    refused(b"", CORRUPT, "empty")
    refused(b"x,y\n1,2\n" * 100, CORRUPT, "Arrow")


def test_cuts(rng):
    batch = batch_of([pa.int32(), pa.utf8()], 20, 0.3, rng)
    data = write([batch, batch], batch.schema)
    ends = {len(write(batches, batch.schema)) - 8 for batches in ([], [batch], [batch, batch])}
    for cut in range(1, len(data)):
        code, out, message = run(data[:cut])
        if cut in ends:  # the end mark is missing, which the format allows
            assert code == 0, (cut, message)
        else:
            assert code == CORRUPT and "cut short" in message, (cut, code, message)


def test_damage(rng):
    batch = batch_of([pa.int32(), pa.utf8(), pa.bool_()], 20, 0.3, rng)
    data = write([batch], batch.schema)
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        code, _, message = run(bytes(bad))
        assert 0 <= code < 19, (code, message)
        assert (code == 0) == (message == ""), (code, message)


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("os_errno", ctypes.c_int),
                ("file_offset", ctypes.c_uint64), ("message", ctypes.c_char * 240)]


WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def test_memory(rng, library):
    """pyarrow's arrays as they lie in memory, slices of slices, into basalt_ipc_write."""
    basalt = ctypes.CDLL(library)
    memory = ctypes.create_string_buffer(40)
    for _ in range(60):
        types = rng.choices(TYPES, k=4)
        whole = batch_of(types, 300, rng.choice([0, 0.4]), rng)
        batches = []
        for _ in range(3):
            a = rng.randrange(200)
            b = whole.slice(a, rng.randrange(100))
            batches.append(b.slice(rng.randrange(b.num_rows + 1)))
        expected = pa.Table.from_batches(batches, whole.schema)
        got = bytearray()

        def write_some(_, data, count):
            got.extend(ctypes.string_at(data, count))
            return 0

        reader = pa.RecordBatchReader.from_batches(whole.schema, batches)
        reader._export_to_c(ctypes.addressof(memory))
        error = Error()
        status = basalt.basalt_ipc_write(memory, WRITE(write_some), None, ctypes.byref(error))
        assert status == 0, error.message
        _, found = read(bytes(got))
        assert len(found) == len(batches)
        for a, b in zip(found, expected.to_batches()):
            same(a, b, "from memory")
        # and back, without a copy of ours
        lent = ctypes.create_string_buffer(bytes(got), len(got))  # until the stream is released
        status = basalt.basalt_ipc_read_bytes(
            lent, ctypes.c_size_t(len(got)), memory, ctypes.byref(error))
        assert status == 0, error.message
        with pa.RecordBatchReader._import_from_c(ctypes.addressof(memory)) as back:
            for a, b in zip(list(back), batches):
                same(a, b, "to memory")


# ---- columns that are written and not read: lists, structs, maps, dictionaries, decimals ... ----------------

def nested_types():
    point = pa.struct([("x", pa.float64()), ("name", pa.utf8()), pa.field("id", pa.int16(), nullable=False)])
    words = pa.dictionary(pa.int8(), pa.utf8())
    return [
        pa.null(), pa.decimal128(9, 2), pa.decimal128(38, 0), pa.decimal256(60, 5), pa.decimal128(5, -2),
        pa.month_day_nano_interval(), pa.list_(pa.int32()), pa.large_list(pa.utf8()), pa.list_(pa.bool_(), 3),
        pa.list_(pa.float32(), 0), pa.list_(pa.list_(pa.uint8())), point, pa.list_(point), pa.struct([]),
        pa.struct([("inner", point), ("list", pa.large_list(point))]), pa.map_(pa.utf8(), pa.int32()),
        pa.map_(pa.int64(), pa.list_(point), keys_sorted=True), words, pa.list_(words), pa.struct([("w", words)]),
        pa.dictionary(pa.uint16(), pa.int64()), pa.dictionary(pa.int64(), pa.large_utf8(), ordered=True),
        pa.dictionary(pa.uint32(), pa.list_(pa.int8())), pa.list_(pa.binary(3)), pa.list_(pa.timestamp("us", "UTC")),
        pa.sparse_union([pa.field("a", pa.int8()), pa.field("b", point), pa.field("w", words)], [5, 0, 127]),
        pa.list_(pa.map_(pa.utf8(), words), 2), pa.list_(pa.null()), pa.list_(pa.decimal128(9, 2), 2)]


def random_value(kind, rng, null_share):
    if rng.random() < null_share or pa.types.is_null(kind):
        return None
    if pa.types.is_dictionary(kind):
        return random_value(kind.value_type, rng, 0)
    if pa.types.is_map(kind):
        keys = {random_value(kind.key_type, rng, 0) for _ in range(rng.randrange(4))}
        return [(key, random_value(kind.item_type, rng, null_share)) for key in sorted(keys)]
    if pa.types.is_fixed_size_list(kind):
        return [random_value(kind.value_type, rng, null_share) for _ in range(kind.list_size)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [random_value(kind.value_type, rng, null_share) for _ in range(rng.randrange(4))]
    if pa.types.is_struct(kind):
        return {field.name: random_value(field.type, rng, null_share if field.nullable else 0) for field in kind}
    if pa.types.is_decimal(kind):
        return decimal.Decimal(rng.randrange(-99999, 99999)).scaleb(-kind.scale)
    if pa.types.is_interval(kind):
        return pa.MonthDayNano([rng.randrange(-99, 99) for _ in range(3)])
    if pa.types.is_floating(kind):
        return rng.randrange(1000) / 8
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_integer(kind):
        return rng.randrange(100)
    if pa.types.is_timestamp(kind):
        return pa.scalar(rng.randrange(10**15), kind).as_py()
    text = rng.choice(["", "one", "two", "three", "\u00e4\u20ac"])
    return text if pa.types.is_string(kind) or pa.types.is_large_string(kind) else b"abc"


def nested_column(kind, rows, null_share, rng):
    if pa.types.is_dictionary(kind) and pa.types.is_nested(kind.value_type):  # pyarrow makes none from values
        codes = [None if rng.random() < null_share else rng.randrange(4) for _ in range(rows)]
        values = pa.array([[1], [], [2, None], None], kind.value_type)
        return pa.DictionaryArray.from_arrays(pa.array(codes, kind.index_type), values)
    if pa.types.is_union(kind):
        ids = pa.array([rng.choice(kind.type_codes) for _ in range(rows)], pa.int8())
        members = [nested_column(field.type, rows, null_share, rng) for field in kind]
        return pa.UnionArray.from_sparse(ids, members, [field.name for field in kind], kind.type_codes)
    return pa.array([random_value(kind, rng, null_share) for _ in range(rows)], kind)


def write_from_memory(library, schema, batches):
    """(status, message, bytes) of basalt_ipc_write over pyarrow's own arrays."""
    memory = ctypes.create_string_buffer(40)
    got = bytearray()

    def write_some(_, data, count):
        got.extend(ctypes.string_at(data, count))
        return 0

    pa.RecordBatchReader.from_batches(schema, batches)._export_to_c(ctypes.addressof(memory))
    error = Error()
    status = library.basalt_ipc_write(memory, WRITE(write_some), None, ctypes.byref(error))
    return status, error.message.decode(), bytes(got)


def test_nested(rng, library):
    basalt = ctypes.CDLL(library)
    types = nested_types()
    for kinds in [[kind] for kind in types] + [rng.choices(types + TYPES, k=5) for _ in range(60)]:
        schema = pa.schema([pa.field(f"c{i}", kind, metadata={"at": str(i)}) for i, kind in enumerate(kinds)],
                           metadata={"made by": "a test"})
        wholes = []
        for share in (0, 0.3, 1):
            wholes.append(pa.RecordBatch.from_arrays(
                [(random_column if kind in TYPES else nested_column)(kind, 120, share, rng) for kind in kinds],
                schema=schema))
        batches = []
        for whole in wholes + wholes[:1]:
            a = rng.randrange(60)
            b = whole.slice(a, rng.randrange(60))
            batches += [b.slice(rng.randrange(b.num_rows + 1)), whole]
        status, message, got = write_from_memory(basalt, schema, batches)
        assert status == 0, (kinds, message)
        found_schema, found = read(got)
        assert found_schema.equals(schema, check_metadata=True), (found_schema, schema)
        assert len(found) == len(batches)
        for a, b in zip(found, batches):
            for i, kind in enumerate(kinds):
                x, y = a.column(i), b.column(i)
                x.validate(full=not pa.types.is_temporal(kind))
                assert x.null_count == y.null_count and x.type == y.type, kind
                assert (bits(x) == bits(y)) if kind in TYPES else (x.to_pylist() == y.to_pylist()), kind
                global checked
                checked += len(x)
    table = pa.table({"w": pa.chunked_array([pa.array(["a", "b"]).dictionary_encode()] * 3)})
    _, _, got = write_from_memory(basalt, table.schema, table.to_batches())
    once = write_from_memory(basalt, table.schema, table.to_batches()[:1])[2]
    assert len(got) - len(once) < 2 * len(once), "a dictionary that stays the same goes out once"


def test_nested_refusals(library):
    basalt = ctypes.CDLL(library)
    words = pa.dictionary(pa.int8(), pa.utf8())
    for kind, name in [(pa.dense_union([pa.field("a", pa.int8())]), "dense_union"),
                       (pa.string_view(), "string_view"), (pa.list_view(pa.int8()), "list_view"),
                       (pa.run_end_encoded(pa.int32(), pa.utf8()), "run_end_encoded"),
                       (pa.dictionary(pa.int8(), pa.list_(words)), "dictionary of dictionaries")]:
        for kind in (kind, pa.list_(pa.field("bad", kind))):
            status, message, got = write_from_memory(basalt, pa.schema([("good", words), ("bad", kind)]), [])
            assert status == UNSUPPORTED and '"bad"' in message and name in message, (kind, status, message)
            assert got == b""


def main():
    rng = random.Random(4711)
    test_types(rng)
    test_streams(rng)
    test_schemas(rng)
    test_older_writers(rng)
    test_refusals(rng)
    test_cuts(rng)
    test_damage(rng)
    if LIBRARY:
        test_memory(rng, LIBRARY)
        test_nested(rng, LIBRARY)
        test_nested_refusals(LIBRARY)
    print(f"{checked} values compared, pyarrow {pa.__version__}")


main()
