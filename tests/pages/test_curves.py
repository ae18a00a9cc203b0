from service.pages import confusion
from service.pages.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Series, chart


def test_a_line_goes_from_edge_to_edge() -> None:
    found = chart("t", ["start", "round 1", "round 2"], [Series("a", "line", [0.3, None, 0.5])])
    assert found is not None
    (line,) = found.lines
    assert [p.value for p in line.points] == [0.3, 0.5]
    assert [p.x for p in line.points] == [LEFT, WIDTH - RIGHT]
    assert line.points[0].y > line.points[1].y  # up is better
    assert all(TOP <= p.y <= HEIGHT - BOTTOM for p in line.points)
    assert line.path.startswith("M44.0 ")
    assert [round(100 * value) for _, value in found.ticks] == [24, 31, 38, 45, 52]


def test_one_value_is_a_point() -> None:
    found = chart("t", ["round 1"], [Series("a", "line", [1.0])])
    assert found is not None
    assert found.lines[0].path == ""
    assert len(found.lines[0].points) == 1
    assert found.ticks[-1][1] == 1.0


def test_nothing_measured_is_no_chart() -> None:
    assert chart("t", ["round 1"], [Series("a", "line", [None])]) is None


def test_many_rounds_have_few_labels() -> None:
    columns = [f"round {i}" for i in range(50)]
    found = chart("t", columns, [Series("a", "line", [0.5] * 50)])
    assert found is not None
    assert len(found.labels) == 10


def test_a_matrix_of_shares() -> None:
    document = {
        "classes": ["road", "sky", "car"],
        "pixels": [[90, 5, 0, 5], [0, 0, 0, 0], [1, 0, 999, 0]],
    }
    found = confusion.of_result({"confusion": document})
    assert found is not None
    assert found.columns == ["road", "sky", "car", "dropped"]
    rows = {name: [cell.text for cell in cells] for name, cells in found.rows}
    assert rows == {"road": ["90", "5", "", "5"], "car": ["<1", "", "100", ""]}
    assert [cell.is_hit for cell in found.rows[1][1]] == [False, False, True, False]
    assert [cell.level for cell in found.rows[0][1]] == [5, 2, 0, 2]


def test_results_without_a_matrix() -> None:
    assert confusion.of_result(None) is None
    assert confusion.of_result({"quality": {}}) is None
