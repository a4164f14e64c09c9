"""A new process's way to its first backend token, with this library."""

import sys
from pathlib import Path

from smart_async import PrivateKeyJWT, SigningKey, SmartClient, SmartConfig

base, file = sys.argv[1:]
key = SigningKey.from_pem(Path(file).read_bytes(), kid="key-1")
config = SmartConfig(
    fhir_base=base, client_id="nightly", client_auth=PrivateKeyJWT(key), allow_insecure_loopback=True
)
with SmartClient(config) as client:
    token = client.backend_token("system/Patient.rs")
print(len(token.access_token.reveal()))
