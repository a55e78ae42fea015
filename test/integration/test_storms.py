"""Long trouble in short form: throttled, silent and broken services. No call outlives its deadline, the number of requests stays bounded,
memory and descriptors stay flat, and everything recovers without a restart."""

import signal
import threading
import time

import pytest
from grpc import RpcError

from harness import rpc, tutorial
from harness.azure_mounts import Pods, mount_request, texts
from harness.process import PATIENCE, SANITIZED, wait_until
from harness.programs import metric_sum
from harness.rpc import CODES

TEN = [f"s{i}" for i in range(10)]
VALUES = {name: f"value of {name}" for name in TEN}
GRACE = 0.8 * PATIENCE  # of the test's own threads; the provider responds 150 ms before the caller's deadline


@pytest.fixture
def ten_secrets(emulator):
    for name, value in VALUES.items():
        emulator.set_secret(name, value)


class Load:
    """Pods that mount again and again, as a kubelet does; every outcome is kept as (seconds, response or error)."""

    def __init__(self, socket, threads, deadline, request):
        self.outcomes = []
        self._stop = threading.Event()
        self._pods = Pods(socket)
        self._deadline, self._request = deadline, request
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        turn = 0
        while not self._stop.is_set():
            started = time.monotonic()
            response = self._pods.outcome(self._request(number, turn), timeout=self._deadline)
            self.outcomes.append((time.monotonic() - started, response))
            turn += 1
            self._stop.wait(0.05)  # a kubelet waits at least half a second

    def end(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._pods.close()
        return self.outcomes


def settled(azure, emulator):
    """Nothing is on its way any more."""
    wait_until(lambda: emulator.counters()["in_flight"] == 0, timeout=20, what="all requests to end")
    return azure.fd_count(), azure.rss_kib()


def assert_in_time(outcomes, deadline):
    late = [seconds for seconds, _ in outcomes if seconds > deadline + GRACE]
    assert not late, f"{len(late)} of {len(outcomes)} calls outlived their deadline, the worst took {max(late):.1f} s"


def recovers(azure, timeout=6):
    with Pods(azure.socket) as pods:
        def works():
            response = pods.outcome(mount_request(TEN, pod="afterwards"), timeout=5 * PATIENCE)
            return not isinstance(response, RpcError) and texts(response) == VALUES
        wait_until(works, timeout, "the provider to recover")


def test_a_storm_of_429_costs_about_one_request_per_pause(azure, emulator, ten_secrets):
    with Pods(azure.socket) as pods:
        pods.mount(mount_request(TEN))
    fds, _ = settled(azure, emulator)
    emulator.add_fault("status", service="vault", status=429, retry_after=1)
    emulator.reset_counters()
    load = Load(azure.socket, threads=24, deadline=2.5, request=lambda number, turn: mount_request(TEN, pod=f"pod-{number}"))
    started = time.monotonic()
    wait_until(lambda: time.monotonic() - started >= 3, timeout=10, what="the storm to last")
    rss = azure.rss_kib()
    wait_until(lambda: time.monotonic() - started >= 6, timeout=10, what="the storm to last")
    assert SANITIZED or azure.rss_kib() <= rss + 1024, "memory grows in a storm"
    requests = emulator.requests("vault")
    outcomes = load.end()
    assert_in_time(outcomes, 2.5)
    assert len(outcomes) >= 24
    assert {response.code() for _, response in outcomes} <= {CODES.RESOURCE_EXHAUSTED, CODES.DEADLINE_EXCEEDED}
    assert all("429" in response.details() for _, response in outcomes if response.code() == CODES.RESOURCE_EXHAUSTED)
    # the first wave went out before the first 429: at most the parallel reads of the mounts of that time, joined
    first = [entry for entry in requests if entry["time"] - requests[0]["time"] < 0.5]
    later = [entry for entry in requests if entry["time"] - requests[0]["time"] >= 0.5]
    assert len(first) <= 240
    assert len(later) <= 2 * 6, f"{len(later)} requests in a storm of 6 s with pauses of 1 s"
    emulator.clear_faults()
    recovers(azure)
    metrics = azure.metrics()
    assert metric_sum(metrics, "azure_throttled_seconds_total", service="vault") > 1
    assert metric_sum(metrics, "azure_http_requests_total", service="vault", status="429") == \
        sum(1 for entry in emulator.requests("vault") if entry["status"] == 429)
    assert settled(azure, emulator)[0] <= fds + 32


def test_one_throttled_vault_does_not_hold_up_another(azure, emulator):
    emulator.add_vault("calm")
    emulator.set_secret("secret1", "calm", vault="calm")
    emulator.add_fault("status", service="vault", host_contains=tutorial.VAULT, status=429, retry_after=3600)
    with Pods(azure.socket) as pods:
        assert pods.outcome(mount_request(), timeout=3).code() == CODES.RESOURCE_EXHAUSTED
        assert texts(pods.mount(mount_request(keyvaultName="calm"), timeout=5 * PATIENCE)) == {"secret1": "calm"}


def test_one_throttled_application_does_not_hold_up_another(azure, emulator):
    emulator.add_app(tutorial.TENANT, "other", "other-secret")
    emulator.add_vault("others", client_id="other")
    emulator.set_secret("secret1", "others", vault="others")
    emulator.add_fault("status", service="entra", status=429, retry_after=3600, count=1)
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(), timeout=3)
        assert response.code() == CODES.RESOURCE_EXHAUSTED and "token" in response.details()
        other = mount_request(credentials={"clientid": "other", "clientsecret": "other-secret"}, keyvaultName="others")
        assert texts(pods.mount(other, timeout=5 * PATIENCE)) == {"secret1": "others"}
        emulator.reset_counters()
        assert pods.outcome(mount_request(), timeout=3).code() == CODES.RESOURCE_EXHAUSTED
        assert emulator.token_requests == 0


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"fallbackKeyvaults": "spare"}], ids=["one-vault", "fallback"])
@pytest.mark.parametrize("flags", [(), ("--serve-stale-max-age=1h",)], ids=["plain", "outage-mode"])
def test_a_throttled_vault_shares_its_pause_and_nothing_else_between_identities(start_azure, emulator, flags, more):
    """A mount that failed with 429 may be served what was read since its first call; a fallback vault and outage mode help: each only with what the
    same identity has read. The other one has no rights. Nobody sends the vault anything during the pause."""
    other = {"clientid": "other", "clientsecret": "other-secret"}
    emulator.add_app(tutorial.TENANT, *other.values())
    emulator.add_vault("spare")
    emulator.set_secret("secret1", "spare", vault="spare")
    own, others = mount_request(**more), mount_request(pod="other", credentials=other, **more)
    throttled = {"service": "vault", "host_contains": tutorial.VAULT, "status": 429}
    azure = start_azure(*flags)
    with Pods(azure.socket) as pods:
        def others_fail(code):
            response = pods.outcome(others, timeout=3)
            assert isinstance(response, RpcError), "an identity got what it may not read"
            assert response.code() == code, response
        while_throttled = CODES.PERMISSION_DENIED if more else CODES.RESOURCE_EXHAUSTED  # by the fallback vault
        emulator.add_fault("status", retry_after=4, **throttled)
        others_fail(while_throttled)
        emulator.clear_faults()
        wait_until(lambda: not isinstance(pods.outcome(own), RpcError), timeout=20, what="the first pause to end")
        emulator.add_fault("status", retry_after=8, **throttled)
        response = pods.outcome(own, timeout=3)
        if more or flags:
            assert texts(response) == {"secret1": "spare" if more else tutorial.SECRETS["secret1"]}
        else:
            assert response.code() == CODES.RESOURCE_EXHAUSTED
        emulator.reset_counters()
        for _ in range(3):  # as the kubelet calls again
            others_fail(while_throttled)
        assert {request["host"].split(".")[0] for request in emulator.requests("vault")} == ({"spare"} if more else set())
        emulator.clear_faults()
        wait_until(lambda: not isinstance(pods.outcome(own), RpcError), timeout=40, what="the second pause to end")
        others_fail(CODES.PERMISSION_DENIED)


@pytest.mark.parametrize("service", ["vault", "entra"])
def test_a_silent_service_holds_no_mount_longer_than_the_deadline(azure, emulator, ten_secrets, service):
    fds, _ = settled(azure, emulator)
    emulator.add_fault("blackhole", service=service)
    emulator.reset_counters()
    load = Load(azure.socket, threads=12, deadline=1.2, request=lambda number, turn: mount_request(TEN, pod=f"pod-{number}"))
    started = time.monotonic()
    wait_until(lambda: time.monotonic() - started >= 4, timeout=10, what="the silence to last")
    outcomes = load.end()
    assert_in_time(outcomes, 1.2)
    assert len(outcomes) >= 24 and {response.code() for _, response in outcomes} == {CODES.DEADLINE_EXCEEDED}
    emulator.clear_faults()
    fds_after, _ = settled(azure, emulator)
    # joined: at most one request per half a second and object, whatever the number of waiting mounts
    sent = sum(1 for entry in emulator.requests(service) if entry["fault"])
    assert sent <= (10 if service == "vault" else 1) * 12, f"{sent} requests for {len(outcomes)} mounts"
    recovers(azure)
    assert fds_after <= fds + 48


def test_a_service_that_misbehaves_in_every_way(azure, emulator, ten_secrets):
    """Each request has a chance of a reset, a cut, garbage, a slow body or an error; mounts fail or succeed, but in time and whole."""
    with Pods(azure.socket) as pods:
        pods.mount(mount_request(TEN))
    for kind, rule in (("reset", {}), ("truncate", {}), ("garbage", {}), ("close", {}), ("drip", {"drip_ms": 3}), ("status", {"status": 500}),
                       ("status", {"status": 503, "retry_after": 0})):
        emulator.add_fault(kind, service="vault", probability=0.06, **rule)
    load = Load(azure.socket, threads=8, deadline=4, request=lambda number, turn: mount_request(TEN, pod=f"pod-{number}"))
    # over HTTP/2 a lost connection fails many requests at once, so that whole mounts are rare
    wait_until(lambda: len(load.outcomes) >= 60 and any(not isinstance(response, RpcError) for _, response in list(load.outcomes)), timeout=60,
               what="enough mounts, and one that gets through")
    outcomes = load.end()
    assert_in_time(outcomes, 4)
    succeeded = [response for _, response in outcomes if not isinstance(response, RpcError)]
    assert all(texts(response) == VALUES for response in succeeded)
    emulator.clear_faults()
    recovers(azure)
    settled(azure, emulator)


def test_while_the_directory_is_down_known_identities_go_on(azure, emulator):
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
        emulator.add_fault("status", service="entra", status=503)
        for i in range(5):
            assert pods.mount(mount_request(pod=f"pod-{i}")).files
        unknown = {**tutorial.CREDENTIALS, "clientsecret": "another"}
        response = pods.outcome(mount_request(credentials=unknown), timeout=30)
        assert response.code() == CODES.UNAVAILABLE and "HTTP 503" in response.details()
        emulator.clear_faults()
        assert pods.outcome(mount_request(credentials=unknown), timeout=5).code() == CODES.UNAUTHENTICATED


def test_sigterm_in_the_middle_of_many_mounts(azure, emulator, ten_secrets):
    emulator.add_fault("latency", service="vault", latency_ms=300)
    with Pods(azure.socket) as pods:
        calls = [pods.client.future(rpc.MOUNT, mount_request(TEN, pod=f"pod-{i}")) for i in range(20)]
        wait_until(lambda: emulator.counters()["by_service"]["entra"] == 1 and emulator.counters()["in_flight"] > 0, what="reads to be on their way")
        azure.popen.send_signal(signal.SIGTERM)
        for call in calls:
            error = call.exception(timeout=20 * PATIENCE)
            assert error is None or error.code() in (CODES.UNAVAILABLE, CODES.CANCELLED), error
            if error is None:
                assert texts(call.result()) == VALUES
    assert azure.popen.wait(timeout=20 * PATIENCE) == 0


@pytest.mark.slow
@pytest.mark.release_only
def test_memory_after_ten_thousand_mounts_is_that_after_one_thousand(start_azure, emulator):
    azure = start_azure("-v=0")

    def mount_thousand(first):
        with Pods(azure.socket, in_flight=16) as pods:
            pods.mount_all([mount_request(["secret1", "secret2"], pod=f"pod-{first + i}") for i in range(1000)])
        return settled(azure, emulator)

    fds, rss = mount_thousand(0)
    for thousand in range(1, 10):  # of the next thousand volumes there is a line each in the table of served volumes, about 100 KiB
        last_fds, last_rss = mount_thousand(thousand * 1000)
    assert last_rss <= rss + 384, f"{rss} KiB became {last_rss} KiB"
    assert last_fds <= fds + 4
