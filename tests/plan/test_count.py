import pytest

from groundup.config import PRESETS, parameter_shapes, preset
from groundup.plan import BYTES, block_parts, conventions, count_parameters

PUBLISHED = {
    "pico": 1_328_512,
    "nano": 2_557_888,
    "micro": 12_195_456,
    "mini": 27_403_776,
    "speedrun": 926_464,
    "gpt2-pico": 1_325_824,
    "gpt2-nano": 2_590_848,
    "gpt2-micro": 12_318_720,
    "gpt2-mini": 27_579_392,
    "gpt2-124m": 124_439_808,
    "gpt2-355m": 354_823_168,
    "gpt2-774m": 774_030_080,
    "gpt2-1558m": 1_557_611_200,
    "gpt3-125m": 125_226_240,
    "gpt3-350m": 355_871_744,
    "gpt3-760m": 760_300_032,
    "gpt3-2.7b": 2_651_553_280,
    "gpt3-6.7b": 6_658_404_352,
    "gpt3-175b": 174_604_259_328,
    "llama2-7b": 6_738_415_616,
    "llama3-8b": 8_030_261_248,
    "llama3.1-8b": 8_030_261_248,
    "llama3.2-1b": 1_235_814_400,
    "llama3.2-3b": 3_212_749_824,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2-0.5b": 494_032_768,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-30b-a3b": 30_532_122_624,
    "gemma2-2b": 2_614_341_888,
    "gemma2-9b": 9_241_705_984,
    "gemma2-27b": 27_227_128_320,
    "gemma3-270m": 268_098_176,
    "gemma3-1b": 999_885_952,
    "olmo2-1b": 1_484_916_736,
    "olmo2-7b": 7_298_617_344,
    "olmo2-13b": 13_716_198_400,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "olmo3-7b": 7_298_011_136,
    "olmo3-32b": 32_233_522_176,
    "smollm3-3b": 3_075_098_624,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "tinystories-33m": 68_514_048,
    "gpt-neo-125m": 125_198_592,
    "gpt-neo-1.3b": 1_315_575_808,
    "gpt-neo-2.7b": 2_651_307_520,
    # Theirs have two more rows of positions, which nothing looks up.
    "opt-125m": 125_239_296 - 2 * 768,
    "opt-1.3b": 1_315_758_080 - 2 * 2048,
    "opt-2.7b": 2_651_596_800 - 2 * 2560,
    "opt-6.7b": 6_658_473_984 - 2 * 4096,
    "phi-1.5": 1_418_270_720,
    "phi-2": 2_779_683_840,
    "phi3-mini": 3_821_079_552,
    "phi4": 14_659_507_200,
    "phi4-mini": 3_836_021_760,
    "gemma-2b": 2_506_172_416,
    "gemma-7b": 8_537_680_896,
    "gemma3-4b": 3_880_263_168,
    "starcoder2-3b": 3_030_371_328,
    "starcoder2-7b": 7_173_923_840,
    "starcoder2-15b": 15_957_889_024,
    "afm-4.5b": 4_619_184_640,
    "ministral-8b": 8_019_808_256,
    "seed-oss-36b": 36_151_104_512,
    "glm4-9b": 9_400_279_040,
    "command-r7b": 8_028_033_024,
}
"""Parameters of the published weights, as the files beside them say (tied matrices once); those of
GPT-3, which was not published, agree with the paper's table D.1 in every digit that it prints."""
GPT3_MILLIONS = {"125m": 125, "350m": 356, "760m": 760, "2.7b": 2650, "6.7b": 6660}

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


def test_every_preset_has_its_published_size() -> None:
    assert {name: count_parameters(preset(name)).total for name in PRESETS} == PUBLISHED


def test_gpt3_is_that_of_its_paper() -> None:
    for name, millions in GPT3_MILLIONS.items():
        total = count_parameters(preset(f"gpt3-{name}")).total
        assert float(f"{total / 1e6:.3g}") == millions
    assert round(count_parameters(preset("gpt3-175b")).total, -8) == 174_600_000_000


@pytest.mark.parametrize(
    ("name", "active", "published"),
    [
        ("mixtral-8x7b", 12_879_925_248, "12.9"),  # Jiang et al., 2024: 13B; model card: 12.9B
        ("qwen3-30b-a3b", 3_353_032_704, "3.4"),  # Yang et al., 2025, table 2: 3B; card: 3.3B
    ],
)
def test_parameters_at_work_on_a_token(name: str, active: int, published: str) -> None:
    config = preset(name)
    count = count_parameters(config)
    assert count.active == active
    assert f"{active / 1e9:.1f}" == published
    few = config.replace(n_experts=config.n_active_experts)
    idle_scores = (config.n_experts - few.n_experts) * config.emb_dim * config.n_layers
    assert count.active == count_parameters(few).total + idle_scores, "the router scores all"


def test_without_experts_every_parameter_works() -> None:
    for name in ("nano", "gemma2-2b"):
        count = count_parameters(preset(name))
        assert count.active == count.total


def test_only_gpt2_has_the_conventions_of_gpt2() -> None:
    totals = {c.convention: c.total for c in conventions(preset("llama3.2-1b"))}
    assert totals == {"untied": 1_498_482_688, "tied": 1_235_814_400}
    biased = [c.convention for c in conventions(preset("qwen2.5-7b"))]
    assert biased == [f"{tied}, with query-key-value bias" for tied in ("untied", "tied")]
    named = {name for name in PRESETS if "GPT-2" in count_parameters(preset(name)).convention}
    assert named == {name for name in PRESETS if name.startswith(("gpt2", "gpt3"))}
    assert len(conventions(preset("gpt2-nano"))) == 3
    assert len(conventions(preset("gpt2-nano", feed_forward="swiglu"))) == 2


def test_one_block_of_the_small_model() -> None:
    block = block_parts(preset("gpt2-124m", qkv_bias=False))
    assert block["feed-forward"] == 4_722_432
    assert block["attention"] == 2_360_064
    assert block["normalisation"] == 4 * 768
    assert block["token embedding"] == block["output head"] == 0


@pytest.mark.parametrize("changes", [{}, {"n_layers": 1}, {"ffn_dim": 100}, {"qkv_bias": True}])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["nano", "llama3.2-1b", "gemma3-270m", "olmo2-1b", "mixtral-8x7b"])
def test_counts_are_the_sums_of_the_shapes(name: str, tied: bool, changes: dict[str, int]) -> None:
    config = preset(name, tie_embeddings=tied, **changes)
    parts: dict[str, int] = {}
    for parameter in parameter_shapes(config):
        parts[parameter.part] = parts.get(parameter.part, 0) + parameter.size
    assert count_parameters(config).parts == parts
    assert ("output head" in parts) is not tied


def test_formats() -> None:
    assert BYTES == {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
