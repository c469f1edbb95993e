"""Verbs and flags as others call them: what to write here in their place.

Settings and presets have their table in `groundup.config.other_names`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import alike, nearest, plain
from groundup.config import GPTConfig, TrainConfig
from groundup.config.fields import field_types
from groundup.config.other_names import SETTINGS

Table = Mapping[str, str]

VERBS: Table = {
    "train": "fit learn start begin run pretrain demo init new",
    "train TEXT --from RUN": "sft adapt",
    "train TEXT --from RUN --method lora": "lora qlora peft",
    "finetune classify RUN": "tune",
    "classify RUN TEXT": "classifier label",
    "resume RUN": "continue restart goon",
    "generate RUN PROMPT": "sample complete completion completions infer inference predict write "
    "text gen autocomplete prompt",
    "chat RUN": "talk ask repl interactive instruct",
    "evaluate RUN": "eval test score perplexity ppl validate benchmark bench lm-eval",
    "import SRC": "pull load from-hf",
    "export RUN DEST": "save push upload publish to-gguf to-hf",
    "import SRC' or 'groundup export RUN DEST": "convert transform",
    "quantize RUN": "quantise quant compress",
    "merge RUN": "fuse merge-lora merge-adapter bake combine",
    "plan": "info size count estimate params parameters memory profile presets models summary",
    "plan --calibrate": "calibrate",
    "runs": "list ls ps status history dir",
    "lab NAME": "experiment experiments ablate ablation ablations sweep study investigate",
    "report RUN": "plot curves view dashboard tensorboard show open",
    "compare RUN RUN": "diff versus vs",
    "data list": "datasets corpora ls names show",
    "data get NAME": "download fetch get pull load",
    "data prepare TEXT": "prepare tokenize tokenise encode preprocess dataset",
    "--version": "version",
    "--help": "help usage man",
}
"""Ours, and the words that others use for it."""
ABSENT: Table = {
    "there is no server here; generate and chat write in the terminal": "serve server api web "
    "webui ui deploy host",
    "a run is a folder: remove it as any other": "rm delete del remove clean prune",
    "nothing here needs an account": "login logout auth",
    "there is no such training here yet; 'groundup train TEXT --from RUN' trains on": "dpo rlhf "
    "ppo grpo distill",
    "pip installs newer versions": "update upgrade install",
}
"""What does not exist here, in a sentence, and the words with which others look for it."""
FLAGS: Table = {
    "--max-tokens": "max_new_tokens num_tokens n_tokens tokens new_tokens length max_length "
    "max_len n_predict num_predict n",
    "--temperature": "temp t",
    "--top-k": "k",
    "--top-p": "p_nucleus nucleus",
    "--repetition-penalty": "repeat_penalty penalty frequency_penalty presence_penalty",
    "--stop": "stop_sequence stop_sequences stop_words",
    "--system": "system_prompt system_message",
    "--chat": "instruct answer interactive",
    "--checkpoint": "ckpt step iter which",
    "--preset": "model model_name model_type model_size arch architecture config m",
    "--from": "model_path model_name_or_path pretrained pretrained_model init_from base base_model "
    "finetune checkpoint ckpt load",
    "--records": "data dataset train_file train_data data_path csv file input",
    "--label-field": "label label_column label_col target",
    "--max-length": "max_seq_length max_seq_len max_len cutoff_len block_size",
    "--run": "output output_dir out out_dir o save_dir name run_name experiment exp_name project "
    "logdir log_dir",
    "--runs": "runs_dir root",
    "--set": "config override option",
    "--to": "output output_dir out out_dir o dest",
    "--out": "output output_dir o",
    "--output": "out output_dir o output_path log_samples",
    "--text": "input file dataset data eval_data data_path corpus i f",
    "--tasks": "task benchmark benchmarks",
    "--limit": "max_samples num_samples n_samples",
    "--batch-tokens": "batch_size batch",
    "--tokenizer": "tokenizer_path tokenizer_name vocab_file",
    "--text-field": "text_column column field text_key key",
    "--split-on": "separator delimiter sep",
    "--processes": "num_workers workers num_proc jobs j n_jobs parallel",
    "--budget": "time minutes hours max_time timeout duration scale",
    "--only": "study studies part",
    "--png": "plots pictures images",
    "--workers": "num_workers num_proc jobs j",
    "--format": "outtype to type",
    "--dtype": "outtype precision quantization torch_dtype",
    "--bits": "load_in_8bit load_in_4bit int8 int4 quant q",
    "--trust-pickle": "trust_remote_code weights_only unsafe",
    "--device": "gpu cuda cpu mps use_gpu no_gpu use_cpu accelerator",
    "--no-lookup": "no_speculative",
    "--json": "as_json output_format quiet q silent",
    "--help": "help usage",
    "--version": "v",
}
"""Ours, and the words that others use for it; a verb answers with those that it has."""
ARGUMENTS: Table = {
    "texts": "data dataset dataset_name dataset_path data_path data_file data_dir train_data "
    "train_file input input_file input_dir text text_file file files corpus source d i f",
    "run": "model model_path model_name checkpoint checkpoint_path ckpt ckpt_path from init_from "
    "pretrained resume name run out_dir model_name_or_path load m",
    "runs": "run models",
    "prompts": "prompt start text input question message p i",
    "source": "model from checkpoint input repo model_id",
    "dest": "output output_dir out out_dir o to save_dir outfile run",
    "model": "preset model config arch m",
    "base": "model model_path model_name model_name_or_path from checkpoint pretrained m",
    "name": "dataset corpus",
    "experiment": "name file config",
}
"""Arguments, which have no flag here, and the flags that others give them."""
RESUMES = "resume resume_from resume_training resume_from_checkpoint continue c restart"


def meanings(name: str, words: Table) -> list[str]:
    """Return the entries of a table in which others' `name` stands, in its order."""
    given = plain(name)
    return [ours for ours, others in words.items() if given in map(plain, others.split())]


def setting_named(name: str) -> str | None:
    """Return the setting of a model or a training that `name` means, if any."""
    ours = {plain(key): key for cls in (GPTConfig, TrainConfig) for key in field_types(cls)}
    return ours.get(plain(name)) or SETTINGS.get(plain(name))


def unknown_verb(name: str, known: list[str], group: str) -> str:
    """Return what to write in place of a verb that is not there, or not in its group."""
    if absent := meanings(name, ABSENT):
        return f"no verb '{name}': {absent[0]}"
    if ours := [one for one in meanings(name, VERBS) if one.startswith(group)]:
        return f"no verb '{name}': here it is 'groundup {ours[0]}'"
    if not group and Path(name).is_file():
        return f"no verb '{name}', but a file: 'groundup train {shlex.quote(name)}' trains on it"
    return f"no verb '{name}'; {nearest(name, known)}"


def _shape(argument: Any) -> str:
    """Return an argument as a usage line shows it."""
    name = argument.name.upper() + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def unknown_flag(given: str, context: Any) -> str:
    """Return what to write in place of a flag that the command of a click context lacks."""
    command, root = context.command, context.find_root()
    flags = [flag for p in command.params for flag in (*p.opts, *p.secondary_opts)]
    flags += context.help_option_names
    if given in (flag for p in root.command.params for flag in p.opts):
        verb = context.command_path.removeprefix(root.command_path)
        return f"{given}: it stands before the verb: '{root.command_path} {given}{verb}'"
    if "--run" in flags and meanings(given, {"resume": RESUMES}):
        return f"{given}: here the same command goes on, as does 'groundup resume RUN'"
    if argument := meanings(given, {key: ARGUMENTS[key] for key in flags if key in ARGUMENTS}):
        usage = " ".join(map(_shape, (p for p in command.params if not p.opts[0].startswith("-"))))
        return f"{given}: {argument[0].upper()} needs no flag: '{context.command_path} {usage}'"
    ours = [flag for flag in meanings(given, FLAGS) if flag in flags]
    if setting := setting_named(given):
        own = f"--{setting.replace('_', '-')}"
        ours = [own] if own in flags else ours or [f"--set {setting}=VALUE"] * ("--set" in flags)
    if ours:
        return f"{given}: here it is {' or '.join(ours)}"
    close = alike(given, flags, {}) if len(plain(given)) > 2 else []
    return f"no flag {given}{f'; did you mean {close[0]}?' if close else ''}"
