"""README.md and values.schema.json of a chart, made from the comments and the defaults of its values.yaml."""

import json
import re

import yaml

from charts.helm import DRIVER, PROVIDER

SUBCHART = "secrets-store-csi-driver"
LINE = re.compile(r"^( *)([\w-]+):(?: +(?P<value>[^#\s](?:[^#]|(?<! )#)*?))?(?: +# (?P<comment>.*))?$")

INTERVAL = r"^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))*$"
STRATEGY = {"type": ["object", "null"], "properties": {"type": {"enum": ["RollingUpdate", "OnDelete", None]}}}
WORDS = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}  # the API server refuses numbers and booleans
REFERENCES = {"type": ["array", "null"], "items": {"type": "object", "required": ["name"]}}
# What a default does not say about its value.
NARROWER = {
    "commonLabels": WORDS,
    "imagePullSecrets": REFERENCES,
    "linux.daemonsetAnnotations": WORDS,
    "linux.nodeSelector": WORDS,
    "linux.podAnnotations": WORDS,
    "linux.podLabels": WORDS,
    "podMonitor.labels": WORDS,
    "prometheusRule.labels": WORDS,
    "grafanaDashboard.labels": WORDS,
    "linux.image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never", "", None]},
    "linux.image.repository": {"type": ["string", "null"], "minLength": 1},
    "linux.image.digest": {"type": ["string", "null"], "pattern": "^(sha(256|512):[0-9a-f]{64,128})?$"},
    "linux.kubeletRootDir": {"type": ["string", "null"], "pattern": "^/"},
    "linux.providersDir": {"type": ["string", "null"], "pattern": "^/"},
    "linux.additionalProvidersDirs": {"type": ["array", "null"], "items": {"type": "string", "pattern": "^/[^,]*$"}},
    "linux.metricsAddr": {"type": ["string", "integer", "null"], "pattern": "^$|[0-9]$"},
    "linux.updateStrategy": STRATEGY,
    "linux.healthzPath": {"type": ["string", "null"], "pattern": "^/"},
    "linux.healthzTimeout": {"type": ["string", "null"], "pattern": INTERVAL},
    "linux.dnsPolicy": {"enum": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None", "", None]},
    "linux.classProxies": {"type": ["array", "null"], "items": {"type": "string", "pattern": "^[^,]+:[0-9]+$"}},
    "linux.serveStaleMaxAge": {"type": ["string", "null"], "pattern": INTERVAL},
    "linux.volumes": {"type": ["array", "null"]},
    "linux.volumeMounts": {"type": ["array", "null"]},
    "rotationPollInterval": {"type": ["string", "null"], "pattern": INTERVAL},
    "providerHealthCheckInterval": {"type": ["string", "null"], "pattern": INTERVAL},
    "tokenRequests": {"type": ["array", "null"], "items": {"type": "object", "required": ["audience"]}},
    "metricsAddr": {"type": ["string", "integer", "null"], "pattern": "[0-9]$"},
}
OF_TYPE = {
    bool: {"enum": [True, False, None, "true"]},  # "true" as Terraform and Argo CD may write it; "false" would switch on, as any text does
    int: {"type": ["integer", "string", "null"], "pattern": "^[0-9]*$"},
    str: {"type": ["string", "number", "null"]},
    list: {"type": ["array", "null"]},
    dict: {"type": ["object", "null"]},
    type(None): {},
}


def documented(chart):
    """[(path of the value, its comment)] in the order of values.yaml. A value with a comment on its line is one, whatever is below it."""
    path, found, skip = [], [], None
    for line in (chart / "values.yaml").read_text().splitlines():
        match = LINE.match(line)
        if not match:
            continue
        indent, name = len(match[1]) // 2, match[2]
        if skip is not None and indent > skip:
            continue
        skip = None
        path = [*path[:indent], name]
        if match["comment"] and path != [SUBCHART]:
            found.append((tuple(path), match["comment"]))
            skip = indent
        else:
            assert match["value"] is None, f"{chart.name}: {'.'.join(path)} has no comment"
    return found


def defaults(chart):
    return yaml.safe_load((chart / "values.yaml").read_text())


def value_at(values, path):
    for name in path:
        values = values[name]
    return values


def schema(chart):
    """The schema: types, and what else is known to be wrong before a node meets it. Unknown values are allowed, as the upstream charts do."""
    top = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"Values of {chart.name}", "type": "object", "properties": {}}
    for path, comment in documented(chart):
        if path[0] == SUBCHART and path[1:] != ("install",):
            continue  # the driver's chart has a schema of its own
        properties = top["properties"]
        for name in path[:-1]:
            properties = properties.setdefault(name, {"type": ["object", "null"], "properties": {}})["properties"]
        if comment.startswith("ignored"):
            properties[path[-1]] = {"description": comment}
            continue
        narrower = NARROWER.get(".".join(path)) or OF_TYPE[type(value_at(defaults(chart), path))]
        properties[path[-1]] = {"description": comment, **narrower}
    return json.dumps(top, indent=2, ensure_ascii=False) + "\n"


def table(chart):
    lines = ["| Value | Default | Effect |", "| --- | --- | --- |"]
    for path, comment in documented(chart):
        default = json.dumps(value_at(defaults(chart), path), ensure_ascii=False)
        lines.append(f"| `{'.'.join(path)}` | `{default}` | {comment} |")
    return "\n".join(lines) + "\n"


def readme(chart):
    """The chart's README.md with its table of values as it is now."""
    text = (chart / "README.md").read_text()
    head, _, rest = text.partition("## Values\n")
    introduction = rest.split("| Value |")[0]
    return f"{head}## Values\n{introduction}{table(chart)}"


if __name__ == "__main__":
    for each in (DRIVER, PROVIDER):
        (each / "README.md").write_text(readme(each))
        (each / "values.schema.json").write_text(schema(each))
