from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from formats.label_setup import cvat_labels, label_studio_config

NAMES = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8, unique=True)


class TestLabelStudio:
    def test_as_it_stands(self) -> None:
        assert label_studio_config(["road", "sky"], [(128, 64, 128), (70, 130, 180)]) == (
            "<View>\n"
            '  <Image name="image" value="$image" zoom="true"/>\n'
            '  <BrushLabels name="seg" toName="image">\n'
            '    <Label value="road" background="#804080"/>\n'
            '    <Label value="sky" background="#4682b4"/>\n'
            "  </BrushLabels>\n"
            "</View>\n"
        )

    @given(NAMES)
    def test_any_name_survives_as_far_as_xml_can_hold_it(self, names: list[str]) -> None:
        document = label_studio_config(names, [(0, 0, 0)] * len(names))
        root = ElementTree.fromstring(document.encode("utf-8"))
        found = [label.get("value") for label in root.iter("Label")]
        legal = "".join(chr(c) for c in (9, 10, 13))
        assert found == [
            "".join(c if c in legal or (c >= " " and c not in "\ufffe\uffff") else "\ufffd"
                    for c in name)
            for name in names
        ]  # fmt: skip

    def test_nothing_gets_out_of_the_attribute(self) -> None:
        name = "\"/><Image value='x'/>&amp;<!--"
        root = ElementTree.fromstring(label_studio_config([name], [(1, 2, 3)]))
        assert [label.get("value") for label in root.iter("Label")] == [name]
        assert len(list(root.iter("Image"))) == 1


def test_cvat_labels() -> None:
    assert cvat_labels(["road", "a:b"], [(128, 64, 128), (128, 64, 128)]) == [
        {"name": "road", "color": "#804080", "type": "mask", "attributes": []},
        {"name": "a_b", "color": "#008000", "type": "mask", "attributes": []},
    ]
