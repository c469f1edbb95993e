"""One contestant's turn of the generation benchmark, in a process and environment of its own: a
prompt and greedy tokens after it, alone and in a batch, and the reading of a longer prompt.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.turns import Record

PROMPT, NEW, BATCH, PREFILL = 32, 128, 16, 512

Job = dict[str, Any]
Write = Callable[[list[list[int]], int], object]
"""Goes on from prompts of one length by so many tokens each."""
Read = Callable[[list[int]], object]
"""Reads a prompt and works out the scores of the token after it."""


def prepare(job: Job) -> dict[str, Any]:
    """Write a model in 8 and 4 bits and its GGUF files: that of `source`, or one at random.

    Return how many weights each token multiplies: all but the positions, the head once.
    """
    from groundup.config import parameter_shapes
    from groundup.generate.quantize import quantize_run
    from groundup.runs import RunFolder
    from groundup.weights import export_model

    out = Path(job["folder"])
    source = Path(job["source"]) if "source" in job else at_random(job, out / "fp32")
    for bits in (8, 4):  # random weights have no loss to watch
        quantize_run(source, out / f"int{bits}", bits, lambda run: 1.0)
    for form in job["gguf"]:
        export_model(source, out / f"{form}.gguf", "gguf", dtype=form, verify=False)
    folder = RunFolder(source)
    shapes = parameter_shapes(folder.model_config(folder.read()))
    return {"weights_read": sum(p.size for p in shapes if p.part != "position embedding")}


def at_random(job: Job, path: Path) -> Path:
    """Write the run of a model with random weights; return its folder."""
    from groundup.base.files import write_json
    from groundup.config import GPTConfig, as_table
    from groundup.model import GPT
    from groundup.runs import RunFolder
    from groundup.runs.checkpoint import MODEL, STATE, save_files, write_tensors
    from groundup.runs.manifest import Manifest
    from groundup.tokenizer import build_tokenizer

    config = GPTConfig(**job["shape"], qkv_bias=True, tie_embeddings=True)
    folder = RunFolder(path)
    folder.path.mkdir(parents=True)
    tensors = {name: p.detach() for name, p in GPT(config).named_parameters()}
    save_files(
        folder.checkpoints,
        0,
        {
            MODEL: lambda path: write_tensors(tensors, path),
            STATE: lambda path: write_json(path, {"step": 0}),
        },
    )
    tokenizer = build_tokenizer("bpe", lambda: ["to be, or not to be"], 260)
    tokenizer.save(folder.tokenizer)
    data = {"tokenizer_fingerprint": tokenizer.fingerprint}
    folder.write(Manifest.of({"model": as_table(config), "data": data}))
    return folder.path


def ours(job: Job) -> tuple[Write, Read]:
    import torch

    from groundup import load
    from groundup.generate import SamplingConfig, generate_tokens
    from groundup.generate.windows import PlainReader

    model = load(Path(job["folder"]) / job["run"]).model
    cached = job.get("cache", True)
    if job.get("compiled"):
        from groundup.generate.compiled import compile_decoding

        compile_decoding(model)

    def write(prompts: list[list[int]], n_new: int) -> None:
        # Without lookup: what an untrained model writes goes round in circles, and would flatter.
        sampling = SamplingConfig(max_tokens=n_new, temperature=0.0)
        for _ in generate_tokens(model, prompts, sampling, use_cache=cached, lookup=False):
            pass

    @torch.inference_mode()
    def read(prompt: list[int]) -> None:
        PlainReader(model).read([prompt])

    return write, read


def transformers(job: Job) -> tuple[Write, Read]:
    """Its own `generate`, with its own cache."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = job["shape"]
    config = GPT2Config(
        vocab_size=shape["vocab_size"],
        n_positions=shape["context_length"],
        n_embd=shape["emb_dim"],
        n_head=shape["n_heads"],
        n_layer=shape["n_layers"],
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="sdpa",  # type: ignore[call-arg]
    )
    model = GPT2LMHeadModel(config).eval()
    model.generation_config.eos_token_id = None

    @torch.inference_mode()
    def write(prompts: list[list[int]], n_new: int) -> None:
        tokens = torch.tensor(prompts)
        mask = torch.ones_like(tokens)
        model.generate(
            tokens, attention_mask=mask, max_new_tokens=n_new, do_sample=False, pad_token_id=0
        )

    @torch.inference_mode()
    def read(prompt: list[int]) -> None:
        model(torch.tensor([prompt]), logits_to_keep=1)

    return write, read


def litgpt(job: Job) -> tuple[Write, Read]:
    """With rotary positions, as it has no learned ones; it writes one text at a time."""
    import torch
    from litgpt import GPT, Config
    from litgpt.generate.base import generate

    shape = job["shape"]
    config = Config(
        block_size=shape["context_length"],
        vocab_size=shape["vocab_size"],
        padded_vocab_size=shape["vocab_size"],
        n_layer=shape["n_layers"],
        n_head=shape["n_heads"],
        n_embd=shape["emb_dim"],
        parallel_residual=False,
        bias=True,
        gelu_approximate="tanh",
    )
    model = GPT(config).eval()
    model.max_seq_length = max(PREFILL, PROMPT + NEW) if not job["quick"] else 64
    model.set_kv_cache(batch_size=1)

    @torch.inference_mode()
    def write(prompts: list[list[int]], n_new: int) -> None:
        if len(prompts) > 1:
            raise NotImplementedError
        tokens = torch.tensor(prompts[0])
        generate(model, tokens, len(tokens) + n_new, temperature=0.0, include_prompt=False)

    @torch.inference_mode()
    def read(prompt: list[int]) -> None:
        model(torch.tensor([prompt]), torch.arange(len(prompt)))

    return write, read


def llama_cpp(job: Job) -> tuple[Write, Read]:
    """Through its C interface; attention as it chooses, all sequences of a batch in one call."""
    import llama_cpp as api
    import numpy as np

    api.llama_backend_init()
    loading = api.llama_model_default_params()
    loading.use_extra_bufts = job.get("extra_buffers", True)
    model = api.llama_model_load_from_file(str(job["file"]).encode(), loading)
    settings = api.llama_context_default_params()
    settings.n_ctx = BATCH * (PROMPT + NEW) if not job["quick"] else 1024
    settings.n_batch = settings.n_ubatch = PREFILL
    settings.n_seq_max = BATCH
    settings.n_threads = settings.n_threads_batch = job["threads"]
    settings.kv_unified = True
    context = api.llama_init_from_model(model, settings)
    n_words = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
    batch = api.llama_batch_init(PREFILL, 0, 1)

    def decode(tokens: list[tuple[int, int, int, bool]]) -> None:
        """Give it (token, position, sequence, are its scores wanted)."""
        batch.n_tokens = len(tokens)
        for i, (token, position, row, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, row
        if api.llama_decode(context, batch):
            raise RuntimeError("llama_decode failed")

    def best(place: int) -> int:
        scores = api.llama_get_logits_ith(context, place)
        pointer = ctypes.cast(scores, ctypes.POINTER(ctypes.c_float))
        return int(np.ctypeslib.as_array(pointer, shape=(n_words,)).argmax())

    def write(prompts: list[list[int]], n_new: int) -> None:
        api.llama_memory_clear(api.llama_get_memory(context), True)
        new, n_read = [], len(prompts[0])
        for row, prompt in enumerate(prompts):
            decode([(token, i, row, i == n_read - 1) for i, token in enumerate(prompt)])
            new.append(best(n_read - 1))
        for i in range(n_read, n_read + n_new - 1):
            decode([(token, i, row, True) for row, token in enumerate(new)])
            new = [best(row) for row in range(len(new))]

    def read(prompt: list[int]) -> None:
        api.llama_memory_clear(api.llama_get_memory(context), True)
        decode([(token, i, 0, i == len(prompt) - 1) for i, token in enumerate(prompt)])
        best(len(prompt) - 1)

    return write, read


def ceilings(job: Job) -> dict[str, Any]:
    """Return the rate (bytes/s) at which memory is read, and the machine."""
    import torch

    from benchmarks.ceilings import reading
    from groundup.device.machine import machine

    facts = machine(torch.device("cpu"))
    del facts["platform"]
    versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
    return {"machine": facts | versions, "read_bytes": reading(job["seconds"])}


def measured(write: Write, read: Read, job: Job) -> dict[str, Any]:
    """Return tokens per second: alone, in a batch, and of reading; the middle of the tries."""
    quick, vocabulary = job["quick"], 250
    n_new, n_read = (8, 32) if quick else (NEW, PREFILL)
    prompts = [[(7 * i + 13 * row) % vocabulary for i in range(PROMPT)] for row in range(BATCH)]
    longer = [(11 * i) % vocabulary for i in range(n_read)]

    def rate(count: int, work: Callable[[], object], tries: int) -> list[float]:
        rates = []
        for _ in range(tries):
            begun = time.perf_counter()
            work()
            rates.append(count / (time.perf_counter() - begun))
        return rates

    write(prompts[:1], 4)  # wakes everything up
    found = {"alone": rate(n_new, lambda: write(prompts[:1], n_new), job["tries"])}
    with contextlib.suppress(NotImplementedError):
        if job.get("cache", True):
            found["batch"] = rate(BATCH * n_new, lambda: write(prompts, n_new), 1)
    read(longer)
    found["prefill"] = rate(n_read, lambda: read(longer), job["tries"])
    return {name: statistics.median(rates) for name, rates in found.items()}


CONTESTANTS = {f.__name__: f for f in (ours, transformers, litgpt, llama_cpp)}


def main() -> None:
    job = json.loads(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        if job["contestant"] == "prepare":
            record: Record = prepare(job)
        elif job["contestant"] == "ceilings":
            record = ceilings(job)
        else:
            record = measured(*CONTESTANTS[job["contestant"]](job), job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scale = 2**20 if sys.platform == "darwin" else 2**10
    print(json.dumps(record | {"peak_memory_mib": peak / scale}))


if __name__ == "__main__":
    main()
