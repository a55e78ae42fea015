"""The texts of the programs, taken from their sources, and the texts that the documents quote."""

import re

from harness.process import ROOT

REPORTING = ("error_set", "error_set_errno", "error_wrap", "error_hint", "log_warning", "log_error")
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|\'(?:\\.|[^\'\\])+\'|[A-Za-z_]\w*|\s+|.', re.DOTALL)
CONVERSION = re.compile(r"%%|%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")
HOLE = "\u2026"  # what is different each time


def plain(literal):
    """A format string as a person sees it, with HOLE where values stand."""
    text = CONVERSION.sub(lambda found: "%" if found.group() == "%%" else HOLE, literal)
    text = text.replace('\\"', '"').replace("\\n", " ").replace("\\\\", "\\")
    return re.sub(f"{HOLE}+", HOLE, text)


def literals(code):
    """Every string literal of some C code, neighbours joined; macros between them (PRIu64, names of constants) are holes."""
    found, current = [], None
    for match in TOKEN.finditer(code):
        token = match.group()
        if token[0] == '"':
            current = (current or "") + token[1:-1]
        elif token.isspace() or token.startswith(("//", "/*")):
            continue
        elif current is not None and re.fullmatch(r"PRI[a-z]\d+", token):
            current += "s"  # ends the % before it
        elif current is not None and re.fullmatch(r"[A-Z][A-Z0-9_]+", token):
            current += "%s"
        elif current is not None:
            found.append(plain(current))
            current = None
    return found + ([plain(current)] if current is not None else [])


def arguments(code, start):
    """The text between the parenthesis that opened before `start` and its partner, without LOG_...(...) fields."""
    kept, depth, field = [], 1, None
    for match in TOKEN.finditer(code, start):
        token = match.group()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
            if depth == 0:
                break
        if field is not None:
            field = None if depth == field and token == ")" else field
        elif re.fullmatch(r"LOG_[A-Z]+", token):
            field = depth
        else:
            kept.append(token)
    return "".join(kept)


def sources(*directories):
    return [path for directory in directories for path in sorted((ROOT / directory).rglob("*.[ch]"))]


def reported(*directories):
    """{text: a place where it is given to an error or a warning}"""
    texts = {}
    for path in sources(*directories):
        code = path.read_text()
        for call in re.finditer(rf"\b(?:{'|'.join(REPORTING)})\s*\(", code):
            for text in literals(arguments(code, call.end())):
                if len(re.sub(r"[^A-Za-z]", "", text)) >= 3:
                    texts.setdefault(text, f"{path.relative_to(ROOT)}:{code.count(chr(10), 0, call.start()) + 1}")
    return texts


def reported_through_helpers(*directories):
    """The same for texts of three words and more that go through a function of the file, which gives a parameter of its own to an error."""
    texts = {}
    for path in sources(*directories):
        code = path.read_text()
        helpers = set()
        for name, parameters, body in re.findall(r"^static [\w *]*?\b(\w+)\(([^;{]*)\)\n\{(.*?)^\}", code, re.DOTALL | re.MULTILINE):
            given = " ".join(arguments(body, call.end()) for call in re.finditer(r"\berror_(?:set|set_errno|wrap)\s*\(", body))
            if any(re.search(rf"\b{text}\b", given) for text in re.findall(r"const char \*(\w+)", parameters)):
                helpers.add(name)
        for call in re.finditer(rf"\b(?:{'|'.join(sorted(helpers))})\s*\(", code) if helpers else ():
            for text in literals(arguments(code, call.end())):
                if len(text.split()) >= 3:
                    texts.setdefault(text, f"{path.relative_to(ROOT)}:{code.count(chr(10), 0, call.start()) + 1}")
    return texts


def all_literals(*directories):
    return {text for path in sources(*directories) for text in literals(path.read_text())}


def pieces(quote):
    return [piece.strip() for piece in quote.split(HOLE) if piece.strip()]


def occurs(quote, text):
    """All constant parts of the quote stand in the text, in this order."""
    at = 0
    for piece in pieces(quote):
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return bool(pieces(quote))


def covers(quote, text):
    """The quote is enough of the text to find it by."""
    constant = sum(len(piece) for piece in pieces(text))
    return occurs(quote, text) and sum(len(piece) for piece in pieces(quote)) * 2 >= min(constant, 50)


def quotes(document):
    """[quote] of the first columns of all tables headed `Text`; a cell may hold several, each in backticks."""
    found, inside = [], False
    for line in document.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == "Text":
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            found += re.findall(r"`([^`]+)`", cells[0])
    return found
