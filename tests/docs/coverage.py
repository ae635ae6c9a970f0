"""Holds docs/format/coverage.md to the source: every refusal of the reading half is in it, word for
word, and it names no other.

    coverage.py FOLDER      the root of the repository"""

import re
import sys
from pathlib import Path

HEADING = "## What is refused, in its own words"
CALL = re.compile(r"BASALT_UNSUPPORTED\s*,[^;]*?((?:\"(?:[^\"\\]|\\.)*\"|PRI[a-z]\w+|\s)+)[,)]", re.S)


def sentence(parts):
    """The literals of a call as one text, with what it fills in shown as an ellipsis."""
    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r"PRI[a-z]\w+", '""', parts)))
    text = text.replace('\\"', '"')
    return re.sub(r"%[-.*0-9]*[a-z]*|%", "…", text.replace("%zu", "%u"))


def refusals(root):
    found = {}
    for path in sorted((root / "src/h5").glob("h5_*.c")):
        for match in CALL.finditer(path.read_text()):
            found[sentence(match.group(1))] = path.name
    return found


def main():
    root = Path(sys.argv[1])
    page = (root / "docs/format/coverage.md").read_text()
    told = set(re.findall(r"^- (.*)$", page.split(HEADING)[1], re.M)) if HEADING in page else set()
    found = refusals(root)
    for text, name in found.items():
        if text not in told:
            print(f"{name}: coverage.md does not say: - {text}")
    for text in sorted(told - set(found)):
        print(f"coverage.md says what no source does: - {text}")
    print(f"{len(found)} refusals in src/h5, {len(told)} in coverage.md")
    return 0 if told == set(found) and found else 1


if __name__ == "__main__":
    sys.exit(main())
