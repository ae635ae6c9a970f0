"""examples_test.py HELLO APPEND READ - the examples do what they say."""
import io
import os
import subprocess
import sys
import tempfile

import h5py
import pyarrow as pa

hello, append, read = (os.path.abspath(path) for path in sys.argv[1:4])
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([hello, os.path.join(folder, "hello.h5")], check=True)
    with h5py.File(os.path.join(folder, "hello.h5")) as file:
        assert file["probe/volts"][:].tolist() == [1.5, 2.5, 3.5]
    sink = io.BytesIO()
    table = pa.table({"n": list(range(1000)), "text": [str(i) for i in range(1000)]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    done = subprocess.run([append], cwd=folder, input=sink.getvalue(), check=True, capture_output=True)
    assert done.stdout == b"1000 rows survive a power cut\n", done.stdout
    with h5py.File(os.path.join(folder, "probe.h5")) as file:
        assert file["probe/text"][999] == b"999"
        assert len(file["probe/_index"]) == 1000
    big = os.path.join(folder, "big.h5")
    with h5py.File(big, "w") as file:
        file.create_dataset("a/b", data=[[1, 2, 3], [4, 5, 6]], dtype=">i2", chunks=(1, 2), compression="gzip")
    done = subprocess.run([read, big, "/a/b"], check=True, capture_output=True)
    assert done.stdout == b"6 values, mean 3.5\n", done.stdout
    done = subprocess.run([read, big, "/a/c"], check=False, capture_output=True)
    assert done.returncode == 1 and b'there is no "c"' in done.stderr, done.stderr
