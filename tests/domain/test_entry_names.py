from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from domain.entry_names import name_key, unique_names


class Names:
    """The names that a set has, and how often it was asked."""

    def __init__(self, *names: str) -> None:
        self.keys = {name_key(name) for name in names}
        self.questions = 0

    def taken(self, keys: Collection[str]) -> set[str]:
        self.questions += 1
        return self.keys & set(keys)

    def add(self, names: list[str]) -> None:
        new = {name_key(name) for name in names}
        assert len(new) == len(names)
        assert not new & self.keys
        self.keys |= new


class TestUniqueNames:
    def test_nothing_is_taken(self) -> None:
        names = Names()
        assert unique_names(["a.png", "b.png"], 0, names.taken) == ["a.png", "b.png"]
        assert names.questions == 1

    def test_small_numbers_first_then_the_position(self) -> None:
        chosen = unique_names(["a.png"] * 6, 10, Names().taken)
        assert chosen == [
            "a.png", "a (2).png", "a (3).png", "a (4).png", "a (15).png", "a (16).png",
        ]  # fmt: skip

    def test_names_that_differ_in_case_only(self) -> None:
        wanted = ["A.png", "a.PNG", "\u00c4.png", "\u00e4.png", "Stra\u00dfe", "STRASSE"]
        assert unique_names(wanted, 0, Names().taken) == [
            "A.png", "a (2).PNG", "\u00c4.png", "\u00e4 (2).png", "Stra\u00dfe", "STRASSE (2)",
        ]  # fmt: skip

    def test_names_that_look_like_numbered_ones(self) -> None:
        wanted = ["a.png", "a.png", "a (2).png", "a (3).png"]
        chosen = unique_names(wanted, 0, Names("a (4).png").taken)
        assert chosen[0] == "a.png"
        assert chosen[2:] == ["a (2).png", "a (3).png"]
        assert len({name_key(name) for name in chosen}) == 4
        assert name_key(chosen[1]) != name_key("a (4).png")

    def test_without_extension(self) -> None:
        chosen = unique_names(["x", "x", ".png", ".png"], 0, Names().taken)
        assert chosen == ["x", "x (2)", ".png", ".png (2)"]

    def test_a_thousand_times_one_name_in_batches(self) -> None:
        names = Names()
        for start in range(0, 1000, 100):
            before = names.questions
            names.add(unique_names(["frame.png"] * 100, start, names.taken))
            assert names.questions - before <= 2

    @given(
        st.lists(
            st.lists(
                st.sampled_from(["a", "A", "a (2)", "a (3)", "a (4)", "a (5)", "A (6)", "b.x"]),
                max_size=8,
            ),
            max_size=5,
        )
    )
    def test_never_twice(self, batches: list[list[str]]) -> None:
        names, position = Names(), 0
        for batch in batches:
            chosen = unique_names(batch, position, names.taken)
            names.add(chosen)
            position += len(batch)
