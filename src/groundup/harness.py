"""A run as a model of the language model evaluation harness (lm-eval), so that all its tasks run.

    python -m groundup.harness --model groundup --model_args run=runs/NAME --tasks blimp

Importing this module registers the model "groundup" with lm-eval, whose command line the above is.
It needs the extra: pip install 'groundup[lm-eval]'.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from groundup.base.errors import UsageError
from groundup.evaluate import BATCH_TOKENS, Candidate, Request, log_likelihoods, windows
from groundup.generate import SamplingConfig, run_settings, run_template, stream_rows
from groundup.runs import RunFolder
from groundup.runs.base import check_plain
from groundup.runs.load import load

try:
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.models.utils import normalize_gen_kwargs
except ModuleNotFoundError as error:
    raise UsageError(
        f"groundup.harness needs the package {error.name}, which is not installed; run: pip "
        "install 'groundup[lm-eval]'"
    ) from error

TEXTS_AT_ONCE = 16
"""Texts that are generated in one batch."""

Encoded = tuple[tuple[str, str], list[int], list[int]]
"""Two texts, and the token ids of each."""


@register_model("groundup")
class HarnessModel(TemplateLM):
    """A run folder as lm-eval sees a model; `batch_tokens` bounds the tokens read at once.

    lm-eval's own batch sizes count texts and are not used. As with transformers, and unlike
    anywhere else in groundup, special tokens spelt out in a text are the tokens themselves: chat
    templates need it.
    """

    def __init__(
        self,
        run: str,
        checkpoint: str | int = "best",
        device: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
        max_gen_toks: int = 256,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        # lm-eval says "cuda:0" wherever nobody said anything.
        if device is None or ("cuda" in device and not torch.cuda.is_available()):
            device = "cpu"
        folder = RunFolder(Path(run))
        check_plain(folder, folder.read())
        self.loaded = load(run, str(checkpoint), device)
        self.stop_tokens = run_settings(self.loaded).get("stop_tokens", [])
        self.candidate = Candidate.from_run(self.loaded)
        self.batch_tokens = batch_tokens
        self.max_gen_toks = max_gen_toks
        self.max_length = self.loaded.model.config.context_length
        self._device = self.loaded.model.device

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text, or starts it where there is no other."""
        end = self.loaded.tokenizer.end_of_text
        return self.prefix_token_id if end is None else end

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has no context."""
        if not self.candidate.opening:
            raise UsageError(
                "this task asks for texts without a context, and the run's tokenizer has no "
                "end-of-text token to put before them; choose another task"
            )
        return self.candidate.opening[0]

    @property
    def tokenizer_name(self) -> str:
        """What tells this tokenizer from others."""
        return self.loaded.tokenizer.fingerprint

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Return a text's ids, after the start token unless `add_special_tokens` is False."""
        ids = self.loaded.tokenizer.encode_markup(string)
        start = [*self.candidate.start]
        wanted = add_special_tokens or (add_special_tokens is None and ids[: len(start)] != start)
        return [*start, *ids] if wanted else ids

    def _loglikelihood_tokens(
        self, requests: Sequence[Encoded], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = [Request(context, continuation) for _, context, continuation in requests]
        scores = log_likelihoods(self.loaded.model, pairs, self.batch_tokens)
        answers = [(score.log_likelihood, score.greedy) for score in scores]
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Return the log-likelihood of whole texts, each token predicted once."""
        asked: list[Request] = []
        ends = [0]
        for (text,) in (request.args for request in requests):
            ids = [self.prefix_token_id, *self.tok_encode(text)]
            for begin, first, end in windows(len(ids), self.max_length, self.max_length):
                asked.append(Request(ids[begin:first], ids[first:end]))
            ends.append(len(asked))
        scores = log_likelihoods(self.loaded.model, asked, self.batch_tokens)
        return [
            sum(score.log_likelihood for score in scores[begin:end])
            for begin, end in itertools.pairwise(ends)
        ]

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return what the model writes after each context, up to one of the task's stop strings."""
        groups: dict[str, list[int]] = {}  # those with the same settings, by these
        for i, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(i)
        texts = [""] * len(requests)
        for same in groups.values():
            same.sort(key=lambda i: -len(requests[i].args[0]))
            for first in range(0, len(same), TEXTS_AT_ONCE):
                some = [requests[i].args for i in same[first : first + TEXTS_AT_ONCE]]
                written = self._write([context for context, _ in some], some[0][1])
                for i, args, text in zip(same[first:], some, written, strict=False):
                    texts[i] = text
                    self.cache_hook.add_partial("generate_until", args, text)
        return texts

    def _write(self, contexts: Sequence[str], asked: dict[str, Any]) -> list[str]:
        """Continue some contexts, of which as many tokens are kept as leave room to write."""
        settings = normalize_gen_kwargs(asked, self.max_gen_toks)
        room = self.max_length - settings["max_gen_toks"]
        if room < 1:
            raise UsageError(
                f"this task writes {settings['max_gen_toks']} tokens, but the run's model sees "
                f"{self.max_length}; lower max_gen_toks with --gen_kwargs"
            )
        sampling = SamplingConfig(
            max_tokens=settings["max_gen_toks"],
            temperature=settings["temperature"] if settings["do_sample"] else 0.0,
            stop=[text for text in settings["until"] if text],
            stop_tokens=self.stop_tokens,
            **{key: settings[key] for key in ("top_k", "top_p", "min_p") if key in settings},
        )
        rows = [self.tok_encode(context)[-room:] for context in contexts]
        steps = stream_rows(self.loaded.model, self.loaded.tokenizer, rows, sampling)
        return ["".join(pieces) for pieces in zip(*steps, strict=True)]

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as one text, by the run's chat template."""
        template = run_template(self.loaded)
        if template is None:
            raise UsageError("this run has no chat template; leave --apply_chat_template out")
        return template.render(chat_history, add_generation_prompt=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return the run's chat template, by which lm-eval tells cached requests apart."""
        return (self.loaded.chat_template or "") if chat_template else ""


if __name__ == "__main__":
    cli_evaluate()
