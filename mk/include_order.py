#!/usr/bin/env python3
"""include_order.py - checks that directories stand one above the other.

mk/include_order.txt lists the directories from the lowest to the highest. A file may include headers of its own directory and of directories
that stand lower. An include that points upward, a directory that is not listed and a listed directory that does not exist are errors.
The programs (driver, provider-azure, ctl) never include each other, whatever the order says.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORDER_FILE = "mk/include_order.txt"
PROGRAMS = ("driver", "provider-azure", "ctl")
INCLUDE = re.compile(r'^#include "([^"]+)"')


def listed_directories():
    lines = (ROOT / ORDER_FILE).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def program_of(directory):
    top = directory.split("/")[0]
    return top if top in PROGRAMS else None


def problems_of(source, rank):
    directory = os.path.dirname(source)
    if directory not in rank:
        yield f"{source}: directory {directory} is not listed in {ORDER_FILE}"
        return
    for number, line in enumerate((ROOT / source).read_text(encoding="utf-8").splitlines(), start=1):
        match = INCLUDE.match(line)
        if match is None or not (ROOT / match.group(1)).is_file():
            continue
        target = os.path.dirname(match.group(1))
        if target not in rank:
            yield f"{source}:{number}: includes {match.group(1)}, whose directory is not listed in {ORDER_FILE}"
        elif rank[target] > rank[directory]:
            yield f"{source}:{number}: {directory} includes {match.group(1)}, which stands above it"
        elif program_of(target) is not None and program_of(target) != program_of(directory):
            yield f"{source}:{number}: {program_of(directory) or directory} includes {match.group(1)} of another program"


def main():
    order = listed_directories()
    rank = {directory: position for position, directory in enumerate(order)}
    sources = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "common/*.[ch]", "driver/*.[ch]", "provider-azure/*.[ch]", "ctl/*.[ch]"],
                             cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    sources = [source for source in sources if (ROOT / source).is_file()]
    problems = [f"{ORDER_FILE}: there is no directory {directory}" for directory in order if not (ROOT / directory).is_dir()]
    problems += [problem for source in sources for problem in problems_of(source, rank)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"include order: {len(sources)} files in {len(order)} directories, {len(problems)} problems")
    return 1 if problems or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
