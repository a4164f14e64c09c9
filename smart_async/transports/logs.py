"""
A filter for the logs of the HTTP libraries, which write whole URLs, queries included.

httpx and httpx2 log each request's URL at INFO, httpcore the header fields of each answer at DEBUG. A FHIR
search has names and birth dates in its query, a redirect has a code in its `Location`. This library sets up
nobody's logging; put the filter where you set up yours:

```python
handler = logging.StreamHandler()
handler.addFilter(UrlLogFilter())
```
"""

from __future__ import annotations

import logging
import re

__all__ = ("UrlLogFilter",)

_URL = re.compile(
    r"(?P<scheme>\b(?:https?|socks5h?)://)(?:[^\s/?#'\"<>]*@)?"
    r"(?P<host>[^\s/?#'\"<>]*)(?P<path>/[^\s?#'\"<>]*)?(?P<query>[?#][^\s'\"<>]*)?",
    re.IGNORECASE,
)
_SENSITIVE = re.compile(
    r"(?P<name>b?['\"](?:(?:proxy-)?authorization|(?:set-)?cookie|location|www-authenticate)['\"]"
    r"\s*[,:]\s*)b?(?P<quote>['\"]).*?(?P=quote)",
    re.IGNORECASE,
)
_MASK = "[hidden]"


class UrlLogFilter(logging.Filter):
    """
    Take queries, fragments and user names out of every URL in a log record, and let the record pass.

    Sensitive header fields, as httpcore writes them, lose their values. Put it on a handler, so that it sees
    the records of all loggers; on a logger it sees only those made there, not those of its children. What a
    record held is replaced for all handlers after it.

    Args:
        path: Whether paths stay. FHIR paths name patients, so say False where logs are not protected as
            records of patients are.

    >>> record = logging.makeLogRecord({"msg": "GET %s", "args": ("https://ehr.example.com/r4/Patient?name=Doe",)})
    >>> UrlLogFilter().filter(record), record.getMessage()
    (True, 'GET https://ehr.example.com/r4/Patient?[hidden]')
    """

    def __init__(self, *, path: bool = True) -> None:
        super().__init__()
        self._path = path

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite *record*, and return True."""
        try:
            message = record.getMessage()
        except Exception:  # a record that cannot be written is for its handler to report
            return True
        cleaned = _SENSITIVE.sub(rf"\g<name>'{_MASK}'", _URL.sub(self._clean, message))
        if cleaned != message:
            record.msg, record.args = cleaned, None
        return True

    def _clean(self, match: re.Match[str]) -> str:
        path = match["path"] or ""
        if not self._path and path.strip("/"):
            path = f"/{_MASK}"
        query = f"{match['query'][0]}{_MASK}" if match["query"] else ""
        return f"{match['scheme']}{match['host']}{path}{query}"
