"""The cost of mounts: requests counted by the emulator; shared requests, and requests that are never shared."""

import pytest
from grpc import RpcError

from harness import rpc, tutorial
from harness.azure_mounts import Pods, mount_request, texts, versions_of
from harness.process import PATIENCE, SANITIZED, wait_until
from harness.programs import metric_sum
from harness.rpc import CODES

TEN = [f"s{i}" for i in range(10)]
FEW = 200 if SANITIZED else 1000


@pytest.fixture
def ten_secrets(emulator):
    for name in TEN:
        emulator.set_secret(name, f"value of {name}")


def longest_chain(requests):
    """How many of these requests were, at least, sent one after the other: the depth in round trips."""
    depth, free_at = 0, 0.0
    for start, end in sorted(((r["time"], r["time"] + r["duration_ms"] / 1e3) for r in requests), key=lambda span: span[1]):
        if start >= free_at:
            depth, free_at = depth + 1, end
    return depth


def test_a_thousand_mounts_of_one_identity_cost_one_token(azure, emulator):
    with Pods(azure.socket, in_flight=16) as pods:
        pods.mount_all([mount_request(pod=f"pod-{i}") for i in range(FEW)])
    assert emulator.token_requests == 1
    metrics = azure.metrics()
    assert metric_sum(metrics, "azure_token_lookups_total") == FEW
    assert metric_sum(metrics, "azure_token_lookups_total", outcome="miss") == 1
    assert metric_sum(metrics, "azure_http_requests_total", service="entra", status="200") == 1
    assert metric_sum(metrics, "azure_token_request_seconds_count", mode="service principal", error="") == 1


@pytest.mark.release_only  # sanitized handshakes take longer than the round trips
def test_fifty_objects_take_at_most_four_round_trips(azure, emulator):
    names = [f"n{i}" for i in range(50)]
    for name in names:
        emulator.set_secret(name, name)
    emulator.add_fault("latency", latency_ms=500)  # long against everything else, so that the order can be seen
    emulator.reset_counters()
    with Pods(azure.socket) as pods:
        assert len(pods.mount(mount_request(names)).files) == 50
    requests = emulator.requests()
    assert len(requests) == 51
    assert longest_chain(requests) <= 4


@pytest.mark.release_only  # the emulator speaks HTTP/2
def test_fifty_objects_on_a_kept_connection_take_one_round_trip(azure, emulator):
    mounts = [[f"{mount}{i}" for i in range(50)] for mount in ("first", "second")]
    for name in mounts[0] + mounts[1]:
        emulator.set_secret(name, name)
    with Pods(azure.socket) as pods:
        pods.mount(mount_request(mounts[0]))
        emulator.add_fault("latency", latency_ms=500)
        emulator.reset_counters()
        assert len(pods.mount(mount_request(mounts[1])).files) == 50
    requests = emulator.requests()
    assert len(requests) == 50 and longest_chain(requests) == 1


def test_fifty_objects_twenty_milliseconds_away_are_not_fetched_one_after_the_other(azure, emulator):
    """So close that a busy machine sends some of them late: more round trips than above, but at least two requests at a time on average."""
    names = [f"n{i}" for i in range(50)]
    for name in names:
        emulator.set_secret(name, name)
    emulator.add_fault("latency", latency_ms=20)
    emulator.reset_counters()
    with Pods(azure.socket) as pods:
        assert len(pods.mount(mount_request(names)).files) == 50
    requests = emulator.requests()
    assert longest_chain(requests) <= len(requests) // 2


@pytest.mark.release_only  # as above
def test_a_first_mount_requests_all_objects_at_the_same_time(azure, emulator, ten_secrets):
    """Not for one first and for the others when it is there, although nothing is known of the server yet."""
    emulator.add_fault("latency", latency_ms=1000)
    emulator.reset_counters()
    with Pods(azure.socket) as pods:
        pods.mount(mount_request(TEN))
    assert longest_chain(emulator.requests()) == 2  # the token, the objects


def test_a_mount_requests_once_the_objects_that_its_items_share(azure, emulator):
    objects = "array:\n" + "".join(f"  - |\n    objectName: secret1\n    objectType: secret\n    objectAlias: a{i}\n" for i in range(5))
    with Pods(azure.socket) as pods:
        assert len(texts(pods.mount(mount_request(objects=objects)))) == 5
    assert emulator.vault_requests == 1


def test_mounts_at_the_same_time_share_their_reads(azure, emulator, ten_secrets):
    emulator.add_fault("latency", service="vault", latency_ms=150)
    with Pods(azure.socket, in_flight=30) as pods:
        pods.mount(mount_request(["secret1"]))
        emulator.reset_counters()
        pods.mount_all([mount_request(TEN, pod=f"pod-{i}") for i in range(30)])
    metrics = azure.metrics()
    joined = metric_sum(metrics, "azure_object_lookups_total", outcome="joined")
    fetched = metric_sum(metrics, "azure_object_lookups_total", outcome="fetched")
    assert emulator.vault_requests == fetched - 1
    assert joined + fetched - 1 == 300 and joined >= 150, "reads were not joined"


def test_a_rotation_pass_of_a_hundred_pods_costs_one_read_for_each_object(start_azure, emulator, ten_secrets):
    """A pass begins when what the pass before has read is too old. A fresh process is in that state without waiting."""
    azure = start_azure()
    with Pods(azure.socket) as pods:
        mounted = pods.mount_all([mount_request(TEN, pod=f"pod-{i}") for i in range(100)])
    azure.destroy()
    emulator.set_secret("s0", "rotated")
    azure = start_azure()
    emulator.reset_counters()
    with Pods(azure.socket) as pods:
        responses = pods.mount_all([mount_request(TEN, pod=f"pod-{i}", versions=versions_of(mounted[i])) for i in range(100)])
    assert emulator.vault_requests == 10
    assert emulator.token_requests == 1
    assert {texts(response)["s0"] for response in responses} == {"rotated"}
    metrics = azure.metrics()
    assert metric_sum(metrics, "azure_object_lookups_total", outcome="fetched") == 10
    assert metric_sum(metrics, "azure_object_lookups_total", outcome="republished") + \
        metric_sum(metrics, "azure_object_lookups_total", outcome="joined") == 990


def test_the_next_pass_reads_again(start_azure, emulator, ten_secrets):
    azure = start_azure("--republish-cache-ttl=1s")
    with Pods(azure.socket) as pods:
        mounted = [pods.mount(mount_request(TEN, pod=f"pod-{i}")) for i in range(5)]
        emulator.set_secret("s3", "rotated")
        republish = [mount_request(TEN, pod=f"pod-{i}", versions=versions_of(mounted[i])) for i in range(5)]
        wait_until(lambda: texts(pods.mount(republish[0]))["s3"] == "rotated", what="the cached responses to become too old")
        assert {texts(pods.mount(request))["s3"] for request in republish} == {"rotated"}


def test_a_republish_always_reads_with_a_cache_ttl_of_0(start_azure, emulator):
    azure = start_azure("--republish-cache-ttl=0")
    with Pods(azure.socket) as pods:
        mounted = pods.mount(mount_request())
        emulator.reset_counters()
        for _ in range(5):
            pods.mount(mount_request(versions=versions_of(mounted)))
    assert emulator.vault_requests == 5


def test_a_first_mount_reads_while_republishes_are_served_from_memory(azure, emulator):
    with Pods(azure.socket) as pods:
        old = pods.mount(mount_request(pod="old"))
        emulator.set_secret("secret1", "new")
        served = pods.mount(mount_request(pod="old", versions=versions_of(old)))
        assert texts(served) == texts(old)
        assert texts(pods.mount(mount_request(pod="young"))) == {"secret1": "new"}
        # from now on every mount gets the value of this first mount
        assert texts(pods.mount(mount_request(pod="old", versions=versions_of(served)))) == {"secret1": "new"}


def test_a_driver_that_sends_no_versions_is_never_served_from_memory(azure, emulator):
    with Pods(azure.socket) as pods:
        for value in ("one", "two", "three"):
            emulator.set_secret("secret1", value)
            for pod in ("a", "b"):
                assert texts(pods.mount(mount_request(pod=pod))) == {"secret1": value}


def test_values_never_go_back_while_a_slow_response_is_on_its_way(azure, emulator):
    """A read that hangs for seconds must not overwrite the value of a later one."""
    with Pods(azure.socket, in_flight=2) as pods:
        first = pods.mount(mount_request(pod="one"))
        emulator.add_fault("drip", id="slow", service="vault", drip_ms=20, count=1)
        slow = pods.client.future(rpc.MOUNT, mount_request(pod="two"))
        wait_until(lambda: emulator.requests("vault")[-1]["fault"], what="the slow request")
        emulator.set_secret("secret1", "new")

        def reads_for_itself():  # within half a second it joins the slow read, and gives up
            response = pods.outcome(mount_request(pod="three"), timeout=0.7 * PATIENCE)
            return not isinstance(response, RpcError) and texts(response) == {"secret1": "new"}
        wait_until(reads_for_itself, what="a read of its own")
        assert not slow.done(), "the slow response was faster than the test"
        assert texts(slow.result(timeout=30)) == texts(first)
        for pod in ("three", "one"):
            assert texts(pods.mount(mount_request(pod=pod, versions=versions_of(first)))) == {"secret1": "new"}


def test_a_hundred_identities_stay_apart(azure, emulator):
    """Each with an application and a vault of its own; the secret has the same name everywhere, and so has the pod."""
    n = 30 if SANITIZED else 100
    people = [{"clientid": f"app-{i}", "clientsecret": f"secret-of-app-{i}"} for i in range(n)]
    for i, person in enumerate(people):
        emulator.add_app(tutorial.TENANT, person["clientid"], person["clientsecret"])
        emulator.add_vault(f"vault-{i}", client_id=person["clientid"])
        emulator.set_secret("shared-name", f"only for {i}", vault=f"vault-{i}")
    emulator.reset_counters()

    def request(person, vault, versions=()):
        return mount_request(["shared-name"], credentials=people[person], keyvaultName=f"vault-{vault}", versions=versions)

    with Pods(azure.socket, in_flight=16) as pods:
        mounted = pods.mount_all([request(i, i) for i in range(n)] * 2)
        assert [texts(response)["shared-name"] for response in mounted[:n]] == [f"only for {i}" for i in range(n)]
        assert emulator.counters()["tokens_issued"] == n
        assert emulator.token_requests == n
        republished = pods.mount_all([request(i, i, versions_of(mounted[i])) for i in range(n)])
        assert [texts(response)["shared-name"] for response in republished] == [f"only for {i}" for i in range(n)]

        # the neighbour's vault, with the versions that the neighbour's pod has: the vault itself gets a request, and refuses
        emulator.reset_counters()
        stolen = pods.call_all([request((i + 1) % n, i, versions_of(mounted[i])) for i in range(n)])
        assert all(isinstance(response, RpcError) and response.code() == CODES.PERMISSION_DENIED for response in stolen)
        assert emulator.vault_requests == n
        sent = {(entry["host"], entry["client_id"]) for entry in emulator.requests("vault")}
        assert sent == {(f"vault-{i}.vault.localhost", f"app-{(i + 1) % n}") for i in range(n)}


def test_a_wrong_credential_gets_nothing_from_the_caches(azure, emulator):
    with Pods(azure.socket) as pods:
        mounted = pods.mount(mount_request())
        wrong = {**tutorial.CREDENTIALS, "clientsecret": "guessed"}
        for versions in ((), versions_of(mounted)):
            response = pods.outcome(mount_request(credentials=wrong, versions=versions))
            assert isinstance(response, RpcError) and response.code() == CODES.UNAUTHENTICATED
            assert "AADSTS7000215" in response.details()


def test_a_revoked_permission_ends_the_responses_from_memory(azure, emulator):
    with Pods(azure.socket) as pods:
        mounted = pods.mount(mount_request(pod="one"))
        emulator.add_vault(tutorial.VAULT, permissions=())
        assert texts(pods.mount(mount_request(pod="one", versions=versions_of(mounted)))) == texts(mounted)
        assert pods.outcome(mount_request(pod="two")).code() == CODES.PERMISSION_DENIED
        response = pods.outcome(mount_request(pod="one", versions=versions_of(mounted)))
        assert isinstance(response, RpcError) and response.code() == CODES.PERMISSION_DENIED


def test_the_challenge_is_honoured_once_and_by_one_request(azure, emulator):
    with Pods(azure.socket, in_flight=10) as pods:
        pods.mount(mount_request())
        emulator.control("POST", "/entra/revoke-tokens")
        emulator.add_fault("latency", service="entra", latency_ms=100)  # the renewals meet
        emulator.reset_counters()
        pods.mount_all([mount_request(["secret1", "secret2"], pod=f"pod-{i}") for i in range(10)])
    assert emulator.counters()["tokens_issued"] == 1
    unauthorized = [entry for entry in emulator.requests("vault") if entry["status"] == 401]
    assert 1 <= len(unauthorized) <= 20
    assert "WWW-Authenticate" not in azure.log


def test_the_tenant_of_the_challenge_is_reported(azure, emulator):
    emulator.add_app("another-tenant", tutorial.CLIENT_ID, tutorial.CLIENT_SECRET)
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(tenantId="another-tenant"))
    assert response.code() == CODES.UNAUTHENTICATED
    assert f"the vault belongs to tenant {tutorial.TENANT}, not to tenantID another-tenant" in response.details()
    assert "AKV10032" in response.details()
    assert emulator.token_requests == 2, "one renewal, and no more"
