"""Fixtures: those of test/apiserver and test/integration, the programs of others, and an emulated cloud at the port that they expect."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "test/integration", ROOT / "test", ROOT / "test/interop"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

_spec = importlib.util.spec_from_file_location("apiserver_conftest", ROOT / "test/apiserver/conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
for _name, _value in vars(_module).items():
    if getattr(_value, "_pytestfixturefunction", None) is not None or type(_value).__name__ == "FixtureFunctionDefinition":
        globals()[_name] = _value
pytest_configure = _module.pytest_configure
SCRATCH = _module._module.SCRATCH
NODE_PORT = 2579  # NMI's

from harness.emulator import Emulator  # noqa: E402
from peers import GoAzure, GoDriver  # noqa: E402


@pytest.fixture(scope="session")
def the_emulator():
    directory = SCRATCH / "emulator"
    directory.mkdir()
    emulator = Emulator(directory, arguments=("--port", "443", "--node-port", str(NODE_PORT)))
    yield emulator
    emulator.destroy()


@pytest.fixture
def start_go_azure(node, emulator):
    started = []

    def start(*flags, **keywords):
        started.append(GoAzure(node, emulator, flags, **keywords))
        return started[-1]
    yield start
    for one in reversed(started):
        one.destroy()


@pytest.fixture
def go_azure(start_go_azure):
    return start_go_azure(socket_name="go")


@pytest.fixture
def start_go_driver(node, server):
    """With all rights: the roles of manifests/deploy are ours, not theirs."""
    started = []

    def start(*flags, **keywords):
        config = server.kubeconfig(node.directory / "admin.kubeconfig", name="admin")
        started.append(GoDriver(node, config, flags, **keywords))
        return started[-1]
    yield start
    for one in reversed(started):
        one.destroy()
