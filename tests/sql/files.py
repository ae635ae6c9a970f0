"""The files that the SQL tests read: written by h5py, pandas, netCDF4, anndata, and by Basalt.

files.py FOLDER BASALT     makes them there"""
import subprocess
import sys
import warnings
from pathlib import Path

import anndata
import h5py
import netCDF4
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

anndata.settings.allow_write_nullable_strings = True


def make_types(path):
    with h5py.File(path, "w") as file:
        numbers = file.create_group("numbers")
        for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"):
            numbers[kind] = np.array([1, 2, 100], kind)
        file["big_endian"] = np.array([1.5, -2], ">f8")
        file["bool"] = np.array([True, False, True])
        file["text"] = ["a", "\u00e4\u00f6", ""]
        file["opaque"] = np.array([b"\0\1", b"\xff\xfe"], "V2")
        file.create_dataset("enum", data=np.array([1, -2, 9], "i2"),
                            dtype=h5py.enum_dtype({"red": 1, "green": -2}, "i2"))
        lists = file.create_dataset("lists", (3,), dtype=h5py.vlen_dtype("i4"))
        lists[0], lists[1], lists[2] = [1, 2], [], [3]
        file["cube"] = np.arange(12, dtype="i4").reshape(2, 2, 3)
        file["matrix"] = np.arange(6, dtype="f4").reshape(3, 2)
        file["scalar"] = 7.5
        file["none"] = np.zeros(0, "i4")
        inner = np.dtype([("x", "<f4"), ("y", "<i8")])
        records = np.zeros(2, [("id", "<u4"), ("at", inner), ("grid", "<i2", (2, 2)), ("name", "S3")])
        records["id"], records["name"] = [1, 2], [b"ab", b"c"]
        records["at"]["y"] = [10, 20]
        file["records"] = records
        refs = file.create_dataset("references", (2,), dtype=h5py.ref_dtype)
        refs[0] = file["cube"].ref
        file.create_dataset("complex", data=np.array([1 + 2j]))
        file["numbers"].attrs["unit"] = "V"
        file["numbers"].attrs["limits"] = [0.5, 10]


def make_names(path):
    """Names that SQL does not have; two of them are one, once they are made plain."""
    with h5py.File(path, "w") as file:
        for index, name in enumerate(("a b", "a'b", "deep/a b", "deep/c", "\u00e4")):
            file[name] = np.arange(3 + index) + index + 1


def make_rows(folder):
    """Rows in chunks, and files that hold parts of the same."""
    with h5py.File(folder / "rows.h5", "w") as file:
        group = file.create_group("rows")
        n = 100_000
        group.create_dataset("i", data=np.arange(n), chunks=(4096,), compression="gzip", shuffle=True)
        group.create_dataset("x", data=np.arange(n) / 2, chunks=(1000,))
        group["label"] = np.array([b"abc", b"def"] * (n // 2), "S3")
    for part in range(3):
        with h5py.File(folder / f"part{part}.h5", "w") as file:
            file["t/k"] = np.arange(part * 10, part * 10 + 10)
            file[f"t/{'odd' if part == 1 else 'even'}"] = np.full(10, part / 2)
    (folder / "deep/er").mkdir(parents=True)
    with h5py.File(folder / "deep/er/part3.h5", "w") as file:
        file["t/k"] = np.arange(30, 40)
    with h5py.File(folder / "clash.h5", "w") as file:
        file["t/k"] = ["text"]
    with h5py.File(folder / "only.h5", "w") as file:
        file["only"] = np.arange(3)
    (folder / "folder.h5").mkdir()
    with h5py.File(folder / "folder.h5/only.h5", "w") as file:
        file["only"] = np.arange(3)
    with h5py.File(folder / "named.h5", "w") as file:
        file["run.h5/x"] = np.arange(4)
    with h5py.File(folder / "damaged.h5", "w") as file:
        file.create_dataset("x", data=np.arange(50_000.0), chunks=(10_000,), fletcher32=True)
        place = file["x"].id.get_chunk_info(3).byte_offset
    data = bytearray((folder / "damaged.h5").read_bytes())
    data[place + 77] ^= 1
    (folder / "damaged.h5").write_bytes(data)


def make_where(path):
    """Rows to be found by their values; a chunk behind row 30,000 is damaged."""
    n = 20_000
    with h5py.File(path, "w") as file:
        file["t/n"] = np.arange(n)
        file["t/flag"] = np.arange(n) % 2 == 0
        file["t/label"] = [f"text {i // 10_000}" for i in range(n)]
        nested = file.create_group("nested")
        nested["n"] = np.arange(5)
        lists = nested.create_dataset("list", (5,), dtype=h5py.vlen_dtype("i4"))
        for i in range(5):
            lists[i] = [i] * i
        inner = np.dtype([("x", "<f4"), ("y", "<i8")])
        records = np.zeros(4, [("id", "<u4"), ("at", inner), ("name", h5py.string_dtype())])
        records["id"], records["name"] = np.arange(4), ["a", "b", "c", "d"]
        records["at"]["x"], records["at"]["y"] = np.arange(4) + 0.5, np.arange(4) * 10
        file["records"] = records
        file["floats/f4"] = np.array([0.1, 0.2, 0.3, -1], "f4")
        file["floats/f8"] = np.array([-np.inf, -0.0, np.inf, np.nan])
        file.create_dataset("late/n", data=np.arange(50_000), chunks=(10_000,))
        file.create_dataset("late/late", data=np.arange(50_000), chunks=(10_000,), fletcher32=True)
        place = file["late/late"].id.get_chunk_info(3).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 77] ^= 1
    path.write_bytes(data)


def make_pandas(path):
    frame = pd.DataFrame({"a": np.arange(4), "when": pd.date_range("2024-01-01", periods=4, freq="h")})
    frame.to_hdf(path, key="fixed", mode="w")
    frame.to_hdf(path, key="table", format="table", data_columns=True)


def make_netcdf(path):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 3)
        file.createDimension("lat", 2)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "hours since 2000-01-01 00:00:00"
        time[:] = [0, 1.5, 24]
        lat = file.createVariable("lat", "f4", ("lat",))
        lat[:] = [-45, 45]
        t = file.createVariable("t", "i2", ("time", "lat"), fill_value=-99)
        t[:] = np.ma.masked_equal([[1, 2], [3, -99], [5, 6]], -99)
        year = file.createVariable("year", "f8", ("time",))
        year.units, year.calendar = "days since 2000-01-01", "360_day"
        year[:] = [0, 30, 360]


def make_anndata(folder):
    x = sp.csr_matrix(np.array([[1, 0, 2], [0, 0, 3], [4, 5, 0], [0, 0, 0]], "f4"))
    obs = pd.DataFrame({"cluster": pd.Categorical(["a", "b", "a", None]),
                        "n": pd.array([1, None, 3, 4], "Int32"),
                        "ok": pd.array([True, None, False, True], "boolean"),
                        "note": pd.array(["x", None, "y", "z"], "string")}, index=[f"cell{i}" for i in range(4)])
    var = pd.DataFrame({"symbol": ["TP53", "TP53", "MYC"], "len": [10, 20, 30]}, index=["g0", "g1", "g2"])
    for form in ("csr", "csc", "dense"):
        adata = anndata.AnnData({"csr": x, "csc": x.tocsc(), "dense": x.toarray()}[form], obs.copy(), var.copy())
        adata.layers["twice"] = x * 2
        adata.obsm["pca"] = np.arange(8.0).reshape(4, 2)
        adata.varm["load"] = np.arange(6, dtype="f4").reshape(3, 2)
        adata.obsp["near"] = sp.csr_matrix(([0.5], ([1], [3])), (4, 4))
        adata.varp["dense"] = np.eye(3)
        adata.uns["title"] = "a test"
        adata.uns["kinds"] = pd.Categorical(["u", None, "v"])
        adata.uns["maybe"] = pd.array([1, None], "Int64")
        adata.uns["frame"] = pd.DataFrame({"q": [1, 2]})
        adata.uns["sparse"] = sp.eye(3, format="csc")
        adata.uns["params"] = {"k": 5, "names": np.array(["p", "q"])}
        adata.raw = anndata.AnnData(x * 10, obs.copy(), var.copy())
        adata.write_h5ad(folder / f"{form}.h5ad", compression="gzip" if form == "csr" else None)
    truths = x.astype(bool)
    for form, matrix in (("csr", truths), ("csc", truths.tocsc()), ("dense", truths.toarray())):
        anndata.AnnData(matrix, obs.copy(), var.copy()).write_h5ad(folder / f"truths_{form}.h5ad")
    gaps = pd.DataFrame({"symbol": pd.array(["A", None, ""], "string")}, index=["g0", "g1", "g2"])
    anndata.AnnData(x, obs.copy(), gaps).write_h5ad(folder / "gaps.h5ad")
    anndata.AnnData(np.zeros((0, 3), "f4"), obs[:0].copy(), var.copy()).write_h5ad(folder / "no_cells.h5ad")
    for form, matrix in (("csr", x[:, :0]), ("dense", x[:, :0].toarray())):
        anndata.AnnData(matrix, obs.copy(), var[:0].copy()).write_h5ad(folder / f"no_variables_{form}.h5ad")
    other = anndata.AnnData(sp.csr_matrix(np.array([[7, 8]], "f4")), pd.DataFrame({"n": pd.array([9], "Int32")}, index=["z"]),
                            pd.DataFrame(index=["g2", "g9"]))
    other.write_h5ad(folder / "other.h5ad")


def make_units(path):
    """Numbers that count time, or may."""
    second = 1_700_000_000
    with h5py.File(path, "w") as file:
        group = file.create_group("t")
        for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
            for zone in (None, "", "Europe/Berlin"):
                name = unit + {None: "", "": "_zone_less", "Europe/Berlin": "_berlin"}[zone]
                data = np.array([second * factor, np.iinfo("i8").min, -factor], "i8")
                group[name] = data
                group[name].attrs["unit"] = unit
                if zone is not None:
                    group[name].attrs["timezone"] = zone
        for name, kind, unit in (("small", "i4", "s"), ("real", "f8", "s"), ("volt", "i8", "V")):
            group[name] = np.array([1, 2, 3], kind)
            group[name].attrs["unit"], group[name].attrs["timezone"] = unit, "UTC"
        group["since"] = np.array([0, 1.5, 24])
        group["since"].attrs["units"] = "hours since 2000-01-01"
        group["unit_since"] = np.array([0, 1, 24])
        group["unit_since"].attrs["unit"] = "hours since 2000-01-01"
        starts = (("minutes since 2000-01-01 00:00", None), ("days since 0001-01-01", "proleptic_gregorian"),
                  ("days since 0001-01-01", "standard"), ("hours since 2000-01-01 12:00:00 +02:00", "gregorian"),
                  ("hrs since 2000-01-01 12:00:00.5 -03:30", "STANDARD"), ("Days since 1582-10-15", "julian"),
                  ("months since 2000-01-01", "standard"), ("msec since 2000-01-01T00:00:00Z", "standard"))
        for number, (units, calendar) in enumerate(starts):
            dataset = file.create_dataset(f"starts/n{number}", data=np.array([0, 1, 730_000], "i4"))
            dataset.attrs["units"] = units
            if calendar:
                dataset.attrs["calendar"] = calendar
        group["hours"] = np.array([0, 1, 24])
        group["hours"].attrs["units"] = "hours"


def make_categories(folder):
    """Categories and enumerations that differ between files."""
    kinds = ([["b", "a"], ["b", "a", "b", None]], [["c", "a"], ["a", "c", None, "a"]], [[], [None, None]])
    for number, (categories, values) in enumerate(kinds):
        obs = pd.DataFrame({"kind": pd.Categorical(values, categories),
                            "many": pd.Categorical([f"m{150 * number + i}" for i in range(len(values))],
                                                   [f"m{150 * number + i}" for i in range(200)])},
                           index=[f"k{number}{i}" for i in range(len(values))])
        if number == 1:
            obs["extra"] = pd.Categorical(["x", "y", "x", "y"])
        anndata.AnnData(None, obs, pd.DataFrame(index=["g"])).write_h5ad(folder / f"kinds{number}.h5ad")
    for number, names in enumerate(({"red": 1, "green": 2}, {"blue": 1, "red": 5})):
        with h5py.File(folder / f"colours{number}.h5", "w") as file:
            file.create_dataset("colour", data=np.array(list(names.values()) * 3, "u1"),
                                dtype=h5py.enum_dtype(names, "u1"))
    for number in range(2):  # together they are too many for an ENUM
        with h5py.File(folder / f"large{number}.h5", "w") as file:
            group = file.create_group("c")
            group.attrs["encoding-type"], group.attrs["encoding-version"] = "categorical", "0.2.0"
            group.attrs["ordered"] = False
            group["codes"] = np.arange(40_000, dtype="i4")
            group["categories"] = [f"{number}-{i}" for i in range(40_000)]
    with h5py.File(folder / "texts.h5", "w") as file:
        file["c"] = ["0-1", "0-2", "none"]


def make_basalt(path, command):
    """A file that Basalt wrote: instants, nulls, texts."""
    table = pa.table({
        "t": pa.array([1_700_000_000_000_000_000 + i * 10**9 for i in range(9000)], pa.timestamp("ns", "UTC")),
        "volt": pa.array([None if i % 10 == 0 else i / 4 for i in range(9000)], pa.float64()),
        "note": pa.array([f"n{i % 7}" for i in range(9000)]),
        "span": pa.array([i for i in range(9000)], pa.duration("ms")),
        "day": pa.array([i for i in range(9000)], pa.date32()),
        "raw": pa.array([bytes([i % 256]) for i in range(9000)], pa.binary()),
    })
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    subprocess.run([command, "record", str(path), "--instrument", "volts", "--quiet"],
                   input=sink.getvalue().to_pybytes(), check=True)


def make_wide(path):
    """A matrix of 1,000 x 3,000 numbers that no filter shrinks, in 4 x 30 chunks of 100,000 bytes: 12 MB."""
    with h5py.File(path, "w") as file:
        x = np.random.default_rng(7).integers(0, 2**31, (1000, 3000)).astype("<i4")
        x[:, 1234] = np.arange(1000)
        file.create_dataset("x", data=x, chunks=(250, 100), compression="gzip", compression_opts=1)


def make_large_chunk(path):
    """48 MB in one chunk, of which 50 KB are stored."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.zeros(6_000_000), chunks=(6_000_000,), compression="gzip")


def make_all(folder, command):
    folder = Path(folder)
    make_types(folder / "types.h5")
    make_names(folder / "names.h5")
    make_rows(folder)
    make_where(folder / "where.h5")
    make_pandas(folder / "pandas.h5")
    make_netcdf(folder / "climate.nc")
    make_anndata(folder)
    make_wide(folder / "wide.h5")
    make_large_chunk(folder / "one_chunk.h5")
    make_units(folder / "units.h5")
    make_categories(folder)
    make_basalt(folder / "basalt.h5", command)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    make_all(sys.argv[1], sys.argv[2])
