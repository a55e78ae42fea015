"""The flag reference, docs/flags.md, generated from --help of the programs, which comes from their tables of options."""

import re
import subprocess

from harness.process import BUILD, ROOT

CTL_COMMANDS = ("info", "probe", "publish", "unpublish", "stats", "version", "mount", "health", "diagnose", "lint", "exec", "copy")
HEAD = """\
# Flags

All flags of the programs, generated from `--help` by `make reference`. A test fails if this file differs.

- One or two dashes are equal, and `-name=value` and `-name value` both work. A boolean takes a value only with `=`.
- Durations look like `300ms`, `30s`, `2m`, `1h30m`.
- A program exits with status 2 after an unknown flag or a value that cannot be read, and with 1 after one that it cannot use.
"""


def usage(*argv):
    return subprocess.run([str(BUILD / "bin" / argv[0]), *argv[1:], "--help"], capture_output=True, text=True, timeout=30, check=True).stdout


def parse(text):
    """([(flag, value name, default, help)], [ignored flags]) of one usage text."""
    rows, ignored = [], []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        head = re.match(r"^  --(\S+)(?: (.+))?$", line)
        if head:
            words = lines[number + 1].strip()
            default = re.search(r' \(default (.*?)\)$', words)
            rows.append((head.group(1), head.group(2) or "", default.group(1) if default else "",
                         words[:default.start()] if default else words))
        elif line.startswith("Accepted and ignored:"):
            ignored = line.split(":", 1)[1].split()
    assert rows, text
    return rows, ignored


def table(rows, ignored):
    def cell(value):
        return value.replace("|", "\\|")
    out = ["| Flag | Default | Effect |", "| --- | --- | --- |"]
    for flag, value, default, words in rows:
        shown = f"`--{flag}`" + (f" *{value}*" if value else "")
        out.append(f"| {shown} | {'`' + default + '`' if default else ''} | {cell(words)} |")
    text = "\n".join(out) + "\n"
    if ignored:
        text += "\nAccepted and ignored, so that older manifests still start: " + ", ".join(f"`{flag}`" for flag in ignored) + ".\n"
    return text


def flags_document():
    text = HEAD
    for program in ("secrets-store-driver", "secrets-store-provider-azure"):
        text += f"\n## {program}\n\n" + table(*parse(usage(program)))
    text += "\n## secrets-store-ctl\n"
    for command in CTL_COMMANDS:
        text += f"\n### secrets-store-ctl {command}\n\n" + table(*parse(usage("secrets-store-ctl", command)))
    return text


if __name__ == "__main__":
    (ROOT / "docs/flags.md").write_text(flags_document())
