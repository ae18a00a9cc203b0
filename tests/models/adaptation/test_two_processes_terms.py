"""Methods in two processes over gloo do what they do in one with twice the batch."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from models.adaptation.registry import TERM_KINDS, build_terms
from models.adaptation.training import TrainingState
from tests.models.adaptation.steps import batches, context
from tests.models.adaptation.test_connectivity_term import with_rare
from tests.models.adaptation.toys import QUICK, PlainModel

STEPS = 3
# The contrast of `pull`, and the style module, draw pixels of each process on their own.
TERMS: dict[str, dict[str, Any]] = {
    "style_ce": {},
    "prototypes": {"style_weight": 0.0, "most_pixels": 1 << 20, "source_share": 0.4},
    "rmm": {"points": 32, "calibrated_from": 1.0},
    "connectivity": {},
}


def run(batch_size: int, all_methods: bool = False) -> list[dict[str, float]]:
    """Losses of each step."""
    recipe = replace(QUICK, batch_size=batch_size, terms=_all() if all_methods else TERMS)
    known = replace(context(steps=STEPS), feature_channels=8)
    terms = build_terms(recipe, known)
    for each in terms:
        each.prepare(with_rare())
    state = TrainingState(PlainModel(), terms, recipe, STEPS, seed=0)
    drawn = batches(samples=with_rare(), recipe=recipe)
    return [dict(state.train_step(drawn, step).losses) for step in range(STEPS)]


def _all() -> dict[str, dict[str, Any]]:
    return {name: {"points": 32} if name == "rmm" else {} for name in TERM_KINDS}


def _process(rank: int, folder: str, all_methods: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    losses = run(2, all_methods)
    if rank == 0:
        Path(folder, "losses.json").write_text(json.dumps(losses))
    dist.destroy_process_group()


def in_two(folder: Path, all_methods: bool = False) -> list[dict[str, float]]:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    spawn(_process, (str(folder), all_methods), nprocs=2)  # type: ignore[no-untyped-call]
    found: list[dict[str, float]] = json.loads((folder / "losses.json").read_text())
    return found


@pytest.mark.faults
def test_losses_are_those_of_one_process(tmp_path):
    for one, two in zip(run(4), in_two(tmp_path), strict=True):
        assert one.keys() == two.keys()
        for name, loss in one.items():
            assert two[name] == pytest.approx(loss, rel=1e-4, abs=1e-6), name


@pytest.mark.faults
def test_methods_that_draw_on_their_own_go_through(tmp_path):
    for losses in in_two(tmp_path, all_methods=True):
        assert set(losses) >= set(TERM_KINDS)
