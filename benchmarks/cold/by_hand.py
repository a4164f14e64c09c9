"""The same by hand, with httpx and joserfc."""

import sys
import time
from pathlib import Path
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

base, file = sys.argv[1:]
key = ECKey.import_key(Path(file).read_bytes())
with httpx.Client() as http:
    document = http.get(f"{base}/.well-known/smart-configuration").raise_for_status().json()
    endpoint = document["token_endpoint"]
    now = int(time.time())
    claims = {"iss": "nightly", "sub": "nightly", "aud": endpoint}
    claims |= {"iat": now - 60, "exp": now + 240, "jti": str(uuid4())}
    header = {"alg": "ES384", "kid": "key-1", "typ": "JWT"}
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(header, claims, key, algorithms=["ES384"]),
    }
    token = http.post(endpoint, data=form).raise_for_status().json()
print(len(token["access_token"]))
