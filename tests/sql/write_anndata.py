"""Writes what an AnnData can hold by the anndata that is found: write_anndata.py FOLDER

Run by generations.py with anndata of one version after the other, and with what that version can write."""
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

VERSION = tuple(int(part) for part in anndata.__version__.split(".")[:2])
CELLS, GENES = 60, 25


def observations(rng):
    frame = pd.DataFrame({
        "cluster": pd.Categorical(rng.choice(["T", "B", "NK \u03b1"], CELLS)),
        "stage": pd.Categorical(rng.choice(["lo", "hi"], CELLS), ["lo", "mid", "hi"], ordered=True),
        "batch": pd.Categorical(rng.choice([3, 1, 2], CELLS)),
        "name": [f"cell {i} \u00e4" for i in range(CELLS)],
        "total": rng.random(CELLS),
        "share": rng.random(CELLS).astype("f4"),
        "count": rng.integers(-5, 5, CELLS),
        "small": rng.integers(0, 200, CELLS).astype("u1"),
        "flag": rng.random(CELLS) > 0.5,
    }, index=[f"AAC{i:03}-1" for i in range(CELLS)])
    frame.loc[frame.index[4], "cluster"] = np.nan
    frame.loc[frame.index[5], "total"] = np.nan
    if VERSION >= (0, 8):
        frame["maybe"] = pd.array([None if i % 7 == 0 else i for i in range(CELLS)], "Int16")
        frame["sure"] = pd.array([None if i % 5 == 0 else i % 2 == 0 for i in range(CELLS)], "boolean")
    if VERSION >= (0, 11):
        anndata.settings.allow_write_nullable_strings = True
        frame["words"] = pd.array([None if i % 3 == 0 else f"w{i}" for i in range(CELLS)], "string")
    frame.index.name = "barcode"
    return frame


def unstructured(rng):
    uns = {
        "title": "an experiment \u00e9", "count": 7, "rate": 0.25, "done": True,
        "numbers": np.arange(4), "colors": np.array(["#ff0000", "#00ff00"], object),
        "nested": {"method": "umap", "deep": {"k": 5, "array": rng.random((2, 3))}},
        "frame": pd.DataFrame({"gene": ["a", "b"], "score": [0.5, 2]}),
        "matrix": sp.random(4, 5, 0.4, "csr", random_state=3),
        "ranks": np.rec.fromarrays([np.array(["g1", "g2"]), np.array([0.5, 1.5])],
                                   dtype=[("names", "U5"), ("scores", "f4")]),
    }
    return uns


def make(form):
    rng = np.random.default_rng(5)
    counts = sp.random(CELLS, GENES, 0.2, "csr", "f4", np.random.RandomState(6))
    matrix = {"csr": counts, "csc": counts.tocsc(), "dense": counts.toarray(), "doubles": counts.toarray().astype("f8"),
              "integers": sp.csr_matrix((counts * 90).astype("i8"))}.get(form, counts)
    genes = pd.DataFrame({
        "symbol": [f"Gene{i % 24}" for i in range(GENES)], "length": rng.integers(100, 9000, GENES),
        "kind": pd.Categorical(rng.choice(["coding", "lnc"], GENES))}, index=[f"ENSG{i:05}" for i in range(GENES)])
    adata = anndata.AnnData(matrix, observations(rng), genes)
    adata.layers["log"] = sp.csr_matrix(counts.log1p())
    adata.layers["csc"] = sp.csc_matrix(counts, dtype="f8")
    adata.layers["dense"] = rng.integers(0, 9, (CELLS, GENES))
    adata.obsm["X_pca"] = rng.random((CELLS, 4))
    adata.obsm["sparse"] = sp.random(CELLS, 3, 0.3, "csr", random_state=1)
    adata.obsm["frame"] = pd.DataFrame({"u": rng.random(CELLS), "who": [f"p{i % 4}" for i in range(CELLS)]},
                                       index=adata.obs_names)
    adata.varm["load"] = rng.random((GENES, 2)).astype("f4")
    adata.obsp["near"] = sp.random(CELLS, CELLS, 0.05, "csr", random_state=2)
    adata.varp["dense"] = rng.random((GENES, GENES))
    adata.uns.update(unstructured(rng))
    if form != "unraw":
        adata.raw = anndata.AnnData(sp.csr_matrix(counts * 3), adata.obs[[]].copy(), genes[["symbol"]].copy())
    return adata


def make_backed(path):
    """A file that was opened again and changed."""
    make("unraw").write(path)  # anndata cannot write raw back
    adata = anndata.read_h5ad(path, backed="r+")
    adata.obs["later"] = np.arange(CELLS)
    adata.uns["nested"] = {"again": "yes"}
    adata.write()
    adata.file.close()


def main():
    folder = Path(sys.argv[1])
    for form in ("csr", "csc", "dense", "doubles", "integers", "unraw"):
        make(form).write(folder / f"{form}.h5ad")
    make("csr").write(folder / "gzip.h5ad", compression="gzip")
    make("dense").write(folder / "lzf.h5ad", compression="lzf")
    make("csr").write(folder / "as_dense.h5ad", as_dense=("X", "raw/X"))
    make_backed(folder / "backed.h5ad")
    if VERSION >= (0, 8):
        empty = anndata.AnnData(obs=observations(np.random.default_rng(1)), var=pd.DataFrame(index=["a", "b"]))
        empty.write(folder / "no_x.h5ad")
    view = make("csr")[10:30, ::2]
    view.copy().write(folder / "view.h5ad")
    print(anndata.__version__)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
