"""Recipes to and from JSON."""

import json

import pytest

from models.adaptation.config import Augmentation, Recipe
from models.errors import ConfigError


def test_a_recipe_survives_json():
    recipe = Recipe(
        crop_hw=(64, 96),
        augmentation=Augmentation(gamma=(1.0, 1.0)),
        terms={"pull": {"weight": 0.1}},
    )
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_absent_keys_take_defaults():
    assert Recipe.from_dict({}) == Recipe()
    assert Recipe.from_dict({"augmentation": {"flip": 0.0}}).augmentation == Augmentation(flip=0.0)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], ""),
        ({"learning_rat": 1}, "learning_rat"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"crop_hw": 64}, "crop_hw"),
        ({"crop_hw": [64]}, "crop_hw"),
        ({"normalisation": "none"}, "normalisation"),
        ({"labels": ""}, "labels"),
        ({"reliability_weights": 1}, "reliability_weights"),
        ({"terms": []}, "terms"),
        ({"terms": {"pull": 1}}, "terms"),
        ({"augmentation": {"gamma": [2, 1]}}, "augmentation.gamma"),
        ({"augmentation": {"gama": [1, 2]}}, "augmentation.gama"),
        ({"augmentation": {"flip": "often"}}, "augmentation.flip"),
    ],
)
def test_what_is_wrong_is_named(data, path):
    with pytest.raises(ConfigError) as refused:
        Recipe.from_dict(data)
    assert refused.value.path == path
