#!/usr/bin/env python3
"""serving.py - from runs of both daemons to the list of mk/static/serving_functions.

  serving.py LIBC RUN...     LIBC: libc.a; RUN: what callgrind wrote, without compressed strings

What both daemons run comes first, then what only one of them runs, so that each has its own in one piece. Of the driver's, what it runs without
an API server comes before the rest.
"""

import re
import subprocess
import sys

HEAD = """\
# The functions that serve calls, in the order of their code in the release. Written by `make serving-functions`."""


def executed(text):
    """The functions with a cost of their own."""
    found, function = set(), None
    for line in text.splitlines():
        if line.startswith("fn="):
            function = re.sub(r"'\d+$", "", line[3:])  # a recursion has a number
        elif function and re.match(r"[0-9+*-]\S* [1-9]", line):
            found.add(function)
    return found


def members(libc):
    """{function: the object of libc.a that defines it}."""
    found = {}
    for line in subprocess.run(["nm", "-A", "--defined-only", libc], capture_output=True, text=True, check=True).stdout.splitlines():
        where, _, kind, name = line.replace(":", " ").rsplit(None, 3)
        if kind in "tTwW":
            found.setdefault(name, where.split()[-1])
    return found


def main(libc, runs):
    objects = members(libc)
    driver, driver_files, provider = set(), set(), set()
    for path in runs:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        command = re.search(r"^cmd: (.*)", text, re.MULTILINE)[1]
        names = {re.sub(r"\.(isra|constprop|part|cold)\b.*", "", name) for name in executed(text) if re.fullmatch(r"[A-Za-z_][\w.]*", name)}
        names = {f"libc.a:{objects[name]}" if name in objects else name for name in names}
        if "secrets-store-provider-azure" in command:
            provider |= names
        else:
            driver |= names
            if "--kubeconfig" not in command:
                driver_files |= names
    assert driver_files and provider, "no run of a daemon"
    print(HEAD)
    for group in (driver_files & provider, driver_files - provider, (driver - driver_files) & provider, driver - driver_files - provider,
                  provider - driver):
        print(*sorted(group - {"main"}), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
