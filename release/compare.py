#!/usr/bin/python3 -B
"""compare.py - compares two releases byte by byte.

   release/compare.py --exceptions FILE [--another-debian] FIRST SECOND

Prints one line per file. Fails if a file is in one of them only, or differs without being an exception. FILE has a line for each exception:
where (always, or debian: on another Debian release), a pattern of names, and the reason.
"""

import argparse
import fnmatch
import hashlib
import sys
from pathlib import Path


def exceptions(path, another_debian):
    """[(pattern, reason)] that apply."""
    found = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            where, pattern, reason = line.split(maxsplit=2)
            if where not in ("always", "debian"):
                sys.exit(f"{path}: {where} is neither always nor debian")
            if where == "always" or another_debian:
                found.append((pattern, reason))
    return found


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--exceptions", type=Path, required=True)
    parser.add_argument("--another-debian", action="store_true")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    given = parser.parse_args()
    allowed = exceptions(given.exceptions, given.another_debian)
    names = sorted({path.name for directory in (given.first, given.second) for path in directory.iterdir()})
    bad, equal = [], 0
    for name in names:
        one, other = digest(given.first / name), digest(given.second / name)
        reasons = [reason for pattern, reason in allowed if fnmatch.fnmatchcase(name, pattern)]
        if one == other:
            equal += 1
            print(f"  same bytes  {name}")
        elif one is None or other is None:
            bad.append(name)
            print(f"  MISSING     {name}")
        elif reasons:
            print(f"  exception   {name}: {reasons[0]}")
        else:
            bad.append(name)
            print(f"  DIFFERENT   {name}")
    print(f"{equal} of {len(names)} files have the same bytes")
    sys.exit(1 if bad or not names else 0)


if __name__ == "__main__":
    main()
