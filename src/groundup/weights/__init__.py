"""Other people's names and formats: Hugging Face folders, GGUF, nanoGPT; in and out."""

from groundup.weights.convert import Conversion, export_model, import_model

__all__ = ["Conversion", "export_model", "import_model"]
