"""`make demo-web`: the chart app beside two sandbox EHRs, on loopback ports, until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from chart_app import create_app
from fastapi import FastAPI

from smart_async import AsyncEHRRegistry, PrivateKeyJWT, SigningKey, SmartConfig, public_jwks
from smart_async.sandbox import Sandbox, serve

SCOPE = (
    "openid fhirUser launch/patient offline_access patient/Patient.rs patient/Condition.rs "
    "patient/MedicationRequest.rs patient/Observation.rs"
)
PORTS = (8000, 8080, 8081)
"""Of the app and of the sandboxes, unless others are asked for or somebody has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What is running."""

    app_url: str
    hospital: Sandbox
    clinic: Sandbox


class PortTakenError(Exception):
    """Somebody else has the port that was asked for."""


def build_app(hospital: Sandbox, clinic: Sandbox, app_url: str) -> FastAPI:
    """Register the app, to be reached at *app_url*, with both sandboxes, and return it."""
    names = {hospital.fhir_base: "Sandbox Hospital", clinic.fhir_base: "Sandbox Clinic"}
    insecure = app_url.startswith("http:")
    key = SigningKey.generate("ES384")
    for sandbox in (hospital, clinic):
        sandbox.register_client(
            client_id="chart-viewer",
            client_name="Chart Viewer",
            redirect_uris=[f"{app_url}/smart/callback"],
            launch_url=f"{app_url}/smart/launch",
            jwks=public_jwks([key]),
            scope=f"launch {SCOPE}",
        )
    configs = [
        SmartConfig(
            fhir_base=sandbox.fhir_base,
            client_id="chart-viewer",
            client_auth=PrivateKeyJWT(key),
            redirect_uri=f"{app_url}/smart/callback",
            scope=SCOPE,
            allow_insecure_loopback=True,  # the sandboxes' own http
        )
        for sandbox in (hospital, clinic)
    ]
    frames = (hospital.base_url, clinic.base_url)
    return create_app(AsyncEHRRegistry(configs), names, frames=frames, allow_insecure_loopback=insecure)


@contextmanager
def running(
    port: int | None = None, hospital_port: int | None = None, clinic_port: int | None = None
) -> Iterator[Demo]:
    """Run the app and both sandboxes, on the ports asked for, until the block ends."""
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(port, PORTS[0]))
        app_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hospital, clinic = (
            stack.enter_context(serve(Sandbox(auto_consent=False), port=_choose(wanted, usual)))
            for wanted, usual in zip((hospital_port, clinic_port), PORTS[1:], strict=True)
        )
        stack.enter_context(serving(build_app(hospital, clinic, app_url), listener))
        yield Demo(app_url=app_url, hospital=hospital, clinic=clinic)


@contextmanager
def serving(app: Any, listener: socket.socket, **options: Any) -> Iterator[None]:
    """Serve *app* in a thread. There is no access log: it would hold codes."""
    server = uvicorn.Server(
        uvicorn.Config(app, access_log=False, log_level="warning", timeout_graceful_shutdown=1, **options)
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="chart app", daemon=True)
    thread.start()
    try:
        yield  # the socket listens already: who comes early waits
    finally:
        server.should_exit = True
        thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, say what to open, and wait for Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except PortTakenError as error:
        parser.error(f"Port {error} on 127.0.0.1 cannot be had: choose another.")
    return 0


def _run(options: argparse.Namespace) -> None:
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with running(options.port, options.hospital_port, options.clinic_port) as demo:
        print(
            f"Chart Viewer       {demo.app_url}/   sign in there,\n"
            f"Sandbox Hospital   {demo.hospital.base_url}/   or launch it from an EHR here,\n"
            f"Sandbox Clinic     {demo.clinic.base_url}/   or here.\n"
            f"What the app sent, and what was thought of it: {demo.hospital.base_url}/inspect\n"
            "For tests and learning, all data is invented. Ctrl-C ends all three.",
            flush=True,
        )
        while not stop.wait(0.5):  # in slices: on Windows Ctrl-C does not end a wait
            pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The chart app beside two sandbox EHRs.")
    for name, usual in zip(("port", "hospital-port", "clinic-port"), PORTS, strict=True):
        parser.add_argument(
            f"--{name}", type=int, metavar="N", help=f"{usual} by default; 0 takes a free one"
        )
    return parser


def _choose(wanted: int | None, usual: int) -> int:
    with _listener(wanted, usual) as listener:
        return int(listener.getsockname()[1])


def _listener(wanted: int | None, usual: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", usual if wanted is None else wanted))
    except OSError as error:
        if wanted is not None or error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise PortTakenError(usual if wanted is None else wanted) from None
        return socket.create_server(("127.0.0.1", 0))  # nobody asked for the usual one


if __name__ == "__main__":
    sys.exit(main())
