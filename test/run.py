"""run.py - builds what is tested, runs every test and prints one total: `make test`, `make test-quick`, `make test-full`.

Unit tests (cmocka) run in all variants, corpus replays in the sanitized one; the pytest suites run against the release programs, and what
is neither slow nor independent of the programs against the sanitized and the static ones. The suites wait more than they compute, so twelve
tests run at a time, and the next variant is built beside them with the lowest priority. Every result ends in a junit file below build/test/.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "test"
UNIT_TIMEOUT_S = 600
WORKERS = os.environ.get("WORKERS", "12")
SLOWEST = 10
PROBLEM_LINES = 8  # of each failure
INTEGRATION = ["test/integration", "test/sanity"]
ASAN_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
SANDBOX = [sys.executable, ROOT / "test/tools/sandbox.py"] if os.geteuid() == 0 else []  # without root there is no harm to do


class Totals:
    """What every test came to. Its methods may be called by several threads."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.reasons = Counter()  # of what was skipped
        self.seconds = []  # (seconds, name)
        self._lock = threading.RLock()

    def add(self, name, problem, seconds=0.0):
        with self._lock:
            self.seconds.append((seconds, name))
            if problem is None:
                self.passed += 1
            else:
                self.failed += 1
                self.failures.append((name, problem))

    def add_junit(self, path, prefix):
        """Counts the cases of a junit file; returns (how many there were, how many of them failed)."""
        try:
            root = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError) as error:
            self.add(f"{prefix} {path.name}", f"no readable junit file: {error}")
            return 0, 1
        cases = failed = 0
        for case in root.iter("testcase"):
            cases += 1
            name = f"{prefix} {case.get('classname') or ''} {case.get('name')}".replace("  ", " ")
            problem = case.find("failure") if case.find("failure") is not None else case.find("error")
            if problem is not None:
                failed += 1
                lines = (problem.get("message") or problem.text or "failed").strip().splitlines()
                self.add(name, "\n    ".join(lines[:PROBLEM_LINES]))
            elif case.find("skipped") is not None:
                with self._lock:
                    self.skipped += 1
                    # cmocka has no reasons: its tests print them
                    self.reasons[case.find("skipped").get("message") or name] += 1
            else:
                self.add(name, None, float(case.get("time") or 0))
        return cases, failed

    def print(self):
        """The failures come last: who sees only the end of a log sees them."""
        if self.reasons:
            print("\nSkipped:")
            for reason, number in sorted(self.reasons.items()):
                print(f"  {number:4}  {reason}")
        print(f"\nThe {SLOWEST} slowest:")
        for seconds, name in sorted(self.seconds, reverse=True)[:SLOWEST]:
            print(f"  {seconds:6.1f} s  {name}")
        if self.failures:
            print("\nFailures:")
            for name, problem in self.failures:
                print(f"  {name}: {problem}")
        print(f"\n{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else ""))


class Screen:
    """Lines that stay, and on a terminal one at the bottom that says how far the running steps are."""

    def __init__(self):
        self.started = time.monotonic()
        self.running = {}  # step -> function that says how far it is
        self._lock = threading.RLock()
        if sys.stdout.isatty():
            threading.Thread(target=self._refresh, daemon=True).start()

    def line(self, text):
        with self._lock:
            erase = "\r\x1b[K" if sys.stdout.isatty() else ""
            print(f"{erase}{text}", flush=True)

    def _refresh(self):
        while True:
            time.sleep(0.5)
            with self._lock:
                steps = ", ".join(f"{name} {state()}".strip() for name, state in list(self.running.items()))
                text = f"  {time.monotonic() - self.started:.0f} s: {steps}"
                print(f"\r\x1b[K{text[:shutil.get_terminal_size().columns - 1]}", end="", flush=True)

    def step(self, name, state=lambda: ""):
        return _Step(self, name, state)


class _Step:
    def __init__(self, screen, name, state):
        self.screen, self.name, self.state = screen, name, state
        self.result = ""

    def __enter__(self):
        self.started = time.monotonic()
        self.screen.running[self.name] = self.state
        return self

    def __exit__(self, *_):
        self.screen.running.pop(self.name)
        self.screen.line(f"  {self.name}: {self.result + ', ' if self.result else ''}{time.monotonic() - self.started:.0f} s")


class Run:
    def __init__(self):
        self.totals = Totals()
        self.screen = Screen()
        self.programs = ThreadPoolExecutor(max_workers=2 * os.cpu_count())  # unit test programs and replays
        self.background = []

    def command(self, name, argv, environment=None):
        """Runs `argv` with its output in a log; returns whether that went well, and the last lines of the log when it did not."""
        log_path = OUT / f"{name}.log"
        with open(log_path, "wb") as log:
            status = subprocess.run(argv, cwd=ROOT, env=environment, check=False, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT).returncode
        return status, log_path

    def complain(self, name, problem, log_path):
        self.totals.add(name, f"{problem}, see {log_path.relative_to(ROOT)}")
        lines = log_path.read_text(errors="replace").splitlines()[-15:]
        self.screen.line("\n".join("    " + line for line in lines))

    def build(self, name, *argv):
        def last_line():
            try:
                return (OUT / f"build-{name}.log").read_text(errors="replace").rstrip().rpartition("\n")[2].strip()
            except OSError:
                return ""
        with self.screen.step(f"build of {name}", last_line):
            # of a make around this one its children know nothing
            environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
            status, log_path = self.command(f"build-{name}", argv, environment)
        if status != 0:
            self.complain(f"build of {name}", f"exit status {status}", log_path)
        return status == 0

    def _program(self, argv, log_path, environment):
        with open(log_path, "wb") as log:
            try:
                return subprocess.run([*SANDBOX, *argv], cwd=ROOT, env=dict(os.environ, **ASAN_ENV, **environment), stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, timeout=UNIT_TIMEOUT_S, check=False).returncode
            except subprocess.TimeoutExpired:
                return "timeout"

    def _unit(self, binary, variant):
        """Runs one cmocka program."""
        directory = OUT / f"unit-{variant}"
        log_path = directory / f"{binary.name}.log"
        status = self._program([binary], log_path,
                               {"CMOCKA_MESSAGE_OUTPUT": "xml", "CMOCKA_XML_FILE": str(directory / f"{binary.name}-%g.xml")})
        cases = failed = 0
        for path in directory.glob(f"{binary.name}-*.xml"):
            counts = self.totals.add_junit(path, f"unit-{variant} {binary.name}")
            cases, failed = cases + counts[0], failed + counts[1]
        # a crash leaves no junit file, a leak one without failures: the exit status counts, too
        if cases == 0 or (status != 0 and failed == 0):
            self.totals.add(f"unit-{variant} {binary.name}", f"exit status {status}, see {log_path.relative_to(ROOT)}")

    def _replay(self, program, variant):
        corpus = ROOT / "test" / "fuzz" / "corpus" / program.name.removeprefix("fuzz_")
        log_path = OUT / f"fuzz-{variant}" / f"{program.name}.log"
        problem = None
        if not corpus.is_dir() or not any(corpus.iterdir()):
            problem = f"no corpus in {corpus.relative_to(ROOT)}"
        else:
            status = self._program([program, corpus], log_path, {})
            if status != 0:
                problem = f"exit status {status}, see {log_path.relative_to(ROOT)}"
        self.totals.add(f"fuzz corpus {program.name}", problem)

    def _start(self, name, directory, pattern, function, variant):
        # a program whose source is gone was built before that, and is none of this tree
        programs = sorted(path for path in directory.glob(pattern) if (ROOT / "test" / directory.name / f"{path.name}.c").is_file())
        if not programs:
            self.totals.add(f"{name} ({variant})", f"nothing was built in {directory}")
            return
        (OUT / f"{directory.name}-{variant}").mkdir(parents=True)
        futures = [self.programs.submit(function, path, variant) for path in programs]

        def wait():
            with self.screen.step(f"{name} ({variant})", lambda: f"{sum(future.done() for future in futures)}/{len(futures)}") as step:
                step.result = f"{len(programs)} programs"
                for future in futures:
                    future.result()
        thread = threading.Thread(target=wait)
        thread.start()
        self.background.append(thread)

    def start_units(self, build, variant):
        self._start("unit tests", build / "unit", "test_*", self._unit, variant)

    def start_replays(self, build, variant):
        self._start("fuzz corpus replays", build / "fuzz", "fuzz_*", self._replay, variant)

    def pytest(self, build, variant, arguments, script="test/integration/run.sh", suite="integration", workers=WORKERS, kubernetes="oldest"):
        name = f"{suite}-{variant}" if kubernetes == "oldest" else f"{suite}-{variant}-kubernetes-{kubernetes}"
        junit, progress = OUT / f"{name}.xml", OUT / f"{name}.progress"
        environment = dict(os.environ, BUILD=str(build), JUNIT=str(junit), WORKERS=workers, PROGRESS=str(progress), KUBERNETES=kubernetes, **ASAN_ENV)

        def state():
            try:
                done, failed, tests = progress.read_text().split()
            except (OSError, ValueError):
                return ""
            return f"{done}/{tests}" + (f", {failed} failed" if failed != "0" else "")
        with self.screen.step(f"{suite} ({variant})", state) as step:
            status, log_path = self.command(name, ["bash", ROOT / script, *arguments, "-q"], environment)
            cases, _ = self.totals.add_junit(junit, name)
            step.result = f"{cases} tests"
        if status not in (0, 1) or cases == 0:
            self.complain(name, f"pytest ended with status {status}", log_path)

    def fuzz(self, build):
        """Every target for FUZZ_SECONDS; a line of the script's table is a result."""
        with self.screen.step("fuzz"):
            _, log_path = self.command("fuzz", ["bash", ROOT / "test/fuzz/run.sh"], dict(os.environ, BUILD=str(build)))
        results = re.findall(r"^(fuzz_\w+) .* (ok|FAILED)$", log_path.read_text(errors="replace"), re.MULTILINE)
        for target, result in results or [("fuzz", "no target ran")]:
            self.totals.add(f"fuzz {target}", None if result == "ok" else f"{result}, see {log_path.relative_to(ROOT)}")

    def fuzz_coverage(self, build):
        """What the committed corpora run of each parser."""
        with self.screen.step("fuzz coverage"):
            status, log_path = self.command("fuzz-coverage", [sys.executable, ROOT / "test/fuzz/coverage.py", str(build)], os.environ)
        self.totals.add("fuzz coverage", None if status == 0 else f"see {log_path.relative_to(ROOT)}")

    def join(self):
        while self.background:
            self.background.pop().join()

    def finish(self):
        self.join()
        self.totals.print()
        return 1 if self.totals.failed or self.totals.passed == 0 else 0


class Builder:
    """Builds one thing after the other beside the tests; `wait(name)` says whether that went well."""

    def __init__(self, run):
        self.run = run
        self.wanted = []  # (name, argv)
        self.done = {}
        self.results = {}

    def add(self, name, *argv):
        self.wanted.append((name, argv))
        self.done[name] = threading.Event()

    def make(self, variant, *goals, compiler=("CC=gcc",)):
        self.add(variant, "make", f"-j{os.cpu_count()}", "--no-print-directory", f"VARIANT={variant}", *compiler, *goals)

    def start(self):
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        for number, (name, argv) in enumerate(self.wanted):
            # the first is what everybody waits for
            self.results[name] = self.run.build(name, *(["nice", "-n", "19"] if number else []), *argv)
            self.done[name].set()

    def wait(self, name):
        self.done[name].wait()
        return self.results[name]


def main():
    parser = argparse.ArgumentParser(description="Builds and runs the tests.")
    parser.add_argument("--quick", action="store_true", help="release programs only, without the slow tests")
    parser.add_argument("--full", action="store_true", help="everything there is")
    parser.add_argument("--coverage", action="store_true", help="programs that count what runs; prints the share of each directory")
    parser.add_argument("--only-static", action="store_true", help="the static build and nothing else, the slow tests among them")
    options = parser.parse_args()

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    run = Run()
    run.screen.line("Building and running the tests:")
    if options.quick:
        quick(run)
    elif options.only_static:
        only_static(run)
    elif options.coverage:
        coverage(run)
    else:
        everything(run, options.full)
    return run.finish()


# what needs the network, once per machine
TOOLS = ("bash", "-ec", "test/charts/get-helm.sh; test/interop/get-peers.sh charts; test/sanity/get-csi-sanity.sh; test/tools/get-promtool.sh; "
                        "test/tools/get-docker-env.sh")
UPSTREAM = ("bash", "-ec", "test/interop/get-peers.sh driver azure; test/e2e/get-sidecars.sh; test/e2e/get-crictl.sh")
KUBERNETES = ("test/cluster/get-kubernetes.sh", "kube-apiserver", "kube-controller-manager", "kubectl")
FULL_KUBERNETES = (*KUBERNETES, "kube-scheduler", "kubelet")
RELEASE, ASAN, STATIC, COVERAGE, FUZZ = (ROOT / "build" / name for name in ("release", "asan", "static", "coverage", "fuzz-clang"))


def quick(run):
    builder = Builder(run)
    builder.make("release", "programs", "emulator", "units")
    builder.add("tools", *TOOLS)
    builder.start()
    if builder.wait("release"):
        run.start_units(RELEASE, "release")
        builder.wait("tools")
        run.pytest(RELEASE, "release", [*INTEGRATION, "-m", "not slow"])


def only_static(run):
    builder = Builder(run)
    builder.make("release", "programs", "emulator")
    builder.make("static", "static-units", compiler=())
    builder.start()
    if builder.wait("release") and builder.wait("static"):
        run.start_units(STATIC, "static")
        run.pytest(STATIC, "static", [*INTEGRATION, "-m", "not once"])


def coverage(run):
    for counters in COVERAGE.rglob("*.gcda"):
        counters.unlink()
    builder = Builder(run)
    builder.make("coverage", "programs", "emulator", "units")
    builder.add("tools", *TOOLS)
    builder.start()
    if builder.wait("coverage") and builder.wait("tools"):
        run.start_units(COVERAGE, "coverage")
        run.pytest(COVERAGE, "coverage", [*INTEGRATION, "-m", "not release_only and not once"])
        run.join()
        subprocess.run([sys.executable, ROOT / "test/tools/coverage.py", COVERAGE], cwd=ROOT, check=True)


def everything(run, full):
    if full:
        os.environ.setdefault("SOAK_MINUTES", "1")
    builder = Builder(run)
    builder.make("release", "programs", "emulator", "units")
    builder.add("tools", *TOOLS)
    builder.add("kubernetes", *(FULL_KUBERNETES if full else KUBERNETES))
    builder.make("asan", "programs", "emulator", "units", "fuzzers")
    builder.make("static", "static-units", compiler=())
    if full:
        builder.add("images", "make", "--no-print-directory", "images")
        builder.add("upstream", *UPSTREAM)
        builder.add("newest kubernetes", "env", "KUBERNETES=newest", *FULL_KUBERNETES)
        builder.make("fuzz", "fuzzers", compiler=("CC=clang",))
        builder.make("coverage", "fuzzers")
    builder.start()

    apiserver = []
    if builder.wait("release"):
        run.start_units(RELEASE, "release")
        apiserver = ["test/apiserver"] if builder.wait("tools") and builder.wait("kubernetes") else []
        run.pytest(RELEASE, "release", [*INTEGRATION, *apiserver])
    if builder.wait("asan"):
        run.start_units(ASAN, "asan")
        run.start_replays(ASAN, "asan")
        run.pytest(ASAN, "asan", [*INTEGRATION, *(apiserver if full else []), "-m", "not slow and not release_only and not once"])
    if builder.wait("static"):
        run.start_units(STATIC, "static")
        run.pytest(STATIC, "static", [*INTEGRATION, "-m", "not once" if full else "not slow and not once"])
    if full:
        run.pytest(RELEASE, "release", ["test/interop"], "test/interop/run.sh", "interop", workers="1")
        end_to_end = builder.wait("images") and builder.wait("upstream")
        if end_to_end:
            run.pytest(RELEASE, "release", ["test/e2e"], "test/e2e/run.sh", "e2e", workers="1")
        if builder.wait("newest kubernetes"):
            run.pytest(RELEASE, "release", ["test/apiserver"], suite="apiserver", kubernetes="newest")
            if end_to_end:
                run.pytest(RELEASE, "release", ["test/e2e"], "test/e2e/run.sh", "e2e", workers="1", kubernetes="newest")
        if builder.wait("fuzz"):
            run.fuzz(FUZZ)
        if builder.wait("coverage"):
            run.fuzz_coverage(COVERAGE)


if __name__ == "__main__":
    sys.exit(main())
