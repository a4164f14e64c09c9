"""
Make mutants: copies of a module that differ in one small thing, by the operators of mutmut.

mutmut's own runner reaches functions alone, and none that is decorated. A policy is often a constant of the
module (a pattern, a table of what may be repeated) or a property, so its operators are applied to the whole
text here. One operator is added: a check taken out. What people read (messages, advice) is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import libcst as cst

_UNTOUCHED_CALLS = ("isinstance", "len", "cast", "TypeVar", "ParamSpec", "NewType")
_UNTOUCHED_NAMES = ("__all__",)
_NOT_COVERED = "pragma: no cover"
_WORDS = ("advice", "what")
"""Arguments whose texts only ever stand in messages, also those without a blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """
    A module with one change.

    Args:
        file: The module's file, relative to the repository.
        where: The function or class that it is in, or `module`.
        lines: The numbers of the lines of the statement that was changed.
        was: The lines that were changed, joined.
        now: What became of them.
        source: The whole text.
        once: Whether its function runs once and is remembered: then only the first of the tests that need it
            was seen to run its lines.
    """

    file: str
    where: str
    lines: tuple[int, ...]
    was: str
    now: str
    source: str
    once: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the others, also after lines moved."""
        return self.file, self.where, self.was, self.now


def make_mutants(file: str, text: str) -> list[Mutant]:
    """
    Return the mutants of a module.

    Args:
        file: The module's file, relative to the repository.
        text: What is in it.
    """
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider

    wrapper = MetadataWrapper(cst.parse_module(text))
    positions = wrapper.resolve(PositionProvider)
    lines = text.splitlines()
    untested = _untested(wrapper.module, positions, lines)
    written = {id(statement): wrapper.module.code_for_node(statement) for statement in wrapper.module.body}
    remembered = _remembered(wrapper.module)
    found: dict[tuple[str, str, str, str], Mutant] = {}
    for node, mutated, path, whole, top in _changes(wrapper.module):
        first, last = positions[whole].start.line, positions[whole].end.line
        if not untested.isdisjoint(range(first, last + 1)):
            continue
        # The text of the other statements stays as it is; to write them out anew each time takes minutes.
        part = top.deep_replace(node, mutated) if top is not node else mutated
        source = text.replace(written[id(top)], wrapper.module.code_for_node(part), 1)
        if not _compiles(source):
            continue
        was, now = _difference(lines, source.splitlines())
        start = positions[node].start.line if node in positions else first
        mutant = Mutant(
            file=file,
            where=".".join(path) or "module",
            # A statement over several lines counts as run when any of them was: tracers differ in which.
            lines=tuple(range(min(first, start), last + 1)),
            was=was,
            now=now,
            source=source,
            once=any(path[:length] in remembered for length in range(1, len(path) + 1)),
        )
        if was != now:
            found.setdefault(mutant.key, mutant)
    return list(found.values())


def _remembered(module: cst.Module) -> set[tuple[str, ...]]:
    """Return the names of the functions whose outcome is kept, each with those around it."""
    import libcst as cst

    found: set[tuple[str, ...]] = set()

    def visit(node: cst.CSTNode, path: tuple[str, ...]) -> None:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            path = (*path, node.name.value)
            if any("cache" in _text(decorator.decorator) for decorator in node.decorators):
                found.add(path)
        for child in node.children:
            visit(child, path)

    visit(module, ())
    return found


def _untested(module: cst.Module, positions: Mapping[cst.CSTNode, Any], lines: Sequence[str]) -> set[int]:
    """Return the lines that no test has to run; one that says so at the head of a block means all of it."""
    import libcst as cst

    found: set[int] = set()

    def visit(node: cst.CSTNode) -> None:
        comment = node.header.comment if isinstance(node, cst.IndentedBlock) else None
        if comment is not None and _NOT_COVERED in comment.value:
            found.update(range(positions[node].start.line, positions[node].end.line + 1))
        for child in node.children:
            visit(child)

    visit(module)
    return found | {number for number, line in enumerate(lines, 1) if _NOT_COVERED in line}


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _difference(old: Sequence[str], new: Sequence[str]) -> tuple[str, str]:
    """Return the lines that differ, between those at the start and at the end that do not."""
    start = _common(old, new)
    old, new = old[start:], new[start:]
    end = _common(old[::-1], new[::-1])
    was, now = (" ".join(line.strip() for line in part[: len(part) - end]) for part in (old, new))
    return was, now


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _changes(
    module: cst.Module,
) -> Iterator[tuple[cst.CSTNode, cst.CSTNode, tuple[str, ...], cst.CSTNode, cst.CSTNode]]:
    """Yield each node, what takes its place, the names around it, its statement, and that of the module."""
    import libcst as cst
    from mutmut.mutation.mutators import mutation_operators

    operators = [*mutation_operators, (cst.If, _without_check)]

    def visit(
        node: cst.CSTNode, path: tuple[str, ...], whole: cst.CSTNode
    ) -> Iterator[tuple[cst.CSTNode, cst.CSTNode, tuple[str, ...], cst.CSTNode]]:
        if _untouched(node):
            return
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            path = (*path, node.name.value)
        if isinstance(node, cst.SimpleStatementLine):
            whole = node
        if isinstance(node, cst.If | cst.While | cst.For | cst.With | cst.Try | cst.Match):
            whole = getattr(node, "test", None) or getattr(node, "iter", None) or node
        for kind, operator in operators:
            if isinstance(node, kind):
                for mutated in operator(node):
                    if not _for_people(node, mutated) and not _idle(node, mutated):
                        yield node, mutated, path, whole
        for child in node.children:
            yield from visit(child, path, whole)

    for top in module.body:
        for change in visit(top, (), top):
            yield *change, top


def _without_check(node: cst.If) -> Iterable[cst.If]:
    import libcst as cst

    yield node.with_changes(test=cst.Name("False"))


def _untouched(node: cst.CSTNode) -> bool:
    """Return whether *node* is for the type checker, or the tools, and does nothing."""
    import libcst as cst

    if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom | cst.Assert):
        return True
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString):
        return True  # a docstring
    if isinstance(node, cst.If) and isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING":
        return True
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in _UNTOUCHED_CALLS:
        return True
    if isinstance(node, cst.Arg) and _is_word(node):
        return True
    if isinstance(node, cst.AnnAssign) and "TypeAlias" in _text(node.annotation.annotation):
        return True
    if not isinstance(node, cst.Assign):
        return False
    return _text(node.targets[0].target) in _UNTOUCHED_NAMES or _text(node.value).startswith("TypeVar(")


def _for_people(node: cst.CSTNode, mutated: cst.CSTNode) -> bool:
    """Return whether nothing but a text for people was changed: a string with a blank in it."""
    import libcst as cst

    if isinstance(node, cst.BaseString):
        return _prose(node)
    if not isinstance(node, cst.Call) or not isinstance(mutated, cst.Call):
        return False
    kept = {id(argument) for argument in mutated.args}
    gone = [argument for argument in node.args if id(argument) not in kept]
    return any(_prose(argument.value) or _is_word(argument) for argument in gone)


def _is_word(argument: cst.Arg) -> bool:
    return argument.keyword is not None and argument.keyword.value in _WORDS


def _idle(node: cst.CSTNode, mutated: cst.CSTNode) -> bool:
    """
    Return whether a mutant of a call says nothing about the tests.

    So it is where a positional argument is gone from in front of others, for such a call fails anyway; and
    where False became None, which means the same to every `if` (it also becomes True).
    """
    import libcst as cst

    if not isinstance(node, cst.Call) or not isinstance(mutated, cst.Call):
        return False
    kept = {id(argument) for argument in mutated.args}
    gone = [argument for argument in node.args if id(argument) not in kept]
    if len(node.args) == len(mutated.args):
        return any(
            isinstance(argument.value, cst.Name) and argument.value.value == "False" for argument in gone
        )
    positional = [argument for argument in node.args if argument.keyword is None]
    return any(argument in positional[:-1] for argument in gone)


def _prose(node: cst.CSTNode) -> bool:
    import libcst as cst

    if isinstance(node, cst.ConcatenatedString):
        return _prose(node.left) or _prose(node.right)
    if isinstance(node, cst.FormattedString):
        return any(
            isinstance(part, cst.FormattedStringText) and " " in part.value.strip() for part in node.parts
        )
    if isinstance(node, cst.IfExp):
        return _prose(node.body) or _prose(node.orelse)
    return isinstance(node, cst.SimpleString) and " " in node.raw_value.strip() and not node.prefix


def _text(node: cst.CSTNode) -> str:
    import libcst as cst

    return cst.Module([]).code_for_node(node)
