"""The fixtures of the integration tests: integration/harness/fixtures.py."""

pytest_plugins = ("harness.fixtures",)
