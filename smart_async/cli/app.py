"""The Typer app: which commands there are, and how each of them ends."""

from __future__ import annotations

import io
import logging
import sys
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from smart_async._version import VERSION
from smart_async.cli import demo, discover, doctor, introspect, keys, login, register, sandbox, token
from smart_async.cli.examples import ExampleCommand
from smart_async.cli.output import (
    INTERRUPTED,
    WRONG_INPUT,
    Stdout,
    error_members,
    exit_code,
    in_cli_words,
    note,
    report_error,
)
from smart_async.errors import SmartError

__all__ = ("Commands", "app")

# Typer brings the classes of its argument parser along without publishing them.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[2])


class Commands(TyperGroup):
    """Commands that fail in one way: a paragraph or a JSON object, and an exit code that says whose fault."""

    def main(self, args: Any = None, *_: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line *args*, then exit; without *standalone_mode*, return the exit code."""
        words = list(sys.argv[1:] if args is None else args)
        extra["prog_name"] = "smart-async"
        _prepare()
        code = self._run(words, extra, as_json="--json" in words)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, words: list[str], extra: dict[str, Any], *, as_json: bool) -> int:
        try:
            result = super().main(words, standalone_mode=False, **extra)
        except SmartError as exc:
            report_error(error_members(exc), in_cli_words(str(exc)), as_json=as_json)
            return exit_code(exc)
        except typer.Abort:
            return _interrupted(as_json=as_json)
        except _UsageError as exc:
            return _usage(exc, as_json=as_json)
        if result == INTERRUPTED:
            return _interrupted(as_json=as_json)
        return result if isinstance(result, int) else 0


app = typer.Typer(
    cls=Commands,
    help="SMART on FHIR authorization: keys, discovery, tokens, and a sandbox EHR to try them on.",
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    rich_markup_mode="markdown",  # joins the lines of a paragraph, as the docstrings mean it
    pretty_exceptions_enable=False,  # they would print the values of variables, tokens among them
)
for _room in (demo, sandbox, keys, discover, token, login, register, introspect, doctor):
    _room.add_to(app)
for _command in app.registered_commands:
    _command.cls = ExampleCommand


@app.callback()
def _main(  # pyright: ignore[reportUnusedFunction]  # Typer calls it
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        typer.echo(f"smart-async {VERSION}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(WRONG_INPUT)


def _prepare() -> None:
    Stdout.has_object = False
    # The library's log is for programs; here errors and findings are printed anyway.
    logging.getLogger("smart_async").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows ? and no traceback


def _usage(error: Any, *, as_json: bool) -> int:
    # Some versions of Typer pass on in whose words a value was refused.
    message = " ".join(str(error.format_message()).split()).replace("Value error, ", "")
    where = error.ctx.command_path if getattr(error, "ctx", None) else "smart-async"
    advice = f"See: {where} --help"
    members = {"class": "UsageError", "message": message, "endpoint": None, "advice": advice}
    report_error(members, f"{message} {advice}", as_json=as_json)
    return WRONG_INPUT


def _interrupted(*, as_json: bool) -> int:
    if as_json:
        message = "Interrupted."
        members = {"class": "Interrupted", "message": message, "endpoint": None, "advice": None}
        report_error(members, message, as_json=True)
    else:
        note("\nStopped.")
    return INTERRUPTED
