"""One emulator for all, where the SDK clients find it."""

import os
import socket
import sys
from pathlib import Path

import pytest
from sdk_vaults import CLIENT_ID, HSM, TENANT, VAULT

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import tutorial  # noqa: E402
from harness.emulator import Emulator  # noqa: E402


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("emulator")
    emulator = Emulator(directory)
    os.environ["REQUESTS_CA_BUNDLE"] = str(directory / "ca.pem")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)
    resolve = socket.getaddrinfo  # names below .localhost are loopback (RFC 6761), which not every resolver knows
    socket.getaddrinfo = lambda host, *more, **named: resolve(
        "127.0.0.1" if isinstance(host, str) and host.endswith(".localhost") else host, *more, **named)
    emulator.add_app(TENANT, CLIENT_ID, tutorial.CLIENT_SECRET)
    emulator.add_vault(VAULT, TENANT, CLIENT_ID, ("get", "list", "set"))
    emulator.add_vault(HSM, TENANT, CLIENT_ID, hsm=True)
    yield emulator
    socket.getaddrinfo = resolve
    emulator.destroy()
