"""Compares what Basalt reads of files that make_fixtures makes with what libhdf5 reads of them.

    fixtures.py MAKE_FIXTURES WALK_CORPUS WALK_LIBHDF5

Line by line: every object, attribute, link and sum of values. Files that h5py opens are given to the
comparison of walk_corpus.py too, which asks h5py."""

import os
import subprocess
import sys
import tempfile

import walk_corpus


def lines_of(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    lines = done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]
    if done.returncode:
        lines.append(f"E\tthe program ended with {done.returncode}: {done.stderr[-300:]}")
    return lines


def compare(walk, oracle, folder, fixture):
    name, other, driver = fixture
    warned, found, problems = False, set(), []
    for line in lines_of([walk, name], folder):
        if line[0] == "W":
            warned = True
        elif line[0] == "V":
            problems.append(line)
        else:
            found.add(line)
    expected = set(lines_of([oracle, other, *driver.split()], folder))
    if warned != name.startswith("flagged"):
        problems.append("a warning is missing, or should not be there")
    problems += [f"only Basalt: {line[:300]}" for line in sorted(found - expected)]
    problems += [f"only libhdf5: {line[:300]}" for line in sorted(expected - found)]
    return len(expected), problems


def main():
    make, walk, oracle = [os.path.abspath(path) for path in sys.argv[1:4]]
    totals = dict.fromkeys(walk_corpus.TOTALS, 0)
    lines = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([make, folder], stdout=subprocess.PIPE, text=True, check=False)
        failed += made.returncode != 0
        fixtures = [line.split("\t") for line in made.stdout.splitlines()]
        for fixture in fixtures:
            count, problems = compare(walk, oracle, folder, fixture)
            lines += count
            if not fixture[2] and fixture[0] == fixture[1]:
                more, _ = walk_corpus.compare_file(
                    walk, oracle, os.path.join(folder, fixture[0]), totals
                )
                problems += more
            for text in problems[:20]:
                print(f"DIFFERS {fixture[0]}: {text}")
            failed += bool(problems)
    print(
        f"{len(fixtures)} files, {failed} differ: {lines} objects, attributes and links equal to "
        f"libhdf5, of which {totals['D']} datasets and {totals['A']} attributes equal to h5py too"
    )
    return 1 if failed or not fixtures else 0


if __name__ == "__main__":
    sys.exit(main())
