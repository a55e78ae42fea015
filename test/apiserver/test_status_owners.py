"""Status objects that own the Secrets of bare pods and are deleted by hand: both come back, and the Secret with the new object as its owner."""

import collections
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import manifests
from cluster.objects import spc
from cluster.secrets import STATUSES, data_of, requests_for, secret_object

from harness.process import wait_until


def delete_all(admin, namespace):
    for item in admin.list(STATUSES, namespace):
        admin.delete(STATUSES, namespace, item["metadata"]["name"])


@pytest.mark.parametrize("rotation, check", [(2, 5), (5, 2), (1, 1), (None, 2)])
def test_a_deleted_status_object_comes_back_and_owns_the_secret(admin, server, namespace, make_pod, start_cluster_driver, provider, secret, rotation,
                                                               check):
    """2 s to 5 s are the proportion of the default intervals."""
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    flags = [f"--secret-sync-check-interval={check}s"]
    flags += ["--enable-secret-rotation=true", f"--rotation-poll-interval={rotation}s"] if rotation else []
    driver = start_cluster_driver(*flags)
    pod = make_pod("bare")
    driver.publish(pod.publish_request())
    old = {item["metadata"]["uid"] for item in admin.list(STATUSES, namespace)}
    since = len(server.events())
    delete_all(admin, namespace)

    def back():
        """The collector may need longer to remove the old owner from the Secret."""
        driver.publish(pod.publish_request())
        statuses = {item["metadata"]["uid"] for item in admin.list(STATUSES, namespace)}
        found = secret()
        return len(statuses) == 1 and statuses != old and found and statuses <= {o["uid"] for o in found["metadata"]["ownerReferences"]}
    wait_until(back, check + 3, "status object and Secret within a check interval, and the collector's time", pause=0.1)
    assert data_of(secret()) == {"key": b"content"}
    uid = secret()["metadata"]["uid"]
    back_since = len(server.events())

    def later():
        driver.publish(pod.publish_request())
        return len(requests_for(server, manifests.DRIVER_USER, STATUSES, back_since)) >= 2
    wait_until(later, 3 * check + 10, "two more checks of the owner", pause=0.2)
    assert secret()["metadata"]["uid"] == uid
    assert {verb for verb, _ in requests_for(server, manifests.DRIVER_USER, "secrets", back_since)} <= {"get"}
    writes = [verb for verb, _ in requests_for(server, manifests.DRIVER_USER, "secrets", since) if verb != "get"]
    assert len(writes) == 1  # created again; or, where the collector was late, the new owner added


def test_all_status_objects_of_a_node_are_deleted_at_once(admin, server, namespace, make_pod, start_cluster_driver, provider, secret):
    """kubectl delete secretproviderclasspodstatuses --all, with 50 bare pods, each with a Secret of its own."""
    driver = start_cluster_driver("--enable-secret-rotation=true", "--rotation-poll-interval=2s", "--secret-sync-check-interval=5s")
    pods = []
    for number in range(50):
        admin.create(spc(f"class-{number}", secretObjects=[secret_object(f"synced-{number}")]), namespace)
        pods.append(make_pod(f"bare-{number}", f"class-{number}"))

    def publish():
        with ThreadPoolExecutor(8) as many:
            list(many.map(lambda pod: driver.publish(pod.publish_request()), pods))
    publish()
    old = {item["metadata"]["uid"] for item in admin.list(STATUSES, namespace)}
    since, started = len(server.events()), time.monotonic()
    delete_all(admin, namespace)

    def back():
        publish()
        statuses = {item["metadata"]["uid"] for item in admin.list(STATUSES, namespace)}
        owners = {owner["uid"] for item in admin.list("secrets", namespace) for owner in item["metadata"].get("ownerReferences", [])}
        return len(statuses) == 50 and not statuses & old and statuses <= owners
    wait_until(back, 30, "all of them", pause=0.5)
    sent = collections.Counter((event["verb"], event["objectRef"]["resource"]) for event in server.requests_of(manifests.DRIVER_USER, since))
    # Each object is written once, and one of them again after a conflict with the collector. A volume's objects are read by its rotation
    # checks, one in 2 s, by the checks of its Secret, one in 5 s, and before they are written. A status object that is missing is read
    # under both of its names once.
    rounds = 1 + (time.monotonic() - started) // 2
    assert sum(count for (verb, resource), count in sent.items() if verb != "get" and resource in (STATUSES, "secrets")) <= 50 * 3, sent
    for resource in (STATUSES, "secrets"):
        assert sent["get", resource] <= 50 * (2 * rounds + 2), (sent, rounds)
    # A pod is read where its status object is missing: before the Secret is written, and in the checks of that time, one in 3.75 to 5 s.
    checks = (time.monotonic() - started) // 3.75
    assert sent["get", "pods"] <= 50 * (1 + checks), (sent, checks)


def test_an_unchanged_bare_pod_costs_one_request_in_a_check_interval(admin, server, namespace, make_pod, start_cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=4s")
    pod = make_pod("bare")
    driver.publish(pod.publish_request())
    since = len(server.events())
    wanted = len(provider.requests) + 10

    def checked():
        driver.publish(pod.publish_request())
        return len(provider.requests) >= wanted
    wait_until(checked, 40, "ten rotation checks", pause=0.1)
    sent = [(event["verb"], event["objectRef"]["resource"]) for event in server.requests_of(manifests.DRIVER_USER, since)]
    assert {verb for verb, _ in sent} == {"get"}
    assert sent.count(("get", "pods")) == 0
    assert sent.count(("get", STATUSES)) <= 8 and sent.count(("get", "secrets")) <= 5
