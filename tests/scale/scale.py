"""Many instruments, many small batches, many families, and pairs that are never torn.

Arguments: the scale program, then the sizes (seconds of instruments, batches, families, opens). h5py looks
at the file from another process while it is written. Prints the figures; asserts values, sizes and
memory, nothing on the clock.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}; `make test` installs what the tests need")
    sys.exit(77)


def run(program, *words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"scale {words[0]} ended with {done.returncode}: {done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def instruments(program, folder, seconds):
    """After each checkpoint a fresh h5py sees that second's row in every instrument."""
    path = os.path.join(folder, "instruments.h5")
    writer = subprocess.Popen([program, "instruments", path, str(seconds)], stdout=subprocess.PIPE, text=True)
    seen, figures = 0, None
    for line in writer.stdout:
        if line.startswith("second "):
            second = int(line.split()[1])
            with h5py.File(path, "r") as file:
                for family in range(0, 100, 9):
                    values = file[f"family{family}/c{family % 10}"][()]
                    assert len(values) > second, f"second {second} is not there: {len(values)} rows"
                    assert values.tolist() == list(range(len(values)))
            seen += 1
        else:
            figures = json.loads(line)
    assert writer.wait() == 0 and seen == seconds, (writer.returncode, seen)
    return figures


def small(program, folder, batches):
    """Memory stays flat, and the file is no larger than what h5py makes of the same data at once."""
    path, peer = os.path.join(folder, "small.h5"), os.path.join(folder, "peer.h5")
    figures = run(program, "small", path, batches)
    with h5py.File(path) as file, h5py.File(peer, "w") as other:
        for family in range(8):
            rows = (batches - family + 7) // 8 * 10
            for column in range(4):
                found = file[f"family{family}/c{column}"]
                values = np.arange(rows, dtype="f8")
                assert np.array_equal(found[()], values), f"family{family}/c{column}"
                other.create_dataset(f"family{family}/c{column}", data=values, chunks=found.chunks, maxshape=(None,),
                                     compression="gzip", compression_opts=found.compression_opts, shuffle=True)
            index = file[f"family{family}/_index"]
            other.create_dataset(f"family{family}/_index", data=np.arange(rows), chunks=index.chunks,
                                 maxshape=(None,), compression="gzip", compression_opts=1, shuffle=True)
    figures["file_bytes"], figures["h5py_bytes"] = os.path.getsize(path), os.path.getsize(peer)
    figures["size_ratio"] = round(figures["file_bytes"] / figures["h5py_bytes"], 3)
    grown = figures["anonymous_kb_at_the_end"] - figures["anonymous_kb_at_a_quarter"]
    assert grown < 32 * 1024, f"memory grew by {grown} KB after the first quarter"
    return figures


def families(program, folder, count):
    path = os.path.join(folder, "families.h5")
    figures = run(program, "families", path, count)
    with h5py.File(path) as file:
        assert len([name for name in file if name.startswith("family")]) == count
        for family in (0, count // 2, count - 1):
            assert file[f"family{family}/c0"][0] == family
    return figures


def pairs(program, folder, opens):
    """Two families of one transaction have the same rows in every open while the writer works."""
    path = os.path.join(folder, "pairs.h5")
    writer = subprocess.Popen([program, "pairs", path, str(max(4, opens // 400))], stdout=subprocess.PIPE, text=True)
    done, lengths = 0, set()
    while done < opens and writer.poll() is None:
        if not os.path.exists(path):
            continue
        with h5py.File(path, "r") as file:
            if "family1" not in file:
                continue
            a, b = file["family0/c0"], file["family1/c0"]
            assert a.shape == b.shape, f"torn: {a.shape} and {b.shape} rows after {done} opens"
            if len(a):
                assert a[-1] == b[-1] == len(a) - 1, f"torn values after {done} opens"
            lengths.add(len(a))
        done += 1
    out = writer.communicate()[0]
    assert writer.returncode == 0
    figures = json.loads(out.splitlines()[-1])
    assert len(lengths) > 2, f"the readers saw {len(lengths)} different states only"
    return {**figures, "opens": done, "states_seen": len(lengths), "torn": 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--batches", type=int, default=100000)
    parser.add_argument("--families", type=int, default=10000)
    parser.add_argument("--opens", type=int, default=3000)
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    failed = 0
    shapes = ((instruments, args.seconds), (small, args.batches), (families, args.families), (pairs, args.opens))
    for shape, size in shapes:
        with tempfile.TemporaryDirectory(prefix="basalt-scale-") as folder:
            try:
                print(f"ok      {shape.__name__} {size}: {json.dumps(shape(program, folder, size))}", flush=True)
            except AssertionError as failure:
                failed += 1
                print(f"FAILED  {shape.__name__} {size}: {failure}", flush=True)
    print(f"{len(shapes) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
