"""Help that shows many options in a few groups, each under a heading of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand


def grouped(groups: Mapping[str, str]) -> type[TyperCommand]:
    """Return a command whose help shows its parameters under headings.

    `groups` has the names of the parameters under each heading; what is in none of them stands
    under Arguments or Options.
    """
    headings = {name: heading for heading, names in groups.items() for name in names.split()}

    class Grouped(TyperCommand):
        """A command with options in groups."""

        def format_options(self, ctx: Any, formatter: Any) -> None:
            """Write the parameters, each under its heading."""
            shown: dict[str, list[tuple[str, str]]] = {h: [] for h in ("Arguments", *groups)}
            for parameter in self.get_params(ctx):
                rest = f"{parameter.param_type_name.capitalize()}s"
                if record := parameter.get_help_record(ctx):
                    shown.setdefault(headings.get(str(parameter.name), rest), []).append(record)
            for heading, records in shown.items():
                if records:
                    with formatter.section(heading):
                        formatter.write_dl(records)

    return Grouped
