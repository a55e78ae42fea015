#!/usr/bin/python3 -B
"""pages.py - man pages and shell completion of the programs, from --help, which comes from their tables of options.

   BUILD=build/static PYTHONPATH=test/integration:test release/pages.py VERSION GO_MD2MAN OUT

Writes OUT/<program>.8 or .1, OUT/<program>.bash, OUT/_<program> (zsh). SOURCE_DATE_EPOCH dates the pages.
"""

import datetime
import os
import subprocess
import sys
from pathlib import Path

from harness.reference import CTL_COMMANDS, parse, usage

PAGES = {
    "secrets-store-driver": (8, "Secrets Store CSI driver", """\
The kubelet calls the driver for each volume of a pod that names a SecretProviderClass. The driver fetches the contents from the class's provider and
mounts them as files on a tmpfs. Without Kubernetes it takes classes from a directory, and *secrets-store-ctl*(1) or another orchestrator sends the
calls. It runs as root.
"""),
    "secrets-store-provider-azure": (8, "Azure Key Vault provider of the Secrets Store CSI driver", """\
The driver calls the provider over a Unix socket. The provider takes tokens from Microsoft Entra ID, fetches secrets, keys and certificates from Azure
Key Vault or Managed HSM, and returns the files. It needs no privileges.
"""),
    "secrets-store-ctl": (1, "command-line client of the Secrets Store CSI driver and its providers", """\
Calls any CSI node plugin as the kubelet does, and any provider as the driver does. *diagnose* examines every link between a vault and a pod,
*lint* finds mistakes in files of Kubernetes objects.
Without **--endpoint** it uses the socket that it finds on the node.
"""),
}
TAKES_FILES = ("lint",)
EXIT_STATUS = {
    "secrets-store-ctl": "0: success. 1: local failure. 2: bad usage. 3: diagnose found something wrong. 100 + N: the call failed with gRPC status N, for example 105 for NOT_FOUND. "
                         "Of lint: 0: no errors were found. 1: errors were found. 2: bad usage or an unreadable file.\n",
}
DAEMON_STATUS = "0: ended after SIGTERM or SIGINT. 1: failure. 2: bad usage.\n"


def options_of(rows):
    """Markdown of a definition list."""
    text = ""
    for flag, value, default, words in rows:
        text += f"**--{flag}**{' *' + value + '*' if value else ''}\n:   {words}{f' (default {default})' if default else ''}\n\n"
    return text.replace("<", "\\<")


def commands_of(program):
    """{command: rows}; a daemon has one command without a name."""
    if program != "secrets-store-ctl":
        return {"": parse(usage(program))[0]}
    return {command: parse(usage(program, command))[0] for command in CTL_COMMANDS}


def summary(command):
    return usage("secrets-store-ctl", command).splitlines()[0].split(": ", 1)[1]


def manual(program, version):
    section, title, description = PAGES[program]
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")
    commands = commands_of(program)
    text = f"{program} {section} \"{date}\" \"{version}\" \"Secrets Store CSI\"\n==========\n\n# NAME\n{program} - {title}\n\n# SYNOPSIS\n"
    text += f"**{program}** *COMMAND* [flags]\n\n" if "" not in commands else f"**{program}** [flags]\n\n"
    text += "".join(f"**{program}** **{command}** [flags] *FILE* ...\n\n" for command in commands if command in TAKES_FILES)
    text += f"# DESCRIPTION\n{description}\nOne or two dashes are equal. A boolean takes a value only with \"=\". Durations look like 300ms, 30s, 2m.\n\n"
    for command, rows in commands.items():
        text += f"# {command.upper()}\n{summary(command).capitalize()}.\n\n" if command else "# OPTIONS\n"
        text += options_of(rows)
    text += f"# EXIT STATUS\n{EXIT_STATUS.get(program, DAEMON_STATUS)}\n"
    others = ", ".join(f"*{other}*({PAGES[other][0]})" for other in PAGES if other != program)
    return text + f"# SEE ALSO\n{others}\n"


def is_path(value):
    return value.split(" ")[-1] in ("file", "path", "directory", "directories", "address", "key=path")


def bash(program):
    name = program.replace("-", "_")
    commands = commands_of(program)
    text = f"# bash completion of {program}\n_{name}() {{\n    local flags words cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n"
    text += "    case ${COMP_WORDS[1]} in\n" if "" not in commands else "    case '' in\n"
    for command, rows in commands.items():
        text += f"    {command or repr('')}) flags='{' '.join('--' + row[0] for row in rows)}' ;;\n"
    text += "    esac\n"
    paths = sorted({f"--{row[0]}" for rows in commands.values() for row in rows if is_path(row[1])})
    text += f"    case $prev in\n    {'|'.join(paths)}) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n    esac\n"
    if "" not in commands:
        text += f"    [ \"$COMP_CWORD\" -eq 1 ] && flags='{' '.join(commands)} --help --version'\n"
    return text + f"    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$cur\")\n}}\ncomplete -o default -o filenames -F _{name} {program}\n"


def zsh_rows(rows):
    out = []
    for flag, value, _, words in rows:
        words = words.translate(str.maketrans({"'": "’", "[": "(", "]": ")", ":": " "}))
        action = f":{value.translate(str.maketrans({':': ' '}))}:{'_files' if is_path(value) else ''}" if value else ""
        out.append(f"'--{flag}[{words}]{action}'")
    return " \\\n    ".join(out)


def zsh(program):
    commands = commands_of(program)
    text = f"#compdef {program}\n"
    if "" in commands:
        return text + f"_arguments -s \\\n    {zsh_rows(commands[''])}\n"
    text += "if (( CURRENT == 2 )); then\n    local -a commands=(\n"
    text += "".join(f"        '{command}:{summary(command)}'\n" for command in commands) + "    )\n    _describe command commands\n    return\nfi\n"
    text += "local command=$words[2]\nshift words\n(( CURRENT-- ))\ncase $command in\n"
    for command, rows in commands.items():
        files = " \\\n    '*:file:_files'" if command in TAKES_FILES else ""
        text += f"{command}) _arguments \\\n    {zsh_rows(rows)}{files} ;;\n"
    return text + "esac\n"


def main():
    version, converter, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    for program, (section, _, _) in PAGES.items():
        page = subprocess.run([converter], input=manual(program, version), capture_output=True, text=True, check=True).stdout
        (out / f"{program}.{section}").write_text(page)
        (out / f"{program}.bash").write_text(bash(program))
        (out / f"_{program}").write_text(zsh(program))


if __name__ == "__main__":
    main()
