import pytest

from models.connectivity.config import VARIANTS, AggregateConfig
from models.connectivity.variants import VARIANT_SETTINGS, psa_settings


def test_each_variant_has_its_constants():
    assert set(VARIANT_SETTINGS) == set(VARIANTS)
    for name, settings in VARIANT_SETTINGS.items():
        assert psa_settings(AggregateConfig(variant=name)) == settings


def test_constants_of_paper_and_public_code():
    paper, code = VARIANT_SETTINGS["paper"], VARIANT_SETTINGS["public-code"]
    assert (code.least_share, code.box, code.box_factor, code.points) == (0.2, "offset", 1.25, 2)
    assert (paper.least_share, paper.box, paper.box_factor, paper.points) == (0, "area", 1.5, 1)
    assert paper.start == code.start == "nothing"
    assert paper.least_coverage == code.least_coverage == 0
    assert (paper.align, paper.prompt) == (code.align, code.prompt) == ("stuff", "things")


@pytest.mark.parametrize("variant", VARIANTS)
def test_constants_that_are_given_override_the_variant(variant):
    given = AggregateConfig(variant=variant, start="nothing", least_share=0.125, least_coverage=1)
    settings = psa_settings(given)
    assert (settings.start, settings.least_share, settings.least_coverage) == ("nothing", 0.125, 1)
    given = AggregateConfig(variant=variant, align="none", prompt="all")
    settings = psa_settings(given)
    assert (settings.align, settings.prompt) == ("none", "all")
    assert settings.box == VARIANT_SETTINGS[variant].box
    assert psa_settings(AggregateConfig(variant=variant, least_share=0)).least_share == 0
