"""Fixtures: a node, the driver, the Azure provider, the emulator; all real programs, all ended and checked after each test."""

import itertools
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.emulator import Emulator  # noqa: E402
from harness.kube import Cluster, pod, spc  # noqa: E402
from harness.programs import Azure, Driver, Node  # noqa: E402
from harness.scripted_provider import ScriptedProvider, answer  # noqa: E402

_numbers = itertools.count()
SCRATCH = Path(os.environ.get("TEST_SCRATCH", "/tmp"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; not repeated with the sanitized programs")
    config.addinivalue_line("markers", "release_only: measures something that sanitizers change (time, memory, valgrind)")


@pytest.fixture
def scratch():
    path = SCRATCH / f"t{next(_numbers)}"
    path.mkdir()
    return path


@pytest.fixture
def node(scratch):
    return Node(scratch)


@pytest.fixture(scope="session")
def the_emulator():
    directory = SCRATCH / "emulator"
    directory.mkdir()
    emulator = Emulator(directory)
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
    started = []

    def start(*flags, **keywords):
        driver = Driver(node, flags, **keywords)
        started.append(driver)
        return driver
    yield start
    for driver in reversed(started):
        driver.destroy()


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
    def start(*flags, **keywords):
        return start_driver(f"--kubeconfig={cluster.emulator.kubeconfig}", *flags, standalone=False, **keywords)
    return start


@pytest.fixture
def start_azure(node, emulator):
    started = []

    def start(*flags, **keywords):
        azure = Azure(node, emulator, flags, **keywords)
        started.append(azure)
        return azure
    yield start
    for azure in reversed(started):
        azure.destroy()


@pytest.fixture
def azure(start_azure):
    return start_azure()


@pytest.fixture
def scripted(node):
    """Starts scripted providers: scripted(mount=function, name="scripted"). Default: one file "file" with the text "content"."""
    started = []

    def start(mount=None, name="scripted"):
        provider = ScriptedProvider(node.provider_socket(name), mount or (lambda request, context: answer({"file": b"content"})))
        started.append(provider)
        return provider
    yield start
    for provider in started:
        provider.stop()
