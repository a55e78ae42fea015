"""A hook of mkdocs: links that leave docs/ lead to the file in the repository, or are plain text when the site has none. The search shows the
page of error texts first, because its users paste errors."""

import posixpath
import re

ERRORS = "troubleshooting.md"


def on_page_markdown(markdown, page, config, **_):
    if page.file.src_uri == ERRORS:
        page.meta["search"] = {"boost": 500}

    def outside(match):
        text, target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), target))
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path}{anchor or ''})" if config.repo_url else text
    return re.sub(r"\[([^\]]+)\]\((\.\./[^)#]+)(#[^)]*)?\)", outside, markdown)
