"""release/compare.py: which differences of two releases it lets pass."""

import subprocess

import pytest

from harness.process import ROOT

pytestmark = pytest.mark.once


@pytest.fixture
def compare(scratch):
    """compare(first, second, *flags): {name: bytes} each; (exit status, output)."""
    (scratch / "exceptions").write_text("# a comment\nalways *.minisig the time\ndebian *.deb the compiler\n")

    def run(first, second, *flags):
        for name, files in (("first", first), ("second", second)):
            (scratch / name).mkdir(exist_ok=True)
            for path in (scratch / name).iterdir():
                path.unlink()
            for file, content in files.items():
                (scratch / name / file).write_bytes(content)
        done = subprocess.run([ROOT / "release/compare.py", "--exceptions", scratch / "exceptions", *flags, scratch / "first", scratch / "second"],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr
    return run


def test_equal_releases_pass(compare):
    status, output = compare({"a": b"1", "b.deb": b"2"}, {"a": b"1", "b.deb": b"2"})
    assert status == 0 and "2 of 2 files have the same bytes" in output


@pytest.mark.parametrize("name, flags, status, word", [
    ("a", (), 1, "DIFFERENT   a"),
    ("b.deb", (), 1, "DIFFERENT   b.deb"),
    ("b.deb", ("--another-debian",), 0, "exception   b.deb: the compiler"),
    ("c.minisig", (), 0, "exception   c.minisig: the time"),
])
def test_a_difference_is_an_exception_or_a_failure(compare, name, flags, status, word):
    found, output = compare({"x": b"1", name: b"1"}, {"x": b"1", name: b"2"}, *flags)
    assert (found, "1 of 2 files" in output) == (status, True) and word in output


def test_a_missing_file_is_a_failure_even_where_a_difference_is_not(compare):
    status, output = compare({"a": b"1", "c.minisig": b"1"}, {"a": b"1"})
    assert status == 1 and "MISSING     c.minisig" in output


def test_nothing_to_compare_is_a_failure(compare):
    assert compare({}, {})[0] == 1


def test_the_exceptions_of_the_tree_let_the_signature_pass_and_no_image_of_the_same_debian(compare, scratch):
    (scratch / "own").write_text((ROOT / "release/exceptions").read_text())
    for name, flags, status in (("SHA256SUMS.minisig", (), 0), ("driver.oci.tar", (), 1), ("driver.oci.tar", ("--another-debian",), 0),
                                ("secrets-store-csi-0.1.0.tar.gz", ("--another-debian",), 1)):
        found, output = compare({"x": b"1", name: b"1"}, {"x": b"1", name: b"2"}, "--exceptions", scratch / "own", *flags)
        assert found == status, output
