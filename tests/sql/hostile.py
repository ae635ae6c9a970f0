#!/usr/bin/env python3
"""Files that are made to do harm, and sound ones, through every function of the DuckDB extension: an answer or one
clear sentence, no crash, and no query that does not end.

hostile.py EXTENSION [FOLDER...]     each file below BASALT_CORPUS (default ../shared/corpus) and these folders;
                                     exit code 77 if there is none

Of a row's values as many are read as LIMIT gives; how much memory and time they may cost is what
tests/hostile/bound.c measures."""
import faulthandler
import os
import sys
from pathlib import Path

try:
    import duckdb
except ImportError:
    print("skipped: this Python has no duckdb package")
    sys.exit(77)

PATHS_MAX, ROWS_MAX = 40, 3000
HANG_S = 300  # for one file; the slowest takes a second
OF_A_FILE = [
    "hdf5_ls({file})", "basalt_stats({file})", "basalt_families({file})", "anndata_info({file})",
    "read_hdf5({file}, '/')", "anndata_scan_obs({file})", "anndata_scan_var({file})", "anndata_scan_x({file})",
    "anndata_scan_x({file}, format := 'long')", "anndata_scan_uns({file})", "anndata_scan_raw_x({file})",
    "anndata_scan_raw_var({file})", "hdf5_attach({file}, 'views')", "anndata_attach({file}, 'views')",
]
OF_A_PATH = [
    "hdf5_attributes({file}, {path})", "hdf5_chunks({file}, {path})", "read_hdf5({file}, {path})",
    "read_hdf5({file}, {path}, layout := 'wide')", "read_hdf5({file}, {path}, layout := 'plain', step := 3)",
]
OF_A_NAME = [f"anndata_scan_{what}({{file}}, {{name}})" for what in ("layers", "obsm", "varm", "obsp", "varp")]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Asker:
    def __init__(self, extension):
        self.con = duckdb.connect(config={"allow_unsigned_extensions": "true", "threads": "2"})
        self.con.execute(f"LOAD '{extension}'")
        self.answers = self.refusals = 0
        self.faults = []

    def ask(self, call):
        """Rows of what stands in a FROM clause; none if it is refused."""
        try:
            rows = self.con.execute(f"SELECT * FROM {call} LIMIT {ROWS_MAX}").fetchall()
        except (duckdb.InternalException, duckdb.FatalException) as error:
            self.faults.append(f"{call}: {error}")
        except duckdb.Error as error:
            self.refusals += 1
            if len(str(error).split("\n")[0]) < 30:
                self.faults.append(f"{call}: is this a sentence? {error}")
        except UnicodeDecodeError:
            self.faults.append(f"{call}: text that is not UTF-8")
        else:
            self.answers += 1
            return rows
        return []

    def ask_file(self, path):
        file = quoted(str(path))
        for call in OF_A_FILE:
            self.ask(call.format(file=file))
        paths = self.ask(f"(SELECT path, kind FROM hdf5_ls({file}) WHERE path IS NOT NULL)")
        for name, _ in paths[:PATHS_MAX] or [("/", "group"), ("/a", "dataset"), ("/Dataset1", "dataset")]:
            for call in OF_A_PATH:
                self.ask(call.format(file=file, path=quoted(name)))
        for name in {Path(name).name for name, _ in paths[:5]} - {""}:
            for call in OF_A_NAME:
                self.ask(call.format(file=file, name=quoted(name)))


def files_of(folders):
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.suffix not in (".md", ".txt") and path.name != "LICENSE":
                yield path


def main():
    asker, count = Asker(sys.argv[1]), 0
    for path in files_of([os.environ.get("BASALT_CORPUS", "../shared/corpus"), *sys.argv[2:]]):
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        asker.ask_file(path)
        count += 1
    faulthandler.cancel_dump_traceback_later()
    if not count:
        print("skipped: there is no corpus (set BASALT_CORPUS)")
        return 77
    if asker.con.execute("SELECT 42").fetchall() != [(42,)]:
        asker.faults.append("DuckDB does not answer any more")
    print(f"FIGURE {count} files, hostile ones too, through SQL: {asker.answers} answers, {asker.refusals} refusals, "
          f"{len(asker.faults)} faults")
    for line in asker.faults[:40]:
        print(line)
    return 1 if asker.faults else 0


if __name__ == "__main__":
    sys.exit(main())
