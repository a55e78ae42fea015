"""The limits of vaults and of the token service (emulator: PUT /limits), and the provider's way with them."""

import itertools
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import tutorial
from harness.azure_mounts import Pods, mount_request, texts, versions_of
from harness.process import wait_until
from harness.rpc import CODES

pytestmark = pytest.mark.release_only  # counts requests within a time


class Caller:
    """A client that is not ours: one token, plain GETs."""

    def __init__(self, emulator):
        self.port = emulator.tls_port
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(emulator.directory / "ca.pem"))))
        self.scope = f"{emulator.vault_resource}/.default"

    def send(self, host, path, data=None, **headers):
        """(status, headers, JSON)"""
        url = f"https://localhost:{self.port}{path}"
        try:
            with self.opener.open(urllib.request.Request(url, data, {"Host": f"{host}:{self.port}", **headers}), timeout=10) as response:
                return response.status, response.headers, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)

    def token(self):
        form = {"grant_type": "client_credentials", "client_id": tutorial.CLIENT_ID, "client_secret": tutorial.CLIENT_SECRET, "scope": self.scope}
        return self.send("login.localhost", f"/{tutorial.TENANT}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode())

    def get(self, token, vault=tutorial.VAULT, name="secret1"):
        return self.send(f"{vault}.vault.localhost", f"/secrets/{name}?api-version=7.4", Authorization=f"Bearer {token}")


@pytest.fixture
def caller(emulator):
    return Caller(emulator)


def statuses(caller, token, number, vault=tutorial.VAULT):
    return [caller.get(token, vault)[0] for _ in range(number)]


def test_a_vault_refuses_what_is_above_its_limit_until_the_next_window(emulator, caller):
    token = caller.token()[2]["access_token"]
    for _ in range(10):  # on a busy machine not every try fits into its windows
        began = time.monotonic()
        emulator.set_limits(vault=3, window_s=2)
        first = statuses(caller, token, 3)
        status, headers, body = caller.get(token)
        filled = time.monotonic()
        time.sleep(int(headers.get("Retry-After", 0)))
        again = statuses(caller, token, 4)
        if filled - began < 2 and time.monotonic() - began < 4:
            break
    assert first == [200] * 3
    assert (status, body["error"]["code"]) == (429, "Throttled")
    assert int(headers["Retry-After"]) in (1, 2)
    assert again == [200] * 3 + [429], "what was refused did not count"
    name = tutorial.VAULT.lower()
    assert emulator.limits()["vaults"] == {name: {"admitted": 6, "refused": 2}}


def test_the_vaults_of_a_subscription_share_a_limit(emulator, caller):
    emulator.add_vault("othervault")
    emulator.set_secret("secret1", "x", vault="othervault")
    token = caller.token()[2]["access_token"]
    emulator.set_limits(vault=3, subscription=4, window_s=30, retry_after="none")
    assert statuses(caller, token, 3) == [200] * 3
    assert statuses(caller, token, 2, "othervault") == [200, 429]
    assert "Retry-After" not in caller.get(token, "othervault")[1]
    assert emulator.limits()["subscription"] == {"admitted": 4, "refused": 2}


def test_the_token_service_limits_an_application(emulator, caller):
    emulator.set_limits(tokens=2, token_retry_after=60)
    assert [caller.token()[0] for _ in range(2)] == [200, 200]
    status, headers, body = caller.token()
    assert (status, body["error_codes"], headers["Retry-After"]) == (429, [50196], "60")
    emulator.clear_limits()
    assert caller.token()[0] == 200


def test_the_published_limits_are_the_default(emulator):
    emulator.set_limits()
    assert emulator.limits()["limits"] == {"vault": 4000, "subscription": 20000, "window_s": 10, "tokens": 0, "token_window_s": 60}
    with pytest.raises(AssertionError, match="out of range"):
        emulator.set_limits(vault=-1)
    with pytest.raises(AssertionError, match="retry_after"):
        emulator.set_limits(retry_after="soon")


def test_a_provider_above_the_limit_gets_all_it_needs_in_the_next_windows(azure, emulator):
    names = [f"s{i}" for i in range(30)]
    for name in names:
        emulator.set_secret(name, f"value of {name}")
    emulator.set_limits(vault=12, window_s=1)
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request(names), timeout=60)) == {name: f"value of {name}" for name in names}
    counted = emulator.limits()["vaults"][tutorial.VAULT.lower()]
    assert counted["admitted"] == 30
    # after a 429 one request goes first, and none before its time
    served = [entry for entry in emulator.requests("vault") if entry["status"] == 200]
    starts = sorted(entry["time"] for entry in served)
    for first, last in zip(starts, itertools.islice(starts, 24, None)):
        assert last - first > 0.9, "25 requests in a row span two windows"
    assert counted["refused"] < 40


def test_a_mount_goes_on_for_as_long_as_its_caller_waits(azure, emulator):
    emulator.add_fault("status", service="vault", status=429, retry_after=1, count=6)
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request(), timeout=60)) == {"secret1": tutorial.SECRETS["secret1"]}
    assert [entry["status"] for entry in emulator.requests("vault")] == [429] * 6 + [200]


def test_new_pods_go_before_rotation_checks(start_azure, emulator):
    checks, azure = [f"s{i}" for i in range(20)], start_azure("--republish-cache-ttl=0")
    for name in [*checks, "urgent"]:
        emulator.set_secret(name, f"value of {name}")
    with Pods(azure.socket, in_flight=21) as pods:
        mounted = pods.mount_all([mount_request([name], pod=name) for name in checks])
        emulator.set_limits(vault=1, window_s=1)
        ended = []

        def call(request):
            ended.append((pods.outcome(request, timeout=60), request.target_path))
        threads = [threading.Thread(target=call, args=(mount_request([name], pod=name, versions=versions_of(response)),))
                   for name, response in zip(checks, mounted)]
        for thread in threads:
            thread.start()
        wait_until(lambda: emulator.limits()["subscription"]["refused"] >= 1, what="the first 429")
        call(mount_request(["urgent"], pod="urgent"))
        assert texts(ended[-1][0]) == {"urgent": "value of urgent"}
        before = len(ended) - 1
        for thread in threads:
            thread.join()
    assert before <= 8, "those that were served before it came, and what one pause lets through"


def test_a_throttled_mount_keeps_what_it_has_read_for_its_next_call(azure, emulator):
    names = [f"s{i}" for i in range(30)]
    for name in names:
        emulator.set_secret(name, f"old value of {name}")
    emulator.set_limits(vault=8, window_s=4, retry_after="none")

    def admitted():
        return emulator.limits()["subscription"]["admitted"]
    with Pods(azure.socket) as pods:
        first = pods.outcome(mount_request(names, pod="web"), timeout=3)
        assert first.code() == CODES.RESOURCE_EXHAUSTED
        read = admitted()
        assert 8 <= read < 30
        emulator.clear_limits()
        emulator.set_limits(vault=0, subscription=0)
        for name in names:
            emulator.set_secret(name, f"new value of {name}")
        assert set(texts(pods.mount(mount_request(names, pod="other"))).values()) == {f"new value of {name}" for name in names}
        assert admitted() == 30, "another pod is served nothing that was read before its call"
        again = texts(pods.mount(mount_request(names, pod="web")))
        assert again == {name: f"new value of {name}" for name in names}, "what was read last since its first call"
        assert admitted() == 30
        again = texts(pods.mount(mount_request(names, pod="web")))
        assert admitted() == 60, "its mount has succeeded: the exception is over"


def test_a_throttled_mount_keeps_what_it_has_read_longer_than_reads_are_cached(start_azure, emulator):
    names, azure = [f"s{i}" for i in range(30)], start_azure("--republish-cache-ttl=500ms")
    for name in names:
        emulator.set_secret(name, f"value of {name}")
    emulator.set_limits(vault=8, window_s=60, retry_after="none")
    with Pods(azure.socket) as pods:
        for _ in range(2):
            assert pods.outcome(mount_request(names, pod="web"), timeout=3).code() == CODES.RESOURCE_EXHAUSTED
        emulator.set_limits(vault=0, subscription=0)
        assert texts(pods.mount(mount_request(names, pod="web"))) == {name: f"value of {name}" for name in names}
    read = [entry["path"] for entry in emulator.requests("vault") if entry["status"] == 200]
    assert len(read) == len(set(read)) == 30
