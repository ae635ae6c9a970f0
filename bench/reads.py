"""Reading files of other programs: Basalt, h5py, and a bare pool of threads, in turn."""
import os
import subprocess
import sys

from read_peers import CASES, CHUNK


class Reads:
    def __init__(self, bench, quick: bool) -> None:
        self.bench, self.quick = bench, quick
        self.folder = os.path.join(bench.folder, "read")
        os.makedirs(self.folder)
        peers = os.path.join(bench.here, "read_peers.py")
        subprocess.run([sys.executable, peers, "make", "--folder", self.folder,
                        *(["--quick"] if quick else [])], check=True)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def sides(self, file: str, *arguments: object, bound: tuple | None = None) -> list[float]:
        """Seconds of ours, h5py's, and the bound's."""
        common = ("--path", self.path(file), *arguments)
        sides = [("read", *common), ("read_peers.py", *common)]
        if bound:
            sides.append(("bound_read", "--path", self.path(file), *bound))
        return self.bench.medians(*sides)

    def whole(self) -> None:
        for dtype in ("f8", "f4"):
            for form in ("g", "sg", "", "contiguous"):
                name = dtype + form
                size = int(dtype[1])
                raw = CHUNK * size if form != "contiguous" else 1 << 20
                bound = ("--chunks", self.path(name + ".chunks"), "--raw", raw,
                         "--gzip", int("g" in form and form != "contiguous"),
                         "--shuffle", size if form == "sg" else 0)
                ours, peer, pool = self.sides("whole.h5", "--dataset", "/" + name, bound=bound)
                against, near = (side["seconds"] / ours["seconds"] for side in (peer, pool))
                goal = (4.5, 0.95) if form in ("g", "sg") else (1, 1)
                label = {"g": "gzip", "sg": "shuffle + gzip", "": "unfiltered chunks"}.get(form, form)
                megabytes = CHUNK * size * (32 if self.quick else 256) / 1e6
                self.bench.row(f"read float{size * 8}, {label}, 64 K-element chunks",
                               f"{megabytes / ours['seconds']:.0f} MB/s = {against:.2f} x h5py, "
                               f"{near:.0%} of a bare pool", f">= {goal[0]:g} x, {goal[1]:.0%}",
                               against >= goal[0] and near >= goal[1],
                               {"ours": ours, "h5py": peer, "bound": pool})

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


def reads(bench, quick: bool) -> None:
    run = Reads(bench, quick)
    run.whole()
    run.small()
    run.many()
    run.listing()
    run.cases()
