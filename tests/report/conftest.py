"""The run folder of `tests/runs`."""

from tests.runs.conftest import make_run  # noqa: F401
