"""Secrets and status objects that are being deleted while a finalizer holds them: left alone, and created again when they are gone."""

from cluster import manifests
from cluster.objects import spc
from cluster.secrets import STATUSES, data_of, reference, requests_for, secret_object

from harness.process import wait_until

FAST = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


def hold(admin, namespace, plural, name):
    admin.patch(plural, namespace, name, {"metadata": {"finalizers": ["example.org/hold"]}})


def release(admin, namespace, plural, name):
    admin.patch(plural, namespace, name, {"metadata": {"finalizers": None}})


def published_until(driver, pods, condition, timeout, what):
    def step():
        for pod in pods:
            driver.publish(pod.publish_request())
        return condition()
    wait_until(step, timeout, what, pause=0.2)


def test_a_secret_that_is_being_deleted_is_left_alone_and_comes_back(admin, server, namespace, make_pod, replica_set, start_cluster_driver, provider,
                                                                     secret, events):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    driver.publish(make_pod("one", owners=[reference(replica_set("one"))]).publish_request())
    hold(admin, namespace, "secrets", "synced")
    admin.delete("secrets", namespace, "synced")
    held = secret()
    provider.files = {"file": b"rotated"}
    two = make_pod("two", owners=[reference(replica_set("two"))])
    since = len(server.events())
    driver.publish(two.publish_request())
    published_until(driver, [two], lambda: len(requests_for(server, manifests.DRIVER_USER, "secrets", since)) >= 3, 30, "retries")
    assert secret() == held
    assert {verb for verb, _ in requests_for(server, manifests.DRIVER_USER, "secrets", since)} == {"get"}
    [message] = events()
    assert "the Secret is being deleted" in message
    release(admin, namespace, "secrets", "synced")
    wait_until(lambda: secret() is not None and secret()["metadata"]["uid"] != held["metadata"]["uid"], 30, "a new Secret", pause=0.1)
    assert data_of(secret()) == {"key": b"rotated"}


def test_a_pod_starts_while_the_status_object_of_its_predecessor_is_being_deleted(admin, server, namespace, make_pod, start_cluster_driver,
                                                                                 provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST, "--secret-sync-check-interval=5s")
    first = make_pod("db-0")
    driver.publish(first.publish_request())
    name = f"db-0-{namespace}-azure-kvname"
    hold(admin, namespace, STATUSES, name)
    driver.unpublish(first.unpublish_request())
    first.delete()
    wait_until(lambda: admin.get(STATUSES, namespace, name)["metadata"].get("deletionTimestamp"), 30, "the collector", pause=0.1)
    held = admin.get(STATUSES, namespace, name)
    second = make_pod("db-0")
    driver.publish(second.publish_request())
    assert admin.get(STATUSES, namespace, name) == held
    since = len(server.events())
    published_until(driver, [second], lambda: len(requests_for(server, manifests.DRIVER_USER, STATUSES, since)) >= 2, 30, "retries")
    assert admin.get(STATUSES, namespace, name) == held
    release(admin, namespace, STATUSES, name)

    def owned():
        status = admin.find(STATUSES, namespace, name)
        return (status is not None and status["metadata"]["ownerReferences"][0]["uid"] == second.uid and secret() is not None
                and status["metadata"]["uid"] in {owner["uid"] for owner in secret()["metadata"].get("ownerReferences", [])})
    published_until(driver, [second], owned, 60, "the status object of the second pod, and its Secret")
    assert driver.log.count("the status object is being deleted") == 1


def test_a_status_object_that_is_being_deleted_under_a_running_pod_comes_back(admin, namespace, make_pod, start_cluster_driver, provider):
    admin.create(spc(), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod("web")
    driver.publish(pod.publish_request())
    name = f"web-{namespace}-azure-kvname"
    wait_until(lambda: admin.find(STATUSES, namespace, name), what="the status object")
    hold(admin, namespace, STATUSES, name)
    admin.delete(STATUSES, namespace, name)
    provider.files = {"file": b"rotated", "new": b"n"}
    published_until(driver, [pod], lambda: "the status object is being deleted" in driver.log, 20, "a warning")
    release(admin, namespace, STATUSES, name)
    published_until(driver, [pod], lambda: (admin.find(STATUSES, namespace, name) or {}).get("status", {}).get("mounted"), 60, "a new status object")
    assert "deletionTimestamp" not in admin.get(STATUSES, namespace, name)["metadata"]
