"""What classifiers reach, and how fast they are trained."""

from __future__ import annotations

from benchmarks.tables.beside import speed_rows
from benchmarks.tables.parts import machine
from benchmarks.turns import Record

OTHERS = {"tf_idf": "TF-IDF", "tf_idf_whole": "TF-IDF, whole texts"}


def short(result: Record) -> str:
    facts = result["machine"]
    return f"Machine: {facts['cpu']}, {facts['cores']} cores."


def choices(result: Record) -> str:
    """Return the comparisons of the book's table."""
    rows = [
        "| what the head sees; what learns | test accuracy | macro F1 | the book's, one seed |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        between = ""
        if row["interval"]:
            low, high = row["interval"]
            between = f" ({low:.1%} to {min(1, high):.1%})"
        book = "" if row["book"] is None else f"{row['book']:.2f}%"
        rows.append(
            f"| {row['title']} | {row['accuracy']:.1%}{between} | {row['macro_f1']:.3f} | {book} |"
        )
    seeds = result["rows"][0]["seeds"]
    fewer = [row for row in result["rows"] if len(row["seeds"]) < len(seeds)]
    of_fewer = (
        f" (of {fewer[0]['title'].partition(':')[0]}: {len(fewer[0]['seeds'])})" if fewer else ""
    )
    return "\n".join(
        [
            "### Choices of a classifier",
            "",
            f"{short(result)} SMS messages, as much ham as spam, {seeds[0]['texts']['test']} to "
            f"test with; means of {len(seeds)} seeds{of_fewer} with the 95% interval of the mean. "
            f"The model is nano, pretrained for {result['setting']['pretrain_minutes']:g} minutes. "
            "The book's figures are of GPT-2 small on 300 messages of a larger collection.",
            "",
            *rows,
        ]
    )


def check(result: Record, title: str, rows: list[Record], parts: dict[str, str]) -> list[str]:
    """Return a table of the rows: each seed on each part of its test, beside TF-IDF."""
    lines = [
        f"| {title} | chosen on validation | minutes | test | accuracy | macro F1 | "
        "beside | accuracy | macro F1 | right alone: ours, theirs | p |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for part, words in parts.items():
            ours = row["parts"][part]["ours"]
            f1 = "{:.3f}" if part != "hard" else ""  # all of one class: it says nothing
            for other, name in OTHERS.items():
                if other not in row["parts"][part]:
                    continue
                theirs = row["parts"][part][other]
                paired = theirs["mcnemar"]
                lines.append(
                    f"| {row['seed']} | {row['chosen']}, {row['pooling']} | {row['minutes']:.1f} | "
                    f"{words}, {ours['examples']:,} | {ours['accuracy']:.1%} | "
                    f"{f1.format(ours['macro_f1'])} | {name} | "
                    f"{theirs['accuracy']:.1%} | {f1.format(theirs['macro_f1'])} | "
                    f"{paired['only_a']}, {paired['only_b']} | {paired['p_value']:.3f} |"
                )
    return lines


def sms(result: Record) -> str:
    """Return the check on SMS messages, and whether the bar was passed."""
    lines = ["### SMS: spam or not", "", short(result), ""]
    for model, title in (("smollm2", "SmolLM2-135M-Instruct"), ("nano", "nano")):
        mean, rows = result["macro_f1"][model], result["rows"][model]
        lines += [f"{title}: macro F1 {mean['ours']:.3f} in the mean, TF-IDF {mean['tf_idf']:.3f}."]
        if model == "smollm2":
            lowest = min(row["parts"]["test"]["ours"]["macro_f1"] for row in rows)
            bar = result["setting"]["bar"]
            words = "reached" if mean["ours"] >= bar else "missed"
            lines += [f"The bar of {bar} is {words}; the lowest of the splits has {lowest:.3f}."]
        lines += ["", *check(result, "split", rows, {"test": "a tenth"}), ""]
    return "\n".join(lines).rstrip()


def mail(result: Record) -> str:
    """Return the check on e-mails; of those that are all ham, macro F1 says nothing."""
    setting, mean = result["setting"], result["macro_f1"]
    lines = [
        "### E-mail: spam or not, of a later time",
        "",
        f"{short(result)} {setting['learnt']} e-mails to learn from, the first "
        f"{setting['tokens']} tokens of each. On later ones macro F1 {mean['ours']:.3f} in the "
        f"mean, TF-IDF {mean['tf_idf']:.3f}. Of hard ham, all of one class, accuracy counts alone.",
        "",
    ]
    parts = {"later": "easy-ham-2 and spam-2", "hard": "hard-ham"}
    return "\n".join([*lines, *check(result, "seed", result["rows"], parts)])


def speed(result: Record) -> str:
    """Return speed and memory of training beside transformers with peft."""
    padding = max(row["padding"] for row in result["rows"])
    return "\n".join(
        [
            "### Training a classifier",
            "",
            f"{machine(result)} SmolLM2-135M on SMS messages of at most 128 tokens, and on texts "
            f"of 256, {result['setting']['steps']} steps a turn after those with the longest "
            f"texts; tokens without padding, which is {padding:.1%} of what a pass computes. "
            "Losses are compared in fp32.",
            "",
            *speed_rows(result),
        ]
    )


def memory(result: Record) -> str:
    """Return the planned memory of classifiers beside what they took."""
    lines = [
        "### Memory of a classifier, planned and measured",
        "",
        f"{short(result)} SmolLM2-135M on the longest SMS messages, three steps; the peak of the "
        "whole process, with its judging.",
        "",
        "| what learns | texts × tokens | numbers | planned, MiB | measured, MiB | difference |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        planned, peak = row["planned_mib"], row["peak_memory_mib"]
        lines.append(
            f"| {row['title']} | {row['batch']} × {row['longest']} | {row['precision']} | "
            f"{planned:,.0f} | {peak:,.0f} | {planned / peak - 1:+.0%} |"
        )
    return "\n".join(lines)
