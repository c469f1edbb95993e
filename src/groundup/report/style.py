"""The looks of pages and charts: on a phone, a desktop and paper, light and dark.

The colours of curves are Okabe and Ito's (2008), told apart by colour-blind eyes, with their
lightness adapted to the ground they lie on.
"""

from collections.abc import Mapping

LIGHT = {
    "ground": "#ffffff",
    "panel": "#f5f6f8",
    "ink": "#191c20",
    "soft": "#59616d",
    "edge": "#d8dce2",
    "grid": "#e6e9ed",
    "accent": "#0a5a96",
    "fill": "#0a5a96",
    "track": "#e2e6eb",
    "alert": "#8f3000",
    "alert-ground": "#fff1e6",
    "c0": "#0072b2",
    "c1": "#c84e00",
    "c2": "#00805c",
    "c3": "#a4427f",
    "c4": "#8a6a00",
    "c5": "#44494f",
}
DARK = {
    "ground": "#121519",
    "panel": "#1b1f25",
    "ink": "#e8ebef",
    "soft": "#a3acb8",
    "edge": "#353c46",
    "grid": "#272d35",
    "accent": "#7cc4f5",
    "fill": "#4a9fd8",
    "track": "#2a313a",
    "alert": "#ffb783",
    "alert-ground": "#35200f",
    "c0": "#56b4e9",
    "c1": "#ff9142",
    "c2": "#2fcb9d",
    "c3": "#e59bc8",
    "c4": "#efc648",
    "c5": "#c3c9d1",
}


FONTS = (
    "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', 'Liberation Sans', Helvetica, "
    "Arial, sans-serif"
)
"""Of drawings: for a machine that knows no font of the system, those that most have."""


def _tokens(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}:{colour};" for name, colour in colours.items())


COLOURS = f"""
:root {{ {_tokens(LIGHT)} color-scheme:light dark; }}
@media screen and (prefers-color-scheme:dark) {{ :root {{ {_tokens(DARK)} }} }}
"""

MARKS = """
.c0 { color:var(--c0); } .c1 { color:var(--c1); } .c2 { color:var(--c2); }
.c3 { color:var(--c3); } .c4 { color:var(--c4); } .c5 { color:var(--c5); }
.plot path { fill:none; stroke:currentColor; stroke-width:2; stroke-linejoin:round;
  stroke-linecap:round; vector-effect:non-scaling-stroke; }
.plot path.d1 { stroke-dasharray:8 5; } .plot path.d2 { stroke-dasharray:1 5; }
.plot path.d3 { stroke-dasharray:12 4 2 4; }
.plot path.faint { stroke-width:1.2; opacity:.35; }
.plot path.faint.sample { stroke-width:6; stroke-linecap:butt; }
.plot path.reference { stroke-width:1.4; }
.plot path.band { fill:currentColor; stroke:none; opacity:.2; }
.plot circle, .plot polygon { fill:currentColor; stroke:var(--ground); stroke-width:1; }
.plot .interval { stroke:currentColor; stroke-width:1.5; }
.plot .hollow { fill:var(--ground); stroke:currentColor; stroke-width:2; }
.plot .zero { stroke:var(--soft); stroke-width:1.5; }
.plot .name { fill:var(--ink); font-size:.82rem; }
.plot .value { fill:var(--soft); font-size:.82rem; text-anchor:end; }
.plot .name, .plot .value { paint-order:stroke; stroke:var(--ground); stroke-width:4px; }
.plot .cell { fill:currentColor; }
.plot .in-cell { fill:var(--ink); font-size:.75rem; text-anchor:middle; }
.plot .on-dark { fill:var(--ground); }
.grid line { stroke:var(--grid); }
.grid text { fill:var(--soft); font-size:.75rem; font-variant-numeric:tabular-nums; }
.grid .y { text-anchor:end; } .grid .x { text-anchor:middle; }
"""

DRAWING_STYLE = f"""{COLOURS}{MARKS}
text {{ fill:var(--ink); font:14px {FONTS}; }} .title {{ font-weight:600; }}
.soft {{ fill:var(--soft); }} .end {{ text-anchor:end; }}
.grid text, .plot .in-cell {{ font-size:12px; }} .plot .name, .plot .value {{ font-size:13px; }}
"""

STYLE = (
    f"""{COLOURS}{MARKS}"""
    + """
* { box-sizing:border-box; }
html { scroll-behavior:smooth; -webkit-text-size-adjust:100%; }
@media (prefers-reduced-motion:reduce) { html { scroll-behavior:auto; } }
body { margin:0; background:var(--ground); color:var(--ink);
  font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif; }
.wide { max-width:70rem; margin:0 auto; padding:0 1.1rem; }
a { color:var(--accent); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline:3px solid var(--accent); outline-offset:3px; border-radius:4px; }
.skip { position:absolute; left:-99rem; padding:.5rem 1rem; background:var(--ground); z-index:1; }
.skip:focus { left:.5rem; top:.5rem; }
h1, h2, h3 { line-height:1.2; text-wrap:balance; overflow-wrap:anywhere; }
h1 { font-size:clamp(1.7rem,5vw,2.5rem); margin:0 0 .3rem; letter-spacing:-.02em; }
h2 { font-size:1.35rem; margin:2.6rem 0 .9rem; letter-spacing:-.01em; }
h3 { font-size:1rem; margin:0 0 .4rem; }
p { margin:.4rem 0 .9rem; max-width:44rem; }
small, .caption, .axis, figcaption { color:var(--soft); font-size:.84rem; }
body > header { background:var(--panel); border-bottom:1px solid var(--edge);
  padding:1.8rem 0 .9rem; }
header p { margin:.2rem 0 .6rem; }
footer { margin-top:3rem; padding:1.2rem 0 2rem; border-top:1px solid var(--edge);
  color:var(--soft); font-size:.84rem; }
nav ul { display:flex; flex-wrap:wrap; gap:.1rem 1.1rem; margin:.5rem 0 0; padding:0;
  list-style:none; font-size:.92rem; }
nav a { display:inline-block; padding:.25rem 0; text-underline-offset:3px; }
.badge { display:inline-block; font-size:.8rem; font-weight:600; padding:.1rem .65rem;
  border:1.5px solid currentColor; border-radius:2rem; color:var(--soft); }
.badge.finished { color:var(--c2); } .badge.running { color:var(--c0); }
.badge.interrupted { color:var(--c1); }
progress { width:100%; max-width:30rem; height:.7rem; accent-color:var(--fill); display:block; }
.alert { background:var(--alert-ground); color:var(--alert); border-left:4px solid currentColor;
  padding:.6rem .9rem; border-radius:4px; max-width:none; }
.verdict { border-left:4px solid var(--fill); padding:.2rem .9rem; max-width:none; }
.none { color:var(--soft); font-style:italic; }
.cards { display:grid; grid-template-columns:repeat(auto-fill,minmax(9.6rem,1fr)); gap:.7rem;
  margin:0; }
.cards div { border:1px solid var(--edge); border-radius:10px; padding:.7rem .9rem; }
.cards dt { color:var(--soft); font-size:.84rem; }
.cards dd { margin:0; color:var(--soft); font-size:.8rem; line-height:1.35; }
.cards dt + dd { color:var(--ink); font-size:1.4rem; font-weight:650; letter-spacing:-.01em;
  font-variant-numeric:tabular-nums; }
.charts { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));
  gap:1rem; margin-bottom:1rem; }
.pair { display:grid; gap:0 2rem; } .pair > * { min-width:0; }
@media (min-width:62rem) { .pair { grid-template-columns:9fr 11fr; } }
.charts > .first { grid-column:1 / -1; }
figure { margin:0; padding:.9rem 1rem .5rem; border:1px solid var(--edge); border-radius:10px;
  min-width:0; break-inside:avoid; }
figcaption { margin:.3rem 0; }
.legend { display:flex; flex-wrap:wrap; gap:.1rem 1.1rem; margin:0 0 .3rem; padding:0;
  list-style:none; font-size:.84rem; }
.key { overflow:visible; margin-right:.5em; vertical-align:-.1em; }
.plot { display:block; overflow:visible; height:15rem; width:calc(100% - 4.1rem);
  margin:.5rem .6rem 1.7rem 3.5rem; }
.plot.named { width:calc(100% - 1.6rem); margin-left:.6rem; }
.first .plot { height:20rem; }
.curves { overflow:visible; }
.axis { margin:0; max-width:none; line-height:1.2; } .axis.x { text-align:right;
  margin-top:-.2rem; }
details { margin:.4rem 0; }
summary { cursor:pointer; padding:.25rem 0; color:var(--accent); font-size:.92rem;
  overflow-wrap:anywhere; }
.scroll { overflow-x:auto; margin:.2rem 0 1rem; }
table { border-collapse:collapse; width:100%; font-size:.9rem; font-variant-numeric:tabular-nums; }
.caption { margin:0 0 .2rem; }
th, td { text-align:right; padding:.34rem .9rem .34rem 0; border-top:1px solid var(--edge);
  white-space:nowrap; vertical-align:middle; }
th:first-child { text-align:left; font-weight:500; position:sticky; left:0;
  background:var(--ground); }
thead th { white-space:normal; vertical-align:bottom; color:var(--soft); font-size:.8rem;
  font-weight:600; border-top:0; }
.figures { width:auto; }
.words td, .words th { text-align:left; white-space:normal; overflow-wrap:break-word;
  vertical-align:top; }
.words td { min-width:7rem; }
.words th:first-child { min-width:7rem; max-width:11rem; font-family:ui-monospace,monospace;
  font-size:.84rem; }
.bar { display:block; min-width:4rem; height:.72rem; border-radius:3px; background:var(--track);
  overflow:hidden; }
.bar + .bar { margin-top:3px; }
.bar i { display:block; height:100%; background:var(--fill); border-radius:3px; }
.bar.planned i { background:repeating-linear-gradient(45deg,var(--soft) 0 3px,transparent 3px
  6px); }
.sample { white-space:pre-wrap; overflow-wrap:anywhere; margin:0 0 .8rem; padding:.9rem 1.1rem;
  background:var(--panel); border-left:4px solid var(--fill); border-radius:0 8px 8px 0;
  font:1rem/1.6 Georgia,"Iowan Old Style",serif; max-width:46rem; }
.sample b { color:var(--accent); }
.command { background:var(--panel); border:1px solid var(--edge); border-radius:8px;
  padding:.8rem 1rem; overflow-x:auto; font-size:.9rem; }
.stack, .stack ol { list-style:none; margin:0; padding:0; }
.stack { max-width:46rem; }
.stack li { position:relative; margin:0 0 1.15rem; padding:.5rem .9rem;
  border:1px solid var(--edge);
  border-radius:8px; }
.stack li::after { content:"↓" / ""; position:absolute; left:50%; bottom:-1.3rem; color:var(--soft);
  font-size:.9rem; line-height:1.3rem; }
.stack > li:last-child::after, .stack li li:last-child::after { content:none; }
.stack li li { margin-bottom:.4rem; } .stack li li::after { content:none; }
.stack .ends { border-style:dashed; background:none; }
.stack p { display:flex; flex-wrap:wrap; gap:0 1rem; margin:0; max-width:none; }
.stack p b { flex:1 1 auto; }
.stack small { display:block; }
.stack .blocks { background:var(--panel); border:2px solid var(--fill); }
.stack .blocks > ol { margin:.6rem 0 .2rem; }
.stack .shortcut { background:var(--ground); margin-left:1.7rem; }
.stack .shortcut::before { content:"+" / "plus"; position:absolute; left:-1.55rem; top:.7rem;
  bottom:.7rem;
  width:1.55rem; border:2px solid var(--c1); border-right:0; border-radius:10px 0 0 10px;
  color:var(--c1); font-weight:700; display:flex; align-items:flex-end; justify-content:center;
  line-height:1.2; }
@media (max-width:30rem) { table { font-size:.82rem; } .bar { min-width:2.4rem; }
  th, td { padding-right:.55rem; } }
@media print { .scroll { overflow:visible; } #repeat summary { display:block; }
  #repeat details::details-content { content-visibility:visible; block-size:auto; }
  body { font-size:10pt; } nav, .skip, summary { display:none; }
  .sample, figure, .cards div, .stack li { break-inside:avoid; } h2, h3 { break-after:avoid; }
  * { print-color-adjust:exact; -webkit-print-color-adjust:exact; } }
"""
)
