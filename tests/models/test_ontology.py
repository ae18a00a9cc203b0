import pytest

from models.ontology import ClassInfo, Ontology, distinct_color

ROAD = {"id": 0, "name": "road", "kind": "stuff", "color": [128, 64, 128]}
CAR = {"id": 1, "name": "car", "kind": "thing", "color": [0, 0, 142]}


def test_round_trip():
    data = {"name": "street", "classes": [ROAD, CAR]}
    ontology = Ontology.from_dict(data)
    assert ontology.num_classes == 2
    assert ontology.classes[1] == ClassInfo(1, "car", "thing", (0, 0, 142))
    assert ontology.to_dict() == data


def test_defaults():
    ontology = Ontology.from_dict({"classes": [{"name": "a"}, {"name": "b"}]})
    assert [c.kind for c in ontology.classes] == ["stuff", "stuff"]
    assert [c.color for c in ontology.classes] == [(128, 0, 0), (0, 128, 0)]
    assert ontology == Ontology.from_names("classes", ["a", "b"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "an object"),
        ({"classes": []}, "1 to 255 classes"),
        ({"classes": [{"name": str(i)} for i in range(256)]}, "this one has 256"),
        ({"name": "", "classes": [ROAD]}, "non-empty string"),
        ({"classes": [ROAD, {**CAR, "id": 2}]}, "place 1 has id 2"),
        ({"classes": [ROAD, {**CAR, "name": "road"}]}, "more than once: road"),
        ({"classes": [{**ROAD, "name": 3}]}, "class 0 has no name"),
        ({"classes": [{"id": 0}]}, "at least a name"),
        ({"classes": [{**ROAD, "kind": "blob"}]}, "not 'blob'"),
        ({"classes": [{**ROAD, "color": [1, 2, 256]}]}, "integers in 0..255"),
        ({"classes": [{**ROAD, "color": "red"}]}, "integers in 0..255"),
    ],
)
def test_broken_ontologies(data, reason):
    with pytest.raises(ValueError, match=reason):
        Ontology.from_dict(data)


def test_colors_are_distinct_and_not_black():
    colors = {distinct_color(i) for i in range(255)}
    assert len(colors) == 255
    assert (0, 0, 0) not in colors
    assert distinct_color(15) == (0, 64, 0)
