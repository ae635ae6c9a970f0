"""atlas_side.py sql|anndata QUESTION FILE EXTENSION: answers one question about an atlas, from a cold start, and prints a
checksum of the answer, so that the sides can be compared, the bytes it read and the most memory that it had; bench/atlas.py
takes the time."""
import json
import sys
from pathlib import Path

GENE = "CD3D"


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])  # rchar: what read calls gave, cached or not


def memory_peak_mb() -> float:
    """Of this program alone: ru_maxrss would begin with that of the process it was forked from."""
    line, = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def by_sql(question: str, path: str, extension: str) -> dict:
    import duckdb
    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    con.execute(f"LOAD '{extension}'")
    x, coo = (f"anndata_scan_x('{path}', format := '{format}')" for format in ("long", "coo"))
    obs, var = f"anndata_scan_obs('{path}')", f"anndata_scan_var('{path}')"
    ask = {
        "mean": f"SELECT sum(m) FROM (SELECT var, sum(value) / (SELECT count(*) FROM {obs}) AS m FROM {x} GROUP BY var)",
        "count": f"SELECT sum(n * n) FROM (SELECT var, count(*) AS n FROM {x} GROUP BY var)",
        "clusters": f"""SELECT sum(m * m) FROM (
            SELECT bulk_labels, v._index, sum(value) / any_value(n) AS m
            FROM {coo} JOIN {obs} USING (obs_idx) JOIN {var} v USING (var_idx)
            JOIN (SELECT bulk_labels, count(*) AS n FROM {obs} GROUP BY ALL) USING (bulk_labels)
            GROUP BY bulk_labels, v._index)""",
        "gene": f"SELECT sum(\"{GENE}\") FROM anndata_scan_x('{path}')"}[question]
    began = bytes_read()
    (answer,), = con.execute(ask).fetchall()
    return {"answer": float(answer), "bytes": bytes_read() - began}


def by_anndata(question: str, path: str) -> dict:
    import anndata
    import numpy as np
    began = bytes_read()
    if question == "gene":
        atlas = anndata.read_h5ad(path, backed="r")
        answer = np.asarray(atlas[:, [GENE]].X).sum()
    else:
        atlas = anndata.read_h5ad(path)
        if question == "mean":
            answer = atlas.X.mean(axis=0).sum()
        elif question == "count":
            answer = (atlas.X.getnnz(axis=0).astype(float) ** 2).sum()
        else:
            labels = atlas.obs["bulk_labels"]
            answer = sum((np.asarray(atlas.X[(labels == label).to_numpy()].mean(axis=0)) ** 2).sum()
                         for label in labels.cat.categories)
    return {"answer": float(answer), "bytes": bytes_read() - began}


if __name__ == "__main__":
    side, question, path, extension = sys.argv[1:]
    done = by_sql(question, path, extension) if side == "sql" else by_anndata(question, path)
    print(json.dumps(done | {"mb": memory_peak_mb()}))
