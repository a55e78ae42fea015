"""200 volumes on one node, rotated for many intervals: what it costs in API calls, provider calls, written bytes and memory."""

import json
import os
import subprocess
import threading
import time

import grpc
import pytest

from harness import mounts, rpc
from harness.kube import STATUSES, Cluster, spc
from harness.many_pods import ManyPods
from harness.process import wait_until
from harness.programs import metric_sum
from harness.scripted_provider import mount_response

CLASSES, PODS_PER_CLASS = 4, 50
VOLUMES = CLASSES * PODS_PER_CLASS
INTERVAL_S = 2
ROUNDS_OF_INTERVALS = 8


def kube_requests(emulator):
    """(class reads, other reads, writes)"""
    requests = emulator.requests("kube")
    classes = [request for request in requests if "/secretproviderclasses/" in request["path"]]
    writes = [request for request in requests if request["method"] != "GET"]
    return len(classes), len(requests) - len(classes) - len(writes), len(writes)


@pytest.mark.release_only
def test_a_volume_takes_less_than_a_kibibyte_of_the_drivers_memory(node, start_driver, emulator, scripted):
    """With status objects, rotation and the sync of Secrets in use: 10,000 volumes of a node must not take more than its other programs."""
    first, more = 300, 1200
    for number in range(CLASSES):
        emulator.put_object("secretproviderclasses", spc(name=f"class-{number}"))
    scripted(lambda request, context: mount_response({"file": b"content"}, versions={"file": "0123456789abcdef0123456789abcdef"}))
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=1h", "-v=0",
                          standalone=False)
    pods = ManyPods(node, emulator, first + more, CLASSES)
    pods.publish_all(pods.volumes[:first])  # what is allocated once is allocated now
    before = driver.rss_kib()
    pods.publish_all(pods.volumes[first:])
    each = (driver.rss_kib() - before) / more
    print(f"{each:.2f} KiB per volume")
    assert each <= 1, each
    pods.unpublish_all()
    pods.client.close()


@pytest.mark.slow
@pytest.mark.release_only
def test_two_hundred_volumes_cost_little_and_always_the_same(node, start_driver, emulator, scripted):
    for number in range(CLASSES):
        emulator.put_object("secretproviderclasses", spc(name=f"class-{number}", parameters={"n": str(number)}))
    generation = {"0": 1}

    def mount(request, context):
        number = json.loads(request.attributes)["n"]
        return mount_response({"file": f"content {number} {generation.get(number, 1)}".encode()}, versions={"file": str(generation.get(number, 1))})
    provider = scripted(mount)
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", f"--rotation-poll-interval={INTERVAL_S}s",
                          "-v=0", standalone=False)
    pods = ManyPods(node, emulator, VOLUMES, CLASSES)
    pods.publish_all()
    assert len(provider.requests) == VOLUMES
    pods.publish_for(2 * INTERVAL_S)  # what is allocated once is allocated now
    for volume in pods.volumes:
        volume.data = os.readlink(volume.target / "..data")

    emulator.reset_counters()
    provider.requests.clear()
    pods.calls = 0
    bytes_before = metric_sum(driver.metrics(), "volume_files_written_bytes_total")
    rss_before, fds_before, started = driver.rss_kib(), driver.fd_count(), time.monotonic()
    pods.publish_for(ROUNDS_OF_INTERVALS * INTERVAL_S)
    seconds = time.monotonic() - started
    class_reads, other_reads, writes = kube_requests(emulator)
    checks = len(provider.requests)
    report = (f"{VOLUMES} volumes, {CLASSES} classes, {seconds:.1f} s, interval {INTERVAL_S} s: {pods.calls} publishes, {checks} rotation checks, "
              f"{class_reads} class reads, {other_reads} other reads, {writes} writes, resident {rss_before} -> {driver.rss_kib()} KiB")
    print(report)

    # one rotation check per volume and interval, and none is missing
    assert checks <= VOLUMES * (seconds / INTERVAL_S + 1), report
    assert checks >= VOLUMES * (seconds / (INTERVAL_S + 1) - 2), report  # time is counted in whole seconds
    # one read per class and half interval, whatever the number of pods and calls
    assert class_reads <= CLASSES * (seconds / (INTERVAL_S / 2) + 1), report
    assert other_reads == 0 and writes == 0, report  # nothing has changed
    assert metric_sum(driver.metrics(), "volume_files_written_bytes_total") == bytes_before
    assert all(os.readlink(volume.target / "..data") == volume.data for volume in pods.volumes)
    assert driver.rss_kib() - rss_before <= 512, report
    assert driver.fd_count() <= fds_before + 4, report  # kept connections come and go; a leak would show 200 times

    # one class changes: its volumes are written once each, no other is touched
    generation["0"] = 2
    pods.publish_for(3 * INTERVAL_S)
    for volume in pods.volumes:
        changed = volume.class_name == "class-0"
        assert mounts.contents(volume.target)["file"].endswith(b" 2" if changed else b" 1")
        assert (os.readlink(volume.target / "..data") != volume.data) == changed
    assert metric_sum(driver.metrics(), "rotation_reconcile_total", rotated="true") == PODS_PER_CLASS
    assert all(request.current_object_version[0].version in ("1", "2") for request in provider.requests)
    pods.unpublish_all()
    assert mounts.mounts_below(node.kubelet) == []
    assert metric_sum(driver.metrics(), "volumes_published") == 0
    pods.client.close()


@pytest.mark.release_only
def test_a_restart_costs_a_request_for_each_volume_and_class_and_the_next_round_none(node, start_driver, emulator, scripted):
    """The status of each volume is read once, as the process before may have ended before it wrote it. Rotation checks and the sync of Secrets share
    the classes."""
    for number in range(CLASSES):
        emulator.put_object("secretproviderclasses", spc(name=f"class-{number}"))
    scripted(lambda request, context: mount_response({"file": b"content"}, versions={"file": "1"}))
    flags = (f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=1h", "--secret-sync-check-interval=10s", "-v=0")
    driver = start_driver(*flags, standalone=False)
    pods = ManyPods(node, emulator, VOLUMES, CLASSES)
    pods.publish_all()
    wait_until(lambda: len(Cluster(emulator).all(STATUSES)) == VOLUMES, what="all status objects")
    pods.client.close()
    driver.kill()
    emulator.reset_counters()
    start_driver(*flags, standalone=False, name="next")
    pods.client = rpc.Client(node.csi_socket)
    pods.publish_all()
    wait_until(lambda: kube_requests(emulator)[1] >= VOLUMES, what="every status object to be read")
    time.sleep(11)  # the sync of Secrets has come by each volume within its interval
    class_reads, other_reads, writes = kube_requests(emulator)
    assert class_reads <= 2 * CLASSES and other_reads == VOLUMES and writes == 0, (class_reads, other_reads, writes)
    pods.publish_all()
    assert sum(kube_requests(emulator)) <= VOLUMES + 4 * CLASSES
    pods.unpublish_all()
    pods.client.close()


def set_last_checked(target, unix):
    """Sets the time of the last successful rotation check."""
    subprocess.run(["mount", "-o", "remount,bind,rw", target], check=True)
    os.setxattr(target, "trusted.secrets-store.last-checked", str(unix).encode())
    subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)


@pytest.mark.slow
@pytest.mark.release_only
def test_a_restart_with_two_hundred_failing_volumes_is_no_storm(node, start_driver, emulator, scripted):
    """Pauses after failures are not kept over a restart. A kubelet in a hurry calls for all volumes at once, which have been failing for an hour."""
    interval_s, pause_s = 20, 15
    for number in range(CLASSES):
        emulator.put_object("secretproviderclasses", spc(name=f"class-{number}"))
    fetched = {}
    failing = threading.Event()

    def mount(request, context):
        if failing.is_set():
            fetched.setdefault(request.target_path, []).append(time.monotonic())
            context.abort(grpc.StatusCode.UNAVAILABLE, "the vault is away")
        return mount_response({"file": b"content"})
    scripted(mount)
    flags = (f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", f"--rotation-poll-interval={interval_s}s", "-v=0")
    driver = start_driver(*flags, standalone=False)
    pods = ManyPods(node, emulator, VOLUMES, CLASSES)
    pods.publish_all()
    pods.client.close()
    driver.kill()
    for volume in pods.volumes:
        set_last_checked(volume.target, int(time.time()) - 3600)
    failing.set()
    driver = start_driver(*flags, standalone=False, name="next")
    pods.client = rpc.Client(node.csi_socket)
    started = time.monotonic()
    while len(fetched) < VOLUMES or time.monotonic() - started < interval_s:  # no volume is forgotten
        assert time.monotonic() - started < 3 * interval_s, len(fetched)
        pods.publish_all()
    first = sorted(times[0] - started for times in fetched.values())
    print(f"volumes fetched after 1 s, 2 s, ...: {[sum(at < second for at in first) for second in range(1, int(first[-1]) + 2)]}")
    # spread over the interval, whose seconds are whole ones; a machine that is slow only makes it later
    assert all(number + 1 <= 1.5 * VOLUMES * (at + 2) / interval_s for number, at in enumerate(first)), first
    # a call to which the provider returns UNAVAILABLE is made three times in all, and then there is a pause
    for times in fetched.values():
        calls = [at for number, at in enumerate(times) if number == 0 or at - times[number - 1] > pause_s / 2]
        assert all(after - before >= pause_s - 1 for before, after in zip(calls, calls[1:]))
    pods.unpublish_all()
    pods.client.close()


@pytest.mark.release_only
def test_without_rotation_a_republish_logs_and_requests_nothing(node, start_driver, emulator, scripted):
    """requiresRepublish is true and the flag is off: the kubelet calls every minute for every pod, for nothing."""
    emulator.put_object("secretproviderclasses", spc())
    provider = scripted()
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "-v=0", standalone=False)
    request = rpc.publish_request(node.target())
    driver.publish(request)
    Cluster(emulator).wait_for_requests([("POST", 201)])
    emulator.reset_counters()
    log_before = driver.log
    for _ in range(100):
        driver.publish(request)
    assert driver.log == log_before
    assert emulator.requests("kube") == []
    assert len(provider.requests) == 1
    assert metric_sum(driver.metrics(), "node_publish_total", provider="scripted") == 101
    assert metric_sum(driver.metrics(), "node_publish_total", provider="") == 0


def test_the_class_sets_the_interval_and_requests_a_refresh_through_the_api(node, start_driver, emulator, scripted):
    """Annotations on the object in the API server: an interval of its own, a refresh on demand, and an invalid value."""
    def put(**annotations):
        body = spc()
        body["metadata"]["annotations"] = {f"secrets-store.csi.k8s.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        emulator.put_object("secretproviderclasses", body)
    put(rotation_poll_interval="1h")
    provider = scripted()
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=0", standalone=False)
    request = rpc.publish_request(node.target())
    driver.publish(request)
    for _ in range(5):
        driver.publish(request)
    assert len(provider.requests) == 1  # the flag alone would check at every call
    put(rotation_poll_interval="1h", refresh="now")
    driver.publish(request)
    driver.publish(request)
    assert len(provider.requests) == 2
    put(rotation_poll_interval="soon", refresh="now")
    for _ in range(3):
        driver.publish(request)
    assert len(provider.requests) == 5
    assert driver.log.count("'soon' is not a duration between 1s and 8760h") == 1
