"""The model on the page: the way of a token through it, and where its parameters are."""

from __future__ import annotations

from groundup.config import PARTS, GPTConfig, parameter_shapes
from groundup.runs.report.page import bar, esc, table

BYTES = {"fp32": 4, "bf16": 2}
MIB = 2**20


def architecture(config: GPTConfig) -> str:
    """Return the diagram of a model and the table of its parts."""
    return (
        f'<div class="pair"><div><h3>The way of a token</h3>{_diagram(config)}</div>'
        f"<div><h3>Where the parameters are</h3>{_parts(config)}</div></div>"
    )


def _parts(config: GPTConfig) -> str:
    """Return parameters and storage a part, as bars with their figures."""
    sizes = dict.fromkeys(PARTS, 0)
    for parameter in parameter_shapes(config):
        sizes[parameter.part] += parameter.size
    total = sum(sizes.values())
    rows = [
        [esc(part), bar(size / total), f"{size:,}", f"{size / total:.1%}", *_storage(size)]
        for part, size in sizes.items()
    ]
    rows.append(["<b>total</b>", "", f"<b>{total:,}</b>", "100.0%", *_storage(total)])
    tied = (
        "the output head is the token embedding and counts once"
        if config.tie_embeddings
        else "the output head is its own matrix (untied)"
    )
    biased = "with" if config.qkv_bias else "without"
    caption = f"Counted {biased} query-key-value bias; {tied}. MiB is 1,048,576 bytes."
    head = ["part", "", "parameters", "share", *(f"{name}, MiB" for name in BYTES)]
    return table(head, rows, caption)


def _storage(size: int) -> list[str]:
    return [f"{size * width / MIB:,.2f}" for width in BYTES.values()]


def _diagram(config: GPTConfig) -> str:
    """Return the flow from tokens to logits as a list: readable with and without its looks."""
    sizes = {p.name: p.size for p in parameter_shapes(config)}

    def box(name: str, what: str, prefix: str = "", css: str = "", inner: str = "") -> str:
        count = sum(size for key, size in sizes.items() if prefix and key.startswith(prefix))
        counted = f"<span>{count:,}</span>" if count else ""
        return (
            f'<li class="{css}"><p><b>{esc(name)}</b>{counted}</p>'
            f"<small>{esc(what)}</small>{inner}</li>"
        )

    width, heads = config.emb_dim, f"{config.n_heads} heads of {config.head_dim}"
    attend = f"norm, then {heads}; the result is added to what came in"
    feed = f"norm, then {width:,} → {config.ffn_dim:,} → {width:,} with GELU, added likewise"
    inner = (
        "<ol>"
        + box("Attention", attend, "blocks.0.attn", "shortcut")
        + box("Feed-forward", feed, "blocks.0.ffn", "shortcut")
        + "</ol>"
    )
    tokens = f"up to {config.context_length:,} at once, out of {config.vocab_size:,}"
    head = f"{width:,} → {config.vocab_size:,}" + (
        ", the token embedding once more" if config.tie_embeddings else ""
    )
    repeated = f"{config.n_layers} × block"
    return (
        '<ol class="stack">'
        + box("Tokens", tokens, css="ends")
        + box("Token embedding", f"{config.vocab_size:,} × {width:,}", "token_embedding")
        + box("Position embedding", f"{config.context_length:,} × {width:,}, added", "position_emb")
        + box(repeated, "parameters of one of them", "blocks.0.", "blocks", inner)
        + box("Final norm", f"over {width:,} values", "final_norm")
        + box("Output head", head, "lm_head")
        + box("Logits", f"a score for each of {config.vocab_size:,} tokens", css="ends")
        + "</ol>"
    )
