"""The recipe on the wire is the recipe of the training process."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api_schemas.recipes import AugmentationRanges, TrainingRecipe
from models.adaptation.config import Augmentation, Recipe


def test_same_keys_and_defaults() -> None:
    assert set(TrainingRecipe.model_fields) == {f.name for f in fields(Recipe)}
    assert set(AugmentationRanges.model_fields) == {f.name for f in fields(Augmentation)}
    assert TrainingRecipe().model_dump(mode="json") == Recipe().to_dict()


NUMBERS = st.one_of(st.integers(-5, 2000), st.floats(-2, 20), st.sampled_from([0, 1, 1e3, 1e7]))
NAMES = sorted(f.name for f in fields(Recipe))


@given(st.sampled_from(NAMES), NUMBERS)
def test_what_one_refuses_the_other_refuses(name: str, value: float) -> None:
    try:
        asked = TrainingRecipe.model_validate({name: value})
    except ValidationError:
        with pytest.raises(ValueError, match=name):
            Recipe.from_dict({name: value})
    else:  # a whole number such as 4.0 becomes 4
        assert Recipe.from_dict(asked.model_dump(mode="json")).to_dict()[name] == value


def test_ranges_and_terms() -> None:
    given = {"augmentation": {"gain": [0.5, 1.0]}, "crop_hw": [64, 96], "terms": {"pull": {"w": 1}}}
    asked = TrainingRecipe.model_validate(given).model_dump(mode="json", exclude_unset=True)
    assert Recipe.from_dict(asked) == Recipe.from_dict(given)
