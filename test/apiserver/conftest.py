"""Fixtures: those of test/integration, and a real control plane: test/cluster/fixtures.py."""

pytest_plugins = ("harness.fixtures", "cluster.fixtures")
