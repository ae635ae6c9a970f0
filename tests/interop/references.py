#!/usr/bin/env python3
"""References of both generations, to objects, regions and attributes: their texts, and the elements of the
regions, beside what h5py and its libhdf5 say.

references.py LIBRARY     exit 77: skipped
"""
import ctypes
import json
import os
import re
import sys
import tempfile

import selections
from selections import Dataset, File, h5py, np

import pyarrow as pa


class Target(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), ("attribute", ctypes.c_char_p), ("has_region", ctypes.c_bool),
                ("region", selections.Options), ("text", ctypes.c_char_p), ("private", ctypes.c_void_p)]


ATTRIBUTE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)
checked = {"references": 0, "elements": 0}


def texts(file, path):
    stream, error = ctypes.create_string_buffer(40), selections.Error()
    if selections.LIB.basalt_hdf5_scan(file.handle, path.encode(), ctypes.c_uint64(0), ctypes.c_uint64(1 << 40),
                                       stream, ctypes.byref(error)):
        sys.exit(f"{path}: {error.message.decode()}")
    return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream)).read_all().column(0).to_pylist()


def attributes(file, path):
    found = {}

    @ATTRIBUTE
    def each(_context, name, _type, value):
        found[name.decode()] = json.loads(value)
        return True

    selections.call("each_attribute", file.handle, path.encode(), each, None)
    return found


def places(text, shape):
    """The elements that a text names, as numbers in C order, in their order: read as the header says it."""
    if text == "[...]":
        return list(range(int(np.prod(shape))))
    def axis(part, size):
        found = re.fullmatch(r"(\d+)(?::(\d+)(?::(\d+)(?:x(\d+))?)?)?", part)
        first, end, step, block = (int(x) if x else None for x in found.groups())
        if end is None:
            return [first]
        got = [i for i in range(first, end) if (i - first) % (step or 1) < (block or 1)]
        assert end <= size
        return got
    out = []
    for piece in re.findall(r"\[([^\]]*)\]", text):
        grid = np.ix_(*[axis(part, size) for part, size in zip(piece.split(", "), shape)])
        out += np.arange(int(np.prod(shape))).reshape(shape)[grid].ravel().tolist()
    return out


def resolve(dataset, element):
    options, _kept = selections.make_options()
    target = Target()
    selections.call("resolve", dataset.handle, ctypes.byref(options), element, ctypes.byref(target))
    return target


def check_region(ours, target, wanted, values):
    """What the region reads is what its text names, and what h5py reads."""
    count, element = ctypes.c_uint64(), ctypes.c_uint64()
    with Dataset(ours, target.path.decode()) as dataset:
        selections.call("read_size", dataset.handle, ctypes.byref(target.region), ctypes.byref(count),
                        ctypes.byref(element))
        out = np.zeros(count.value, values.dtype)
        selections.call("read", dataset.handle, ctypes.byref(target.region), ctypes.c_void_p(out.ctypes.data),
                        ctypes.c_uint64(out.nbytes))
    text = target.text.decode()[len(target.path):]
    named = values.ravel()[places(text, values.shape)] if text != "{}" else values.ravel()[:0]
    if not np.array_equal(out, wanted) or not np.array_equal(named, wanted):
        sys.exit(f"{target.text.decode()}: {out}, {named}, not {wanted}")
    checked["elements"] += len(out)


def random_spaces(random, shape):
    """Selections as libhdf5 makes them: regular, irregular, points, all, none."""
    for _ in range(40):
        space = h5py.h5s.create_simple(shape)
        kind = int(random.integers(5))
        if kind == 0:
            space.select_none()
        elif kind == 1:
            space.select_elements(np.stack([random.integers(0, n, 7) for n in shape], axis=1).astype("u8"))
        elif kind > 2:
            for turn in range(kind - 2 + (kind == 4)):
                slab = [tuple(part) for part in selections.random_slab(random, shape)]
                start, count, stride, block = slab
                if 0 in count:
                    continue
                space.select_hyperslab(start, count, stride, block,
                                       h5py.h5s.SELECT_OR if turn else h5py.h5s.SELECT_SET)
        yield space


def old_references(folder, libver):
    random = np.random.default_rng(selections.SEED)
    path = os.path.join(folder, f"old-{libver}.h5")
    values = {"a/line": np.arange(60, dtype="<i4"), "cube": np.arange(5 * 6 * 7, dtype="<f4").reshape(5, 6, 7)}
    spaces = []
    with h5py.File(path, "w", libver=libver) as file:
        for name, data in values.items():
            file[name] = data
            spaces += [(name, space) for space in random_spaces(random, data.shape)]
        dataset = file.create_dataset("regions", (len(spaces) + 1,), h5py.regionref_dtype)
        for i, (name, space) in enumerate(spaces):
            dataset[i] = h5py.h5r.create(file.id, name.encode(), h5py.h5r.DATASET_REGION, space)
        objects = file.create_dataset("objects", (3,), h5py.ref_dtype)
        objects[0], objects[2] = file["a"].ref, file["cube"].ref
        file.attrs["region"] = h5py.h5r.create(file.id, b"cube", h5py.h5r.DATASET_REGION, spaces[-1][1])
        file.attrs["objects"] = np.array([file["a/line"].ref, h5py.Reference()], h5py.ref_dtype)
    with File(path) as ours, h5py.File(path) as theirs:
        got = texts(ours, "/regions")
        if texts(ours, "/objects") != ["/a", None, "/cube"] or got[-1] is not None:
            sys.exit(f"{path}: {texts(ours, '/objects')}, {got[-1]}")
        found = attributes(ours, "/")
        if found["objects"] != ["/a/line", None] or found["region"] != got[-2]:
            sys.exit(f"{path}: {found}")
        with Dataset(ours, "/regions") as dataset:
            elements = dataset.read("V12")
            for i, (name, _space) in enumerate(spaces):
                target = resolve(dataset, elements[i:i + 1].tobytes())
                if target.path.decode() != "/" + name or target.text.decode() != got[i] or not target.has_region:
                    sys.exit(f"{target.text} is not {got[i]}")
                space = h5py.h5r.get_region(theirs["regions"][i], theirs.id)
                wanted = np.zeros(space.get_select_npoints(), values[name].dtype)
                if wanted.size:
                    theirs[name].id.read(h5py.h5s.create_simple(wanted.shape), space, wanted)
                check_region(ours, target, wanted, values[name])
                selections.LIB.basalt_hdf5_target_release(ctypes.byref(target))
            target = resolve(dataset, elements[-1:].tobytes())
            if target.path or target.text or target.has_region:
                sys.exit("an empty reference leads somewhere")
            selections.LIB.basalt_hdf5_target_release(ctypes.byref(target))
        checked["references"] += len(spaces) + 6


def library_of_h5py():
    with open("/proc/self/maps", encoding="ascii") as maps:
        names = {line.split()[-1] for line in maps if "/libhdf5-" in line or "/libhdf5.so" in line}
    return ctypes.CDLL(names.pop()) if len(names) == 1 else None


def new_references(folder, libver):
    """H5Rcreate_object, _region and _attr, which h5py does not offer."""
    hdf5 = library_of_h5py()
    if not hdf5 or not hasattr(hdf5, "H5Rcreate_attr"):
        return
    random = np.random.default_rng(selections.SEED)
    hdf5.H5Dcreate2.restype = ctypes.c_int64
    std_ref = ctypes.c_int64.in_dll(hdf5, "H5T_STD_REF_g")
    path = os.path.join(folder, f"new-{libver}.h5")
    other = os.path.join(folder, f"other-{libver}.h5")
    values = np.arange(5 * 6 * 7, dtype="<i8").reshape(5, 6, 7)
    none = ctypes.c_int64(0)
    with h5py.File(other, "w") as file:
        file["there"] = 1
    with h5py.File(path, "w", libver=libver) as file, h5py.File(other) as elsewhere:
        cube = file.create_dataset("group/cube", data=values)
        cube.attrs["units"] = "V"
        identity = ctypes.c_int64(file.id.id)
        spaces = list(random_spaces(random, values.shape))
        count = len(spaces) + 5
        references = (ctypes.c_uint8 * 64 * count)()
        made = [hdf5.H5Rcreate_object(identity, b"group", none, references[0]),
                hdf5.H5Rcreate_object(identity, b"group/cube", none, references[1]),
                hdf5.H5Rcreate_attr(identity, b"group/cube", b"units", none, references[2])]
        for i, space in enumerate(spaces):
            made.append(hdf5.H5Rcreate_region(identity, b"group/cube", ctypes.c_int64(space.id), none, references[3 + i]))
        made.append(hdf5.H5Rcreate_object(ctypes.c_int64(elsewhere.id.id), b"there", none, references[count - 1]))
        assert not any(status < 0 for status in made), made

        def write(name, first, number):
            space = h5py.h5s.create_simple((number,))
            dataset = hdf5.H5Dcreate2(identity, name, std_ref, ctypes.c_int64(space.id), none, none, none)
            memory = ctypes.byref(references, 64 * first)
            assert hdf5.H5Dwrite(ctypes.c_int64(dataset), std_ref, none, none, none, memory) >= 0
            hdf5.H5Dclose(ctypes.c_int64(dataset))

        write(b"new", 0, count - 1)  # the last of them empty
        write(b"away", count - 1, 1)
        for reference in references:
            hdf5.H5Rdestroy(reference)
    with File(path) as ours, h5py.File(path) as theirs:
        got = texts(ours, "/new")
        if got[:3] != ["/group", "/group/cube", "/group/cube@units"] or got[-1] is not None:
            sys.exit(f"{path}: {got[:3]}, {got[-1]}")
        with Dataset(ours, "/new") as dataset:
            shape = ctypes.create_string_buffer(2048)
            selections.LIB.basalt_hdf5_dataset_info(dataset.handle, shape)
            width = int.from_bytes(shape.raw[8:16], "little")
            elements = dataset.read(f"V{width}")
            target = resolve(dataset, elements[2:3].tobytes())
            if target.attribute != b"units" or target.path != b"/group/cube" or target.has_region:
                sys.exit(f"{target.path} {target.attribute}")
            selections.LIB.basalt_hdf5_target_release(ctypes.byref(target))
            for i, space in enumerate(spaces):
                target = resolve(dataset, elements[3 + i:4 + i].tobytes())
                wanted = np.zeros(space.get_select_npoints(), values.dtype)
                if wanted.size:
                    theirs["group/cube"].id.read(h5py.h5s.create_simple(wanted.shape), space, wanted)
                if target.text.decode() != got[3 + i] or target.path != b"/group/cube":
                    sys.exit(f"{target.text} is not {got[3 + i]}")
                check_region(ours, target, wanted, values)
                selections.LIB.basalt_hdf5_target_release(ctypes.byref(target))
        with Dataset(ours, "/away") as dataset:
            element = dataset.read(f"V{width}").tobytes()
            try:
                resolve(dataset, element)
                sys.exit("a reference into another file was followed")
            except selections.Refused as refusal:
                if refusal.status != selections.UNSUPPORTED or "another file" not in str(refusal):
                    sys.exit(str(refusal))
        checked["references"] += count


def main():
    with tempfile.TemporaryDirectory() as folder:
        for libver in ("earliest", "latest"):
            old_references(folder, libver)
            new_references(folder, libver)
    print(", ".join(f"{count} {name}" for name, count in checked.items()) + ": equal to h5py")


if __name__ == "__main__":
    main()
