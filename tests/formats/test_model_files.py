"""Which files make up a model, and what their first bytes must be."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import InputRefused
from formats.model_files import check_contents, check_safetensors, flat_names

TENSOR = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}


def file_of(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


GOOD = file_of(
    {
        "__metadata__": {"format": "pt"},
        "a": TENSOR,
        "b": {"dtype": "U8", "shape": [], "data_offsets": [12, 13]},
        "c": {"dtype": "F32", "shape": [0, 9], "data_offsets": [13, 13]},
    },
    bytes(13),
)


def refusal(data: bytes) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        check_safetensors(io.BytesIO(data), "a.safetensors", len(data))
    return caught.value


class TestNames:
    def test_one_folder_is_stripped_and_read_mes_are_left_out(self) -> None:
        names = ["m/config.json", "m/model.safetensors", "m/README.md", "m/LICENSE", "m/a.txt"]
        assert flat_names(names) == {
            "m/config.json": "config.json",
            "m/model.safetensors": "model.safetensors",
            "m/a.txt": "a.txt",
        }

    def test_a_read_me_beside_the_folder_does_not_count(self) -> None:
        flat = flat_names(["README.md", "m/bundle.json", "m/w.safetensors"])
        assert set(flat.values()) == {"bundle.json", "w.safetensors"}

    @pytest.mark.parametrize(
        ("extra", "code"),
        [("a.PTH", "model-is-pickle"), ("a.Py", "model-has-code"), ("a.tgz", "archive-unsafe"),
         ("a", "model-unreadable"), ("b.JSON", "model-unreadable"),
         ("config.JSON", "model-unreadable"),
         ("x/config.json", "model-unreadable"), ("config.json", "model-unreadable")],
    )  # fmt: skip
    def test_one_file_too_many(self, extra: str, code: str) -> None:
        with pytest.raises(InputRefused) as caught:
            flat_names(["config.json", "model.safetensors", extra])
        assert caught.value.code == code


class TestSafetensors:
    def test_good(self) -> None:
        check_safetensors(io.BytesIO(GOOD), "a.safetensors", len(GOOD))

    def test_a_length_that_looks_like_a_pickle_or_a_zip_is_a_length(self) -> None:
        """0x0280 begins like a pickle of protocol 2, 0x4B50 like a zip."""
        for length in (0x0280, 0x0480, 0x4B50):
            header = json.dumps({"a": TENSOR}).encode().ljust(length)
            data = length.to_bytes(8, "little") + header + bytes(12)
            check_safetensors(io.BytesIO(data), "a.safetensors", len(data))

    @pytest.mark.parametrize("head", [b"\x80\x02}q\x00.", b"\x80\x05\x95\x00", b"PK\x03\x04"])
    def test_pickles(self, head: bytes) -> None:
        assert refusal(head + b"\xff" * 40).code == "model-is-pickle"

    @pytest.mark.parametrize(
        "tensors",
        [
            {"a": TENSOR, "b": TENSOR},
            {"a": {**TENSOR, "data_offsets": [1, 13]}},
            {"a": {**TENSOR, "shape": [2, True]}},
            {"a": {**TENSOR, "shape": [2, 3.0]}},
            {"a": {**TENSOR, "shape": [1] * 17}},
            {"a": {**TENSOR, "dtype": []}},
            {"a": {**TENSOR, "data_offsets": [0]}},
            {"a": None},
            {},
        ],
    )
    def test_headers_that_do_not_fit(self, tensors: object) -> None:
        assert refusal(file_of(tensors, bytes(12))).code == "model-unreadable"

    @settings(max_examples=500, deadline=None)
    @given(st.data())
    def test_any_change_is_taken_or_refused(self, data: st.DataObject) -> None:
        changed = bytearray(GOOD)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(changed) - 1))
            changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        with contextlib.suppress(InputRefused):
            check_safetensors(io.BytesIO(bytes(changed)), "a.safetensors", len(changed))


def test_contents_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(GOOD)
    (tmp_path / "config.json").write_text('{"a": [{"auto_map": null, "trust_remote_code": false}]}')
    (tmp_path / "notes.txt").write_bytes(b"\xff\x00 any text")
    check_contents(tmp_path)
    deep = '{"a":' * 500 + '{"auto_map": {"x": "y"}}' + "}" * 500
    (tmp_path / "config.json").write_text(deep)
    with pytest.raises(InputRefused) as caught:
        check_contents(tmp_path)
    assert caught.value.code == "model-has-code"
