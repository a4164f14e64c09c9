"""The examples under each command's help: lines that work as they are, but for the names in them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.text import Text
from typer.core import TyperCommand

from smart_async.cli.output import console

__all__ = ("EXAMPLES", "ExampleCommand")

_BASE = "--fhir-base https://ehr.example.com/r4"
_APP = f"{_BASE} \\\n    --client-id my-app"
_SIGNED = f"{_APP} --key key.pem --kid key-1"

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "demo": (
        ("See every message of a login and of a nightly job:", "smart-async demo"),
        ("The same for a program to read:", "smart-async demo --json > demo.json"),
    ),
    "sandbox": (
        ("An EHR for your own app to talk to:", "smart-async sandbox --port 8080"),
        (
            "The same with your client registered:",
            "smart-async sandbox --client-id my-app --jwks jwks.json \\\n"
            "    --redirect-uri http://127.0.0.1:5000/callback",
        ),
    ),
    "keygen": (
        (
            "A key for production, and its public half to register:",
            "smart-async keygen --alg ES384 --kid key-1 --out key.pem > jwks.json",
        ),
        ("Encrypted:", "smart-async keygen --out key.pem --passphrase-prompt"),
    ),
    "jwks": (
        (
            "What to publish while you exchange one key for the next:",
            "smart-async jwks old.pem new.pem --kid key-1 --kid key-2 > jwks.json",
        ),
    ),
    "discover": (
        ("What a server offers:", "smart-async discover https://ehr.example.com/r4"),
        ("In a check that is to fail:", "smart-async discover https://ehr.example.com/r4 --strict --json"),
    ),
    "token": (
        ("See what you get:", f"smart-async token {_SIGNED} --scope system/Patient.rs"),
        (
            "Read data with it:",
            f"smart-async token {_SIGNED} --header |\n    curl -H @- https://ehr.example.com/r4/Patient",
        ),
        (
            "In a script, with everything from environment variables:",
            'eval "$(smart-async token --export)"',
        ),
    ),
    "login": (
        ("A public client:", f"smart-async login {_APP}"),
        (
            "A server that compares ports, and an app with a key:",
            f"smart-async login {_SIGNED} \\\n    --redirect-uri http://127.0.0.1:5000/callback",
        ),
        (
            "Over ssh, with a port that is forwarded to this machine (ssh -L 5000:127.0.0.1:5000):",
            f"smart-async login {_APP} --port 5000 --no-browser",
        ),
    ),
    "doctor": (
        ("Why does the server refuse my client?", f"smart-async doctor {_SIGNED}"),
        (
            "The same with a real request, and the JWK Set as the server sees it:",
            f"smart-async doctor {_SIGNED} --try \\\n    --jwks-url https://app.example.com/jwks.json",
        ),
    ),
    "register": (
        (
            "A nightly job:",
            f"smart-async register {_BASE} --backend \\\n    --key key.pem --name Nightly --out client.json",
        ),
        (
            "An app that users sign in to:",
            f"smart-async register {_BASE} --key key.pem \\\n"
            "    --redirect-uri http://127.0.0.1:5000/callback --out client.json",
        ),
        ("Then use it:", f"smart-async token {_BASE} \\\n    --registration client.json --key key.pem"),
    ),
    "introspect": (
        (
            "Ask about a new token, with everything else from environment variables:",
            "smart-async token --header | smart-async introspect",
        ),
        ("About one in a file:", f"smart-async introspect {_SIGNED} --token-file token.txt"),
    ),
    "revoke": (("End a token that has leaked:", f"smart-async revoke {_SIGNED} --token-file token.txt"),),
}
"""For each command, what an example is for, and the example."""


class ExampleCommand(TyperCommand):
    """A command whose help ends with examples that can be copied."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, then the examples, unbroken: half a line is no command."""
        super().format_help(ctx, formatter)
        examples = EXAMPLES.get(self.name or "", ())
        if not examples:
            return
        screen = console()
        screen.print(Text(" Examples", style="bold"))
        for purpose, line in examples:
            screen.print()
            screen.print(Text(f"   {purpose}", style="dim"))
            screen.print(Text(f"   {line}".replace("\n", "\n   "), style="cyan"), soft_wrap=True)
        screen.print()
        sys.stdout.flush()
