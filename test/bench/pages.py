"""pages.py - parts of a document that a command writes: between <!-- NAME: written by COMMAND --> and <!-- end of NAME -->."""

import re


def number(value):
    """For people: 1,234; 12.3; 0.012."""
    if value == 0 or abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def table(head, rows, left=1):
    """Lines of Markdown; the first `left` columns are text."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * left + " ---: |" * (len(head) - left)]
    return lines + ["| " + " | ".join(cell if isinstance(cell, str) else number(cell) for cell in row) + " |" for row in rows]


def fill(path, parts):
    """Replaces the parts of a document, {name: lines}. Each has to be there."""
    text = path.read_text()
    for name, lines in parts.items():
        pattern = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        assert pattern.search(text), f"{path} has no part '{name}'"
        text = pattern.sub(lambda match, lines=lines: match[1] + "\n" + "\n".join(lines) + "\n\n" + match[2], text)
    path.write_text(text)
