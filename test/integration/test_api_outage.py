"""The API server refuses connections, is silent, or requests a pause, while 200 volumes need it.

The result of one request holds for all: no call waits for long, hardly anything is sent, and soon after the return everything is written.
The times are those of common/kube/kube_health.h.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import kube, mounts, rpc
from harness.fault_proxy import FORWARD, REFUSING, SILENT, FaultProxy
from harness.many_pods import ManyPods
from harness.process import PATIENCE, wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.scripted_provider import mount_response

pytestmark = pytest.mark.release_only

VOLUMES, CLASSES = 200, 4
IN_FLIGHT = 16
SILENCE_S, PROBE_S = 3, 3
PROBE_PAUSES_S = (0, 0.5, 1, 2, 4)  # before the first probe, the second, ...; then always PROBE_CAP_S
PROBE_CAP_S = 5
SHUT_AFTER_S = {REFUSING: 3.5 * 1.25, SILENT: SILENCE_S + PROBE_S}
BACK_AFTER_S = PROBE_CAP_S * 1.25  # the longest time between two probes
AT_ONCE_S = SILENCE_S - 0.5  # a call that sends something waits at least for the silence; on a machine that is busy others take a while, too


def probes_within(seconds):
    """How many probes may be sent in so many seconds, if each fails at once."""
    number, at = 0, 0.0
    while at <= seconds:
        at += PROBE_PAUSES_S[number + 1] if number + 1 < len(PROBE_PAUSES_S) else PROBE_CAP_S
        number += 1
    return number


@pytest.fixture
def api_proxy(emulator):
    api_proxy = FaultProxy(emulator.tls_port)
    yield api_proxy
    api_proxy.close()


@pytest.fixture
def start(node, start_driver, emulator, api_proxy, scratch):
    """A driver that reaches the API server through the proxy."""
    kubeconfig = scratch / "kubeconfig"
    text = emulator.kubeconfig.read_text()
    assert f":{emulator.tls_port}" in text
    kubeconfig.write_text(text.replace(f":{emulator.tls_port}", f":{api_proxy.port}"))
    return lambda *flags: start_driver(f"--kubeconfig={kubeconfig}", *flags, standalone=False)


def add_classes(emulator, **more):
    for number in range(CLASSES):
        emulator.put_object("secretproviderclasses", kube.spc(name=f"class-{number}", **more))


def outcome(client, request, timeout=60):
    """(seconds, error or None)"""
    started = time.monotonic()
    error = client.future(rpc.PUBLISH, request, timeout=timeout).exception()
    return time.monotonic() - started, error


def publish_all(pods, timeout=60):
    with ThreadPoolExecutor(max_workers=VOLUMES) as pool:
        return list(pool.map(lambda volume: outcome(pods.client, volume.request, timeout), pods.volumes))


def requests_sent(driver):
    """(requests, probes) that the driver has counted."""
    text = driver.metrics()
    probes = metric_sum(text, "kube_api_requests_total", resource="readyz")
    return metric_sum(text, "kube_api_requests_total") - probes, probes


def recorded(emulator):
    return len(emulator.control("GET", "/kube/secretproviderclasspodstatuses")) == VOLUMES


@pytest.mark.slow
@pytest.mark.parametrize("mode", [REFUSING, SILENT])
def test_two_hundred_first_mounts_do_not_burn_two_hundred_timeouts(start, node, emulator, scripted, api_proxy, mode):
    add_classes(emulator)
    provider = scripted()
    driver = start("-v=0")
    pods = ManyPods(node, emulator, VOLUMES, CLASSES)
    api_proxy.set(mode)
    gone = time.monotonic()
    outcomes = publish_all(pods)
    for seconds, error in outcomes:
        assert error.code() == CODES.UNAVAILABLE, error.details()
        assert "failed to get secretproviderclass" in error.details() and "has not responded for" in error.details(), error.details()
        assert seconds < (SHUT_AFTER_S[mode] + 1) * PATIENCE, seconds
    requests, probes = requests_sent(driver)
    print(f"{mode}: first wave in {max(seconds for seconds, _ in outcomes):.1f} s, {requests} requests, {probes} probes")
    assert requests <= IN_FLIGHT  # 184 have sent nothing
    assert probes <= probes_within(time.monotonic() - gone)

    # the kubelet retries again and again: each call fails at once, and nothing is sent
    for _ in range(3):
        for seconds, error in publish_all(pods):
            assert error.code() == CODES.UNAVAILABLE
            assert seconds < AT_ONCE_S, seconds
    assert outcome(pods.client, pods.volumes[0].request)[0] < AT_ONCE_S
    wait_until(lambda: time.monotonic() - gone > 2 * PROBE_CAP_S + 2, timeout=30, what="some probes")
    assert requests_sent(driver)[0] == requests
    assert requests_sent(driver)[1] <= probes_within(time.monotonic() - gone)
    assert metric_sum(driver.metrics(), "kube_api_up") == 0
    assert provider.requests == []

    # the API server is back: within one pause all is well, without a restart and without a repeated request
    emulator.reset_counters()
    api_proxy.set(FORWARD)
    back = time.monotonic()
    wait_until(lambda: metric_sum(driver.metrics(), "kube_api_up") == 1, timeout=BACK_AFTER_S + PROBE_S + 1, what="the return to be noticed")
    print(f"{mode}: noticed after {time.monotonic() - back:.1f} s")
    assert [error for _, error in publish_all(pods) if error is not None] == []
    wait_until(lambda: recorded(emulator), what="all status objects")
    sent = [request for request in emulator.requests("kube") if "/readyz" not in request["path"]]
    assert len([request for request in sent if "/secretproviderclasses/" in request["path"]]) == VOLUMES
    assert len([request for request in sent if request["method"] == "POST"]) == VOLUMES
    pods.unpublish_all()
    pods.client.close()


@pytest.mark.parametrize("mode", [REFUSING, SILENT])
def test_mounted_volumes_go_on_and_status_objects_are_written_at_its_return(start, node, emulator, scripted, api_proxy, mode):
    """A mount whose provider is at work, mounted volumes, and unpublishes. The status object is retried after 5 s, 15 s, 35 s, and at the
    return; the rights arrive late then, and the back-off starts from its first pause."""
    emulator.put_object("secretproviderclasses", kube.spc())
    emulator.put_object("secretproviderclasses", kube.spc("unread"))  # so that its provider is called when its class is there, and not before
    for name, uid in (("web", rpc.POD_UID), ("late", "2-2-2"), ("gone", "3-3-3")):
        emulator.put_object("pods", kube.pod(name=name, uid=uid))
    entered, go = threading.Event(), threading.Event()

    def mount(request, _context):
        if '"late"' in request.attributes:
            entered.set()
            assert go.wait(30)
        return mount_response({"file": b"content"})
    scripted(mount)
    driver = start()
    request = rpc.publish_request(node.target())
    driver.publish(request)
    gone = rpc.publish_request(node.target(pod_uid="3-3-3"), pod="gone", pod_uid="3-3-3")
    driver.publish(gone)
    late = rpc.publish_request(node.target(pod_uid="2-2-2"), class_name="unread", pod="late", pod_uid="2-2-2")
    call = driver.client.future(rpc.PUBLISH, late, timeout=60)
    assert entered.wait(20)
    api_proxy.set(mode)
    went = time.monotonic()
    go.set()
    call.result()  # it does not wait for its status object
    assert time.monotonic() - went < (SHUT_AFTER_S[mode] + 1) * PATIENCE
    assert mounts.contents(late.target_path) == {"file": b"content"}
    started = time.monotonic()
    driver.publish(request)
    driver.publish(late)
    driver.unpublish(rpc.unpublish_request(gone.target_path, pod_uid="3-3-3"))
    assert time.monotonic() - started < AT_ONCE_S
    mounts.assert_no_trace(gone.target_path)
    wait_until(lambda: metric_sum(driver.metrics(), "record_error_total", recorder="status") >= 3, timeout=40, what="two attempts in the background")
    names = {item["metadata"]["name"] for item in emulator.control("GET", "/kube/secretproviderclasspodstatuses")}
    assert "late-default-unread" not in names
    emulator.add_fault("status", service="kube", path_contains="/secretproviderclasspodstatuses", status=403, count=1)
    api_proxy.set(FORWARD)
    back = time.monotonic()
    # pod_status.c: RETURN_SPREAD_MS; pod_status.h: POD_STATUS_RETRY_FIRST_MS doubled once, where 40 s would have been next
    kube.Cluster(emulator).wait_for_status(lambda status: status["status"]["mounted"], name="late-default-unread",
                                           timeout=BACK_AFTER_S + 2 + 10 * 1.25 + 1)
    print(f"{mode}: recorded {time.monotonic() - back:.1f} s after the return")


@pytest.mark.slow
def test_secrets_are_synced_soon_after_the_return(start, node, emulator, scripted, api_proxy):
    """The API server goes while owners are looked up. Retries follow after 1 s, 2 s, 4 s, ...; at the return no sync waits for its next one.
    If that fails, the back-off starts from its first pause: an API server that has just started may still refuse every right."""
    emulator.put_object("secretproviderclasses", kube.spc(secret_objects=[
        {"secretName": "synced", "type": "Opaque", "data": [{"objectName": "file", "key": "key"}]}]))
    emulator.put_object("pods", kube.pod())
    scripted()
    driver = start()
    emulator.add_fault("blackhole", service="kube", path_contains="/pods/")
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target()), timeout=60)
    wait_until(lambda: emulator.control("GET", "/faults")[0]["fired"] == 1, what="the request for the pod")
    api_proxy.set(REFUSING)
    emulator.clear_faults()
    call.result()
    wait_until(lambda: metric_sum(driver.metrics(), "sync_k8s_secret_error_total") >= 6, timeout=60, what="a long pause")
    emulator.add_fault("status", service="kube", path_contains="/pods/", status=403, count=1)
    api_proxy.set(FORWARD)
    back = time.monotonic()
    # sync.h: SYNC_RETURN_MS, and SYNC_RETRY_FIRST_MS doubled once
    wait_until(lambda: emulator.control("GET", "/kube/secrets"), timeout=BACK_AFTER_S + 2 + 2 + 1, what="the Secret")
    print(f"synced {time.monotonic() - back:.1f} s after the return")


def test_rotation_checks_fail_fast_and_go_on_after_the_return(start, node, emulator, scripted, api_proxy):
    add_classes(emulator)
    provider = scripted()
    driver = start("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "-v=0")
    pods = ManyPods(node, emulator, VOLUMES, CLASSES)
    pods.publish_all()
    wait_until(lambda: recorded(emulator), what="all status objects")
    api_proxy.set(SILENT)
    wait_until(lambda: time.time() % 1 < 0.1, what="the next second")
    gone = time.monotonic()
    checks = publish_all(pods)
    assert [error for _, error in checks if error is not None] == []  # a rotation check never fails towards the kubelet
    assert max(seconds for seconds, _ in checks) < (SHUT_AFTER_S[SILENT] + 1) * PATIENCE
    while metric_sum(driver.metrics(), "rotation_reconcile_error_total") < 2 * VOLUMES:  # the next pause is one of 30 s
        assert time.monotonic() - gone < 60
        assert max(seconds for seconds, _ in publish_all(pods)) < (SHUT_AFTER_S[SILENT] + 1) * PATIENCE
        time.sleep(1)  # the poll interval
    requests, probes = requests_sent(driver)
    api_proxy.set(FORWARD)
    back = time.monotonic()
    before = len(provider.requests)
    wait_until(lambda: publish_all(pods) and len(provider.requests) - before >= VOLUMES, timeout=BACK_AFTER_S + PROBE_S + 2, pause=0.2,
               what="a rotation check of every volume")
    print(f"rotation checks went on {time.monotonic() - back:.1f} s after the return; {requests} requests and {probes} probes in the outage")
    pods.client.close()


@pytest.mark.parametrize("status", [429, 503])
def test_a_requested_pause_is_kept_by_all_requests(start, node, emulator, scripted, status):
    pause_s = 6
    add_classes(emulator)
    scripted()
    start("-v=0")
    pods = ManyPods(node, emulator, VOLUMES, CLASSES)
    emulator.add_fault("status", service="kube", status=status, retry_after=pause_s, count=1)
    emulator.reset_counters()
    outcomes = publish_all(pods)
    assert [error.details() for _, error in outcomes if error is not None] == []
    requests = emulator.requests("kube")
    refused = next(request for request in requests if request["status"] == status)
    end = refused["time"] + refused["duration_ms"] / 1000
    under_way_s = 3  # those that had gone before, on connections that had yet to be made
    assert [request for request in requests if end + under_way_s < request["time"] < end + pause_s - 0.05] == []
    assert len([request for request in requests if request["time"] <= end + under_way_s]) <= 2 * IN_FLIGHT
    assert not [request for request in requests if "/readyz" in request["path"]]
    assert len([request for request in requests if request["status"] == status]) == 1
    pods.client.close()


def test_a_pause_that_is_too_long_for_a_call_is_reported_at_once(start, node, emulator, scripted):
    add_classes(emulator)
    scripted()
    driver = start("-v=0")
    pods = ManyPods(node, emulator, 2, CLASSES)
    emulator.add_fault("status", service="kube", status=429, retry_after=20, count=1)
    first, second = (volume.request for volume in pods.volumes)
    code, message = driver.publish_failure(first, timeout=10)
    assert code == CODES.UNAVAILABLE and "too many requests" in message, message  # the API server's words
    emulator.reset_counters()
    seconds, error = outcome(pods.client, second, timeout=10)
    assert error.code() == CODES.UNAVAILABLE and "asks for a pause of" in error.details(), error.details()
    assert seconds < AT_ONCE_S
    assert emulator.requests("kube") == []
    pods.client.close()
