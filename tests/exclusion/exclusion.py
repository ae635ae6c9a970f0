"""Who is kept out of a store, and what happens when somebody gets at its file all the same.

Argument: the program store_shell. Every case ends with the same question: is each acknowledged commit
still there? Where the machine does not permit a case (no second user, no mount), it says so.
"""
import contextlib
import ctypes
import glob
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

try:
    import h5py
    import numpy  # noqa: F401  loaded now: another user may not be able to read it later
except ImportError as missing:
    print(f"skipped: {missing}; `make test` installs what the tests need")
    sys.exit(77)

ROOT = os.geteuid() == 0
NOBODY = 65534
REFUSED = {"BASALT_CONFLICT", "BASALT_BUSY", "BASALT_IO_ERROR", "BASALT_NOT_HDF5", "BASALT_CORRUPT",
           "BASALT_READ_ONLY", "BASALT_UNSUPPORTED", "BASALT_NOT_FOUND"}
CASES = []
NOT_TRIED = []


def case(function):
    CASES.append(function)
    return function


class Shell:
    """A store_shell, run as the user who owns the directory."""

    def __init__(self):
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ROOT else {}
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        cwd=PLACE, **user)
        self.pid = self.process.pid

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n")
        assert answer, f"the store shell died at: {line}"
        status, _, detail = answer.partition(" ")
        return status, detail

    def must(self, line):
        status, detail = self.ask(line)
        assert status == "BASALT_OK", f"{line}: {status} {detail}"
        return detail

    def die(self):
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def path_of(name):
    return os.path.join(PLACE, name)


def logs(path):
    return sorted(glob.glob(glob.escape(path) + "-log.*"))


def digest(*paths):
    return [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in paths]


def as_owner(function, *arguments):
    """Calls it in a child that is the ordinary user who owns the store; gives "OK" or the error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = "OK"
        try:
            if ROOT:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            function(*arguments)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode()[:4000])
        os._exit(0)
    os.close(writer)
    text = b""
    while piece := os.read(reader, 4096):
        text += piece
    os.close(reader)
    os.waitpid(child, 0)
    return text.decode()


def open_h5py(path, mode):
    with h5py.File(path, mode) as file:
        if mode != "r":
            file.attrs["by"] = "somebody else"
        else:
            list(file)


def copy_over(source, target):
    subprocess.run(["cp", source, target], check=True, capture_output=True)


def live(path, commits=50, unsaved=30):
    """A store that is open: `commits` in the file and the log, `unsaved` in the log alone."""
    shell = Shell()
    shell.must(f"open create {path}")
    shell.must(f"append {commits}")
    shell.must("checkpoint")
    shell.must(f"append {unsaved}")
    return shell


def crashed(path):
    live(path).die()
    assert logs(path), "a crashed store has a log"
    return 80


def all_there(path, commits):
    """Opens it for writing, recovers, and finds exactly these."""
    shell = Shell()
    shell.must(f"open rw {path}")
    found = int(shell.must("found"))
    shell.must("close")
    shell.end()
    assert found == commits, f"{commits} commits were acknowledged, {found} are there"
    assert not logs(path), f"logs are left after a clean close: {logs(path)}"


def refused(path, access="rw"):
    shell = Shell()
    status, sentence = shell.ask(f"open {access} {path}")
    shell.end()
    assert status in REFUSED, f"opening {path} ({access}) gives {status} {sentence}"
    assert sentence and len(sentence) < 240, "a refusal is one sentence"
    return status, sentence


# ---- a second writer ------------------------------------------------------------------------------------


def second_writer(path, through):
    first = live(path)
    try:
        status, sentence = refused(through(path))
        assert status == "BASALT_BUSY", f"{status} {sentence}"
        assert str(first.pid) in sentence, f"the holder, process {first.pid}, is not named: {sentence}"
        first.must("append 5")
        first.must("checkpoint")
    finally:
        first.die()
    all_there(path, 85)


@case
def second_writer_by_the_same_path():
    second_writer(path_of("same.h5"), lambda path: path)


@case
def second_writer_by_a_relative_path():
    second_writer(path_of("relative.h5"), lambda path: "./" + os.path.basename(path))


@case
def second_writer_by_a_symbolic_link():
    def link(path):
        os.symlink(path, path + ".link")
        return path + ".link"
    second_writer(path_of("symlink.h5"), link)


@case
def second_writer_by_a_hard_link():
    path = path_of("hard.h5")
    first = live(path)
    os.link(path, path + ".second")
    for access in ("rw", "rw+links", "create", "create+links"):
        status, sentence = refused(path + ".second", access)
        print(f"    {access}: {status} {sentence}")
        if access.endswith("links"):
            assert status == "BASALT_BUSY" and str(first.pid) in sentence, f"{status} {sentence}"
    os.unlink(path + ".second")
    first.must("append 5")
    first.die()
    all_there(path, 85)


@case
def a_hard_linked_file_is_refused_unless_asked_for():
    path = path_of("two-names.h5")
    shell = live(path)
    shell.must("close")
    os.link(path, path + ".second")
    refused(path)
    shell.must(f"open rw+links {path}")
    assert shell.must("found") == "80"
    shell.must("close")
    shell.end()
    os.unlink(path + ".second")
    all_there(path, 80)


@case
def a_forked_child():
    path = path_of("fork.h5")
    first = live(path)
    first.process.stdin.write(f"fork {path}\n")
    first.process.stdin.flush()
    inherited, opened = first.process.stdout.readline().rstrip("\n").split(" | ")
    assert first.process.stdout.readline().startswith("BASALT_OK")
    assert not inherited.startswith("BASALT_OK"), "a child used its parent's store"
    assert "fork" in inherited or "process" in inherited, inherited
    assert opened.startswith("BASALT_BUSY"), opened
    assert str(first.pid) in opened, opened
    first.must("append 5")
    first.must("checkpoint")
    first.die()
    all_there(path, 85)


@case
def second_writer_by_a_bind_mount():
    path = path_of("bind.h5")
    other = path_of("bound")
    os.mkdir(other)
    if ROOT:
        os.chown(other, NOBODY, NOBODY)
    first = live(path)
    libc = ctypes.CDLL(None, use_errno=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = "not permitted"
        try:
            if libc.unshare(0x20000) == 0 and libc.mount(b"none", b"/", None, 0x44000, None) == 0 \
                    and libc.mount(PLACE.encode(), other.encode(), None, 0x1000, None) == 0:
                shell = Shell()
                text = " ".join(shell.ask(f"open rw {other}/bind.h5"))
                shell.end()
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    os.waitpid(child, 0)
    if text == "not permitted":
        NOT_TRIED.append("bind mount: no right to mount")
    else:
        assert text.startswith("BASALT_BUSY"), text
        assert str(first.pid) in text, text
    first.must("append 5")
    first.die()
    all_there(path, 85)


@case
def a_dead_writer_keeps_nobody_out():
    path = path_of("dead.h5")
    commits = crashed(path)
    all_there(path, commits)


# ---- other programs at a live store ------------------------------------------------------------------------


def other_program_is_kept_out(path, size):
    assert as_owner(open_h5py, path, "r") == "OK", "a stock reader gets in"
    for mode in ("r+", "a", "w"):
        text = as_owner(open_h5py, path, mode)
        assert text != "OK", f"h5py {mode} got in"
        assert os.path.getsize(path) >= size, f"h5py {mode} cut the file"
    other = path_of("other.h5")
    if not os.path.exists(other):
        with h5py.File(other, "w") as file:
            file["x"] = 1
        os.chmod(other, 0o644)
    assert as_owner(copy_over, other, path) != "OK", "cp wrote over the store"


@case
def other_programs_at_a_live_store():
    path = path_of("live.h5")
    first = live(path)
    other_program_is_kept_out(path, os.path.getsize(path))
    first.must("append 5")
    first.must("checkpoint")
    first.die()
    all_there(path, 85)


@case
def other_programs_at_a_crashed_store():
    path = path_of("crashed.h5")
    commits = crashed(path)
    other_program_is_kept_out(path, os.path.getsize(path))
    all_there(path, commits)


def as_root_unlocked(path):
    """h5py "w" over the file, by a process that was told not to lock."""
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); f['x'] = list(range(1000)); f.close()"
    return subprocess.run([sys.executable, "-c", code, path], check=False).returncode


def look(path):
    shell = Shell()
    answer = shell.must(f"inspect {path}")
    shell.end()
    return answer


def noticed(first, path, what):
    """The live writer sees that its file is not its own any more, and keeps what only the log has."""
    kept = logs(path)
    first.ask("append 3")  # may still go to the log, or be refused
    for _ in range(2):
        status, sentence = first.ask("checkpoint")
        print(f"    {status} {sentence}")
        assert status == "BASALT_CONFLICT", f"{what}: a checkpoint gives {status} {sentence}"
        assert ".new-" not in sentence, f"a name that nobody knows: {sentence}"
    status, _ = first.ask("close")
    first.end()
    assert set(kept) <= set(logs(path)), f"{what}: a log is gone"


@case
def a_live_store_is_moved_away_and_back():
    path = path_of("moved.h5")
    first = live(path)
    os.rename(path, path + ".away")
    noticed(first, path, "mv")
    # Where it went it does not pass for a store that was closed.
    status, sentence = refused(path + ".away")
    assert status == "BASALT_CONFLICT" and "log is missing" in sentence, f"{status} {sentence}"
    # Only the log is there under this name: making a new store here would bury it.
    for access in ("create", "rw", "new"):
        refused(path, access)
    os.rename(path + ".away", path)
    shell = Shell()
    shell.must(f"open rw {path}")
    assert int(shell.must("found")) >= 80
    shell.must("close")
    shell.end()


@case
def a_live_store_is_replaced():
    path = path_of("replaced.h5")
    first = live(path)
    before = path + ".before"
    os.link(path, before)  # so that the test can put it back
    with h5py.File(path + ".new", "w") as file:
        file["x"] = 1
    if ROOT:
        os.chown(path + ".new", NOBODY, NOBODY)
    os.rename(path + ".new", path)
    noticed(first, path, "replaced")
    held = logs(path)
    sums = digest(path, *held)
    status, sentence = refused(path)
    print(f"    {status} {sentence}")
    assert digest(path, *held) == sums, "a refused open changed something"
    os.rename(before, path)
    shell = Shell()
    shell.must(f"open rw {path}")
    assert int(shell.must("found")) >= 80
    shell.must("close")
    shell.end()


@case
def root_truncates_a_live_store():
    if not ROOT:
        NOT_TRIED.append("a file cut by root: not root")
        return
    path = path_of("cut.h5")
    first = live(path)
    with contextlib.suppress(OSError):
        h5py.File(path, "w")  # truncates before it asks for the lock
    assert os.path.getsize(path) == 0, "libhdf5 has learnt to lock first: this case needs another cut"
    noticed(first, path, "h5py w by root")
    held = logs(path)
    sums = digest(*held)
    for access in ("rw", "create", "fresh"):
        status, sentence = refused(path, access)
        assert status == "BASALT_CONFLICT", f"{access}: {status} {sentence}"
    print(f"    {status} {sentence}")
    assert digest(*held) == sums, "a refused open changed a log"


@case
def root_makes_another_file_of_a_live_store():
    if not ROOT:
        NOT_TRIED.append("a file replaced in place by root: not root")
        return
    path = path_of("remade.h5")
    first = live(path)
    os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
    made = as_root_unlocked(path)
    del os.environ["HDF5_USE_FILE_LOCKING"]
    assert made == 0, "h5py did not write over the file"
    noticed(first, path, "h5py w without locks")
    held = logs(path)
    sums = digest(path, *held)
    for access in ("rw", "create"):
        status, sentence = refused(path, access)
        assert status == "BASALT_CONFLICT", f"{access}: {status} {sentence}"
    print(f"    {status} {sentence}")
    assert digest(path, *held) == sums, "a refused open changed something"
    assert "conflict=1" in look(path), look(path)


@case
def root_writes_over_a_live_store():
    if not ROOT:
        NOT_TRIED.append("a file overwritten by root: not root")
        return
    path = path_of("overwritten.h5")
    other = path_of("overwriting.h5")
    shell = live(other)
    shell.must("close")
    shell.end()
    first = live(path)
    copy_over(other, path)
    noticed(first, path, "cp by root")
    refused(path)


# ---- a crashed store and files that do not belong to its log --------------------------------------------------


@case
def a_crashed_store_is_moved_without_its_log():
    path = path_of("crashed-moved.h5")
    commits = crashed(path)
    held = logs(path)
    sums = digest(*held)
    os.rename(path, path + ".away")
    for access in ("create", "rw", "new"):
        status, sentence = refused(path, access)
        print(f"    {access}: {status} {sentence}")
        assert not os.path.exists(path), "a file was made beside somebody's log"
    assert digest(*held) == sums
    os.rename(path + ".away", path)
    all_there(path, commits)


@case
def a_crashed_store_is_overwritten_by_another():
    path, other = path_of("crashed-over.h5"), path_of("crashed-other.h5")
    commits = crashed(path)
    shell = live(other, 7, 7)
    shell.must("close")
    shell.end()
    saved = path_of("crashed-saved")
    shutil.copy2(path, saved)
    os.chmod(path, 0o644)  # the user takes the protection away and copies
    copy_over(other, path)
    held = logs(path)
    sums = digest(path, *held)
    status, sentence = refused(path)
    print(f"    {status} {sentence}")
    assert digest(path, *held) == sums, "a refused open changed something"
    copy_over(saved, path)
    all_there(path, commits)


@case
def a_crashed_store_is_changed_by_h5py():
    path = path_of("crashed-changed.h5")
    commits = crashed(path)
    held = logs(path)
    sums = digest(*held)
    os.chmod(path, 0o644)
    assert as_owner(open_h5py, path, "r+") == "OK"
    for access in ("fresh", "rw"):
        shell = Shell()
        status, sentence = shell.ask(f"open {access} {path}")
        print(f"    {access}: {status} {sentence}")
        if status == "BASALT_OK":
            assert int(shell.must("found")) == commits, f"{access}: {commits} were acknowledged"
            shell.must("close")
        else:
            assert status == "BASALT_CONFLICT", f"{access}: {status} {sentence}"
            assert digest(*held) == sums, "a refused open changed a log"
        shell.end()


@case
def a_log_of_another_file():
    path, other = path_of("clean.h5"), path_of("stranger.h5")
    shell = live(path)
    shell.must("close")
    shell.end()
    commits = crashed(other)
    stray = [path + log[len(other):] for log in logs(other)]
    for log, copy in zip(logs(other), stray):
        shutil.copy(log, copy)
        if ROOT:
            os.chown(copy, NOBODY, NOBODY)
    sums = digest(path, *stray)
    for access in ("rw", "create", "fresh"):
        status, sentence = refused(path, access)
        assert status == "BASALT_CONFLICT", f"{access}: {status} {sentence}"
    print(f"    {status} {sentence}")
    assert digest(path, *stray) == sums, "a refused open changed something"
    for copy in stray:
        os.unlink(copy)
    all_there(path, 80)
    all_there(other, commits)


def commits_of(path, access):
    shell = Shell()
    shell.must(f"open {access} {path}")
    found = int(shell.must("found"))
    shell.must("close")
    shell.end()
    return found


@case
def a_crashed_store_is_copied_without_its_log():
    path, copy = path_of("lonely.h5"), path_of("lonely-copy.h5")
    commits = crashed(path)
    shutil.copy2(path, copy)
    if ROOT:
        os.chown(copy, NOBODY, NOBODY)
    sums = digest(copy)
    for access in ("rw", "create", "fresh"):
        status, sentence = refused(copy, access)
        assert status == "BASALT_CONFLICT" and "log is missing" in sentence, f"{access}: {status} {sentence}"
    print(f"    {sentence}")
    found = look(copy)
    assert "missing=1 conflict=0 warning=" in found and "lonely-copy.h5-log.*" in found, found
    assert commits_of(copy, "checkpoint") == 50, "the checkpoint can be read all the same"
    shell = Shell()
    status, sentence = shell.ask(f"recover {copy}")
    assert status == "BASALT_CONFLICT", f"{status} {sentence}"
    assert digest(copy) == sums, "what was refused changed something"
    shell.must(f"recover-without-log {copy}")
    status, sentence = shell.ask(f"recover-without-log {path}")
    assert status == "BASALT_CONFLICT", f"a log that is there was given up: {status} {sentence}"
    shell.end()
    assert "missing=0" in look(copy), look(copy)
    all_there(copy, 50)
    all_there(path, commits)


@case
def a_moved_store_went_on_and_is_put_back_beside_its_old_log():
    path, away = path_of("resumed.h5"), path_of("resumed-away.h5")
    crashed(path)
    os.rename(path, away)
    shell = Shell()
    shell.must(f"recover-without-log {away}")
    shell.must(f"open rw {away}")
    shell.must("found")
    shell.must("append 7")
    shell.must("close")
    shell.end()
    os.rename(away, path)
    held = logs(path)
    sums = digest(path, *held)
    for access in ("rw", "create", "fresh"):
        status, sentence = refused(path, access)
        assert status == "BASALT_CONFLICT", f"{access}: {status} {sentence}"
    print(f"    {sentence}")
    assert "basalt cat" in sentence and "resumed.h5-log.*" in sentence, sentence
    found = look(path)
    assert "missing=0 conflict=1 warning=" in found, found
    assert commits_of(path, "checkpoint") == 57
    assert digest(path, *held) == sums, "what was refused changed something"
    for log in held:
        os.rename(log, away + log[len(path):])
    all_there(path, 57)


@case
def a_copied_pair_recovers():
    path, copy = path_of("pair.h5"), path_of("pair-copy.h5")
    commits = crashed(path)
    shutil.copy(path, copy)
    for log in logs(path):
        shutil.copy(log, copy + log[len(path):])
    if ROOT:
        for name in [copy, *logs(copy)]:
            os.chown(name, NOBODY, NOBODY)
    all_there(copy, commits)
    all_there(path, commits)


# ------------------------------------------------------------------------------------------------------------


def main():
    passed = failed = 0
    wanted = sys.argv[2:]
    for function in CASES:
        if wanted and not any(word in function.__name__ for word in wanted):
            continue
        try:
            print(function.__name__)
            function()
            passed += 1
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED {function.__name__}")
    for sentence in NOT_TRIED:
        print(f"not tried: {sentence}")
    print(f"FIGURE exclusion: {passed} cases passed, {failed} failed, {len(NOT_TRIED)} could not be tried here")
    return 1 if failed else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="basalt-exclusion-") as PLACE:
        os.chmod(PLACE, 0o755)
        PROGRAM = shutil.copy(sys.argv[1], PLACE)
        if ROOT:
            os.chown(PLACE, NOBODY, NOBODY)
        sys.exit(main())
