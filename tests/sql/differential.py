#!/usr/bin/env python3
"""What the DuckDB extension reads, held against h5py, pandas and anndata, value for value.

differential.py EXTENSION        on files made here, and on those of BASALT_CORPUS (default ../shared/corpus), if there
                                 are any, but the hostile ones

Of a dataset of more than WHOLE_ELEMENTS the first rows, the last and some in the middle are compared."""
import os
import sys
import tempfile
from pathlib import Path

import anndata
import duckdb
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

anndata.settings.allow_write_nullable_strings = True
FAULTS = []
CHECKS = LEFT_OUT = 0
WHOLE_ELEMENTS, WINDOW_ELEMENTS = 2_000_000, 100_000


def connect(extension):
    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    con.execute(f"LOAD '{extension}'")
    return con


NUMBERS = {sign + name for sign in ("", "U") for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")} | {
    "FLOAT", "DOUBLE"}


def check(what, same, found=None, expected=None):
    global CHECKS
    CHECKS += 1
    if not same:
        FAULTS.append(f"{what}: found {str(found)[:200]}, expected {str(expected)[:200]}")


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def columns_of(con, sql):
    """Names and columns: NumPy's where a column is of numbers without nulls, else tuples."""
    result = con.execute(sql)
    names = [d[0] for d in result.description]
    quick = [str(d[1]) in NUMBERS for d in result.description]
    columns = [None] * len(names)
    if any(quick) and len(set(names)) == len(names):
        columns = [column if of_numbers and not np.ma.is_masked(column) else None
                   for of_numbers, column in zip(quick, result.fetchnumpy().values())]
        if all(column is not None for column in columns):
            return names, [np.asarray(column) for column in columns]
        result = con.execute(sql)
    rows = list(zip(*result.fetchall())) or [() for _ in names]
    return names, [row if column is None else np.asarray(column) for column, row in zip(columns, rows)]


NUMBERS = {sign + name for sign in ("", "U") for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")} | {
    "FLOAT", "DOUBLE"}


def check(what, same, found=None, expected=None):
    global CHECKS
    CHECKS += 1
    if not same:
        FAULTS.append(f"{what}: found {str(found)[:200]}, expected {str(expected)[:200]}")


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def columns_of(con, sql):
    """Names and columns: NumPy's where a column is of numbers without nulls, else tuples."""
    result = con.execute(sql)
    names = [d[0] for d in result.description]
    if len(set(names)) == len(names) and all(str(d[1]) in NUMBERS for d in result.description):
        columns = list(result.fetchnumpy().values())
        if not any(np.ma.is_masked(column) for column in columns):
            return names, [np.asarray(column) for column in columns]
        result = con.execute(sql)
    return names, list(zip(*result.fetchall())) or [() for _ in names]


# ---- values as Python has them ------------------------------------------------------------------

def names_of(dtype):
    """number -> name, where the type has one for each; else {}."""
    enum = h5py.check_enum_dtype(dtype) if dtype.metadata else None
    if not enum or set(enum) == {"FALSE", "TRUE"} or len(set(enum.values())) != len(enum):
        return {}
    return {number: name for name, number in enum.items()}


def named(value, names):
    return names.get(int(value)) if names else plain(value)


def plain(value):
    """NumPy's and h5py's values as DuckDB's Python gives them."""
    if isinstance(value, np.void) and value.dtype.names:
        return {name: named(value[name], names_of(value.dtype[name])) for name in value.dtype.names}
    if isinstance(value, np.void):
        return bytes(value)
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if isinstance(value, np.datetime64):
        return value.view("i8").tobytes()
    if isinstance(value, np.bytes_):
        return bytes(value)
    return value


def same(found, expected):
    if isinstance(found, np.ndarray) or isinstance(expected, np.ndarray):
        if all(isinstance(side, np.ndarray) and side.dtype.kind in "iuf" for side in (found, expected)):
            return np.array_equal(found, expected, equal_nan=True)
        return same(listed(found), listed(expected))
    if isinstance(found, bytes) and isinstance(expected, list):
        return list(found) == expected  # bytes of variable length
    if isinstance(found, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and (
            list(found) == list(expected) or all(map(same, found, expected)))
    if isinstance(found, dict) and isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in found)
    if isinstance(expected, bytes) and isinstance(found, bytes):
        return found.rstrip(b"\0") == expected.rstrip(b"\0")  # NumPy drops zeros at the end
    if isinstance(expected, bytes) and isinstance(found, str):
        return found.encode().rstrip(b"\0 ") == expected.split(b"\0")[0].rstrip(b"\0 ")
    if isinstance(found, float) and isinstance(expected, float):
        return found == expected or (found != found and expected != expected)
    return found == expected


def listed(column):
    return [plain(value) for value in column] if isinstance(column, np.ndarray) else column


# ---- read_hdf5 against h5py -----------------------------------------------------------------------

def windows(dataset):
    """Parts of it to compare, as (start, stop); (None, None) is all; none if a row is too large."""
    if not dataset.ndim or dataset.size <= WHOLE_ELEMENTS:
        return [(None, None)]
    rows = WINDOW_ELEMENTS // (dataset.size // len(dataset))
    middle = len(dataset) // 2
    return [(first, first + rows) for first in (0, middle, len(dataset) - rows)] if rows else []


def elements(dataset, start, stop):
    """Rows of a dataset, or None where h5py has no plain word for what it holds."""
    if dataset.shape is None or dataset.dtype.kind == "c" or h5py.check_ref_dtype(dataset.dtype):
        return None
    if dataset.dtype.names and any(h5py.check_ref_dtype(dataset.dtype[n]) for n in dataset.dtype.names):
        return None
    enum = h5py.check_enum_dtype(dataset.dtype)
    data = np.array([dataset[()]], dtype=dataset.dtype) if dataset.shape == () else dataset[start:stop]
    if enum:
        names = {number: name for name, number in enum.items()}
        return None if len(names) != len(enum) else np.vectorize(
            lambda n: names.get(n), otypes=[object])(data) if data.size else data
    return data


def check_dataset(con, path, name, dataset):
    global LEFT_OUT
    records = Path(path).suffix == ".h5ad" and name in ("/obs", "/var", "/raw.var")
    if "categories" in dataset.attrs or records:
        return  # codes, which check_anndata looks at
    if dataset.shape is None or dataset.ndim == 0 and dataset.dtype.names:
        return
    parts = windows(dataset)
    LEFT_OUT += not parts
    for start, stop in parts:
        check_rows(con, path, name, dataset, start, stop)


def check_rows(con, path, name, dataset, start, stop):
    try:
        expected = elements(dataset, start, stop)
    except (OSError, TypeError, ValueError, UnicodeDecodeError):
        return  # a filter or type that h5py does not have here
    if expected is None:
        return
    window = "" if start is None else f", start := {start}, stop := {stop}"
    sql = f"SELECT * FROM read_hdf5({quoted(path)}, {quoted(name)}, layout := 'plain', decode_times := false{window})"
    try:
        names, found = columns_of(con, sql)
    except duckdb.Error as error:
        if "read as Arrow" in str(error) or "no table" in str(error) or "DuckDB has no" in str(error):
            return  # said, by name
        check(f"{path} {name}", False, error)
        return
    if dataset.dtype.names and dataset.ndim <= 1 and not dataset.dtype.subdtype:
        for index, member in enumerate(dataset.dtype.names):
            names_here = names_of(dataset.dtype[member])
            values = expected[member]
            if names_here or values.dtype.kind not in "iuf" or values.ndim > 1:
                values = [named(v, names_here) for v in values]
            check(f"{path} {name}.{member}", same(found[index], values), found[index][:3], values[:3])
        return
    values = expected if expected.dtype.kind in "iuf" and expected.ndim == 1 else [plain(v) for v in expected]
    check(f"{path} {name}", same(found[0], values), found[0][:3], values[:3])


def check_hdf5(con, path):
    names = []
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            for name in names:
                check_dataset(con, path, "/" + name, file[name])
    except OSError:
        return 0  # one that libhdf5 does not open here
    check_attach(con, path)
    return len(names)


# ---- anndata_scan_* against anndata ------------------------------------------------------------------

def cells(series):
    """A column of pandas as DuckDB gives it."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    return [None if v is None or v is pd.NA or (isinstance(v, float) and v != v and series.dtype == object)
            else plain(v) for v in series]


def check_frame(con, what, sql, frame, idx):
    names, found = columns_of(con, sql)
    check(f"{what} {idx}", names[0] == idx and list(found[0]) == list(range(len(frame))), names)
    check(f"{what} columns", len(names) == 2 + len(frame.columns), names, list(frame.columns))
    check(f"{what} index", [str(v) for v in found[1]] == [str(v) for v in frame.index], found[1][:3],
          frame.index[:3])
    for name in frame.columns:
        at = [i for i, n in enumerate(names) if n == name]
        if not at:
            check(f"{what} has {name}", False, names)
            continue
        expected = cells(frame[name])
        ok = same([str(v) if isinstance(e, str) and v is not None else v
                   for v, e in zip(found[at[0]], expected)], expected)
        check(f"{what} {name}", ok, found[at[0]][:4], expected[:4])


def dense_of(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def check_wide(con, what, sql, matrix, names, first=1):
    found_names, found = columns_of(con, sql)
    dense = dense_of(matrix)
    check(f"{what} names", len(found_names) - first == dense.shape[1] and
          (names is None or found_names[first:first + len(names)] == list(names)), found_names[:4], names)
    for i in range(dense.shape[1]):
        check(f"{what} column {i}", same(found[first + i], dense[:, i]), found[first + i][:4], dense[:4, i])


def numbered(names):
    """Names that repeat get a number."""
    met = set()
    result = []
    for name in names:
        made, number = name, 0
        while made in met or number and made in names:
            number += 1
            made = f"{name}_{number}"
        met.add(made)
        result.append(made)
    return result


def check_long(con, what, sql, matrix, rows, columns):
    _, found = columns_of(con, sql)
    if sp.issparse(matrix):
        coo = matrix.tocoo()
        expected = list(zip(coo.row, coo.col, coo.data))
    else:
        dense = np.asarray(matrix)
        expected = [(i, k, dense[i, k]) for i in range(dense.shape[0]) for k in range(dense.shape[1])]
    expected = sorted((rows[i], columns[k], plain(v)) for i, k, v in expected)
    check(what, same([list(t) for t in sorted(zip(*found))], [list(t) for t in expected]),
          sorted(zip(*found))[:2], expected[:2])


def unique_names(names):
    """As the extension numbers names that repeat, which differ in more than case."""
    return list(names) if len({n.lower() for n in names}) == len(names) else None


def check_anndata(con, path):
    adata = anndata.read_h5ad(path)
    file = quoted(path)
    obs, var = [str(n) for n in adata.obs_names], [str(n) for n in adata.var_names]
    check_frame(con, f"{path} obs", f"FROM anndata_scan_obs({file})", adata.obs, "obs_idx")
    check_frame(con, f"{path} var", f"FROM anndata_scan_var({file})", adata.var, "var_idx")
    if adata.X is not None:
        check_wide(con, f"{path} X", f"FROM anndata_scan_x({file})", adata.X, unique_names(var))
        check_long(con, f"{path} X long", f"FROM anndata_scan_x({file}, format := 'long')", adata.X, obs,
                   numbered(var))
    for name, layer in adata.layers.items():
        check_wide(con, f"{path} layer {name}", f"FROM anndata_scan_layers({file}, {quoted(name)})", layer,
                   unique_names(var))
    for kind, mapping in (("obsm", adata.obsm), ("varm", adata.varm)):
        for name, value in mapping.items():
            sql = f"FROM anndata_scan_{kind}({file}, {quoted(name)})"
            if isinstance(value, pd.DataFrame):
                check_frame(con, f"{path} {kind} {name}", sql, value, kind[:3] + "_idx")
                continue
            names, found = columns_of(con, sql)
            if len(names) == 2 and value.shape[1] > 1:  # records of arrays, of before version 0.7
                expected = [[plain(v) for v in row] for row in dense_of(value)]
                check(f"{path} {kind} {name}", same([list(v) for v in found[1]], expected))
                continue
            check_wide(con, f"{path} {kind} {name}", sql, value, [f"{name}_{i}" for i in range(value.shape[1])])
    for kind, mapping in (("obsp", adata.obsp), ("varp", adata.varp)):
        for name, value in mapping.items():
            with h5py.File(path) as opened:
                if f"{kind}/{name}" not in opened:
                    continue  # kept in uns before version 0.7
            size = range(value.shape[0])
            check_long(con, f"{path} {kind} {name}", f"FROM anndata_scan_{kind}({file}, {quoted(name)})", value,
                       size, size)
    if adata.raw is not None:
        raw_names = [str(n) for n in adata.raw.var_names]
        check_frame(con, f"{path} raw var", f"FROM anndata_scan_raw_var({file})", adata.raw.var, "var_idx")
        check_wide(con, f"{path} raw X", f"FROM anndata_scan_raw_x({file})", adata.raw.X, unique_names(raw_names))
    check_attach_anndata(con, path, adata)


# ---- hdf5_attach, anndata_attach: every view can be made, and shows what it names -----------------------

def attach(con, path, function):
    """name -> path of the views."""
    try:
        rows = con.execute(f"FROM {function}({quoted(path)}, 'the \"views\"')").fetchall()
    except duckdb.Error as error:
        check(f"{path} {function}", "no AnnData" in str(error) or "HDF5" in str(error), error)
        return {}
    for name, _, sql in rows:
        try:
            con.execute(sql)
        except duckdb.Error as error:
            check(f"{path} view {name}", False, error)
    return {name: inside for name, inside, _ in rows[1:]}


def rows_of(con, source):
    try:
        return con.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
    except duckdb.Error as error:
        return str(error)


def check_attach(con, path):
    views = attach(con, path, "hdf5_attach")
    check(f"{path} names", len({name.lower() for name in views}) == len(views), list(views))
    for name, inside in views.items():
        found = rows_of(con, f'"the ""views"""."{name}"')
        expected = rows_of(con, f"read_hdf5({quoted(path)}, {quoted(inside)})")
        check(f"{path} view {name}", found == expected, found, expected)
    con.execute('DROP SCHEMA IF EXISTS "the ""views""" CASCADE')


def check_attach_anndata(con, path, adata):
    views = attach(con, path, "anndata_attach")
    expected = {"info", "obs", "var", "uns"} | ({"X", "X_long"} if adata.X is not None else set())
    expected |= {f"layers_{name}{form}" for name in adata.layers for form in ("", "_long")}
    expected |= {f"{kind}_{name}" for kind in ("obsm", "varm") for name in getattr(adata, kind)}
    check(f"{path} views", expected <= set(views), set(views), expected)
    for name in views:
        found = rows_of(con, f'"the ""views"""."{name}"')
        check(f"{path} view {name}", isinstance(found, int), found)
        if name in ("obs", "X"):
            check(f"{path} view {name}", found == adata.n_obs, found, adata.n_obs)
    con.execute('DROP SCHEMA IF EXISTS "the ""views""" CASCADE')


# ---- files of our own ----------------------------------------------------------------------------------

def make_hdf5(path):
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8"):
            file[f"plain/{kind}"] = (rng.random(5000) * 100).astype(kind)
        file.create_dataset("chunked", data=rng.random(70_000), chunks=(4096,), compression="gzip", shuffle=True)
        file.create_dataset("cube", data=rng.integers(0, 99, (300, 3, 4)), chunks=(64, 3, 2))
        file["bool"] = rng.random(3000) > 0.5
        file["text"] = [f"text {i} \u00e4" for i in range(4000)]
        file["fixed"] = np.array([b"ab", b"", b"abcdef"], "S6")
        file["opaque"] = np.array([b"\0\1\2", b"abc"], "V3")
        colour = h5py.enum_dtype({"red": 1, "green": -2, "blue": 70}, "i2")
        file.create_dataset("enum", data=np.array([1, -2, 70, 1], "i2"), dtype=colour)
        vlen = file.create_dataset("vlen", (4,), dtype=h5py.vlen_dtype("i4"))
        for i in range(4):
            vlen[i] = np.arange(i)
        inner = np.dtype([("x", "<f4"), ("y", "<i8")])
        records = np.zeros(1000, [("id", "<u4"), ("at", inner), ("grid", "<i2", (2, 3)), ("name", "S5")])
        records["id"] = np.arange(1000)
        records["at"]["x"] = rng.random(1000)
        records["grid"] = rng.integers(0, 9, (1000, 2, 3))
        records["name"] = [f"n{i}".encode() for i in range(1000)]
        file.create_dataset("records", data=records, chunks=(128,))
        file["scalar"] = 3.25
        file["empty"] = np.zeros(0)
        file["matrix"] = rng.random((50, 4))


def make_anndata(folder):
    rng = np.random.default_rng(2)
    counts = sp.random(200, 60, 0.1, "csr", "f4", rng)
    names = [f"gene{i}" for i in range(60)]
    names[7] = names[8] = "twice"
    obs = pd.DataFrame({
        "cluster": pd.Categorical(rng.choice(["a", "b", "c"], 200)),
        "ordered": pd.Categorical(rng.choice(["lo", "hi"], 200), ["lo", "hi"], ordered=True),
        "total": counts.sum(1).A1 if hasattr(counts.sum(1), "A1") else np.asarray(counts.sum(1)).ravel(),
        "flag": rng.random(200) > 0.5,
        "maybe": pd.array([None if i % 7 == 0 else i for i in range(200)], "Int32"),
        "sure": pd.array([None if i % 5 == 0 else i % 2 == 0 for i in range(200)], "boolean"),
        "words": pd.array([None if i % 3 == 0 else f"w{i}" for i in range(200)], "string"),
    }, index=[f"cell{i}" for i in range(200)])
    obs.loc[obs.index[3], "cluster"] = np.nan
    paths = []
    for form in ("csr", "csc", "dense", "gzip", "ints"):
        matrix = {"csr": counts, "csc": counts.tocsc(), "dense": counts.toarray(), "gzip": counts,
                  "ints": (counts * 50).astype("i8")}[form]
        adata = anndata.AnnData(matrix, obs.copy(), pd.DataFrame({"len": np.arange(60)}, index=names))
        adata.layers["double"] = sp.csr_matrix(counts, dtype="f8")
        adata.layers["dense"] = counts.toarray()
        adata.obsm["X_pca"] = rng.random((200, 5))
        adata.obsm["sparse"] = sp.random(200, 4, 0.3, "csr", random_state=1)
        adata.obsm["frame"] = pd.DataFrame({"u": rng.random(200)}, index=adata.obs_names)
        adata.varm["load"] = rng.random((60, 3)).astype("f4")
        adata.obsp["near"] = sp.random(200, 200, 0.01, "csr", random_state=2)
        adata.varp["dense"] = rng.random((60, 60))
        adata.raw = anndata.AnnData(sp.csr_matrix(counts), obs.copy(), pd.DataFrame(index=names))
        path = folder / f"{form}.h5ad"
        adata.write_h5ad(path, compression="gzip" if form == "gzip" else None)
        paths.append(path)
    return paths


def make_odd_anndata(folder):
    """Sizes, types and encodings that are rare."""
    rng = np.random.default_rng(3)
    numbers = rng.integers(0, 3, (9, 4))
    matrices = {f"{kind}_{form.__name__}": form(numbers.astype(kind)) for kind in ("?", "i1", "u8", "f8")
                for form in (np.asarray, sp.csr_matrix, sp.csc_matrix)}
    matrices["long_indices"] = sp.csr_matrix(numbers.astype("f4"))
    matrices["long_indices"].indices = matrices["long_indices"].indices.astype("i8")
    matrices["long_indices"].indptr = matrices["long_indices"].indptr.astype("i8")
    for form in (np.asarray, sp.csr_matrix, sp.csc_matrix):
        matrices[f"no_cells_{form.__name__}"] = form(np.zeros((0, 4), "f4"))
        matrices[f"no_variables_{form.__name__}"] = form(np.zeros((9, 0), "f4"))
    paths = []
    for name, matrix in matrices.items():
        cells, variables = matrix.shape
        obs = pd.DataFrame({"none": pd.Categorical([None] * cells, ["a"]), "whole": np.arange(cells)},
                           index=[f"cell{i}" for i in range(cells)])
        adata = anndata.AnnData(matrix, obs, pd.DataFrame(index=[f"gene{i}" for i in range(variables)]))
        adata.layers["same"] = matrix
        adata.obsm["same"] = matrix
        adata.obsm["cube"] = rng.random((cells, 2, 3))
        adata.obsm["frame"] = pd.DataFrame({"kind": pd.Categorical(["x", "y"] * (cells // 2) + ["x"] * (cells % 2)),
                                            "maybe": pd.array([None] * cells, "Int16")}, index=obs.index)
        paths.append(folder / f"odd_{name.replace('?', 'bool')}.h5ad")
        adata.write_h5ad(paths[-1])
    return paths


def main():
    con = connect(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_hdf5(folder / "types.h5")
        datasets = check_hdf5(con, folder / "types.h5")
        for path in make_anndata(folder) + make_odd_anndata(folder):
            check_anndata(con, path)
            check_attach(con, path)
    corpus, files = Path(os.environ.get("BASALT_CORPUS", "../shared/corpus")), 1
    for path in sorted(corpus.rglob("*")):
        if "hostile" in path.parts or not path.is_file() or path.suffix in (".md", ".txt", ""):
            continue
        datasets += check_hdf5(con, path)
        files += 1
    for path in sorted(corpus.rglob("*.h5ad")):
        check_anndata(con, path)
    if files == 1:
        print("there is no corpus (set BASALT_CORPUS): only files made here are compared")
    print(f"FIGURE {CHECKS} datasets and columns of {datasets} datasets in {files} files compared, {len(FAULTS)} differ; "
          f"{LEFT_OUT} left out whose rows are too large")
    for line in FAULTS[:40]:
        print(line)
    sys.exit(1 if FAULTS else 0)


if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    main()
