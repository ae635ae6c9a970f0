"""SQL over HDF5 by the DuckDB extension: beside read_parquet of the same rows, beside h5py with DuckDB over
NumPy, and beside pandas' read_hdf; by one thread and by two."""
import math
import os
import statistics
import time

import duckdb
import h5py
import hdf5plugin
import numpy as np
import pandas as pd

CHUNK = 131_072
COLUMNS = [f"c{i}" for i in range(8)]
FORMS = {"none": ({}, "uncompressed"),
         "gzip": ({"compression": "gzip", "compression_opts": 4, "shuffle": True}, "gzip"),
         "zstd": ({**hdf5plugin.Zstd(clevel=3), "shuffle": True}, "zstd"),
         "lz4": ({**hdf5plugin.LZ4(), "shuffle": True}, "lz4_raw")}
SUM = "SELECT " + " + ".join(f"sum({c})" for c in COLUMNS) + " FROM "
FILTER = " WHERE c0 > 0 AND c3 < 10"
RANGES = ", where_column := ['c0', 'c3'], min := [0, NULL], max := [NULL, 10]"


class Sql:
    def __init__(self, bench, quick: bool) -> None:
        self.bench, self.rows = bench, 2_000_000 if quick else 20_000_000
        self.folder = os.path.join(bench.folder, "sql")
        os.makedirs(self.folder)
        self.con = self.connect()

    def connect(self):
        extension = os.path.join(os.path.dirname(os.path.abspath(self.bench.programs)), "basalt.duckdb_extension")
        con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        con.execute(f"LOAD '{extension}'")
        return con

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def make(self) -> None:
        rng = np.random.default_rng(1)
        files = {form: h5py.File(self.path(form + ".h5"), "w") for form in FORMS}
        for column in COLUMNS:  # a slow walk with three decimals, as instruments give
            values = np.round(np.cumsum(rng.normal(size=self.rows)), 3)
            for form, (options, _) in FORMS.items():
                files[form].create_dataset(f"t/{column}", data=values, chunks=(CHUNK,), **options)
        for form, file in files.items():
            file.close()
            self.con.execute(f"COPY (FROM {self.hdf5(form)}) TO '{self.path(form)}.parquet' "
                             f"(FORMAT parquet, COMPRESSION {FORMS[form][1]})")

    def hdf5(self, form: str) -> str:
        return f"read_hdf5('{self.path(form)}.h5', '/t')"

    def seconds(self, *works) -> list[float]:
        """Medians of each, taken in turn; the first turn warms the caches."""
        times = [[] for _ in works]
        for turn in range(self.bench.rounds + 1):
            for work, taken in zip(works, times):
                began = time.perf_counter()
                work()
                if turn:
                    taken.append(time.perf_counter() - began)
        return [statistics.median(taken) for taken in times]

    def query(self, sql: str):
        return lambda: self.con.execute(sql).fetchall()

    def parquet(self) -> None:
        self.con.execute(f"SET threads = {os.cpu_count()}")
        for form in FORMS:
            for label, where in (("sum", ""), ("filter and sum", FILTER)):
                ours, peer = self.seconds(self.query(SUM + self.hdf5(form) + where),
                                          self.query(f"{SUM}read_parquet('{self.path(form)}.parquet'){where}"))
                self.bench.row(f"SQL over {self.rows:,} x 8 float64, {form}: {label}",
                               f"{ours:.2f} s = {peer / ours:.2f} x read_parquet", ">= 1 x", peer >= ours,
                               {"ours_s": ours, "parquet_s": peer})
            self.ranges(form)

    def ranges(self, form: str) -> None:
        """The filter said to the scan: the first time, when nothing is known of chunks, and again."""
        ours, peer = f"{SUM}{self.hdf5(form)[:-1]}{RANGES}){FILTER}", f"{SUM}read_parquet('{self.path(form)}.parquet'){FILTER}"
        sums = [self.con.execute(query).fetchone()[0] for query in (ours, peer)]
        if not math.isclose(*sums, rel_tol=1e-9):  # threads add up in any order
            raise SystemExit("where_column gives other sums than WHERE over Parquet")
        ours_s, peer_s = self.seconds(self.query(ours), self.query(peer))
        first = []
        for _ in range(self.bench.rounds):
            con = self.connect()
            began = time.perf_counter()
            con.execute(ours).fetchall()
            first.append(time.perf_counter() - began)
        first_s = statistics.median(first)
        label = f"SQL over {self.rows:,} x 8 float64, {form}: filter and sum, where_column"
        for taken, what, goal in ((ours_s, label, ">= 1 x"), (first_s, label + ", the first time", "")):
            self.bench.row(what, f"{taken:.2f} s = {peer_s / taken:.2f} x read_parquet", goal, not goal or peer_s >= taken,
                           {"ours_s": taken, "parquet_s": peer_s})

    def frames(self) -> None:
        """What one does without the extension: all of it into memory first."""
        def over_numpy():
            with h5py.File(self.path("gzip.h5")) as file:
                frame = pd.DataFrame({c: file[f"t/{c}"][...] for c in COLUMNS})  # noqa: F841 (DuckDB finds it)
            duckdb.sql(SUM + "frame").fetchall()

        ours, peer = self.seconds(self.query(SUM + self.hdf5("gzip")), over_numpy)
        self.bench.row("the same, gzip: sum", f"{peer / ours:.2f} x h5py and DuckDB over NumPy", ">= 4 x",
                       peer >= 4 * ours, {"ours_s": ours, "h5py_s": peer})
        with h5py.File(self.path("gzip.h5")) as file:
            frame = pd.DataFrame({c: file[f"t/{c}"][...] for c in COLUMNS})
        frame.to_hdf(self.path("pandas.h5"), key="t", mode="w", complib="zlib", complevel=4)
        del frame
        peer, = self.seconds(lambda: pd.read_hdf(self.path("pandas.h5"), "t").sum().sum())
        self.bench.row("the same, gzip: sum", f"{peer / ours:.2f} x pandas.read_hdf", ">= 4 x", peer >= 4 * ours,
                       {"ours_s": ours, "pandas_s": peer})

    def threads(self) -> None:
        taken = []
        for count in (1, 2):
            self.con.execute(f"SET threads = {count}")
            taken += self.seconds(self.query(SUM + self.hdf5("gzip")))
        self.bench.row("the same, gzip: sum, 1 to 2 threads", f"{taken[0] / taken[1]:.2f} x", ">= 1.9 x",
                       taken[0] >= 1.9 * taken[1], {"one_s": taken[0], "two_s": taken[1]})


def sql(bench, quick: bool) -> None:
    runs = Sql(bench, quick)
    runs.make()
    runs.parquet()
    runs.frames()
    runs.threads()
