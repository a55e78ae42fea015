"""One emulator for all, where the SDK clients find it."""

import os
import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import tutorial  # noqa: E402
from harness.emulator import Emulator  # noqa: E402

TENANT = "7b0e5c3a-4d6f-4a1b-9c2e-5f8d1a3b6c90"  # the clients take nothing but GUIDs and domains
CLIENT_ID = "c1d2e3f4-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
VAULT, HSM = "sdkvault", "sdkhsm"


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
