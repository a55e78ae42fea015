"""Classes that both Azure providers get, and what is known to be different, with the reason.

A case is (name, items or objects text, keywords). `wanted` says what has to come out:
SAME           both mount the same files with the same modes, in the same order, and the same versions of the same objects
SAME_ERROR     both refuse with the same words
BOTH_FAIL      both refuse; the words are the service's and are shown differently: ours on one line
AGREE          theirs decides: ours mounts the same, or refuses at the same point
anything else  a difference that is meant: (ours, theirs, reason), outcomes as MOUNTS and FAILS name them
"""

from dataclasses import dataclass, field

from harness.azure_mounts import item, objects_of

SAME, SAME_ERROR, BOTH_FAIL, AGREE = "same", "same error", "both fail", "agree"
MOUNTS, FAILS = "mounts", "fails"


@dataclass
class Case:
    name: str
    objects: object
    wanted: object = SAME
    parameters: dict = field(default_factory=dict)
    credentials: object = "default"
    contains: str = ""  # of both messages
    permission: str = "420"


def text_of(objects):
    if isinstance(objects, str):
        return objects
    return objects_of(*objects)


def yaml_item(*lines):
    return "array:\n  - |\n" + "".join(f"    {line}\n" for line in lines)


FILES = [
    Case("one secret", [item("secret1")]),
    Case("two secrets", [item("secret1"), item("secret2")]),
    Case("the order of the items", [item("secret2"), item("secret1")]),
    Case("alias", [item("secret1", objectAlias="ALIAS")]),
    Case("alias in a folder", [item("secret1", objectAlias="a/b/c.txt")]),
    Case("one object under two names", [item("secret1"), item("secret1", objectAlias="again")]),
    Case("alias with spaces at its ends", [item("secret1", objectAlias="  spaced ")]),
    Case("alias with a space and other letters", [item("secret1", objectAlias="ein Name ä")]),
    Case("old version", [item("versioned", objectVersion="@versioned:0")]),
    Case("newest version", [item("versioned")]),
    Case("file permission", [item("secret1", filePermission="0400"), item("secret2", filePermission="755")]),
    Case("file permission as YAML's octal", yaml_item("objectName: secret1", "objectType: secret", "filePermission: 0600")),
    Case("permission of the request", [item("secret1")], permission="256"),
    Case("values: lines, letters, quotes, spaces, empty", [item(name) for name in ("lines", "unicode", "quotes", "spaces", "empty", "html")]),
    Case("a secret that has expired, one that is not valid yet", [item("expired"), item("notyet")]),
    Case("a value as large as a vault takes", [item("large")]),
    Case("utf-8", [item("secret1", objectEncoding="utf-8"), item("secret2", objectEncoding="UTF-8")]),
    Case("base64", [item("base64", objectEncoding="base64"), item("base64lines", objectEncoding="BASE64", objectAlias="b")]),
    Case("hex", [item("hex", objectEncoding="hex"), item("hexupper", objectEncoding="Hex")]),
    Case("content type without a certificate", [item("typed")]),
    Case("content type of a certificate without being one", [item("pfxtyped")]),
    Case("format pem of a plain secret", [item("secret1", objectFormat="PEM")]),
    Case("format pfx of a plain secret", [item("secret1", objectFormat="pfx")]),
    Case("RSA keys", [item(f"rsa{bits}", "key") for bits in (2048, 3072, 4096)]),
    Case("EC keys", [item(name, "key") for name in ("p256", "p384", "p521")]),
    Case("keys of hardware", [item("rsahsm", "key"), item("echsm", "key")]),
    Case("keys with leading zeros", [item(f"zero{number}", "key") for number in range(6)]),
    Case("key under an alias and by version", [item("p256", "key", objectAlias="k", objectVersion="@p256:0")]),
    Case("certificates", [item("certrsa", "cert"), item("certec", "cert", objectAlias="ec.pem")]),
    Case("certificate, its key and its secret", [item("certrsa", "cert"), item("certrsa", "key", objectAlias="k"), item("certrsa", objectAlias="s")]),
    Case("bytes that are no certificate", [item("nocert", "cert")]),
    Case("secret of an RSA certificate", [item("certrsa")]),
    Case("secret of an EC certificate", [item("certec")]),
    Case("secret of a certificate in PEM", [item("certpem")]),
    Case("a chain in the wrong order", [item("chain")]),
    Case("a chain without its intermediate", [item("broken")]),
    Case("key and certificate of a pfx without a MAC", [item("nomac", "key"), item("nomac", "cert", objectAlias="c")]),
    Case("a pfx in a plain secret", [item("plainpfx"), item("plainpfx", objectAlias="b", objectFormat="pem")]),
    Case("a PEM certificate with CRLF", [item("certcrlf")]),
    Case("a pfx in lines", [item("certlines")]),
    Case("pfx as base64 text", [item("chain", objectFormat="pfx")]),
    Case("pfx as bytes", [item("chain", objectFormat="pfx", objectEncoding="base64")]),
    Case("format pem said", [item("chain", objectFormat="pem")]),
    Case("pfx of a PEM certificate", [item("certpem", objectFormat="pfx")]),
    Case("history of one", [item("history", objectVersionHistory=1)]),
    Case("history of zero and below", [item("history", objectVersionHistory=0), item("history", objectVersionHistory=-3, objectAlias="b")]),
    Case("history: fewer than asked for", [item("history", objectVersionHistory=50)]),
    Case("history: as many as there are", [item("history", objectVersionHistory=6)]),
    Case("history: less than there are", [item("history", objectVersionHistory=2)]),
    Case("history of keys", [item("p256", "key", objectVersionHistory=5)]),
    Case("history of certificates", [item("certrsa", "cert", objectVersionHistory=5)]),
    Case("history under an alias", [item("history", objectVersionHistory=2, objectAlias="a/h")]),
    Case("history from a version", [item("history", objectVersionHistory=2, objectVersion="@history:3")]),
    Case("history from latest", [item("history", objectVersionHistory=2, objectVersion="latest")]),
    Case("history skips what is disabled", [item("disabledhistory", objectVersionHistory=5)]),
    Case("history of a chain", [item("chain", objectVersionHistory=3)]),
    Case("history that needs pages", [item("longhistory", objectVersionHistory=40)]),
]

TEXTS = [
    Case("JSON", '{"array": ["{\\"objectName\\": \\"secret1\\", \\"objectType\\": \\"secret\\"}"]}'),
    Case("flow style", "array: ['{objectName: secret1, objectType: secret}']"),
    Case("comments and tabs", yaml_item("# all of it", "objectName: secret1 \t # \u201cquoted\u201d",
                                        "objectType:\tsecret", "objectVersion: \"\"  # none")),
    Case("folded block", "array:\n  - >\n    {objectName: secret1,\n    objectType: secret}\n"),
    Case("anchors", yaml_item("objectName: &name secret1", "objectAlias: *name", "objectType: secret")),
    Case("null item", "array:\n  - ~\n  - |\n    objectName: secret1\n    objectType: secret\n"),
    Case("a value with a NUL character", [item("nul")]),
    Case("a byte order mark", "\ufeffarray:\n- |\n  objectName: secret1\n  objectType: secret\n"),
    Case("a byte order mark in an item", "array:\n  - |\n    \ufeffobjectName: secret1\n    objectType: secret\n    objectAlias: a\n"),
    Case("second document", "array:\n  - |\n    objectName: secret1\n    objectType: secret\n---\narray: []\n"),
    Case("unknown fields", yaml_item("objectName: secret1", "objectType: secret", "objectColour: blue")),
    Case("numbers as names", yaml_item("objectName: 123", "objectType: secret", "objectAlias: 1e3")),
    Case("yes as a name", yaml_item("objectName: yes", "objectType: secret")),
    Case("octal history", yaml_item("objectName: history", "objectType: secret", "objectVersionHistory: 0x2")),
    Case("history with a point", yaml_item("objectName: history", "objectType: secret", "objectVersionHistory: 2.7")),
    Case("spaces in fields", yaml_item("objectName: '  secret1 '", "objectType: ' secret '")),
    Case("tenantID wins", [item("secret1")], parameters={"tenantID": "tenantID", "tenantId": "other"}),
    Case("tenantID alone", [item("secret1")], parameters={"tenantID": "tenantID", "tenantId": None}),
    Case("short booleans", [item("secret1")], parameters={"usePodIdentity": "F", "useVMManagedIdentity": "0"}),
    Case("spaces around parameters", [item("secret1")], parameters={"keyvaultName": " contosoKeyVault5 ", "tenantId": " tenantID "}),
    Case("cloud named by the class", [item("secret1")], parameters={"cloudName": "AzureStackCloud"}),
    Case("cloud in small letters", [item("secret1")], parameters={"cloudName": "azurestackcloud"}),
    Case("vault in small letters", [item("secret1")], parameters={"keyvaultName": "contosokeyvault5"}),
    Case("parameters of the first releases", [item("secret1")], parameters={"resourceGroup": "g", "subscriptionId": "s"}),
    *(Case(f"a cloud file whose keyVaultEndpoint is {name}", [item("secret1")],
           parameters={"cloudName": "AzureStackCloud", "cloudEnvFileName": f"@cloud:{name}"})
      for name in ("absent", "empty", "not applicable", "of another cloud")),
    Case("parameters that nobody knows", [item("secret1")], parameters={"usePodIdentiy": "true", "objectz": "x", "colour": "blue"}),
    Case("keys of credentials in other letters", [item("secret1")], credentials={"ClientID": "servicePrincipalClientID",
                                                                                "CLIENTSECRET": "the-client-secret"}),
    Case("more credentials than needed", [item("secret1")], credentials={"clientid": "servicePrincipalClientID", "x": "y",
                                                                        "clientsecret": "the-client-secret"}),
]

ERRORS = [
    Case("no pod name", [item("secret1")], SAME_ERROR, {"csi.storage.k8s.io/pod.name": ""}),
    Case("no namespace", [item("secret1")], SAME_ERROR, {"csi.storage.k8s.io/pod.namespace": None}),
    Case("bad boolean", [item("secret1")], SAME_ERROR, {"usePodIdentity": "tru"}),
    Case("another bad boolean", [item("secret1")], SAME_ERROR, {"useVMManagedIdentity": "yes"}),
    Case("two modes", [item("secret1")], SAME_ERROR, {"usePodIdentity": "true", "useVMManagedIdentity": "true"}),
    Case("no vault", [item("secret1")], SAME_ERROR, {"keyvaultName": " "}),
    Case("no tenant", [item("secret1")], SAME_ERROR, {"tenantId": None}),
    Case("unknown cloud", [item("secret1")], SAME_ERROR, {"cloudName": "AzureMoonCloud"}),
    Case("the tenant in other letters", [item("secret1")], SAME_ERROR, {"tenantId": None, "tenantid": "tenantID"}),
    Case("the vault in other letters", [item("secret1")], SAME_ERROR, {"keyvaultName": None, "keyVaultName": "contosoKeyVault5"}),
    Case("a URL as the vault's name", [item("secret1")], SAME_ERROR, {"keyvaultName": "https://contosoKeyVault5.vault.azure.net/"}),
    Case("a host name as the vault's name", [item("secret1")], SAME_ERROR, {"keyvaultName": "kv5.vault.azure.net"}),
    Case("no credentials", [item("secret1")], SAME_ERROR, credentials=None),
    Case("no client id", [item("secret1")], SAME_ERROR, credentials={"clientsecret": "x"}),
    Case("no client secret", [item("secret1")], SAME_ERROR, credentials={"clientid": "x"}),
    Case("client id without tokens", [item("secret1")], SAME_ERROR, {"clientID": "x"}),
    Case("tokens that are no JSON", [item("secret1")], BOTH_FAIL, {"clientID": "x", "csi.storage.k8s.io/serviceAccount.tokens": "{"},
         contains="failed to build auth config for mode None: "
                  "failed to parse workload identity tokens, error: failed to unmarshal service account tokens"),
    Case("tokens for others", [item("secret1")], SAME_ERROR,
         {"clientID": "x", "csi.storage.k8s.io/serviceAccount.tokens": '{"other":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}'}),
    Case("token proxy without client id", [item("secret1")], SAME_ERROR, {"useAzureTokenProxy": "true"}),
    Case("no objects", "", SAME_ERROR),
    Case("objects that are no YAML", "array: [", BOTH_FAIL, contains="failed to yaml unmarshal objects, error: "),
    Case("objects of another shape", "array: 5", BOTH_FAIL, contains="failed to yaml unmarshal objects, error: "),
    Case("an item without its line", "array:\n  - objectName: secret1\n    objectType: secret\n", BOTH_FAIL,
         contains="failed to yaml unmarshal objects, error: "),
    Case("an item that is no mapping", "array:\n  - |\n    just text\n", BOTH_FAIL,
         contains="unmarshal failed for keyVaultObjects at index 0, error: "),
    Case("the second item is bad", "array:\n  - |\n    objectName: secret1\n    objectType: secret\n  - |\n    [1\n", BOTH_FAIL,
         contains="unmarshal failed for keyVaultObjects at index 1, error: "),
    Case("empty item", "array:\n  - ''\n", SAME_ERROR),
    Case("history that is no number", yaml_item("objectName: secret1", "objectType: secret", "objectVersionHistory: many"), BOTH_FAIL,
         contains="unmarshal failed for keyVaultObjects at index 0, error: "),
    Case("quoted history", yaml_item("objectName: secret1", "objectType: secret", "objectVersionHistory: \"5\""), BOTH_FAIL,
         contains="unmarshal failed for keyVaultObjects at index 0, error: "),
    Case("absolute alias", [item("secret1", objectAlias="/etc/passwd")], SAME_ERROR),
    Case("alias upwards", [item("secret1", objectAlias="a/../b")], SAME_ERROR),
    Case("alias with two dots", [item("secret1", objectAlias="a..b")], SAME_ERROR),
    Case("bad format", [item("secret1", objectFormat="der")], SAME_ERROR),
    Case("pfx of a key", [item("p256", "key", objectFormat="pfx")], SAME_ERROR),
    Case("bad encoding", [item("secret1", objectEncoding="rot13")], SAME_ERROR),
    Case("encoding of a key", [item("p256", "key", objectEncoding="utf-8")], SAME_ERROR),
    Case("short vault name", [item("secret1")], SAME_ERROR, {"keyvaultName": "ab"}),
    Case("long vault name", [item("secret1")], SAME_ERROR, {"keyvaultName": "a" * 25}),
    Case("vault name with a dot", [item("secret1")], SAME_ERROR, {"keyvaultName": "a.b.c"}),
    Case("bad object type", [item("secret1", "certificate")], BOTH_FAIL, contains="Invalid vaultObjectTypes. Should be secret, key, or cert"),
    Case("tenant with a slash", [item("secret1")], BOTH_FAIL, {"tenantId": "a/b"}, contains="failed to get keyvault client: "),
    Case("missing secret", [item("nosuch")], BOTH_FAIL, contains="failed to get objectType:secret, objectName:nosuch, objectVersion:"),
    Case("missing key", [item("nosuch", "key")], BOTH_FAIL, contains="failed to get objectType:key, objectName:nosuch, objectVersion:"),
    Case("missing version", [item("secret1", objectVersion="0" * 32)], BOTH_FAIL, contains="SecretNotFound"),
    Case("disabled secret", [item("disabled")], BOTH_FAIL, contains="SecretDisabled"),
    Case("a role is missing", [item("secret1")], BOTH_FAIL, {"keyvaultName": "rbacvault"}, contains="ForbiddenByRbac"),
    Case("a firewall", [item("secret1")], BOTH_FAIL, {"keyvaultName": "firevault"}, contains="ForbiddenByFirewall"),
    Case("the permission to list is missing", [item("secret1", objectVersionHistory=2)], BOTH_FAIL, {"keyvaultName": "nolistvault"},
         contains="does not have secrets list permission"),
    Case("a deleted secret", [item("deleted")], BOTH_FAIL, contains="SecretNotFound"),
    Case("other vault refuses", [item("secret1")], BOTH_FAIL, {"keyvaultName": "othervault"}, contains="Forbidden"),
    Case("wrong client secret", [item("secret1")], BOTH_FAIL, credentials={"clientid": "servicePrincipalClientID", "clientsecret": "no"},
         contains="AADSTS7000215"),
    Case("unknown application", [item("secret1")], BOTH_FAIL, credentials={"clientid": "nobody", "clientsecret": "no"}, contains="AADSTS700016"),
    Case("unknown tenant", [item("secret1")], BOTH_FAIL, {"tenantId": "nowhere"}, contains="AADSTS90002"),
    Case("key of a strange curve", [item("kcurve", "key")], BOTH_FAIL, contains="curve P-256K"),
    Case("symmetric key", [item("octkey", "key")], BOTH_FAIL, contains="key type 'oct-HSM' currently not supported"),
    Case("base64 that is none", [item("secret1", objectEncoding="base64")], BOTH_FAIL, contains="illegal base64 data at input byte"),
    Case("hex that is none", [item("secret1", objectEncoding="hex")], BOTH_FAIL, contains="encoding/hex: invalid byte"),
    Case("odd hex", [item("oddhex", objectEncoding="hex")], BOTH_FAIL, contains="encoding/hex: odd length hex string"),
    Case("PEM is no base64", [item("chain", objectEncoding="base64")], BOTH_FAIL, contains="illegal base64 data at input byte 0"),
    Case("a certificate of unknown type", [item("oddtype")], BOTH_FAIL, contains="unknown content type 'application/x-other'"),
    Case("a certificate that is none", [item("badpfx")], BOTH_FAIL, contains="objectName:badpfx"),
    Case("a pfx with a password", [item("locked")], BOTH_FAIL, contains="pkcs12: decryption password incorrect"),
]

LATEST = "the word latest means the newest version everywhere, not only in a history"
DIFFERENT = [
    Case("latest without a history", [item("secret1", objectVersion="latest")], (MOUNTS, FAILS, LATEST)),
    Case("file permission that is none", [item("secret1", filePermission="0900")], (FAILS, MOUNTS, "a bad mode is an error, not mode 0")),
    Case("file permission above 0777", [item("secret1", filePermission="01777")], (FAILS, MOUNTS, "the protocol ends at 0777")),
    Case("two items at one path", [item("secret1"), item("secret2", objectAlias="secret1")],
         (FAILS, MOUNTS, "one of the two would be lost without a word")),
    Case("one item twice", "array:\n  - &a |\n    objectName: secret1\n    objectType: secret\n  - *a\n",
         (FAILS, MOUNTS, "two items at one path, even if they are the same")),
    Case("an item with a NUL", yaml_item("objectName: secret1", "objectType: secret", 'objectAlias: "a\\0b"'),
         (FAILS, MOUNTS, "no file can have that name")),
    Case("nothing but a comment", "# all of it\n", (FAILS, MOUNTS, "a mistake must not be an empty volume")),
    Case("an empty mapping", "{}", (FAILS, MOUNTS, "a mistake must not be an empty volume")),
    Case("YAML 1.2 said", "%YAML 1.2\n---\narray:\n  - |\n    objectName: secret1\n    objectType: secret\n",
         (MOUNTS, FAILS, "what is written is the same in both")),
    Case("tags of YAML", yaml_item("objectName: !!binary c2VjcmV0MQ==", "objectType: secret"), (FAILS, MOUNTS, "tags are ignored")),
    Case("a number by its tag", yaml_item("objectName: history", "objectType: secret", 'objectVersionHistory: !!int "2"'),
         (FAILS, MOUNTS, "tags are ignored")),
    Case("a certificate alone in a pfx", [item("certalone")], (MOUNTS, FAILS, "what is there is written")),
    Case("a key alone in a pfx", [item("keyalone")], (MOUNTS, FAILS, "what is there is written")),
    Case("a pfx whose key is not encrypted", [item("plainkey")], (MOUNTS, FAILS, "read, too")),
    Case("client id between spaces", [item("secret1")], (MOUNTS, FAILS, "an id has no spaces at its ends"),
         credentials={"clientid": " servicePrincipalClientID", "clientsecret": "the-client-secret"}),
    Case("items that are none", "array:\n  - ~\n", (FAILS, MOUNTS, "what is written is not left out in silence")),
    Case("items behind the document", "array: []\n---\narray:\n  - |\n    objectName: secret1\n    objectType: secret\n",
         (FAILS, MOUNTS, "what is written is not left out in silence")),
    Case("one key of the credentials twice", [item("secret1")], (FAILS, FAILS, "which of them counts would be chance"),
         credentials={"clientid": "servicePrincipalClientID", "ClientId": "x", "clientsecret": "no"}),
    *(Case(f"file permission {mode}", yaml_item("objectName: secret1", "objectType: secret", f"filePermission: {mode}"),
           (FAILS, MOUNTS, "one to four octal digits, 0777 at most")) for mode in ("00644", "+644", "0o644", "1777", "-1", "rw-r--r--")),
    Case("a path below a file", [item("secret1"), item("secret2", objectAlias="secret1/x")],
         (FAILS, MOUNTS, "no volume can hold both; named before anything is fetched")),
    Case("an alias that is not clean", [item("secret1", objectAlias="a//b")],
         (FAILS, MOUNTS, "every driver refuses the path; the provider names the object")),
    Case("no array", "Array:\n  - |\n    objectName: secret1\n    objectType: secret\n",
         (FAILS, MOUNTS, "a typing error must not be an empty volume")),
    Case("PFX of a certificate in large letters", [item("certrsa", "cert", objectFormat="PFX")],
         (FAILS, MOUNTS, "compared without regard to letter case")),
    Case("history from a version that is not there", [item("history", objectVersionHistory=2, objectVersion="0" * 32)],
         (FAILS, MOUNTS, "nothing found is an error")),
    Case("a chain and a stranger", [item("stranger")], (MOUNTS, MOUNTS, "the chain is ordered, the stranger stands behind it")),
    Case("a plain pfx that the class calls a certificate", [item("plainpfx", objectCertificate="true")],
         (MOUNTS, MOUNTS, "theirs knows no such field and passes the base64 on")),
    Case("a PEM certificate on one line", [item("pemoneline")], (MOUNTS, MOUNTS, "its line breaks are put back: no server reads it without them")),
    Case("a key on the Koblitz curve", [item("koblitz", "key")], (MOUNTS, FAILS, "Key Vault makes such keys")),
    Case("a PEM chain from root to leaf", [item("pemrootfirst")], (MOUNTS, MOUNTS, "servers take the first certificate for that of the key")),
    Case("a pfx without a MAC", [item("nomac")], (MOUNTS, FAILS, "trusted as PEM is")),
    Case("a pfx with 600,000 iterations", [item("pfx600k")], (MOUNTS, FAILS, "AES and SHA-256 are read, too")),
    Case("a pfx of today", [item("modernpfx")], (MOUNTS, FAILS, "AES and SHA-256 are read, too")),
    Case("an optional object that is not there", [item("secret1"), item("nosuch", objectOptional="true")],
         (MOUNTS, FAILS, "a field of ours; theirs does not know it")),
    Case("an optional version that is not there", [item("secret1", objectVersion="0" * 32, objectOptional="true")],
         (MOUNTS, FAILS, "a field of ours; theirs does not know it")),
    Case("virtual machine's identity with a client id", [item("secret1")], BOTH_FAIL, {"clientID": "x", "useVMManagedIdentity": "true"}),
    Case("client secret with a line end", [item("secret1")], (MOUNTS, FAILS, "one line end of a credential is cut off"),
         credentials={"clientid": "servicePrincipalClientID", "clientsecret": "the-client-secret\n"}),
]
