"""What assistants learn, and from what."""

from __future__ import annotations

from benchmarks.assistant import FORGETTING, WAYS
from benchmarks.tables.beside import speed_rows
from benchmarks.tables.finetuning import short
from benchmarks.tables.parts import machine
from benchmarks.turns import Record


def answers(result: Record) -> str:
    """Return how a model answers as it is, behind examples, and after each way to learn."""
    setting, shown = result["setting"], result["shown"]
    kinds = list(next(iter(shown.values()))["kinds"])
    columns = [("as it is" if name == "0-shot" else name, one) for name, one in shown.items()]
    for way, seeds in result["rows"].items():
        columns += [(f"{way}, seed {one['seed']}", _taught(one)) for one in seeds]
    lines = [
        "### Short questions, answered",
        "",
        f"{short(result)} SmolLM2-135M-Instruct on the test of the named records `tasks`: exact "
        "match, greedy replies; examples are of the question's own kind, as turns of the dialogue "
        f"or as lines of the message that asks. {setting['epochs']:g} passes over the questions by "
        f"`groundup finetune instruct`{_mixed(setting['mix'])}.",
        "",
        "| | exact match | ended by themselves | bits a byte of general text | "
        + " | ".join(kinds)
        + " |",
        "|---|---|---|---|" + "---|" * len(kinds),
    ]
    for name, one in columns:
        # A trial asks few questions, and none of some kinds.
        of_kinds = [f"{one['kinds'][kind]:.0%}" if kind in one["kinds"] else "" for kind in kinds]
        lines.append(
            f"| {name} | {_share(one['exact'], one['exact_interval'])} | {one['ended']:.1%} | "
            f"{one.get('bits', '')} | {' | '.join(of_kinds)} |"
        )
    for way, found in result["ways"].items():
        reached = "reached" if found["exact"] >= setting["bar"] else "missed"
        kept = "held" if found["forgotten"] <= FORGETTING else "missed"
        seconds = [one["seconds"] for one in result["rows"][way]]
        lines += [
            "",
            f"With {way} {_share(found['exact'], found['interval'])} in the mean: the bar of "
            f"{setting['bar']:.0%} is {reached}; a byte of general text costs "
            f"{found['forgotten']:+.1%}: at most {FORGETTING:.0%} is {kept}. Learning took at most "
            f"{max(seconds) / 60:.1f} minutes, before judging.",
        ]
    return "\n".join(lines)


def _mixed(text: str | None) -> str:
    return f", beside other rows of `{text}` in each" if text else ""


def _taught(one: Record) -> Record:
    """Return the figures of an assistant as those of a model that was shown examples."""
    before, after = one["before"], one["after"]
    replies = after["replies"]
    return {
        "exact": replies["exact"],
        "exact_interval": replies["exact_interval"],
        "kinds": {kind["kind"]: kind["exact"] for kind in replies["kinds"]},
        "ended": after["ended"]["share"],
        "bits": f"{before['bits_per_byte']:.3f} to {after['bits_per_byte']:.3f}",
    }


def reward(result: Record) -> str:
    """Return what each way to learn reaches, seed by seed."""
    setting, rows = result["setting"], result["rows"]
    asked = setting["questions"]
    lines = [
        "### A reward beside answers",
        "",
        f"{short(result)} The model is nano, pretrained for {setting['pretrain_minutes']:g} "
        f"minutes on `tasks`. It learns from {asked['first']:,} answers of each kind at first, and "
        f"goes on with {asked['second']:,} other questions of the kind {setting['kind']}; "
        f"{asked['tested']:,} of the test are asked; "
        f"{setting['minutes']:g} minutes of each way. Exact match, with its 95% interval: for a "
        "seed that of its questions, else that of the mean of the seeds.",
        "",
        f"| seed | {' | '.join(WAYS.values())} |",
        "|---|" + "---|" * len(WAYS),
    ]
    for row in rows:
        cells = [_share(row[way]["exact"], row[way]["interval"]) for way in WAYS]
        lines.append(f"| {row['seed']} | {' | '.join(cells)} |")
    means = [_share(result["ways"][way]["exact"], result["ways"][way]["interval"]) for way in WAYS]
    lines += [f"| mean | {' | '.join(means)} |", ""]
    for way, words in (("answers", "before"), ("more-answers", "going on from answers")):
        found = result["gains"][way]
        lines.append(f"From a reward, less {words}: {_share(found['mean'], found['interval'])}.  ")
    return "\n".join(lines).rstrip()


def speed(result: Record) -> str:
    """Return speed and memory of training beside trl, transformers and peft."""
    padding = ", ".join(
        f"{row['title']} {row['padding']:.1%} and {row['start']['peer_padding']:.1%}"
        for row in result["rows"]
    )
    of_trl = (
        f"trl {result['setting']['trl']} has a loss of its own, measured in fp32, too"
        if result["setting"]["trl"]
        else "trl was not there, so that its own loss is not measured"
    )
    return "\n".join(
        [
            "### Training an assistant",
            "",
            f"{machine(result)} SmolLM2-135M-Instruct on dialogues of 64 to 512 tokens, "
            f"{result['setting']['steps']} steps a turn after those with most tokens; tokens "
            "without padding, and losses over the same dialogues in each step, compared in fp32. "
            f"{of_trl[0].upper()}{of_trl[1:]}; ratios are to the better of theirs. Padding, ours "
            f"and theirs: {padding}.",
            "",
            *speed_rows(result),
        ]
    )


def memory(result: Record) -> str:
    """Return the planned memory of assistants beside what they took."""
    lines = [
        "### Memory of an assistant, planned and measured",
        "",
        f"{short(result)} SmolLM2-135M-Instruct on dialogues of people, a row of "
        f"{result['rows'][0]['row']} tokens a batch, three steps; the peak of the whole process, "
        "with its judging.",
        "",
        "| what learns | numbers | planned, MiB | measured, MiB | difference | at most |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        planned, peak, most = row["planned_mib"], row["peak_memory_mib"], row["most_mib"]
        numbers = row["numbers"] + (", as it chooses" if row["precision"] == "auto" else "")
        kept = "held" if peak <= most else "missed"
        lines.append(
            f"| {row['title']} | {numbers} | {planned:,.0f} | {peak:,.0f} | "
            f"{planned / peak - 1:+.0%} | {most:,.0f}: {kept} |"
        )
    return "\n".join(lines)


def _share(share: float, interval: tuple[float, float] | None) -> str:
    between = " ({:.1%} to {:.1%})".format(*interval) if interval else ""
    return f"{share:.1%}{between}"
