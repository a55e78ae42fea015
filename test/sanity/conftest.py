"""The fixtures of the integration tests serve here, too."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

import importlib.util  # noqa: E402

_spec = importlib.util.spec_from_file_location("integration_conftest", Path(__file__).parents[1] / "integration/conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
for _name, _value in vars(_module).items():
    if getattr(_value, "_pytestfixturefunction", None) is not None or type(_value).__name__ == "FixtureFunctionDefinition":
        globals()[_name] = _value
