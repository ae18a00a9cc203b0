import io
from typing import Any

from rich.console import Console

from benchmarks.quality.report import print_result
from models.metrics.quality import FIGURES


def stage(value: float | None) -> dict[str, Any]:
    figures = dict.fromkeys(FIGURES, value)
    return {
        **figures,
        "intervals": {"miou_full": [0.1, None]},
        "rival": dict.fromkeys(FIGURES, 0.25),
    }


def test_tables_fit_80_columns_and_show_percent_and_rivals():
    result = {
        "data": "tiny",
        "labels": {
            "predict": stage(0.5),
            "select": stage(None),
            "source_bn_predict": stage(1.0),
            "source_bn_select": stage(1.0),
        },
        "reliability": {"max_softmax": {"auroc": 0.75, "intervals": {}}},
        "models": {"source": {"target": {"miou": 0.4, "intervals": {"miou": [0.35, 0.45]}}}},
    }
    text = io.StringIO()
    print_result(result, Console(file=text, width=80))
    shown = text.getvalue()
    assert "…" not in shown
    for cell in ("50.0 (25.0)", "– (25.0)", "[10.0, –]", "75.0", "40.0 [35.0, 45.0]"):
        assert cell in shown
