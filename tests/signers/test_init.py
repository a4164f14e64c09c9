"""The room's names load when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smart_async import signers


@pytest.mark.parametrize("name", signers.__all__)
def test_names(name):
    """Each public name loads once and is listed."""
    assert getattr(signers, name) is getattr(signers, name)
    assert name in dir(signers)


def test_unknown_names_fail_as_usual():
    """A name that does not exist raises AttributeError."""
    with pytest.raises(AttributeError, match="has no attribute 'GcpSigner'"):
        _ = signers.GcpSigner


def test_importing_needs_no_extra():
    """All signers can be imported, and made, without boto3, python-pkcs11 and cryptography being loaded."""
    code = (
        "import sys\n"
        "from smart_async.signers import AwsKmsSigner, Pkcs11Signer, CallableSigner\n"
        "AwsKmsSigner('k'); Pkcs11Signer('l', slot=1, key_label='k', pin=str)\n"
        "print({'boto3', 'botocore', 'pkcs11', 'cryptography', 'joserfc'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"
