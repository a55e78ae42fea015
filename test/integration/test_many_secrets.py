"""200 volumes with secretObjects on one node, rotated for many intervals: requests for Secrets and status objects, provider calls, memory."""

import base64
import json
import time
from collections import Counter

import pytest

from harness import kube, mounts
from harness.many_pods import ManyPods
from harness.process import wait_until
from harness.programs import metric_sum
from harness.scripted_provider import mount_response

VOLUMES = 200
INTERVAL_S = 4
QUIET_INTERVALS = 4
RUNS_MAX = 8  # volumes whose Secrets are worked on at a time; sync.h
EVENTS_BURST = 100  # and one per second; events.h


class Counts:
    """The requests to the API server since the counters were reset."""

    def __init__(self, emulator):
        self.requests = Counter()
        for request in emulator.requests("kube"):
            plural = request["path"].split("?")[0].split("/namespaces/default/")[1].split("/")[0]
            self.requests[plural, request["method"], request["status"]] += 1

    def of(self, plural, *methods):
        return sum(n for (name, method, _), n in self.requests.items() if name == plural and (not methods or method in methods))

    def writes(self):
        return sum(n for (_, method, _), n in self.requests.items() if method != "GET")


def text(class_name, generation):
    return f"content of {class_name} {generation}"


class Stage:
    def __init__(self, emulator, classes):
        self.emulator, self.classes, self.generation = emulator, [f"class-{number}" for number in range(classes)], 1
        for name in self.classes:
            emulator.put_object("secretproviderclasses", kube.spc(name=name, parameters={"name": name}, secret_objects=[
                {"secretName": f"of-{name}", "type": "Opaque", "data": [{"objectName": "file", "key": "key"}]}]))

    def mount(self, request, _context):
        return mount_response({"file": text(json.loads(request.attributes)["name"], self.generation).encode()}, {"file": str(self.generation)})

    def owners(self, class_name):
        """One ReplicaSet per class, if pods share classes; bare pods otherwise."""
        if len(self.classes) == VOLUMES:
            return []
        number = int(class_name.split("-")[1])
        return [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"rs-{number}", "uid": f"00000000-0000-0000-0001-{number:012d}"}]

    def recorded(self):
        """Are all Secrets and all status objects those of the mounted contents?"""
        secrets = {item["metadata"]["name"]: item for item in self.emulator.control("GET", "/kube/secrets")}
        statuses = self.emulator.control("GET", "/kube/secretproviderclasspodstatuses")
        return (len(secrets) == len(self.classes) and len(statuses) == VOLUMES
                and all(base64.b64decode(secrets[f"of-{name}"]["data"]["key"]) == text(name, self.generation).encode() for name in self.classes)
                and all(item["status"]["objects"] == [{"id": "file", "version": str(self.generation)}] for item in statuses))


@pytest.mark.slow
@pytest.mark.release_only
@pytest.mark.parametrize("classes", [4, VOLUMES], ids=["a-secret-shared-by-50-pods", "a-secret-per-pod"])
def test_two_hundred_volumes_with_secrets_write_changes_and_nothing_else(node, start_driver, emulator, scripted, classes):
    stage = Stage(emulator, classes)
    provider = scripted(stage.mount)
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", f"--rotation-poll-interval={INTERVAL_S}s",
                          "-v=0", standalone=False)
    pods = ManyPods(node, emulator, VOLUMES, classes, stage.owners)
    emulator.reset_counters()
    pods.publish_all()
    wait_until(stage.recorded, timeout=30, what="everything to be recorded")
    first = Counts(emulator)
    made = {plural: n for (plural, method, status), n in first.requests.items() if (method, status) == ("POST", 201)}
    assert made == {"secrets": classes, "secretproviderclasspodstatuses": VOLUMES}, first.requests
    # pods that start at one moment and share a Secret which is not there yet may all try to make it; one does, and no pod patches it
    twice = first.requests["secrets", "POST", 409]
    assert twice <= (RUNS_MAX - 1) * classes and (twice == 0 or classes < VOLUMES), first.requests
    assert first.writes() == classes + VOLUMES + twice, first.requests
    pods.publish_for(2 * INTERVAL_S)  # what is allocated once is allocated now

    # nothing changes: rotation checks go on, and nothing is written
    emulator.reset_counters()
    provider.requests.clear()
    rss, fds, started = driver.rss_kib(), driver.fd_count(), time.monotonic()
    pods.publish_for(QUIET_INTERVALS * INTERVAL_S)
    seconds, quiet, checks = time.monotonic() - started, Counts(emulator), len(provider.requests)
    report = f"{classes} classes, {seconds:.1f} s, {checks} rotation checks, {dict(quiet.requests)}, resident {rss} -> {driver.rss_kib()} KiB"
    print(report)
    assert VOLUMES * (seconds / (INTERVAL_S + 1) - 2) <= checks <= VOLUMES * (seconds / INTERVAL_S + 1), report
    assert quiet.of("secretproviderclasses") <= classes * (seconds / (INTERVAL_S / 2) + 1), report
    assert quiet.writes() == 0, report
    assert set(quiet.requests) == {("secretproviderclasses", "GET", 200)}, report  # neither Secrets nor status objects are even read
    assert driver.rss_kib() - rss <= 512, report
    assert driver.fd_count() <= fds + 4, report

    # every content changes once: a write per Secret and one per status object, whatever the number of rotation checks
    emulator.reset_counters()
    provider.requests.clear()
    stage.generation, started = 2, time.monotonic()
    while not stage.recorded():
        assert time.monotonic() - started < 60, "the new contents are not recorded"
        pods.publish_all()
    pods.publish_for(2 * INTERVAL_S)
    seconds, changed = time.monotonic() - started, Counts(emulator)
    report = f"{classes} classes, {seconds:.1f} s, {len(provider.requests)} rotation checks, {dict(changed.requests)}, resident {driver.rss_kib()} KiB"
    print(report)
    assert metric_sum(driver.metrics(), "rotation_reconcile_total", rotated="true") == VOLUMES
    assert all(mounts.contents(volume.target) == {"file": text(volume.class_name, 2).encode()} for volume in pods.volumes)
    assert (changed.of("secrets", "PATCH"), changed.of("secretproviderclasspodstatuses", "PATCH")) == (classes, VOLUMES), report
    assert changed.writes() - changed.of("events") == classes + VOLUMES, report
    assert changed.of("events") <= EVENTS_BURST + seconds + 1, report
    assert all(status in (200, 201) for _, _, status in changed.requests), report  # no write had to be made twice
    assert driver.rss_kib() - rss <= 1024, report
    assert driver.fd_count() <= fds + 4, report
    pods.unpublish_all()
    assert mounts.mounts_below(node.kubelet) == []
    pods.client.close()
