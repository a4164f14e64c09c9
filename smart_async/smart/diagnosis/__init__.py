"""
Why a server refuses a client: the facts, the checks, the causes.

`gather` and `attempt` are flows that collect the facts, `judge` draws the conclusions from them, and
`explain` says what an error means without looking at anything else.
"""

from smart_async.smart.diagnosis.catalogue import CATALOGUE, Known
from smart_async.smart.diagnosis.evidence import Evidence, TlsFacts
from smart_async.smart.diagnosis.explain import Explanation, explain
from smart_async.smart.diagnosis.gather import attempt, gather
from smart_async.smart.diagnosis.judge import judge
from smart_async.smart.diagnosis.report import Cause, Check, Diagnosis

__all__ = (
    "CATALOGUE",
    "Cause",
    "Check",
    "Diagnosis",
    "Evidence",
    "Explanation",
    "Known",
    "TlsFacts",
    "attempt",
    "explain",
    "gather",
    "judge",
)
