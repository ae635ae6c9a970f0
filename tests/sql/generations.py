#!/usr/bin/env python3
"""Files that anndata of each generation wrote, read by the DuckDB extension as the newest anndata reads them.

generations.py EXTENSION VERSIONS FOLDER     exit code 1 if a value differs, 77 if a version is not there

VERSIONS is tools/anndata-versions.txt, FOLDER where tools/setup put them: each in a folder of its name, what they need
in "base". The anndata of the Python that runs this writes too, as the newest."""
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).resolve().parent))
try:
    import anndata
    import differential
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def start_writers(versions, folder, out):
    """{version: the process that writes its files}; the newest is "newest"."""
    script = Path(__file__).with_name("write_anndata.py")
    writers = {}
    for version in versions + ["newest"]:
        (out / version).mkdir()
        environment, alone = dict(os.environ), []
        if version != "newest":  # -S: without the packages of the Python that runs this
            environment["PYTHONPATH"] = f"{folder / version}:{folder / 'base'}"
            alone = ["-S"]
        writers[version] = subprocess.Popen([sys.executable, *alone, script, out / version], env=environment,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return writers


# ---- uns ------------------------------------------------------------------------------------------

def flattened(value, key=""):
    """(key, value) of what is no mapping; frames and sparse matrices are one value."""
    if not isinstance(value, dict):
        yield key, value
        return
    for name, item in value.items():
        yield from flattened(item, f"{key}/{name}" if key else name)


def is_shown(text, expected):
    """Is `text` how anndata_scan_uns shows this? Arrays of one dimension: of texts and of numbers."""
    if isinstance(expected, pd.DataFrame) or sp.issparse(expected):
        return text is None
    if isinstance(expected, np.ndarray):
        if expected.dtype.names or expected.ndim != 1:
            return text is None
        found = text[1:-1].split(", ") if len(text) > 2 else []
        return len(found) == len(expected) and all(map(is_shown, found, expected))
    if isinstance(expected, (bool, np.bool_)):
        return text == str(bool(expected)).lower()
    if isinstance(expected, (int, float, np.number)):
        return type(expected)(text) == expected
    return text == str(expected)


def check_uns(con, path):
    adata = anndata.read_h5ad(path)
    found = {key: (shape, value) for key, shape, value in con.execute(
        f"SELECT key, shape, value FROM anndata_scan_uns({differential.quoted(path)})").fetchall()}
    expected = dict(flattened(adata.uns))
    differential.check(f"{path} uns", sorted(found) == sorted(expected), sorted(found), sorted(expected))
    for key in set(found) & set(expected):
        shape, value = found[key]
        lengths = list(np.shape(expected[key]))
        if isinstance(expected[key], pd.DataFrame):
            lengths[1] += 1  # the index is a column
        differential.check(f"{path} uns {key}", shape == lengths and
                           is_shown(value, expected[key]), found[key], expected[key])


def main():
    extension, versions_path, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    versions = [line.strip()[len("anndata=="):] for line in versions_path.read_text().splitlines()
                if line.startswith("anndata==")]
    missing = [version for version in versions + ["base"] if not (folder / version).is_dir()]
    if missing:
        print(f"skipped: there is no {', '.join(missing)} in {folder} (tools/setup test installs them)")
        return 77
    files = 0
    con = differential.connect(extension)
    with tempfile.TemporaryDirectory() as name:
        writers = start_writers(versions, folder, Path(name))
        for version, writer in writers.items():
            said, complaint = writer.communicate()
            said = (said.split() or [""])[-1]
            if writer.returncode or version not in (said, "newest"):
                print(f"anndata {version} did not write (it said it is {said or 'nothing'}): {complaint[-2000:]}")
                return 1
            for path in sorted((Path(name) / version).glob("*.h5ad")):
                differential.check_anndata(con, path)
                check_uns(con, path)
                files += 1
    print(f"FIGURE {differential.CHECKS} columns and matrices of {files} files of {len(versions) + 1} versions of "
          f"anndata compared, {len(differential.FAULTS)} differ")
    for line in differential.FAULTS[:40]:
        print(line)
    return 1 if differential.FAULTS or files < 11 * len(writers) else 0


if __name__ == "__main__":
    sys.exit(main())
