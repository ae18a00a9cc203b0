"""Which labels get in: literal candidates, and properties that hold for any."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_schemas.label_sets import LabelSelection
from domain.label_selection import Candidate, digest_of, figures_of, select

ROAD, SKY, CAR = 0, 1, 2


def label(name: str, quality: float | None = 0.8, **more: Any) -> Candidate:
    """A label of 1000 pixels, half of them kept."""
    fields = {"coverage": 0.5, "pixels": 1000, "class_pixels": {ROAD: 500}, **more}
    return Candidate(f"{name}.png", name, f"content {name}", f"lab_{name}", None, 1.0, quality,
                     **fields)  # fmt: skip


def by_people(name: str, weight: float = 1.0) -> Candidate:
    return Candidate(f"{name}.png", name, f"key {name}", None, f"key {name}", weight, reviewed=True)


def names_of(chosen: list[Candidate]) -> list[str]:
    return [c.image_digest for c in chosen]


def names(chosen: list[Candidate]) -> str:
    return "".join(c.image_digest for c in chosen)


CANDIDATES = [
    label("a", 0.9, class_pixels={ROAD: 500}),
    label("b", 0.4, class_pixels={ROAD: 400, CAR: 100}),
    by_people("c"),
    label("d", 0.8, class_pixels={ROAD: 300, SKY: 1}),
    label("e", 0.7, coverage=0.1, class_pixels={SKY: 100}),
    label("f", None, coverage=0.0, class_pixels={}),
]


class TestSelect:
    @pytest.mark.parametrize(
        ("selection", "classes", "expected"),
        [
            ({}, None, "abcde"),
            ({"min_quality": 0.8}, None, "acd"),
            ({"min_coverage": 0.5}, None, "abcd"),
            ({"reviewed_only": True}, None, "c"),
            ({"classes": ["sky"]}, [SKY], "cde"),
            ({"classes": ["car", "sky"]}, [CAR, SKY], "bcde"),
            ({"max_images": 9}, None, "abcde"),
            ({"max_images": 3}, None, "acd"),
            ({"max_images": 1}, None, "c"),
            ({"max_images": 3, "min_quality": 0.5, "classes": ["sky"]}, [SKY], "cde"),
            # road is what d, the best, shows; sky then has none that is better than e
            ({"max_images": 4, "balance": "classes"}, None, "abcd"),
        ],
    )
    def test_each_limit(
        self, selection: dict[str, Any], classes: list[int] | None, expected: str
    ) -> None:
        asked = LabelSelection.model_validate(selection)
        assert names(select(CANDIDATES, asked, classes)) == expected

    def test_balance_keeps_the_rare_class(self) -> None:
        many = [label(str(i), 0.9 - i / 100) for i in range(5)]
        rare = label("x", 0.1, class_pixels={ROAD: 10, CAR: 490})
        best = LabelSelection(max_images=3)
        balanced = LabelSelection(max_images=3, balance="classes")
        assert names(select([*many, rare], best, None)) == "012"
        assert names(select([*many, rare], balanced, None)) == "01x"

    def test_equal_quality_is_decided_by_the_image(self) -> None:
        limit = LabelSelection(max_images=1)
        assert names(select([label("b"), label("a")], limit, None)) == "a"
        assert names(select([label("a"), label("b")], limit, None)) == "a"

    def test_a_class_counts_from_a_thousandth_on(self) -> None:
        one = label("a", pixels=10_000, class_pixels={ROAD: 9, SKY: 10})
        assert one.classes == [SKY]
        assert label("b", pixels=10, class_pixels={ROAD: 1}).classes == [ROAD]


LABELS = st.lists(
    st.builds(
        lambda q, cover, pixels: (q, cover, pixels),
        st.one_of(st.none(), st.floats(0, 1)),
        st.floats(0, 1),
        st.dictionaries(st.integers(0, 3), st.integers(1, 1000), max_size=4),
    ),
    max_size=20,
)


@given(
    LABELS,
    st.integers(1, 8),
    st.sampled_from(["none", "classes"]),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_whatever_the_labels(
    found: Any, limit: int, balance: Any, reviewed: int, random: Any
) -> None:
    labels = [
        label(f"{i:02}", q, coverage=cover, class_pixels=pixels)
        for i, (q, cover, pixels) in enumerate(found)
    ]
    candidates = labels + [by_people(f"p{i}") for i in range(reviewed)]
    asked = LabelSelection(max_images=limit, balance=balance)
    chosen = select(candidates, asked, None)
    usable = [c for c in candidates if c.reviewed or (c.coverage and c.quality is not None)]
    assert len(chosen) == min(limit, len(usable))
    assert sum(c.reviewed for c in chosen) == min(limit, reviewed)
    assert [c for c in usable if c in chosen] == chosen
    shuffled = random.sample(candidates, len(candidates))
    if reviewed <= limit:
        assert sorted(names_of(select(shuffled, asked, None))) == sorted(names_of(chosen))
        assert digest_of("rs", select(shuffled, asked, None)) == digest_of("rs", chosen)


class TestDigest:
    def test_says_all_that_training_reads(self) -> None:
        classes, a, b = ["road", "sky"], label("a"), by_people("b")
        whole = digest_of(classes, [a, b])
        assert digest_of(classes, [b, a]) == whole
        others = [
            digest_of(["sky", "road"], [a, b]),
            digest_of(classes, [a]),
            digest_of(classes, [a, by_people("b", weight=2.0)]),
            digest_of(classes, [label("a2"), b]),
        ]
        assert len({whole, *others}) == 5

    def test_figures(self) -> None:
        figures = figures_of([CANDIDATES[0], CANDIDATES[1], CANDIDATES[2]])
        assert (figures.images, figures.reviewed) == (3, 1)
        assert figures.quality == pytest.approx(0.65)
        assert figures.coverage == pytest.approx(0.5)
        assert figures.class_pixels == {ROAD: 900, CAR: 100}
        assert figures.class_images == {ROAD: 2, CAR: 1}
        assert figures_of([]).quality is None
