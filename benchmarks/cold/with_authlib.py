"""The same with Authlib, which takes RSA keys here."""

import sys
from pathlib import Path

from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT

base, file = sys.argv[1:]
with OAuth2Client("nightly", Path(file).read_text(), token_endpoint_auth_method="private_key_jwt") as client:
    document = client.request("GET", f"{base}/.well-known/smart-configuration", withhold_token=True).json()
    endpoint = document["token_endpoint"]
    client.register_client_auth_method(PrivateKeyJWT(endpoint, alg="RS384"))
    token = client.fetch_token(endpoint, grant_type="client_credentials", scope="system/Patient.rs")
print(len(token["access_token"]))
