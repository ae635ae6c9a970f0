"""Reading files of other programs: Basalt, h5py, hidefix, zarrs, and a bare pool of threads, in turn."""
import os
import re
import shutil
import subprocess
import sys

import h5py

from read_peers import CASES, CHUNK, CODECS


class Reads:
    def __init__(self, bench, quick: bool) -> None:
        self.bench, self.quick = bench, quick
        self.folder = os.path.join(bench.folder, "read")
        os.makedirs(self.folder)
        peers = os.path.join(bench.here, "read_peers.py")
        subprocess.run([sys.executable, peers, "make", "--folder", self.folder,
                        *(["--quick"] if quick else [])], check=True, stdout=sys.stderr)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def sides(self, file: str, *arguments: object, bound: tuple | None = None) -> list[float]:
        """Seconds of ours, h5py's, and the bound's."""
        common = ("--path", self.path(file), *arguments)
        sides = [("read", *common), ("read_peers.py", *common)]
        if bound:
            sides.append(("bound_read", "--path", self.path(file), *bound))
        return self.bench.medians(*sides)

    def megabytes(self, size: int) -> float:
        return CHUNK * size * (32 if self.quick else 256) / 1e6

    def whole(self) -> None:
        for dtype in ("f8", "f4"):
            for form in ("g", "sg", "", "contiguous"):
                name = dtype + form
                size = int(dtype[1])
                raw = CHUNK * size if form != "contiguous" else 1 << 20
                packed = form in ("g", "sg")
                bound = ("--chunks", self.path(name + ".chunks"), "--raw", raw,
                         "--codec", "gzip" if packed else "none",
                         "--shuffle", size if form == "sg" else 0)
                ours, peer, pool = self.sides("whole.h5", "--dataset", "/" + name, bound=bound)
                against, near = (side["seconds"] / ours["seconds"] for side in (peer, pool))
                # What is only copied is at the bound or a hair beside it: the same reads by as many threads.
                goal = (4.5, 0.95) if packed else (1, 1)
                label = {"g": "gzip", "sg": "shuffle + gzip", "": "unfiltered chunks"}.get(form, form)
                label = f"read float{size * 8}, {label}, 64 K-element chunks"
                self.bench.row(label, f"{self.megabytes(size) / ours['seconds']:.0f} MB/s = "
                               f"{against:.2f} x h5py, {near:.0%} of a bare pool",
                               f">= {goal[0]:g} x, {goal[1]:.0%}", against >= goal[0] and near >= goal[1],
                               {"ours": ours, "h5py": peer, "bound": pool})
                if packed:
                    self.others("whole.h5", name, size, label)

    def others(self, file: str, name: str, size: int, label: str) -> None:
        """The readers that are made for it: all into new memory, since they take none."""
        common = ("--path", self.path(file), "--dataset", "/" + name)
        readers = ("hidefix", "zarrs") if file == "whole.h5" else ("zarrs",)
        ours, *peers = self.bench.medians(
            ("read", *common, "--fresh", 1),
            *(("read_peers.py", *common, "--reader", reader) for reader in readers))
        parts, met = [], True
        for reader, peer in zip(readers, peers):
            if "missing" in peer:
                parts.append(f"{reader} not there ({peer['missing']})")
                met = False
                continue
            ratio = peer["seconds"] / ours["seconds"]
            met = met and ratio >= 1
            parts.append(f"{ratio:.2f} x {reader}")
        self.bench.row(f"{label}, new memory", f"{self.megabytes(size) / ours['seconds']:.0f} MB/s = "
                       + ", ".join(parts), ">= 1 x", met, {"ours": ours, **dict(zip(readers, peers))})

    def codecs(self) -> None:
        for name in CODECS:
            bound = ("--chunks", self.path(name + ".chunks"), "--raw", CHUNK * 8, "--codec", name)
            ours, peer, pool = self.sides("codecs.h5", "--dataset", "/" + name, bound=bound)
            against, near = (side["seconds"] / ours["seconds"] for side in (peer, pool))
            label = f"read float64, {name}, 64 K-element chunks"
            self.bench.row(label, f"{self.megabytes(8) / ours['seconds']:.0f} MB/s = {against:.2f} x h5py, "
                           f"{near:.0%} of the codec on all cores", ">= 95%", near >= 0.95,
                           {"ours": ours, "h5py": peer, "bound": pool})
            if name == "zstd":
                self.others("codecs.h5", name, 8, label)

    def tables(self) -> None:
        for name in ("raw", "filtered"):
            common = ("--path", self.path("columns.h5"), "--dataset", "/" + name)
            scan, each = self.bench.medians(("read", *common, "--mode", "scan"), ("read", *common, "--mode", "columns"))
            self.bench.row(f"8 float64 columns as Arrow arrays, {name}",
                           f"{self.megabytes(8) / scan['seconds']:.0f} MB/s = "
                           f"{each['seconds'] / scan['seconds']:.0%} of reading each whole", "", True,
                           {"scan": scan, "columns": each})

    def small(self) -> None:
        ours, peer = self.sides("whole.h5", "--mode", "slices", "--dataset", "/f8sg", "--repeat", 1)
        ratio = peer["seconds"] / ours["seconds"]
        self.bench.row("8 threads x 1,000 slices of 100 elements",
                       f"{ours['seconds'] * 1e3:.0f} ms = {ratio:.1f} x h5py, {ours['extra']:.0f} decoded",
                       ">= 25 x", ratio >= 25, {"ours": ours, "h5py": peer})

    def many(self) -> None:
        for libver in ("earliest", "latest"):
            file = f"many-{libver}.h5"
            ours, peer = self.sides(file, "--mode", "element", "--repeat", 200)
            met = ours["seconds"] < 1e-4 and ours["memory_bytes"] < 1 << 20
            self.bench.row(f"one element of a million chunks, {libver}",
                           f"{ours['seconds'] * 1e6:.0f} us, {ours['memory_bytes'] / 1024:.0f} KiB "
                           f"(h5py {peer['seconds'] * 1e6:.0f} us)", "< 100 us, < 1 MiB", met,
                           {"ours": ours, "h5py": peer})
            ours, peer = self.sides(file, "--repeat", 1)
            ratio = peer["seconds"] / ours["seconds"]
            self.bench.row(f"all of a million chunks, {libver}",
                           f"{ours['seconds'] * 1e3:.0f} ms = {ratio:.1f} x h5py", ">= 10 x", ratio >= 10,
                           {"ours": ours, "h5py": peer})

    def listing(self) -> None:
        ours, peer = self.sides("list.h5", "--mode", "list", "--repeat", 1)
        ratio = peer["seconds"] / ours["seconds"]
        self.bench.row(f"open and list {ours['extra']:.0f} datasets",
                       f"{ours['seconds'] * 1e3:.0f} ms = {ratio:.1f} x h5py, "
                       f"{ours['memory_bytes'] / 1e6:.0f} MB", ">= 10 x", ratio >= 10,
                       {"ours": ours, "h5py": peer})

    def cases(self) -> None:
        """Each side opens the dataset anew a time; ours keeps decoded chunks with the file, h5py with the
        dataset: it shows where a slice lies within one chunk (index single)."""
        side = 1024 if self.quick else 2048
        for index, _, _, form in CASES:
            names = ("raw",) if form == "early" else ("raw", "filtered")
            for name in names:
                for rows, columns, shape in ((0, 0, "whole"), (side // 2, side // 4, "2-D slice")):
                    ours, peer = self.sides(f"{index}.h5", "--dataset", "/" + name,
                                            "--rows", rows, "--columns", columns)
                    ratio = peer["seconds"] / ours["seconds"]
                    self.bench.row(f"index {index}, {name}, {shape}",
                                   f"{ours['seconds'] * 1e3:.2f} ms = {ratio:.1f} x h5py", "> 1 x",
                                   ratio > 1, {"ours": ours, "h5py": peer})


    def counted(self, function: str, program: str, *arguments: object) -> int:
        """Instructions inside `function` and what it calls, of one run of `program` on a simulated processor."""
        tool = ["valgrind", "--tool=callgrind", f"--toggle-collect={function}", "--callgrind-out-file=/dev/null",
                os.path.join(self.bench.programs, program), *map(str, arguments)]
        print("  " + " ".join(["callgrind", function, program, *map(str, arguments)]), file=sys.stderr, flush=True)
        done = subprocess.run(tool, capture_output=True, text=True, check=False)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or not found or found.group(1) == "0":
            sys.exit(f"callgrind could not count {function} in {program}: {done.stderr.strip()[-300:]}")
        return int(found.group(1))

    def kernels(self) -> None:
        if not shutil.which("valgrind"):
            self.bench.row("instructions a byte of the kernels", "not counted: valgrind is not there", "", True, {})
            return
        bytes_a_run = {"shuffle8": 8, "shuffle4": 4, "sum": 8, "big": 8, "integers": 4}
        found = {}
        for what, function, name, more in (
                ("unshuffle 8", "bs_shuffle_decode", "shuffle8", ()),
                ("unshuffle 4", "bs_shuffle_decode", "shuffle4", ()),
                ("fletcher32", "sum_check", "sum", ()),
                (">f8 to <f8", "bs_h5_convert", "big", ("--type", "<f8")),
                (">f8 to <f4", "bs_h5_convert", "big", ("--type", "<f4")),
                ("<i4 to <f8", "bs_h5_convert", "integers", ("--type", "<f8"))):
            count = self.counted(function, "read", "--path", self.path("kernels.h5"), "--dataset", "/" + name,
                                 "--repeat", 1, *more)
            found[what] = count / (2 * bytes_a_run[name] * (1 << 18))  # it warms up with a first read
        path = self.path("shuffled.h5")
        count = self.counted("bs_shuffle_encode", "ingest", "--path", path, "--megabytes", 16, "--level", 1)
        found["shuffle 8"] = count / shuffled_bytes(path)
        self.bench.row("instructions a byte", ", ".join(f"{what}: {value:.2f}" for what, value in found.items()),
                       "", True, found)


def shuffled_bytes(path: str) -> int:
    """Of all chunks of the file that were shuffled."""
    total = 0

    def add(_, item):
        nonlocal total
        if isinstance(item, h5py.Dataset) and item.chunks and item.shuffle:
            chunk = item.dtype.itemsize
            for side in item.chunks:
                chunk *= side
            infos = []
            item.id.chunk_iter(infos.append)
            total += chunk * sum(1 for info in infos if not info.filter_mask)
    with h5py.File(path) as file:
        file.visititems(add)
    return total


def reads(bench, quick: bool) -> None:
    run = Reads(bench, quick)
    run.kernels()
    run.whole()
    run.codecs()
    run.tables()
    run.small()
    run.many()
    run.listing()
    run.cases()
