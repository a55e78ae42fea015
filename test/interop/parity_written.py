"""Classes as people write them, right and wrong. The Go provider defines the outcome of each."""

import json
import textwrap

from parity_cases import AGREE, Case, yaml_item

from harness.azure_mounts import item

NAMED = ("objectName: secret1", "objectType: secret")
ITEM = "  - |\n    objectName: secret1\n    objectType: secret\n"
TOKENS, AUDIENCE = "csi.storage.k8s.io/serviceAccount.tokens", "api://AzureADTokenExchange"
NOTHING = "array: []"


def written(name, objects, **more):
    return Case(name, objects, AGREE, **more)


def fields(label, values, line):
    """One item with one more line for each value."""
    return [written(f"{label} {value}", yaml_item(*NAMED, line.format(value))) for value in values]


def items(label, field, values, name="secret1", kind="secret", **more):
    return [written(f"{label} {value[:20]!r}", [item(name, kind, **{**more, field: value})]) for value in values]


def parameters(name, values, objects=NOTHING):
    return [written(f"{name} {value!r}", objects, parameters={name: value}) for value in values]


DOCUMENTS = [written(name, text) for name, text in {
    "CRLF": f"array:\n{ITEM}".replace("\n", "\r\n"),
    "CRLF and flow style": "array:\r\n  - '{objectName: secret1, objectType: secret}'\r\n",
    "CR": f"array:\n{ITEM}".replace("\n", "\r"),
    "tabs as indentation": "array:\n\t- |\n\t  objectName: secret1\n\t  objectType: secret\n",
    "tabs as indentation of an item": "array:\n  - |\n    \tobjectName: secret1\n    \tobjectType: secret\n",
    "one tab too many": "array:\n  - |\n    objectName: secret1\n    \tobjectType: secret\n",
    "spaces at the ends of lines": "array:   \n  - |   \n    objectName: secret1   \n    objectType: secret   \n   \n",
    "a tab behind the bar": "array:\n  - |\t\n    objectName: secret1\n    objectType: secret\n",
    "byte order mark": f"\ufeffarray:\n{ITEM}",
    "no-break space behind a value": "array:\n  - |\n    objectName: secret1\u00a0\n    objectType: secret\n",
    "no-break space as indentation": "array:\n\u00a0 - |\n    objectName: secret1\n    objectType: secret\n",
    "a list without indentation": "array:\n- |\n  objectName: secret1\n  objectType: secret\n",
    "block that strips": f"array:\n{ITEM}".replace("|", "|-"),
    "block that keeps": f"array:\n{ITEM}\n\n".replace("|", "|+"),
    "block with its indentation": "array:\n  - |2\n      objectName: secret1\n      objectType: secret\n",
    "folded lines": f"array:\n{ITEM}".replace("|", ">"),
    "folded lines and an empty one": "array:\n  - >\n    objectName: secret1\n\n    objectType: secret\n",
    "item in double quotes": 'array:\n  - "objectName: secret1\\nobjectType: secret"\n',
    "item in quotes over lines": "array:\n  - 'objectName: secret1\n\n    objectType: secret'\n",
    "item of plain lines": "array:\n  - objectName\n    secret1\n",
    "YAML 1.1 said": f"%YAML 1.1\n---\narray:\n{ITEM}",
    "start and end of a document": f"---\narray:\n{ITEM}...\n",
    "start of a document in an item": "array:\n  - |\n    ---\n    objectName: secret1\n    objectType: secret\n",
    "two documents in an item": "array:\n  - |\n    objectName: secret1\n    objectType: secret\n    ---\n    objectName: secret2\n",
    "second document is broken": f"array:\n{ITEM}---\n[[[\n",
    "array twice": f"array:\n{ITEM}array: []\n",
    "merged array": f"base: &base\n  array:\n{ITEM.replace('  - ', '    - ').replace('    object', '      object')}<<: *base\n",
    "array is null": "array:\n", "array is empty": "array: []\n", "array is ~": "array: ~\n", "array is ''": "array: ''\n",
    "array is text": "array: x\n", "array is a mapping": "array: {a: b}\n", "array in array": "array:\n  - - |\n      objectName: secret1\n",
    "text": "hello", "no array, but its items": f"{ITEM}", "a key of two": f"? [a, b]\n: x\narray:\n{ITEM}",
    "null as a key": f"~: x\narray:\n{ITEM}",
    "item is a number": "array:\n  - 5\n", "item is a boolean": "array:\n  - true\n", "item is a comment": "array:\n  - |\n    # nothing\n",
    "item is the word null": "array:\n  - |\n    null\n", "item is a list": "array:\n  - |\n    - objectName: secret1\n      objectType: secret\n",
    "item is a block twice": "array:\n  - |\n    |\n      objectName: secret1\n",
    "JSON item": 'array:\n  - |\n    {"objectName":"secret1","objectType":"secret"}\n',
    "JSON item with tabs": 'array:\n  - |\n    {\n    \t"objectName":\t"secret1",\n    \t"objectType":\t"secret"\n    }\n',
    "JSON without spaces": '{"array":["{\\"objectName\\":\\"secret1\\",\\"objectType\\":\\"secret\\"}"]}',
    "JSON with objects for texts": '{"array":[{"objectName":"secret1","objectType":"secret"}]}',
    "commas at the end": '{"array":["{objectName: secret1, objectType: secret,}",],}',
    "no space behind the colon": yaml_item("objectName:secret1", "objectType:secret"),
    "no space behind the colon in flow style": "array: ['{objectName:secret1, objectType:secret}']",
    "lines of one item at different depths": "array:\n  - |\n    objectName: secret1\n      objectType: secret\n",
    "spaces alone": "   \n ",
}.items()]

# as Terraform, Helm, Kustomize and people's editors leave them
MADE = [written(name, text) for name, text in {
    "heredoc of Terraform, indented": textwrap.indent(f"array:\n{ITEM}", " " * 6),
    "heredoc whose end is indented": textwrap.indent(f"array:\n{ITEM}", " " * 10) + " " * 8,
    "yamlencode": '"array":\n- |\n  "objectName": "secret1"\n  "objectType": "secret"\n- |\n  "objectName": "secret2"\n  "objectType": "secret"\n',
    "yamlencode of nulls": '"array":\n- |\n  "objectAlias": null\n  "objectName": "secret1"\n  "objectType": "secret"\n  "objectVersion": null\n'
                           '  "filePermission": null\n  "objectFormat": null\n  "objectEncoding": null\n  "objectVersionHistory": null\n',
    "jsonencode": json.dumps({"array": [json.dumps({"objectName": "secret1", "objectType": "secret", "objectVersion": None, "objectAlias": "a"})]}),
    "range of Helm with its blank lines": f"\n\narray:\n  \n{ITEM}  \n{ITEM.replace('secret1', 'secret2')}  \n\n",
    "template of Helm": "array:\n  - |\n    objectName: {{ .Values.name }}\n    objectType: secret\n",
    "range of Helm": f"array:\n{{{{- range .Values.secrets }}}}\n{ITEM}{{{{- end }}}}\n",
    "variable of a shell": f"array:\n{ITEM}".replace("secret1", "$SECRET_NAME"),
    "variable in braces": f"array:\n{ITEM}".replace("secret1", "${SECRET_NAME}"),
    "placeholder": f"array:\n{ITEM}".replace("secret1", "<secret name>"),
    "two files without a line end between them": f"array:\n{ITEM}".rstrip() + "apiVersion: secrets-store.csi.x-k8s.io/v1\n",
    "a comment without a blank before it": f"array:\n{ITEM}".rstrip() + "#comment\n",
    "array before each item": f"array:\n{ITEM}array:\n{ITEM.replace('secret1', 'secret2')}",
    "array before each item, indented": f"array:\n{ITEM}  array:\n{ITEM}",
    "array in an item": "array:\n  - |\n    array:\n    - |\n      objectName: secret1\n      objectType: secret\n",
    "list of other providers": '- objectName: "secret1"\n  objectType: "secret"\n',
    "bar missing in the first item alone": f"array:\n  - objectName: secret1\n    objectType: secret\n{ITEM}",
    "bar and field on one line": "array:\n  - | objectName: secret1\n    objectType: secret\n",
    "fields as deep as the hyphen": "array:\n  - |\n  objectName: secret1\n  objectType: secret\n",
    "an empty item at the end": f"array:\n{ITEM}  - |\n", "a blank item at the end": f"array:\n{ITEM}  - |\n    \n",
    "a hyphen at the end": f"array:\n{ITEM}  -\n",
    "anchor of another item": "x-common: &common\n  objectType: secret\narray:\n  - |\n    <<: *common\n    objectName: secret1\n",
    "JSON list of objects": '[{"objectName":"secret1","objectType":"secret"}]', "YAML in a JSON string": json.dumps(f"array:\n{ITEM}"),
    "two characters for a line end": f"array:\n{ITEM}".replace("\n", "\\n"), "all on one line": "array: - | objectName: secret1 objectType: secret",
    "quotation marks of a word processor": "array:\n  - |\n    objectName: \u201csecret1\u201d\n    objectType: secret\n",
    "zero width space before a field": "array:\n  - |\n    \u200bobjectName: secret1\n    objectType: secret\n",
    "no-break space before a field": "array:\n  - |\n    \u00a0objectName: secret1\n    objectType: secret\n",
    "full-width colon": "array:\n  - |\n    objectName\uff1asecret1\n    objectType: secret\n",
}.items()]

ITEMS = [written(name, yaml_item(*lines)) for name, lines in {
    "a field twice": (*NAMED, "objectName: secret2"), "an unknown field twice": (*NAMED, "x: 1", "x: 2"),
    "merge key": ("<<: {objectName: secret1}", "objectType: secret"),
    "merge key with an anchor": ("base: &base {objectName: secret1, objectAlias: merged}", "<<: *base", "objectType: secret"),
    "own fields before merged ones": ("<<: [{objectAlias: first}, {objectAlias: second, objectName: secret2}]", *NAMED),
    "quoted merge key": ("'<<': {objectName: secret1}", "objectType: secret"),
    "tag of a text": ("objectName: !!str secret1", "objectType: secret"), "tag of one's own": ("objectName: !mine secret1", "objectType: secret"),
    "value on the next line": ("objectName: secret1", "objectType:", "  secret"), "value as a block": ("objectName: |", "  secret1", "objectType: secret"),
    "parameters of the class in an item": (*NAMED, "resourceGroup: g", "subscriptionId: s", "tenantId: t"),
    "permission without its file": (*NAMED, "permission: 0755"), "history as text": (*NAMED, 'objectVersionHistory: "3"'),
    "history in a word": (*NAMED, "objectVersionHistory: all"), "mode with a comment": (*NAMED, "filePermission: 0644 # rw-r--r--"),
    "mode in decimal": (*NAMED, "filePermission: 256"), "version in decimal": (*NAMED, "objectVersion: 1"),
    "version with an exponent": (*NAMED, "objectVersion: 5e10000000000000000000000000000000"),
    "version that is an identifier": (*NAMED, "objectVersion: https://contosoKeyVault5.vault.localhost/secrets/secret1/abc"),
    "name that is an identifier": ("objectName: https://contosoKeyVault5.vault.localhost/secrets/secret1", "objectType: secret"),
    "name of an environment variable": ("objectName: DB_PASSWORD", "objectType: secret"), "name of a file": ("objectName: tls.crt", "objectType: secret"),
    "name of .NET": ("objectName: ConnectionStrings:Default", "objectType: secret"), "alias of .NET": (*NAMED, "objectAlias: ConnectionStrings:Default"),
    "alias of Windows": (*NAMED, "objectAlias: certs\\a.pfx"), "alias of the mount": (*NAMED, "objectAlias: /mnt/secrets-store/a"),
    "alias of the driver": (*NAMED, "objectAlias: ..data"), "type certificate": ("objectName: certrsa", "objectType: certificate"),
    "type pfx": ("objectName: certrsa", "objectType: pfx"), "encoding of an example": (*NAMED, "objectEncoding: SECRET_ALIAS"),
    "names in large letters": ("ObjectName: secret1", "objectType: secret"), "names in small letters": ("objectname: secret1", "objecttype: secret"),
}.items()] + fields("alias written", ("null", "~", "'~'", "", "NULL", "nUll", "true", "Yes", "1.50", "2001-01-01", "0xFF", ".inf", "[a]", "{a: b}", "a#b",
                                      "'a #b'", "'100%'", "@a", "`a", "*a", "'a", '"a\\tb"', '"\\u00e4"', '"al\\u00a0"'), "objectAlias: {}")

HISTORIES = [written(f"history {value}", yaml_item("objectName: history", "objectType: secret", f"objectVersionHistory: {value}")) for value in (
    "2", "0x2", "0o2", "02", "0b10", "2.0", "2.9", "2e0", "+2", "-2", "1_0", "2_", "_2", ".5", "2.", "1e400", "1e10", "2147483648", "-2147483649",
    "0x80000000", "true", "no", "~", "null", "", "' '", "[2]", "{a: 2}", ".inf", ".nan", "2:30", "0o8", "08", "09", "0x", "0b2", "2 # c",
    "12345678901234567890", "-0", "+0x2", "-0x2", "0X2", "2,0", "2e", "1E0", "'2'", "!!int 2", "!!str 2", "0_2", "2.5e0")]
HISTORIES += [written(f"history {count} from {version!r}", [item("history", objectVersionHistory=count, objectVersion=version)])
              for count in (1, 2, 3) for version in ("", "@history:5", "@history:3", "@history:0")]

VALUES = [
    *fields("mode", ("0644", "'0644'", "644", "0400", "0", "0000", "0777", "7", "' 0600 '", "''", "~"), "filePermission: {}"),
    *items("encoding", "objectEncoding", ("utf-8", "UTF8", "utf8", "ascii", "base-64", " utf-8 ", "none")),
    *items("format", "objectFormat", ("pem", "PEM", "pfx", "PFX", "Pfx", "pkcs12", "der", " pem ", ""), name="chain"),
    *items("format of a key", "objectFormat", ("pem", "pfx", "der"), name="p256", kind="key"),
    *items("type", "objectType", ("secret", "Secret", "SECRET", "secrets", "certificate", "", " secret ", "storage")),
    *items("alias", "objectAlias", ("a", "a/b/c", "/a", "..", "../a", "a/..", "..a", "a..", "a...b", ".a", "a b", "a\\b", "-", "a:b", "a*?", "ä/ö", "x" * 255)),
    *items("name", "objectName", ("SECRET1", "Secret1", "nosuch", "a/b", "secret1/", "secret1?x=y", "a b", "se%63ret1", "ä", "x" * 127, "secret1#x"),
           objectAlias="alias"),
    *items("version", "objectVersion", ("", "LATEST", "newest", "0", "@versioned:0", "a/b", "a?b", "a b"), name="versioned"),
    *(written(f"object {name} as {kind}", [item(name, kind)]) for kind in ("secret", "key", "cert") for name in (
        "certrsa", "certec", "certpem", "kcurve", "octkey", "rsahsm", "echsm", "nocert", "oddtype", "badpfx", "locked", "disabled", "deleted", "empty")),
    *(written(f"permission {value} of the request", [item("secret1")], permission=value) for value in
      ("0", "420", "511", "4294967296", "-1", "4.5", '"420"', "null", "", "true", "0644", "420 x", "[]")),
]

PARAMETERS = [
    *(case for name in ("usePodIdentity", "useVMManagedIdentity", "useAzureTokenProxy") for case in parameters(
        name, ("", " ", "false", "False", "FALSE", "f", "F", "0", "no", "off", "tRUE", "yes", "on", " false ", "\tfalse\n", "fALSE", "null", "00"))),
    *parameters("useVMManagedIdentity", ("true", "True", "TRUE", "t", "T", "1", " true ")),
    *parameters("cloudName", ("", "AzurePublicCloud", "AZUREPUBLICCLOUD", "AzureCloud", "azurecloud", "AzureUSGovernmentCloud", "AzureUSGovernment",
                              "AzureUsGov", "AzureChinaCloud", "AzureChina", "AzureGermanCloud", "AzureStackCloud", "azurestack", " AzureStackCloud ", "straße")),
    *parameters("keyvaultName", ("contosoKeyVault5", "CONTOSOKEYVAULT5", " contosoKeyVault5\n", "ab", "a" * 25, "a.b", "a_b", "ää", "a b c", "",
                                 "contosoKeyVault5.vault.azure.net", "https://contosoKeyVault5.vault.azure.net/", "contosoKeyVault5/", "<key-vault-name>", "$KV",
                                 "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/contosoKeyVault5"), [item("secret1")]),
    *parameters("tenantId", ("<tenant ID of the Key Vault>", "contoso.onmicrosoft.com", "https://login.localhost/tenantID", "{tenantID}", "tenantID\n", "common"),
                [item("secret1")]),
    *parameters("cloudName", ("AzurePublic", "ChinaCloud", "public", "AzureCloudPublic")), *parameters("useVMManagedIdentity", ("<true/false>", "True|False")),
    *(written(f"parameter {name}", [item("secret1")], parameters={name: value}) for name, value in (
        ("clientId", "x"), ("userAssignedIdentityID", "an-object-id"), ("cloudEnvPath", "/etc/kubernetes/azurestackcloud.json"), ("useManagedIdentity", "true"))),
    *(written(f"vault in {name}", [item("secret1")], parameters={"keyvaultName": None, name: "contosoKeyVault5"}) for name in ("vaultName", "keyvaultname")),
    *(written(f"tenant {new!r} or {old!r}", [item("secret1")], parameters={"tenantID": new, "tenantId": old}) for new, old in (
        ("", "tenantID"), (" ", "tenantID"), ("", ""), (" tenantID ", "x"), ("a/b", None), ("a b", None), ("a_b", None), ("other", "tenantID"))),
    *(written(f"credentials {name}", [item("secret1")], credentials=value) for name, value in {
        "null": None, "empty": {}, "without an id": {"clientsecret": "x"}, "without a secret": {"clientid": "x"},
        "with an empty id": {"clientid": "", "clientsecret": "x"}, "with an empty secret": {"clientid": "x", "clientsecret": ""},
        "as a list": [], "as text": "x", "with a number": {"clientid": "x", "clientsecret": "x", "n": 5},
        "with a null": {"clientid": "servicePrincipalClientID", "clientsecret": "the-client-secret", "n": None},
        "of the environment": {"AZURE_CLIENT_ID": "x", "AZURE_CLIENT_SECRET": "x"}, "with underscores": {"client_id": "x", "client_secret": "x"},
        "in quotes": {"clientid": '"servicePrincipalClientID"', "clientsecret": "the-client-secret"},
        "with a URL": {"clientid": "http://contosoServicePrincipal", "clientsecret": "the-client-secret"},
        "with a space": {"clientid": "servicePrincipalClientID", "clientsecret": "the-client-secret "}}.items()),
    *(written(f"tokens {value}", NOTHING, parameters={"clientID": "x", TOKENS: value}) for value in (
        None, "", "{}", "[]", "x", *(json.dumps({AUDIENCE: entry}) for entry in (
            "x", {}, {"token": ""}, {"token": 5}, {"token": "x"}, {"token": "x", "expirationTimestamp": "x"}, {"token": "x", "expirationTimestamp": None},
            {"token": "x", "expirationTimestamp": "2000-01-01T00:00:00Z"})), json.dumps({AUDIENCE.lower(): {"token": "x"}}),
        json.dumps({AUDIENCE + "/": {"token": "x"}}), json.dumps({AUDIENCE: {"token": "x"}, "other": 5}))),
    written("client id of spaces", [item("secret1")], parameters={"clientID": " "}),
]

WRITTEN = DOCUMENTS + MADE + ITEMS + HISTORIES + VALUES + PARAMETERS
