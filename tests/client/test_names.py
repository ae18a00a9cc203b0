import pytest
from hypothesis import given
from hypothesis import strategies as st
from selvage_client.names import LONGEST_NAME_BYTES, SafeNames, safe_stem


@pytest.mark.parametrize(
    ("external_id", "stem"),
    [
        ("0001.png", "0001"),
        ("night/0001.JPEG", "night_0001"),
        ("frame.v2", "frame.v2"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc/passwd", "etc_passwd"),
        ("..\\..\\x.png", "_.._x"),
        ("..", "_"),
        (".png", "png"),
        ("", "_"),
        ("a\0b\nc", "a_b_c"),
        ("con.png", "_con"),
        ("LPT1", "_LPT1"),
        ("Straße 7.png", "Straße 7"),
        ("a:b*c?.png", "a_b_c_"),
    ],
)
def test_a_stem_stays_in_its_folder(external_id: str, stem: str) -> None:
    assert safe_stem(external_id) == stem


def test_the_same_name_is_given_once() -> None:
    names = SafeNames()
    stems = [names.stem(name) for name in ("a.png", "a.jpg", "A.png", "sub/a.png", "a.png")]
    assert stems[0] == "a"
    assert stems[3] == "sub_a"
    assert len({stem.casefold() for stem in stems}) == 5
    again = SafeNames()
    assert [again.stem(n) for n in ("a.png", "a.jpg", "A.png", "sub/a.png", "a.png")] == stems


@given(st.lists(st.text(max_size=300), max_size=20))
def test_any_ids_give_distinct_plain_file_names(external_ids: list[str]) -> None:
    names = SafeNames()
    stems = [names.stem(external_id) for external_id in external_ids]
    assert len({stem.casefold() for stem in stems}) == len(stems)
    for stem in stems:
        assert stem
        assert not stem.startswith(".")
        assert not set(stem) & set('/\\\0\n\r:*?"<>|')
        assert len(stem.encode()) <= LONGEST_NAME_BYTES + 20
