from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.adaptation.data import TargetSample
from tests.models.adaptation.steps import one_step, term, train
from tests.models.adaptation.test_region_pool import region
from tests.models.adaptation.toys import target


def box(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((24, 24), bool)
    mask[rows, columns] = True
    return mask


def samples(decision: str = "kept") -> list[TargetSample]:
    """Targets of which the upper half is one region."""
    found = []
    for each in target(kept=2.0):
        mask = box(slice(0, 12), slice(0, 24))
        entry = region(mask, None if decision == "rejected" else int(each.label[0, 0]), decision)
        label = np.where(mask, np.uint8(255), each.label) if decision == "rejected" else each.label
        found.append(replace(each, label=label, regions={"regions": [entry]}))
    return found


def test_rejected_regions_get_no_label_of_the_teacher():
    known = samples("rejected")
    kept = {}
    for name, terms in (("without", []), ("with", [term("connectivity", regions_of_image=0)])):
        found = one_step(terms, samples=known, recipe_changes={"online_threshold": 0.0})
        kept[name] = found.outputs.pseudo.kept
        rejected = found.outputs.inputs.target.rejected
        assert rejected.any()
        assert not rejected.all()
        assert bool((kept[name] & rejected).any()) is (name == "without")
    # Elsewhere the teacher fills what is left.
    assert torch.equal(kept["without"] & ~rejected, kept["with"] & ~rejected)


def test_people_know_better_than_the_correction():
    known = [replace(each, reviewed=True) for each in samples("rejected")]
    found = one_step(
        [term("connectivity")], samples=known, recipe_changes={"online_threshold": 0.0}
    )
    assert (found.outputs.pseudo.kept & found.outputs.inputs.target.rejected).any()


def with_rare() -> list[TargetSample]:
    """Targets with many regions of class 0 and a single one of class 2."""
    found: list[Any] = []
    for number, each in enumerate(target()):
        entries = [region(box(slice(0, 8), slice(0, 8)), 0) for _ in range(10)]
        if number == 0:
            entries.append(region(box(slice(12, 16), slice(4, 8)), 2))
        found.append(replace(each, regions={"regions": entries}))
    return found


def test_rare_classes_are_pasted_more_often():
    known = with_rare()
    connectivity = term(
        "connectivity", regions_of_image=1, least_area_px=1, largest_share=1.0, least_reliability=0
    )
    connectivity.prepare(known)
    classes = []
    for step in range(12):
        before = one_step([], step=step, samples=known).outputs.mixed
        after, again = (
            one_step([connectivity], step=step, samples=known).outputs.mixed for _ in range(2)
        )
        for own, other in zip(before.labels, after.labels, strict=True):
            classes += torch.unique(other[own != other]).tolist()
        assert torch.equal(
            after.images, one_step([connectivity], step=step, samples=known).outputs.mixed.images
        )
    assert classes.count(2) > classes.count(0)


def test_nothing_is_pasted_without_regions():
    connectivity = term("connectivity")
    connectivity.prepare(target())
    plain, found = (one_step(terms).outputs.mixed for terms in ([], [connectivity]))
    assert torch.equal(plain.images, found.images)
    assert torch.equal(plain.labels, found.labels)


def test_it_has_no_loss_of_its_own_and_works_in_all_settings():
    for setting in ("uda", "source_free", "black_box"):
        _, reports = train({"connectivity": {}}, setting, steps=2, samples=with_rare())
        assert reports[-1].losses["connectivity"] == 0
        assert reports[-1].losses["mixed"] > 0
