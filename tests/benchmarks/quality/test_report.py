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


def test_regions_and_gains_are_shown_and_wide_results_are_split():
    names = [f"source_bn_psa_{variant}_nano" for variant in ("a", "b", "c", "d", "paper")]
    labels = {name: stage(0.5) for name in names}
    labels[names[0]]["regions"] = {
        "auroc": {"posterior": {"value": 0.875}, "confidence": {"value": None}},
        "decided_by": "job",
    }
    labels["source_bn_psa_paper_nano_filled"] = {
        **dict.fromkeys(FIGURES, 0.625),
        "intervals": {"miou_full": [0.5, 0.75]},
        "gain": {"miou_full": {"value": 0.1, "interval": [0.0625, 0.125]}},
    }
    result = {
        "data": "tiny",
        "labels": labels,
        "reliability": {"max_softmax": {"auroc": 0.75, "intervals": {}}},
        "models": {"source": {"target": {"miou": 0.4, "intervals": {"miou": [0.35, 0.45]}}}},
    }
    text = io.StringIO()
    print_result(result, Console(file=text, width=80))
    shown = text.getvalue()
    assert "…" not in shown
    for part in ("87.5", "job", "62.5 ", "[6.2, 12.5]", "filled"):
        assert part in shown
