"""Runs the benchmarks and prints a table and a JSON file: medians, the peers in the same run.

Every figure stands beside its bound or its peer of the same minutes on the same machine; only the
ratios mean something elsewhere. `--quick` takes smaller sizes and one round.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

from atlas import atlas
from copies import copies
from reads import reads
from sql import sql


class Bench:
    def __init__(self, programs: str, folder: str, rounds: int) -> None:
        self.programs, self.folder, self.rounds = programs, folder, rounds
        self.here = os.path.dirname(os.path.abspath(__file__))
        self.rows: list[dict] = []

    def once(self, program: str, *arguments: object) -> dict:
        path = os.path.join(self.folder, "bench.h5")
        if program.endswith(".py"):
            command = [sys.executable, os.path.join(self.here, program)]
        else:
            command = [os.path.join(self.programs, program)]
        command += [*([] if "--path" in arguments else ["--path", path]), *map(str, arguments)]
        print("  " + " ".join([program, *map(str, arguments)]), file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
        figures = json.loads(done.stdout)
        for name in os.listdir(self.folder):
            if not os.path.isdir(os.path.join(self.folder, name)):
                os.unlink(os.path.join(self.folder, name))
        return figures

    def medians(self, *sides: tuple) -> list[dict]:
        """Runs the sides in turn, round after round; the median of each figure of each side."""
        runs: list[list[dict]] = [[] for _ in sides]
        for _ in range(self.rounds):
            for at, side in enumerate(sides):
                runs[at].append(self.once(*side))
        return [{key: value if isinstance(value, str) else statistics.median(run[key] for run in side)
                 for key, value in side[0].items()} for side in runs]

    def row(self, what: str, value: str, goal: str, met: bool, figures: object) -> None:
        self.rows.append({"what": what, "value": value, "goal": goal, "met": met, "figures": figures})


def ingest(bench: Bench, megabytes: int, level: int, peer_goal: float, bound_goal: float) -> None:
    size = ("--megabytes", megabytes, "--level", level)
    ours, bound, peer = bench.medians(("ingest", *size), ("bound_ingest", *size), ("h5py_append.py", *size))
    label = f"{megabytes / 1000:g} GB, " + (f"shuffle + gzip {level}" if level else "no compression")
    against = ours["append_mb_s"] / peer["append_mb_s"]
    bench.row(f"{label}: appends against h5py without flush",
              f"{ours['append_mb_s']:.0f} / {peer['append_mb_s']:.0f} MB/s = {against:.2f} x",
              f">= {peer_goal:g} x", against >= peer_goal, {"ours": ours, "h5py": peer})
    whole = ours["whole_mb_s"] / peer["whole_mb_s"]
    bench.row(f"{label}: to the end of close, ours synced and h5py's not",
              f"{ours['whole_mb_s']:.0f} / {peer['whole_mb_s']:.0f} MB/s = {whole:.2f} x", "", True, {})
    near = ours["whole_mb_s"] / bound["whole_mb_s"]
    bench.row(f"{label}: against the same copies, writes and syncs",
              f"{ours['whole_mb_s']:.0f} / {bound['whole_mb_s']:.0f} MB/s = {near:.0%}",
              f">= {bound_goal:.0%}", near >= bound_goal, {"ours": ours, "bound": bound})


def latency(bench: Bench, megabytes: int) -> None:
    (ours,) = bench.medians(("ingest", "--megabytes", megabytes, "--level", 6, "--rate", 300))
    bench.row("1,000-row append beside gzip 6 checkpoints, p50 / p99 / max",
              f"{ours['p50_us'] / 1e3:.3f} / {ours['p99_us'] / 1e3:.3f} / {ours['max_us'] / 1e3:.2f} ms",
              "p99 < 1 ms, max < 20 ms", ours["p99_us"] < 1000 and ours["max_us"] < 20000, ours)


def commits(bench: Bench, seconds: int) -> None:
    for threads, goal in ((1, 0.95), (8, 3.0)):
        (ours,) = bench.medians(("commits", "--threads", threads, "--seconds", seconds))
        bench.row(f"sync commits a second, {threads} thread{'s' * (threads > 1)}, against bare fdatasync",
                  f"{ours['commits_s']:.0f} / {ours['bare_s']:.0f} = {ours['ratio']:.2f} x, "
                  f"{ours['syncs_a_commit']:.2f} syncs a commit",
                  f">= {goal:g} x", ours["ratio"] >= goal, ours)


def recovery(bench: Bench, megabytes: int) -> None:
    (ours,) = bench.medians(("recovery", "--megabytes", megabytes))
    bench.row("recovery, MB of log a second", f"{ours['mb_s']:.0f} MB/s, {ours['rows_lost']:.0f} rows lost",
              ">= 500 MB/s", ours["mb_s"] >= 500 and ours["rows_lost"] == 0, ours)


def writes(bench: Bench, quick: bool) -> None:
    ingest(bench, 256 if quick else 1000, 0, 3, 0.8)
    if not quick:
        ingest(bench, 8000, 0, 1, 0.8)
    ingest(bench, 128 if quick else 1000, 6, 3, 0.9)
    latency(bench, 128 if quick else 512)
    commits(bench, 1 if quick else 3)
    recovery(bench, 128 if quick else 512)


def spawn(bench: Bench, tasks: int) -> None:
    (ours,) = bench.medians(("spawn", "--tasks", tasks, "--threads", 2))
    for kind, what in (("outside", "spawned by a thread that waits"), ("inside", "spawned by a task"),
                       ("stolen", "spawned by a task and stolen")):
        mine, plain = ours[f"{kind}_ns"], ours[f"plain_{kind}_ns"]
        bench.row(f"an empty task, {what}, against a pool with one mutex",
                  f"{mine:.0f} / {plain:.0f} ns = {mine / plain:.2f} x "
                  f"(the spawn: {ours[f'{kind}_spawn_ns']:.0f} / {ours[f'plain_{kind}_spawn_ns']:.0f})",
                  "", True, ours if kind == "outside" else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, help="folder of the compiled benchmarks")
    parser.add_argument("--output", required=True, help="JSON file to write")
    parser.add_argument("--folder", help="where the data goes (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=("read", "write", "sql", "atlas", "tasks", "copy"), help="one part of the table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="basalt-bench-", dir=args.folder) as folder:
        bench = Bench(args.programs, folder, 1 if args.quick else 3)
        if args.only in (None, "write"):
            writes(bench, args.quick)
        if args.only in (None, "read"):
            reads(bench, args.quick)
        if args.only in (None, "sql"):
            sql(bench, args.quick)
        if args.only in (None, "atlas"):
            atlas(bench, args.quick)
        if args.only in (None, "tasks"):
            spawn(bench, 50000 if args.quick else 200000)
        if args.only in (None, "copy"):
            copies(bench, 128 if args.quick else 500)
    width = max(len(row["what"]) for row in bench.rows)
    print(f"{os.cpu_count()} processors, {platform.system()} {platform.release()}; medians of {bench.rounds}")
    for row in bench.rows:
        verdict = "" if not row["goal"] else ("met" if row["met"] else "MISSED")
        print(f"{row['what']:<{width}}  {row['value']:<44} {row['goal']:<24} {verdict}")
    with open(args.output, "w", encoding="utf-8") as file:
        json.dump(bench.rows, file, indent=1)


if __name__ == "__main__":
    main()
