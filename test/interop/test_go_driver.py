"""The Go driver in front of our Azure provider, and what both drivers leave, side by side; a real API server."""


import observe
import pytest
from azure_class import ITEMS, ROTATE, SECRETS, azure_class, let_interval_pass

from cluster.objects import spc
from harness import crypto, mounts, rpc, tutorial
from harness.azure_mounts import item
from harness.process import wait_until

STATUSES = "secretproviderclasspodstatuses"


def name_of(pod):
    return f"{pod.name}-{pod.namespace}-{pod.class_name}"


def replica_set(admin, namespace, name="web"):
    labels = {"app": name}
    return admin.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}}}, namespace)


def reference(one):
    return {"apiVersion": one["apiVersion"], "kind": one["kind"], "name": one["metadata"]["name"], "uid": one["metadata"]["uid"],
            "controller": True, "blockOwnerDeletion": True}


def test_it_mounts_and_unmounts_with_our_provider(admin, namespace, make_pod, start_go_driver, azure):
    admin.create(azure_class(), namespace)
    pod, driver = make_pod(), start_go_driver()
    driver.publish(pod.publish_request(secrets=SECRETS))
    first, second = (tutorial.SECRETS[name].encode() for name in ("secret1", "secret2"))
    assert mounts.read_volume(pod.target) == {"secret1": (0o644, first), "deep/er/two.txt": (0o600, second), "deep/one": (0o644, first)}
    driver.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


def test_it_rotates_with_our_provider(admin, namespace, make_pod, start_go_driver, azure, emulator):
    admin.create(azure_class(), namespace)
    pod, driver = make_pod(), start_go_driver(*ROTATE)
    driver.publish(pod.publish_request(secrets=SECRETS))
    version = emulator.set_secret("secret1", "changed")
    let_interval_pass(pod)
    driver.publish(pod.publish_request(secrets=SECRETS))
    assert mounts.contents(pod.target)["deep/one"] == b"changed"
    objects = admin.find(STATUSES, namespace, name_of(pod))["status"]["objects"]
    assert {"id": "secret/secret1", "version": version} in objects


def test_it_passes_on_the_errors_of_our_provider(admin, namespace, make_pod, start_go_driver, azure):
    admin.create(azure_class([item("secret1"), item("nosuch")]), namespace)
    pod, driver = make_pod(), start_go_driver()
    code, message = driver.publish_failure(pod.publish_request(secrets=SECRETS))
    assert code != rpc.CODES.OK
    assert "nosuch" in message and "failed to mount objects, error: " in message
    code, message = driver.publish_failure(pod.publish_request())
    assert "failed to get credentials, nodePublishSecretRef secret is not set" in message
    driver.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


def test_it_does_not_repeat_what_our_provider_has_tried(admin, namespace, make_pod, start_go_driver, azure, emulator):
    """Its gRPC library would call three times in all."""
    admin.create(azure_class([item("secret1")]), namespace)
    pod, driver = make_pod(), start_go_driver()
    emulator.add_fault("reset", service="vault")
    emulator.reset_counters()
    _, message = driver.publish_failure(pod.publish_request(secrets=SECRETS), timeout=90)
    assert "after 4 tries: no response from" in message or "after 4 tries: send to" in message, message
    assert emulator.vault_requests == 4
    emulator.clear_faults()
    driver.publish(pod.publish_request(secrets=SECRETS))
    assert mounts.contents(pod.target) == {"secret1": tutorial.SECRETS["secret1"].encode()}


# ---- both drivers, one after the other ---------------------------------------------------------------------------------------------


@pytest.fixture
def pair_of_drivers(start_go_driver, start_cluster_driver, azure):
    """[(name, start)]: only one runs at a time, as both have the node's name."""
    return [("ours", start_cluster_driver), ("theirs", start_go_driver)]


def test_both_leave_the_same_files_and_the_same_status(admin, namespace, make_pod, pair_of_drivers):
    admin.create(azure_class(), namespace)
    seen = {}
    for name, start in pair_of_drivers:
        driver = start()
        pod = make_pod("web-" + name)
        driver.publish(pod.publish_request(secrets=SECRETS))
        item_ = wait_until(lambda pod=pod: admin.find(STATUSES, namespace, name_of(pod)), 20, "the status object")
        shown, optional = observe.status(item_, pod)
        shown["name"], shown["status"]["podName"] = shown["name"].replace(name, "X"), shown["status"]["podName"].replace(name, "X")
        seen[name] = (observe.tree(pod.target), shown)
        # theirs has tmpfs' own mode; no process has to write here
        assert observe.root(pod.target) == ("tmpfs", "755 0:0" if name == "ours" else "1777 0:0")
        if name == "ours":
            assert optional.keys() <= {"lastCheckedTime", "lastRotatedTime", "lastError", "lastErrorTime", "secrets", "conditions"}
        else:
            assert optional == {}
        driver.unpublish(pod.unpublish_request())
        driver.destroy()
    for mine, other in zip(seen["ours"], seen["theirs"]):
        assert mine == other


def test_both_leave_the_same_secrets(admin, namespace, make_pod, pair_of_drivers, emulator, tmp_path):
    crypto.new_key(tmp_path, "tls")
    pem = crypto.new_certificate(tmp_path, "tls") + (tmp_path / "tls.key").read_bytes()
    emulator.set_secret("bundle", pem.decode())
    objects = [{"secretName": " opaque ", "type": "Opaque", "labels": {"team": "one"}, "annotations": {"note": "two"},
                "data": [{"objectName": "secret1", "key": "a"}, {"objectName": "deep/er/two.txt", "key": "b"}]},
               {"secretName": "login", "type": "kubernetes.io/basic-auth", "data": [{"objectName": "secret1", "key": "password"}]},
               {"secretName": "tls", "type": "kubernetes.io/tls",
                "data": [{"objectName": "bundle", "key": "tls.crt"}, {"objectName": "bundle", "key": "tls.key"}]}]
    admin.create(azure_class([*ITEMS, item("bundle")], secretObjects=objects), namespace)
    owner = replica_set(admin, namespace)
    names = {owner["metadata"]["uid"]: "REPLICASET"}
    seen = {}
    for which, start in pair_of_drivers:
        driver = start()
        for kind, owners in (("owned", [reference(owner)]), ("bare", None)):
            pod = make_pod(f"{kind}-{which}", owners=owners)
            driver.publish(pod.publish_request(secrets=SECRETS))
            status = wait_until(lambda pod=pod: admin.find(STATUSES, namespace, name_of(pod)), 20, "the status object")
            all_names = {**names, status["metadata"]["uid"]: "STATUS"}

            def complete():
                found = [admin.find("secrets", namespace, name) for name in ("opaque", "login", "tls")]
                # their owner loop does not trim the name, so "opaque" gets no owner from it: see below
                return found if all(found) and all(one["metadata"].get("ownerReferences") for one in found[1:]) else None
            found = wait_until(complete, 40, f"the Secrets of {which}", pause=0.2)
            seen[which, kind] = [observe.secret(one, all_names) for one in found]
            driver.unpublish(pod.unpublish_request())
            pod.delete()
            for name in ("opaque", "login", "tls"):
                wait_until(lambda name=name: admin.find("secrets", namespace, name) is None or admin.delete("secrets", namespace, name), 20, "away")
        driver.destroy()
    for kind in ("owned", "bare"):
        mine, other = seen["ours", kind], seen["theirs", kind]
        assert mine[1:] == other[1:]
        assert mine[0]["owners"] and mine[0]["owners"] == mine[1]["owners"]
        assert {**mine[0], "owners": None} == {**other[0], "owners": None}


@pytest.mark.parametrize("what", ["class", "provider", "parameter"])
def test_both_refuse_in_the_same_words(admin, namespace, make_pod, pair_of_drivers, what):
    if what != "class":
        admin.create(azure_class(name="azure-kvname") if what == "parameter" else spc("azure-kvname", "nobody"), namespace)
    seen = {}
    for name, start in pair_of_drivers:
        driver = start()
        pod = make_pod("web-" + name)
        code, message = driver.publish_failure(pod.publish_request(secrets={} if what == "parameter" else SECRETS))
        seen[name] = (code.name, message.replace(name, "X"))
        driver.unpublish(pod.unpublish_request())
        mounts.assert_no_trace(pod.target)
        driver.destroy()
    words = {"class": "failed to get secretproviderclass", "provider": 'provider not found: provider "nobody"',
             "parameter": "failed to mount objects, error: failed to build auth config for mode None: failed to get credentials, "
                          "nodePublishSecretRef secret is not set"}[what]
    assert all(words in message for _, message in seen.values()), seen
