"""The directives of these pages: `sequence`, and those that are made from the code."""

from collections.abc import Callable, Iterable
from typing import Any

import reference
import sequence
from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class SequenceDirective(SphinxDirective):
    """A sequence diagram; the argument is what it shows, in one sentence."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the drawing, and its steps in words."""
        try:
            html = sequence.figure("\n".join(self.content), self.arguments[0])
        except ValueError as exc:
            raise self.error(str(exc)) from exc
        return [nodes.raw("", html, format="html")]


class ApiDirective(SphinxDirective):
    """The documentation of a module's names: those that are the content, or all."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse that documentation where the directive stands."""
        names: Iterable[str] = filter(None, map(str.strip, self.content))
        return self.parse_text_to_nodes(reference.api_page(self.arguments[0], names))


def _standing_for(make: Callable[[], str]) -> type[SphinxDirective]:
    class Made(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            return self.parse_text_to_nodes(make(), allow_section_headings=True)

    return Made


def setup(app: Any) -> dict[str, Any]:
    """Let Sphinx call us."""
    app.add_directive("sequence", SequenceDirective)
    app.add_directive("api", ApiDirective)
    app.add_directive("cli", _standing_for(reference.cli_page))
    app.add_directive("error-tree", _standing_for(reference.error_tree))
    app.add_directive("errors", _standing_for(reference.errors_page))
    app.add_directive("limits", _standing_for(reference.limits_page))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
