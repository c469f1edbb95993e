"""One turn of lm-eval with transformers; runs in an environment of its own, without groundup.

The tasks are the harness's own definitions, prompts and all; only their documents are read from
local JSON lines. The clock covers what ours covers: reading and wording the documents, tokenizing,
scoring. Loading the model is outside of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

DEFINITIONS = {
    "lambada": "lambada/lambada_openai.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "piqa": "piqa/piqa.yaml",
    "winogrande": "winogrande/default.yaml",
}


def write_definition(folder: Path, task: str, data: Path) -> str:
    """Write a task that includes the harness's own and reads a local file; return its name."""
    own = Path(lm_eval.__file__).parent / "tasks" / DEFINITIONS[task]
    name = f"local_{task}"
    files = {"data_files": {"evaluated": str(data / f"{task}.jsonl")}}
    lines = {
        "include": str(own),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": files,
        "training_split": None,
        "validation_split": None,
        "test_split": "evaluated",
        "fewshot_split": None,
    }
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items())
    (folder / f"{name}.yaml").write_text(text)
    return name


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    model = HFLM(
        pretrained=job["model"],
        dtype="float32",
        batch_size=job["batch_size"],
        device=job["device"],
    )
    with tempfile.TemporaryDirectory() as folder:
        task = write_definition(Path(folder), job["task"], Path(job["data"]))
        manager = TaskManager(include_path=folder, include_defaults=False)
        begun, worked = time.perf_counter(), time.process_time()
        done = lm_eval.simple_evaluate(
            model=model,
            tasks=[task],
            task_manager=manager,
            limit=job["limit"],
            log_samples=True,
            bootstrap_iters=job["bootstrap"],
        )
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - worked
    figures = {k.partition(",")[0]: v for k, v in done["results"][task].items() if "," in k}
    documents = [
        {
            "document": sample["doc_id"],
            "log_likelihoods": [float(r[0][0]) for r in sample["resps"]],
            "greedy": [bool(r[0][1]) for r in sample["resps"]],
        }
        for sample in done["samples"][task]
    ]
    documents.sort(key=lambda document: document["document"])
    record = {"seconds": seconds, "cpu_seconds": cpu_seconds}
    print(json.dumps(record | {"figures": figures, "documents": documents}))


if __name__ == "__main__":
    main()
