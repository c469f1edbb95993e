"""Windows in the configs of families: how much the layers see."""

from __future__ import annotations

from collections.abc import Callable

from groundup.base.errors import shown
from groundup.config import GPTConfig
from groundup.weights.equivalence import shortest_pattern
from groundup.weights.hf.aspects import Aspect
from groundup.weights.hf.settings import Fields, Settings

LOCAL, GLOBAL = "sliding_attention", "full_attention"


def window(flag: str | None = None) -> Aspect:
    """One window for all layers; with `flag`, only where that setting is true."""

    def read(settings: Settings) -> Fields:
        is_on = flag is None or settings[flag]
        return {"window": settings.field("window", "sliding_window") if is_on else None}

    def write(config: GPTConfig) -> Fields:
        switch = {} if flag is None else {flag: config.window is not None}
        return {"sliding_window": config.window, **switch}

    return Aspect(read, write)


def neo_windows() -> Aspect:
    """GPT-Neo's: groups of layers, each a list of kinds and how often it comes."""
    letters = {"local": "L", "global": "G"}

    def read(settings: Settings) -> Fields:
        key = "attention_types" if settings["attention_layers"] is None else "attention_layers"
        n_layers = settings["num_layers"]
        groups = settings[key] if key == "attention_types" else [[settings[key], 1]]
        most = n_layers + 1  # a damaged file may say any number
        try:
            repeated = (some for some, n in groups for _ in range(min(n, most)))
            kinds = "".join(letters[kind] for some in repeated for kind in some)
        except (TypeError, ValueError, KeyError):
            kinds = ""
        if len(kinds) != n_layers:
            raise settings.refusal(key, f"global or local for {n_layers} layers")
        if "L" not in kinds:
            return {}
        size = settings.field("window", "window_size")
        if size is None:
            raise settings.refusal("window_size", "a number of tokens, as some layers are local")
        return {"window": size, "window_pattern": shortest_pattern(kinds)}

    def write(config: GPTConfig) -> Fields:
        windows = [config.window_of(i) for i in range(config.n_layers)]
        kinds = ["global" if size is None else "local" for size in windows]
        return {"attention_types": [[kinds, 1]], "window_size": config.window or 256}

    return Aspect(read, write)


def positions_in_windows(local: Callable[[Settings, int], bool]) -> Aspect:
    """Only layers with a window have positions (Cohere 2)."""

    def read(settings: Settings) -> Fields:
        if settings["sliding_window"] is None:
            return {"rope_pattern": "N"}
        letters = _letters(settings, local)
        return {"rope_pattern": shortest_pattern(letters.replace("L", "R").replace("G", "N"))}

    return Aspect(read, lambda config: {})


def layer_windows(local: Callable[[Settings, int], bool], flag: str | None = None) -> Aspect:
    """Windows in some layers: those in `layer_types`, or where `local` says so by the number."""

    def read(settings: Settings) -> Fields:
        size = settings.field("window", "sliding_window")
        if size is None or (flag and not settings[flag]):
            types = settings["layer_types"]
            if isinstance(types, list) and LOCAL in types:
                off = "sliding_window" if size is None else flag
                raise settings.refusal("layer_types", f"no {LOCAL} where {off} is off")
            return {}
        pattern = shortest_pattern(_letters(settings, local))
        return {"window": size, "window_pattern": pattern} if "L" in pattern else {}

    def write(config: GPTConfig) -> Fields:
        windows = [config.window_of(i) for i in range(config.n_layers)]
        types = [GLOBAL if size is None else LOCAL for size in windows]
        # Where no layer has a window, transformers still wants a number for it.
        fields: Fields = {"layer_types": types, "sliding_window": config.window or 4096}
        if flag:
            fields[flag] = LOCAL in types
            fields["max_window_layers"] = types.index(LOCAL) if LOCAL in types else len(types)
        return fields

    return Aspect(read, write)


def _letters(settings: Settings, local: Callable[[Settings, int], bool]) -> str:
    """Return a letter for each layer: L has the window, G sees all."""
    n_layers, types = settings["num_hidden_layers"], settings["layer_types"]
    if types is None:
        return "".join("L" if local(settings, i) else "G" for i in range(n_layers))
    letters = {LOCAL: "L", GLOBAL: "G"}
    if not isinstance(types, list) or len(types) != n_layers:
        raise settings.refusal("layer_types", f"a list of {n_layers}, one for each layer")
    for kind in types:
        if not isinstance(kind, str) or kind not in letters:
            raise settings.refusal("layer_types", f"{LOCAL} or {GLOBAL}", shown(kind))
    return "".join(letters[kind] for kind in types)
