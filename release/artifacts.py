#!/usr/bin/python3 -B
"""artifacts.py - the table of every file of a release, with its size and the command that verifies it.

   release/artifacts.py VERSION DIRECTORY              prints it
   release/artifacts.py VERSION DIRECTORY --update     and writes it into docs/release.md, between its marks

VERSION stands for itself in the table. A file without a command is an error: there is nothing in a release that cannot be verified.
"""

import fnmatch
import sys
from pathlib import Path

SIGNATURE = "SHA256SUMS.minisig"
PAGE = Path(__file__).resolve().parents[1] / "docs/release.md"
BEGIN, END = "<!-- artifacts: begin. Written by `make release-table`. -->\n", "<!-- artifacts: end -->\n"
# What shows that a file is whole and what it says; typed in the directory of the files, FILE is its name. release-test types all of them.
COMMANDS = (
    (SIGNATURE, "minisign -V -p release.pub -m SHA256SUMS"),
    ("SHA256SUMS", "sha256sum --check SHA256SUMS"),
    ("provenance-*.intoto.json", "python3 -m json.tool FILE"),
    ("*.oci.tar", "skopeo inspect --raw oci-archive:FILE"),
    ("*.deb", "dpkg-deb --info FILE"),
    ("*.spdx.json", "python3 -m json.tool FILE"),
    ("*.cdx.json", "python3 -m json.tool FILE"),
    ("secrets-store-csi-sync-*.yaml", "grep -A2 'kind: ClusterRole$' FILE"),
    ("secrets-store-csi-*.yaml", "grep 'image: .*@sha256:' FILE"),
    ("*.tar.gz", "tar -tzf FILE"),
    ("*.tgz", "helm lint FILE"),
)


def command_of(name):
    for pattern, command in COMMANDS:
        if fnmatch.fnmatchcase(name, pattern):
            return command.replace("FILE", name)
    sys.exit(f"artifacts.py: no command verifies {name}")


def table(version, directory):
    lines = ["| File | KiB | Verify |", "| --- | ---: | --- |"]
    sizes = {SIGNATURE: 0, **{path.name: path.stat().st_size for path in directory.iterdir()}}  # a signature of every published release
    for name, size in sorted(sizes.items()):
        shown, command = name.replace(version, "VERSION"), command_of(name).replace(version, "VERSION")
        lines.append(f"| `{shown}` | {max(1, round(size / 1024))} | `{command}` |")
    return "\n".join(lines) + "\n"


def main():
    version, directory = sys.argv[1], Path(sys.argv[2])
    text = table(version, directory)
    if sys.argv[3:] == ["--update"]:
        page = PAGE.read_text()
        start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(page[:start] + "\n" + text + "\n" + page[end:])
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
