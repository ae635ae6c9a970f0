"""Questions about an atlas of cells, each by a process of its own from a cold start: SQL over the file beside anndata and
scipy in memory."""
import json
import math
import os
import statistics
import subprocess
import sys
import time

import h5py
import numpy as np

from make_atlas import make

GENE = "CD3D"
QUESTIONS = {"mean": "mean a gene", "count": "cells a gene", "clusters": "mean a gene and cell type, joined with obs"}


class Atlas:
    def __init__(self, bench, quick: bool) -> None:
        self.bench = bench
        self.extension = os.path.join(os.path.dirname(os.path.abspath(bench.programs)), "basalt.duckdb_extension")
        folder = os.path.join(bench.folder, "atlas")
        os.makedirs(folder)
        self.cells = 20_000 if quick else 200_000
        self.wide_cells = 1_000 if quick else 4_000
        self.sparse, self.wide = os.path.join(folder, "atlas.h5ad"), os.path.join(folder, "wide.h5ad")
        make(self.sparse, self.cells, 2_000)
        make(self.wide, self.wide_cells, 30_000, dense=True)

    def once(self, side: str, question: str, path: str) -> dict:
        """Seconds from start to end, and what the process said."""
        script = os.path.join(self.bench.here, "atlas_side.py")
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-W", "ignore", script, side, question, path, self.extension],
                              stdout=subprocess.PIPE, check=True)
        return {"seconds": time.perf_counter() - began, **json.loads(done.stdout)}

    def both(self, question: str, path: str) -> tuple[dict, dict]:
        """Medians of both sides, in turn; one turn more warms the page cache. They must answer alike."""
        runs = {"sql": [], "anndata": []}
        for turn in range(self.bench.rounds + 1):
            for side, taken in runs.items():
                figures = self.once(side, question, path)
                if turn:
                    taken.append(figures)
        ours, peer = ({key: statistics.median(run[key] for run in taken) for key in taken[0]} for taken in runs.values())
        if not math.isclose(ours["answer"], peer["answer"], rel_tol=1e-3):  # anndata's side adds up float32
            sys.exit(f"{question}: SQL says {ours['answer']}, anndata {peer['answer']}")
        return ours, peer

    def questions(self) -> None:
        for question, label in QUESTIONS.items():
            ours, peer = self.both(question, self.sparse)
            faster, lighter = peer["seconds"] / ours["seconds"], ours["mb"] / peer["mb"]
            met = faster >= 3 and lighter <= 0.1
            self.bench.row(f"atlas of {self.cells:,} cells x 2,000 genes, CSR, cold start: {label}",
                           f"{ours['seconds']:.2f} / {peer['seconds']:.2f} s = {faster:.2f} x anndata, "
                           f"{ours['mb']:.0f} / {peer['mb']:.0f} MB = {lighter:.0%}",
                           ">= 3 x, <= 10% of memory" if question == "mean" else "", met or question != "mean",
                           {"ours": ours, "anndata": peer})

    def gene_chunks(self) -> tuple[int, int]:
        """Bytes of the chunks of X that the gene is in, and of all of X."""
        with h5py.File(self.wide) as file:
            x, names = file["X"], file["var/_index"].asstr()[:]
            width, at = x.chunks[1], int(np.flatnonzero(names == GENE)[0])
            chunks = [x.id.get_chunk_info(number) for number in range(x.id.get_num_chunks())]
            mine = sum(chunk.size for chunk in chunks if chunk.chunk_offset[1] == at // width * width)
            return mine, x.id.get_storage_size()

    def gene(self) -> None:
        ours, peer = self.both("gene", self.wide)
        mine, whole = self.gene_chunks()
        # Beside the chunks: the names of 30,000 genes, which are the columns, and where the chunks are. Nothing else of
        # X was read if that is less than the rest of the file.
        beside, rest = ours["bytes"] - mine, os.path.getsize(self.wide) - whole
        self.bench.row(f"one gene of {self.wide_cells:,} cells x 30,000 genes, dense: bytes read",
                       f"{mine / 1e3:.0f} KB of X's {whole / 1e6:.0f} MB, {beside / 1e3:.0f} KB of names and index; "
                       f"anndata backed {peer['bytes'] / 1e3:.0f} KB", "only its chunks", 0 <= beside <= rest,
                       {"ours": ours, "anndata": peer})


def atlas(bench, quick: bool) -> None:
    runs = Atlas(bench, quick)
    runs.questions()
    runs.gene()
