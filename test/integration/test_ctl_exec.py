"""secrets-store-ctl exec and copy: a program whose environment is a mounted volume."""

import os
import subprocess

import pytest

from harness.ctl import BAD_USAGE, FAILED_HERE
from harness.process import BUILD

CTL = BUILD / "bin/secrets-store-ctl"
ARGUMENT_MAX = 32 * 4096  # MAX_ARG_STRLEN of Linux: name, =, value and NUL


def volume(directory, files):
    """The files as the driver lays them out: in a version's directory, behind links."""
    version = directory / "..2026"
    version.mkdir(parents=True)
    (directory / "..data").symlink_to("..2026")
    for name, content in files.items():
        (version / name).write_bytes(content)
        (directory / name).symlink_to(f"..data/{name}")
    return directory


def run(*words, env=None):
    return subprocess.run([str(CTL), "exec", *map(str, words)], capture_output=True, timeout=60, check=False, env={"PATH": os.environ["PATH"], **(env or {})})


def environment(done):
    """What `env -0` printed."""
    assert done.returncode == 0, done.stderr
    return dict(entry.split(b"=", 1) for entry in done.stdout.split(b"\0") if entry)


def refused(done, status, *texts):
    assert (done.returncode, done.stdout) == (status, b""), done
    assert all(text.encode() in done.stderr for text in texts), done.stderr


def test_the_program_sees_every_file_byte_for_byte(scratch):
    files = {"DB_PASSWORD": b"a 'quoted' $value\nwith lines\n", "_1": b"", "utf8": "ü€".encode(), "bytes": bytes(range(1, 256))}
    found = environment(run(f"--env-from={volume(scratch / 'v', files)}", "--", "env", "-0"))
    assert {name.encode(): content for name, content in files.items()}.items() <= found.items()


def test_files_win_over_the_environment_and_the_rest_of_it_stays(scratch):
    found = environment(run("--env-from", volume(scratch / "v", {"A": b"file"}), "--", "env", "-0", env={"A": "environment", "B": "stays"}))
    assert (found[b"A"], found[b"B"]) == (b"file", b"stays")


def test_names_are_converted_on_request_and_get_a_prefix(scratch):
    directory = volume(scratch / "v", {"db-password": b"1", "tls.crt": b"2", "9lives": b"3"})
    found = environment(run(f"--env-from={directory}", "--convert-names", "--prefix=APP_", "--", "env", "-0"))
    assert {b"APP_DB_PASSWORD": b"1", b"APP_TLS_CRT": b"2", b"APP_9LIVES": b"3"}.items() <= found.items()


@pytest.mark.parametrize("name", ["db-password", "9lives", "a.b", "a b", "ü", "a="])
def test_a_name_that_no_shell_could_use_is_refused(scratch, name):
    refused(run(f"--env-from={volume(scratch / 'v', {name: b'secret-value'})}", "--", "env"), FAILED_HERE, name, "--convert-names")


def test_two_files_of_one_name_are_refused(scratch):
    first, second = volume(scratch / "1", {"A": b"1"}), volume(scratch / "2", {"A": b"2"})
    refused(run("--env-from", first, "--env-from", second, "--", "env"), FAILED_HERE, "'A' is there already", str(second))
    refused(run("--env-from", volume(scratch / "3", {"a-b": b"1", "a.b": b"2"}), "--convert-names", "--", "env"), FAILED_HERE, "'A_B' is there already")


def test_what_no_variable_can_hold_is_refused_and_not_quoted(scratch):
    done = run("--env-from", volume(scratch / "1", {"A": b"secret\0value"}), "--", "env")
    refused(done, FAILED_HERE, "'A'", "NUL")
    assert b"secret" not in done.stderr
    longest = ARGUMENT_MAX - len("A=") - 1
    found = environment(run("--env-from", volume(scratch / "2", {"A": b"x" * longest}), "--", "env", "-0"))
    assert len(found[b"A"]) == longest
    refused(run("--env-from", volume(scratch / "3", {"A": b"x" * (longest + 1)}), "--", "env"), FAILED_HERE, "'A'", "longer")


def test_directories_and_hidden_files_are_no_variables(scratch):
    directory = volume(scratch / "v", {"A": b"1"})
    (directory / "..data" / "below").mkdir()
    (directory / "..data" / ".hidden").write_bytes(b"2")
    found = environment(run("--env-from", directory, "--", "env", "-0"))
    assert found.keys() == {b"A", b"PATH"}


def test_a_directory_without_versions_is_read_as_it_is(scratch):
    (scratch / "plain").mkdir()
    (scratch / "plain/A").write_bytes(b"1")
    assert environment(run("--env-from", scratch / "plain", "--", "env", "-0"))[b"A"] == b"1"


def test_the_process_becomes_the_program(scratch):
    directory = volume(scratch / "v", {"A": b"1"})
    assert run("--env-from", directory, "--", "sh", "-c", "exit 7").returncode == 7
    with subprocess.Popen([CTL, "exec", f"--env-from={directory}", "--", "sh", "-c", "echo $$; kill -TERM $$"], stdout=subprocess.PIPE) as process:
        assert int(process.stdout.readline()) == process.pid
        assert process.wait(60) == -15
    # words of the program that look like flags are its own
    assert run("--env-from", directory, "--", "echo", "--env-from", "--prefix=x", "--").stdout == b"--env-from --prefix=x --\n"


@pytest.mark.release_only  # a sanitizer sets the limit to 0 itself
def test_the_program_keeps_the_limits_of_its_container(scratch):
    directory = volume(scratch / "v", {})
    done = subprocess.run(["prlimit", "--core=4096:8192", CTL, "exec", f"--env-from={directory}", "--", "prlimit", "--raw", "--noheadings",
                           "--output=SOFT,HARD", "--core"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["4096", "8192"]


def test_bad_usage_and_missing_things(scratch):
    directory = volume(scratch / "v", {"A": b"1"})
    refused(run("--env-from", directory, "env"), BAD_USAGE, "unexpected word 'env'")
    refused(run("--env-from", directory), BAD_USAGE, "-- PROGRAM")
    refused(run("--", "env"), BAD_USAGE, "--env-from")
    refused(run("--env-from", scratch / "none", "--", "env"), FAILED_HERE, "none")
    refused(run("--env-from", directory, "--", "no-such-program"), FAILED_HERE, "no-such-program")


def test_copy_makes_a_program_that_runs(scratch):
    target = scratch / "copy of ctl"
    target.write_text("an older one")
    subprocess.run([CTL, "copy", f"--to={target}"], check=True, timeout=60, umask=0o077)
    assert target.read_bytes() == CTL.read_bytes() and target.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in scratch.iterdir()] == [target.name]
    assert subprocess.run([target, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout.startswith("secrets-store-ctl ")


def test_copy_says_what_it_cannot_write(scratch):
    for words, status, text in (([], BAD_USAGE, "--to"), ([f"--to={scratch}/none/ctl"], FAILED_HERE, "none/ctl")):
        done = subprocess.run([CTL, "copy", *words], capture_output=True, timeout=60, check=False)
        assert done.returncode == status and text.encode() in done.stderr
