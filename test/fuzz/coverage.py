"""coverage.py - which share of each parser the committed corpora run.

    test/fuzz/coverage.py build/coverage       after `make VARIANT=coverage fuzzers`; `make fuzz-coverage` does both

parsers.txt names the parsers of outside bytes and their fuzz targets. Each target replays its committed corpus and nothing else. Lines
that report lack of memory do not count: unit/test_driver_memory.c and unit/test_azure_memory.c run those. The exit status is 1 when a
parser has less than LIMIT % of its lines run, when a target has no corpus or fails, or when no parser names it.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 90  # per cent of the lines
NO_MEMORY = re.compile(r"no_memory|no memory|out of memory|NO_MEMORY|_ALLOC_FAILED|ENOMEM")


def parsers():
    """Yields (file, functions, targets) of parsers.txt; functions is empty for all, or "-a,b" for all but a and b."""
    for line in (ROOT / "test/fuzz/parsers.txt").read_text().splitlines():
        fields = line.split("#")[0].split()
        if fields:
            name, *targets = fields
            file, _, functions = name.partition(":")
            yield file, functions, targets


def replay(build, target, counters):
    """Runs the corpus of a target; its counters go below `counters`. Returns what is wrong, or None."""
    corpus = ROOT / "test/fuzz/corpus" / target
    if not corpus.is_dir():
        return "no corpus"
    try:
        result = subprocess.run([build / "fuzz" / f"fuzz_{target}", corpus], env=dict(os.environ, GCOV_PREFIX=str(counters)),
                                capture_output=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return "does not end"
    return None if result.returncode == 0 else f"exit status {result.returncode}"


def gcov(build, file, counters):
    """The lines of a file as gcov counts them: a list of dictionaries."""
    stem = build / "obj" / file.removesuffix(".c")
    data = counters / stem.relative_to("/").with_suffix(".gcda")
    if not data.exists():
        return []
    notes = data.with_suffix(".gcno")
    if not notes.exists():
        notes.symlink_to(stem.with_suffix(".gcno"))
    out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", data], cwd=ROOT, capture_output=True, check=True).stdout
    return [line for unit in json.loads(out)["files"] if unit["file"] == file for line in unit["lines"]]


class Parser:
    """What has run of a file, or of some of its functions, over all its targets."""

    def __init__(self, file, functions):
        self.names, self.all_but = set(functions.removeprefix("-").split(",")), functions[:1] in ("", "-")
        self.text = (ROOT / file).read_text().splitlines()
        self.lines, self.branches, self.function = {}, {}, {}

    def counts(self, line):
        return (line.get("function_name") in self.names) != self.all_but and not NO_MEMORY.search(self.text[line["line_number"] - 1])

    def add(self, lines):
        for line in filter(self.counts, lines):
            number = line["line_number"]
            self.function[number] = line.get("function_name", "?")
            self.lines[number] = self.lines.get(number, False) or line["count"] > 0
            for i, branch in enumerate(line["branches"]):
                self.branches[number, i] = self.branches.get((number, i), False) or branch["count"] > 0

    def missing(self):
        """The lines that have not run, by function."""
        found = {}
        for number in sorted(number for number, ran in self.lines.items() if not ran):
            found.setdefault(self.function[number], []).append(str(number))
        return "; ".join(f"{name}() {' '.join(numbers)}" for name, numbers in found.items())


def percent(ran):
    return 100 * sum(ran.values()) / len(ran) if ran else 0


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    listed = list(parsers())
    built = {path.name.removeprefix("fuzz_") for path in (build / "fuzz").iterdir() if path.is_file()}
    problems = [f"fuzz_{target}: no parser in parsers.txt names it" for target in sorted(built - {t for _, _, ts in listed for t in ts})]
    with tempfile.TemporaryDirectory(prefix="fuzz-coverage-") as scratch:
        counters = {target: pathlib.Path(scratch) / target for target in built}
        for target in sorted(built):
            wrong = replay(build, target, counters[target])
            if wrong:
                problems.append(f"fuzz_{target}: {wrong}")
        print(f"{'parser':<44} {'lines':>6} {'branches':>9}  targets")
        for file, functions, targets in listed:
            parser = Parser(file, functions)
            for target in targets:
                if target not in built:
                    problems.append(f"{file}: there is no target {target}")
                    continue
                parser.add(gcov(build, file, counters[target]))
            lines = percent(parser.lines)
            if lines < LIMIT:
                problems.append(f"{file}: {lines:.1f} % of the lines, less than {LIMIT}; missing: {parser.missing()}")
            print(f"{file + ('*' if functions else ''):<44} {lines:6.1f} {percent(parser.branches):9.1f}  {' '.join(targets)}")
    print("* only the functions named in parsers.txt")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
