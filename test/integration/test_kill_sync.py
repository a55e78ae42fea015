"""The driver killed in the middle of a sync to Secrets, while the API server holds a response, and started again.

test_kill_messages.py kills before everything the driver sends. Here the request has been sent: the API server has it and has done nothing yet
("held"), or has done it and the driver does not get to know ("lost"). Either way the next driver makes right what is wrong, and writes nothing
else.
"""

import base64

import pytest

from harness import rpc
from harness.process import wait_until
from harness.scripted_provider import mount_response
from harness.secret_sync import replica_set, secret_object, uid

pytestmark = [pytest.mark.slow, pytest.mark.release_only]

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "-v=0")
FLAGS = (*ROTATE, "--secret-sync-check-interval=1s")
KINDS = {"held": dict(kind="blackhole"), "lost": dict(kind="drip", drip_ms=600_000)}  # lost: the first byte of the response comes
SECRETS, STATUSES, PODS = "/default/secrets", "/secretproviderclasspodstatuses", "/default/pods/"
MINE, OTHER = uid(900), uid(901)  # ReplicaSets


class Stage:
    """One pod "web" with its Secret, contents by generation, and the expected owners."""

    def __init__(self, cluster, bare):
        self.cluster, self.bare, self.generation, self.owners = cluster, bare, 1, set()
        cluster.add_pod(owners=[] if bare else [replica_set("web-1", 900)])
        cluster.add_class(secret_object())
        self.request = cluster.request()

    def mount(self, _request, _context):
        return mount_response({"file": self.content}, {"file": str(self.generation)})

    @property
    def content(self):
        return f"generation {self.generation}".encode()

    def status_is_right(self):
        status = self.cluster.status()
        return status is not None and status["status"]["objects"] == [{"id": "file", "version": str(self.generation)}]

    def secret_is_right(self):
        """Contents and owners: those that were there, and that of the pod."""
        secret, status = self.cluster.secret(), self.cluster.status()
        if secret is None or (self.bare and status is None):
            return False
        wanted = self.owners | {status["metadata"]["uid"] if self.bare else MINE}
        owners = self.cluster.owners()
        return secret["data"] == {"key": base64.b64encode(self.content).decode()} and sorted(owners) == sorted(wanted)

    def is_right(self):
        return self.status_is_right() and self.secret_is_right()

    def is_right_after_a_call(self):
        self.cluster.driver.publish(self.request)
        return self.is_right()


def writes(emulator):
    """(resource, method, status) of every request that could change something, Events aside."""
    return [("secrets" if SECRETS in request["path"] else "statuses" if STATUSES in request["path"] else request["path"], request["method"],
             request["status"]) for request in emulator.requests("kube") if request["method"] != "GET" and "/events" not in request["path"]]


def kill_while_it_waits(cluster, stage, kind, method, path):
    emulator = cluster.emulator
    emulator.add_fault(service="kube", method=method, path_contains=path, count=1, **KINDS[kind])
    calls = [cluster.driver.client.future(rpc.PUBLISH, stage.request)]

    def fired():
        if calls[-1].done():  # no rotation check is due yet, or it responded before it was recorded
            calls.append(cluster.driver.client.future(rpc.PUBLISH, stage.request))
        return emulator.control("GET", "/faults")[0]["fired"] == 1
    wait_until(fired, pause=0.05, what=f"{method} {path}")
    cluster.driver.kill()
    calls[-1].exception(timeout=20)
    cluster.driver.client.close()
    emulator.clear_faults()
    wait_until(lambda: emulator.counters()["in_flight"] == 0, what="the end of all requests")


def restart_and_watch(cluster, stage):
    """The next driver: one write for each object that is wrong, then none any more. Returns what was wrong."""
    emulator = cluster.emulator
    wrong = [name for name, right in (("statuses", stage.status_is_right()), ("secrets", stage.secret_is_right())) if not right]
    existed = {"statuses": cluster.status() is not None, "secrets": cluster.secret() is not None}
    before = {item["metadata"]["uid"] for plural in ("secrets", "secretproviderclasspodstatuses") for item in cluster.all(plural)}
    emulator.reset_counters()
    cluster.start(*FLAGS, name="next")
    wait_until(stage.is_right_after_a_call, timeout=20, what="status object and Secret to be right")
    made = writes(emulator)
    assert sorted((name, method) for name, method, _ in made) == sorted((name, "PATCH" if existed[name] else "POST") for name in wrong), made
    assert all(status in (200, 201) for _, _, status in made), made
    # nothing was recreated, nothing was made twice
    after = {item["metadata"]["uid"] for plural in ("secrets", "secretproviderclasspodstatuses") for item in cluster.all(plural)}
    assert before <= after and len(after) == len(before) + sum(not existed[name] for name in wrong)
    # and it stays as it is, through rotation checks and sync checks
    emulator.reset_counters()

    def checked():
        cluster.driver.publish(stage.request)
        return len(cluster.secret_requests("GET")) >= 3
    wait_until(checked, timeout=20, what="three more checks")
    assert writes(emulator) == [] and stage.is_right()
    return wrong


@pytest.fixture
def start(synced, scripted):
    def start(bare=False):
        stage = Stage(synced, bare)
        scripted(stage.mount)
        return synced, stage
    return start


@pytest.mark.parametrize("bare", [False, True], ids=["deployment", "bare-pod"])
@pytest.mark.parametrize("kind, method, path", [
    ("held", "GET", PODS), ("lost", "GET", PODS), ("held", "GET", SECRETS), ("lost", "GET", SECRETS), ("held", "POST", SECRETS),
    ("lost", "POST", SECRETS), ("held", "POST", STATUSES), ("lost", "POST", STATUSES)], ids=lambda value: value.strip("/"))
def test_killed_while_the_secret_is_made(start, bare, kind, method, path):
    cluster, stage = start(bare)
    cluster.start(*FLAGS)
    kill_while_it_waits(cluster, stage, kind, method, path)
    if method == "POST":
        assert (stage.secret_is_right() if path == SECRETS else stage.status_is_right()) == (kind == "lost")
    wrong = restart_and_watch(cluster, stage)
    assert ("secrets" in wrong) == ((kind, method, path) != ("lost", "POST", SECRETS))


@pytest.mark.parametrize("kind, method, path", [
    ("held", "GET", PODS), ("lost", "GET", PODS), ("held", "GET", SECRETS), ("lost", "GET", SECRETS), ("held", "PATCH", SECRETS),
    ("lost", "PATCH", SECRETS)], ids=lambda value: value.strip("/"))
def test_killed_while_a_second_owner_is_added(start, kind, method, path):
    cluster, stage = start()
    cluster.add_pod("api", 2, owners=[replica_set("api-1", 901)])
    cluster.start(*FLAGS)
    cluster.publish(name="api", number=2)
    wait_until(lambda: cluster.owners() == [OTHER], what="the Secret with its first owner")
    stage.owners = {OTHER}
    cluster.unpublish(cluster.request(name="api", number=2))  # its pod has gone, the other ReplicaSet has more of them elsewhere
    kill_while_it_waits(cluster, stage, kind, method, path)
    assert cluster.owners() == ([OTHER, MINE] if (kind, method) == ("lost", "PATCH") else [OTHER])
    assert restart_and_watch(cluster, stage) == ([] if (kind, method) == ("lost", "PATCH") else ["secrets"])


@pytest.mark.parametrize("kind, method, path", [
    ("held", "GET", SECRETS), ("lost", "GET", SECRETS), ("held", "PATCH", SECRETS), ("lost", "PATCH", SECRETS), ("held", "PATCH", STATUSES),
    ("lost", "PATCH", STATUSES)], ids=lambda value: value.strip("/"))
def test_killed_while_new_contents_go_into_the_secret(start, kind, method, path):
    cluster, stage = start()
    cluster.add_pod("api", 2, owners=[replica_set("api-1", 901)])
    cluster.start(*ROTATE)  # no sync checks: every read is for the new contents
    cluster.publish(name="api", number=2)
    stage.owners = {OTHER}
    cluster.unpublish(cluster.request(name="api", number=2))
    wait_until(stage.is_right_after_a_call, what="the first contents")
    stage.generation = 2
    kill_while_it_waits(cluster, stage, kind, method, path)
    assert not stage.is_right() or kind == "lost"
    wrong = restart_and_watch(cluster, stage)
    assert path == STATUSES or ("secrets" in wrong) == ((kind, method) != ("lost", "PATCH"))
