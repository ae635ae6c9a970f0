#!/usr/bin/env python3
"""Runs a script of the SQL tests with an extension that was built with the address and undefined-behaviour sanitizers.

sanitized.py RUNTIMES SCRIPT EXTENSION ARGUMENT...

RUNTIMES are the libraries that this Python must be started with, parted by commas: the sanitizer's, and C++'s, whose
exceptions it looks for at the start. Exit code that of the script, or 1 if there was a report, or a leak in which the
extension has a part: Python and DuckDB have leaks of their own, which are counted. A report is shown. With
ASAN_OPTIONS=fast_unwind_on_malloc=0, which is slow, what DuckDB allocates for the extension is seen to be so."""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = "detect_leaks=1:malloc_context_size=20:allocator_may_return_null=1:exitcode=99"


def inside(script, arguments):
    """The script in this process, which the sanitizer watches; then a look at what has leaked."""
    import ctypes
    import gc
    import runpy
    code = 0
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    gc.collect()
    ctypes.CDLL(None).__lsan_do_recoverable_leak_check()
    sys.stdout.flush()
    os._exit(code)


def watched(runtimes, script, arguments, more):
    """Exit code and what the sanitizers wrote."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LD_PRELOAD": runtimes.replace(",", " "),
                       "ASAN_OPTIONS": f"{OPTIONS}:log_path={folder}/log:{more}:{os.environ.get('ASAN_OPTIONS', '')}",
                       "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={folder}/log"}
        command = [sys.executable, __file__, "--inside", script, *arguments]
        code = subprocess.run(command, env=environment).returncode
        return code, "\n".join(path.read_text(errors="replace") for path in sorted(Path(folder).glob("log.*")))


def findings(log):
    """Reports, of leaks only those in which the extension has a part; and how many leaks there are of others."""
    own = f"{Path(__file__).resolve().parents[2]}/(?:duckdb|src)/|\\.duckdb_extension"
    leaks = re.findall(r"(?:Direct|Indirect) leak of .*?\n\n", log + "\n\n", re.S)
    found = [leak for leak in leaks if re.search(own, leak)]
    bad = re.search(r"ERROR: AddressSanitizer.*|\S+: runtime error: .*|.*encountered a fatal error.*", log)
    if bad:
        found.insert(0, log[bad.start():][:6000])
    return found, len(leaks) - len(found)


def main():
    runtimes, script, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    code, log = watched(runtimes, script, arguments, "symbolize=0")  # names of a thousand leaks of others take long
    found, others = findings(log)
    if found:
        print("once more, with names:")
        _, log = watched(runtimes, script, arguments, "symbolize=1")
        found = findings(log)[0] or found
    print("\n".join(found[:5]) or (log[-2000:] if code else ""))
    print(f"{Path(script).name} with sanitizers: exit code {code}, {len(found)} reports, {others} leaks of others")
    return code or (1 if found else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        inside(sys.argv[2], sys.argv[3:])
    sys.exit(main())
