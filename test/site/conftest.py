"""The fixtures of the integration tests serve here, too."""

pytest_plugins = ("harness.fixtures",)
