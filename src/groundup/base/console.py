"""The consoles that lines, tables and bars are printed on."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from groundup.base.output import harmless, unscreened


class HarmlessConsole(Console):
    """A rich console that writes no control characters but its own, to a terminal or elsewhere."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        file = unscreened(sys.stderr if stderr else sys.stdout)
        super().__init__(file=file, highlight=False, quiet=quiet)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the parts of what is shown; those that are no text move the cursor."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(harmless(text), style)
