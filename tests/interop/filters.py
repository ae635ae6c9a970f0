#!/usr/bin/env python3
"""Every filter, on many types and shapes, value by value against h5py and hdf5plugin.

    filters.py WALK_PROGRAM ENCODE_PROGRAM [LIBBASALT]

Makes files with each filter, in the oldest and the newest format, and compares what the walk program reads
(tests/interop/walk_corpus.c) with what h5py reads. Nothing may be refused or skipped but what is listed in
REFUSED, and that must be refused by its name and number. What Basalt writes (tests/interop/filter_encode.c)
is read by h5py and hdf5plugin. With the library, a filter of the user too.
"""

import ctypes
import os
import subprocess
import sys
import tempfile

import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import walk_corpus  # noqa: E402

INTEGERS = ["<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", ">i2", ">u4", ">i8", ">u8"]
FLOATS = ["<f4", ">f4", "<f8", ">f8"]
PLAIN = INTEGERS + FLOATS
ROW = np.dtype([("a", "<i4"), ("b", ">f8"), ("c", "S5"), ("d", "<u2", (2, 3))])
SHAPES = {  # name: shape, chunks; most have edge chunks
    "whole": ((1000,), (100,)),
    "edge": ((1003,), (64,)),
    "tiny": ((13,), (3,)),
    "square": ((37, 53), (16, 20)),
    "cube": ((9, 10, 35), (4, 5, 32)),
    "long": ((20011,), (20011,)),
}
REFUSED = {
    "zfp": (hdf5plugin.Zfp(), 32013),
    "blosc2": (hdf5plugin.Blosc2(), 32026),
    "sz3": (hdf5plugin.SZ3(absolute=0.1), 32024),
}


def values(shape, kind, pattern):
    rng = np.random.default_rng(len(shape) * 1000 + shape[0])
    kind = np.dtype(kind)
    count = int(np.prod(shape))
    if kind.names:
        out = np.zeros(count, kind)
        for name in kind.names:
            if kind[name].subdtype:
                out[name] = rng.integers(0, 900, (count,) + kind[name].shape)
            elif kind[name].kind == "S":
                out[name] = rng.integers(0, 99999, count).astype("S5")
            else:
                out[name] = np.arange(count) % 1000
        return out.reshape(shape)
    if pattern == "noise":
        return np.frombuffer(rng.bytes(count * kind.itemsize), kind).reshape(shape)
    if pattern == "constant":
        return np.full(shape, 7, kind)
    steps = np.cumsum(rng.integers(-2, 4, count)) + (0 if kind.kind == "u" else -50)
    if kind.kind == "f":
        steps = steps / 8 + rng.random(count)
    with np.errstate(invalid="ignore"):
        return steps.astype(kind.newbyteorder("=")).astype(kind).reshape(shape)


def through_h5py(**options):
    """A maker of datasets by h5py's own options."""

    def make(file, name, data, chunks):
        file.create_dataset(name, data=data, chunks=chunks, **options)

    return make


def through_dcpl(*filters, fill=None, kind=None):
    """The same by a list of (filter number, parameters), and a file type that numpy does not have."""

    def make(file, name, data, chunks):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(chunks)
        if fill is not None:
            plist.set_fill_value(np.array(fill, data.dtype))
        for number, parameters in filters:
            plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, tuple(parameters))
        space = h5py.h5s.create_simple(data.shape)
        file_type = kind(data.dtype) if kind else h5py.h5t.py_create(data.dtype)
        made = h5py.h5d.create(file.id, name.encode(), file_type, space, plist)
        if made.get_create_plist().get_nfilters() != len(filters):
            raise RuntimeError(f"{name} has not the filters that were asked for")
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(data))

    return make


def narrow(precision_part, offset):
    """A number's type with fewer bits than its bytes have."""

    def kind(dtype):
        made = h5py.h5t.py_create(dtype).copy()
        bits = dtype.itemsize * 8
        made.set_precision(max(1, int(bits * precision_part)))
        made.set_offset(min(offset, bits - made.get_precision()))
        return made

    return kind


def narrow_float(dtype):
    """A float of 20 bits in 4 bytes, or of 40 in 8."""
    made = h5py.h5t.py_create(dtype).copy()
    if dtype.itemsize == 4:
        made.set_fields(26, 20, 6, 7, 13)
        made.set_offset(7)
        made.set_precision(20)
        made.set_ebias(31)
    else:
        made.set_fields(50, 41, 9, 11, 30)
        made.set_offset(11)
        made.set_precision(40)
        made.set_ebias(255)
    return made


def narrow_compound(_dtype, more=False):
    """Members of every class that nbit tells apart, nested, with gaps."""
    small = h5py.h5t.STD_I32BE.copy()
    small.set_precision(17)
    small.set_offset(3)
    inner = h5py.h5t.create(h5py.h5t.COMPOUND, 12)
    inner.insert(b"x", 1, small)
    inner.insert(b"y", 8, h5py.h5t.C_S1.copy())
    outer = h5py.h5t.create(h5py.h5t.COMPOUND, 128)
    outer.insert(b"a", 0, small)
    outer.insert(b"b", 5, inner)
    outer.insert(b"c", 20, h5py.h5t.array_create(small, (3, 2)))
    outer.insert(b"e", 48, h5py.h5t.IEEE_F64LE)
    outer.insert(b"d", 56, h5py.h5t.array_create(inner, (4,)))
    if more:  # which the library loses, and with it must be lost in the same way
        outer.insert(b"f", 110, h5py.h5t.array_create(h5py.h5t.array_create(small, (2,)), (1,)))
        outer.insert(b"g", 124, small)
    return outer


def narrow_compound_more(_dtype):
    return narrow_compound(_dtype, more=True)


def narrow_arrays(_dtype):
    """An array of arrays, and a number behind it."""
    small = h5py.h5t.STD_I32LE.copy()
    small.set_precision(20)
    made = h5py.h5t.create(h5py.h5t.COMPOUND, 64)
    made.insert(b"f", 0, h5py.h5t.array_create(h5py.h5t.array_create(small, (2,)), (3,)))
    made.insert(b"a", 30, small)
    return made


def wide_compound(_dtype):
    """So many members that nbit has over 64 parameters."""
    made = h5py.h5t.create(h5py.h5t.COMPOUND, 4 * 40)
    small = h5py.h5t.STD_U32LE.copy()
    small.set_precision(19)
    for i in range(40):
        made.insert(b"member%d" % i, 4 * i, small)
    return made


def compound_dataset(file, name, kind, rows=100, chunk=32):
    """Raw bytes as elements of `kind`, written without conversion, through nbit."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((chunk,))
    plist.set_filter(h5py.h5z.FILTER_NBIT, 0, ())
    file_type = kind(None)
    made = h5py.h5d.create(file.id, name.encode(), file_type, h5py.h5s.create_simple((rows,)), plist)
    rng = np.random.default_rng(5)
    raw = np.frombuffer(rng.bytes(rows * file_type.get_size()), f"V{file_type.get_size()}")
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, raw, file_type)


def cases():
    """name, maker, types, shapes, patterns"""
    few = ["edge", "square", "tiny"]
    everything = PLAIN + [ROW]
    both = ["steps", "noise"]
    yield "gzip", through_h5py(compression="gzip", shuffle=True, fletcher32=True), everything, few, both
    yield "lzf", through_h5py(compression="lzf"), everything, list(SHAPES), both
    yield "lzf shuffled", through_h5py(compression="lzf", shuffle=True, fletcher32=True), PLAIN, few, ["steps"]
    for mode in ("ec", "nn"):
        for pixels in (8, 16, 32):
            shapes = ["whole", "edge", "cube", "long"] if pixels == 32 else ["whole", "edge", "square", "cube"]
            yield f"szip {mode}{pixels}", through_h5py(compression="szip", compression_opts=(mode, pixels)), \
                PLAIN, shapes, both
    yield "szip shuffled", through_h5py(compression="szip", compression_opts=("nn", 16), shuffle=True,
                                        fletcher32=True), PLAIN, ["whole", "cube"], ["steps"]
    yield "szip narrow", through_dcpl((4, (4 | 32, 16)), kind=narrow(0.6, 0)), INTEGERS, ["whole"], ["steps"]
    for bits in (0, 5):
        yield f"scaleoffset {bits}", through_h5py(scaleoffset=bits), INTEGERS, list(SHAPES), ["steps", "constant"]
    yield "scaleoffset noise", through_h5py(scaleoffset=0), INTEGERS, few, ["noise"]
    for digits in (-1, 0, 3, 9):
        yield f"scaleoffset digits {digits}", through_dcpl((6, (0, digits & 0xFFFFFFFF))), FLOATS, list(SHAPES), \
            ["steps", "constant"]
    yield "scaleoffset filled", through_dcpl((6, (2, 0)), fill=7), INTEGERS, few, ["steps", "constant"]
    yield "scaleoffset digits filled", through_dcpl((6, (0, 2)), fill=7), FLOATS, few, ["steps", "constant"]
    yield "scaleoffset gzip", through_dcpl((6, (2, 0)), (1, (6,)), (3, ())), INTEGERS, few, \
        ["steps"]
    for part, offset in ((0.5, 0), (0.7, 2), (1.0, 0), (0.6, 3)):  # newer libraries refuse less than half
        yield f"nbit {part} {offset}", through_dcpl((5, ()), kind=narrow(part, offset)), INTEGERS, few, both
    yield "nbit gzip", through_dcpl((5, ()), (1, (6,)), (3, ()), kind=narrow(0.5, 1)), INTEGERS, few, ["steps"]
    yield "nbit plain float", through_dcpl((5, ())), FLOATS, few, both
    yield "nbit float", through_dcpl((5, ()), kind=narrow_float), FLOATS, few, ["steps"]
    yield "bzip2", through_h5py(compression=hdf5plugin.BZip2(blocksize=1)), everything, few + ["long"], both
    for block in (0, 48, 1000):
        yield f"lz4 {block}", through_h5py(compression=hdf5plugin.LZ4(nbytes=block)), everything, list(SHAPES), both
    yield "zstd", through_h5py(compression=hdf5plugin.Zstd(clevel=5), shuffle=True, fletcher32=True), everything, \
        list(SHAPES), both
    for codec in ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"):
        for shuffle in (0, 1, 2):
            options = {"compression": hdf5plugin.Blosc(cname=codec, clevel=4, shuffle=shuffle)}
            yield f"blosc {codec} {shuffle}", through_h5py(**options), ["<i1", "<u2", "<i4", ">f8", ROW], \
                ["edge", "square", "long"], both
    for codec in ("none", "lz4", "zstd"):
        for elements in (0, 8, 64, 2048):
            options = {"compression": hdf5plugin.Bitshuffle(nelems=elements, cname=codec)}
            yield f"bitshuffle {codec} {elements}", through_h5py(**options), everything, list(SHAPES), both


def make_file(path, libver):
    made = 0
    with h5py.File(path, "w", libver=libver) as file:
        for name, make, kinds, shapes, patterns in cases():
            for kind in kinds:
                for shape in shapes:
                    for pattern in patterns:
                        dims, chunks = SHAPES[shape]
                        data = values(dims, kind, pattern)
                        text = "row" if np.dtype(kind).names else kind
                        make(file, f"{name} {text} {shape} {pattern}", data, chunks)
                        made += 1
        compound_dataset(file, "nbit compound", narrow_compound)
        compound_dataset(file, "nbit compound and more", narrow_compound_more)
        compound_dataset(file, "nbit arrays", narrow_arrays)
        compound_dataset(file, "nbit wide compound", wide_compound, rows=70)
        made += 4 + add_masks(file)
    return made


def add_masks(file):
    """Chunks from which filters were left out, in every combination."""
    data = np.arange(1000, dtype="<i4")
    summed = file.create_dataset("masks", (1000,), "<i4", chunks=(100,), shuffle=True, compression="lzf")
    summed[...] = data
    for chunk in range(0, 10, 2):
        part = data[100 * chunk : 100 * chunk + 100] + chunk
        shuffled = part.view("u1").reshape(100, 4).T.copy()
        if chunk % 4:
            summed.id.write_direct_chunk((100 * chunk,), part.tobytes(), 0b11)
        else:
            summed.id.write_direct_chunk((100 * chunk,), shuffled.tobytes(), 0b10)
    return 1


def fail(text):
    print(text)
    raise SystemExit(1)


def check_refusals(program, folder):
    path = os.path.join(folder, "refused.h5")
    with h5py.File(path, "w") as file:
        for name, (options, _) in REFUSED.items():
            file.create_dataset(name, data=np.arange(4000, dtype="f4").reshape(40, 100), chunks=(10, 100), **options)
    totals = dict.fromkeys(walk_corpus.TOTALS, 0)
    problems, refusals = walk_corpus.compare_file(program, None, path, totals)
    for name, (_, number) in REFUSED.items():
        if not any(f"/{name}: " in text and f"{name} ({number})" in text for text in refusals):
            problems.append(f"{name} ({number}) is not refused by its name: {refusals}")
    if problems:
        fail("\n".join(problems))


# ---- what Basalt writes ----------------------------------------------------------------------------

WRITTEN = [  # number, parameters that the user gives; the plugins add others
    (1, (6,)), (2, ()), (3, ()), (307, (2,)), (32000, ()), (32004, ()), (32004, (1000,)), (32015, (7,)),
    *((32001, (0, 0, 0, 0, 5, shuffle, codec)) for shuffle in (0, 1, 2) for codec in (0, 1, 2, 3, 4, 5)),
    *((32008, (block, codec, 3)) for block in (0, 8, 512) for codec in (0, 2, 3)),
]


def check_written(program, folder):
    """Chunks that Basalt has encoded, through the decoders of others."""
    checked = 0
    with h5py.File(os.path.join(folder, "written.h5"), "w") as file:
        for number, given in WRITTEN:
            for kind in ("<i1", "<i2", "<i4", "<i8"):
                for count in (24, 1000, 5003):
                    data = values((count,), kind, "steps")
                    name = f"{number} {given} {kind} {count}"
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_chunk((count,))
                    plist.set_filter(number, 0, given)
                    made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(data.dtype),
                                           h5py.h5s.create_simple((count,)), plist)
                    parameters = made.get_create_plist().get_filter(0)[2]
                    text = f"{number}:{','.join(map(str, parameters))}".rstrip(":")
                    done = subprocess.run([program, text], input=data.tobytes(), capture_output=True, check=False)
                    if done.returncode:
                        fail(f"{name}: {done.stderr}")
                    made.write_direct_chunk((0,), done.stdout)
                    if not np.array_equal(file[name][:], data):
                        fail(f"{name}: h5py reads something else")
                    checked += 1
    print(f"FIGURE filters, written: {checked} chunks read by h5py and hdf5plugin")


# ---- a filter of the user --------------------------------------------------------------------------

DECODER = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32), ctypes.c_size_t, ctypes.c_void_p,
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t), ctypes.c_void_p)


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("os_errno", ctypes.c_int), ("file_offset", ctypes.c_uint64),
                ("message", ctypes.c_char * 240)]


class Options(ctypes.Structure):
    _fields_ = [("struct_bytes", ctypes.c_size_t), ("env", ctypes.c_void_p)]


class StoreOptions(ctypes.Structure):
    _fields_ = [("struct_bytes", ctypes.c_size_t), ("env", ctypes.c_void_p), ("access", ctypes.c_int),
                ("rest", ctypes.c_uint8 * 56)]


@DECODER
def zfp_by_hand(_context, _parameters, count, _input, input_bytes, out, room, made, _err):
    """Not zfp, but what shows that it was asked, and with what."""
    text = f"{count}".encode().ljust(16, b"#")
    if input_bytes == 0 or room % 16:
        return 6
    ctypes.memmove(out, text * (room // 16), room)
    made[0] = room
    return 0


def check_user_filter_in_store(library, call, env, folder):
    """A column that another program compressed again, with a filter of the user: the store reads it with it."""
    path = os.path.join(folder, "store.h5")
    batch = pa.record_batch([pa.array(np.arange(1000, dtype="<i8"))], schema=pa.schema(
        [pa.field("volts", pa.int64(), nullable=False)]))
    store, count = ctypes.c_void_p(), ctypes.c_uint64()
    stream = ctypes.create_string_buffer(40)

    def must(name, *arguments):
        status, message = call(name, *arguments)
        if status:
            fail(f"{name}: {message}")

    def rows():
        got = ctypes.create_string_buffer(40)
        status, message = call("basalt_scan", store, None, b"probe", None, got)
        try:
            return message if status else pa.RecordBatchReader._import_from_c(ctypes.addressof(got)).read_all()
        except OSError as problem:
            return str(problem)

    must("basalt_store_open", path.encode(), None, ctypes.byref(store))
    pa.RecordBatchReader.from_batches(batch.schema, [batch])._export_to_c(ctypes.addressof(stream))
    must("basalt_append_stream", store, b"probe", stream, None, ctypes.c_int(1), ctypes.byref(count))
    must("basalt_store_close", ctypes.byref(store))
    with h5py.File(path, "r+") as file:
        del file["probe/volts"]
        file["probe"].create_dataset("volts", (1000,), "<i8", chunks=(1000,), maxshape=(None,),
                                     data=np.arange(1000, dtype="<i8"), **hdf5plugin.Zfp(reversible=True))
    options = StoreOptions()
    library.basalt_store_options_init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)))
    options.access = 3  # BASALT_READ_CHECKPOINT
    for given, reads in ((env, True), (None, False)):
        options.env = given
        must("basalt_store_open", path.encode(), ctypes.byref(options), ctypes.byref(store))
        got = rows()
        if isinstance(got, str) == reads or (not reads and "zfp (32013)" not in got):
            fail(f"a family with a filter of the user: {got}")
        if reads and got.column("volts")[0].as_py().to_bytes(8, "little", signed=True)[1:] != b"#" * 7:
            fail(f"a family through the user's decoder: {got.column('volts')[0]}")
        must("basalt_store_close", ctypes.byref(store))


def check_user_filter(library_path, folder):
    """The environment's filter decodes a file that is opened with it, and no other one."""
    library = ctypes.CDLL(library_path)
    error = Error()
    env, file = ctypes.c_void_p(), ctypes.c_void_p()
    path = os.path.join(folder, "refused.h5").encode()

    def call(name, *arguments):
        status = getattr(library, name)(*arguments, ctypes.byref(error))
        return status, error.message.decode()

    def scan(name):
        stream = ctypes.create_string_buffer(40)
        status, message = call("basalt_hdf5_scan", file, name, ctypes.c_uint64(0), ctypes.c_uint64(40), stream)
        if status:
            return status, message
        try:
            return 0, pa.RecordBatchReader._import_from_c(ctypes.addressof(stream)).read_all()
        except OSError as problem:
            return -1, str(problem)

    if call("basalt_env_create", None, ctypes.byref(env))[0]:
        fail("no environment")
    status, message = call("basalt_env_register_filter", env, ctypes.c_uint16(32013), b"zfp by hand", zfp_by_hand,
                           None, None)
    if status:
        fail(message)
    if call("basalt_env_register_filter", env, ctypes.c_uint16(32013), b"again", zfp_by_hand, None, None)[0] != 7:
        fail("a filter could be registered twice")
    if call("basalt_env_register_filter", env, ctypes.c_uint16(1), b"mine", zfp_by_hand, None, None)[0] != 7:
        fail("deflate could be replaced")
    if call("basalt_env_register_filter", env, ctypes.c_uint16(32099), b"encoder", zfp_by_hand, zfp_by_hand,
            None)[0] != 8:
        fail("an encoder could be registered")
    check_user_filter_in_store(library, call, env, folder)
    options = Options(ctypes.sizeof(Options), env)
    for given, zfp_read in ((ctypes.byref(options), True), (None, False)):
        if call("basalt_hdf5_open_with", path, given, ctypes.byref(file))[0]:
            fail(error.message.decode())
        status, got = scan(b"/zfp")
        if (status == 0) != zfp_read:
            fail(f"zfp by the user: {status} {got}")
        if zfp_read:
            raw = np.array(got.column(0).combine_chunks().values, dtype="<f4").tobytes()
            if raw[1:16] != b"#" * 15 or len(raw) != 16000:
                fail(f"the user's decoder gave something else: {raw[:32]}")
            if call("basalt_env_close", ctypes.byref(env))[0] != 2:
                fail("the environment could be closed under an open file")
        status, got = scan(b"/blosc2")
        if status == 0 or "blosc2 (32026)" not in got:
            fail(f"blosc2: {status} {got}")
        library.basalt_hdf5_close(ctypes.byref(file))
    if call("basalt_env_close", ctypes.byref(env))[0]:
        fail(error.message.decode())


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        for libver in ("earliest", "latest"):
            path = os.path.join(folder, f"{libver}.h5")
            made = make_file(path, libver)
            totals = dict.fromkeys(walk_corpus.TOTALS, 0)
            problems, refusals = walk_corpus.compare_file(program, None, path, totals)
            for text in problems + refusals:
                print(text)
            print(f"FIGURE filters, {libver} format: {totals['D']} of {made} datasets read")
            if problems or refusals or totals["D"] != made:
                fail("not every dataset equals what h5py reads")
        check_refusals(program, folder)
        check_written(sys.argv[2], folder)
        if len(sys.argv) > 3:
            check_user_filter(sys.argv[3], folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
