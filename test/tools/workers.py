"""workers.py - the pytest plugin of test/integration/run.sh: what makes several workers (pytest-xdist) safe and quick.

- Each worker has a mount namespace, a scratch directory (TEST_SCRATCH) and ports of its own.
- Tests that share a costly fixture of their module stay on one worker; tests that use a control plane share three.
- The longest tests start first, and the short ones are spread over the whole run: long ones wait, short ones compute. How long each took is kept in
  the cache directory; until then the slow ones start first.
- A test has three minutes, a slow one ten.
- What does not concern a build is left out with it (build()), and is not among the skipped tests: those lack something that the machine should have.

PROGRESS names a file for "tests done, failed, all": the controlling process keeps it up to date.
"""

import functools
import json
import os
import re
import sys
import tempfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import sandbox  # noqa: E402

TIME_LIMIT_S, SLOW_TIME_LIMIT_S = 180, 600
UNKNOWN_S = 3.0  # a test that was never run here
LONG_SHARE = 6  # one of so many counts as long
SHARED_FIXTURES = {"control_plane": 3}  # of the session and costly: in how many workers they are made

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
DURATIONS = sandbox.CACHE / "durations" / (Path(os.environ.get("BUILD", "build/release")).name + ".json")


def _own_scratch():
    """At import, before any conftest asks for TEST_SCRATCH."""
    if WORKER:
        sandbox.new_mount_namespace()
    scratch = Path(os.environ.get("TEST_SCRATCH", "/tmp"), WORKER or "main")
    scratch.mkdir()
    sandbox.mount("scratch", scratch, "tmpfs", options="mode=0755")
    sandbox.mount(None, scratch, flags=sandbox.MS_SHARED)
    os.environ["TEST_SCRATCH"] = str(scratch)


if WORKER or os.environ.get("WORKERS", "1") == "1":
    _own_scratch()


def pytest_configure(config):
    config.addinivalue_line("markers", "once: the programs have no part in it; run for one variant only")
    config.addinivalue_line("markers", "build(names, reason): of these kinds of builds only: dynamic, static, sanitized")


def _kind_of_build():
    name = Path(os.environ.get("BUILD", "build/release")).name
    return "sanitized" if name.startswith("asan") else "static" if name.startswith("static") else "dynamic"


def _leave_out_other_builds(config, items):
    kind, kept, others, reasons = _kind_of_build(), [], [], Counter()
    for item in items:
        reason = next((mark.kwargs["reason"] for mark in item.iter_markers("build") if kind not in mark.args), None)
        (kept if reason is None else others).append(item)
        if reason is not None:
            reasons[f"{item.path.name}: {reason}"] += 1
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept
    config.left_out = [f"left out with a {kind} build: {number} of {reason}" for reason, number in sorted(reasons.items())]


def pytest_report_collectionfinish(config):
    return getattr(config, "left_out", [])


def _groups_of(item):
    """The costly fixtures that `item` shares with others: (name, whether each file is a group of its own)."""
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        if name in SHARED_FIXTURES:
            yield name, True
        elif definitions[-1].scope in ("module", "session") and definitions[-1].baseid.endswith(".py"):
            yield definitions[-1].baseid, False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    _leave_out_other_builds(config, items)
    modules = defaultdict(list)
    for item in items:
        slow = item.get_closest_marker("slow") is not None
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_TIME_LIMIT_S if slow else TIME_LIMIT_S))
        for name, by_file in [] if item.get_closest_marker("xdist_group") else _groups_of(item):
            known = modules[name]
            if item.path not in known:
                known.append(item.path)
            item.add_marker(pytest.mark.xdist_group(f"{name}-{known.index(item.path) if by_file else 0}"))
            break
    if WORKER:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _without_group(nodeid):
    """xdist appends "@group" to the names of grouped tests."""
    return nodeid[:nodeid.rfind("@")] if nodeid.rfind("@") > nodeid.rfind("]") else nodeid


def _read_durations(path=DURATIONS):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _exists(test):
    file, _, name = test.partition("::")
    return Path(file).exists() and f"def {name.partition('[')[0]}(" in _text(file)


@functools.cache
def _text(file):
    return Path(file).read_text()


def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadGroupScheduling

    class LongestFirst(LoadGroupScheduling):
        """Of the long ones and of the short ones the longest that is left, so that the same share of both is left at any time. A worker needs the
        test after the one it runs, so two are handed out: no long one waits behind another."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self._known = {**_read_durations(DURATIONS.with_name("release.json")), **_read_durations()}
            self._long = None  # scope -> whether it is one of these; how many there are of both, and how many are left
            self._all = self._left = Counter()
            self._had_long = set()  # the workers whose last one was
            self._merged = None  # scope -> the one it is a part of

        def _seconds(self, tests):
            return sum(self._known.get(_without_group(test), UNKNOWN_S) for test in tests)

        def _split_scope(self, nodeid):
            if self._merged is None:
                self._merge()
            scope = super()._split_scope(nodeid)
            return self._merged.get(scope, scope)

        def _merge(self):
            """Of the scopes that share a fixture come as many as there are to be workers with it, each about as long as the others."""
            self._merged = {}
            for fixture, workers in SHARED_FIXTURES.items():
                tests = defaultdict(list)
                for test in self.collection:
                    scope = super()._split_scope(test)
                    if re.fullmatch(rf"{fixture}-\d+", scope):
                        tests[scope].append(test)
                seconds = {scope: self._seconds(tests[scope]) for scope in tests}
                whole = {}  # scope -> seconds
                for scope in sorted(seconds, key=seconds.get, reverse=True):
                    part_of = scope if len(whole) < workers else min(whole, key=whole.get)
                    whole[part_of] = whole.get(part_of, 0) + seconds[scope]
                    self._merged[scope] = part_of

        def _sort(self):
            seconds = {scope: self._seconds(unit) for scope, unit in self.workqueue.items()}
            self.workqueue = OrderedDict(sorted(self.workqueue.items(), key=lambda item: -seconds[item[0]]))
            self._long = {scope: number < len(self.workqueue) / LONG_SHARE for number, scope in enumerate(self.workqueue)}
            self._all = Counter(self._long.values())
            self._left = self._all.copy()

        def _assign_work_unit(self, node):
            if self._long is None:
                self._sort()
            long_left, short_left = (self._left[long] / max(self._all[long], 1) for long in (True, False))
            wants_long = node not in self._had_long and long_left >= short_left
            scope = next((scope for scope in self.workqueue if self._long[scope] == wants_long), next(iter(self.workqueue)))
            self._left[self._long[scope]] -= 1
            (self._had_long.add if self._long[scope] else self._had_long.discard)(node)
            self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    scheduler = LongestFirst(config, log)
    config.pluginmanager.register(_Record(scheduler))
    return scheduler


class _Record:
    """In the controlling process: progress, and how long each test took."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.progress = os.environ.get("PROGRESS")
        self.seconds = defaultdict(float)
        self.done = self.failed = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        report.nodeid = _without_group(report.nodeid)
        self.seconds[report.nodeid] += report.duration
        self.done += report.when == "teardown"
        self.failed += report.failed
        if self.progress:
            Path(self.progress).write_text(f"{self.done} {self.failed} {len(self.scheduler.collection or ())}")

    def pytest_sessionfinish(self):
        known = {test: seconds for test, seconds in _read_durations().items() if _exists(test)}
        known.update((test, round(seconds, 2)) for test, seconds in self.seconds.items())
        DURATIONS.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=DURATIONS.parent, delete=False) as file:
            json.dump(known, file, indent=0, sort_keys=True)
        os.replace(file.name, DURATIONS)
