"""cli_test.py BASALT - the command as its users see it: output, exit codes, signals. What it writes is
read by h5py, pandas, numpy and pyarrow, and what they write is read by it."""
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa

BASALT = os.path.abspath(sys.argv.pop(1))
NOT_FOUND, BUSY, BAD_ARGUMENT, CORRUPT, EXISTS, UNSUPPORTED = 11, 12, 13, 16, 17, 18
READ_ONLY, NO_SPACE, MISMATCH, TOO_LARGE, NOT_HDF5 = 23, 24, 25, 27, 28
NOBODY = 65534


def run(*arguments, stdin=b"", expect=0):
    done = subprocess.run([BASALT, *map(str, arguments)], input=stdin, capture_output=True, timeout=120)
    if expect is not None and done.returncode != expect:
        raise AssertionError(f"{arguments} gave {done.returncode}, not {expect}: {done.stderr.decode()}")
    if expect not in (0, 1, None):
        assert done.stderr.count(b"\n") >= 1, f"{arguments} failed without a word"
    return done


def text_of(attribute):
    return attribute.decode() if isinstance(attribute, bytes) else attribute


def stream(table, batch_rows=None):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=batch_rows):
            writer.write(batch)
    return sink.getvalue()


def sample(rows=1000):
    numbers = np.arange(rows)
    table = pa.table({
        "time": pa.array(numbers * 1_000_001, pa.timestamp("us", "UTC")),
        "third": pa.array([None if i % 7 == 3 else i / 3 for i in range(rows)], pa.float64()),
        "single": pa.array((numbers / 7).astype("f4")),
        "count": pa.array(numbers.astype("u2")),
        "odd": pa.array(numbers % 2 == 1),
        "label": pa.array([("", "plain", 'a,"b"', "two\nlines", " blank ")[i % 5] + f"{i}" * (i % 3)
                           for i in range(rows)]),
        "day": pa.array((numbers - 500).astype("i4"), pa.date32()),
    })
    # pyarrow calls every field nullable; a nullable integer is a group {values, mask} in the file.
    fields = [field.with_nullable(field.name in ("third", "day")) for field in table.schema]
    return table.cast(pa.schema(fields))


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="basalt-cli-")
        self.path = os.path.join(self.folder.name, "x.h5")
        self.addCleanup(self.folder.cleanup)

    def record(self, table, instrument="probe"):
        return run("record", self.path, "--instrument", instrument, stdin=stream(table, 100))

    def in_folder(self, name):
        return os.path.join(self.folder.name, name)


class Lines(Command):
    COMMANDS = ["demo", "record", "ls", "cat", "stat", "verify", "recover", "backup", "copy", "sql"]

    def test_help_has_an_example(self):
        self.assertIn(b"basalt COMMAND", run("--help").stdout)
        for command in self.COMMANDS:
            text = run(command, "--help").stdout.decode()
            self.assertIn(f"usage: basalt {command}", text)
            self.assertIn("example: ", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_lines_that_are_not_understood(self):
        for line in (["nonsense"], [], ["cat"], ["cat", self.path], ["ls", "--frob", self.path],
                     ["cat", self.path, "/a", "--rows", "5"], ["cat", self.path, "/a", "--rows", "7:3"],
                     ["cat", self.path, "/a", "--format", "xml"], ["record"], ["stat", "a", "b"],
                     ["record", self.path, "noequals"], ["record", self.path, "--compression", "12"],
                     ["record", self.path, "--durability", "eternal"], ["ls", self.path, "--depth", "x"]):
            run(*line, expect=2)
        self.assertFalse(os.path.exists(self.path))

    def test_version(self):
        self.assertRegex(run("--version").stdout, rb"^basalt \d+\.\d+\.\d+\n$")

    def test_bad_files(self):
        text = self.in_folder("text.h5")
        with open(text, "w") as out:
            out.write("this is not HDF5\n" * 100)
        for command in (["ls", text], ["cat", text, "/a"], ["stat", text], ["verify", text]):
            run(*command, expect=NOT_HDF5)
        for command in ("ls", "stat", "verify", "recover"):
            run(command, self.in_folder("missing.h5"), expect=NOT_FOUND)
        for line in (["ls"], ["stat"], ["verify"], ["recover"], ["cat", "a"], ["cat", "a", "--fresh"],
                     ["backup", self.path]):
            done = run(line[0], self.folder.name, *line[1:], expect=BAD_ARGUMENT)
            self.assertIn(f"{os.path.realpath(self.folder.name)} is a directory", done.stderr.decode())

    def test_foreign_file(self):
        with h5py.File(self.path, "w") as file:
            file["a"] = np.arange(5)
        run("record", self.path, "--resume", stdin=stream(sample(5)), expect=UNSUPPORTED)
        self.assertIn(b"/a", run("ls", self.path).stdout)

    def test_stat_of_any_file(self):
        with h5py.File(self.path, "w") as file:
            file.attrs["by"] = "h5py"
            file["group/a"] = np.arange(5)
            file["b"] = h5py.SoftLink("/group/a")
            for name in "cd":
                file.create_dataset(name, data=np.zeros(1000, "<f8"), chunks=(100,), shuffle=True, compression="gzip")
            stored = sum(file[name].id.get_storage_size() for name in "cd")
        found = json.loads(run("stat", self.path, "--json").stdout)
        self.assertEqual(found["layouts"], {
            "chunked": {"datasets": 2, "stored_bytes": stored, "unpacked_bytes": 16000},
            "contiguous": {"datasets": 1, "stored_bytes": 40, "unpacked_bytes": 40}})
        self.assertEqual(found["filters"]["shuffle, deflate 4"]["datasets"], 2)
        self.assertEqual([found[name] for name in (
            "state", "groups", "datasets", "links", "attributes", "file_bytes", "stored_bytes")], [
            "foreign", 2, 3, 1, 1, os.path.getsize(self.path), stored + 40])
        text = run("stat", self.path).stdout.decode()
        self.assertIn("2 groups, 3 datasets, 1 soft or external link, 1 attribute\n", text)
        self.assertRegex(text, r"chunked +2 ")
        self.assertRegex(text, r"shuffle, deflate 4 +2 ")

    def test_a_large_chunk_of_few_bytes_needs_a_word(self):
        with h5py.File(self.path, "w") as file:
            file.create_dataset("half", data=np.zeros(5_000_000), chunks=(5_000_000,), compression="gzip")
            file.create_dataset("whole", data=np.zeros(9_000_000), chunks=(9_000_000,), compression="gzip")
        for name in ("half", "whole"):
            refused = run("cat", self.path, name, "--rows", "0:2", expect=TOO_LARGE).stderr
            self.assertIn(b"basalt cat --chunk-memory", refused)
            allowed = run("cat", self.path, name, "--rows", "4999998:5000000", "--chunk-memory", "200").stdout
            self.assertEqual(allowed.decode(), f"{name}\r\n0\r\n0\r\n")
        other = self.path + ".copy"
        run("copy", self.path, other, "--chunks", "1Mi", expect=TOO_LARGE)
        self.assertFalse(os.path.exists(other))
        run("copy", self.path, other, "--chunks", "1Mi", "--chunk-memory", "200", "--quiet")
        with h5py.File(other) as file:
            self.assertEqual(file["whole"].shape, (9_000_000,))
            self.assertLess(file["whole"].chunks[0], 200_000)
            self.assertFalse(file["whole"][:].any())


class Record(Command):
    def test_rows_are_what_h5py_reads(self):
        table = sample()
        self.assertIn(b"1,000 rows in 10 batches", self.record(table).stdout)
        self.assertEqual(os.listdir(self.folder.name), ["x.h5"])
        with h5py.File(self.path) as file:
            group = file["probe"]
            self.assertEqual(text_of(group.attrs["instrument_id"]), "probe")
            np.testing.assert_array_equal(group["time"][:], np.arange(1000) * 1_000_001)
            third = group["third"][:]
            self.assertTrue(np.isnan(third[3]))
            self.assertEqual(third[1], 1 / 3)
            labels = [text.decode() for text in group["label"][:]]
            self.assertEqual(labels, table["label"].to_pylist())

    def test_never_overwrites(self):
        self.record(sample(10))
        run("record", self.path, stdin=stream(sample(10)), expect=EXISTS)
        run("record", self.path, "--resume", "--instrument", "probe", stdin=stream(sample(7)))
        other = pa.table({"time": pa.array([1.5])})
        run("record", self.path, "--resume", "--instrument", "probe", stdin=stream(other), expect=MISMATCH)
        with h5py.File(self.path) as file:
            self.assertEqual(len(file["probe/time"]), 17)

    def test_several_streams_from_fifos_and_files(self):
        fifos = {name: self.in_folder(name) for name in ("a", "b")}
        for path in fifos.values():
            os.mkfifo(path)
        with open(self.in_folder("c"), "wb") as out:
            out.write(stream(sample(300)))
        process = subprocess.Popen([BASALT, "record", self.path, "--json", "c=" + self.in_folder("c")]
                                   + [f"{n}={p}" for n, p in fifos.items()], stdout=subprocess.PIPE)
        for name, path in fifos.items():
            with open(path, "wb") as out:
                out.write(stream(sample(100 if name == "a" else 200), 10))
        summary = json.loads(process.communicate(timeout=60)[0])
        self.assertEqual((process.returncode, summary["rows"], summary["batches"]), (0, 600, 31))
        with h5py.File(self.path) as file:
            self.assertEqual({n: len(file[n]["count"]) for n in "abc"}, {"a": 100, "b": 200, "c": 300})

    def test_signals_end_it_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            path, fifo = self.in_folder(f"s{number}.h5"), self.in_folder(f"f{number}")
            os.mkfifo(fifo)
            process = subprocess.Popen([BASALT, "record", path, "a=" + fifo], stdout=subprocess.PIPE)
            with open(fifo, "wb", buffering=0) as out:
                whole = stream(sample(50), 10)
                out.write(whole[:-8])  # no end of stream
                self.wait_live(path)
                self.wait_rows(path, "a", 50)
                process.send_signal(number)
                process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)
            self.assertEqual(run("stat", "--live", path, expect=1).stdout.count(b"closed cleanly"), 1)
            with h5py.File(path) as file:
                self.assertEqual(len(file["a/count"]), 50)

    def wait_live(self, path):
        for _ in range(600):
            if run("stat", "--live", path, expect=None).returncode == 0:
                return
            time.sleep(0.1)
        self.fail("the recording did not begin")

    def wait_rows(self, path, family, rows):
        for _ in range(600):
            done = run("cat", path, family, "--fresh", "--json", expect=None)
            if done.returncode == 0 and len(json.loads(done.stdout)) == rows:
                return
            time.sleep(0.1)
        self.fail("the rows did not come")

    def check_without_log(self, crashed):
        """A copy of a crashed file without its log says so wherever it matters."""
        alone = self.in_folder("alone.h5")
        shutil.copy(crashed, alone)
        found = json.loads(run("stat", alone, "--json").stdout)
        self.assertEqual(found["state"], "log missing")
        self.assertIn("alone.h5-log.*", found["warning"])
        text = run("stat", alone).stdout.decode()
        self.assertIn("its log is missing", text)
        self.assertNotIn("closed cleanly", text)
        self.assertIn(b"its log is missing", run("verify", alone, expect=1).stdout)
        for line in (("recover", alone), ("recover", "--dry-run", alone), ("cat", alone, "a", "--fresh"),
                     ("backup", alone, self.in_folder("copy.h5")), ("record", alone, "--resume")):
            done = run(*line, stdin=b"", expect=26)
            self.assertIn(b"--without-log", done.stderr, line)
        run("recover", "--without-log", crashed, expect=26)
        self.assertIn(b"would give up", run("recover", "--dry-run", "--without-log", alone).stdout)
        self.assertIn(b"went on without", run("recover", "--without-log", alone).stdout)
        self.assertEqual(json.loads(run("stat", alone, "--json").stdout)["state"], "closed")
        # Put back under the log that it does not go with any more.
        os.rename(crashed, crashed + ".kept")
        os.rename(alone, crashed)
        found = json.loads(run("stat", crashed, "--json").stdout)
        self.assertEqual(found["state"], "conflict")
        self.assertIn("basalt cat", found["warning"])
        self.assertIn(b"basalt cat", run("verify", crashed, expect=1).stdout)
        run("recover", "--dry-run", crashed, expect=26)
        run("recover", crashed, expect=26)
        os.rename(crashed + ".kept", crashed)

    def check_overwritten(self, crashed):
        """Another program's file where a crashed one was: its log is lost to nobody who looks."""
        os.rename(crashed, crashed + ".kept")
        for options in ({}, {"libver": "latest"}, {"userblock_size": 512}):
            with h5py.File(crashed, "w", **options) as file:
                file["other"] = np.arange(100000)
            faults = run("verify", crashed, expect=1).stdout
            self.assertIn(b"its log" if "userblock_size" in options else b"the log beside it", faults)
            for line in (("stat",), ("stat", "--json"), ("recover", "--dry-run")):
                self.assertIn(b"the log beside it", run(*line, crashed, expect=26).stderr, (line, options))
            self.assertIn(b"other", run("ls", crashed).stdout)
            self.assertEqual(run("cat", crashed, "/other").stdout.split()[-1], b"99999")
            os.remove(crashed)
        os.rename(crashed + ".kept", crashed)

    def check_renamed(self, crashed):
        """The logs keep the name that the file had; renamed as it was they are found."""
        moved = self.in_folder("moved.h5")
        os.rename(crashed, moved)
        for line in (("stat",), ("recover",)):
            done = run(*line, moved, expect=None)
            self.assertIn(b"put back moved.h5-log.* (rename it if it has the file's old name)",
                          done.stdout + done.stderr)
        for name in sorted(os.listdir(self.folder.name)):
            if name.startswith("x.h5-log."):
                os.rename(self.in_folder(name), self.in_folder("moved" + name[1:]))
        self.assertEqual(len(json.loads(run("cat", moved, "a", "--fresh", "--json").stdout)), 500)
        for name in os.listdir(self.folder.name):
            if name.startswith("moved.h5"):
                os.rename(self.in_folder(name), self.in_folder("x" + name[5:]))

    def check_order_of_logs(self, crashed):
        extra = [f"{crashed}-log.{number}" for number in range(20, 41)]
        for name in extra:
            open(name, "w").close()
        plan = json.loads(run("recover", "--dry-run", "--json", crashed).stdout)["logs"]
        numbers = [int(name.rpartition(".")[2]) for name in plan]
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(numbers[-21:], list(range(20, 41)))
        for name in extra:
            os.remove(name)

    def check_hard_link(self, path, process):
        os.mkdir(self.in_folder("elsewhere"))
        for link, holder in (("second.h5", f"process {process.pid} on"), ("elsewhere/third.h5", "another process")):
            os.link(path, self.in_folder(link))
            for line in (("recover",), ("recover", "--without-log")):
                refusal = run(*line, self.in_folder(link), expect=BUSY).stderr.decode()
                self.assertIn(f"is in use: {holder}", refusal)
            self.assertIn(holder, run("stat", "--live", self.in_folder(link)).stdout.decode())
            os.remove(self.in_folder(link))

    def test_streams_that_are_cut(self):
        whole = stream(sample(1000), 100)
        run("record", self.path, stdin=b"", expect=16)
        for cut in (10, 1000, len(whole) // 2 + 3):
            path = self.in_folder(f"cut{cut}.h5")
            done = run("record", path, stdin=whole[:cut], expect=CORRUPT)
            if cut < len(whole) // 2:  # not one batch was whole: nothing stored, no file
                self.assertFalse(os.path.exists(path))
                self.assertEqual(done.stdout, b"")
            else:
                run("verify", path)
        with h5py.File(path) as file:  # what came before the cut is there
            self.assertEqual(len(file["data/count"]) % 100, 0)
            self.assertGreater(len(file["data/count"]), 0)

    def test_streams_behind_one_another(self):
        run("record", self.path, stdin=stream(sample(30), 10) + stream(sample(12)))
        with h5py.File(self.path) as file:
            np.testing.assert_array_equal(file["data/count"][:], [*range(30), *range(12)])
        for behind, code in ((b"what is this", CORRUPT), (b"x", CORRUPT), (b"ARROW1\0\0", UNSUPPORTED),
                             (stream(pa.table({"other": [1]})), MISMATCH)):
            path = self.in_folder("behind.h5")
            run("record", path, stdin=stream(sample(30)) + behind, expect=code)
            with h5py.File(path) as file:  # what came before is there
                self.assertEqual(len(file["data/count"]), 30)
            os.remove(path)

    def test_nothing_is_left_where_nothing_was_stored(self):
        for text in (b"", b"a,b\n1,2\n", b"time,volts\n1,2\n", b"\x89HDF\r\n\x1a\n" + bytes(100)):
            done = run("record", self.path, stdin=text, expect=CORRUPT)
            self.assertIn(b"not an Arrow IPC stream" if text else b"empty", done.stderr)
            self.assertEqual(os.listdir(self.folder.name), [])
        done = run("record", self.path, "--json", stdin=b"a,b\n", expect=CORRUPT)
        self.assertIsNone(json.loads(done.stdout)["file"])
        run("record", self.folder.name, stdin=b"a,b\n", expect=CORRUPT)  # a name of the recorder's own
        self.assertEqual(os.listdir(self.folder.name), [])
        self.record(sample(10))
        run("record", self.path, "--resume", stdin=b"a,b\n", expect=CORRUPT)
        with h5py.File(self.path) as file:
            self.assertEqual(len(file["probe/count"]), 10)

    def test_nothing_is_left_where_no_log_could_be_made(self):
        source = self.in_folder("s")
        with open(source, "wb") as out:
            out.write(stream(sample(5)))
        done = subprocess.run(f"ulimit -f 20; {BASALT} record {self.path} a={source}", shell=True, executable="bash",
                              capture_output=True, timeout=60)
        self.assertGreaterEqual(done.returncode, 10)
        self.assertEqual(os.listdir(self.folder.name), ["s"])

    def test_ipc_file_format_is_named(self):
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, sample(5).schema) as writer:
            writer.write_table(sample(5))
        done = run("record", self.path, stdin=sink.getvalue(), expect=UNSUPPORTED)
        self.assertIn(b"file format", done.stderr)
        self.assertIn(b"new_stream", done.stderr)
        self.assertFalse(os.path.exists(self.path))

    def test_a_stream_without_rows_leaves_its_columns(self):
        table, no_batch, one_batch = sample(1).slice(0, 0), io.BytesIO(), io.BytesIO()
        with pa.ipc.new_stream(no_batch, table.schema):
            pass
        with pa.ipc.new_stream(one_batch, table.schema) as writer:
            writer.write(sample(1).to_batches()[0].slice(0, 0))
        for resumed, empty in enumerate((no_batch.getvalue(), one_batch.getvalue() * 2)):
            run("record", self.path, "--resume", "--instrument", f"i{resumed}", stdin=empty)
        with h5py.File(self.path) as file:
            for name in ("i0", "i1"):
                self.assertEqual(len(file[name]["count"]), 0)
                self.assertEqual(len(file[name]["label"]), 0)
        self.assertEqual(run("cat", self.path, "/i0").stdout.decode().splitlines(),
                         [",".join(table.column_names)])
        self.assertEqual(json.loads(run("cat", self.path, "/i0", "--json").stdout), [])
        found = pa.ipc.open_stream(run("cat", self.path, "/i0", "--format", "arrow").stdout).read_all()
        self.assertEqual(found.schema, table.schema)
        run("record", self.path, "--resume", "--instrument", "i0", stdin=stream(sample(4)))
        with h5py.File(self.path) as file:
            self.assertEqual(len(file["i0/count"]), 4)

    def test_names_of_streams(self):
        source = self.in_folder("a.arrows")
        with open(source, "wb") as out:
            out.write(stream(sample(5)))
        done = run("record", self.path, "a=" + source, "a=" + source, expect=2)
        self.assertIn(b"two streams", done.stderr)
        run("record", self.path, "a=-", "b=-", expect=2)
        self.assertIn(b"goes into a file", run("record", "-", stdin=stream(sample(5)), expect=2).stderr)
        self.assertFalse(os.path.exists("-"))
        self.assertFalse(os.path.exists(self.path))
        run("record", self.path, "a=-", "b=" + source, stdin=stream(sample(7)))
        with h5py.File(self.path) as file:
            self.assertEqual((len(file["a/count"]), len(file["b/count"])), (7, 5))

    def test_a_hangup_that_nohup_ignores(self):
        fifo = self.in_folder("f")
        os.mkfifo(fifo)
        process = subprocess.Popen([BASALT, "record", self.path, "a=" + fifo], stdout=subprocess.PIPE,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        with open(fifo, "wb", buffering=0) as out:
            whole = stream(sample(50), 10)
            out.write(whole[:-8])
            self.wait_live(self.path)
            self.wait_rows(self.path, "a", 50)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            self.assertIsNone(process.poll())
            out.write(whole[-8:] + stream(sample(7)))
        self.assertIn(b"57 rows", process.communicate(timeout=60)[0])
        self.assertEqual(process.returncode, 0)

    def test_batches_larger_than_the_mailbox(self):
        rows = 9_000_000
        table = pa.table({"number": np.arange(rows, dtype="f8"), "odd": pa.array(np.arange(rows) % 2 == 1)})
        texts = pa.table({"text": [f"{i} " + "x" * 400 for i in range(200_000)],
                          "none": pa.array([None if i % 3 == 1 else i for i in range(200_000)])})
        done = run("record", self.path, "--instrument", "numbers", "--compression", 1, stdin=stream(table))
        self.assertIn(b"9,000,000 rows in 1 batch,", done.stdout)
        done = run("record", self.path, "--resume", "--instrument", "texts", stdin=stream(texts.slice(3)))
        self.assertIn(b"199,997 rows in 1 batch,", done.stdout)
        with h5py.File(self.path) as file:
            self.assertTrue((file["numbers/number"][:] == np.arange(rows)).all())
            self.assertTrue((file["numbers/odd/values"][:] == (np.arange(rows) % 2 == 1)).all())
            self.assertEqual([t.decode() for t in file["texts/text"][:]], texts["text"].to_pylist()[3:])
            self.assertEqual(file["texts/none/mask"][:].tolist(), [i % 3 == 1 for i in range(3, 200_000)])
        row = pa.table({"text": ["a", "b" * (17 << 20), "c"]})
        done = run("record", self.path, "--resume", "--instrument", "row", stdin=stream(row), expect=TOO_LARGE)
        self.assertIn(b"at most 16777", done.stderr)

    def test_refusals_that_a_user_can_mend(self):
        os.chmod(self.folder.name, 0o755)
        basalt = self.in_folder("basalt")
        shutil.copy(BASALT, basalt)
        os.mkdir(self.in_folder("closed"), 0o555)
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([basalt, "record", self.in_folder("closed/x.h5")], input=stream(sample(3)),
                              capture_output=True, timeout=60, **as_nobody)
        self.assertEqual(done.returncode, READ_ONLY, done.stderr)
        self.record(sample(5))
        os.link(self.path, self.in_folder("other.h5"))
        done = run("record", self.path, "--resume", stdin=stream(sample(3)), expect=UNSUPPORTED)
        self.assertIn(b"remove the others", done.stderr)
        os.remove(self.in_folder("other.h5"))
        done = run("record", self.path, "--resume", "--instrument", "probe", stdin=stream(sample(3).select(["time"])),
                   expect=MISMATCH)
        self.assertIn(b"there is 1 column, expected 7:", done.stderr)
        source = self.in_folder("big")
        with open(source, "wb") as out:
            out.write(stream(pa.table({"v": np.random.default_rng(1).random(2_000_000)})))
        for limit in (20, 72_000):
            done = subprocess.run(f"ulimit -f {limit}; {BASALT} record {self.in_folder('limited.h5')} a={source}"
                                  " --compression 0", shell=True, executable="bash", capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 0 if limit > 70_000 else NO_SPACE, done.stderr)

    def test_long_names_are_cut(self):
        for name in ("n" * 10_000, "\u00e9" * 5_000):
            done = run("record", self.path, "--instrument", name, stdin=stream(sample(3)), expect=TOO_LARGE)
            self.assertLess(len(done.stderr), 300)
            self.assertIn("4096", done.stderr.decode())
        for line in (["record", self.path, "n" * 10_000], ["cat", self.path, "a", "--format", "n" * 10_000],
                     ["ls", self.path, "/", "n" * 10_000], ["ls", "--" + "n" * 10_000], ["n" * 10_000]):
            self.assertLess(len(run(*line, expect=2).stderr), 300)
        name = "m" * 4_000
        run("record", self.path, "--instrument", name, stdin=stream(sample(3)))
        done = run("record", self.path, "--resume", "--instrument", name, stdin=stream(pa.table({"x": [1]})),
                   expect=MISMATCH)
        self.assertIn(b"expected", done.stderr)
        self.assertLess(len(done.stderr), 300)

    def test_a_failure_is_told_once(self):
        self.record(sample(5))
        done = run("record", self.path, "--resume", "--instrument", "probe", stdin=stream(pa.table({"x": [1]})),
                   expect=MISMATCH)
        self.assertEqual(done.stderr.decode().count("probe: "), 1)
        self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_killed_then_recovered(self):
        fifo = self.in_folder("f")
        os.mkfifo(fifo)
        process = subprocess.Popen([BASALT, "record", self.path, "a=" + fifo, "--quiet"])
        with open(fifo, "wb", buffering=0) as out:
            out.write(stream(sample(500), 10)[:-8])
            self.wait_live(self.path)
            self.wait_rows(self.path, "a", 500)
            self.assertIn(f"process {process.pid}".encode(), run("stat", "--live", self.path).stdout)
            refusal = run("recover", self.path, expect=BUSY).stderr.decode()
            self.assertIn(f"process {process.pid} on", refusal)
            self.assertIn("needs no recovery", refusal)
            self.check_hard_link(self.path, process)
            run("record", self.path, "--resume", stdin=stream(sample(1)), expect=BUSY)
            process.kill()
            process.wait()
        run("stat", "--live", self.path, expect=1)
        self.assertEqual(json.loads(run("stat", self.path, "--json").stdout)["state"], "crashed")
        plan = run("recover", "--dry-run", self.path).stdout.decode()
        self.assertIn("x.h5-log.", plan)
        self.assertEqual(len(json.loads(run("cat", self.path, "a", "--fresh", "--json").stdout)), 500)
        self.check_without_log(self.path)
        self.check_overwritten(self.path)
        self.check_renamed(self.path)
        self.check_order_of_logs(self.path)
        done = json.loads(run("recover", self.path, "--json").stdout)
        self.assertTrue(done["needed"])
        self.assertEqual(os.listdir(self.folder.name).count("x.h5"), 1)
        self.assertFalse([n for n in os.listdir(self.folder.name) if "-log." in n])
        with h5py.File(self.path) as file:
            self.assertEqual(len(file["a/count"]), 500)
        self.assertIn(b"nothing to recover", run("recover", self.path).stdout)


class Look(Command):
    def setUp(self):
        super().setUp()
        self.table = sample()
        self.record(self.table)

    def test_ls(self):
        text = run("ls", self.path).stdout.decode()
        for word in ("/probe", "/probe/time", "1000", "shuffle", "in file", "unpacked"):
            self.assertIn(word, text)
        self.assertNotIn(".basalt", text)
        self.assertIn(".basalt", run("ls", self.path, "--all").stdout.decode())
        entries = {e["path"]: e for e in json.loads(run("ls", self.path, "--json", "--attributes").stdout)}
        self.assertEqual(entries["/probe/third"]["shape"], [1000])
        self.assertEqual(entries["/probe"]["attributes"]["instrument_id"], "probe")
        self.assertIn("@instrument_id", run("ls", self.path, "--attributes").stdout.decode())
        self.assertGreater(entries["/probe/third"]["stored_bytes"], 0)
        run("ls", self.path, "/nowhere", expect=NOT_FOUND)
        self.assertEqual(len(json.loads(run("ls", self.path, "/probe", "--depth", 0, "--json").stdout)), 1)

    def test_tables_of_others(self):
        path = self.in_folder("others.h5")
        with h5py.File(path, "w") as file:
            file["g/a"], file["g/b"] = np.arange(3), ["x", "y", "z"]
            file.create_dataset("m", data=np.arange(6.0).reshape(3, 2), chunks=(2, 2), compression=4)
            file["colour"] = np.array([1, 0], h5py.enum_dtype({"red": 0, "blue": 1}))
            s = file.create_group("sparse")
            s.attrs["encoding-type"] = "csr_matrix"
            s["data"], s["indices"], s["indptr"] = [5.0, 6.0], [1, 0], [0, 1, 1, 2]
            file["time"] = [10.0, 20.0, 30.0]
            file["time"].make_scale()
            file["t"] = np.array([1, 2, -9])
            file["t"].dims[0].attach_scale(file["time"])
            file["t"].attrs["_FillValue"] = np.int64(-9)
            file["m"].attrs["unit"] = "V"
        text = run("ls", path, "-a").stdout.decode()
        for word in ("  /g", "group: 3 rows x 2 columns", "    /g/a", "2 x 2", "deflate 4", "ratio",
                     "sparse matrix (CSR): 2 rows x 3 columns", "@unit"):
            self.assertIn(word, text)
        entries = {e["path"]: e for e in json.loads(run("ls", path, "--json").stdout)}
        self.assertEqual(entries["/g"]["table"], {"kind": "group", "rows": 3, "columns": 2})
        self.assertEqual(entries["/m"]["chunk"], [2, 2])
        self.assertGreater(entries["/m"]["ratio"], 0)
        self.assertNotIn("table", entries["/m"])

        def rows(*arguments):
            return json.loads(run("cat", path, *arguments, "--json").stdout)

        self.assertEqual(rows("g", "--rows", "1:3"), [{"a": 1, "b": "y"}, {"a": 2, "b": "z"}])
        self.assertEqual(run("cat", path, "g").stdout, b"a,b\r\n0,x\r\n1,y\r\n2,z\r\n")
        self.assertEqual(rows("m", "--wide")[2], {"row": 2, "0": 4, "1": 5})
        self.assertEqual(rows("colour"), [{"colour": "blue"}, {"colour": "red"}])
        self.assertEqual(rows("sparse"), [{"row": 0, "column": 1, "value": 5},
                                          {"row": 2, "column": 0, "value": 6}])
        self.assertEqual(rows("t", "--missing")[1:], [{"time": 20, "t": 2}, {"time": 30, "t": None}])
        self.assertEqual(rows("t", "--plain")[2], {"t": -9})
        self.assertEqual(list(np.load(io.BytesIO(run("cat", path, "t", "--format", "npy").stdout))),
                         [1, 2, -9])
        wide = np.load(io.BytesIO(run("cat", path, "m", "--wide", "--format", "npy").stdout))
        self.assertEqual(list(wide["1"]), [1, 3, 5])
        for name in ("g", "sparse", "t", "colour"):
            table = pa.ipc.open_stream(run("cat", path, name, "--format", "arrow").stdout).read_all()
            self.assertEqual(table.to_pylist(), rows(name))

    def test_stat(self):
        found = json.loads(run("stat", self.path, "--json").stdout)
        self.assertEqual((found["state"], found["rows"], found["log_files"]), ("closed", 1000, 0))
        self.assertEqual(found["families"][0]["name"], "probe")
        self.assertEqual(found["families"][0]["columns"], 7)
        self.assertGreater(found["families"][0]["stored_bytes"], 0)
        self.assertIn("probe", run("stat", self.path).stdout.decode())

    def test_csv_comes_back(self):
        rows = list(csv.reader(io.StringIO(run("cat", self.path, "/probe").stdout.decode(), newline="")))
        self.assertEqual(rows[0], self.table.column_names)
        self.assertEqual(len(rows), 1001)
        for row, expected in zip(rows[1:], self.table.to_pylist()):
            self.assertEqual(row[1] == "", expected["third"] is None)
            if row[1]:
                self.assertEqual(float(row[1]), expected["third"])
            self.assertEqual(np.float32(row[2]), np.float32(expected["single"]))
            self.assertEqual(int(row[3]), expected["count"])
            self.assertEqual(row[4], str(expected["odd"]).lower())
            self.assertEqual(row[5], expected["label"])
            self.assertEqual(row[6], expected["day"].isoformat())
            self.assertEqual(row[0], expected["time"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    def test_json_comes_back(self):
        rows = json.loads(run("cat", self.path, "/probe", "--format", "json").stdout)
        self.assertEqual(len(rows), 1000)
        for row, expected in zip(rows, self.table.to_pylist()):
            self.assertEqual((row["third"], row["count"], row["odd"], row["label"]),
                             (expected["third"], expected["count"], expected["odd"], expected["label"]))

    def test_arrow_comes_back(self):
        for more in ([], ["--fresh"]):
            data = run("cat", self.path, "/probe", "--format", "arrow", *more).stdout
            found = pa.ipc.open_stream(data).read_all()
            self.assertEqual(found.schema.names, self.table.schema.names)
            self.assertEqual(found.to_pylist(), self.table.to_pylist())

    def test_npy_comes_back(self):
        data = run("cat", self.path, "/probe/count", "--format", "npy").stdout
        np.testing.assert_array_equal(np.load(io.BytesIO(data)).astype("i8"), np.arange(1000))
        run("cat", self.path, "/probe", "--format", "npy", expect=UNSUPPORTED)  # text
        numbers = self.table.drop_columns(["label"])
        self.path = self.in_folder("numbers.h5")
        self.record(numbers)
        found = np.load(io.BytesIO(run("cat", self.path, "/probe", "--format", "npy").stdout))
        self.assertEqual(list(found.dtype.names), numbers.column_names)
        np.testing.assert_array_equal(found["third"], numbers["third"].to_numpy())
        np.testing.assert_array_equal(found["odd"], numbers["odd"].to_numpy())
        np.testing.assert_array_equal(found["day"], numbers["day"].to_numpy())
        np.testing.assert_array_equal(found["time"], numbers["time"].to_numpy())

    def test_times_before_midnight(self):
        self.path = self.in_folder("times.h5")
        self.record(pa.table({"s": pa.array([-1, -3661, 86399], pa.time32("s")),
                              "ms": pa.array([-1, -1001, 1], pa.time32("ms")),
                              "ns": pa.array([-1, -2**63, 1], pa.time64("ns"))}))
        self.assertEqual(run("cat", self.path, "probe").stdout.decode().split("\r\n")[1:4],
                         ["-00:00:01,-00:00:00.001,-00:00:00.000000001",
                          "-01:01:01,-00:00:01.001,-2562047:47:16.854775808",
                          "23:59:59,00:00:00.001,00:00:00.000000001"])

    def test_one_is_not_many(self):
        self.path = self.in_folder("one.h5")
        done = run("record", self.path, stdin=stream(sample(1)))
        self.assertIn(b"1 row in 1 batch,", done.stdout)
        self.assertIn(b"rows  1 in 1 family\n", run("stat", self.path).stdout)

    def test_rows(self):
        def counts(*more):
            return [r["count"] for r in json.loads(run("cat", self.path, "/probe", "--json", *more).stdout)]
        for more in ([], ["--fresh"]):
            self.assertEqual(counts("--rows", "10:13", *more), [10, 11, 12])
            self.assertEqual(counts("--rows", ":2", *more), [0, 1])
            self.assertEqual(counts("--rows", "998:", *more), [998, 999])
            self.assertEqual(counts("--rows", "5:5", *more), [])
            self.assertEqual(counts("--rows", "990:5000", *more), list(range(990, 1000)))

    def test_floats_are_the_shortest_that_come_back(self):
        values = [0.1, 1 / 3, 1e300, 5e-324, -0.0, 123456789.0, float("nan"), float("inf")]
        table = pa.table({"d": pa.array(values), "f": pa.array(np.array(values[:3], "f4").tolist() * 2
                                                               + [0.1, 2.5], pa.float32())})
        self.path = self.in_folder("floats.h5")
        self.record(table)
        rows = run("cat", self.path, "/probe").stdout.decode().split("\r\n")[1:-1]
        self.assertEqual([r.split(",")[0] for r in rows][:7],
                         ["0.1", "0.3333333333333333", "1e+300", "4.94065645841247e-324", "-0", "123456789", "nan"])
        self.assertEqual(rows[0].split(",")[1], "0.1")
        found = json.loads(run("cat", self.path, "/probe", "--json").stdout)
        self.assertEqual(str(found[4]["d"]), "-0.0")
        with h5py.File(self.path, "a") as file:
            file.attrs["zeros"] = [0.0, -0.0]
        entries = json.loads(run("ls", self.path, "--json", "--attributes").stdout)
        self.assertEqual(str(entries[0]["attributes"]["zeros"][1]), "-0.0")
        self.assertEqual(found[6]["d"], "NaN")
        self.assertEqual(found[7]["d"], "Infinity")

    def test_names_that_the_file_escapes(self):
        self.path = self.in_folder("names.h5")
        table = pa.table({"a/b": [1, 2, 3], "50%": [1.5, 2.5, 3.5], "two\nlines": [7, 8, 9]})
        for name in ("x/y", ".hidden", "x", "esc\x1b[1m"):
            run("record", self.path, "--resume", "--instrument", name, stdin=stream(table))
        for more in ([], ["--fresh"]):
            for path in ("x/y", "/x/y", "x%2Fy", "/x%2Fy", ".hidden", "/%2Ehidden", "x", "esc\x1b[1m"):
                rows = json.loads(run("cat", self.path, path, "--json", *more).stdout)
                self.assertEqual(rows, table.to_pylist(), (path, more))
            for path in ("x/y/a/b", "x%2Fy/a%2Fb", "x/y/a%2Fb", "x%2Fy/a/b", ".hidden/a/b", "x/a/b"):
                done = run("cat", self.path, path, *more).stdout
                self.assertEqual(done.splitlines()[1:], [b"1", b"2", b"3"], (path, more))
            run("cat", self.path, "x/z", *more, expect=NOT_FOUND)
            run("cat", self.path, "x/y/z", *more, expect=NOT_FOUND)
        paths = [e["path"] for e in json.loads(run("ls", self.path, "x/y", "--json").stdout)]
        self.assertEqual(paths[0], "/x%2Fy")
        self.assertIn("/x%2Fy/50%25", paths)
        found = json.loads(run("stat", self.path, "--json").stdout)["families"]
        self.assertEqual([f["name"] for f in found], ["x/y", ".hidden", "x", "esc\x1b[1m"])
        self.assertTrue(all(f["stored_bytes"] > 0 for f in found), found)
        for command in ("ls", "stat"):  # one line an object, whatever its name
            text = run(command, self.path).stdout
            self.assertNotIn(b"\x1b", text)
            self.assertIn(b"\\x1b[1m", text)
        self.assertIn(b"two\\nlines", run("ls", self.path).stdout)

    def test_a_column_is_what_it_is_in_its_table(self):
        self.path = self.in_folder("nulls.h5")
        columns = {"date": pa.array([1, None, -3], pa.date32()), "date64": pa.array([86400000, None, 0], pa.date64()),
                   "duration": pa.array([1, None, 3], pa.duration("ns")), "time": pa.array([1, None, 3], pa.time32("s")),
                   "instant": pa.array([1, None, 3], pa.timestamp("us", "UTC")), "text": pa.array(["", None, "x"]),
                   "binary": pa.array([b"", None, b"\xff"], pa.binary()), "double": pa.array([1.5, None, float("inf")]),
                   "integer": pa.array([1, None, 3]), "bool": pa.array([True, None, False]),
                   "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)), "a/b": pa.array([1, None, 3], pa.timestamp("s"))}
        table = pa.table(columns)
        self.record(table)
        rows = json.loads(run("cat", self.path, "probe", "--json").stdout)
        lines = run("cat", self.path, "probe").stdout.decode().split("\r\n")
        whole = pa.ipc.open_stream(run("cat", self.path, "probe", "--format", "arrow").stdout).read_all()
        self.assertEqual(whole, table)
        for at, name in enumerate(table.column_names):
            for path in (f"probe/{name}", f"/probe/{name.replace('/', '%2F')}"):
                for more in ([], ["--fresh"]):
                    one = json.loads(run("cat", self.path, path, "--json", *more).stdout)
                    self.assertEqual(one, [{name: row[name]} for row in rows], (path, more))
                    self.assertIsNone(one[1][name])
                    text = run("cat", self.path, path, *more).stdout.decode()
                    self.assertEqual(text.split("\r\n"), [*(line.split(",")[at] for line in lines[:4]), ""])
                    data = run("cat", self.path, path, "--format", "arrow", *more).stdout
                    self.assertEqual(pa.ipc.open_stream(data).read_all(), table.select([name]))
        self.assertEqual(lines[1].split(",")[5:7], ['""', '""'])
        for name, expect in (("integer", UNSUPPORTED), ("fixed", UNSUPPORTED), ("date", 0), ("duration", 0), ("double", 0)):
            done = run("cat", self.path, f"probe/{name}", "--format", "npy", expect=expect)
            if not expect:
                found = np.load(io.BytesIO(done.stdout))
                self.assertTrue((np.isnan if name == "double" else np.isnat)(found[1]), name)
        rows = json.loads(run("cat", self.path, "/probe/date", "--rows", "1:2", "--json").stdout)
        self.assertEqual(rows, [{"date": None}])
        self.assertIn("group  family column: 3 rows x 1 column", run("ls", self.path, "/probe").stdout.decode())
        # What is in a family and is no column of it is what it is.
        self.assertEqual(json.loads(run("cat", self.path, "/probe/_index", "--json", expect=None).stdout or "[]")[:1],
                         [{"_index": 0}])
        self.assertEqual(json.loads(run("cat", self.path, "/probe/integer/mask", "--json").stdout)[1], {"mask": True})

    def test_names_that_are_there_twice(self):
        self.path = self.in_folder("twice.h5")
        names = ["a", "a", "a_1", "a", "\u00e9", "", ""]
        self.record(pa.Table.from_arrays([pa.array([i, i + 10]) for i in range(7)],
                                         schema=pa.schema([pa.field(n, pa.int64(), False) for n in names])))
        pairs = json.loads(run("cat", self.path, "probe", "--json").stdout, object_pairs_hook=list)
        self.assertEqual(pairs[0],
                         [("a", 0), ("a_2", 1), ("a_1", 2), ("a_3", 3), ("\u00e9", 4), ("", 5), ("_1", 6)])
        found = np.load(io.BytesIO(run("cat", self.path, "probe", "--format", "npy").stdout))
        self.assertEqual(found.dtype.names, ("a", "a_2", "a_1", "a_3", "\u00e9", "f5", "f6"))
        self.assertEqual(found[1].tolist(), tuple(range(10, 17)))
        self.assertEqual(run("cat", self.path, "probe").stdout.splitlines()[0].decode(), 'a,a,a_1,a,\u00e9,"",""')

    def test_headers_of_npy(self):
        for count, version in ((900, 1), (4000, 2)):
            path = self.in_folder(f"wide{count}.h5")
            table = pa.Table.from_arrays([pa.array([i]) for i in range(count)], schema=pa.schema(
                [pa.field(f"column_{i}", pa.int64(), False) for i in range(count)]))
            run("record", path, stdin=stream(table))
            data = run("cat", path, "data", "--format", "npy").stdout
            self.assertEqual(data[6], version)
            found = np.load(io.BytesIO(data), max_header_size=1_000_000)
            self.assertEqual(found[0].tolist(), tuple(range(count)))

    def test_stat_does_not_say_zero_for_unknown(self):
        found = json.loads(run("stat", self.path, "--json").stdout)
        self.assertEqual((found["live_bytes"], found["free_bytes"]), (None, None))

    def test_output_of_what_cannot_be_read(self):
        """An answer that breaks off does not look like one that is whole."""
        with h5py.File(self.path) as file:
            offset = file["probe/third"].id.get_chunk_info(0).byte_offset
        with open(self.path, "r+b") as file:
            file.seek(offset + 30)
            file.write(b"broken")
        for path in ("/probe", "/probe/third"):
            for form in ("json", "csv", "arrow", "npy"):
                if form == "npy" and path == "/probe":
                    continue  # text: refused before anything is read
                self.assertEqual(run("cat", self.path, path, "--format", form, expect=CORRUPT).stdout[:1],
                                 b"" if form != "arrow" else b"\xff", (path, form))
        run("cat", self.path, "/probe", "--fresh", expect=CORRUPT)
        self.assertEqual(run("ls", self.path, "/nowhere", "--json", expect=NOT_FOUND).stdout, b"")

    def test_verify_finds_a_flipped_byte(self):
        self.assertEqual(json.loads(run("verify", self.path, "--json").stdout), {"faults": [], "not_checked": [], "checked": True})
        with h5py.File(self.path) as file:
            offset = file["probe/third"].id.get_chunk_info(0).byte_offset
        with open(self.path, "r+b") as file:
            file.seek(offset + 20)
            byte = file.read(1)[0]
            file.seek(offset + 20)
            file.write(bytes([byte ^ 0x55]))
        done = run("verify", self.path, expect=1)
        self.assertIn(b"third", done.stdout)
        self.assertEqual(len(json.loads(run("verify", self.path, "--json", expect=1).stdout)["faults"]),
                         done.stdout.count(b"\n"))

    def test_backup(self):
        copy = self.in_folder("copy.h5")
        self.assertGreater(json.loads(run("backup", self.path, copy, "--json").stdout)["bytes"], 0)
        run("backup", self.path, copy, expect=EXISTS)
        nowhere = self.in_folder("none/copy.h5")
        self.assertIn(f'"{nowhere}"'.encode(), run("backup", self.path, nowhere, expect=NOT_FOUND).stderr)
        for line in (["backup", self.path, "/proc/copy.h5"], ["record", "/proc/copy.h5"]):
            done = run(*line, stdin=stream(self.table), expect=None)
            self.assertGreaterEqual(done.returncode, 10)
            self.assertIn(b'"/proc/copy.h5"', done.stderr)  # and no temporary name
        run("verify", copy)
        with h5py.File(self.path) as one, h5py.File(copy) as other:
            for name in one["probe"]:
                if isinstance(one["probe"][name], h5py.Dataset):
                    np.testing.assert_array_equal(one["probe"][name][()], other["probe"][name][()])

    def test_copy(self):
        copy = self.in_folder("repacked.h5")
        line = run("copy", self.path, copy, "--chunks", "4Ki", "--filters", "shuffle,deflate:9").stdout.decode()
        self.assertRegex(line, r"repacked.h5: .* times (smaller|larger)\), \d+ datasets?, \d+\.\d s\n$")
        run("copy", self.path, copy, expect=EXISTS)
        self.assertEqual(run("copy", self.path, copy, "--overwrite", "--quiet", "--threads", "2").stdout, b"")
        for wrong in (["--chunks", "many"], ["--filters", "gnip"], ["--path"], ["--threads", "two"]):
            done = run("copy", self.path, self.in_folder("absent.h5"), *wrong, expect=None)
            self.assertIn(done.returncode, (2, BAD_ARGUMENT))
            self.assertEqual(done.stderr.count(b"\n"), 1)
        run("copy", self.path, self.in_folder("absent.h5"), "--path", "/none", expect=NOT_FOUND)
        run("verify", copy)
        with h5py.File(self.path) as one, h5py.File(copy) as other:
            self.assertNotIn(".basalt", other)
            for name in one["probe"]:
                if isinstance(one["probe"][name], h5py.Dataset):
                    np.testing.assert_array_equal(one["probe"][name][()], other["probe"][name][()])
        self.assertEqual([n for n in os.listdir(self.folder.name) if "part" in n or n == "absent.h5"], [])

    def test_output_that_nobody_takes(self):
        done = subprocess.run(f"{BASALT} cat {self.path} /probe > /dev/full", shell=True, capture_output=True)
        self.assertEqual(done.returncode, NO_SPACE)
        self.assertIn(b"standard output", done.stderr)
        for form in ("json", "arrow"):
            done = subprocess.run(f"{BASALT} cat {self.path} /probe --format {form} > /dev/full", shell=True,
                                  capture_output=True)
            self.assertEqual(done.returncode, NO_SPACE, form)


    def test_streams_that_the_caller_closed(self):
        source, path = self.in_folder("s"), self.in_folder("closed.h5")
        with open(source, "wb") as out:
            out.write(stream(self.table))
        for closed, arguments, code in (("<&-", "", 15), (">&-", "a=" + source, 15), ("2>&-", "a=" + source, 0),
                                        ("<&- >&- 2>&-", "a=" + source, 15)):
            done = subprocess.run(f"{BASALT} record {path} {arguments} {closed}", shell=True, timeout=60,
                                  capture_output=True)
            self.assertEqual(done.returncode, code, closed)
            self.assertEqual(os.path.exists(path), bool(arguments), closed)
            if arguments:
                run("verify", path)
                with h5py.File(path) as file:
                    self.assertEqual(len(file["a/count"]), 1000)
                os.remove(path)


class Foreign(Command):
    def test_cat_of_what_h5py_wrote(self):
        with h5py.File(self.path, "w") as file:
            file["cube"] = np.arange(24, dtype="f4").reshape(4, 3, 2)
            file["words"] = ["one", "two", "drei"]
            file["big"] = np.arange(5, dtype=">i4")
            file.create_dataset("zipped", data=np.arange(10000), chunks=(1000,), compression="gzip", shuffle=True)
            file["scalar"] = 7
        cube = np.load(io.BytesIO(run("cat", self.path, "/cube", "--format", "npy").stdout))
        np.testing.assert_array_equal(cube, np.arange(24, dtype="f4").reshape(4, 3, 2))
        self.assertEqual([r["cube"] for r in json.loads(run("cat", self.path, "/cube", "--json").stdout)],
                         np.arange(24).reshape(4, 6).tolist())  # a row is a flat list in Arrow
        self.assertEqual(run("cat", self.path, "/words").stdout, b"words\r\none\r\ntwo\r\ndrei\r\n")
        self.assertEqual(run("cat", self.path, "/big", "--rows", "3:").stdout, b"big\r\n3\r\n4\r\n")
        zipped = np.load(io.BytesIO(run("cat", self.path, "/zipped", "--format", "npy").stdout))
        np.testing.assert_array_equal(zipped, np.arange(10000))
        self.assertEqual(run("cat", self.path, "/scalar").stdout, b"scalar\r\n7\r\n")


    def test_json_is_utf8(self):
        with h5py.File(self.path, "w") as file:
            file.create_dataset(b"caf\xe9\xed\xa0\x80", data=np.arange(3))
            file.create_dataset("good\u00e9\U0001f600", data=np.arange(3))
            file.attrs["bytes"] = np.bytes_(b"\xff\xfe")
            h5py.h5a.create(file.id, b"n\xc3", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))
            file.attrs["words"] = np.array([b"a\x80", b"\xf5\xf0\x80\x80\x80"], "S5")
        for line in (["ls", self.path, "--json", "--attributes", "--all"], ["verify", self.path, "--json"]):
            json.loads(run(*line).stdout.decode("utf-8"))
        entries = json.loads(run("ls", self.path, "--json").stdout.decode())
        self.assertIn("/caf" + "\ufffd" * 4, [e["path"] for e in entries])
        self.assertIn("/good\u00e9\U0001f600", [e["path"] for e in entries])

    def test_verify_says_what_it_did_not_check(self):
        with h5py.File(self.path, "w") as file:
            for name in ("a", "b"):
                file.create_dataset(name, data=np.arange(10000), chunks=(1000,), compression=hdf5plugin.Blosc2())
            file.create_dataset("sum", data=np.arange(4000), chunks=(1000,), fletcher32=True)
            offset = file["sum"].id.get_chunk_info(1).byte_offset
        lines = run("verify", self.path).stdout.decode().splitlines()
        self.assertEqual(len(lines), 3)
        for line, name in zip(lines, "ab"):
            self.assertRegex(line, f"^not checked: 10 chunks of /{name}: filter blosc2 .32026. is not built in")
        self.assertIn("no fault found in what was checked", lines[2])
        found = json.loads(run("verify", self.path, "--json").stdout)
        self.assertEqual((found["faults"], found["not_checked"], found["checked"]), ([], lines[:2], True))
        with open(self.path, "r+b") as file:
            file.seek(offset + 8)
            file.write(b"broken")
        found = json.loads(run("verify", self.path, "--json", expect=1).stdout)
        self.assertEqual((len(found["faults"]), found["not_checked"]), (1, lines[:2]))
        with open(self.path, "wb") as file:
            file.write(b"something else" * 100)
        found = json.loads(run("verify", self.path, "--json", expect=NOT_HDF5).stdout)
        self.assertEqual((len(found["faults"]), found["checked"]), (1, False))

    def test_ls_is_in_the_order_of_names(self):
        for version in ("earliest", "latest"):
            for order in (False, True):
                with h5py.File(self.path, "w", libver=version, track_order=order) as file:
                    names = [f"{(i * 7919) % 100:02}" for i in range(100)]
                    for name in names + ["zeta", "alpha"]:
                        file[name] = 1
                    file["soft"] = h5py.SoftLink("/alpha")
                found = [e["path"] for e in json.loads(run("ls", self.path, "--json").stdout)]
                self.assertEqual(found, ["/"] + sorted("/" + n for n in names + ["zeta", "alpha", "soft"]))

    def test_a_path_of_the_file_comes_before_a_plain_name(self):
        with h5py.File(self.path, "w") as file:
            file["a/b"] = 1
            file["a%2Fb"] = 2
            file["c%2Fd/e%2Ff"] = 3
            file["a/x"] = 4
        for path, value in (("a/b", 1), ("/a/b", 1), ("a%2Fb", 2), ("c/d/e/f", 3), ("c%2Fd/e/f", 3), ("a/x", 4)):
            self.assertEqual(run("cat", self.path, path).stdout.split(b"\r\n")[1], str(value).encode(), path)
        run("cat", self.path, "c/d/e", expect=NOT_FOUND)

    def test_statuses_come_through_streams(self):
        with h5py.File(self.path, "w") as file:
            file.create_dataset("coded", data=np.arange(4000), chunks=(1000,), compression=hdf5plugin.Blosc2())
            file.create_dataset("rows", data=np.arange(4000).reshape(1000, 4), chunks=(100, 4), compression=hdf5plugin.Blosc2())
            file.create_dataset("sum", data=np.arange(4000).reshape(1000, 4), chunks=(100, 4), fletcher32=True)
            offset = file["sum"].id.get_chunk_info(0).byte_offset
        with open(self.path, "r+b") as file:
            file.seek(offset + 8)
            file.write(b"broken")
        for path, code in (("coded", UNSUPPORTED), ("rows", UNSUPPORTED), ("sum", CORRUPT)):
            for form in ("json", "csv", "npy"):
                done = run("cat", self.path, path, "--format", form, expect=code)
                self.assertEqual(done.stdout, b"", (path, form))
                self.assertNotIn(b"the Arrow stream failed", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
