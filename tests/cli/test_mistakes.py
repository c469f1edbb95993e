"""What new users write, and what they are told: a table. None of it needs torch to be refused."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.config import GPTConfig, TrainConfig, as_table
from groundup.runs import RunFolder
from groundup.runs.checkpoint import Checkpoint
from groundup.runs.manifest import Manifest
from groundup.runs.own import allow
from tests.cli.conftest import Groundup, environment

FAILED, USAGE = 1, 2

# what is written: exit code, and pieces of the one line that comes back
MISTAKES: dict[str, tuple[int, list[str]]] = {
    # settings under the names of others
    "train story.txt --lr 3e-4": (USAGE, ["--lr", "--set learning_rate="]),
    "train story.txt --learning-rate 3e-4": (USAGE, ["--set learning_rate="]),
    "train story.txt --learning_rate=3e-4": (USAGE, ["--set learning_rate="]),
    "train story.txt --batch-size 8": (USAGE, ["--set batch_size="]),
    "train story.txt --batch_size=8": (USAGE, ["--set batch_size="]),
    "train story.txt --max-steps 8": (USAGE, ["--steps"]),
    "train story.txt --max-iters 8": (USAGE, ["--steps"]),
    "train story.txt --num-train-epochs 3": (USAGE, ["--epochs"]),
    "train story.txt --block-size 64": (USAGE, ["--set context_length="]),
    "train story.txt --context-length 64": (USAGE, ["--set context_length="]),
    "train story.txt --n-embd 64": (USAGE, ["--set emb_dim="]),
    "train story.txt --hidden-size 64": (USAGE, ["--set emb_dim="]),
    "train story.txt --n-layer 6": (USAGE, ["--set n_layers="]),
    "train story.txt --num-layers 6": (USAGE, ["--set n_layers="]),
    "train story.txt --n-head 6": (USAGE, ["--set n_heads="]),
    "train story.txt --dropout 0.1": (USAGE, ["--set drop_rate="]),
    "train story.txt --weight-decay 0.1": (USAGE, ["--set weight_decay="]),
    "train story.txt --warmup-iters 10": (USAGE, ["--set warmup_steps="]),
    "train story.txt --random-seed 10": (USAGE, ["--seed"]),
    "train story.txt --grad-clip 1": (USAGE, ["--set grad_clip="]),
    "plan --n-layer 6": (USAGE, ["--set n_layers="]),
    "train story.txt --set lr=3e-4": (USAGE, ["'learning_rate'"]),
    "train story.txt --set batch=8": (USAGE, ["'batch_size'"]),
    "train story.txt --set block_size=8": (USAGE, ["'context_length'"]),
    "train story.txt --set n_embd=8": (USAGE, ["'emb_dim'"]),
    "train story.txt --set n_head=8": (USAGE, ["'n_heads'"]),
    "train story.txt --set n_layer=8": (USAGE, ["'n_layers'"]),
    "train story.txt --set dropout=0.1": (USAGE, ["'drop_rate'"]),
    "train story.txt --set d_model=8": (USAGE, ["'emb_dim'"]),
    "train story.txt --set hidden_size=8": (USAGE, ["'emb_dim'"]),
    "train story.txt --set max_iters=8": (USAGE, ["'steps'"]),
    "train story.txt --set weight-decay=0.1": (USAGE, ["'weight_decay'"]),
    "train story.txt --set wd=0.1": (USAGE, ["'weight_decay'"]),
    "train story.txt --set warmup_iters=8": (USAGE, ["'warmup_steps'"]),
    "plan --set n_embd=8": (USAGE, ["'emb_dim'"]),
    "train story.txt --set steps": (USAGE, ["key=value"]),
    # flags under the names of others
    "train --model gpt2-124m": (USAGE, ["--preset"]),
    "train story.txt --output mine": (USAGE, ["--run"]),
    "train story.txt --output-dir mine": (USAGE, ["--run"]),
    "train story.txt -o mine": (USAGE, ["--run"]),
    "train story.txt --resume": (USAGE, ["groundup resume RUN"]),
    "train story.txt --resume-from-checkpoint x": (USAGE, ["groundup resume RUN"]),
    "train story.txt --checkpoint x": (USAGE, ["--from"]),
    "train story.txt --init-from gpt2": (USAGE, ["--from"]),
    "train --data-path story.txt": (USAGE, ["groundup train [TEXTS...]"]),
    "train --input story.txt": (USAGE, ["groundup train [TEXTS...]"]),
    "train --dataset story.txt": (USAGE, ["groundup train [TEXTS...]"]),
    "train story.txt --gpu": (USAGE, ["--device"]),
    "train story.txt --text-column body": (USAGE, ["--text-field"]),
    "train story.txt --stepz 3": (USAGE, ["--stepz", "--steps"]),
    "generate story-pico --max-new-tokens 9": (USAGE, ["--max-tokens"]),
    "generate story-pico --num-tokens 9": (USAGE, ["--max-tokens"]),
    "generate story-pico -n 9": (USAGE, ["--max-tokens"]),
    "generate story-pico --temp 1": (USAGE, ["--temperature"]),
    "generate story-pico -t 1": (USAGE, ["--temperature"]),
    "generate story-pico --topk 1": (USAGE, ["--top-k"]),
    "generate story-pico --prompt Once": (USAGE, ["groundup generate RUN [PROMPTS...]"]),
    "generate --model story-pico": (USAGE, ["groundup generate RUN [PROMPTS...]"]),
    "chat --model story-pico": (USAGE, ["groundup chat RUN"]),
    "chat story-pico --system-prompt x": (USAGE, ["--system"]),
    "evaluate story-pico --task piqa": (USAGE, ["--tasks"]),
    "evaluate story-pico --dataset story.txt": (USAGE, ["--text"]),
    "evaluate story-pico --batch-size 4": (USAGE, ["--batch-tokens"]),
    "plan --model gpt2-124m": (USAGE, ["groundup plan [MODEL]"]),
    "import --model gpt2": (USAGE, ["groundup import SOURCE [DEST]"]),
    "export story-pico --output x": (USAGE, ["groundup export RUN DEST"]),
    "export story-pico x --outtype q8_0": (USAGE, ["--format or --dtype"]),
    "quantize story-pico --output x": (USAGE, ["--to"]),
    "train -help": (USAGE, ["-help: here it is --help"]),
    "train story.txt --debug": (USAGE, ["before the verb", "'groundup --debug train'"]),
    "-v": (USAGE, ["--version"]),
    # verbs under the names of others
    "sample": (USAGE, ["groundup generate RUN PROMPT"]),
    "complete story-pico": (USAGE, ["groundup generate RUN PROMPT"]),
    "sft": (USAGE, ["groundup train TEXT --from RUN"]),
    "fine-tune": (USAGE, ["finetune"]),
    "tune story-pico": (USAGE, ["groundup finetune classify RUN"]),
    "finetune lora": (USAGE, ["classify"]),
    "lora": (USAGE, ["groundup train TEXT --from RUN --method lora"]),
    "finetune classify story-pico --data sms.csv --csv sms.csv": (USAGE, ["--records"]),
    "finetune classify": (USAGE, ["RUN"]),
    "finetune classify story-pico": (USAGE, ["--records FILE", "testaments"]),
    "finetune classify story-pico --records nowhere.csv": (USAGE, ["no such file"]),
    "finetune classify story-pico --records story.txt": (FAILED, ["expected a file of records"]),
    "finetune classify story-pico --records tasks": (
        USAGE,
        ["tasks: dialogues", "finetune instruct", "testaments"],
    ),
    "finetune classify nowhere --records testaments": (FAILED, ["not a run folder"]),
    "finetune classify story-pico --records testaments --layers first": (
        USAGE,
        ["head, last, all"],
    ),
    "finetune classify story-pico --records testaments --pooling max": (USAGE, ["last, mean"]),
    "finetune classify story-pico --records testaments --max-length 9999": (USAGE, ["at most"]),
    "finetune classify story-pico --records testaments --layers last --method lora": (
        USAGE,
        ["adapters go into all layers"],
    ),
    "classify story-pico": (USAGE, ["no text"]),
    "classify story-pico hello": (USAGE, ["no classifier", "groundup finetune classify"]),
    "classify nowhere hello": (FAILED, ["not a run folder"]),
    "eval story-pico": (USAGE, ["groundup evaluate RUN"]),
    "list": (USAGE, ["groundup runs"]),
    "ls": (USAGE, ["groundup runs"]),
    "ps": (USAGE, ["groundup runs"]),
    "continue story-pico": (USAGE, ["groundup resume RUN"]),
    "convert": (USAGE, ["groundup import SRC", "groundup export RUN DEST"]),
    "download shakespeare": (USAGE, ["groundup data get NAME"]),
    "tokenize story.txt": (USAGE, ["groundup data prepare TEXT"]),
    "serve story-pico": (USAGE, ["no server"]),
    "delete story-pico": (USAGE, ["remove it as any other"]),
    "version": (USAGE, ["groundup --version"]),
    "help": (USAGE, ["groundup --help"]),
    "story.txt": (USAGE, ["'groundup train story.txt' trains on it"]),
    "trian": (USAGE, ["'train'", "groundup --help"]),
    "data ls": (USAGE, ["groundup data list"]),
    "data download kjv": (USAGE, ["groundup data get NAME"]),
    "data tokenize story.txt": (USAGE, ["groundup data prepare TEXT"]),
    "data lst": (USAGE, ["'list'", "groundup data --help"]),
    # presets and texts by other names
    "train story.txt --preset gpt2": (USAGE, ["'gpt2-124m'?"]),
    "train story.txt --preset gpt2-small": (USAGE, ["'gpt2-124m'?"]),
    "train story.txt --preset gpt2-medium": (USAGE, ["'gpt2-355m'?"]),
    "train story.txt --preset gpt2-xl": (USAGE, ["'gpt2-1558m'?"]),
    "plan GPT-2": (USAGE, ["'gpt2-124m'?"]),
    "plan llama3": (USAGE, ["'llama3-8b'", "'llama3.2-1b'"]),
    "plan tinyllama": (USAGE, ["'llama3.2-1b'?"]),
    "plan smollm": (USAGE, ["'smollm2-135m'"]),
    "plan qwen": (USAGE, ["'qwen2-0.5b'", "'qwen3-0.6b'"]),
    "plan gtp2-124m": (USAGE, ["'gpt2-124m'?"]),
    "plan zebra": (USAGE, ["known: pico"]),
    "train shakespear": (USAGE, ["'shakespeare'?", "check the path"]),
    "train tiny_shakespeare": (USAGE, ["'shakespeare'?"]),
    "train shakespeare.txt": (USAGE, ["'shakespeare'?"]),
    "train bible": (USAGE, ["'kjv'?"]),
    "data get bible": (USAGE, ["'kjv'?"]),
    "train stroy.txt": (USAGE, ["stroy.txt", "check the path"]),
    "data prepare stroy.txt": (USAGE, ["stroy.txt", "check the path"]),
    "train pico": (USAGE, ["a preset, not a text", "--preset pico"]),
    "train story.txt nano": (USAGE, ["a preset, not a text", "--preset nano"]),
    "train story-pico": (USAGE, ["groundup resume story-pico", "--from story-pico"]),
    "train https://example.com/a.txt": (USAGE, ["nothing is fetched", "download it"]),
    # words that are empty, as variables that were not set
    "train ''": (USAGE, ["without a name"]),
    "data prepare story.txt ''": (USAGE, ["without a name"]),
    "train story.txt --run ''": (USAGE, ["--run ''", "expected a name"]),
    "train story.txt --preset ''": (USAGE, ["unknown preset ''"]),
    "train story.txt --tokenizer ''": (USAGE, ["''", "bpe"]),
    "train story.txt --tokenizer runs": (USAGE, ["a folder", "tokenizer.json"]),
    "train story.txt --from ''": (FAILED, ["not a run folder"]),
    "chat ''": (FAILED, ["not a run folder"]),
    # runs that are not there
    "generate story-pic Once": (FAILED, ["did you mean runs/story-pico?"]),
    "generate runs/stroy-pico": (FAILED, ["did you mean runs/story-pico?"]),
    "chat story": (FAILED, ["did you mean runs/story-pico?"]),
    "evaluate storypico": (FAILED, ["did you mean runs/story-pico?"]),
    "report pico": (FAILED, ["did you mean runs/story-pico?"]),
    "replay pico": (FAILED, ["did you mean runs/story-pico?"]),
    "export pico x.gguf": (FAILED, ["did you mean runs/story-pico?"]),
    "quantize pico": (FAILED, ["did you mean runs/story-pico?"]),
    "compare story-pico storypico": (FAILED, ["did you mean runs/story-pico?"]),
    "resume pico": (FAILED, ["did you mean runs/story-pico?"]),
    "train story.txt --from pico": (FAILED, ["did you mean runs/story-pico?"]),
    "generate wholly-other": (FAILED, ["groundup runs", "groundup train"]),
    "generate story.txt Once": (FAILED, ["not a run folder", "groundup import story.txt"]),
    # lengths
    "train story.txt --extend 9 --run storypico": (USAGE, ["runs/story-pico?", "--steps"]),
    "train story.txt --extend 9": (USAGE, ["--extend 9", "runs/story-nano", "--steps"]),
    "train story.txt --epochs 0": (USAGE, ["epochs = 0.0", "positive"]),
    "train story.txt --epochs 2 --steps 9": (USAGE, ["steps = 9", "epochs = 2.0", "leave out"]),
    "train story.txt --epochs 2 --minutes 9": (USAGE, ["epochs = 2.0", "minutes = 9.0"]),
    "train story.txt --steps 0": (USAGE, ["steps = 0", "1 or more"]),
    "train story.txt --minutes 0": (USAGE, ["minutes = 0.0"]),
    "resume story-pico --extend 3": (USAGE, ["already trains to step 12"]),
    "resume story-pico --steps 3": (USAGE, ["--steps"]),
    # other words for a run that is there
    "train story.txt --preset pico --steps 30": (
        USAGE,
        ["steps was 12, now 30", "made by: groundup train", "groundup resume runs/story-pico"],
    ),
    "train story.txt --run story-pico --steps 12": (USAGE, ["preset was pico, now nano)"]),
    # values
    "train story.txt --steps 1,000": (USAGE, ["--steps 1,000: expected a whole number"]),
    "train story.txt --steps=9.5": (USAGE, ["--steps=9.5: expected a whole number"]),
    "train story.txt --minutes 10min": (USAGE, ["--minutes 10min: expected a number"]),
    "evaluate story-pico --limit all": (USAGE, ["--limit all: expected a whole number"]),
    "train story.txt --set n_layers=6,n_heads=4": (USAGE, ["expected one setting", "--set"]),
    "train story.txt --runs story.txt": (USAGE, ["--runs story.txt: a file", "a folder"]),
    "train story.txt --tokenizer bqe": (USAGE, ["'bpe'?"]),
    "train story.txt --tokenizer none.json": (FAILED, ["none.json"]),
    "train story.txt --unknown skp": (USAGE, ["'skip'?"]),
    "train story.txt --encoding utf9": (USAGE, ["utf9", "latin-1"]),
    "data prepare story.txt --encoding utf9": (USAGE, ["utf9", "latin-1"]),
    "train story.txt --vocab-size 9": (USAGE, ["9", "257"]),
    "train story.txt --device gpu": (USAGE, ["gpu", "cuda"]),
    "train story.txt --run ../x": (USAGE, ["../x", "without slashes"]),
    "train story.txt --from story-pico --preset nano": (USAGE, ["leave out one"]),
    "train story.txt --from story-pico --set n_layers=9 --run more": (USAGE, ["keeps its shape"]),
    "generate story-pico --temperature -1": (USAGE, ["temperature = -1.0"]),
    "generate story-pico --top-p 1.5": (USAGE, ["top_p = 1.5"]),
    "generate story-pico --device gpu": (USAGE, ["gpu", "cuda"]),
    "generate story-pico --checkpoint newest": (USAGE, ["newest", "best, latest"]),
    "generate story-pico --checkpoint 5": (USAGE, ["step 5", "it has 6, 12"]),
    "chat story-pico --max-tokens -1": (USAGE, ["max_tokens = -1"]),
    "evaluate story-pico --text none.txt": (FAILED, ["none.txt"]),
    "evaluate story-pico --tasks piqqa --data .": (USAGE, ["'piqa'?"]),
    "evaluate story-pico --tasks piqa": (USAGE, ["--data FOLDER or --hub"]),
    "evaluate story-pico --tasks piqa --data .": (USAGE, ["no documents of piqa"]),
    "evaluate story-pico --text story.txt --stride 0": (USAGE, ["stride = 0", "1 or more"]),
    "quantize story-pico --bits 3": (USAGE, ["bits = 3", "8 or 4"]),
    "quantize story-pico --to story.txt": (USAGE, ["story.txt is there already"]),
    "export story-pico x --format onnx": (USAGE, ["onnx", "gguf"]),
    "export story-pico x --dtype int8": (USAGE, ["int8", "bf16"]),
    "export story-pico story.txt": (USAGE, ["story.txt is there already"]),
    "export story-pico": (USAGE, ["dest", "export --help"]),
    "import none/at/all": (USAGE, ["no such file or folder", "hub name"]),
    "import runs/story-pico": (USAGE, ["run folder already"]),
    "import story.txt --tokenizer bpe": (USAGE, ["--tokenizer bpe", "tokenizer.json"]),
    "replay story-pico": (USAGE, ["kept no batch"]),
    "compare story-pico": (USAGE, ["two or more"]),
    "plan --set n_layers=three": (USAGE, ["n_layers=three", "a whole number"]),
}


@pytest.fixture
def outlined(story: Path) -> Path:
    """The outline of a run, as far as it is looked at before torch is loaded."""
    run = RunFolder(story.parent / "runs" / "story-pico")
    model = as_table(GPTConfig(vocab_size=300, context_length=16, emb_dim=16, n_heads=2))
    train = as_table(TrainConfig(steps=12))
    for step in (6, 12):
        Checkpoint.at(run.checkpoints, step).path.mkdir(parents=True)
    run.write(
        Manifest.of(
            {
                "model": model,
                "train": train,
                "data": {"folder": "data/none"},
                "request": {
                    "command": "groundup train story.txt --preset pico --steps 12",
                    "preset": "pico",
                    "model": model,
                    "train": train,
                    "changes": {},
                    "text": {"sources": ["story.txt"], "tokenizer": "bpe", "vocab_size": 300},
                    "data": {"fingerprint": "0"},
                },
            }
        )
    )
    allow(run)
    return run.path


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes_are_answered(groundup: Groundup, outlined: Path, command: str) -> None:
    status, expected = MISTAKES[command]
    done = groundup(*shlex.split(command))
    assert done.status == status, done
    for part in expected:
        assert part in done.error
    assert done.out == ""
    left = {path.name for path in outlined.parent.parent.iterdir()}
    assert left <= {"runs", "story.txt"}, "nothing is left behind"


TURNS = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good day."}]
SENTENCE = "The rain fell, and the wind rose over the old harbour."


def jsonl(**record: object) -> bytes:
    return f"{json.dumps(record)}\n".encode() * 9


# what somebody brings as a text: its name, its content, and pieces of the one line that comes back
TEXTS: list[tuple[str, bytes, list[str]]] = [
    ("chat.jsonl", jsonl(id="x", messages=TURNS), ["chats", "messages", "'text'"]),
    ("sharegpt.jsonl", jsonl(conversations=[{"from": "gpt", "value": "a"}]), ["chats"]),
    ("alpaca.jsonl", jsonl(instruction=SENTENCE, input="", output=SENTENCE), ["Alpaca"]),
    ("pairs.jsonl", jsonl(prompt=SENTENCE, completion=SENTENCE), ["prompts with completions"]),
    ("dpo.jsonl", jsonl(prompt="a", chosen=SENTENCE, rejected=SENTENCE), ["preferences"]),
    ("ids.jsonl", jsonl(input_ids=[1, 2, 3]), ["tokens"]),
    ("words.jsonl", jsonl(tokens=["The", "rain"], lang="en"), ["cut into words"]),
    ("posts.jsonl", jsonl(title=SENTENCE, body=SENTENCE), ["which field", "--text-field"]),
    ("urls.jsonl", jsonl(url="https://example.org/1"), ["which field", "url"]),
    ("nested.jsonl", jsonl(split="a", data={"text": SENTENCE}), ["--text-field data.text"]),
    ("number.jsonl", jsonl(text=12), ["which field", "text (int)"]),
    ("null.jsonl", jsonl(text=None) + b'{"text": "a"}', ["only 1 of 10 records"]),
    ("broken.jsonl", jsonl(text=SENTENCE) + b"{nonsense", ["line 10", "--on-bad-record skip"]),
    ("ragged.csv", b"text,label\nHello there.,1\nHello, you.,2,3\n", ["record 2", "found 4 cells"]),
    ("labels.csv", b"id;label\n1;a\n2;b\n" * 9, ["which field"]),
    ("cut.txt.gz", gzip.compress(SENTENCE.encode())[:-9], ["cut short"]),
    ("not.txt.gz", SENTENCE.encode(), ["not gzip", "plain text"]),
    ("book.pdf", b"%PDF-1.7\n\x00\x01", ["PDF"]),
    ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", ["7z"]),
    ("photo.png", b"\x89PNG\r\n\x1a\n\0\0", ["an image, not text"]),
    ("latin.txt", "été".encode("latin-1"), ["latin.txt", "--encoding"]),
    ("empty.txt", b" \n", ["empty"]),
]


@pytest.mark.parametrize(("name", "content", "expected"), TEXTS, ids=[row[0] for row in TEXTS])
def test_texts_that_cannot_be_guessed_are_refused(
    groundup: Groundup, outlined: Path, name: str, content: bytes, expected: list[str]
) -> None:
    (outlined.parent.parent / name).write_bytes(content)
    done = groundup("data", "prepare", name, "--tokenizer", "bytes")
    assert done.status in (FAILED, USAGE), done
    for part in [name, *expected]:
        assert part in done.error
    assert done.out == ""


def test_a_folder_of_texts_is_no_place_for_shards(groundup: Groundup, outlined: Path) -> None:
    Path("notes").mkdir()
    Path("notes/a.txt").write_text(SENTENCE)
    done = groundup("train", "--data", "notes")
    assert done.status == USAGE
    assert "token shards are kept there, but it holds a.txt" in done.error
    assert "groundup train notes" in done.error
    assert sorted(path.name for path in Path("notes").iterdir()) == ["a.txt"]


WITHOUT_TORCH = """
import json, sys
from groundup.cli import main
loaded = []
for words in json.load(sys.stdin):
    sys.argv = ["groundup", *words]
    try:
        main()
    except SystemExit as end:
        assert end.code in (1, 2), (words, end.code)
    if "torch" in sys.modules:
        sys.exit(f"torch was loaded by: {' '.join(words)}")
"""


def test_no_mistake_waits_for_torch(outlined: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=json.dumps([shlex.split(command) for command in MISTAKES]),
        capture_output=True,
        text=True,
        cwd=outlined.parent.parent,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1]
