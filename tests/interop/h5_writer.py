#!/usr/bin/env python3
"""Files of the writer in everybody else's hands: h5py, h5dump, h5ls, h5stat, h5repack + h5diff, and
h5py sessions in r+ after which the writer goes on.

h5_writer.py PROGRAM     PROGRAM is h5_writer.c. Exit 77: skipped.
"""
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

PROGRAM = os.path.abspath(sys.argv[1])
UNSUPPORTED = 8
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"


def program(*words, status=0):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr


def tool(*words):
    if not shutil.which(words[0]):
        print(f"  without {words[0]}")
        return ""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
    return done.stdout


def expected(column, rows):
    return column * 1000.0 + np.arange(rows)


def check_values(path, columns, rows):
    with h5py.File(path, "r") as file:
        family = file["f"]
        assert len(family.attrs) == 20, len(family.attrs)
        texts = {name: bytes(value).decode() for name, value in family.attrs.items()}
        assert texts == {f"attribute {i}": f"attribute {i}" for i in range(20)}, texts
        assert family["schema"][()] == b'{"fields": []}'
        assert len(family) == columns + 2, len(family)
        for k in range(columns):
            column = family[f"c{k}"]
            assert len(column.attrs) == 1 and column.attrs["number"] == k
            assert column.maxshape == (None,) and column.chunks == (1000,)
            assert np.array_equal(column[:], expected(k, rows)), (k, rows)
        texts = family["text"].asstr()[:]
        assert list(texts) == [str(i) for i in range(rows)], texts[:10]


def attribute_counts(path):
    counts = {}
    with h5py.File(path, "r") as file:
        counts["/"] = len(file.attrs)
        file.visititems(lambda name, item: counts.__setitem__(name, len(item.attrs)))
    return counts


def check_tools(path, quick):
    tool("h5ls", "-r", path)
    tool("h5stat", path)
    if not quick:
        tool("h5dump", path)
    for options in ([], ["-f", "NONE"]):
        copy = path + ".repacked"
        tool("h5repack", *options, path, copy)
        if os.path.exists(copy):
            tool("h5diff", path, copy)
            assert attribute_counts(path) == attribute_counts(copy)
            os.unlink(copy)
        if quick:
            break


def test_columns(folder):
    for columns, rows in ((1, 3456), (8, 10234), (1000, 1234), (4096, 100)):
        path = os.path.join(folder, f"columns{columns}.h5")
        program("make", path, columns, rows)
        check_values(path, columns, rows)
        program("verify", path)
        check_tools(path, quick=columns > 10)
        program("append", path, 77)
        program("finish", path)
        check_values(path, columns, rows + 77)
        program("append", path, 1)
        check_values(path, columns, rows + 78)
        program("verify", path)
        if columns <= 10:
            check_tools(path, quick=False)
        os.unlink(path)


def edit(path):
    """What somebody might do in a session of h5py."""
    with h5py.File(path, "r+") as file:
        family = file["f"]
        family["c0"].resize((5000,))                          # extend without writing
        family["c1"].resize((4500,))
        family["c1"][3456:] = expected(1, 4500)[3456:]        # extend and write
        family["c2"].resize((1500,))                          # shrink
        family["c3"].resize((0,))                             # empty
        family["c4"].resize((2999,))
        family["c4"].resize((3456,))                          # shrink, then extend
        family["c4"][:] = expected(4, 3456)
        del family["c5"]
        family["c6"].attrs["unit"] = "volt"
        for i in range(30):
            family["c6"].attrs[f"more {i}"] = np.arange(i + 1)
        del family["c6"].attrs["number"]
        family.attrs["attribute 3"] = "another text, much longer than the one that was there before"
        family.create_dataset("foreign", data=np.arange(100), chunks=(10,), compression="gzip")
        family.create_dataset("strings", data=["a", "bb"], dtype=h5py.string_dtype())
        file.create_group("elsewhere").attrs["x"] = 1
        file["soft"] = h5py.SoftLink("/f/c1")
        file["external"] = h5py.ExternalLink("other.h5", "/a")
        file["elsewhere/twice"] = family["c7"]                # a second hard link


def check_edited(path, more):
    with h5py.File(path, "r") as file:
        family = file["f"]
        assert "c5" not in family
        zeros = expected(0, 5000 + more)
        zeros[3456:5000] = 0
        assert np.array_equal(family["c0"][:], zeros), family["c0"][3450:]
        assert np.array_equal(family["c1"][:], expected(1, 4500 + more))
        assert np.array_equal(family["c2"][:], expected(2, 1500 + more))
        assert np.array_equal(family["c3"][:], expected(3, more))
        assert np.array_equal(family["c4"][:], expected(4, 3456 + more))
        assert family["c6"].attrs["unit"] == "volt" and len(family["c6"].attrs) == 31
        assert np.array_equal(family["c6"].attrs["more 29"], np.arange(30))
        assert np.array_equal(family["c6"][:], expected(6, 3456 + more))
        assert np.array_equal(family["c7"][:], expected(7, 3456))
        assert np.array_equal(file["elsewhere/twice"][:], family["c7"][:])
        assert family.attrs["attribute 3"].startswith("another text") and len(family.attrs) == 20
        assert np.array_equal(family["foreign"][:], np.arange(100))
        assert list(family["strings"].asstr()[:]) == ["a", "bb"]
        assert file["elsewhere"].attrs["x"] == 1
        assert np.array_equal(file["soft"][:], family["c1"][:])
        assert file.get("external", getlink=True).path == "/a"
        assert list(family["text"].asstr()[:]) == [str(i) for i in range(3456 + more)]


def test_sessions_of_h5py(folder):
    path = os.path.join(folder, "edited.h5")
    for finish in (False, True):
        program("make", path, 8, 3456)
        if finish:
            program("finish", path)
        edit(path)
        check_edited_rows = 0
        for rows in (1, 600, 3000):
            program("append", path, rows)
            check_edited_rows += rows
            if finish:
                check_edited(path, check_edited_rows)
            program("verify", path)
        if not finish:
            check_edited_tail(path, check_edited_rows)
        check_tools(path, quick=False)
        with h5py.File(path, "r+") as file:  # and once more
            file["f"].attrs["again"] = 2
            del file["elsewhere"]
        program("append", path, 1000)
        program("verify", path)
        os.unlink(path)


def check_edited_tail(path, more):
    """After raw tails: the rows that were extended but not written are not promised to be fill values,
    all others are right."""
    with h5py.File(path, "r") as file:
        family = file["f"]
        rows = np.r_[0:3456, 5000:5000 + more]
        assert np.array_equal(family["c0"][:][rows], expected(0, 5000 + more)[rows])
        for k, had in ((1, 4500), (2, 1500), (3, 0), (4, 3456), (6, 3456)):
            assert np.array_equal(family[f"c{k}"][:], expected(k, had + more)), k
        assert list(family["text"].asstr()[:]) == [str(i) for i in range(3456 + more)]


def test_old_handle(folder):
    path = os.path.join(folder, "old.h5")
    program("make", path, 8, 5000)
    with h5py.File(path, "r") as file:
        columns = [file[f"f/c{k}"] for k in range(8) if k % 4]
        numbers = [k for k in range(8) if k % 4]
        program("replace", path)
        refused = 0
        for k, column in zip(numbers, columns):
            for first in range(0, 5000, 500):
                try:
                    values = column[first:first + 500]
                except OSError:
                    refused += 1
                    continue
                full = first + 500 <= 5000 // 1000 * 1000
                if full:
                    assert np.array_equal(values, expected(k, 5000)[first:first + 500]), (k, first)
        assert refused > 0, "the space was not reused: nothing was tried"
    program("verify", path)
    os.unlink(path)


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in (test_columns, test_sessions_of_h5py, test_old_handle):
            test(folder)
            print(f"passed {test.__name__}")


main()
