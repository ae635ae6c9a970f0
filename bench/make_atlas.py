"""make_atlas.py OUT.h5ad [--cells N] [--genes N] [--dense]: an atlas-like AnnData file, grown out of a real one.

Seed: 700 cells by 765 genes of 10x Genomics' peripheral blood cells (68 K PBMCs), which the PyPI package scanpy carries.
Its values are log1p of counts scaled to a cell, so the counts come back exactly. A cell of the atlas is a seed cell drawn
at random, its molecules drawn anew (Poisson around the counts); genes beyond the seed's are its genes again at a lower
expression. X is CSR, or dense, of float32 counts with gzip, in the chunks that h5py chooses; obs has the seed's cell types and clusters. The same each time it is made.
"""
import argparse
import io
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

SCANPY = "scanpy==1.11.5"
SEED_FILE = "scanpy/datasets/10x_pbmc68k_reduced.h5ad"
BLOCK = 5_000  # cells made at a time


def seed_atlas() -> anndata.AnnData:
    """Out of the package as the index gives it; nothing of it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--only-binary", ":all:", SCANPY, "-d", folder], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("scanpy-*.whl"))) as wheel:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it is of an old generation, and so are its warnings
                return anndata.read_h5ad(io.BytesIO(wheel.read(SEED_FILE)))


def counts_of(seed: anndata.AnnData) -> np.ndarray:
    """The least value of a cell is one molecule."""
    scaled = np.expm1(seed.raw.X.toarray())
    one = np.where(scaled > 0, scaled, np.inf).min(axis=1, keepdims=True)
    return np.rint(scaled / one)


def make(path: str, cells: int, genes: int, dense: bool = False) -> None:
    rng = np.random.default_rng(68_000)
    seed = seed_atlas()
    counts = counts_of(seed)
    copy, template = np.divmod(np.arange(genes), counts.shape[1])
    profile = counts[:, template] / (1 + 2 * copy)
    drawn = rng.integers(0, len(counts), cells)
    blocks = [sp.csr_matrix(rng.poisson(profile[drawn[first:first + BLOCK]]).astype(np.float32))
              for first in range(0, cells, BLOCK)]
    obs = seed.obs[["bulk_labels", "louvain", "phase", "percent_mito"]].iloc[drawn].copy()
    obs.index = [f"cell-{number:06d}" for number in range(cells)]
    symbols = [name if not again else f"{name}.{again}" for again, name in zip(copy, seed.raw.var_names[template])]
    counts = sp.vstack(blocks, format="csr")
    atlas = anndata.AnnData(counts.toarray() if dense else counts, obs, pd.DataFrame(index=symbols))
    atlas.write_h5ad(path, compression="gzip", compression_opts=4)
    print(f"{path}: {cells:,} cells x {genes:,} genes, {counts.nnz:,} counts, "
          f"{Path(path).stat().st_size / 1e6:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--dense", action="store_true")
    arguments = parser.parse_args()
    make(arguments.path, arguments.cells, arguments.genes, arguments.dense)
