"""The report: complete in itself, safe, readable without eyes, and drawn for every kind of run."""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import RunError
from groundup.report import write_report
from groundup.report.charts import Chart, Series
from groundup.report.figure import chart_figure
from groundup.report.page import esc, figure
from groundup.report.points import drawable, smooth, thin
from groundup.runs import run_lock
from groundup.runs.record import read_run

MakeRun = Callable[..., Path]
HOSTILE = (
    "</pre><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>&\"'\x00\u202e"
)
VOID = {"meta", "circle", "line", "path", "br"}


class Outline(HTMLParser):
    """Collects tags, attributes, headings and text, and checks that every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def read(run: Path) -> tuple[str, Outline]:
    page = write_report(run).read_text(encoding="utf-8")
    return page, Outline(page)


def lines(losses: list[Any]) -> list[dict[str, Any]]:
    return [
        {"step": i + 1, "tokens": i + 1, "seconds": i / 10, "train_loss": y, "lr": 1e-3}
        for i, y in enumerate(losses)
    ]


def test_a_finished_run_shows_what_was_asked(make_run: MakeRun) -> None:
    page, outline = read(make_run())
    for words in (
        "shakespeare-nano",
        "finished",
        "step 2,000 of 2,000",
        "exactly 3,713,536",
        "guessing: ln(2,048) = 7.625",
        "2.7 passes over the text",
        "3 min 56 s",
        "1.452",
        "2,102,272",
        "411.7 MiB",
        "1.05",
        "groundup train shakespeare --set 'a b'",
        "no GPU is present",
        "An Ordinary CPU @ 2.4 GHz",
        "JULIET:",
    ):
        assert words in outline.text, words
    assert page.count("<figure") == 4


def test_nothing_is_loaded_from_outside(make_run: MakeRun) -> None:
    page, outline = read(make_run())
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page, re.IGNORECASE)
    assert not {"script", "link", "img", "iframe", "base", "object"} & {t for t, _ in outline.tags}
    for _, attributes in outline.tags:
        assert not {"src", "srcset", "xlink:href"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")


def assert_only_text(page: str) -> None:
    """Check that of hostile words none became a tag, nor a NUL was left."""
    assert "<script" not in page
    assert "<img" not in page
    assert "\x00" not in page


def test_hostile_samples_and_names_stay_text(make_run: MakeRun) -> None:
    name = "<img src=x onerror=alert(1)> & co"
    samples = [{"step": i, "prompt": HOSTILE, "text": HOSTILE + "\ud800"} for i in range(3)]
    run = make_run(name, samples=samples, data={"sources": [HOSTILE]}, request={"command": HOSTILE})
    page, outline = read(run)
    assert_only_text(page)
    assert name in outline.text
    assert "</pre><script>alert(1)</script>" in outline.text
    assert outline.count("script") == outline.count("img") == 0
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)


@pytest.mark.parametrize("finished", [True, False])
def test_headings_never_skip_a_level_and_ids_are_unique(make_run: MakeRun, finished: bool) -> None:
    _, outline = read(make_run(finished=finished))
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        for reference in (attributes.get("aria-labelledby") or "").split():
            assert reference in ids
        if (attributes.get("href") or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in ids


def test_every_chart_has_a_title_a_description_and_a_table(make_run: MakeRun) -> None:
    page, _ = read(make_run())
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) == 4
    for shown in figures:
        assert re.search(
            r'<svg class="plot" role="img"[^>]*><title id="[^"]+">[^<]+</title>', shown
        )
        assert len(re.findall(r"<desc[^>]*>([^<]+)</desc>", shown)[0]) > 40
        assert re.search(r"<details><summary>.*<table.*</table>", shown, re.DOTALL)
        assert shown.startswith('<figure tabindex="0"')
    assert page.count('<svg class="plot"') == 4


def test_the_table_of_a_chart_holds_the_values(make_run: MakeRun) -> None:
    rows = [{"step": 0, "val_loss": 7.5}, *lines([6.25, 5.125]), {"step": 2, "val_loss": 5.5}]
    page, _ = read(make_run(steps=2, lines=rows, finished=False))
    table = re.findall(r"<tbody>.*?</tbody>", page, re.DOTALL)[0]
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table)
    assert cells == ["0", "–", "7.5", "1", "6.25", "–", "2", "5.125", "5.5"]


@pytest.mark.parametrize("steps", [1, 2, 25])
def test_short_runs(make_run: MakeRun, steps: int) -> None:
    _, outline = read(make_run(steps=steps))
    assert f"step {steps:,} of {steps:,}" in outline.text
    assert outline.count("figure") == 4


def test_a_run_without_metrics(make_run: MakeRun) -> None:
    _, outline = read(make_run(lines=[], samples=[], finished=False))
    assert "empty" in outline.text
    assert "No figures yet" in outline.text
    assert "No samples yet" in outline.text
    assert "3,713,536" in outline.text


def test_a_run_with_run_toml_alone(make_run: MakeRun) -> None:
    run = make_run()
    for path in run.glob("*.jsonl"):
        path.unlink()
    assert "empty" in read(run)[1].text


def test_an_interrupted_run_and_a_running_one(make_run: MakeRun) -> None:
    run = make_run(lines=lines([5.0, 4.0]), finished=False)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "train_lo')  # cut short by a crash
    _, outline = read(run)
    assert "interrupted" in outline.text
    assert "step 2 of 2,000" in outline.text
    assert outline.count("progress") == 1
    with run_lock(run / "lock"):
        assert "running" in read(run)[1].text
        told = write_report(run, state="interrupted").read_text(encoding="utf-8")
    assert "interrupted" in told
    assert "running" not in Outline(told).text


def test_a_run_that_was_lengthened_is_finished_no_longer(make_run: MakeRun) -> None:
    run = make_run()  # 2,000 steps, finished
    settings = (run / "run.toml").read_text()
    (run / "run.toml").write_text(settings.replace("steps = 2000", "steps = 3000"))
    record = read_run(run)
    assert (record.state, record.step, record.steps) == ("interrupted", 2000, 3000)
    assert record.last_event["event"] == "finished"
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2001, "seconds": 999.5, "train_loss": 2.5}\n')
    record = read_run(run)
    assert record.last("seconds") == 999.5
    assert "Final validation loss" not in read(run)[1].text


@pytest.mark.parametrize("finished", [True, False])
def test_it_says_what_the_curves_mean(make_run: MakeRun, finished: bool) -> None:
    text = read(make_run(finished=finished))[1].text
    words = "till falling: the validation loss fell by"
    assert ("S" + words if finished else "Up to step 2,000: s" + words) in text


def test_a_sample_says_which_words_are_its_prompt(make_run: MakeRun) -> None:
    page, outline = read(make_run(samples=[{"step": 1, "prompt": "The <old>", "text": " king"}]))
    assert "<b>The &lt;old&gt;</b> king" in page
    assert "Bold: the prompt." in outline.text
    assert "Bold: the prompt." not in read(make_run("b"))[1].text


def test_losses_that_are_no_numbers_leave_gaps_and_are_said(make_run: MakeRun) -> None:
    losses = [5.0, 4.0, "nan", "inf", math.nan, 3.0, None, 1e300]
    page, outline = read(make_run(lines=lines(losses), finished=False, steps=8))
    assert "not a finite number in 4 of its lines, first at step 3" in outline.text
    paths = re.findall(r'<svg class="curves".*?<path class="[^"]*" d="([^"]*)"', page)
    assert paths
    assert not any("nan" in path or "inf" in path for path in paths)
    assert paths[0].count("M") == 2


def test_a_run_of_nothing_but_nan(make_run: MakeRun) -> None:
    rows = [row | {"val_loss": "nan"} for row in lines(["nan"] * 30)]
    _, outline = read(make_run(lines=rows))
    assert "No figures yet" in outline.text


def test_200_000_lines_make_a_small_page_that_keeps_the_spike(make_run: MakeRun) -> None:
    losses = [3.0 + i % 7 / 10 for i in range(200_000)]
    losses[123_456] = 42.0
    samples = [{"step": i, "prompt": "", "text": "&" * 100_000} for i in range(60)]
    run = make_run(lines=lines(losses), samples=samples, steps=200_000)
    begun = time.perf_counter()
    path = write_report(run)
    assert time.perf_counter() - begun < 30
    assert path.stat().st_size < 1_500_000
    assert "97,000 more characters" in path.read_text()
    assert max(y for _, y in thin(list(enumerate(losses)))) == 42.0


def test_a_resumed_run_shows_the_later_of_two_lines_of_a_step(make_run: MakeRun) -> None:
    rows = [*lines([5.0, 4.0, 9.0]), *lines([5.0, 4.0, 3.5])[2:]]
    page, _ = read(make_run(lines=rows, finished=False, steps=3))
    assert ">3.5<" in page
    assert ">9<" not in page


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path)
    (tmp_path / "run.toml").write_text("format = 1\n")
    with pytest.raises(RunError, match="model is missing"):
        write_report(tmp_path)


def test_an_untied_model_counts_its_head(make_run: MakeRun) -> None:
    _, outline = read(make_run(model={"tie_embeddings": False}))
    assert "exactly 4,237,824" in outline.text
    assert "untied" in outline.text


def test_thinning_is_bounded_and_keeps_order_and_gaps() -> None:
    points = [(float(i), math.nan if i % 2000 < 1000 else float(i % 13)) for i in range(50_000)]
    kept = thin(points, 100)
    assert len(kept) <= 200
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    assert any(math.isnan(y) for _, y in kept)
    assert thin(points[:200], 100) == points[:200]


def test_smoothing_keeps_a_constant_and_follows_a_line() -> None:
    assert all(y == pytest.approx(2.5) for _, y in smooth([(float(i), 2.5) for i in range(500)]))
    line = [(float(i), float(i)) for i in range(500)]
    assert all(y == pytest.approx(x) for x, y in smooth(line)[:490])
    gaps = smooth([(0.0, 1.0), (1.0, math.nan), (2.0, 3.0)])
    assert [drawable(p) for p in gaps] == [True, False, True]
    assert gaps[2][1] == 3.0


@pytest.mark.parametrize(
    "values",
    [[0.0], [5.0, 5.0], [-3.0, 7.0], [1e-12, 2e-12], [1e-3, 1e4], [1.0, 1e99], [0.0, 1e-30]],
)
def test_axes_hold_any_values(values: list[float]) -> None:
    points = [(float(i), y) for i, y in enumerate(values)]
    chart = chart_figure(Chart(title="Any", series=[Series(name="x", points=points)]))
    heights = [float(y) for y in re.findall(r'cy="([-\d.]+)%"', chart)]
    assert len(heights) == len(values)
    assert all(-0.01 <= y <= 100.01 for y in heights)
    assert 2 <= chart.count('class="y"') <= 14


def test_a_wide_range_is_drawn_on_a_logarithmic_axis() -> None:
    series = [Series(name="x", points=[(0.0, 1.0), (1.0, 1e4)])]
    chart = chart_figure(Chart(title="Wide", series=series, y_label="norm"))
    assert "norm, logarithmic" in chart


def test_numbers_as_people_write_them() -> None:
    assert [figure(v) for v in (None, math.nan, 12345.6, 3.14159, 2e-5)] == [
        "–", "not a number", "12,346", "3.142", "2.00e-05",
    ]  # fmt: skip
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
    assert html.unescape(esc(HOSTILE)) == shown
