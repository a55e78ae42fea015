"""The class and the credentials with which both drivers mount in these tests, and the age of a volume."""

import os
import time

from cluster.objects import spc
from harness import tutorial
from harness.azure_mounts import item, objects_of

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
SECRETS = tutorial.CREDENTIALS
ITEMS = [item("secret1"), item("secret2", objectAlias="deep/er/two.txt", filePermission="0600"), item("secret1", objectAlias="deep/one")]


def azure_class(items=None, name="azure-kvname", **spec):
    parameters = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "usePodIdentity": "false", "objects": objects_of(*(items or ITEMS))}
    return spc(name, "azure", parameters, **spec)


def let_interval_pass(pod):
    """The Go driver rotates when the volume's root is older than the interval."""
    os.utime(pod.target, (time.time() - 60,) * 2)
