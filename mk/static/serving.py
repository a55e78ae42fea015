#!/usr/bin/env python3
"""serving.py - from runs of both daemons to the lists mk/static/serving_functions and serving_constants.

  serving.py LIBRARIES OURS DIRECTORY RUN...     LIBRARIES: the directory of libc.a and the other archives; OURS: that of our own;
                                                 DIRECTORY: where the lists go; RUN: what callgrind wrote, without compressed strings

Of the functions, what both daemons run comes first, then what only one of them runs, so that each has its own in one piece. Of the driver's, what
it runs without an API server comes before the rest. Last is what only the questions for health and metrics need. The constants are those that one
of these functions names.
"""

import re
import subprocess
import sys
from pathlib import Path

HEAD = """\
# The {} that serve calls, in the order of the release. Written by `make serving-functions`."""

# valgrind knows no names of what musl has in assembly. libgcc is for numbers of 128 bits here.
UNSEEN = {"libgcc.a:*", *(f"libc.a:{name}.lo" for name in ("clone", "memcpy", "memmove", "memset"))}

# valgrind knows no mlock2(2), so that no run has the memory for secrets.
UNSEEN_SOURCES = ("secret_arena", "tls_memory")

# The start leaves pointers to them where calls find them.
UNSEEN_CONSTANTS = {"*buckets"}


def lines_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def plain(name):
    """Without what the compiler appends: the kinds of a function's copies and of its constants."""
    return re.sub(r"\.(isra|constprop|part|cold|lto_priv|str\d|cst\d).*", "", name)


def executed(text):
    """The functions with a cost of their own."""
    found, function = set(), None
    for line in text.splitlines():
        if line.startswith("fn="):
            function = re.sub(r"'\d+$", "", line[3:])  # a recursion has a number
        elif function and re.match(r"[0-9+*-]\S* [1-9]", line):
            found.add(function)
    return {plain(name) for name in found if re.fullmatch(r"[A-Za-z_][\w.]*", name)}


def members(libc):
    """{function: the object of libc.a that defines it}, and the functions whose name may also be another's."""
    found, local = {}, set()
    for line in lines_of("nm", "-A", "--defined-only", libc):
        where, _, kind, name = line.replace(":", " ").rsplit(None, 3)
        if kind in "tTwW":
            found[name] = min(found.get(name, "~"), f"{'TWtw'.index(kind)}{where.split()[-1]}")  # a weak one may be a stand-in
        if kind == "t":
            local.add(name)
    return {name: member[1:] for name, member in found.items()}, local


def unseen(libcommon):
    """What lies with the functions that the runs have shown: all functions of UNSEEN_SOURCES as well."""
    found = set()
    for line in lines_of("nm", "-A", "--defined-only", libcommon):
        where, _, kind, name = line.replace(":", " ").rsplit(None, 3)
        if kind in "tT" and where.split()[-1].removesuffix(".o") in UNSEEN_SOURCES:
            found.add(plain(name))
    return UNSEEN | found


CONSTANT = re.compile(r"\.(rodata|data(?:\.rel)?(?:\.ro)?(?:\.local)?)\.(.*)")  # and variables, which may point to some


def constants(archives, functions):
    """The sections of constants that the functions need, also by way of others. A text that is several times in a file is with the first that
    has it, and has a name (.LC5) in that file only."""
    needs, symbols, defined = {}, {}, {}  # {section: sections and names}, {name: section} of the object and of all; a section is (object, name)
    member, section = 0, None
    for line in lines_of("objdump", "--syms", "--reloc", "--wide", *archives):
        if line.startswith("SYMBOL TABLE"):
            member, symbols, section = member + 1, {}, None
        elif line.startswith("RELOCATION RECORDS"):
            section = (member, line[line.index("[") + 1:line.index("]")])
        elif section is None and (symbol := re.match(r"[0-9a-f]{16} (.).{6} (\.\S+)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)", line)):
            symbols[symbol[3]] = (member, symbol[2])
            if symbol[1] != "l":
                defined[symbol[3]] = symbols[symbol[3]]
        elif section and (reference := re.search(r" R_\w+ +(.+?)(?:[+-]0x[0-9a-f]+)?$", line)):
            needs.setdefault(section, []).append(symbols.get(reference[1], reference[1]))
    waiting = [section for section in needs if section[1].startswith(".text.") and plain(section[1][6:]) in functions]
    found = set()
    while waiting:
        for need in needs.get(waiting.pop(), ()):
            need = defined.get(need, need)
            if need not in found and isinstance(need, tuple) and CONSTANT.match(need[1]):
                found.add(need)
                waiting.append(need)
    return {plain(match[2]) for _, name in found if (match := CONSTANT.match(name)) and match[1] == "rodata"}


def write(path, what, *groups):
    lines = [HEAD.format(what)] + [name for group in groups for name in sorted(group)]
    path.write_text("\n".join(lines) + "\n")


def main(libraries, ours, directory, *runs):
    objects, local = members(f"{libraries}/libc.a")
    driver, driver_files, provider, asked = set(), set(), set(), set()
    for path in runs:
        text = Path(path).read_text(encoding="utf-8")
        command = re.search(r"^cmd: +(\S+)(.*)", text, re.MULTILINE)
        names = executed(text)
        if re.search(r"--(prometheus-port|metrics-addr)=\S*[1-9]", command[2]):
            asked |= names
        elif "secrets-store-provider-azure" in command[1]:
            provider |= names
        else:
            driver |= names
            if "--kubeconfig" not in command[2]:
                driver_files |= names
    assert driver_files and provider and asked, "no run of a daemon"
    archives = sorted([*Path(libraries).glob("*.a"), *Path(ours).glob("*.a")])
    used = constants(archives, (driver | provider | asked) - {"main"})  # which names the flags
    write(Path(directory, "serving_constants"), "constants", used | UNSEEN_CONSTANTS)

    def listed(names):
        return {f"libc.a:{objects[name]}" if name in objects else name for name in names} | (names & local)
    write(Path(directory, "serving_functions"), "functions", *map(listed, (
        driver_files & provider | unseen(f"{ours}/libcommon.a"), driver_files - provider, (driver - driver_files) & provider,
        driver - driver_files - provider, provider - driver, asked - driver - provider)))


if __name__ == "__main__":
    main(*sys.argv[1:])
