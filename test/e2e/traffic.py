"""Pods that come and go while an operator works."""

import threading

from pods import UserPod, pod_spec

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
