"""Random sequences of what happens to a node whose pods sync Secrets: mounts and unmounts, rotations, edits of classes, objects deleted by hand,
kills of the driver, faults of the API server. When it calms down the Kubernetes API has what a model says, and nothing is written any more."""

import random
import time

import pytest

from harness import kube, mounts, random_runs
from harness.process import wait_until
from harness.random_runs import CLASSES, FILES, FIRST, FLAGS
from harness.secret_sync import MANAGED, replica_set, secret_object, uid

RUNS, STEPS = random_runs.runs(2), random_runs.steps(30)


class Sequence:
    def __init__(self, synced, files, seed):
        self.synced, self.files = synced, files
        self.random = random.Random(seed)
        self.pods = {}  # number -> (class, publish request)
        self.keys = {}  # class -> names of files that are keys of its Secret
        self.next, self.log = 1, []
        files.clear()
        files.update({name: b"0" for name in FILES})
        for name in CLASSES:
            self.edit(name)
        synced.start(*FLAGS)

    def owner(self, number):
        """The uid that has to own the Secret of this pod's class: of its ReplicaSet, or of its status object."""
        if number % 3:
            return uid(900 + number % 2)
        found = self.synced.find(kube.STATUSES, f"pod-{number}-default-{self.pods[number][0]}", "default")
        return found and found["metadata"]["uid"]

    def edit(self, name=None):
        name = name or self.random.choice(list(CLASSES))
        self.keys[name] = self.random.sample(FILES, self.random.randint(1, len(FILES)))
        self.synced.add_class(secret_object(CLASSES[name], data=[(key, key) for key in self.keys[name]]), name=name)

    def mount(self):
        number, self.next = self.next, self.next + 1
        class_name = self.random.choice(list(CLASSES))
        self.synced.add_pod(f"pod-{number}", number, owners=[replica_set(f"set-{number % 2}", 900 + number % 2)] if number % 3 else [])
        request = self.synced.request(f"pod-{number}", number, class_name=class_name)
        self.pods[number] = class_name, request
        self.publish(request)

    def publish(self, request):
        try:
            self.synced.driver.publish(request, 20)
        except Exception as error:  # noqa: BLE001 - faults of the API server fail first mounts; the kubelet tries again
            self.log.append(f"  {error!r:.150}")

    def unmount(self):
        if not self.pods:
            return
        number = self.random.choice(list(self.pods))
        class_name, request = self.pods.pop(number)
        self.synced.unpublish(request)
        self.synced.remove("pods", f"pod-{number}")
        if self.synced.find(kube.STATUSES, f"pod-{number}-default-{class_name}", "default"):
            self.synced.remove(kube.STATUSES, f"pod-{number}-default-{class_name}")

    def rotate(self):
        self.files[self.random.choice(FILES)] = b"%d" % self.random.randrange(1 << 30)

    def delete_object(self):
        """A Secret, or the status object of a bare pod; that of another pod is restored within an hour only."""
        plural = self.random.choice(["secrets", kube.STATUSES, kube.STATUSES])
        found = [item for item in self.synced.all(plural) if plural == "secrets" or int(item["metadata"]["name"].split("-")[1]) % 3 == 0]
        if found:
            self.synced.remove(plural, self.random.choice(found)["metadata"]["name"])

    def kill(self):
        self.synced.driver.kill()
        self.synced.start(*FLAGS, name=f"driver-{len(self.log)}")

    def fault(self):
        self.synced.emulator.add_fault("status", service="kube", status=self.random.choice([409, 429, 500, 503]), count=self.random.randint(1, 4))

    def republish(self):
        for _, request in self.pods.values():
            self.publish(request)

    def run(self):
        steps = [self.mount] * 4 + [self.unmount] * 2 + [self.rotate] * 4 + [self.edit, self.delete_object, self.delete_object, self.kill, self.fault]
        for _ in range(STEPS):
            step = self.random.choice(steps)
            self.log.append(step.__name__)
            step()
            self.republish()
            time.sleep(self.random.choice([0, 0.05, 0.3]))  # a part of a poll interval passes, so that checks fall between steps

    # --- the model ---

    def wrong(self):
        """What is not as it should be in the end; empty when all is right."""
        found = []
        for number, (name, request) in self.pods.items():
            if mounts.contents(request.target_path) != self.files:
                found.append(f"files of pod-{number}")
            status = self.synced.find(kube.STATUSES, f"pod-{number}-default-{name}", "default")
            if status is None or not status["status"]["mounted"]:
                found.append(f"status object of pod-{number}")
        for name, secret_name in CLASSES.items():
            numbers = [number for number, (other, _) in self.pods.items() if other == name]
            if not numbers:
                continue
            secret = self.synced.secret(secret_name)
            if secret is None or self.synced.data(secret_name) != {key: self.files[key] for key in self.keys[name]}:
                found.append(f"data of {secret_name}")
            elif secret["metadata"]["labels"].get(MANAGED) != "true" or not {self.owner(number) for number in numbers} <= set(self.synced.owners(secret_name)):
                found.append(f"owners or label of {secret_name}")
        return found


@pytest.mark.timeout(120 + 4 * STEPS)
@pytest.mark.parametrize("number", range(RUNS))
def test_a_random_sequence_ends_as_the_model_says(synced, provider, files, number):
    seed = FIRST + number
    print(f"RANDOM_SEED={seed}")
    sequence = Sequence(synced, files, seed)
    sequence.run()
    synced.emulator.clear_faults()

    def right():
        sequence.republish()
        return not sequence.wrong()
    try:
        wait_until(right, 40, "what the model says", pause=0.3)
    except AssertionError:
        raise AssertionError(f"seed {seed}: {sequence.wrong()}\n" + "\n".join(sequence.log)) from None

    def quiet():
        """Two check intervals without a write. A write that failed last may have waited for its turn until now, once."""
        synced.emulator.reset_counters()
        calm = time.monotonic() + 5
        wait_until(lambda: sequence.republish() or time.monotonic() > calm, 30, "two check intervals", pause=0.2)
        assert sequence.wrong() == []
        return not [request for request in synced.emulator.requests("kube") if request["method"] != "GET" and "/events" not in request["path"]]
    wait_until(quiet, 30, "the end of all writes")
    requests = synced.emulator.requests("kube")
    assert len(requests) <= 60 + 30 * len(sequence.pods)
