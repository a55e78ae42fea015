"""Random sequences of what happens to two nodes whose pods share classes and Secrets, with a real API server and a real garbage collector: mounts and
unmounts, rotations, edits, objects of every kind deleted by hand, kills of the drivers, an API server that hangs, restarts or refuses, a collector
that is late. When it calms down the API server has what a model says, and nothing is written any more."""

import random
import threading
import time

import pytest
from cluster import manifests
from cluster.objects import PodVolume, spc
from cluster.rights import missing
from cluster.secrets import MANAGED, STATUSES, data_of, reference, secret_object

from harness import mounts, random_runs
from harness.process import wait_until
from harness.programs import Driver, Node
from harness.random_runs import CLASSES, FILES, FIRST, FLAGS

RUNS, STEPS = random_runs.runs(1), random_runs.steps(25)
SETS = ("web", "api")
RIGHTS = [("patch", "", "secrets"), ("create", "", "secrets"), ("get", "", "pods"), ("patch", "secrets-store.csi.x-k8s.io", STATUSES),
          ("get", "secrets-store.csi.x-k8s.io", "secretproviderclasses")]


class Sequence:
    def __init__(self, control_plane, namespace, nodes, start, replica_set, provider, seed):
        self.control_plane, self.server, self.admin = control_plane, control_plane.server, control_plane.admin
        self.namespace, self.nodes, self.start, self.replica_set, self.provider = namespace, nodes, start, replica_set, provider
        self.random = random.Random(seed)
        self.pods = {}  # name -> (PodVolume, node number, name of its ReplicaSet or None)
        self.keys = {}  # class -> names of files that are keys of its Secret
        self.next, self.log = 1, []
        self.collector_saw_all = True
        self.provider.files = {name: b"0" for name in FILES}
        self.sets = {name: replica_set(name) for name in SETS}
        for name in CLASSES:
            self.edit(name)
        self.drivers = [start(node, number) for number, node in enumerate(nodes)]

    # --- steps ---

    def edit(self, name=None):
        name = name or self.random.choice(list(CLASSES))
        self.keys[name] = self.random.sample(FILES, self.random.randint(1, len(FILES)))
        self.put_class(name)

    def edit_badly(self):
        """One more key, of a file that no volume has: the other keys follow all the same."""
        self.put_class(self.random.choice(list(CLASSES)), [("no-such-file", "bad")])

    def put_class(self, name, more=()):
        data = [*more, *((key, key) for key in self.keys[name])]
        self.admin.apply(spc(name, secretObjects=[secret_object(CLASSES[name], data=data)]), self.namespace)

    def mount(self):
        name, number = f"pod-{self.next}", self.random.randrange(len(self.nodes))
        self.next += 1
        owner = self.random.choice([None, *SETS])
        pod = PodVolume(self.admin, self.nodes[number], self.namespace, name, self.random.choice(list(CLASSES)), "secrets",
                        [reference(self.sets[owner])] if owner else [])
        self.pods[name] = pod, number, owner
        self.publish(pod, number)

    def publish(self, pod, number):
        try:
            self.drivers[number].publish(pod.publish_request(), 20)
        except Exception as error:  # noqa: BLE001 - trouble of the API server fails first mounts; the kubelet tries again
            self.log.append(f"  {pod.name}: {error!r:.300}")

    def remove(self, name):
        pod, number, _ = self.pods.pop(name)
        self.drivers[number].unpublish(pod.unpublish_request())
        pod.delete()

    def unmount(self):
        if self.pods:
            self.remove(self.random.choice(list(self.pods)))

    def rotate(self):
        self.provider.files = {**self.provider.files, self.random.choice(FILES): b"%d" % self.random.randrange(1 << 30)}

    def delete_secret(self):
        self.admin.delete("secrets", self.namespace, self.random.choice(list(CLASSES.values())))

    def delete_status(self):
        """Of a bare pod; that of another pod is restored within an hour only."""
        bare = [self.status_name(pod) for pod, _, owner in self.pods.values() if owner is None]
        if bare:
            self.admin.delete(STATUSES, self.namespace, self.random.choice(bare))

    def hold_and_delete(self):
        """A finalizer keeps the object for some steps after it was deleted."""
        bare = [self.status_name(pod) for pod, _, owner in self.pods.values() if owner is None]
        plural, name = self.random.choice([("secrets", name) for name in CLASSES.values()] + [(STATUSES, name) for name in bare])
        if self.admin.find(plural, self.namespace, name) is None:
            return
        self.admin.patch(plural, self.namespace, name, {"metadata": {"finalizers": ["example.org/hold"]}})
        self.admin.delete(plural, self.namespace, name)
        self.some_steps([self.mount, self.rotate, self.kill])
        if self.admin.find(plural, self.namespace, name) is not None:
            self.admin.patch(plural, self.namespace, name, {"metadata": {"finalizers": None}})

    def some_steps(self, steps):
        for step in self.random.sample(steps, 2):
            self.log.append(f"  {step.__name__}")
            step()
            self.republish()

    def delete_class(self):
        name = self.random.choice(list(CLASSES))
        self.admin.delete("secretproviderclasses", self.namespace, name)
        self.republish()
        self.edit(name)

    def delete_owner(self):
        """A ReplicaSet with its pods; another one of the same name comes."""
        name = self.random.choice(SETS)
        for pod in [pod for pod, (_, _, owner) in self.pods.items() if owner == name]:
            self.remove(pod)
        self.admin.delete("replicasets", self.namespace, name, propagationPolicy="Background")
        wait_until(lambda: self.admin.find("replicasets", self.namespace, name) is None, 20, "the ReplicaSet to be gone")
        self.sets[name] = self.replica_set(name)

    def kill(self):
        number = self.random.randrange(len(self.drivers))
        self.drivers[number].kill()
        self.drivers[number] = self.start(self.nodes[number], number)

    def hang(self):
        self.server.pause()
        resumes = threading.Timer(self.random.choice([0.2, 1.5]), self.server.resume)
        resumes.start()
        try:
            self.republish()
        finally:
            resumes.join()

    def restart_server(self):
        """The collector does not see that an object was deleted and created again under its name while its watches were broken: its dependents
        keep the dead owner."""
        self.collector_saw_all = False
        self.server.kill()
        self.republish()
        self.server.start()

    def refuse(self):
        with missing(self.admin, self.random.choice(RIGHTS)):
            self.republish()

    def collector_is_late(self):
        self.control_plane.controllers.pause()
        self.some_steps([self.unmount, self.mount, self.delete_secret, self.rotate])
        self.control_plane.controllers.resume()

    def republish(self):
        for pod, number, _ in list(self.pods.values()):
            self.publish(pod, number)

    def run(self):
        steps = ([self.mount] * 6 + [self.unmount] * 3 + [self.rotate] * 5 + [self.edit_badly] * 2 + [self.hold_and_delete] * 2 +
                 [self.edit, self.edit, self.delete_secret, self.delete_secret,
                 self.delete_status, self.delete_status, self.delete_class, self.delete_owner, self.kill, self.kill, self.hang, self.refuse,
                 self.collector_is_late, self.collector_is_late, self.restart_server])
        for _ in range(STEPS):
            step = self.random.choice(steps)
            self.log.append(step.__name__)
            step()
            self.republish()
            time.sleep(self.random.choice([0, 0.1, 0.5]))  # a part of a poll interval passes, so that checks fall between steps

    # --- the model ---

    def status_name(self, pod):
        return f"{pod.name}-{self.namespace}-{pod.class_name}"

    def wrong(self):
        """What is not as it should be in the end; empty when all is right."""
        statuses = {item["metadata"]["name"]: item for item in self.admin.list(STATUSES, self.namespace)}
        found = [f"status object {name} of no pod" for name in set(statuses) - {self.status_name(pod) for pod, _, _ in self.pods.values()}]
        for pod, _, _ in self.pods.values():
            status = statuses.get(self.status_name(pod))
            if not pod.target.exists() or mounts.contents(pod.target) != self.provider.files:
                found.append(f"files of {pod.name}")
            if status is None or not status["status"]["mounted"] or [owner["uid"] for owner in status["metadata"]["ownerReferences"]] != [pod.uid]:
                found.append(f"status object of {pod.name}")
            elif "lastError" in status["status"]:
                found.append(f"error of {pod.name}, whose last check was in order: {status['status']['lastError']}")
        for name, secret_name in CLASSES.items():
            found += self.wrong_secret(name, secret_name, statuses)
        return found

    def wrong_secret(self, class_name, name, statuses):
        secret = self.admin.find("secrets", self.namespace, name)
        pods = [(pod, owner) for pod, _, owner in self.pods.values() if pod.class_name == class_name]
        needed = {self.sets[owner]["metadata"]["uid"] if owner else statuses.get(self.status_name(pod), pod.object)["metadata"]["uid"]
                  for pod, owner in pods}
        living = {item["metadata"]["uid"] for item in [*self.sets.values(), *statuses.values()]}
        if secret is None:
            return [f"Secret {name} is missing"] if needed else []
        owners = {owner["uid"] for owner in secret["metadata"].get("ownerReferences", [])}
        if self.collector_saw_all and not owners & living:
            return [f"Secret {name} has no owner that lives"]
        if not needed:
            return []
        found = []
        if data_of(secret) != {key: self.provider.files[key] for key in self.keys[class_name]}:
            found.append(f"data of {name}")
        if secret["metadata"]["labels"].get(MANAGED) != "true" or not needed <= owners:
            found.append(f"owners or label of {name}")
        dead = [f"{owner['kind']} {owner['name']} {owner['uid']}" for owner in secret["metadata"]["ownerReferences"] if owner["uid"] not in living]
        return found + ([f"dead owners of {name}: {', '.join(dead)}"] if dead and self.collector_saw_all else [])


@pytest.fixture
def start(account, node):
    """start(node, number): a driver of that node, ended after the test."""
    started = {}

    def driver(of, number):
        name = f"driver{number}-{len(started)}"
        started[name] = Driver(of, (f"--kubeconfig={account.kubeconfig}", f"--provider-volume={node.providers}", f"--nodeid=node-{number + 1}", *FLAGS),
                               standalone=False, name=name)
        return started[name]
    yield driver
    for one in started.values():
        if one.alive:
            one.destroy()


@pytest.mark.timeout(300 + 8 * STEPS)
@pytest.mark.parametrize("number", range(RUNS))
def test_a_random_sequence_on_two_nodes_ends_as_the_model_says(control_plane, server, namespace, node, scratch, start, replica_set, provider, number):
    seed = FIRST + number
    print(f"RANDOM_SEED={seed}")
    (scratch / "second").mkdir()
    sequence = Sequence(control_plane, namespace, [node, Node(scratch / "second")], start, replica_set, provider, seed)
    try:
        sequence.run()
    finally:
        control_plane.controllers.resume()

    def right():
        sequence.republish()
        return not sequence.wrong()
    try:
        # the collector tries again ever later what failed while the server was away
        wait_until(right, 150, "what the model says", pause=0.3)
    except AssertionError:
        since = len(server.events())
        sequence.republish()
        requests = [(event["verb"], event["requestURI"], event["responseStatus"]["code"]) for event in server.events()[since:]]
        raise AssertionError(f"seed {seed}: {sequence.wrong()}\n{requests}\n" + "\n".join(sequence.log)) from None
    since = len(server.events())
    calm = time.monotonic() + 5
    wait_until(lambda: sequence.republish() or time.monotonic() > calm, 30, "two check intervals", pause=0.2)
    assert sequence.wrong() == []
    requests = [(event["verb"], event["objectRef"]["resource"]) for event in server.requests_of(manifests.DRIVER_USER, since)]
    assert [request for request in requests if request[0] != "get" and request[1] != "events"] == []
    assert len(requests) <= 60 + 30 * len(sequence.pods)
