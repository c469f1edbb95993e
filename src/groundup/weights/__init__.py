"""Other people's names and formats: Hugging Face folders, GGUF, checkpoints; in and out.

Each name is imported on first use: what is refused without torch does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundup.base.lazy import on_first_use

if TYPE_CHECKING:
    from groundup.weights.adapter_folders import import_merged as import_merged
    from groundup.weights.adapter_folders import import_with_base as import_with_base
    from groundup.weights.adapter_runs import export_adapter as export_adapter
    from groundup.weights.adapter_runs import import_adapter as import_adapter
    from groundup.weights.convert import Conversion as Conversion
    from groundup.weights.convert import export_model as export_model
    from groundup.weights.convert import import_model as import_model

_MODULES = {
    "Conversion": "convert",
    "export_adapter": "adapter_runs",
    "export_model": "convert",
    "import_adapter": "adapter_runs",
    "import_merged": "adapter_folders",
    "import_model": "convert",
    "import_with_base": "adapter_folders",
}

__all__ = [*_MODULES]
__getattr__ = on_first_use("groundup.weights", _MODULES)
