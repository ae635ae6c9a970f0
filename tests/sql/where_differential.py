#!/usr/bin/env python3
"""where_column, min and max held against WHERE over the whole scan: ranges at random over every table of the files that
files.py makes, of one made here, and of those of BASALT_CORPUS (default ../shared/corpus), but the hostile ones.

where_differential.py EXTENSION BASALT TURNS

TURNS ranges a table, of large ones 8 times as many. A row is compared by all its values and its number."""
import os
import random
import sys
import tempfile
import warnings
from pathlib import Path

import duckdb
import h5py
import numpy as np

import files

TYPES = {sign + name for sign in ("", "U") for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")} | {
    "FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIME", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE"}
ROWS_MAX, COLUMNS_MAX = 3_000_000, 200
FAULTS = []
CHECKS = ROWS = 0


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def named(text):
    return '"' + text.replace('"', '""') + '"'


def make_large(path):
    """Many blocks of rows; chunks of several sizes, walks and noise."""
    rng, n = np.random.default_rng(3), 150_000
    with h5py.File(path, "w") as file:
        table = file.create_group("t")
        for index, chunk in enumerate((1000, 50_000, 131_072, None, 77, 150_000)):
            walk = np.round(np.cumsum(rng.normal(size=n)), 1)
            walk[rng.integers(0, n, 50)] = np.nan
            table.create_dataset(f"walk{index}", data=walk, chunks=chunk and (chunk,))
        noise = rng.integers(-100, 100, n)
        for kind in ("i1", "i2", "i4", "i8", "f4"):
            table.create_dataset(f"noise_{kind}", data=noise.astype(kind), chunks=(20_000,))
        table.create_dataset("noise_big", data=noise.astype(">i8"), chunks=(30_000,))
        table["flag"] = noise > 0
        table["text"] = [f"text {i % 1000}" for i in range(n)]
        record = np.zeros(50_000, [("a", "<i4"), ("b", ">f8"), ("name", "S5"), ("grid", "<i2", (3,))])
        record["a"], record["b"] = np.arange(50_000) % 999, rng.normal(size=50_000)
        record["grid"] = rng.integers(0, 9, (50_000, 3))
        file.create_dataset("records", data=record, chunks=(3000,), compression="gzip")
        file.create_dataset("matrix", data=rng.normal(size=(60_000, 5)).astype("f4"), chunks=(700, 2))


def some_bound(con, source, column, kind):
    """A value of the column or one near it, as SQL; or none."""
    chance = random.random()
    if chance < 0.2:
        return None
    odd = {"FLOAT": ["'inf'", "'nan'", "'-inf'", "1e300"], "DOUBLE": ["'inf'", "'nan'", "-1e300"],
           "TINYINT": ["1000", "-1000"], "UBIGINT": ["-1", "18446744073709551615"], "BIGINT": ["0.5", "1e19"]}
    if chance < 0.35 and kind in odd:
        return random.choice(odd[kind])
    found = con.execute(f"SELECT CAST(quantile_disc({column}, {random.random()}) AS VARCHAR) FROM {source}").fetchone()
    return None if not found or found[0] is None else f"CAST({quoted(found[0])} AS {kind})"


def summary(con, sql):
    """How many rows, and two sums over all of each."""
    return con.execute(f"SELECT count(*), bit_xor(hash(t)), sum(hash(t)::HUGEINT) FROM ({sql}) AS t").fetchone()


def whole_bound(bound, kind):
    """As the parameters mean it: a range of whole numbers holds no rounded bound."""
    return bound if bound is None or not bound[0].isdigit() and bound[0] not in "-'" else (
        f"CAST({bound} AS {kind})" if kind in ("FLOAT", "DOUBLE") and "1e300" not in bound else
        f"CAST({bound} AS DOUBLE)" if "e" in bound else bound)


def check_once(con, what, function, columns):
    global CHECKS, ROWS
    chosen = random.sample(columns, min(len(columns), random.choice((1, 1, 2, 3))))
    lows = [some_bound(con, function + ")", named(name), kind) for name, kind in chosen]
    highs = [some_bound(con, function + ")", named(name), kind) for name, kind in chosen]
    wanted, conditions = [], []
    for (name, kind), low, high in zip(chosen, lows, highs):
        conditions.append(f"{named(name)} IS NOT NULL")
        conditions += [f"{named(name)} >= {whole_bound(low, kind)}"] if low else []
        conditions += [f"{named(name)} <= {whole_bound(high, kind)}"] if high else []
    if len(chosen) == 1:
        wanted = f"where_column := {quoted(chosen[0][0])}, min := {lows[0] or 'NULL'}, max := {highs[0] or 'NULL'}"
    else:  # bounds of several types share a list as texts
        wanted = ", ".join(f"{word} := [{', '.join(values)}]" for word, values in (
            ("where_column", [quoted(name) for name, _ in chosen]),
            ("min", [f"CAST({v} AS VARCHAR)" if v else "NULL::VARCHAR" for v in lows]),
            ("max", [f"CAST({v} AS VARCHAR)" if v else "NULL::VARCHAR" for v in highs])))
    window = random.choice(("", "", ", start := 1000, step := 7", ", stop := -3"))
    shown = random.choice(("*", "*", "file_row_number", f"{named(chosen[0][0])}, file_row_number"))
    found = summary(con, f"SELECT {shown} FROM {function}{window}, {wanted})")
    expected = summary(con, f"SELECT {shown} FROM {function}{window}) WHERE {' AND '.join(conditions)}")
    CHECKS += 1
    ROWS += expected[0]
    if found != expected:
        FAULTS.append(f"{what}: {wanted}{window}: {found[0]} rows, not {expected[0]}; {' AND '.join(conditions)}")


def check_table(con, path, name):
    function = f"read_hdf5({quoted(path)}, {quoted(name)}, file_row_number := true"
    try:
        described = con.execute(f"DESCRIBE FROM {function})").fetchall()
        rows = con.execute(f"SELECT count(*) FROM {function})").fetchone()[0]
        if rows > ROWS_MAX or len(described) > COLUMNS_MAX:
            return
        con.execute(f"SELECT count(hash(t)) FROM {function}) AS t").fetchone()
    except duckdb.Error:
        return  # no table, or one that says that it is damaged
    categories = {row[0] for row in described if row[1].startswith("ENUM")}
    columns = [(row[0], row[1]) for row in described
               if row[1] in TYPES and row[0] not in categories and row[0] != "file_row_number"]
    turns = int(sys.argv[3]) * (8 if rows > 40_000 else 1)
    for _ in range(turns if columns else 0):
        try:
            check_once(con, f"{path} {name}", function, columns)
        except duckdb.Error as error:
            if "is categorical" not in str(error):
                FAULTS.append(f"{path} {name}: {error}")


def check_file(con, path):
    try:
        names = [row[0] for row in con.execute(f"SELECT path FROM hdf5_ls({quoted(path)})").fetchall()]
    except duckdb.Error:
        return 0
    for name in names[:40]:
        check_table(con, path, name)
    return 1


def check_edited(con, folder):
    """Files of Basalt's whose values, or mask, another program changes in their place: nothing that was said of the
    chunks before may hide a row, or let one in."""
    global CHECKS
    for name, value, options in (("values", "i", ", NOT_NULL"), ("mask", "CASE WHEN i % 97 = 0 THEN NULL ELSE i END", "")):
        path = str(folder / f"edited_{name}.h5")
        con.execute(f"COPY (SELECT {value} FROM range(1000, 41000) t(i)) TO '{path}' "
                    f"(FORMAT basalt, COLUMNS ('i'), COMPRESSION 'none'{options})")
        scan = f"FROM read_hdf5('{path}', 'data'"
        for _ in range(2):  # before, and behind the edit
            for low, high in ((-5, 5), (1000, 1100), (40_000, 50_000), (0, 100_000)):
                found = con.execute(f"SELECT count(*), sum(i) {scan}, where_column := 'i', min := {low}, max := {high})")
                found = found.fetchone()
                expected = con.execute(f"SELECT count(*), sum(i) {scan}) WHERE i BETWEEN {low} AND {high}").fetchone()
                CHECKS += 1
                if found != expected:
                    FAULTS.append(f"{path}, {low} to {high}: {found}, not {expected}")
            with h5py.File(path, "r+") as file:
                if name == "mask":
                    file["data/i/mask"][...] = False
                else:
                    file["data/i"][...] = file["data/i"][...][::-1] - 900


def main():
    random.seed(7)
    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    con.execute(f"LOAD '{sys.argv[1]}'")
    checked = 0
    with tempfile.TemporaryDirectory() as name:
        files.make_all(name, sys.argv[2])
        make_large(Path(name) / "large.h5")
        check_edited(con, Path(name))
        for path in sorted(Path(name).glob("*")):
            checked += path.is_file() and check_file(con, path)
    corpus = Path(os.environ.get("BASALT_CORPUS", "../shared/corpus"))
    for path in sorted(corpus.rglob("*")):
        if path.is_file() and "hostile" not in path.parts and path.suffix not in (".md", ".txt", ""):
            checked += check_file(con, path)
    print(f"FIGURE {CHECKS} filters over tables of {checked} files compared, {ROWS} rows, {len(FAULTS)} differ")
    for line in FAULTS[:40]:
        print(line)
    sys.exit(1 if FAULTS or not CHECKS else 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
