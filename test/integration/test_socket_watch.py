"""The programs stay reachable by their sockets: when another process removes the files, and when it listens at the paths."""

import os
import shutil
import socket
import threading
import time

import grpc
import pytest
from proto import pluginregistration_pb2

from harness import mounts, rpc
from harness.http_get import get
from harness.process import PATIENCE, free_port, wait_until
from harness.programs import metric_sum
from harness.scripted_provider import HeldMount
from harness.socket_rival import Rival

VERSION = "/v1alpha1.CSIDriverProvider/Version"
NOTICED_S = 1.0  # how long a removed socket may stay away
TRIES = 3  # of which one has to succeed: a busy machine may hold one up


class Subject:
    """One program and one of its sockets; for the driver's registration socket, too."""

    def __init__(self, process, path, method, health_port, healthz, created, reachable):
        self.process, self.path, self.method, self.health_port = process, path, method, health_port
        self.healthz_path, self.created_name, self.reachable_name = healthz, created, reachable

    def healthz(self):
        return get(self.health_port, self.healthz_path)

    def _metric(self, name):
        labels = {} if name.startswith("azure") else {"socket": "registration" if "reg" in self.path.name else "csi"}
        return metric_sum(self.process.metrics(), name, **labels)

    @property
    def created(self):
        return self._metric(self.created_name)

    @property
    def reachable(self):
        return self._metric(self.reachable_name)

    def responds(self):
        try:
            with rpc.Client(self.path) as client:
                client.call(self.method, timeout=2)
            return True
        except grpc.RpcError:
            return False


def registered(path):
    """What the kubelet does when the file appears."""
    with rpc.Client(path) as client:
        client.call(rpc.GET_INFO, timeout=5)
        client.call(rpc.NOTIFY, pluginregistration_pb2.RegistrationStatus(plugin_registered=True), timeout=5)


@pytest.fixture
def start_registering(node, start_driver):
    """Starts a driver that registers itself: (driver, its health port)."""
    def start(name="driver"):
        port = free_port()
        return start_driver(f"--registration-dir={node.registry}", "--kubelet-registration-path=/host/csi.sock",
                            f"--health-addr=127.0.0.1:{port}", name=name), port
    return start


@pytest.fixture
def reg_socket(node):
    return node.registry / "secrets-store.csi.k8s.io-reg.sock"


@pytest.fixture(params=["csi", "registration", "azure"])
def subject(request, node, start_registering, reg_socket):
    if request.param == "azure":
        azure = request.getfixturevalue("start_azure")()
        return Subject(azure, azure.socket, VERSION, azure.health_port, "/healthz", "azure_socket_created_again_total", "azure_socket_reachable")
    driver, port = start_registering()
    wait_until(reg_socket.exists, what="the registration socket")
    registered(reg_socket)
    path, method = (node.csi_socket, rpc.PROBE) if request.param == "csi" else (reg_socket, rpc.GET_INFO)
    return Subject(driver, path, method, port, "/healthz", "socket_created_again_total", "socket_reachable")


def leave_a_dead_socket(path):
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def let_a_rival_come_and_go(path):
    with Rival(path) as rival:
        rival.end()


@pytest.mark.parametrize("remove", [
    lambda path: path.unlink(),
    lambda path: path.rename(path.with_name("moved.sock")),
    leave_a_dead_socket,
    let_a_rival_come_and_go,
], ids=["removed", "moved", "dead-rival", "rival-that-ended"])
def test_a_socket_that_is_gone_is_there_again_within_a_second(subject, remove):
    took = []
    with rpc.Client(subject.path) as established:
        established.call(subject.method)
        while not took or (took[-1] >= NOTICED_S * PATIENCE and len(took) < TRIES):
            remove(subject.path)
            start = time.monotonic()
            wait_until(subject.responds, what="the socket to be there again")
            took.append(time.monotonic() - start)
        assert took[-1] < NOTICED_S * PATIENCE, took
        established.call(subject.method)  # on the connection that it had
    assert (subject.created, subject.reachable) == (len(took), 1)
    assert subject.healthz()[0] == 200
    assert subject.path.stat().st_mode & 0o077 == 0
    lines = [line for line in subject.process.log.splitlines() if "removed the socket file" in line or "left its socket file" in line]
    assert len(lines) == len(took) and all(line.startswith("W") and str(subject.path) in line for line in lines)


def test_a_socket_is_created_again_as_often_as_it_is_removed(subject):
    for n in range(1, 4):
        subject.path.unlink()
        wait_until(subject.responds, what="the socket to be there again")
        assert subject.created == n
    assert not [name for name in os.listdir(subject.path.parent) if name.startswith(".")], "no temporary name stays"


def test_a_living_rival_keeps_the_path_and_is_named_until_it_ends(subject):
    established = rpc.Client(subject.path)
    established.call(subject.method)
    with Rival(subject.path) as rival:
        inode = subject.path.stat().st_ino
        wait_until(lambda: subject.reachable == 0, what="the loss to be noticed")
        for _ in range(3):
            status, text = subject.healthz()
            assert status == 503
            assert f"process {rival.pid} (python3" in text and "of user 0 listens there" in text and str(subject.path) in text
        assert subject.path.stat().st_ino == inode, "the driver does not fight for the path"
        assert subject.created == 0
        established.call(subject.method)
        lines = [line for line in subject.process.log.splitlines() if "leads to another process" in line]
        assert len(lines) == 1 and lines[0].startswith("E") and f"process {rival.pid} (" in lines[0]
        established.close()
        rival.kill()
        wait_until(subject.responds, what="the dead rival to be replaced")
    assert (subject.created, subject.reachable) == (1, 1)
    assert subject.healthz()[0] == 200


@pytest.mark.parametrize("put", [lambda path: path.write_text("x"), lambda path: path.mkdir(), lambda path: path.symlink_to("elsewhere")],
                         ids=["file", "directory", "link"])
def test_what_is_no_socket_stays_and_is_reported(subject, put):
    subject.path.unlink()
    # between the removal and this line the socket may be there again
    while True:
        try:
            put(subject.path)
            break
        except FileExistsError:
            subject.path.unlink()
    status, text = subject.healthz()
    assert status == 503 and "what is there is not a socket" in text
    assert subject.path.is_symlink() or not subject.path.is_socket()
    if subject.path.is_dir():
        subject.path.rmdir()
    else:
        subject.path.unlink()
    wait_until(subject.responds, what="the socket to be there again")


def test_a_directory_that_cannot_take_the_socket_is_reported_once(node, subject):
    """As after the removal of the directory on the node: the container sees one in which nothing can be created."""
    moved = subject.path.parent.with_name("moved")
    subject.path.parent.rename(moved)
    wait_until(lambda: subject.reachable == 0, what="the loss to be noticed")
    status, text = subject.healthz()
    assert status == 503 and "the file was removed" in text
    moved.rename(subject.path.parent)
    wait_until(subject.responds, what="the socket to be there again")
    assert subject.healthz()[0] == 200
    lines = [line for line in subject.process.log.splitlines() if "cannot be created again, retrying" in line]
    assert len([line for line in lines if f'path="{subject.path}"' in line]) == 1


def test_a_full_queue_of_a_rival_is_a_rival(subject):
    """connect() of a queue that is full fails; the process is there all the same."""
    with socket.socket(socket.AF_UNIX) as rival, socket.socket(socket.AF_UNIX) as client:
        subject.path.unlink()
        rival.bind(str(subject.path.parent / "rival"))
        os.rename(subject.path.parent / "rival", subject.path)
        rival.listen(0)
        client.connect(str(subject.path))
        inode = subject.path.stat().st_ino
        assert subject.healthz()[0] == 503
        assert subject.path.stat().st_ino == inode
    wait_until(subject.responds, what="the dead rival to be replaced")


# --- the kubelet's registration ---

@pytest.mark.parametrize("which", ["csi", "registration"])
def test_readiness_follows_the_kubelet_when_a_socket_was_removed(node, start_registering, reg_socket, which):
    driver, port = start_registering()
    wait_until(reg_socket.exists, what="the registration socket")
    registered(reg_socket)
    assert get(port, "/readyz") == (200, "ok\n")
    before = reg_socket.stat().st_ino
    (node.csi_socket if which == "csi" else reg_socket).unlink()

    def offered_again():
        return reg_socket.exists() and reg_socket.stat().st_ino != before
    wait_until(offered_again, what="a new registration socket")
    assert get(port, "/readyz") == (503, "the kubelet has not registered the driver yet\n")
    registered(reg_socket)
    assert get(port, "/readyz") == (200, "ok\n")
    assert driver.alive


def test_both_sockets_are_back_when_the_csi_socket_comes_first(node, start_registering, reg_socket):
    """A new CSI socket asks for a new registration socket, at a time when the path of that one has just become free."""
    driver, port = start_registering()
    wait_until(reg_socket.exists, what="the registration socket")
    registered(reg_socket)
    with Rival(reg_socket) as rival:
        wait_until(lambda: metric_sum(driver.metrics(), "socket_reachable", socket="registration") == 0, what="the loss to be noticed")
        rival.end()
        node.csi_socket.unlink()
    wait_until(lambda: get(port, "/healthz")[0] == 200, what="both sockets to be back")
    for name in ("csi", "registration"):
        assert metric_sum(driver.metrics(), "socket_reachable", socket=name) == 1, name
        assert metric_sum(driver.metrics(), "socket_created_again_total", socket=name) == 1, name
    registered(reg_socket)
    assert get(port, "/readyz") == (200, "ok\n")


def test_a_go_predecessor_and_its_registrar_that_end_later(node, start_registering, reg_socket, scripted):
    """Both unlink their paths by name when they end, after the new driver has taken the paths over."""
    scripted()
    node.add_class()
    with Rival(node.csi_socket, reg_socket) as old:
        driver, port = start_registering()
        assert f"process {old.pid} (" in driver.log
        wait_until(lambda: driver.log.count("taking over a socket") == 2, what="both sockets to be taken over")
        registered(reg_socket)
        old.end()
    wait_until(lambda: metric_sum(driver.metrics(), "socket_created_again_total") == 2, what="both sockets to be there again")
    wait_until(reg_socket.exists, what="the registration socket")
    registered(reg_socket)
    assert get(port, "/healthz") == (200, "ok\n") and get(port, "/readyz") == (200, "ok\n")
    with rpc.Client(node.csi_socket) as kubelet:
        kubelet.call(rpc.PUBLISH, rpc.publish_request(node.target()))
    assert mounts.contents(node.target()) == {"file": b"content"}


# --- two of ours ---

def start_publish(node, path, volume):
    """A publish under way over the socket; (client, future)."""
    client = rpc.Client(path)
    return client, client.future(rpc.PUBLISH, rpc.publish_request(node.target(volume=volume), volume=volume))


@pytest.mark.parametrize("first_to_end", ["old", "new"])
def test_two_drivers_hand_over_with_mounts_in_flight(node, start_registering, reg_socket, scripted, first_to_end):
    held = HeldMount()
    scripted(held)
    node.add_class()
    old, old_port = start_registering("old")
    wait_until(reg_socket.exists, what="the registration socket")
    registered(reg_socket)
    old_client, on_old = start_publish(node, node.csi_socket, "old")
    held.wait_arrived()
    new, new_port = start_registering("new")
    wait_until(lambda: f"process {new.pid} (" in get(old_port, "/healthz")[1], what="the old driver to notice")
    assert get(old_port, "/readyz")[0] == 503
    assert get(new_port, "/healthz") == (200, "ok\n")
    new_client, on_new = start_publish(node, node.csi_socket, "new")
    held.wait_arrived()
    ends, stays, port = (old, new, new_port) if first_to_end == "old" else (new, old, old_port)
    ender = threading.Thread(target=ends.destroy)
    ender.start()
    if first_to_end == "new":
        wait_until(lambda: metric_sum(old.metrics(), "socket_created_again_total") == 2, what="the old driver to be back")
    held.release()
    for future in (on_old, on_new):
        future.result(30)
    ender.join(30)
    assert get(port, "/healthz") == (200, "ok\n")
    registered(reg_socket)
    assert get(port, "/readyz") == (200, "ok\n")
    for volume in ("old", "new"):
        assert mounts.contents(node.target(volume=volume)) == {"file": b"content"}
    with rpc.Client(node.csi_socket) as kubelet:
        for volume in ("old", "new"):
            kubelet.call(rpc.UNPUBLISH, rpc.unpublish_request(node.target(volume=volume), volume=volume))
    assert stays.alive
    for client in (old_client, new_client):
        client.close()


def test_of_two_drivers_whose_sockets_are_removed_one_is_back_and_both_are_calm(node, start_registering, reg_socket):
    old, old_port = start_registering("old")
    new, new_port = start_registering("new")
    wait_until(lambda: metric_sum(old.metrics(), "socket_reachable") == 0, what="the old driver to notice")
    node.csi_socket.unlink()
    reg_socket.unlink()

    def created():
        return [metric_sum(driver.metrics(), "socket_created_again_total") for driver in (old, new)]
    wait_until(lambda: created() == [0, 2], what="the last owner to be back")
    inode = node.csi_socket.stat().st_ino
    for _ in range(10):  # each examines the paths at once
        assert get(old_port, "/healthz")[0] == 503
        assert get(new_port, "/healthz") == (200, "ok\n")
    assert node.csi_socket.stat().st_ino == inode and created() == [0, 2]
