"""PKCS#12 files that cost seconds of key derivation, as credentials and as vault certificates: other mounts, health checks and the shutdown
do not wait for them."""

import base64
import time

import grpc
import pytest

from harness import pfx, rpc, tutorial
from harness.azure_mounts import item, mount, mount_failure, mount_request, objects_of
from harness.http_get import get
from harness.process import PATIENCE, wait_until

HOSTILE = 16
MORE_MS, HEALTH_MS = 50 * PATIENCE, 20 * PATIENCE
LIMIT_S = 150  # the work has the lowest priority: on a busy machine everything else comes first


@pytest.fixture(scope="module")
def files():
    """Different files, so that none shares the work of another."""
    return [base64.b64encode(pfx.costly(number=number)).decode() for number in range(HOSTILE)]


def credentials_of(files):
    return [mount_request(pod=f"costly{number}", credentials={"clientid": f"app{number}", "clientcertificate": file})
            for number, file in enumerate(files)]


def certificates_of(emulator, files):
    for number, file in enumerate(files):
        emulator.set_secret(f"costly{number}", file, contentType="application/x-pkcs12", managed=True, kid="https://vault/keys/k/1")
    return [mount_request(pod=f"costly{number}", objects=objects_of(item(f"costly{number}"))) for number in range(len(files))]


def milliseconds(function, *arguments, **keywords):
    started = time.monotonic()
    function(*arguments, **keywords)
    return (time.monotonic() - started) * 1000


def mount_with_new_token(client, emulator, number):
    """A mount of another application, which has no token yet."""
    app = f"other-app-{number}"
    emulator.add_app(tutorial.TENANT, app, "second")
    emulator.set_policy(client_id=app, permissions=["get"])
    return milliseconds(mount, client, credentials={"clientid": app, "clientsecret": "second"}, pod=f"good{number}")


@pytest.mark.parametrize("where", ["credentials", "certificates"])
def test_others_do_not_wait(azure, emulator, files, where):
    requests = credentials_of(files) if where == "credentials" else certificates_of(emulator, files)
    with rpc.Client(azure.socket) as client, rpc.Client(azure.socket) as other:
        mount(client)
        alone = min(mount_with_new_token(other, emulator, number) for number in range(5))
        running = [client.future(rpc.MOUNT, request, LIMIT_S) for request in requests]
        wait_until(lambda: not all(call.done() for call in running) and azure.cpu_seconds() > 0.3, timeout=LIMIT_S, what="the work to begin")
        beside = [mount_with_new_token(other, emulator, number) for number in range(5, 10)]
        health = [milliseconds(get, azure.health_port, "/healthz") for _ in range(9)]
        assert not all(call.done() for call in running), "the work was over too early to show anything"
        print(f"alone {alone:.0f} ms, beside {sorted(map(round, beside))} ms, healthz {sorted(map(round, health))} ms")
        # the fastest of each: whoever waited for the work would wait every time, a busy machine delays some
        assert min(beside) < alone + MORE_MS
        assert min(health) < HEALTH_MS
        for call in running:
            call.cancel()


def test_the_work_of_callers_that_hang_up_is_dropped(azure, emulator, files):
    """At most the files that are open already are finished. Counted in processor time: a busy machine takes longer."""
    requests = certificates_of(emulator, files)
    with rpc.Client(azure.socket) as client:
        mount(client)
        idle = azure.cpu_seconds()
        client.call(rpc.MOUNT, requests.pop(), LIMIT_S)
        once = azure.cpu_seconds() - idle
        last = requests.pop()
        running = [client.future(rpc.MOUNT, request, LIMIT_S) for request in requests]
        wait_until(lambda: azure.cpu_seconds() > idle + 1.2 * once, timeout=LIMIT_S, what="the work to begin")
        for call in running:
            call.cancel()
        before = azure.cpu_seconds()
        client.call(rpc.MOUNT, last, LIMIT_S)
        assert azure.cpu_seconds() - before < 5 * once


def test_the_work_of_a_caller_that_hangs_up_ends_at_once(azure, emulator):
    """One that has begun, too. Counted in processor time: a busy machine takes longer."""
    requests = certificates_of(emulator, [base64.b64encode(pfx.costly(iterations=600_000, number=number)).decode() for number in range(2)])
    with rpc.Client(azure.socket) as client:
        mount(client)
        idle = azure.cpu_seconds()
        client.call(rpc.MOUNT, requests[0], LIMIT_S)
        once = azure.cpu_seconds() - idle
        idle = azure.cpu_seconds()
        running = client.future(rpc.MOUNT, requests[1], LIMIT_S)
        wait_until(lambda: azure.cpu_seconds() > idle, what="the work to begin", pause=0.001)
        running.cancel()
        wait_until(lambda: idle_for(azure), what="the work to end", timeout=LIMIT_S)
        assert azure.cpu_seconds() - idle < once / 2


def idle_for(azure, seconds=0.3):
    """Whether the program does nothing for so long."""
    before = azure.cpu_seconds()
    time.sleep(seconds)
    return azure.cpu_seconds() - before < 0.02


def test_a_file_as_key_vault_makes_them_waits_for_none_that_costs_seconds(azure, emulator, files):
    """2,000 rounds. Both kinds in one pool; the mounts before it have a second of work each."""
    certificates_of(emulator, files)
    usual = base64.b64encode(pfx.costly(iterations=2000)).decode()
    emulator.set_secret("usual", usual, contentType="application/x-pkcs12", managed=True, kid="https://vault/keys/k/1")
    with rpc.Client(azure.socket) as client, rpc.Client(azure.socket) as other:
        mount(client)
        running = [client.future(rpc.MOUNT, mount_request(pod=f"costly{number}", objects=objects_of(item(f"costly{number}"))), 120)
                   for number in range(HOSTILE)]
        wait_until(lambda: azure.cpu_seconds() > 0.5, what="the work to begin")
        mount(other, objects=objects_of(item("usual")), pod="usual", timeout=LIMIT_S)
        done = sum(call.done() for call in running)
        assert done < HOSTILE / 2, "it waited for the others"
        for call in running:
            call.cancel()


def test_a_credential_that_does_not_open_is_not_tried_again(azure, files):
    """Each retry of the kubelet would cost a second."""
    credentials = {"clientid": "app", "clientcertificate": files[0], "clientcertificatepassword": "wrong"}
    with rpc.Client(azure.socket) as client:
        mount(client)
        before = azure.cpu_seconds()
        first = mount_failure(client, credentials=credentials, pod="first")
        once = azure.cpu_seconds() - before
        assert "decryption password incorrect" in first[1]
        before = azure.cpu_seconds()
        for number in range(5):
            assert mount_failure(client, credentials=credentials, pod=f"retry{number}") == first
        assert azure.cpu_seconds() - before < max(once, 0.05)


def test_equal_bytes_are_opened_once(azure, emulator, files):
    """Twenty aliases and a second pod: the price of one."""
    certificates_of(emulator, files[:1])
    aliases = objects_of(*(item("costly0", objectAlias=f"alias{number}") for number in range(20)))
    with rpc.Client(azure.socket) as client:
        mount(client)
        before = azure.cpu_seconds()
        mount(client, objects=objects_of(item("costly0")), timeout=LIMIT_S)
        once = azure.cpu_seconds() - before
        mount(client, objects=aliases, pod="second", timeout=LIMIT_S)
        assert azure.cpu_seconds() - before < 2 * once


def test_a_mount_ends_in_time(azure, emulator, files):
    """Work that lasts longer than the caller waits: the error comes in time and names the object."""
    certificates_of(emulator, files)
    objects = objects_of(*(item(f"costly{number}") for number in range(HOSTILE)))
    with rpc.Client(azure.socket) as client:
        with pytest.raises(grpc.RpcError) as failure:
            mount(client, objects=objects, timeout=1)
    assert "not converted before the caller's deadline" in failure.value.details()


def test_the_program_ends_beside_the_work(azure, emulator, files):
    with rpc.Client(azure.socket) as client:
        running = [client.future(rpc.MOUNT, request, LIMIT_S) for request in credentials_of(files)]
        wait_until(lambda: azure.cpu_seconds() > 0.3, timeout=LIMIT_S, what="the work to begin")
        for call in running:
            call.cancel()
        assert azure.stop() == 0
