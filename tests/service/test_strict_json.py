import json

import pytest

from api_schemas.problems import ValidationProblem
from service.strict_json import parse_json


class TestParseJson:
    @pytest.mark.parametrize(
        ("data", "document"),
        [
            (b'{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}', {"a": [1, 2.5, None, True, "😀"]}),
            (b'"\\\\u0000"', "\\u0000"),  # a backslash and letters, no zero byte
            (b"[" * 200 + b"]" * 200, None),
            (b"1e308", 1e308), (b"123456789012345678901234567890", 123456789012345678901234567890),
        ],
    )  # fmt: skip
    def test_good(self, data: bytes, document: object) -> None:
        assert parse_json(data) == (json.loads(data) if document is None else document)

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"{", b"{}x", b"NaN", b"[Infinity]", b"-Infinity", b"1e309", b"-1e9999",
            b"1" + b"0" * 400 + b".0", b"9" * 5000, b'"\\u0000"', b'{"a\\u0000": 1}',
            b'[{"x": ["\\u0000"]}]', b'"\\ud800"', b'"\xff"', b"\xef\xbb\xbf{}", b"[" * 201,
            b"[" * 10**6, b"'a'", b"{a: 1}", b"[1,]", "{}".encode("utf-16"),
        ],
    )  # fmt: skip
    def test_refused(self, data: bytes) -> None:
        with pytest.raises(ValidationProblem) as caught:
            parse_json(data)
        assert caught.value.errors
        assert len(caught.value.detail) < 200
