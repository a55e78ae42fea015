"""run.py - runs every test that was built and prints one total. `make test` builds first and then calls this.

Unit tests (cmocka) run in all variants that are built, corpus replays in the sanitized one; the integration suites run against the
release programs, and all of them but the slow ones against the sanitized and the static programs. Every result ends in a junit file
below build/test/.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "test"
UNIT_TIMEOUT_S = 300
ASAN_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, name, problem):
        if problem is None:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append((name, problem))

    def add_junit(self, path, prefix):
        """Counts the cases of a junit file; returns how many there were."""
        try:
            root = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError) as error:
            self.add(f"{prefix} {path.name}", f"no readable junit file: {error}")
            return 0
        cases = 0
        for case in root.iter("testcase"):
            cases += 1
            name = f"{prefix} {case.get('classname') or ''} {case.get('name')}".replace("  ", " ")
            problem = case.find("failure") if case.find("failure") is not None else case.find("error")
            if problem is not None:
                self.add(name, (problem.get("message") or problem.text or "failed").strip().splitlines()[0])
            elif case.find("skipped") is not None:
                self.skipped += 1
            else:
                self.add(name, None)
        return cases


def run_unit(binary, variant):
    """Runs one cmocka program; returns (name, junit files, exit status, log path)."""
    directory = OUT / f"unit-{variant}"
    log_path = directory / f"{binary.name}.log"
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="xml", CMOCKA_XML_FILE=str(directory / f"{binary.name}-%g.xml"), **ASAN_ENV)
    with open(log_path, "wb") as log:
        try:
            status = subprocess.run([binary], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    timeout=UNIT_TIMEOUT_S, check=False).returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
    return binary.name, sorted(directory.glob(f"{binary.name}-*.xml")), status, log_path


def run_units(totals, build, variant):
    binaries = sorted(path for path in (build / "unit").glob("test_*") if os.access(path, os.X_OK) and path.is_file())
    (OUT / f"unit-{variant}").mkdir(parents=True)
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for name, junit_files, status, log_path in pool.map(lambda binary: run_unit(binary, variant), binaries):
            failed_before = totals.failed
            cases = sum(totals.add_junit(path, f"unit-{variant} {name}") for path in junit_files)
            # a crash leaves no junit file, a leak one without failures: the exit status counts, too
            if cases == 0 or (status != 0 and totals.failed == failed_before):
                totals.add(f"unit-{variant} {name}", f"exit status {status}, see {log_path.relative_to(ROOT)}")
    print(f"  unit tests ({variant}): {len(binaries)} programs, {time.monotonic() - started:.0f} s", flush=True)
    if not binaries:
        totals.add(f"unit-{variant}", "no unit test programs were built")


def run_replays(totals, build, variant):
    directory = OUT / f"fuzz-{variant}"
    directory.mkdir(parents=True)
    programs = sorted(path for path in (build / "fuzz").glob("fuzz_*") if path.is_file() and os.access(path, os.X_OK))
    for program in programs:
        corpus = ROOT / "test" / "fuzz" / "corpus" / program.name.removeprefix("fuzz_")
        log_path = directory / f"{program.name}.log"
        problem = None
        if not corpus.is_dir() or not any(corpus.iterdir()):
            problem = f"no corpus in {corpus.relative_to(ROOT)}"
        else:
            with open(log_path, "wb") as log:
                try:
                    status = subprocess.run([program, corpus], cwd=ROOT, env=dict(os.environ, **ASAN_ENV), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, timeout=UNIT_TIMEOUT_S, check=False).returncode
                except subprocess.TimeoutExpired:
                    status = "timeout"
            if status != 0:
                problem = f"exit status {status}, see {log_path.relative_to(ROOT)}"
        totals.add(f"fuzz corpus {program.name}", problem)
    print(f"  fuzz corpus replays ({variant}): {len(programs)} targets", flush=True)


def run_pytest(totals, build, variant, arguments, suite="integration"):
    name = f"{suite}-{variant}"
    junit = OUT / f"{name}.xml"
    started = time.monotonic()
    environment = dict(os.environ, BUILD=str(build), JUNIT=str(junit), **ASAN_ENV)
    log_path = OUT / f"{name}.log"
    with open(log_path, "wb") as log:
        status = subprocess.run(["bash", ROOT / "test/integration/run.sh", *arguments], cwd=ROOT, env=environment, check=False,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode
    cases = totals.add_junit(junit, name)
    if status not in (0, 1) or cases == 0:
        totals.add(name, f"pytest ended with status {status}, see {log_path.relative_to(ROOT)}")
        print("\n".join("    " + line for line in log_path.read_text(errors="replace").splitlines()[-15:]))
    print(f"  {suite} ({variant}): {cases} tests, {time.monotonic() - started:.0f} s", flush=True)


def build_kubernetes(totals):
    """The control plane of test/apiserver, from its Go modules: minutes the first time, nothing afterwards."""
    started = time.monotonic()
    log_path = OUT / "kubernetes-build.log"
    with open(log_path, "wb") as log:
        status = subprocess.run(["bash", ROOT / "test/cluster/get-kubernetes.sh", "kube-apiserver", "kube-controller-manager"], cwd=ROOT,
                                check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode
    if status != 0:
        totals.add("kube-apiserver", f"could not be built from its Go module, see {log_path.relative_to(ROOT)}")
        print("\n".join("    " + line for line in log_path.read_text(errors="replace").splitlines()[-5:]))
    print(f"  kube-apiserver and kube-controller-manager built: {time.monotonic() - started:.0f} s", flush=True)
    return status == 0


def main():
    parser = argparse.ArgumentParser(description="Runs all built tests.")
    parser.add_argument("--release", type=Path, default=Path("build/release"))
    parser.add_argument("--asan", type=Path, default=Path("build/asan"))
    parser.add_argument("--static", type=Path, help="the static build: its unit tests and the integration suites against it")
    parser.add_argument("--only-static", action="store_true", help="nothing else, and the slow tests, too")
    options = parser.parse_args()
    release, asan = (ROOT / options.release).resolve(), (ROOT / options.asan).resolve()

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    totals = Totals()
    suites = ["test/integration", "test/sanity", "-q"]

    print("Running the tests:", flush=True)
    if not options.only_static:
        run_units(totals, release, "release")
        run_units(totals, asan, "asan")
        run_replays(totals, asan, "asan")
        run_pytest(totals, release, "release", suites)
        run_pytest(totals, asan, "asan", [*suites, "-m", "not slow and not release_only"])
        if build_kubernetes(totals):
            run_pytest(totals, release, "release", ["test/apiserver", "-q"], "apiserver")
            run_pytest(totals, asan, "asan", ["test/apiserver", "-q", "-m", "not slow and not release_only"], "apiserver")
    if options.static:
        static = (ROOT / options.static).resolve()
        run_units(totals, static, "static")
        run_pytest(totals, static, "static", suites if options.only_static else [*suites, "-m", "not slow"])

    if totals.failures:
        print("\nFailures:")
        for name, problem in totals.failures:
            print(f"  {name}: {problem}")
    print(f"\n{totals.passed} passed, {totals.failed} failed" + (f", {totals.skipped} skipped" if totals.skipped else ""))
    return 1 if totals.failed or totals.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
