"""Causes on the client's side: its key, its JWK Set, its assertion, its clock."""

from __future__ import annotations

__all__ = ("CLIENT_CAUSES",)

CLIENT_CAUSES: dict[str, tuple[int, str, str, str]] = {
    # Before anything can be sent.
    "configuration": (
        100,
        "A setting cannot be used.",
        "Nothing was sent, since no request can be made from it.",
        "Correct the setting.",
    ),
    "key-none": (
        100,
        "No key was given, nor a client secret.",
        "So there is nothing that the client could prove itself with.",
        "Give the file with the private key: --key F, or SMART_PRIVATE_KEY_PATH.",
    ),
    "key-unreadable": (
        100,
        "The private key file cannot be read.",
        "It has to be a plain file with the key in it, which this process may read.",
        "Check the path, the owner and the mode (chmod 600) of the file.",
    ),
    "key-exposed": (
        100,
        "The private key file is not this user's alone.",
        "Others can read or exchange it, so it is not used.",
        "Take it away from the others: chown to this user, then chmod 600.",
    ),
    "key-passphrase": (
        100,
        "The passphrase does not open the private key.",
        "The key is encrypted, and the passphrase is wrong or missing (or one was given for a plain key).",
        "Set SMART_KEY_PASSPHRASE to the passphrase that the key was encrypted with.",
    ),
    "key-public": (
        100,
        "The key file holds a public key or certificate, not a private key.",
        "The public half is for the server; only the private half can sign.",
        "Name the file with the private key that belongs to it.",
    ),
    "key-weak": (
        100,
        "The RSA key is too small or unsafe.",
        "SMART servers ask for at least 2048 bits.",
        "Make a new key with: smart-async keygen --alg RS384 --out FILE, and register its public half.",
    ),
    "key-curve": (
        100,
        "The elliptic-curve key is on the wrong curve.",
        "ES384, which SMART asks for, needs the curve P-384; a P-256 key cannot make such a signature.",
        "Make a new key with: smart-async keygen --alg ES384 --out FILE, and register its public half.",
    ),
    "key-kind": (
        100,
        "The key file holds no usable private key.",
        "An RSA key of 2048 bits or more, or an elliptic-curve key on P-384 is needed.",
        "Make one with: smart-async keygen --alg ES384 --out FILE.",
    ),
    "signing-failed": (
        99,
        "The key could not sign.",
        "The signer (a key service, a token, a function of yours) failed.",
        "Try the signer by itself; check its permissions and that it is switched on.",
    ),
    # What the server sees of our keys.
    "jwks-private": (
        84,
        "The published JWK Set holds private key members.",
        "Whoever reads the URL can sign as this client; good servers refuse such a set altogether.",
        "Take it down now, make a new key, and publish the output of: smart-async jwks FILE.",
    ),
    "jwks-elsewhere": (
        83,
        "The registered JWK Set URL is not the one where your keys are.",
        "The server fetches the registered one, and does not find this key there.",
        "Register the URL that your keys are at, or publish them at the registered one.",
    ),
    "jwks-http": (
        82,
        "The JWK Set URL is plain http.",
        "Servers fetch keys over https only, for anybody on the way could exchange them.",
        "Publish the JWK Set over https and register that URL.",
    ),
    "jwks-unreachable": (
        82,
        "The JWK Set URL cannot be reached.",
        "The server has to fetch it to find your public key.",
        "Make the URL answer from everywhere, also from networks that are not yours.",
    ),
    "jwks-tls": (
        82,
        "The JWK Set URL has a TLS certificate that is not accepted.",
        "The server checks certificates as well, and does not fetch keys from there.",
        "Renew the certificate, or install the chain of intermediate certificates with it.",
    ),
    "jwks-auth": (
        82,
        "The JWK Set URL asks for authentication.",
        "The server fetches it without any credentials, and is turned away.",
        "Open the URL to everybody: it holds public keys only.",
    ),
    "jwks-status": (
        82,
        "The JWK Set URL answers with an error.",
        "The server has to fetch it to find your public key.",
        "Check the path; the URL must answer 200 with the JWK Set.",
    ),
    "jwks-redirect": (
        82,
        "The JWK Set URL redirects.",
        "Servers follow no redirect to keys.",
        "Register the final URL, or answer with the keys at the registered one.",
    ),
    "jwks-html": (
        82,
        "The JWK Set URL answers with a web page.",
        "A portal, a login page or a single-page app stands where the keys should be.",
        "Let the URL answer with the JWK Set itself, as application/json.",
    ),
    "jwks-invalid": (
        82,
        "The JWK Set URL does not answer with a JWK Set.",
        "It must be a JSON object with an array called keys.",
        "Publish the output of: smart-async jwks FILE.",
    ),
    "jwks-empty": (
        82,
        "The published JWK Set is empty.",
        "There is no key in it that a signature could be verified with.",
        "Publish the output of: smart-async jwks FILE.",
    ),
    "jwks-cached": (
        81,
        "A cache in front of the JWK Set hands out an old copy.",
        "The key is in the set at its origin, and not in the copy that the world gets.",
        "Purge the cache (CDN), and give the JWK Set a short max-age, such as 300 seconds.",
    ),
    "jwks-kid-other": (
        80,
        "The key is published under another kid than the one it signs with.",
        "The server looks the key up by the kid in the assertion's header, and finds none.",
        "Sign with the published kid (--kid, SMART_KEY_ID), or publish the key under the one you sign with.",
    ),
    "jwks-kid-missing": (
        80,
        "The published key has no kid.",
        "The server looks the key up by the kid in the assertion's header, and finds none.",
        "Publish the key with its kid: the output of smart-async jwks FILE --kid KID.",
    ),
    "jwks-kid": (
        80,
        "The key that signs is not in the published JWK Set: no key there has its kid.",
        "The server looks the key up by the kid in the assertion's header, and finds none.",
        "Publish the public half of this key under this kid, or sign with a key that is published.",
    ),
    "jwks-kid-twice": (
        79,
        "Several published keys have the kid of the key that signs.",
        "Servers take the first of them, or refuse all.",
        "Give each key a kid of its own.",
    ),
    "jwks-type": (
        79,
        "The published key with this kid is of another type than the key that signs.",
        "An RSA key cannot verify what an elliptic-curve key signed, nor the other way round.",
        "Publish the public half of the key that signs: smart-async jwks FILE.",
    ),
    "jwks-key": (
        78,
        "The public key with this kid is another key than the one that signs.",
        "The file of another key was named, or a rotation left the old one in one of the two places.",
        "Sign with the key whose public half is published, or publish that of the key that signs; "
        "give each new key a new kid.",
    ),
    "jwks-use": (
        77,
        "The published key is not marked for signatures.",
        "Its use or key_ops says that it is for something else, such as encryption, so servers pass it over.",
        'Publish it with "use": "sig", and without key_ops or with "verify" in it.',
    ),
    "jwks-alg": (
        77,
        "The published key names another algorithm (alg) than the one that it signs with.",
        "Servers accept only signatures made with the alg of the key.",
        "Publish the key with the alg that it signs with, or leave alg out.",
    ),
    "jku-differs": (
        76,
        "The jku in the assertion's header is not the registered JWK Set URL.",
        "Servers compare the two byte for byte, a trailing slash included.",
        "Set jku to exactly the registered URL, or leave it out: most servers do without it.",
    ),
    "jku-missing": (
        75,
        "The server wants the JWK Set URL in the assertion's header (jku), and none is sent.",
        "Most servers do without it; this one does not.",
        "Send exactly the registered URL: --jku URL, or SMART_JWKS_URI.",
    ),
    # The assertion and the clock.
    "clock-fast": (
        74,
        "This machine's clock is fast.",
        "The assertion seems to come from the future, or to be valid for longer than five minutes.",
        "Set the clock by NTP. Until then raise assertion_backdate in the configuration.",
    ),
    "clock-slow": (
        74,
        "This machine's clock is slow.",
        "The assertion has expired when it arrives.",
        "Set the clock by NTP.",
    ),
    "clock": (
        73,
        "The clocks of this machine and of the server differ too much.",
        "The server says that the assertion's times are not acceptable.",
        "Set this machine's clock by NTP; if it is right, tell the server's operator.",
    ),
    "kid-missing": (
        72,
        "The assertion names no kid.",
        "The server cannot tell which of your keys it was signed with.",
        "Do not take kid out of the assertion's header (assertion_header).",
    ),
    "aud-wrong": (
        71,
        "The assertion's aud is not what the server expects.",
        "It must be the token endpoint's URL, byte for byte, unless the server documents something else.",
        "Leave assertion_audience out, or set it to what the server's documentation names.",
    ),
    "typ-wrong": (
        70,
        "The assertion's typ is not JWT.",
        "Several servers refuse an assertion without typ JWT.",
        "Leave typ out of assertion_header.",
    ),
    "assertion-issuer": (
        70,
        "The assertion's iss or sub is not the registered client id.",
        "Both must be the client_id, letter for letter.",
        "Compare client_id with what stands in the server's developer console.",
    ),
    "assertion-window": (
        69,
        "The assertion's validity is not what SMART allows.",
        "exp must lie ahead, and at most five minutes.",
        "Leave assertion_lifetime and assertion_backdate at their defaults.",
    ),
    "assertion-times": (
        69,
        "The server does not accept the assertion's times, though its clock agrees with this machine's.",
        "Some servers let an assertion live for a minute only, or none of it lie in the past; and the clock "
        "of a machine behind the one that answers may be wrong.",
        "Lower assertion_lifetime, to 60 say, with assertion_backdate=0; or ask the operator what is taken.",
    ),
    "assertion-replayed": (
        69,
        "The server says that the assertion was used before.",
        "Each jti works once. A proxy that repeats requests, or a copied client, sends one twice.",
        "Look for something between here and the server that repeats requests.",
    ),
}
