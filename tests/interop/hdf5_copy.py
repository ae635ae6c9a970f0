"""Copies HDF5 files with `basalt copy`, and compares what libhdf5 reads of source and copy.

    hdf5_copy.py BASALT WALK_LIBHDF5 MAKE_FIXTURES [FILE...]

Without files: what make_fixtures makes, files that h5py makes here, and every file under BASALT_CORPUS
(default ../shared/corpus) but the hostile ones. Each is copied as it is, and with one of several other
settings in turn (with BASALT_COPY_ALL, with all). Every object, type, attribute, link and value must be
equal: by h5py, references followed, and by walk_libhdf5's sums or h5diff; h5dump and h5stat read the
copy, and `basalt verify` finds no fault. A refusal must be one that is expected here."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import h5py
import numpy as np

import walk_corpus

SETTINGS = (
    (),
    ("--chunks", "auto", "--filters", "shuffle,deflate:4"),
    ("--chunks", "4Ki", "--filters", "shuffle,deflate:1,fletcher32"),
    ("--filters", "none"),
    ("--chunks", "contiguous", "--filters", "none", "--threads", "1"),
)
# What a copy may be refused for, by a part of its sentence.
REFUSALS = (
    "that HDF5 1.12 brought cannot be copied",
    "user-defined",
    "is not built in",
    "has more than 64000 bytes",
)


class Differs(Exception):
    pass


def expect(same, what):
    if not same:
        raise Differs(what)


def bytes_of(name):
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


class Comparison:
    """Two open files, and which objects of one are which of the other."""

    def __init__(self, left, right):
        self.left, self.right = left, right
        self.pairs, self.back, self.values = {}, {}, 0

    def pair(self, left, right, where):
        """True if these objects have been compared already."""
        a, b = h5py.h5o.get_info(left).addr, h5py.h5o.get_info(right).addr
        expect(self.pairs.get(a, b) == b and self.back.get(b, a) == a, f"{where}: not one object")
        known = a in self.pairs
        self.pairs[a], self.back[b] = b, a
        return known

    def target(self, file, reference):
        if not reference:
            return None
        found = h5py.h5r.dereference(reference, file.id)
        if found is None:
            return None
        place = h5py.h5o.get_info(found).addr
        if isinstance(reference, h5py.RegionReference):
            region = h5py.h5r.get_region(reference, file.id)
            points = region.get_select_npoints()
            return place, points, region.get_select_bounds() if points else None
        return place

    def same_reference(self, a, b, where):
        left, right = self.target(self.left, a), self.target(self.right, b)
        if left is None or right is None:
            expect(left == right, f"{where}: a reference is null, or is not")
            return
        if isinstance(left, tuple):
            expect(left[1:] == right[1:], f"{where}: a region differs")
            left, right = left[0], right[0]
        if left not in self.pairs:
            raise Later
        expect(self.pairs[left] == right, f"{where}: a reference leads elsewhere")

    def same(self, a, b, where):
        """Values as h5py gives them."""
        if isinstance(a, (h5py.Reference, h5py.RegionReference)):
            return self.same_reference(a, b, where)
        if isinstance(a, h5py.Empty):
            return expect(isinstance(b, h5py.Empty) and a.dtype == b.dtype, f"{where}: not empty")
        if isinstance(a, (str, bytes)) or a is None:
            return expect(a == b, f"{where}: {a!r:.80} became {b!r:.80}")
        a, b = np.asarray(a), np.asarray(b)
        expect(a.shape == b.shape and a.dtype == b.dtype, f"{where}: {a.dtype} {a.shape}, {b.dtype} {b.shape}")
        if a.dtype.names:
            for name in a.dtype.names:
                self.same(a[name], b[name], f"{where}.{name}")
        elif a.dtype.hasobject:
            for left, right in zip(a.reshape(-1).tolist(), b.reshape(-1).tolist()):
                self.same(left, right, where)
        else:
            expect(a.tobytes() == b.tobytes(), f"{where}: values differ")
        self.values += 1


class Later(Exception):
    pass


NAMED = set()  # addresses of the committed types that have a name, in the source at hand


def note_type(_, item):
    if isinstance(item, h5py.Datatype):
        NAMED.add(h5py.h5o.get_info(item.id).addr)


def raw_of(identifier, is_dataset):
    """Bytes as in the file, of types without pointers that h5py has no word for."""
    kind, shape = identifier.get_type(), identifier.shape
    raw = np.zeros(shape or (), dtype=f"V{kind.get_size()}")
    if raw.size and is_dataset:
        identifier.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, kind)
    elif raw.size:
        identifier.read(raw, kind)
    return raw


def values_of(holder, identifier, is_dataset):
    kind = identifier.get_type()
    space = identifier.get_space().get_simple_extent_type()
    if space == h5py.h5s.NULL:
        return b"null"
    pointers = walk_corpus.holds_pointers(kind) or walk_corpus.is_variable(kind)
    if not pointers and kind.get_class() != h5py.h5t.REFERENCE and not kind.detect_class(
        h5py.h5t.REFERENCE
    ):
        return raw_of(identifier, is_dataset)
    return holder()


def compare_type(a, b, where):
    # A committed type that has lost its name is nothing that a copy would find.
    unlinked = a.committed() and h5py.h5o.get_info(a).addr not in NAMED
    expect(a.committed() == b.committed() or unlinked, f"{where}: committed, or not")
    same = a.equal(b) if hasattr(a, "equal") else a == b
    expect(same and a.get_size() == b.get_size(), f"{where}: the type differs")
    if a.get_class() == h5py.h5t.STRING:
        expect(a.get_cset() == b.get_cset() and a.get_strpad() == b.get_strpad(), where)


def compare_attributes(both, left, right, where):
    names = [set(), set()]
    for side, item in enumerate((left, right)):
        count = h5py.h5a.get_num_attrs(item)
        names[side] = {h5py.h5a.open(item, index=i).name for i in range(count)}
    expect(names[0] == names[1], f"{where}: attributes {names[0] ^ names[1]}")
    for name in names[0]:
        a, b = h5py.h5a.open(left, name), h5py.h5a.open(right, name)
        here = f"{where}@{name.decode('utf-8', 'replace')}"
        compare_type(a.get_type(), b.get_type(), here)
        expect(a.shape == b.shape, f"{here}: {a.shape} became {b.shape}")
        yield here, a, b, left, right


def compare_dataset(a, b, where):
    compare_type(a.get_type(), b.get_type(), where)
    left, right = a.get_space(), b.get_space()
    expect(left.get_simple_extent_type() == right.get_simple_extent_type(), f"{where}: dataspace")
    if left.get_simple_extent_type() == h5py.h5s.SIMPLE:
        expect(left.shape == right.shape, f"{where}: {left.shape} became {right.shape}")
        expect(left.get_simple_extent_dims(True) == right.get_simple_extent_dims(True), f"{where}: limits")


def walk(both, left, right, where, work):
    if both.pair(left.id, right.id, where):
        return
    expect(type(left) is type(right), f"{where}: another kind of object")
    for here, a, b, x, y in compare_attributes(both, left.id, right.id, where):
        work.append((here, a, b, left, right))
    if isinstance(left, h5py.Dataset):
        compare_dataset(left.id, right.id, where)
        work.append((where, left.id, right.id, left, right))
    elif isinstance(left, h5py.Datatype):
        compare_type(left.id, right.id, where)
        counts = [h5py.h5o.get_info(item.id).rc for item in (left, right)]
        expect(counts[0] == counts[1], f"{where}: link counts {counts}")
    else:
        compare_group(both, left, right, where, work)


def compare_group(both, left, right, where, work):
    names = [set(group.id) for group in (left, right)]
    if where == "/":
        names[0] -= {b".basalt"} - names[1]
    expect(names[0] == names[1], f"{where}: links {names[0] ^ names[1]}")
    for name in sorted(names[0]):
        a, b = left.id.links.get_info(name), right.id.links.get_info(name)
        here = f"{where.rstrip('/')}/{name.decode('utf-8', 'replace')}"
        expect(a.type == b.type, f"{here}: another kind of link")
        if a.type in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL):
            expect(left.id.links.get_val(name) == right.id.links.get_val(name), f"{here}: target")
        elif a.type == h5py.h5l.TYPE_HARD:
            walk(both, left[name], right[name], here, work)


def attribute_value(item, name):
    return item.attrs[name]


def compare_values(both, work):
    for where, a, b, left, right in work:
        is_dataset = isinstance(a, h5py.h5d.DatasetID)
        try:
            if is_dataset:
                x = values_of(lambda: left[()], a, True)
            else:
                x = values_of(lambda: attribute_value(left, a.name), a, False)
        except Exception as fault:  # what libhdf5 cannot read here, nobody compares here
            if isinstance(fault, Differs):
                raise
            continue
        try:
            if is_dataset:
                y = values_of(lambda: right[()], b, True)
            else:
                y = values_of(lambda: attribute_value(right, b.name), b, False)
        except OSError as fault:
            raise Differs(f"{where}: cannot be read from the copy: {fault}") from fault
        try:
            both.same(x, y, where)
        except Later:
            raise Differs(f"{where}: a reference leads out of what was copied") from None


def compare_h5py(source, copy):
    if os.path.basename(source).startswith("cache-image"):
        return 0, 0  # HDF5 2.0, in h5py, cannot
    try:
        left = h5py.File(source, "r")
    except OSError:  # of several files, or something else that this libhdf5 cannot open
        return 0, 0
    with left, h5py.File(copy, "r") as right:
        NAMED.clear()
        left.visititems(note_type)
        both, work = Comparison(left, right), []
        walk(both, left["/"], right["/"], "/", work)
        compare_values(both, work)
        return len(both.pairs), both.values


def run(command, **more):
    return subprocess.run(command, capture_output=True, timeout=300, check=False, **more)


def refers(file, line):
    """Is the line about values that hold references? Their sums differ: objects have moved."""
    fields = line.split("\t")
    item = file[bytes_of(fields[1])]
    kind = item.id.get_type() if fields[0] != "A" else h5py.h5a.open(item.id, bytes_of(fields[2])).get_type()
    while kind.get_class() in (h5py.h5t.VLEN, h5py.h5t.ARRAY):
        kind = kind.get_super()
    return kind.detect_class(h5py.h5t.REFERENCE)


def compare_lines(oracle, source, copy):
    """walk_libhdf5 of both: objects, attributes, links, sums."""
    sides = []
    for path in (source, copy):
        done = run([oracle, os.path.basename(path)], cwd=os.path.dirname(path))
        text = done.stdout.decode("utf-8", "surrogateescape")
        if done.returncode or not text:
            return
        lines = {line for line in text.splitlines() if "\t/.basalt" not in line}
        lines = {line for line in lines if not line.startswith("DL\t")}  # where links out of it lead
        if path == source and any(line.startswith("E\t") for line in lines):
            return  # what libhdf5 cannot read there
        sides.append(lines)
    only = [line for line in sides[0] - sides[1] if line[:2] in ("A\t", "D\t")]
    moved = set()
    if only:
        with h5py.File(source, "r") as file:
            moved = {line.rpartition("\t")[0] for line in only if refers(file, line)}
    for side in sides:
        for line in [line for line in side if line.rpartition("\t")[0] in moved]:
            side.remove(line)
            side.add(line.rpartition("\t")[0])
    only = sorted(sides[0] - sides[1])[:2] + sorted(sides[1] - sides[0])[:2]
    expect(not only, f"walk_libhdf5: {only}")


def check_tools(basalt, source, copy, compare):
    done = run([basalt, "verify", copy])
    expect(done.returncode == 0, f"basalt verify: {done.stdout[:300]} {done.stderr[:300]}")
    for tool in (["h5dump", "-H"], ["h5stat"]) if compare else ():
        done = run([*tool, copy])
        if done.returncode and run([*tool, source]).returncode == 0:
            raise Differs(f"{tool[0]}: {done.stderr[-300:]}")
    if compare:
        done = run(["h5diff", source, copy])
        if done.returncode == 1 and b"/.basalt" not in done.stdout:
            raise Differs(f"h5diff: {done.stdout[:300]}")


def copy_one(basalt, oracle, folder, job):
    """What was done, what is wrong, and counts, or why it was refused."""
    number, source, setting = job
    copy = os.path.join(folder, f"{number}.h5")
    done = run([basalt, "copy", source, copy, *setting])
    what = f"{source} {' '.join(setting)}"
    text = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode:
        left = [name for name in os.listdir(folder) if name.startswith(f"{number}.h5")]
        if left or done.returncode < 0 or text.count("\n"):
            return what, f"failed with {done.returncode}, leaving {left}: {text}", None
        return what, None, text
    try:
        check_tools(basalt, source, copy, setting == ())
        if setting:
            compare_lines(oracle, source, copy)
        return what, None, compare_h5py(source, copy)
    except Differs as fault:
        return what, str(fault), None
    finally:
        os.remove(copy)


def make_files(folder):
    """What the others seldom have: references of all kinds, variable-length ones nested, committed types
    that come after those who share them, cycles of links, an object of many names."""
    path = os.path.join(folder, "references.h5")
    with h5py.File(path, "w") as file:
        data = file.create_dataset("z/data", data=np.arange(600, dtype="<i4").reshape(20, 30), chunks=(7, 8))
        file["a_link"] = data
        file["z/again"] = file["z"]
        file["z/soft"] = h5py.SoftLink("/a_link")
        file["z/out"] = h5py.ExternalLink("other.h5", "/x")
        kind = np.dtype([("x", "<f4"), ("t", h5py.string_dtype()), ("r", h5py.ref_dtype)])
        file["zz_type"] = kind
        records = file.create_dataset("b_records", (5,), dtype=file["zz_type"], maxshape=(None,))
        records[2] = (1.5, "twö", data.ref)
        records.attrs.create("shared", np.array((2.5, "x", file["z"].ref), dtype=kind), dtype=file["zz_type"])
        refs = file.create_dataset("refs", (3, 2), dtype=h5py.ref_dtype, chunks=(2, 1), compression="gzip")
        refs[0, 0], refs[2, 1] = data.ref, file["/"].ref
        regions = file.create_dataset("regions", (4,), dtype=h5py.regionref_dtype)
        regions[1], regions[3] = data.regionref[3:9:2, 5:], data.regionref[2, 2]
        nested = h5py.h5t.vlen_create(h5py.h5t.vlen_create(h5py.h5t.NATIVE_INT16))
        h5py.h5d.create(file.id, b"nested_empty", nested, h5py.h5s.create_simple((3,)))
        ragged = file.create_dataset("ragged", (100, 3), dtype=h5py.vlen_dtype("<u2"), chunks=(9, 2), shuffle=True)
        for i in range(0, 100, 3):
            ragged[i, i % 3] = np.arange(i * 20, dtype="<u2")
        texts = file.create_dataset("texts", (3000,), dtype=h5py.string_dtype(), fillvalue="none")
        texts[:2900] = [f"text {i} " + "ä" * (i % 50) for i in range(2900)]
        pointing = h5py.vlen_dtype(h5py.ref_dtype)
        lists = file.create_dataset("lists", (2,), dtype=pointing)
        lists[1] = np.array([data.ref, regions.ref], dtype=h5py.ref_dtype)
        data.attrs["DIMENSIONS"] = np.array([refs.ref, file["z"].ref], dtype=h5py.ref_dtype)
        data.attrs["empty"] = h5py.Empty("<f8")
        data.attrs["matrix"] = np.arange(12.0).reshape(2, 3, 2)
        file.create_dataset("scalar", data="a text")
        file.create_dataset("none", data=h5py.Empty("<i8"))
        file.create_dataset("zero", shape=(0, 4), maxshape=(None, 4), chunks=(8, 4), dtype="<f4")
        sparse = file.create_dataset("sparse", shape=(1 << 22,), chunks=(1 << 12,), dtype="u1", fillvalue=7)
        sparse[1 << 21] = 1
        file.create_dataset("edges", data=np.arange(35.0).reshape(5, 7), chunks=(2, 3), fletcher32=True)
        file.create_dataset("scale", data=np.arange(50, dtype="<i4"), chunks=(20,), scaleoffset=0)
        for i in range(1500):
            file.create_group(f"many/{i:04}")
        deep = file
        for _ in range(40):
            deep = deep.create_group("deeper")
    yield path
    path = os.path.join(folder, "latest.h5")
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for i in range(40):
            file.create_dataset(f"array {i}", data=np.arange(i * 7.0), chunks=(5,) if i else None)
        unlimited = file.create_dataset("two", shape=(9, 11), maxshape=(None, None), chunks=(4, 4), dtype="<i2")
        unlimited[...] = np.arange(99).reshape(9, 11)
        for i in range(30):
            unlimited.attrs[f"attribute {i}"] = "x" * i
        layout = h5py.VirtualLayout(shape=(20,), dtype="<f8")
        layout[:10] = h5py.VirtualSource(".", "array 9", shape=(63,))[:10]
        file.create_virtual_dataset("virtual", layout, fillvalue=-1)
    yield path


def sources(make, folder, files):
    if files:
        return [os.path.abspath(path) for path in files]
    done = subprocess.run([make, folder], stdout=subprocess.PIPE, text=True, check=True)
    fixtures = [line.split("\t") for line in done.stdout.splitlines()]
    found = [os.path.join(folder, name) for name, other, driver in fixtures if not driver and name == other]
    found += make_files(folder)
    return found + [os.path.abspath(path) for path in walk_corpus.corpus_files()]


def main():
    basalt, oracle, make = [os.path.abspath(path) for path in sys.argv[1:4]]
    failed = copies = refused = objects = values = 0
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "copies"))
        jobs = []
        for at, source in enumerate(sources(make, folder, sys.argv[4:])):
            every = "BASALT_COPY_ALL" in os.environ or len(sys.argv) > 4
            chosen = SETTINGS if every else ((), SETTINGS[1 + at % (len(SETTINGS) - 1)])
            jobs += [(len(jobs) + i, source, setting) for i, setting in enumerate(chosen)]
        with ProcessPoolExecutor(2) as pool:
            work = partial(copy_one, basalt, oracle, os.path.join(folder, "copies"))
            outcomes = list(pool.map(work, jobs, chunksize=4))
        for (_, source, _), (what, problem, outcome) in zip(jobs, outcomes):
            if isinstance(outcome, str):
                print(f"refused {what}: {outcome}")
                refused += 1
                if not any(text in outcome for text in REFUSALS) and run(["h5dump", "-H", source]).returncode == 0:
                    problem = "refused, but libhdf5 reads it"
            elif outcome:
                copies, objects, values = copies + 1, objects + outcome[0], values + outcome[1]
            if problem:
                failed += 1
                print(f"DIFFERS {what}: {problem}")
    print(f"{copies} copies, {refused} refused, {failed} differ: {objects} objects, {values} values equal")
    return 1 if failed or not copies else 0


if __name__ == "__main__":
    sys.exit(main())
