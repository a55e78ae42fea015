"""Fixtures: a node, the driver, the Azure provider, the emulator; all real programs, all ended and checked after each test.

The conftest.py of a suite loads them by name, as a plugin of pytest.
"""

import pytest

from harness import rpc
from harness.emulator import Emulator
from harness.kube import Cluster, pod, spc
from harness.process import BUILD
from harness.programs import Azure, Driver, Node
from harness.scratch import scratch_directory
from harness.scripted_provider import ScriptedProvider, mount_response
from harness.secret_sync import SyncedCluster


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; not repeated with the sanitized programs")
    config.addinivalue_line("markers", "release_only: measures something that sanitizers change (time, memory, valgrind)")


def starter(program, end="destroy"):
    """For fixtures: yields a function that makes a `program`, and ends all that were made, the last first."""
    started = []

    def start(*arguments, **keywords):
        started.append(program(*arguments, **keywords))
        return started[-1]
    yield start
    for one in reversed(started):
        getattr(one, end)()


@pytest.fixture
def scratch():
    return scratch_directory()


@pytest.fixture
def node(scratch):
    return Node(scratch)


def protocols():
    """What the emulator offers: both versions of HTTP like the real services, and to the sanitized programs HTTP/1.1 alone."""
    return "http/1.1" if BUILD.name.startswith("asan") else "h2,http/1.1"


@pytest.fixture(scope="session")
def the_emulator():
    emulator = Emulator(scratch_directory("emulator"), arguments=["--protocols", protocols()])
    yield emulator
    emulator.destroy()


@pytest.fixture
def emulator(the_emulator):
    """The emulator of this run, in its initial state: the tutorial's vault, tenant and application."""
    the_emulator.reset()
    yield the_emulator
    the_emulator.clear_faults()


@pytest.fixture
def start_driver(node):
    """Starts drivers on the node (flags as arguments); each must end cleanly after the test."""
    yield from starter(lambda *flags, **keywords: Driver(node, flags, **keywords))


@pytest.fixture
def driver(start_driver):
    return start_driver()


@pytest.fixture
def cluster(emulator):
    """The emulated Kubernetes API with one pod and its class."""
    cluster = Cluster(emulator)
    cluster.add("pods", pod())
    cluster.add("secretproviderclasses", spc())
    return cluster


@pytest.fixture
def start_in_cluster(start_driver, cluster):
    return lambda *flags, **keywords: start_driver(f"--kubeconfig={cluster.emulator.kubeconfig}", *flags, standalone=False, **keywords)


@pytest.fixture
def synced(node, emulator, start_driver):
    """The emulated Kubernetes API with one pod of a ReplicaSet, for classes with secretObjects; `synced.start()` starts its driver."""
    synced = SyncedCluster(emulator, node, start_driver)
    synced.add_pod()
    return synced


@pytest.fixture
def start_azure(node, emulator):
    yield from starter(lambda *flags, **keywords: Azure(node, emulator, flags, **keywords))


@pytest.fixture
def azure(start_azure):
    return start_azure()


@pytest.fixture
def client(azure):
    """A client of the Azure provider."""
    with rpc.Client(azure.socket) as connected:
        yield connected


@pytest.fixture
def scripted(node):
    """Starts scripted providers: scripted(mount=function, name="scripted"). Default: one file "file" with the text "content"."""
    def content(request, context):
        return mount_response({"file": b"content"})
    yield from starter(lambda mount=content, name="scripted": ScriptedProvider(node.provider_socket(name), mount), end="stop")


@pytest.fixture
def files():
    """The contents that `provider` returns; a test may change them."""
    return {"file": b"content"}


@pytest.fixture
def provider(scripted, files):
    return scripted(lambda request, context: mount_response(dict(files)))
