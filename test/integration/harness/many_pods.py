"""Many pods on one node, and a kubelet in a hurry that publishes all of them again and again."""

import time
from concurrent.futures import ThreadPoolExecutor

from harness import kube, rpc


class Volume:
    def __init__(self, node, number, class_name):
        self.pod = f"pod-{number}"
        self.uid = f"00000000-0000-0000-0000-{number:012d}"
        self.class_name = class_name
        self.target = node.target(pod_uid=self.uid)
        self.request = rpc.publish_request(self.target, class_name=self.class_name, pod=self.pod, pod_uid=self.uid)
        self.data = None


class ManyPods:
    """`size` pods, number n with the class named "class-<n modulo classes>". `owners`: the owner references of the pods of a class."""

    def __init__(self, node, emulator, size, classes, owners=lambda class_name: []):
        self.client = rpc.Client(node.csi_socket)
        self.volumes = [Volume(node, number, f"class-{number % classes}") for number in range(size)]
        self.calls = 0
        for volume in self.volumes:
            emulator.put_object("pods", kube.pod(volume.pod, uid=volume.uid, ownerReferences=owners(volume.class_name)))

    def publish_all(self, volumes=None):
        """`volumes`: these of them."""
        volumes = volumes or self.volumes
        with ThreadPoolExecutor(max_workers=20) as pool:
            list(pool.map(lambda volume: self.client.call(rpc.PUBLISH, volume.request, 60), volumes))
        self.calls += len(volumes)

    def publish_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.publish_all()

    def unpublish_all(self):
        for volume in self.volumes:
            self.client.call(rpc.UNPUBLISH, rpc.unpublish_request(volume.target, pod_uid=volume.uid))
