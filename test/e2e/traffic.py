"""Pods that come and go while an operator works."""

import threading
import time

from pods import MOUNT, UserPod, pod_spec

from harness import tutorial
from harness.process import wait_until


class Traffic:
    """Pods start and go, one after the other, until stop()."""

    def __init__(self, kubernetes, namespace, start_timeout=90):
        self.kubernetes, self.namespace, self.start_timeout = kubernetes, namespace, start_timeout
        self.started, self.problems = 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.started or self.problems, 60, "the first pod", pause=0.1)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(180)

    def _run(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            pod = UserPod(self.kubernetes, self.namespace, f"traffic-{number}", pod_spec())
            try:
                pod.wait_running(self.start_timeout)
                assert pod.read("secret1") == tutorial.SECRETS["secret1"]
                self.started += 1
                pod.delete()
                pod.assert_node_is_clean()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
                self.problems.append(error)
                return

    def wait_for_more(self, number=2):
        """Returns when that many further pods have started."""
        goal = self.started + number
        wait_until(lambda: self.started >= goal or self.problems, 120, "further pods", pause=0.1)


class PodStream:
    """A new pod every `period` seconds, `most` at a time: each compares its volume with what is expected and ends. A pod whose volume is wrong, or that
    does not get it within `timeout`, is a problem; that the kubelet retries is none."""

    CHECK = f'for name in $NAMES; do test -s "{MOUNT}/$name" || exit 1; done; test "$(cat "{MOUNT}/secret1")" = "$SECRET1"'

    def __init__(self, kubernetes, namespace, volumes=None, period=0.5, most=16, timeout=180):
        self.kubernetes, self.namespace, self.volumes = kubernetes, namespace, volumes
        self.period, self.most, self.timeout = period, most, timeout
        self.done, self.problems, self.longest = 0, [], 0
        self._under_way = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(self.timeout + 60)

    def wait_for_more(self, number=6):
        """Returns when that many further pods are done, all of them created from now on."""
        goal = self.done + len(self._under_way) + number
        wait_until(lambda: self.done >= goal or self.problems, 300, "further pods", pause=0.2)

    def _run(self):
        number = 0
        try:
            while not (self._stop.is_set() and not self._under_way) and not self.problems:
                began = time.monotonic()
                if not self._stop.is_set() and len(self._under_way) < self.most:
                    number += 1
                    self._create(f"stream-{number}")
                self._check()
                self._stop.wait(max(0.05, began + self.period - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            self.problems.append(error)

    def _create(self, name):
        spec = pod_spec(self.volumes, restartPolicy="Never", container={"command": ["/bin/sh", "-c", self.CHECK], "env": [
            {"name": "NAMES", "value": "secret1 secret2"}, {"name": "SECRET1", "value": tutorial.SECRETS["secret1"]}]})
        self._under_way[name] = (UserPod(self.kubernetes, self.namespace, name, spec), time.monotonic())

    def _check(self):
        phases = {item["metadata"]["name"]: item["status"]["phase"] for item in self.kubernetes.admin.list("pods", self.namespace)}
        for name, (pod, created) in list(self._under_way.items()):
            phase, age = phases.get(name, "Pending"), time.monotonic() - created
            if phase == "Succeeded":
                self.done += 1
                self.longest = max(self.longest, age)
                pod.delete(wait=False, gracePeriodSeconds=0)
                del self._under_way[name]
            elif phase == "Failed" or age > self.timeout:
                self.problems.append(f"{name} is {phase} after {age:.0f} s\n{pod.describe()}")
                del self._under_way[name]
