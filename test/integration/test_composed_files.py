"""Files that the provider makes out of several objects, judged by the real readers of their formats; values taken out of JSON and YAML."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from harness.azure_mounts import files, item, mount, mount_failure, objects_of, texts
from harness.process import ROOT
from harness.rpc import CODES

# What passwords and other values are made of.
VALUES = {
    "plain": "Az09_./:@%+,=-", "empty": "", "blanks": "  two  blanks  ", "quotes": "it's \"quoted\" `date` $HOME ${x} $(id) \\n \\", "hash": "#not a comment",
    "equals": "a=b=c", "lines": "first\nsecond\n\nlast\n", "unicode": "ü€😀 \u2028\u0085\ufeff", "tab": "\tx\t", "yaml": "- [a, {b: c}] & *d !e %f | > ~ null: yes",
    "tilde": "~/x", "bang": "!x ! y", "percent": "100%", "control": "\x01\x1f\x7f",
    "comment": "; not a comment", "single": "'x'", "double": '"x"', "continued": "a\\\nb\\", "dollars": "$$ $1 ${a:-b}", "returns": "\ra\r\nb\r", "return": "a\rb",
    "ends": "\n \t", "long": "$\\x" * 8000, "mark": "\ufeffx",
}


def composed(alias, **fields):
    return {"objectAlias": alias, **fields}


@pytest.fixture(autouse=True)
def values_in_the_vault(emulator):
    for name, value in VALUES.items():
        emulator.set_secret(name, value)


def compose(client, text, names=VALUES, hidden=True, **fields):
    """The text of a file that is composed of these secrets, by `fields` of its item."""
    items = [item(name, **({"objectHidden": "true"} if hidden else {})) for name in names]
    response = mount(client, objects=objects_of(*items, composed(text, **fields)))
    found = files(response)
    assert found.keys() == ({text} if hidden else {text, *names})
    return found[text]


def keys(names):
    return {name.upper(): name for name in names}


# --- formats, each with its own reader ---

def test_json_and_yaml_are_read_back(client):
    assert json.loads(compose(client, "out", format="json")) == VALUES
    assert yaml.safe_load(compose(client, "out", format="yaml")) == VALUES
    # of YAML 1.2, where JSON is a part of it
    assert list(json.loads(compose(client, "out", format="json", items={"b": "plain", "a": "tab"}))) == ["b", "a"]


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_shell_reads_env(client, shell, scratch):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    (scratch / "env").write_bytes(compose(client, "out", format="env", items=keys(VALUES)))
    done = subprocess.run([program, *(["sh"] if shell == "busybox" else []), "-c", f"set -a; . {scratch}/env; env -0"], capture_output=True, check=True,
                          timeout=60, env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere"})
    found = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    assert {name.upper(): value for name, value in VALUES.items()}.items() <= found.items()


def entries_of(text):
    return dict(entry.split("=", 1) for entry in text.decode().split("\0")[:-1])


def systemd_reads(file):
    """The entries, or None when systemd refuses the file."""
    done = subprocess.run([sys.executable, ROOT / "test/integration/peers/systemd_env.py", file], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode in (0, 3)
    return entries_of(done.stdout) if done.returncode == 0 else None


def test_systemd_reads_env(client, scratch):
    (scratch / "env").write_bytes(compose(client, "out", format="env", items=keys(VALUES)))
    assert systemd_reads(scratch / "env") == {name.upper(): value for name, value in VALUES.items()}


@pytest.mark.parametrize("character", ["\ufdd0", "\ufdef", "\ufffe", "\U0010ffff"])
def test_env_refuses_what_systemd_refuses(client, emulator, scratch, character):
    (scratch / "env").write_text(f'A="good"\nB="{character}"\n')
    assert systemd_reads(scratch / "env") is None
    emulator.set_secret("odd", f"secret-value{character}")
    code, message = mount_failure(client, objects=objects_of(item("odd"), composed("out", format="env", items={"A": "odd"})))
    assert code == CODES["FAILED_PRECONDITION"] and "key 'A'" in message and "noncharacter" in message and "secret-value" not in message


@pytest.fixture(scope="module")
def docker_reads():
    """Reads a file as `docker run --env-file` does: the entries, or None when docker refuses the file."""
    program = subprocess.run([ROOT / "test/tools/get-docker-env.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=600).stdout.strip()

    def read(file):
        done = subprocess.run([program, file], stdout=subprocess.PIPE, timeout=60)
        assert done.returncode in (0, 1)
        return entries_of(done.stdout) if done.returncode == 0 else None
    return read


def test_docker_reads_docker_env(client, scratch, docker_reads):
    names = [name for name, value in VALUES.items() if "\n" not in value and not value.endswith("\r")]
    (scratch / "env").write_bytes(compose(client, "out", names, format="docker-env", items=keys(names)))
    assert docker_reads(scratch / "env") == {name.upper(): VALUES[name] for name in names}


def test_docker_reads_the_longest_line(client, emulator, scratch, docker_reads):
    emulator.set_secret("long", "\x01" * 10921 + "12345")  # the first ones are six bytes each as JSON
    text = compose(client, "out", ["long"], format="docker-env", items={"A": "long|json"})
    (scratch / "longest").write_bytes(text)
    (scratch / "longer").write_bytes(b"A" + text)
    assert docker_reads(scratch / "longest") == {"A": text.decode()[len("A="):-1]} and docker_reads(scratch / "longer") is None
    code, message = mount_failure(client, objects=objects_of(item("long"), composed("out", format="docker-env", items={"AA": "long|json"})))
    assert code == CODES["FAILED_PRECONDITION"] and "key 'AA'" in message and "longer than a line" in message


@pytest.mark.parametrize("value, words", [
    ("first\nsecond", "line break"), ("\n", "line break"), ("first\r\nsecond", "line break"), ("end\r", "a carriage return at the end"),
    ("\r", "a carriage return at the end")])
def test_docker_env_refuses_what_docker_cannot_read(client, emulator, scratch, docker_reads, value, words):
    (scratch / "env").write_bytes(f"A={value}\n".encode())
    assert docker_reads(scratch / "env") != {"A": value}
    emulator.set_secret("odd", value)
    code, message = mount_failure(client, objects=objects_of(item("odd"), composed("out", format="docker-env", items={"A": "odd"})))
    assert code == CODES["FAILED_PRECONDITION"] and "key 'A'" in message and words in message and "second" not in message


READ_PROPERTIES = """
import java.io.*; import java.util.*;
class Read { public static void main(String[] a) throws Exception {
  Properties p = new Properties(); try (InputStream in = new FileInputStream(a[0])) { p.load(in); }
  StringBuilder out = new StringBuilder();
  for (String k : p.stringPropertyNames()) for (String t : new String[] {k, p.getProperty(k)}) {
    for (char c : t.toCharArray()) out.append(String.format("%04x", (int) c)); out.append('\\n'); }
  System.out.print(out); } }
"""


def test_java_reads_properties(client, scratch):
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("there is no Java")
    odd = {"a key: with = all #!\\": "plain", **{name: name for name in VALUES}}
    (scratch / "out").write_bytes(compose(client, "out", format="properties", items=odd))
    (scratch / "Read.java").write_text(READ_PROPERTIES)
    done = subprocess.run(["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", scratch / "Read.java", scratch / "out"], capture_output=True, text=True,
                          check=True, timeout=170)
    lines = [bytes.fromhex(line).decode("utf-16-be") for line in done.stdout.split("\n")[:-1]]
    assert dict(zip(lines[::2], lines[1::2])) == {key: VALUES[name] for key, name in odd.items()}


def test_properties_are_ascii(client):
    assert compose(client, "out", ["unicode"], format="properties") == b"unicode=\\u00fc\\u20ac\\ud83d\\ude00 \\u2028\\u0085\\ufeff\n"


# --- templates ---

def test_a_template_puts_values_versions_and_functions_in(client, emulator):
    emulator.set_secret("config", json.dumps({"db": {"hosts": ["a", "b"], "port": 5432}}))
    version = next(entry.version for entry in mount(client, "plain").object_version)
    text = compose(client, "out", ["plain", "blanks", "quotes", "config"], template=(
        "$(plain)|$(plain@version)|$(blanks|trim)|$(quotes|json)|$(plain|base64)|$(blanks|trim|base64)|$(config#db.hosts[1]):$(config#db.port)|"
        "$$(plain)|$plain|$|$$"))
    assert text.decode() == (f"{VALUES['plain']}|{version}|two  blanks|{json.dumps(VALUES['quotes'])}|QXowOV8uLzpAJSssPS0=|dHdvICBibGFua3M=|b:5432|"
                             "$(plain)|$plain|$|$$")


def test_a_template_is_not_expanded_twice_and_takes_bytes(client, emulator):
    emulator.set_secret("tricky", "$(plain)")
    emulator.set_secret("binary", "AP8=")
    response = mount(client, objects=objects_of(item("tricky"), item("plain"), item("binary", objectEncoding="base64"),
                                                composed("out", template="$(tricky)$(binary)")))
    assert files(response)["out"] == b"$(plain)\0\xff"


def test_names_are_the_paths_of_files(client, emulator):
    emulator.set_secret("db", json.dumps({"user": "u", "password": "p"}))
    response = mount(client, objects=objects_of(item("db", objectSplit="json", objectAlias="conf/db"), item("plain", objectAlias="a b"),
                                                composed("out", template="$(conf/db/user):$(conf/db/password)@$(a b)")))
    assert texts(response)["out"] == f"u:p@{VALUES['plain']}"


@pytest.mark.parametrize("fields, words", [
    ({"template": "$(nothing)"}, ["out", "there is no item 'nothing' (has: plain, tab)"]),
    ({"template": "$(plain"}, ["'$(plain' is not closed"]),
    ({"template": "$(plain|upper)"}, ["unknown or too many functions"]),
    ({"template": "$(plain#a.b)"}, ["item 'plain'", "path a.b"]),
    ({"format": "env", "items": {"A-B": "plain"}}, ["key 'A-B'", "no name of an environment variable"]),
    ({"format": "json", "items": {"A": "nothing"}}, ["key 'A'", "there is no item 'nothing'"]),
])
def test_what_cannot_be_composed_is_named_and_nothing_is_quoted(client, fields, words):
    code, message = mount_failure(client, objects=objects_of(item("plain"), item("tab"), composed("out", **fields)))
    assert code == CODES["FAILED_PRECONDITION"] and all(word in message for word in words), message
    assert VALUES["plain"] not in message


@pytest.mark.parametrize("fields, words", [
    ({"format": "toml"}, "invalid format: toml, should be env, docker-env, properties, json, yaml, pkcs12 or pkcs12-truststore"),
    ({"format": "env", "template": "x"}, "template cannot be given together with format or items"),
    ({"format": "env", "items": {"A": "plain#"}}, "invalid reference 'plain#'"),
    ({"format": "env", "items": {"A": "plain#[x]"}}, "invalid path '[x]'"),
    ({"format": "env", "items": ["plain"]}, "a mapping of keys to items"),
    ({"format": "env", "objectAlias": ""}, "objectAlias must name the file"),
    ({"format": "env", "objectName": "plain"}, "objectName cannot be given together with format or template"),
    ({"format": "env", "objectAlias": "plain"}, "plain"),
    ({"format": "env", "filePermission": "9"}, "invalid filePermission"),
])
def test_a_wrong_item_is_refused_before_any_request_to_the_vault(client, emulator, fields, words):
    emulator.reset_counters()
    code, message = mount_failure(client, objects=objects_of(item("plain"), {"objectAlias": "out", **fields}))
    assert code == CODES["INVALID_ARGUMENT"] and words in message, message
    assert emulator.requests("vault") == []


def test_only_composed_or_only_hidden_items_are_refused(client):
    for items in ([composed("out", format="env")], [item("plain", objectHidden="true")]):
        assert mount_failure(client, objects=objects_of(*items))[0] == CODES["INVALID_ARGUMENT"]


def test_an_optional_object_that_is_not_there_is_left_out(client):
    items = [item("plain"), item("none", objectOptional="true", objectHidden="true")]
    response = mount(client, objects=objects_of(*items, composed("json", format="json"), composed("text", template="<$(none)>")))
    assert json.loads(texts(response)["json"]) == {"plain": VALUES["plain"]} and texts(response)["text"] == "<>"


def test_the_file_has_its_permission_and_versions_are_those_of_the_objects(client):
    response = mount(client, objects=objects_of(item("plain", objectHidden="true"), composed("out", format="json", filePermission="0400")))
    assert [(file.path, file.mode) for file in response.files] == [("out", 0o400)]
    assert [version.id for version in response.object_version] == ["secret/plain"]


# --- objectKey ---

@pytest.mark.parametrize("text, path, value", [
    ('{"a": {"b": [1, {"c": "x\\u00fc\\ud83d\\ude00\\/"}]}}', "a.b[1].c", "xü😀/"),
    ('{"n": 12345678901234567890.00}', "n", "12345678901234567890.00"),
    ('{"a": {"b": [1, 2]}}', "a", '{"b": [1, 2]}'),
    ('[[true], null, "s"]', "[0][0]", "true"), ('[[true], null, "s"]', "[2]", "s"), ('[[true], null, "s"]', "[1]", "null"),
    ('{"x.y": {"z": "dots"}}', '["x.y"].z', "dots"), ('  {"a": ""}  ', "a", ""),
    ("a:\n  b:\n    - x\n    - c: 007\n", "a.b[1].c", "007"), ("a: |\n  two\n  lines\n", "a", "two\nlines\n"), ("a: ~\n", "a", ""),
    ('\ufeff {"a": "x\\/y"}', "a", "x/y"), ("\ufeffa: x\r\nb: y\r\n", "a", "x"), ('{"": {"ü": "deep"}, "ü": [[["v"]]]}', "ü[0][0][0]", "v"),
    ("base: &b {x: 1}\na: {<<: *b}\n", "a.x", "1"),
])
def test_a_value_is_taken_out_of_a_secret(client, emulator, text, path, value):
    emulator.set_secret("config", text)
    assert texts(mount(client, objects=objects_of(item("config", objectKey=path)))) == {"config": value}


@pytest.mark.parametrize("text, path, words", [
    ('{"user": "secret-value", "host": 1}', "password", "there is no 'password' (has: user, host)"),
    ('["secret-value"]', "[1]", "there is no [1], 1 elements"), ('{"a": "secret-value"}', "a.b", "no object in front of 'b'"),
    ('{"a": ["secret-value"]}', "a.b", "no object in front of 'b'"), ('{"a": secret-value}', "a", "invalid JSON"),
    ("a: {b: secret-value}", "a", "leads to a mapping, not to a value"), ("secret-value", "a", "no object in front of 'a'"),
])
def test_a_path_that_leads_nowhere_says_where_it_ends(client, emulator, text, path, words):
    emulator.set_secret("config", text)
    code, message = mount_failure(client, objects=objects_of(item("config", objectKey=path)))
    assert code == CODES["FAILED_PRECONDITION"] and words in message, message
    assert "secret-value" not in message


@pytest.mark.parametrize("fields, words", [
    ({"objectKey": "a..b"}, "invalid path 'a..b'"), ({"objectKey": "a[1"}, "invalid path"), ({"objectKey": "a", "objectSplit": "json"}, "objectKey only"),
    ({"objectKey": "a", "objectType": "key"}, "objectKey only"), ({"objectHidden": "maybe"}, "invalid objectHidden: maybe"),
])
def test_wrong_fields_are_refused(client, fields, words):
    code, message = mount_failure(client, objects=objects_of({**item("plain"), **fields}))
    assert code == CODES["INVALID_ARGUMENT"] and words in message, message


def test_the_document_has_an_example_of_each(client):
    text = (ROOT / "docs/provider-azure-parameters.md").read_text()
    assert all(f"`{field}`" in text for field in ("format", "template", "items", "objectKey", "objectHidden"))
