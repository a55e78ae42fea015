"""Fixtures: those of test/apiserver and test/integration, the programs of others, and an emulated cloud at the port that they expect."""

import pytest
from peers import NODE_PORT, GoAzure, GoDriver

from harness.emulator import Emulator
from harness.fixtures import starter
from harness.scratch import scratch_directory

pytest_plugins = ("harness.fixtures", "cluster.fixtures")


@pytest.fixture(scope="session")
def the_emulator():
    emulator = Emulator(scratch_directory("emulator"), arguments=("--port", "443", "--node-port", str(NODE_PORT)))
    yield emulator
    emulator.destroy()


@pytest.fixture
def start_go_azure(node, emulator):
    yield from starter(lambda *flags, **keywords: GoAzure(node, emulator, flags, **keywords))


@pytest.fixture
def go_azure(start_go_azure):
    return start_go_azure(socket_name="go")


@pytest.fixture
def start_go_driver(node, server):
    """With all rights: the roles of manifests/deploy are ours, not theirs."""
    def driver(*flags, **keywords):
        return GoDriver(node, server.kubeconfig(node.directory / "admin.kubeconfig", name="admin"), flags, **keywords)
    yield from starter(driver)
