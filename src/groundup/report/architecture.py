"""The model on the page: the way of a token through it, and where its parameters are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from groundup.base.words import counted
from groundup.config import GPTConfig, Parameter, parameter_shapes
from groundup.config.gpt import ATTENTIONS
from groundup.plan.count import BYTES, Count, count_parameters, windowed_layers
from groundup.plan.units import MIB
from groundup.report.page import bar, esc, table

FORMATS = ("fp32", "bf16")
"""Number formats whose storage the table shows."""

NORMS = {
    "layernorm": "norm",
    "rmsnorm": "RMS norm",
    "zero_centered_rmsnorm": "RMS norm (by 1 + weight)",
}
ORDERS = {
    "pre": "{norm}, then {what}; the result is added to what came in",
    "post": "{what}, then {norm}; the result is added to what came in",
    "sandwich": "{norm}, then {what}, then {norm}; the result is added to what came in",
    "parallel": "{norm}, then {what}, beside the other; both results are added to what came in",
    "parallel_shared": "{norm}, one for both, then {what}; both results are added to what came in",
}
QK_NORMS = {
    "none": "",
    "head": ", queries and keys normed in each",
    "width": ", queries and keys normed as a whole",
}
ACTIVATIONS = {
    "gelu": "with GELU",
    "gelu_tanh": "with GELU",
    "relu_squared": "with ReLU squared",
    "geglu": "times a gate with GELU (GEGLU)",
    "swiglu": "times a gate with SiLU (SwiGLU)",
}
POSITIONS = {
    "learned": ("Position embedding", "{context:,} × {width:,}, added"),
    "rope": ("Rotary positions", "queries and keys turn as they go along; nothing is learned"),
}


def architecture(config: GPTConfig, stored: Sequence[Parameter] | None = None) -> str:
    """Return the diagram of a model and the table of its parts.

    `stored` are its parameters where it has a part that groundup does not have; such a part is
    called by its name in the config.
    """
    return (
        f'<div class="pair"><div><h3>The way of a token</h3>{_diagram(config, stored)}</div>'
        f"<div><h3>Where the parameters are</h3>{_parts(config, stored)}</div></div>"
    )


def _parts(config: GPTConfig, stored: Sequence[Parameter] | None) -> str:
    """Return parameters and storage a part, as bars with their figures."""
    count = count_parameters(config, stored)
    if not (total := count.total):
        return '<p class="none">Not known before the first checkpoint.</p>'
    rows = [
        [esc(part), bar(size / total), f"{size:,}", f"{size / total:.1%}", *_storage(size)]
        for part, size in count.parts.items()
    ]
    rows.append(["<b>total</b>", "", f"<b>{total:,}</b>", "100.0%", *_storage(total)])
    head = ["part", "", "parameters", "share", *(f"{name}, MiB" for name in FORMATS)]
    return table(head, rows, _caption(config, count))


def _caption(config: GPTConfig, count: Count) -> str:
    tied = (
        "the output head is the token embedding and counts once"
        if config.tie_embeddings
        else "the output head is its own matrix (untied)"
    )
    biased = "with" if config.qkv_bias else "without"
    active = f" {count.active:,} are at work on a token." if count.active < count.total else ""
    return f"Counted {biased} query-key-value bias; {tied}.{active} MiB is 1,048,576 bytes."


def _storage(size: int) -> list[str]:
    return [f"{size * BYTES[name] / MIB:,.2f}" for name in FORMATS]


def _attention(config: GPTConfig) -> str:
    """Describe what attention does, the norms around it apart."""
    if config.attention not in ATTENTIONS:
        return config.attention
    words = f"{counted(config.n_heads, 'head')} of {config.head_dim}"
    if config.n_kv_heads < config.n_heads:
        words += f", sharing {config.n_kv_heads} of keys and values"
    words += QK_NORMS[config.qk_norm]
    if config.window is not None:
        layers = counted(windowed_layers(config), "layer")
        words += f", {layers} seeing {counted(config.window, 'token')} at most"
    return words + _within("scores", config.attention_softcap)


def _feed_forward(config: GPTConfig) -> str:
    """Describe what the feed-forward network, or each expert, does to a token."""
    width, name = f"{config.emb_dim:,}", config.feed_forward
    network = f"{width} → {width} by {name}"
    if name in ACTIVATIONS:
        network = f"{width} → {config.ffn_dim:,} → {width} {ACTIVATIONS[name]}"
    if not config.n_experts:
        return network
    experts = counted(config.n_experts, "expert")
    beside = f"; for every token one of {config.shared_ffn_dim:,}" if config.shared_ffn_dim else ""
    return f"the best {config.n_active_experts} of {experts}, each {network}{beside}"


def _other_places(sizes: Iterable[str]) -> list[str]:
    """Return what a block has beside attention and the feed-forward network."""
    inside = dict.fromkeys(name.split(".")[2] for name in sizes if name.startswith("blocks.0."))
    return [name for name in inside if not name.startswith(("attn", "ffn"))]


def _within(what: str, limit: float) -> str:
    return f", {what} within ±{limit:g}" if limit else ""


def _diagram(config: GPTConfig, stored: Sequence[Parameter] | None) -> str:
    """Return the flow from tokens to logits as a list: readable with and without its looks."""
    shapes = parameter_shapes(config.replace(n_layers=1)) if stored is None else stored
    sizes = {p.name: p.size for p in shapes}

    def box(name: str, what: str, prefix: str = "", css: str = "", inner: str = "") -> str:
        count = sum(n for key, n in sizes.items() if prefix and f"{key}.".startswith(prefix))
        size = f"<span>{count:,}</span>" if count else ""
        return (
            f'<li class="{css}"><p><b>{esc(name)}</b>{size}</p>'
            f"<small>{esc(what)}</small>{inner}</li>"
        )

    width, vocabulary = config.emb_dim, f"{config.vocab_size:,}"
    norm = NORMS.get(config.norm, config.norm)
    order = ORDERS.get(config.norm_order, f"{{what}}; the block is '{config.norm_order}'")
    css = "shortcut" if config.norm_order in ORDERS else ""
    inner = "".join(
        box(name, order.format(norm=norm, what=what), prefix, css)
        for name, what, prefix in (
            ("Attention", _attention(config), "blocks.0.attn"),
            ("Feed-forward", _feed_forward(config), "blocks.0.ffn"),
        )
        if css or any(key.startswith(prefix) for key in sizes)
    )
    inner += "".join(box(name, "", f"blocks.0.{name}.") for name in _other_places(sizes))
    tokens = f"up to {config.context_length:,} at once, out of {vocabulary}"
    scaled = ", times √width" if config.embedding_scale else ""
    position, placed = POSITIONS.get(config.position, ("Positions", config.position))
    placed = placed.format(context=config.context_length, width=width)
    tied = ", the token embedding once more" if config.tie_embeddings else ""
    head = f"{width:,} → {vocabulary}{tied}{_within('logits', config.logit_softcap)}"
    repeated = f"{config.n_layers} × block"
    return (
        '<ol class="stack">'
        + box("Tokens", tokens, css="ends")
        + box("Token embedding", f"{vocabulary} × {width:,}{scaled}", "token_embedding")
        + box(position, placed, "position_emb")
        + box(repeated, "parameters of one of them", "blocks.0.", "blocks", f"<ol>{inner}</ol>")
        + box("Final norm", f"over {counted(width, 'value')}", "final_norm")
        + box("Output head", head, "lm_head")
        + box("Logits", f"a score for each of {vocabulary} tokens", css="ends")
        + "</ol>"
    )
