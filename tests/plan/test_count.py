import pytest

from groundup.config import PRESETS, parameter_shapes, preset
from groundup.plan import BYTES, block_parts, conventions, count_parameters

SIZES = ("gpt2-124m", "gpt2-355m", "gpt2-774m", "gpt2-1558m")
UNTIED = (163_009_536, 406_212_608, 838_220_800, 1_637_792_000)
UNTIED_MIB = (621.83, 1549.58, 3197.56, 6247.68)
TIED = (124_412_160, 354_749_440, 773_891_840, 1_557_380_800)
OPENAI = (124_439_808, 354_823_168, 774_030_080, 1_557_611_200)


@pytest.mark.parametrize("i", range(4))
def test_gpt2_by_its_three_conventions(i: int) -> None:
    totals = [count.total for count in conventions(preset(SIZES[i]))]
    assert totals == [UNTIED[i], TIED[i], OPENAI[i]]


@pytest.mark.parametrize("i", range(4))
def test_storage_of_the_untied_sizes(i: int) -> None:
    count = conventions(preset(SIZES[i]))[0]
    assert round(count.storage("fp32") / 2**20, 2) == UNTIED_MIB[i]
    assert count.storage("bf16") == count.storage("fp16") == 2 * count.total
    assert count.storage("int8") == count.total


def test_the_presets_are_openais_convention() -> None:
    for name, total in zip(SIZES, OPENAI, strict=True):
        count = count_parameters(preset(name))
        assert (count.total, count.convention) == (total, conventions(preset(name))[2].convention)


def test_one_block_of_the_small_model() -> None:
    block = block_parts(preset("gpt2-124m", qkv_bias=False))
    assert block["feed-forward"] == 4_722_432
    assert block["attention"] == 2_360_064
    assert block["normalisation"] == 4 * 768
    assert block["token embedding"] == block["output head"] == 0


@pytest.mark.parametrize("changes", [{}, {"n_layers": 1}, {"ffn_dim": 100}, {"qkv_bias": True}])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_counts_are_the_sums_of_the_shapes(name: str, tied: bool, changes: dict[str, int]) -> None:
    config = preset(name, tie_embeddings=tied, **changes)
    parts: dict[str, int] = {}
    for parameter in parameter_shapes(config):
        parts[parameter.part] = parts.get(parameter.part, 0) + parameter.size
    assert count_parameters(config).parts == parts
    assert ("output head" in parts) is not tied


def test_formats() -> None:
    assert BYTES == {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
