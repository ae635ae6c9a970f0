"""sql_test.py BASALT EXTENSION WITHOUT_SQL - `basalt sql` as its users see it. Python's csv and json read what it
prints, DuckDB's own package says what the answer is. Exit code 77: there is no libduckdb in build/node."""
import csv
import decimal
import glob
import io
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
import unittest

import duckdb
import h5py
import numpy as np
import pyarrow as pa

BASALT, EXTENSION, WITHOUT_SQL = (os.path.abspath(path) for path in sys.argv[1:4])
SANITIZED = len(sys.argv) > 4 and sys.argv[4] == "sanitized"
del sys.argv[1:]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARIES = glob.glob(f"{ROOT}/build/node/node_modules/@duckdb/node-bindings-*/libduckdb.so")
NOT_FOUND, BAD_ARGUMENT, IO_ERROR, UNSUPPORTED, CANCELLED, NO_SPACE, NOT_HDF5 = 11, 13, 15, 18, 22, 24, 28
NESTED = """SELECT i, [1, 1, i] AS list, [[i], NULL, []] AS lists, {'a': [i, NULL], 'b': {'c': 'x"'}} AS struct,
    MAP {'k': i, 'j"': NULL} AS map, union_value(num := i) AS tagged, [i, 2]::INT[2] AS array,
    [{'x': 1}, NULL] AS structs, CASE WHEN i = 1 THEN NULL ELSE {'z': [1.5]} END AS maybe FROM range(3) t(i)"""
PLAIN = """SELECT i, i::UTINYINT AS small, i / 4 AS ratio, (i / 3)::FLOAT AS single,
    170141183460469231731687303715884105727 - i AS huge, (i / 10)::DECIMAL(1, 1) AS tenth,
    (-i / 10)::DECIMAL(9, 3) AS decimal, i % 2 = 0 AS even, 'text ' || i AS text,
    CASE WHEN i = 2 THEN NULL ELSE 'a,"b"' || chr(10) || 'ä漢' END AS odd, '' AS nothing, ' x' AS blank,
    ['up', 'down'][1 + i % 2]::ENUM('up', 'down') AS enumeration, DATE '1969-12-30' + i::INT AS day,
    TIMESTAMP '2020-01-01 00:00:00' + INTERVAL (i) MINUTE AS moment, INTERVAL (i) DAY AS span,
    'ab\\x00'::BLOB AS bytes, uuid '00000000-0000-0000-0000-000000000001' AS id, NULL AS null_value
    FROM range(5) t(i)"""


def environment(**changes):
    result = {**os.environ, "BASALT_DUCKDB_LIBRARY": LIBRARIES[0], "BASALT_DUCKDB_EXTENSION": EXTENSION, "TZ": "UTC",
              "COLUMNS": None, **changes}
    return {name: value for name, value in result.items() if value is not None}


def run(*arguments, stdin=b"", expect=0, **changes):
    done = subprocess.run([BASALT, "sql", *map(str, arguments)], input=stdin, capture_output=True, timeout=300,
                          env=environment(**changes))
    if done.returncode != expect:
        raise AssertionError(f"{arguments} gave {done.returncode}, not {expect}: {done.stderr.decode()}")
    if expect:
        assert done.stderr.startswith(b"basalt"), done.stderr
    else:
        assert done.stderr == b"", done.stderr
    return done


def table(*arguments, **changes):
    return run(*arguments, **changes).stdout.decode().splitlines()


def rows_of_csv(*arguments):
    text = run(*arguments, "--format", "csv").stdout.decode()
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def refuse(word):
    raise ValueError(f"{word} is no JSON")


def rows_of_json(*arguments, **changes):
    text = run(*arguments, "--format", "json", **changes).stdout.decode()
    return json.loads(text, parse_constant=refuse, parse_float=decimal.Decimal)


def width(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def texts_by_duckdb(query):
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    names = [column[0] for column in con.execute(query).description]
    texts = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in names)
    return [names] + [["" if value is None else value for value in row]
                      for row in con.execute(f"SELECT {texts} FROM ({query})").fetchall()]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="basalt-sql-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def in_folder(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def make_numbers(self, name, rows=1000):
        path = self.in_folder(name)
        with h5py.File(path, "w") as file:
            group = file.create_group("numbers")
            group["i"] = np.arange(rows)
            group["x"] = np.arange(rows) / 7
            file["other"] = np.arange(5)
        return path


class Tables(Folder):
    def test_small(self):
        self.assertEqual(table("SELECT 7 AS a, 'x' AS name, NULL::DOUBLE AS b, [1, NULL] AS list"), [
            "┌───────┬─────────┬────────┬───────────┐",
            "│   a   │  name   │   b    │   list    │",
            "│ int32 │ varchar │ double │  int32[]  │",
            "├───────┼─────────┼────────┼───────────┤",
            "│     7 │ x       │   NULL │ [1, NULL] │",
            "└───────┴─────────┴────────┴───────────┘"])
        self.assertEqual(table("SELECT 7 AS a WHERE false")[-3:],
                         ["│  0 rows  │", "│ 1 column │", "└──────────┘"])

    def test_rows_in_the_middle_are_left_out(self):
        lines = table("SELECT i FROM range(100000) t(i)")
        values = [line.strip("│ ") for line in lines]
        self.assertEqual(values[4:24], [str(i) for i in range(20)])
        self.assertEqual(values[24:27], ["·"] * 3)
        self.assertEqual(values[27:47], [str(i) for i in range(99980, 100000)])
        self.assertIn("100000 rows (40 shown)", lines[-3])
        for count in (39, 40):
            lines = table(f"SELECT i FROM range({count}) t(i)")
            self.assertEqual([line.strip("│ ") for line in lines[4:4 + count]], [str(i) for i in range(count)])
            self.assertIn(f"{count} rows", lines[-3])
        lines = table("SELECT i FROM range(41) t(i)", "--rows", 5)
        self.assertEqual([line.strip("│ ") for line in lines[4:12]], ["0", "1", "2", "·", "·", "·", "39", "40"])

    def test_last_rows_of_many_chunks(self):
        lines = table("SELECT i FROM range(3000000) t(i) WHERE i % 1999 = 0")
        wanted = [i for i in range(0, 3000000, 1999)]
        self.assertEqual([int(line.strip("│ ")) for line in lines[27:47]], wanted[-20:])
        self.assertIn(f"{len(wanted)} rows (40 shown)", lines[-3])

    def test_width(self):
        columns = ", ".join(f"{i} AS column_{i}" for i in range(100))
        for limit in (20, 40, 80, 81, 82, 83, 120):
            lines = table(f"SELECT {columns}", "--width", limit)
            self.assertEqual(len({width(line) for line in lines}), 1)
            self.assertLessEqual(width(lines[0]), max(limit, 30))
            self.assertIn("column_0", lines[1])
        self.assertEqual(len(table(f"SELECT {columns}", "--width", 100000)[1].split("│")), 102)
        lines = table("SELECT repeat('long ', 100) AS t, 1 AS i", "--width", 50)
        self.assertEqual({width(line) for line in lines}, {50})
        self.assertIn("…", lines[4])
        self.assertEqual(width(table(f"SELECT {columns}", COLUMNS="60")[0]) <= 60, True)

    def test_widths_of_characters(self):
        lines = table("SELECT unnest(['漢字', 'e\u0301a', 'abc', 'ｗide', '👍', 'two' || chr(10) || 'lines']) AS 名前")
        self.assertEqual(len({width(line) for line in lines}), 1, "\n".join(lines))
        self.assertIn("two\\nlines", "\n".join(lines))
        lines = table("SELECT repeat('漢', 60) AS t", "--width", 41)
        self.assertEqual(len({width(line) for line in lines}), 1, "\n".join(lines))

    def test_types_have_their_names(self):
        lines = table("SELECT 1::UTINYINT a, 1::HUGEINT b, [1::BIGINT] c, 'B'::ENUM('A', 'B') d, {'X': 1} e",
                      "--width", 200)
        self.assertEqual([cell.strip() for cell in lines[2].strip("│").split("│")],
                         ["uint8", "int128", "int64[]", "enum('A', 'B')", "struct(x integer)"])

    def test_explain(self):
        self.assertIn("RANGE", run("EXPLAIN SELECT count(*) FROM range(10)").stdout.decode())


class Formats(Folder):
    def test_csv(self):
        self.assertEqual(rows_of_csv(PLAIN), texts_by_duckdb(PLAIN))
        self.assertEqual(rows_of_csv(NESTED), texts_by_duckdb(NESTED))
        self.assertEqual(run("SELECT NULL, '', 'a' AS a", "--format", "csv").stdout,
                         b"NULL,'',a\r\n,\"\",a\r\n")
        self.assertEqual(run("SELECT 1 AS a WHERE false", "--format", "csv").stdout, b"a\r\n")

    def test_json(self):
        found, wanted = rows_of_json(PLAIN), texts_by_duckdb(PLAIN)
        numbers = {"i", "small", "ratio", "single", "huge", "tenth", "decimal"}
        for row, texts in zip(found, wanted[1:], strict=True):
            for name, text in zip(wanted[0], texts, strict=True):
                if name in numbers:
                    self.assertEqual(row[name], decimal.Decimal(text), name)
                elif name == "even":
                    self.assertEqual(row[name], text == "true")
                else:
                    self.assertEqual(row[name], None if name == "null_value" or (name == "odd" and not text) else text)
        self.assertEqual(rows_of_json("SELECT 1 AS a WHERE false"), [])

    def test_json_of_nested_values(self):
        self.assertEqual(rows_of_json(NESTED), [
            {"i": i, "list": [1, 1, i], "lists": [[i], None, []], "struct": {"a": [i, None], "b": {"c": 'x"'}},
             "map": {"k": i, 'j"': None}, "tagged": {"num": i}, "array": [i, 2], "structs": [{"x": 1}, None],
             "maybe": None if i == 1 else {"z": [decimal.Decimal("1.5")]}} for i in range(3)])

    def test_json_is_strict(self):
        found = rows_of_json("""SELECT 'nan'::DOUBLE a, ['inf'::FLOAT, '-inf'::FLOAT] b, '\\xAA'::BLOB c, 1 AS a, 2 AS "q""t",
            '{"n": [1e5, NaN, -Infinity, true, null, "NaN \\" -Infinity"]}'::JSON AS j, row(1, 'x') AS r""")
        self.assertEqual(found, [{"a": "NaN", "b": ["Infinity", "-Infinity"], "c": "\\xAA", "a_1": 1, 'q"t': 2,
                                  "j": {"n": [decimal.Decimal("1e5"), "NaN", "-Infinity", True, None,
                                              'NaN " -Infinity']}, "r": {"v1": 1, "v2": "x"}}])

    def test_many_rows(self):
        query = "SELECT i, hash(i) AS h, CASE WHEN i % 5 > 0 THEN 'v' || i END AS t FROM range(300000) t(i)"
        self.assertEqual(rows_of_csv(query), texts_by_duckdb(query))
        wanted = duckdb.sql(query).fetchall()
        self.assertEqual([tuple(row.values()) for row in rows_of_json(query)], wanted)

    def test_several_statements(self):
        out = run("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2); FROM t; SELECT sum(a) AS s FROM t",
                  "--format", "csv").stdout
        self.assertEqual(out, b"a\r\n1\r\n2\r\ns\r\n3\r\n")
        self.assertEqual(rows_of_json("SET TimeZone = 'Asia/Tokyo'; SELECT TIMESTAMPTZ '2020-01-01 00:00:00+00' AS t"),
                         [{"t": "2020-01-01 09:00:00+09"}])

    def test_sql_from_elsewhere(self):
        self.assertEqual(run("-", "--format", "csv", stdin=b"SELECT 1 AS a -- one\n").stdout, b"a\r\n1\r\n")
        path = self.in_folder("query.sql")
        with open(path, "w") as out:
            out.write("SELECT '" + "x" * 100000 + "' AS a")
        self.assertEqual(run("--file", path, "--format", "csv").stdout, b"a\r\n" + b"x" * 100000 + b"\r\n")
        run("--file", self.in_folder("missing.sql"), expect=NOT_FOUND)
        run("-", stdin=b"SELECT 1\0", expect=BAD_ARGUMENT)


class Arrow(Folder):
    def read(self, *arguments):
        with pa.ipc.open_stream(run(*arguments, "--format", "arrow").stdout) as reader:
            found = reader.read_all()
        found.validate(full=True)
        return found

    def test_values_of_every_type(self):
        plain = PLAIN.replace("170141183460469231731687303715884105727 - i AS huge,", "i::HUGEINT AS huge,")
        for query in (plain, NESTED):
            found, wanted = self.read(query), duckdb.sql(query).arrow()
            wanted = wanted.read_all() if hasattr(wanted, "read_all") else wanted
            self.assertEqual(found.column_names, wanted.column_names)
            for name in found.column_names:
                if name != "null_value":  # an INTEGER to the C API
                    self.assertEqual(str(found[name].type), str(wanted[name].type))
                self.assertEqual(found[name].to_pylist(), wanted[name].to_pylist(), name)
        enumeration = self.read(PLAIN.replace("170141183460469231731687303715884105727 - i AS huge,", ""))["enumeration"]
        self.assertTrue(pa.types.is_dictionary(enumeration.type))

    def test_many_rows_and_none(self):
        query = """SELECT i, CASE WHEN i % 3 > 0 THEN ['a', 'b', 'c'][1 + i % 3]::ENUM('a', 'b', 'c') END AS e,
            CASE WHEN i % 7 > 0 THEN [i, NULL] END AS list FROM range({}) t(i)"""
        found = self.read(query.format(200_000))
        self.assertEqual(found["i"].to_pylist(), list(range(200_000)))
        self.assertEqual(found["list"].to_pylist(), [[i, None] if i % 7 else None for i in range(200_000)])
        self.assertEqual(found["e"].to_pylist(), [(None, "b", "c")[i % 3] for i in range(200_000)])
        self.assertEqual(self.read(query.format(0)).num_rows, 0)

    def test_one_result(self):
        self.assertEqual(self.read("CREATE TABLE t AS SELECT 1 AS a; FROM t")["a"].to_pylist(), [1])
        done = run("SELECT 1; SELECT 2", "--format", "arrow", expect=UNSUPPORTED)
        self.assertEqual(done.stdout, b"")


class Files(Folder):
    def test_one_file_is_searched(self):
        path = self.make_numbers("run.1.h5")
        self.assertEqual(run("SELECT count(*), sum(i) FROM numbers", path, "--format", "csv").stdout.split()[1],
                         b"1000,499500")
        self.assertEqual(run("SELECT max(x) > 142 AS y FROM run_1.numbers", path, "--format", "csv").stdout,
                         b"y\r\ntrue\r\n")
        self.assertEqual(rows_of_csv(f"SELECT count(*) AS n FROM read_hdf5('{path}', '/other')"), [["n"], ["5"]])

    def test_files_of_one_name(self):
        paths = [self.make_numbers("a/x.h5", 3), self.make_numbers("b/x.h5", 4), self.make_numbers("main.h5", 5),
                 self.make_numbers("it's 1.h5", 6), self.make_numbers("7.h5", 7)]
        found = rows_of_json("""SELECT (SELECT count(*) FROM x.numbers) a, (SELECT count(*) FROM x_1.numbers) b,
            (SELECT count(*) FROM main_1.numbers) c, (SELECT count(*) FROM it_s_1.numbers) d,
            (SELECT count(*) FROM _7.numbers) e""", *paths)
        self.assertEqual(found, [{"a": 3, "b": 4, "c": 5, "d": 6, "e": 7}])

    def test_anndata(self):
        import anndata
        import pandas as pd
        path = self.in_folder("cells.h5ad")
        anndata.AnnData(np.arange(6, dtype="f4").reshape(3, 2), obs=pd.DataFrame(
            {"cluster": pd.Categorical(["a", "b", "a"])}, index=["c0", "c1", "c2"])).write_h5ad(path)
        self.assertEqual(rows_of_csv("SELECT cluster, count(*) AS n FROM obs GROUP BY ALL ORDER BY ALL", path),
                         [["cluster", "n"], ["a", "2"], ["b", "1"]])
        self.assertEqual(rows_of_csv("SELECT sum(value) AS s FROM X_long", path), [["s"], ["15.0"]])

    def test_files_that_are_none(self):
        text = self.in_folder("text.h5")
        with open(text, "w") as out:
            out.write("this is not HDF5\n" * 100)
        self.assertIn(b"text.h5", run("SELECT 1", text, expect=NOT_HDF5).stderr)
        self.assertIn(b"missing.h5", run("SELECT 1", self.in_folder("missing.h5"), expect=NOT_FOUND).stderr)


class Failures(Folder):
    def test_bad_sql(self):
        for sql, words in (("SELEC 1", b"Parser Error"), ("SELECT 1; SELEC 2", b"Parser Error"),
                           ("SELECT nothing", b"Binder Error"), ("FROM nothing", b"Catalog Error"),
                           ("SELECT error('on purpose')", b"on purpose"), ("SELECT 'x'::INT", b"Conversion Error"),
                           ("SELECT $1", b"parameter"), ("", b"no statement"), (" -- nothing", b"no statement"),
                           ("FROM basalt_result_rows()", b"for the command alone")):
            for form in ("box", "csv", "json", "arrow"):
                done = run(sql, "--format", form, expect=BAD_ARGUMENT)
                self.assertEqual(done.stdout, b"")
                self.assertIn(words, done.stderr)

    def test_failure_within_rows(self):
        sql = "SELECT CASE WHEN i = {} THEN error('on purpose') ELSE i END AS a FROM range(3000000) t(i)"
        for form in ("box", "csv", "json"):
            self.assertEqual(run(sql.format(1000), "--format", form, expect=BAD_ARGUMENT).stdout, b"")
        self.assertEqual(run(sql.format(2900000), expect=BAD_ARGUMENT).stdout, b"")
        part = run(sql.format(2900000), "--format", "json", expect=BAD_ARGUMENT).stdout
        self.assertRaises(json.JSONDecodeError, json.loads, part)

    def test_lines_that_are_not_understood(self):
        for line in ([], ["SELECT 1", "--format", "xml"], ["SELECT 1", "--frob"], ["SELECT 1", "--rows", "x"]):
            run(*line, expect=2)

    def test_memory_limit(self):
        sql = "SET memory_limit = '20MB'; SET temp_directory = ''; SELECT list(i) AS l FROM range(50000000) t(i)"
        self.assertIn(b"Out of Memory", run(sql, expect=14).stderr)

    def test_library(self):
        done = run("SELECT 1", expect=NOT_FOUND, BASALT_DUCKDB_LIBRARY=None)
        self.assertIn(b"npm install @duckdb/node-api", done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)
        run("SELECT 1", "--duckdb", self.in_folder("missing.so"), expect=NOT_FOUND)
        run("SELECT 1", "--duckdb", LIBRARIES[0], BASALT_DUCKDB_LIBRARY=self.in_folder("missing.so"))
        folder = os.path.dirname(LIBRARIES[0])
        run("SELECT 1", BASALT_DUCKDB_LIBRARY=None, LD_LIBRARY_PATH=folder)
        self.assertIn(b"is not DuckDB's", run("SELECT 1", "--duckdb", "libm.so.6", expect=UNSUPPORTED).stderr)

    def make_library(self, version):
        source, library = self.in_folder("fake.c"), self.in_folder(f"fake{version}.so")
        with open(source, "w") as out:
            out.write(f'const char *duckdb_library_version(void);\n'
                      f'const char *duckdb_library_version(void) {{ return "{version}"; }}\n')
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        return library

    def test_old_library(self):
        for version in ("v1.2.2", "v0.10.0", "new"):
            done = run("SELECT 1", "--duckdb", self.make_library(version), expect=UNSUPPORTED)
            self.assertIn(b"needs 1.3 or newer", done.stderr)
        done = run("SELECT 1", "--duckdb", self.make_library("v1.3.0"), expect=UNSUPPORTED)
        self.assertIn(b"has no function duckdb_", done.stderr)

    def test_extension(self):
        run("SELECT 1", "--extension", self.in_folder("missing"), expect=NOT_FOUND)
        run("SELECT 1", BASALT_DUCKDB_EXTENSION=None)  # beside the command, where it was built
        broken = self.in_folder("broken.duckdb_extension")
        with open(broken, "wb") as out:
            out.write(b"no extension" * 1000)
        self.assertNotEqual(subprocess.run([BASALT, "sql", "SELECT 1", "--extension", broken], env=environment(),
                                           capture_output=True).returncode, 0)

    def test_built_without_duckdb(self):
        for line in (["SELECT 1"], ["SELECT 1", "--format", "csv"], []):
            done = subprocess.run([WITHOUT_SQL, "sql", *line], capture_output=True)
            self.assertEqual((done.returncode, done.stdout), (UNSUPPORTED, b""))
            self.assertIn(b"built without sql", done.stderr)
        self.assertEqual(subprocess.run([WITHOUT_SQL, "sql", "--help"], capture_output=True).returncode, 0)


class Streams(Folder):
    """Results that are longer than memory, or whose reader or user goes away."""
    ENDLESS = "SELECT count(*) AS n FROM range(100000000000000) t(i) WHERE i % 7 = 3"

    def begin(self, *arguments, **how):
        return subprocess.Popen([BASALT, "sql", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=environment(), **how)

    def peak_kib(self, *arguments):
        """By a small process between: a child begins with the peak of what it was forked from."""
        measure = """import os, resource, subprocess, sys
with open(os.devnull, "w") as out:
    subprocess.run(sys.argv[1:], stdout=out, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""
        return int(subprocess.run([sys.executable, "-c", measure, BASALT, "sql", *map(str, arguments)],
                                  env=environment(), capture_output=True, check=True).stdout)

    @unittest.skipIf(SANITIZED, "what is measured is the sanitizer's memory")
    def test_memory_does_not_grow(self):
        sql = "SELECT i, i / 3 AS x, 'text of row ' || i AS t FROM range({}) t(i)"
        for form, rows in (("csv", 10_000_000), ("json", 3_000_000), ("arrow", 3_000_000)):
            few, many = (self.peak_kib(sql.format(count), "--format", form) for count in (300_000, rows))
            print(f"\nFIGURE basalt sql --format {form}, peak: {rows} rows {many >> 10} MiB, 300000 rows {few >> 10} MiB")
            self.assertLess(many, few + 40 * 1024)
        few, many = (self.peak_kib(sql.format(rows)) for rows in (300_000, 30_000_000))
        self.assertLess(many, few + 40 * 1024)

    def test_interrupt(self):
        path = self.make_numbers("x.h5", 1_000_000)
        joined = f"SELECT count(*) FROM read_hdf5('{path}', '/numbers') a, read_hdf5('{path}', '/numbers') b WHERE a.x * b.x = 1"
        for number in (signal.SIGINT, signal.SIGTERM):
            for sql in (self.ENDLESS, joined):
                child = self.begin(sql)
                time.sleep(1)
                self.assertIsNone(child.poll())
                child.send_signal(number)
                out, error = child.communicate(timeout=60)
                self.assertEqual((child.returncode, out, error), (CANCELLED, b"", b"basalt: interrupted\n"))

    def test_interrupt_while_rows_are_printed(self):
        child = self.begin("FROM range(1000000000000)", "--format", "json")
        part = child.stdout.read(10_000_000)
        child.send_signal(signal.SIGINT)
        rest, error = child.communicate(timeout=60)
        self.assertEqual((child.returncode, error), (CANCELLED, b"basalt: interrupted\n"))
        self.assertRaises(json.JSONDecodeError, json.loads, part + rest)

    def test_reader_goes_away(self):
        for form in ("csv", "json"):
            child = self.begin("FROM range(1000000000000)", "--format", form)
            child.stdout.read(10)
            child.stdout.close()
            self.assertEqual(child.stderr.read(), b"")
            child.stderr.close()
            self.assertEqual(child.wait(60), IO_ERROR)

    def test_full_disk(self):
        for sql in ("SELECT 1", "FROM range(10000000)"):
            with open("/dev/full", "w") as full:
                done = subprocess.run([BASALT, "sql", sql, "--format", "csv"], stdout=full, stderr=subprocess.PIPE,
                                      env=environment())
            self.assertEqual(done.returncode, NO_SPACE)
            self.assertIn(b"standard output could not be written", done.stderr)


class Terminals(Folder):
    def on_terminal(self, *arguments, expect=0, stop_after=None, stop_in=None):
        """What stdout and stderr show on a terminal."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen([BASALT, "sql", *map(str, arguments)], stdout=theirs, stderr=theirs, env=environment())
        os.close(theirs)
        shown = b""
        if stop_in:
            time.sleep(stop_in)
            child.send_signal(signal.SIGINT)
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
            if stop_after and stop_after in shown:
                child.send_signal(signal.SIGINT)
                stop_after = None
        os.close(ours)
        self.assertEqual(child.wait(60), expect)
        return shown.replace(b"\r\n", b"\n").decode()

    def test_progress(self):
        shown = self.on_terminal(Streams.ENDLESS, expect=CANCELLED, stop_after=b"2 s")
        self.assertIn("\r\x1b[Ksql: ", shown)
        self.assertTrue(shown.rstrip("\n").endswith("\r\x1b[Kbasalt: interrupted"), repr(shown[-100:]))

    def test_quiet(self):
        self.assertNotIn("\x1b", self.on_terminal(Streams.ENDLESS, "--quiet", expect=CANCELLED, stop_in=3))

    def test_arrow_is_not_for_terminals(self):
        self.assertIn("this is a terminal", self.on_terminal("SELECT 1", "--format", "arrow", expect=2))


if __name__ == "__main__":
    if not LIBRARIES:
        print("skipped: there is no libduckdb in build/node (tools/setup test fetches it)")
        sys.exit(77)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unittest.main()
