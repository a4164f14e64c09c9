"""The app as in production: over https, on another site than the EHR, in the EHR's frame."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
from browsers import Browsing, allow, launched, log_in
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

pytestmark = pytest.mark.peers

HOST = "chart.localhost"  # browsers take it for this machine, and for another site than 127.0.0.1


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    """A certificate for the app's host, made now."""
    return trustme.CA().issue_cert(HOST)


@pytest.fixture(scope="module")
def chromium(certificate: trustme.LeafCert) -> Iterator[Any]:
    """A Chromium that trusts this certificate's key, and no other that it does not know."""
    key = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(info).digest()).decode()
    yield from launched(f"--ignore-certificate-errors-spki-list={pin}")


@pytest.fixture(scope="module")
def demo(certificate: trustme.LeafCert, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The demo app over https beside its two sandboxes."""
    from demo_web import Demo, build_app, serving

    from smart_async.sandbox import Sandbox, serve

    folder = tmp_path_factory.mktemp("tls")
    (folder / "chain.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    tls = {"ssl_certfile": folder / "chain.pem", "ssl_keyfile": folder / "key.pem"}
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        serve(Sandbox(auto_consent=False)) as hospital,
        serve(Sandbox(auto_consent=False)) as clinic,
    ):
        app_url = f"https://{HOST}:{listener.getsockname()[1]}"
        with serving(build_app(hospital, clinic, app_url), listener, **tls):
            yield Demo(app_url=app_url, hospital=hospital, clinic=clinic)


def session_cookies(page: Any, url: str) -> dict[str, Any]:
    return {each["name"]: each for each in page.context.cookies(url) if "smart-session" in each["name"]}


def test_cookies_cannot_be_planted_or_read(browsing: Browsing, demo: Any) -> None:
    """Over https the cookies are bound to this host by their names, secure, and out of a script's reach."""
    page = browsing.open()
    log_in(page, demo)
    cookies = session_cookies(page, demo.app_url)
    assert sorted(cookies) == ["__Host-smart-session", "__Host-smart-session-login"]
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/")
        # The app is shown in EHRs' frames, where browsers send no other.
        assert cookie["sameSite"] == "None"
        assert cookie["domain"] == HOST
    assert page.evaluate("document.cookie") == ""


def test_in_the_frame_of_another_site(browsing: Browsing, demo: Any, size: str) -> None:
    """An EHR of another site shows the app in a frame: the whole login and the chart work there."""
    page = browsing.open(size)
    page.goto(
        f"{demo.hospital.base_url}/?{urlencode({'client': 'chart-viewer', 'patient': 'patient-fable'})}"
    )
    page.get_by_label("Signed in").select_option(label="Dr. Doctor Demo")
    page.get_by_label("In a frame").check()
    page.get_by_role("button", name="Launch").click()
    frame = page.frame_locator("#app")
    allow(frame)
    frame.get_by_role("heading", name="Fable Demoville").wait_for()
    frame.get_by_role("button", name="Refresh").click()
    frame.get_by_text("Access was renewed.").wait_for()
    inside = next(each for each in page.frames if each.url.startswith(demo.app_url))
    assert page.url.startswith(f"{demo.hospital.base_url}/ehr/")
    assert inside.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # What was set in the frame belongs to it: the app's own site knows nothing of this login.
    page.goto(demo.app_url)
    assert page.get_by_role("link", name="Choose where to sign in").is_visible()


def test_in_the_frame_of_a_stranger(browsing: Browsing, demo: Any) -> None:
    """A site that is no EHR of the app's cannot show it in a frame."""
    from demo_web import serving

    body = f'<!doctype html><iframe src="{demo.app_url}/"></iframe>'.encode()

    async def stranger(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    page = browsing.open()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        serving(stranger, listener, lifespan="off"),
        page.expect_event("console", lambda message: "frame-ancestors" in message.text),
        page.expect_event("requestfailed"),
    ):
        page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert page.frame_locator("iframe").get_by_role("heading", name="See a patient").count() == 0
    browsing.watch.faults.clear()  # which has both
