"""Models as Hugging Face keeps them: a folder with config.json, safetensors and a tokenizer."""

from groundup.weights.hf.hub import read_hub
from groundup.weights.hf.read import read_hf
from groundup.weights.hf.write import write_hf

__all__ = ["read_hf", "read_hub", "write_hf"]
