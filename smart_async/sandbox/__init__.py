"""
A SMART EHR in one ASGI app, for tests, demonstrations and learning. Not for production.

```python
from smart_async.sandbox import Sandbox, serve

sandbox = Sandbox()
sandbox.register_client(client_id="growth-chart", redirect_uris=[callback_url], jwks=jwks)
client = SmartClient(config, transport=sandbox.transport())        # in memory, without a socket
with serve(sandbox):                                               # or on http://127.0.0.1:PORT
    print(sandbox.fhir_base)
```

`sandbox.faults.add("unavailable", times=2)` makes it do what servers sometimes do, and `sandbox.verdicts`
says what it thought of each request. `Sandbox(auto_consent=False)`, served, asks its users on pages: sign-in,
patient picker, consent. Its front page launches apps, and `/inspect` shows what they sent.

It needs `pip install "smart-async[sandbox]"`.
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError

try:
    from smart_async.sandbox.ehr import Sandbox
    from smart_async.sandbox.serving import serve
except ModuleNotFoundError as exc:  # pragma: no cover - a test does this in a process of its own
    package = (exc.name or "").partition(".")[0]
    if package not in ("jinja2", "starlette", "uvicorn"):
        raise
    raise ConfigurationError(
        f"The sandbox needs {package}, which is not installed.",
        field="smart_async.sandbox",
        advice='Install it with: pip install "smart-async[sandbox]"',
    ) from exc
from smart_async.sandbox.clients import SandboxClient
from smart_async.sandbox.faults import Fault, Faults
from smart_async.sandbox.transport import SandboxTransport
from smart_async.sandbox.verdicts import Exchange, Received, Replay, Verdict

__all__ = (
    "Exchange",
    "Fault",
    "Faults",
    "Received",
    "Replay",
    "Sandbox",
    "SandboxClient",
    "SandboxTransport",
    "Verdict",
    "serve",
)
