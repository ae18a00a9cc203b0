import json

from formats.regions_json import encode_regions_json


def test_equal_documents_give_equal_bytes() -> None:
    one = {"size": [2, 3], "regions": [{"quality": 0.12345678, "area": 4}]}
    other = {"regions": [{"area": 4, "quality": 0.1234567891}], "size": (2, 3)}
    assert encode_regions_json(one) == encode_regions_json(other)
    assert encode_regions_json(one) == (
        b'{"format_version":1,"regions":[{"area":4,"quality":0.123457}],"size":[2,3]}'
    )


def test_what_is_no_number_is_null() -> None:
    found = json.loads(encode_regions_json({"posterior": float("nan"), "probability": 1.0}))
    assert found == {"format_version": 1, "posterior": None, "probability": 1.0}
