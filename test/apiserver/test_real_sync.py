"""Kubernetes Secrets kept equal to mounted files, with the real API server's rules and the real garbage collector."""

from concurrent.futures import ThreadPoolExecutor

from cluster import manifests
from cluster.objects import PodVolume, spc
from cluster.secrets import MANAGED, data_of, reference, reported_errors, secret_object
from harness import mounts
from harness.process import wait_until
from harness.programs import Driver, Node

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


def test_two_deployments_share_a_secret_that_goes_with_the_last(admin, namespace, make_pod, replica_set, cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object(labels={"environment": "test"})]), namespace)
    owners = [replica_set("web"), replica_set("api")]
    for owner in owners:
        pod = make_pod(owner["metadata"]["name"] + "-pod", owners=[reference(owner)])
        cluster_driver.publish(pod.publish_request())
    found = secret()
    assert data_of(found) == {"key": b"content"}
    assert found["metadata"]["labels"] == {"environment": "test", MANAGED: "true"}
    assert found["metadata"]["ownerReferences"] == [reference(owner) for owner in owners]
    admin.delete("replicasets", namespace, "web")
    wait_until(lambda: secret()["metadata"]["ownerReferences"] == [reference(owners[1])], 60, "the owner count to be 1", pause=0.1)
    admin.delete("replicasets", namespace, "api")
    wait_until(lambda: secret() is None, 60, "the Secret to go with its last owner", pause=0.1)


def test_the_secret_of_a_bare_pod_goes_with_the_pod(admin, namespace, make_pod, cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    pod = make_pod()
    admin.create({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus", "metadata": {
        "name": f"web-{namespace}-azure-kvname", "ownerReferences": [reference(pod.object)]}}, namespace)
    cluster_driver.publish(pod.publish_request())
    assert [owner["kind"] for owner in secret()["metadata"]["ownerReferences"]] == ["SecretProviderClassPodStatus"]
    cluster_driver.unpublish(pod.unpublish_request())
    pod.delete()
    wait_until(lambda: secret() is None, 60, "the Secret to go with the pod", pause=0.1)


def test_rotation_checks_without_a_change_write_nothing(admin, server, namespace, make_pod, replica_set, start_cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver = start_cluster_driver(*ROTATE)
    driver.publish(pod.publish_request())
    version = secret()["metadata"]["resourceVersion"]
    since = len(server.events())
    wanted = len(provider.requests) + 3

    def checked():
        driver.publish(pod.publish_request())
        return len(provider.requests) >= wanted
    wait_until(checked, 20, "three rotation checks", pause=0.2)
    assert secret()["metadata"]["resourceVersion"] == version
    sent = [event["verb"] for event in server.requests_of(manifests.DRIVER_USER, since) if event["objectRef"]["resource"] == "secrets"]
    assert sent == []


def test_a_rotation_is_one_patch(admin, namespace, make_pod, replica_set, start_cluster_driver, provider, secret):
    provider.files = {"file": b"content", "stays": b"2"}
    admin.create(spc(secretObjects=[secret_object(data=[("file", "key"), ("stays", "other")])]), namespace)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver = start_cluster_driver(*ROTATE)
    driver.publish(pod.publish_request())
    before = secret()
    provider.files = {"file": b"rotated", "stays": b"2"}

    def rotated():
        driver.publish(pod.publish_request())
        return data_of(secret()) == {"key": b"rotated", "other": b"2"}
    wait_until(rotated, 20, "the new value", pause=0.2)
    after = secret()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]


def test_a_refusal_of_the_server_is_reported_in_its_words(admin, namespace, make_pod, replica_set, cluster_driver, provider, secret):
    """A type that cannot be changed, a type that needs keys the class does not give, an invalid key."""
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "typed", "labels": {MANAGED: "true"}},
                  "type": "example.org/a"}, namespace)
    admin.create(spc(secretObjects=[secret_object("typed"), secret_object("auth", type_="kubernetes.io/ssh-auth"),
                                    secret_object("badkey", data=[("file", "a/b")]), secret_object("good")]), namespace)
    pod = make_pod(owners=[reference(replica_set("web"))])
    cluster_driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}
    assert data_of(secret("good")) == {"key": b"content"}
    wait_until(lambda: reported_errors(cluster_driver) >= 3, 20, "three failures to be reported", pause=0.1)
    text = cluster_driver.log
    assert "exists with type 'example.org/a', the class says 'Opaque'" in text
    assert "ssh-privatekey" in text and "a/b" in text
    assert secret("auth") is None and secret("badkey") is None and secret("typed")["type"] == "example.org/a"


def test_an_immutable_secret_is_reported(admin, namespace, make_pod, replica_set, cluster_driver, provider, secret):
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "synced", "labels": {MANAGED: "true"}}, "type": "Opaque",
                  "immutable": True, "data": {"key": "b2xk"}}, namespace)
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    cluster_driver.publish(make_pod(owners=[reference(replica_set("web"))]).publish_request())
    wait_until(lambda: "the Secret is immutable" in cluster_driver.log, 20, "the failure to be reported", pause=0.1)
    assert data_of(secret()) == {"key": b"old"}


def test_a_deleted_secret_comes_back(admin, namespace, make_pod, replica_set, start_cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver("--secret-sync-check-interval=1s")
    driver.publish(make_pod(owners=[reference(replica_set("web"))]).publish_request())
    admin.delete("secrets", namespace, "synced")
    wait_until(lambda: secret() is not None, 20, "the Secret to come back", pause=0.1)
    assert data_of(secret()) == {"key": b"content"}


def test_other_writers_of_the_same_secret_lose_nothing(admin, namespace, make_pod, replica_set, start_cluster_driver, provider, secret):
    """Another client labels the Secret again and again while it rotates: conflicts, and both are there in the end."""
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver = start_cluster_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0s")
    driver.publish(pod.publish_request())
    for number in range(20):
        provider.files = {"file": b"%d" % number}
        driver.publish(pod.publish_request())
        admin.patch("secrets", namespace, "synced", {"metadata": {"labels": {f"l{number}": "x"}}})
    wait_until(lambda: data_of(secret()) == {"key": b"19"}, 20, "the last value", pause=0.1)
    assert {f"l{number}" for number in range(20)} < set(secret()["metadata"]["labels"])


def test_classes_on_two_nodes_keep_their_keys_in_one_secret(admin, namespace, node, make_pod, replica_set, account, start_cluster_driver,
                                                            provider, secret, scratch):
    """Both rotate at the same time: the API server refuses one of two writes, and no key is missing at any time."""
    (scratch / "second").mkdir()
    second = Node(scratch / "second")
    provider.files = {"one": b"0", "two": b"0"}
    for name, file, key in (("a", "one", "alpha"), ("b", "two", "beta")):
        admin.create(spc(name, secretObjects=[secret_object(data=[(file, key)])]), namespace)
    flags = ("--enable-secret-rotation=true", "--rotation-poll-interval=0s", "--secret-sync-check-interval=1s")
    pods = [make_pod("pod-a", "a", owners=[reference(replica_set("web"))]),
            PodVolume(admin, second, namespace, "pod-b", "b", "secrets", [reference(replica_set("api"))])]
    drivers = [start_cluster_driver(*flags)]
    other = Driver(second, (f"--kubeconfig={account.kubeconfig}", f"--provider-volume={node.providers}", *flags), standalone=False, name="second")
    try:
        drivers.append(other)
        with ThreadPoolExecutor(2) as both:
            def publish():
                list(both.map(lambda pair: pair[0].publish(pair[1].publish_request()), zip(drivers, pods)))
            publish()
            wait_until(lambda: secret() and data_of(secret()) == {"alpha": b"0", "beta": b"0"}, 20, "both keys", pause=0.02)
            for number in range(1, 11):
                wanted = b"%d" % number
                provider.files = {"one": wanted, "two": wanted}
                publish()

                def rotated(wanted=wanted):
                    found = data_of(secret())
                    assert set(found) == {"alpha", "beta"}
                    return found == {"alpha": wanted, "beta": wanted}
                wait_until(rotated, 20, "both values", pause=0.01)
        assert reported_errors(drivers[0]) == reported_errors(other) == 0
        other.unpublish(pods[1].unpublish_request())
    finally:
        other.destroy()
    admin.delete("secretproviderclasses", namespace, "b")

    def gone():
        drivers[0].publish(pods[0].publish_request())
        return data_of(secret()) == {"alpha": b"10"}
    wait_until(gone, 20, "the key of the class that was deleted to go", pause=0.2)
