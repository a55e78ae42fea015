"""The view of users' pods on a real node: files, rights, rotation, errors, and a clean node afterwards."""

import re

import pytest
from pods import MOUNT, UserPod, pod_spec, volume

from harness import mounts, tutorial
from harness.process import wait_until


def test_deleting_a_pod_cleans_the_node(make_class, make_pod):
    make_class()
    pod = make_pod().wait_running()
    assert mounts.mount_at(pod.target()).type == "tmpfs"
    pod.delete()
    pod.assert_node_is_clean()


def test_the_volume_is_read_only_and_its_files_are_links_that_rotate_at_once(make_class, make_pod, kubectl, namespace):
    make_class()
    make_pod().wait_running()
    refused = kubectl.run("-n", namespace, "exec", "web", "--", "touch", f"{MOUNT}/x")
    assert refused.returncode != 0 and "Read-only file system" in refused.stderr
    assert kubectl("-n", namespace, "exec", "web", "--", "readlink", f"{MOUNT}/secret1").strip() == "..data/secret1"


def test_a_rotated_secret_appears_in_the_running_pod(make_class, make_pod, emulator):
    make_class()
    pod = make_pod().wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: pod.read("secret1") == "rotated value", 60, "the new value in the pod", pause=0.5)
    assert pod.read("secret2") == tutorial.SECRETS["secret2"]
    assert pod.container["restartCount"] == 0
    assert pod.failed_mounts() == []


def test_a_sub_path_follows_a_rotation_where_the_class_asks_for_it(make_class, make_pod, emulator):
    """One file of the volume below another directory; the same pod with a class that does not ask keeps the value that the container started with."""
    in_place, config = {"secrets-store.csi.k8s.io/update-in-place": "true"}, "/etc/app/config"

    def start(name, annotations):
        make_class(name=name, annotations=annotations)
        by_sub_path = {"name": "secrets", "mountPath": config, "subPath": "secret1", "readOnly": True}
        return make_pod(name, volumes=[volume(class_name=name)],
                        container={"volumeMounts": [{"name": "secrets", "mountPath": MOUNT, "readOnly": True}, by_sub_path]})
    pods = [start("follows", in_place), start("stays", None)]
    follows, stays = [pod.wait_running() for pod in pods]
    for pod in pods:
        assert pod.exec("cat", config) == tutorial.SECRETS["secret1"]
    before = follows.exec("stat", "-c", "%i %F", config)
    emulator.set_secret("secret1", "a rotated value that is longer")
    wait_until(lambda: follows.exec("cat", config) == "a rotated value that is longer", 60, "the new value below subPath", pause=0.5)
    wait_until(lambda: stays.read("secret1") == "a rotated value that is longer", 60, "the rotation of the other pod", pause=0.5)
    assert stays.exec("cat", config) == tutorial.SECRETS["secret1"]
    assert follows.exec("stat", "-c", "%i %F", config) == before and before.endswith("regular file\n")
    assert follows.read("secret2") == tutorial.SECRETS["secret2"]
    assert follows.container["restartCount"] == 0
    for pod in pods:
        pod.delete()
        pod.assert_node_is_clean()


def test_fs_group_lets_a_non_root_pod_read_group_files(make_class, make_pod):
    objects = "array:\n  - |\n    objectName: secret1\n    objectType: secret\n    filePermission: \"0440\"\n"
    make_class(parameters={"objects": objects})
    pod = make_pod(securityContext={"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True, "fsGroup": 3000}).wait_running()
    assert "3000" in pod.exec("id", "-G").split()
    assert pod.exec("stat", "-L", "-c", "%u %g %a", f"{MOUNT}/secret1").split() == ["0", "3000", "440"]
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]


def test_without_fs_group_a_non_root_pod_cannot_read_them(make_class, make_pod, kubectl, namespace):
    objects = "array:\n  - |\n    objectName: secret1\n    objectType: secret\n    filePermission: \"0400\"\n"
    make_class(parameters={"objects": objects})
    make_pod(securityContext={"runAsUser": 1000, "runAsNonRoot": True}).wait_running()
    refused = kubectl.run("-n", namespace, "exec", "web", "--", "cat", f"{MOUNT}/secret1")
    assert refused.returncode != 0 and "Permission denied" in refused.stderr


def test_a_wrong_secret_name_is_one_clear_line(make_class, make_pod):
    make_class(["secret1", "secrte2"])
    pod = make_pod()
    message = pod.wait_failed_mount()
    assert "secrte2" in message and "not found" in message.lower()
    assert tutorial.VAULT.lower() in message, "which vault"
    assert "secret1" not in message.replace("secrte2", ""), "the good object is not complained about"
    assert not pod.ready


def test_a_corrected_class_lets_the_waiting_pod_start(make_class, make_pod, admin, namespace):
    make_class(["secrte2"])
    pod = make_pod()
    wait_until(lambda: pod.failed_mounts(), 60, "the event", pause=0.2)
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"spec": {"parameters": {"objects": tutorial.objects_yaml(["secret2"])}}})
    assert pod.wait_running(90).read("secret2") == tutorial.SECRETS["secret2"]


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
def test_a_missing_class_is_named(make_pod, make_class, namespace, version):
    pod = make_pod()
    expected = re.compile(rf"failed to get secretproviderclass {namespace}/azure-kvname.*not found")
    wait_until(lambda: any(expected.search(event["message"]) for event in pod.failed_mounts()), 60, "the event", pause=0.2)
    make_class(version=version)
    pod.wait_running(90)


def test_a_pod_with_two_volumes_of_two_classes(make_class, make_pod):
    make_class(["secret1"], "first")
    make_class(["secret2"], "second")
    pod = make_pod(volumes=[volume("one", "first"), volume("two", "second")]).wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.read("secret2", f"{MOUNT}-two") == tutorial.SECRETS["secret2"]
    pod.delete()
    pod.assert_node_is_clean()


def test_a_container_that_restarts_finds_its_files_again(make_class, make_pod, emulator, kubectl, namespace):
    make_class()
    pod = make_pod().wait_running()
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: pod.read("secret1") == "rotated value", 60, "the new value", pause=0.5)
    kubectl.run("-n", namespace, "exec", "web", "--", "sh", "-c", "kill -TERM 1")  # its own end may come first: any status will do
    wait_until(lambda: pod.container["restartCount"] == 1 and pod.ready, 60, "the restart", pause=0.2)
    assert pod.read("secret1") == "rotated value"


def test_thirty_pods_at_once(kubernetes, make_class, namespace, emulator):
    make_class()
    pods = [UserPod(kubernetes, namespace, f"web-{number}", pod_spec()) for number in range(30)]
    try:
        for pod in pods:
            pod.wait_running(180)
        assert [pod.failed_mounts() for pod in pods] == [[]] * 30
        assert {pod.read("secret1") for pod in pods} == {tutorial.SECRETS["secret1"]}
    finally:
        for pod in pods:
            pod.delete(wait=False)
        for pod in pods:
            pod.wait_gone(120)
    for pod in pods:
        pod.assert_node_is_clean()
