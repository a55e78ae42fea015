"""coverage.py - prints which share of the product's lines and branches has run, by directory.

    test/tools/coverage.py build/coverage       after tests of that variant; needs gcovr

A program that is killed leaves no counters. build/test/coverage.json has the same numbers for each file.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build/test/coverage.json"
COUNTS = ("line_covered", "line_total", "branch_covered", "branch_total")


def main(build):
    subprocess.run(["gcovr", "--root", ROOT, "--filter", "common/", "--filter", "driver/", "--filter", "provider-azure/", "--filter", "ctl/", "-j", "2",
                    "--gcov-ignore-parse-errors", "--json-summary", "--json-summary-pretty", "--output", OUT, Path(build) / "obj"],
                   cwd=ROOT, check=True)
    directories = defaultdict(lambda: [0] * len(COUNTS))
    for file in json.loads(OUT.read_text())["files"]:
        for directory in (str(Path(file["filename"]).parent), "all"):
            directories[directory] = [sum(pair) for pair in zip(directories[directory], (file[count] for count in COUNTS))]
    print(f"\n  {'directory':28} {'lines':>14} {'branches':>16}")
    for directory in sorted(set(directories) - {"all"}) + ["all"]:
        lines, all_lines, branches, all_branches = directories[directory]
        print(f"  {directory:28} {percent(lines, all_lines)} of {all_lines:6} {percent(branches, all_branches)} of {all_branches:6}")


def percent(part, whole):
    return f"{100 * part / whole if whole else 100:5.1f} %"


if __name__ == "__main__":
    main(sys.argv[1])
