"""Small things about pages that are also read where the repository is browsed."""

import re
from typing import Any

_COMMENT = re.compile(r"^<!--.*?-->\n", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,}).*?^(?P=fence)`*$\n", re.DOTALL | re.MULTILINE)
_DECISIONS = "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def _read(_app: Any, name: str, content: list[str]) -> None:
    # What the tests run beside a page is nobody's reading, in the page's source neither.
    content[0] = without_comments(content[0])
    if name == "decisions/README":
        content[0] += _DECISIONS


def without_comments(text: str) -> str:
    """Return *text* without its HTML comments, those inside code blocks excepted."""
    kept, end = [], 0
    position = 0
    while position < len(text):
        fence, comment = _FENCE.search(text, position), _COMMENT.search(text, position)
        if comment is None:
            break
        if fence is not None and fence.start() < comment.start():
            position = fence.end()
            continue
        kept.append(text[end : comment.start()])
        position = end = comment.end()
    return "".join([*kept, text[end:]])


def setup(app: Any) -> dict[str, Any]:
    """Let Sphinx call us."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
