"""Names as users know them, safe to store and show."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.names import MAX_NAME_CHARS, clean_file_name, stem


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("0001.png", "0001.png"),
        ("night/0001.png", "night/0001.png"),
        ("night\\0001.png", "night/0001.png"),
        ("C:\\Users\\me\\a.png", "Users/me/a.png"),
        ("/etc/passwd", "etc/passwd"),
        ("../../a.png", "a.png"),
        ("./a//b/./c.png", "a/b/c.png"),
        ("a\x00b\r\n\x1b[31m.png", "ab[31m.png"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("Zu\u0308rich 日本.png", "Z\u00fcrich 日本.png"),
        (" a .png ", "a .png"),
        ("broken\udcff.png", "broken.png"),
        ("", "unnamed"),
        ("../..", "unnamed"),
    ],
)
def test_clean_file_name(raw: str, clean: str) -> None:
    assert clean_file_name(raw) == clean


def test_long_names_are_cut_and_stay_distinct() -> None:
    names = [clean_file_name("x" * 600 + end) for end in ("1.png", "2.png")]
    assert [len(name) for name in names] == [MAX_NAME_CHARS] * 2
    assert all(name.endswith(".png") for name in names)
    assert names[0] != names[1]


@given(st.text(st.characters(codec=None), max_size=700))
def test_any_text_becomes_a_safe_name(raw: str) -> None:
    name = clean_file_name(raw)
    assert 1 <= len(name) <= MAX_NAME_CHARS
    assert name.encode()
    assert unicodedata.is_normalized("NFC", name)
    assert not {"", ".", ".."} & set(name.split("/"))
    assert not any(unicodedata.category(c) == "Cc" for c in name)
    assert clean_file_name(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("night/frame.0001.png", "frame.0001"), ("a.png", "a"), ("a", "a"), (".hidden", ".hidden")],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected
