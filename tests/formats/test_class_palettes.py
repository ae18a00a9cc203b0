from hypothesis import given
from hypothesis import strategies as st

from formats.class_palettes import cvat_names, distinct_colours, hex_colour
from formats.classes_json import default_palette

COLOURS = st.none() | st.sampled_from(
    [(0, 0, 0), (9, 9, 9), *default_palette(255)[:3], *default_palette(255)[-3:]]
)


class TestColours:
    @given(st.lists(COLOURS, max_size=255))
    def test_distinct_and_never_black(self, colours: list[tuple[int, int, int] | None]) -> None:
        found = distinct_colours(colours)
        assert len(found) == len(colours)
        assert len({*found, (0, 0, 0)}) == len(colours) + 1

    @given(st.lists(COLOURS, max_size=255))
    def test_the_first_of_a_colour_keeps_it(
        self, colours: list[tuple[int, int, int] | None]
    ) -> None:
        found = distinct_colours(colours)
        for colour in {c for c in colours if c not in (None, (0, 0, 0))}:
            assert found[colours.index(colour)] == colour

    def test_defaults_are_those_of_the_class(self) -> None:
        assert distinct_colours([None] * 255) == list(default_palette(255))
        assert distinct_colours([(9, 9, 9), None]) == [(9, 9, 9), default_palette(2)[1]]

    def test_all_black(self) -> None:
        assert distinct_colours([(0, 0, 0)] * 255) == list(default_palette(255))

    def test_hex(self) -> None:
        assert hex_colour((0, 10, 255)) == "#000aff"


class TestCvatNames:
    def test_what_is_fine_stays(self) -> None:
        assert cvat_names(["road", "traffic light", "Straße", "道路"]) == [
            "road", "traffic light", "Straße", "道路",
        ]  # fmt: skip

    def test_colons_and_line_breaks_go(self) -> None:
        assert cvat_names(["a:b", "c\nd", " e ", ":", "\u2028"]) == ["a_b", "c_d", "e", "_", "__2"]

    def test_names_stay_apart(self) -> None:
        assert cvat_names(["a:b", "a_b", "a\nb"]) == ["a_b_2", "a_b", "a_b_3"]

    @given(st.lists(st.text("ab:_2\n ", min_size=1, max_size=4), max_size=8, unique=True))
    def test_one_line_no_colon_no_two_alike(self, names: list[str]) -> None:
        found = cvat_names(names)
        assert len(set(found)) == len(names)
        assert all(name and name.isprintable() and ":" not in name for name in found)
        assert cvat_names(found) == found
