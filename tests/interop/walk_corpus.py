"""Compares what walk_corpus prints of real HDF5 files with what h5py reads of them.

    walk_corpus.py WALK_CORPUS WALK_LIBHDF5 [FILE...]

Without files: files that h5py makes here, in every format it knows to write, then edits again; and
every file under BASALT_CORPUS (default ../shared/corpus) but the hostile ones, where there are any. A
value that differs, an object that is missed, or a refusal that is not "unsupported" fails."""

import os
import struct
import subprocess
import sys
import tempfile
import zlib

import h5py
import hdf5plugin  # filters for h5py
import numpy as np


TOTALS = ("files", "refused", "G", "T", "D", "DL", "A", "deferred")


def crc_of(type_id, shape, space_type, read):
    """The sum that walk_corpus makes: raw elements, or length and bytes of variable-length ones."""
    if space_type == h5py.h5s.NULL:
        return 0
    if is_variable(type_id):
        return None
    raw = np.zeros(shape, dtype=f"V{type_id.get_size()}")
    if raw.size:
        read(raw, type_id)
    return zlib.crc32(raw.tobytes())


def holds_pointers(kind):
    """True of a type that h5py reads into memory as pointers somewhere inside: not comparable."""
    if kind.get_class() == h5py.h5t.COMPOUND:
        members = [kind.get_member_type(i) for i in range(kind.get_nmembers())]
        return any(holds_pointers(m) or is_variable(m) for m in members)
    if kind.get_class() == h5py.h5t.ARRAY:
        return holds_pointers(kind.get_super()) or is_variable(kind.get_super())
    if kind.get_class() == h5py.h5t.VLEN:
        return kind.get_super().get_class() == h5py.h5t.REFERENCE or is_variable(kind.get_super())
    return False


def is_revised_reference(kind):
    """A reference of HDF5 1.12, which libhdf5 keeps in memory in a form of its own."""
    if kind.get_class() == h5py.h5t.COMPOUND:
        return any(is_revised_reference(kind.get_member_type(i)) for i in range(kind.get_nmembers()))
    if kind.get_class() in (h5py.h5t.ARRAY, h5py.h5t.VLEN):
        return is_revised_reference(kind.get_super())
    return kind.get_class() == h5py.h5t.REFERENCE and kind.get_size() not in (8, 12)


def is_variable(kind):
    return kind.get_class() == h5py.h5t.VLEN or (
        kind.get_class() == h5py.h5t.STRING and kind.is_variable_str()
    )


def crc_of_variable(values, scalar):
    total = 0
    for value in [values] if scalar else np.asarray(values, dtype=object).reshape(-1):
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        elif not isinstance(value, bytes):
            value = np.asarray(value).tobytes() if value is not None else b""
        total = zlib.crc32(struct.pack("<I", len(value)) + value, total)
    return total


def read_dataset(dataset):
    sum_of = crc_of(
        dataset.id.get_type(),
        dataset.shape or (),
        dataset.id.get_space().get_simple_extent_type(),
        lambda out, kind: dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, out, kind),
    )
    return crc_of_variable(dataset[()], dataset.shape == ()) if sum_of is None else sum_of



def shape_text(shape, space_type):
    if space_type == h5py.h5s.NULL:
        return "null"
    return ",".join(str(n) for n in shape) if shape else "scalar"


def compare_dataset(file, fields, problems, deferred):
    _, path, size, dims, sum_text = fields
    dataset = file[path]
    space_type = dataset.id.get_space().get_simple_extent_type()
    if shape_text(dataset.shape, space_type) != dims:
        problems.append(f"{path}: shape {dims}, h5py says {dataset.shape}")
        return
    if is_revised_reference(dataset.id.get_type()):
        raise TypeError("it has references of 1.12 in another form in memory")
    if holds_pointers(dataset.id.get_type()):
        deferred.append("\t".join(fields))
        return
    expected = read_dataset(dataset)
    if f"{expected:08x}" != sum_text:
        problems.append(f"{path}: values differ (type of {size} bytes, shape {dims})")


def compare_attribute(file, fields, problems, deferred):
    _, path, name, _, dims, sum_text = fields
    attribute = h5py.h5a.open(file[path].id, name.encode())
    space_type = attribute.get_space().get_simple_extent_type()
    if shape_text(attribute.shape, space_type) != dims:
        problems.append(f"{path}@{name}: shape {dims}, h5py says {attribute.shape}")
        return
    if is_revised_reference(attribute.get_type()):
        raise TypeError("it has references of 1.12 in another form in memory")
    if holds_pointers(attribute.get_type()):
        deferred.append("\t".join(fields))
        return
    expected = crc_of(
        attribute.get_type(),
        attribute.shape or (),
        space_type,
        lambda out, kind: attribute.read(out, kind),
    )
    if expected is None:
        expected = crc_of_variable(file[path].attrs[name], attribute.shape == ())
    if f"{expected:08x}" != sum_text:
        problems.append(f"{path}@{name}: values differ")


H5PY_ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError)


def objects_of(file):
    count = 0

    def each(_name, _object):
        nonlocal count
        count += 1

    file.visititems(each)
    return count + 1


def attribute_count(file):
    total = len(file.attrs)

    def each(_name, thing):
        nonlocal total
        total += len(thing.attrs)

    file.visititems(each)
    return total


def h5py_reads(file, path):
    """Whether h5py gets at all that is at `path`, and for a group at all that it lists."""
    try:
        thing = file[path]
        for name in thing.attrs:
            h5py.h5a.open(thing.id, name.encode()).get_type()
        if isinstance(thing, h5py.Dataset):
            thing[()]
        else:
            list(thing)
    except H5PY_ERRORS:
        return False
    return True


def compare_lines(file, lines, problems, refusals, deferred):
    """Adds what h5py cannot compare to `deferred`: lines that libhdf5 must say as well."""
    compared = {"G": 0, "T": 0, "D": 0, "DL": 0, "A": 0}
    faults = []  # that verify found: none in a file of which h5py reads everything
    for line in lines:
        fields = line.split("\t")
        if fields[0] == "E":
            refused = fields[2] in ("BASALT_UNSUPPORTED", "BASALT_TOO_LARGE")
            where = refusals if refused or not h5py_reads(file, fields[1]) else problems
            where.append(f"{fields[1]}: {fields[3]}")
            continue
        if fields[0] == "V":
            faults.append(f"verify: {fields[1]}")
            continue
        if fields[0] in "LW":
            continue
        compared[fields[0]] += 1
        try:
            if fields[0] in ("D", "DL"):
                compare_dataset(file, fields, problems, deferred)
            elif fields[0] == "A":
                compare_attribute(file, fields, problems, deferred)
        except H5PY_ERRORS as error:
            refusals.append(f"{fields[1]}: h5py cannot: {error}")
    if not refusals:
        compare_counts(file, compared, problems, refusals)
    (refusals if refusals else problems).extend(faults)
    return compared


def compare_counts(file, compared, problems, refusals):
    objects = compared["G"] + compared["D"] + compared["T"]
    try:
        seen, attributes = objects_of(file), attribute_count(file)
    except H5PY_ERRORS as error:  # HDF5 2.0 refuses some heaps that 1.10 writes
        refusals.append(f"h5py cannot list it: {error}")
        return
    if objects != seen:
        problems.append(f"{objects} objects, h5py sees {seen}")
    if compared["A"] != attributes:
        problems.append(f"{compared['A']} attributes, h5py sees {attributes}")


def crc_of_nested(kind, value, total=0):
    """The sum of one element with pointers inside, from what h5py makes of it (little-endian parts)."""
    if kind.get_class() == h5py.h5t.COMPOUND:
        for i in range(kind.get_nmembers()):
            member = value[kind.get_member_name(i).decode()]
            total = crc_of_nested(kind.get_member_type(i), member, total)
        return total
    if is_variable(kind) and kind.get_class() == h5py.h5t.STRING:
        text = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value or b""
        return zlib.crc32(struct.pack("<I", len(text)) + text, total)
    return zlib.crc32(np.asarray(value).tobytes(), total)


def says_h5py(path, line):
    """For datasets that this libhdf5 has no filter for."""
    fields = line.split("\t")
    with h5py.File(path, "r") as file:
        kind, total = file[fields[1]].id.get_type(), 0
        for value in file[fields[1]][()].reshape(-1):
            total = crc_of_nested(kind, value, total)
    return f"{total:08x}" == fields[-1]


def compare_deferred(oracle, path, deferred, problems):
    """What has pointers inside is compared with libhdf5's own words about it."""
    if not deferred:
        return
    done = subprocess.run([oracle, path], capture_output=True, timeout=120, check=False)
    told = set(done.stdout.decode("utf-8", "surrogateescape").split("\n"))
    for line in deferred:
        if f"E\tD\t{line.split(chr(9))[1]}" in told and says_h5py(path, line):
            continue
        if line not in told:
            problems.append(f"libhdf5 does not say: {line}")


def compare_file(program, oracle, path, totals):
    done = subprocess.run([program, path], capture_output=True, timeout=120, check=False)
    lines = done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]
    problems, refusals, deferred = [], [], []
    if done.returncode not in (0, 1):
        problems.append(f"the program ended with {done.returncode}: {done.stderr[-300:]}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if done.returncode == 0:
            refusals.append(f"h5py cannot open it ({error}), Basalt can")
        else:
            refusals.append(f"neither opens it: {lines[0].split(chr(9))[3] if lines else ''}")
        totals["refused"] += 1
        return problems, refusals
    with file:
        compared = compare_lines(file, lines, problems, refusals, deferred)
    compare_deferred(oracle, path, deferred, problems)
    totals["deferred"] += len(deferred)
    for key, value in compared.items():
        totals[key] += value
    totals["files"] += 1
    return problems, refusals


def add_datasets(group, count):
    numbers = np.arange(count)
    for kind in ("<i1", "<u2", ">i4", "<u8", "<f2", ">f4", "<f8", "?", "<c8"):
        group.create_dataset(f"plain {kind}", data=numbers.astype(kind))
    for name, options in {
        "gzip": {"compression": "gzip"},
        "shuffled": {"compression": "gzip", "shuffle": True, "chunks": (100,)},
        "summed": {"fletcher32": True, "chunks": (33,)},
        "growing": {"maxshape": (None,), "chunks": (16,)},
    }.items():
        group.create_dataset(name, data=numbers.astype("<f8") / 3, **options)
    cube = numbers[: count // 24 * 24].reshape(-1, 4, 6)
    group.create_dataset("cube", data=cube, chunks=(5, 3, 4), maxshape=(None, 4, None))
    sparse = group.create_dataset("sparse", (count, 3), chunks=(7, 2), fillvalue=-5, dtype="<i8")
    sparse[count // 2] = 9
    texts = [f"text {i} \u00e9" if i % 3 else "" for i in range(count)]
    group.create_dataset("texts", data=texts, dtype=h5py.string_dtype())
    group.create_dataset("fixed texts", data=np.array([t.encode() for t in texts], dtype="S12"))
    ragged = group.create_dataset("ragged", (count,), dtype=h5py.vlen_dtype(np.dtype("<i4")))
    for i in range(0, count, 5):
        ragged[i] = np.arange(i % 11)
    row = np.zeros(count, dtype=[("a", "<i4"), ("b", ">f8"), ("c", "S5"), ("d", "<u2", (2, 3))])
    row["a"], row["b"] = numbers, numbers / 7
    group.create_dataset("rows", data=row, chunks=(50,), compression="gzip")
    group.create_dataset("choice", data=numbers % 3, dtype=h5py.enum_dtype({"x": 0, "y": 1, "z": 2}))
    group["type"] = np.dtype("<f4")
    group.create_dataset("empty", data=h5py.Empty("<f8"))
    group.create_dataset("scalar", data=np.float32(1.5))


def make_files(folder):
    """Every format bound, a user block, many links and attributes; then edited by a second session."""
    for bounds in (("earliest", "v108"), ("v110", "v110"), ("latest", "latest"), None):
        name = "-".join(bounds) if bounds else "default"
        path = os.path.join(folder, f"{name}.h5")
        with h5py.File(path, "w", libver=bounds, userblock_size=512) as file:
            add_datasets(file, 240)
            file.create_group("tracked", track_order=True).attrs.update(
                {f"attribute {i}": i for i in range(30)}
            )
            for i in range(60):
                file.create_group(f"many/{i}").attrs["words"] = f"of {i}"
        with h5py.File(path, "r+") as file:
            add_datasets(file.create_group("later"), 120)
            file["growing"].resize((1000,))
            del file["many/7"], file["plain <u8"]
            for i in range(25):
                file["many"].attrs[f"added {i}"] = np.arange(i)
                file[f"link {i}"] = file["cube"]
        yield path


def make_newest(folder):
    """What only the HDF5 of h5py writes: complex numbers, virtual datasets in their newest form."""
    path = os.path.join(folder, "newest.h5")
    numbers = np.arange(60, dtype="<f4").reshape(5, 12)
    with h5py.File(os.path.join(folder, "source.h5"), "w", libver="latest") as file:
        file.create_dataset("data", data=numbers, maxshape=(None, 12), chunks=(2, 12))
    with h5py.File(path, "w", libver="latest") as file:
        space = h5py.h5s.create_simple((5,))
        for name in ("COMPLEX_IEEE_F32LE", "COMPLEX_IEEE_F64BE", "COMPLEX_IEEE_F16LE"):
            kind = getattr(h5py.h5t, name, None)
            if kind is not None:
                dataset = h5py.h5d.create(file.id, name.encode(), kind, space)
                raw = np.arange(5 * kind.get_size(), dtype="u1").view(f"V{kind.get_size()}")
                dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, raw, kind)
        layout = h5py.VirtualLayout(shape=(20, 12), maxshape=(None, 12), dtype="<f8")
        source = h5py.VirtualSource("source.h5", "data", shape=(5, 12))
        layout[0:10:2] = source
        layout[11:16, :6] = source[:, 6:]
        layout[11:16, 6:] = h5py.VirtualSource(".", "own", shape=(5, 12))[:, ::2]
        file.create_virtual_dataset("virtual", layout, fillvalue=-1)
        file.create_dataset("own", data=numbers * 3)
    yield path


def corpus_files():
    root = os.environ.get("BASALT_CORPUS", "../shared/corpus")
    for folder, _, names in sorted(os.walk(root)):
        if "hostile" in folder.split(os.sep):
            continue
        for name in sorted(names):
            if name != "LICENSE" and not name.endswith(".md"):
                yield os.path.join(folder, name)


def main():
    program, oracle, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        if not files:
            corpus = list(corpus_files())
            if not corpus:
                print("there is no corpus (set BASALT_CORPUS): only files made here are compared")
            files = list(make_files(folder)) + list(make_newest(folder)) + corpus
        return compare_files(program, oracle, files)


def compare_files(program, oracle, files):
    totals = dict.fromkeys(TOTALS, 0)
    failed = 0
    for path in files:
        problems, refusals = compare_file(program, oracle, path, totals)
        for text in problems:
            print(f"DIFFERS {path}: {text}")
        for text in refusals:
            print(f"refused {path}: {text}")
        failed += bool(problems)
    print(
        f"{totals['files']} files compared, {totals['refused']} not opened, {failed} differ: "
        f"{totals['G']} groups, {totals['D']} datasets, {totals['T']} types, "
        f"{totals['A']} attributes equal to h5py ({totals['deferred']} of them to libhdf5), "
        f"{totals['DL']} datasets through links"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
