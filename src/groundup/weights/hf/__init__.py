"""Models as Hugging Face keeps them: a folder with config.json, safetensors and a tokenizer."""

from groundup.weights.hf.hub import fetch_hub
from groundup.weights.hf.read import read_hf
from groundup.weights.hf.write import write_hf

__all__ = ["fetch_hub", "read_hf", "write_hf"]
