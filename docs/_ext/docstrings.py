"""From docstrings as this repository writes them to what Sphinx reads."""

import re
from typing import Any

import smart_async

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")
_GLUED = re.compile(r"(?P<code>`[^`\n]+`)(?=[\w])")  # `Finding`s: what follows code at once is lost on Sphinx

_PROPERTIES: dict[str, list[str]] = {}


def restructured(lines: list[str]) -> list[str]:
    """Return the lines of a docstring with Markdown's code fences and our `Spec:` line in Sphinx's terms."""
    done: list[str] = []
    fence: str | None = None
    in_spec = False
    for line in lines:
        match = _FENCE.match(line)
        if match and fence is None:
            fence = match["indent"]
            done += [f"{fence}.. code-block:: {match['language'] or 'text'}", ""]
        elif match:
            fence = None
            done.append("")
        elif fence is not None:
            done.append(f"   {line}" if line.strip() else "")
        elif line.startswith("Spec: "):
            in_spec = True
            done += ["", f":Spec: {line.removeprefix('Spec: ')}"]
        elif in_spec and line.strip():
            done.append(f"    {line.strip()}")
        else:
            in_spec = False
            done.append(_GLUED.sub(r"\g<code>\\ ", line))
    return done


def _before(_app: Any, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)
    if what in ("property", "attribute"):
        _PROPERTIES[name] = list(lines)


def _after(_app: Any, _what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    # napoleon takes what stands before a colon for the property's type. Ours are in the annotations.
    if name in _PROPERTIES and any(line.startswith(":type:") for line in lines):
        lines[:] = _PROPERTIES[name]


def _signature(_app: Any, _what: str, _name: str, obj: Any, *_: Any) -> tuple[str, None] | None:
    # Nobody makes a Protocol, so how it would be called is no news.
    return ("", None) if getattr(obj, "_is_protocol", False) else None


def _resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    """
    Link names to where they are documented: types stand in signatures under the module that defines them.

    What is documented nowhere here (Python's own types, those of other libraries) stays plain text, since
    looking it up would need the network.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    short = target.rpartition(".")[2]
    domain = env.get_domain("py")
    if short in smart_async.__all__ and (target == short or target.startswith("smart_async.")):
        home = f"smart_async.{short}"
        if home in domain.objects and target != home:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)
    if target.startswith("smart_async."):
        for home in (name for name in domain.objects if name.rpartition(".")[2] == short):
            if home != target:
                return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)
    return content


def setup(app: Any) -> dict[str, Any]:
    """Let Sphinx call us, before and after napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _before, priority=400)
    app.connect("autodoc-process-docstring", _after, priority=600)
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
