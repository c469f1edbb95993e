"""A confusion matrix as a table with shaded cells: its numbers need no legend and no pointing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from groundup.report.page import esc

UPRIGHT = 6
"""With more columns than this, their names stand upright."""
LONGEST_NAME = 28
STRONGEST = 55
"""Percent of colour in a full cell: the ink stays readable on it, light and dark."""

HEAT_STYLE = f"""
.heat {{ width:auto; border-collapse:separate; border-spacing:2px; }}
.heat td {{ text-align:center; min-width:2.2rem; padding:.3rem .35rem; border:0; border-radius:3px;
  background:color-mix(in srgb, var(--hue) calc(var(--share) * {STRONGEST}%), var(--ground)); }}
.heat td.same {{ --hue:var(--c0); outline:1px solid var(--c0); font-weight:650; }}
.heat td.other {{ --hue:var(--c1); }}
.heat td.zero {{ color:var(--soft); background:none; }}
.heat th {{ border:0; padding:.2rem .6rem .2rem 0; max-width:11rem; overflow:hidden;
  text-overflow:ellipsis; }}
.heat thead th {{ text-align:center; padding:.2rem .3rem; }}
.heat thead th:first-child {{ text-align:left; }}
.heat .upright {{ writing-mode:vertical-rl; transform:rotate(180deg); text-align:left;
  white-space:nowrap; }}
@media (max-width:30rem) {{ .heat th {{ max-width:6.5rem; }}
  .heat td {{ min-width:1.9rem; padding:.3rem .2rem; }} }}
"""


def heat_map(names: Sequence[str], counts: Sequence[Sequence[int]], caption: str) -> str:
    """Return a table of (k, k) counts, a row for each true class, its cells shaded by their share.

    Cells on the diagonal have one colour, the others a second one, as the square root of their
    share of the row, so that few mistakes are seen as well.
    """
    inside = '<span class="upright">{}</span>' if len(names) > UPRIGHT else "{}"
    head = "".join(f'<th scope="col">{inside.format(_name(name))}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{_name(name)}</th>{"".join(_cells(i, row))}</tr>'
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
    )
    return (
        f'<p class="caption">{esc(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {esc(caption)}">'
        f'<table class="heat"><thead><tr><th scope="col">true ↓<br>taken for →</th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _cells(i: int, row: Sequence[int]) -> Iterator[str]:
    whole = sum(row)
    for j, count in enumerate(row):
        if not count:
            yield '<td class="zero">0</td>'
            continue
        share = count / whole
        shade = share if i == j else math.sqrt(share)
        css = "same" if i == j else "other"
        yield f'<td class="{css}" style="--share:{shade:.3f}">{count:,}</td>'


def _name(name: str) -> str:
    """Return a name cut to what a table has room for; the whole one appears when pointed at."""
    if len(name) <= LONGEST_NAME:
        return f"<bdi>{esc(name)}</bdi>"
    return f'<bdi title="{esc(name)}">{esc(name[: LONGEST_NAME - 1])}…</bdi>'
