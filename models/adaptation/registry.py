"""The terms that a recipe can name: `"terms": {"pull": {"weight": 0.1, …}}`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from models.adaptation.config import Recipe
from models.adaptation.connectivity_term import Connectivity, ConnectivitySettings
from models.adaptation.prototypes_settings import PrototypesSettings
from models.adaptation.prototypes_term import Prototypes
from models.adaptation.pull_term import Pull, PullSettings
from models.adaptation.randomness import keyed_rng
from models.adaptation.rmm_settings import RmmSettings
from models.adaptation.rmm_term import Rmm
from models.adaptation.style_ce_term import StyleCrossEntropy, StyleCrossEntropySettings
from models.adaptation.terms import LossTerm, TermContext, TermKind
from models.errors import ConfigError

TERM_KINDS: Mapping[str, TermKind] = {
    "style_ce": TermKind(StyleCrossEntropySettings, StyleCrossEntropy),
    "pull": TermKind(PullSettings, Pull),
    "prototypes": TermKind(PrototypesSettings, Prototypes),
    "rmm": TermKind(RmmSettings, Rmm),
    "connectivity": TermKind(ConnectivitySettings, Connectivity),
}
"""One line for each method; they are built and asked in this order."""


def build_terms(
    recipe: Recipe, context: TermContext, kinds: Mapping[str, TermKind] | None = None
) -> list[LossTerm]:
    """The terms of a recipe on the run's device; one of weight 0 is left out.

    Args:
        recipe: names and settings.
        context: of the run.
        kinds: in place of `TERM_KINDS`.

    Raises:
        ConfigError: no such term or setting, or a value that is not valid.
    """
    kinds = TERM_KINDS if kinds is None else kinds
    unknown = sorted(set(recipe.terms) - set(kinds))
    if unknown:
        raise ConfigError(f"terms.{unknown[0]}", f"no such term; there are {', '.join(kinds)}")
    terms = []
    for name, kind in kinds.items():
        if name not in recipe.terms:
            continue
        settings = _settings(name, kind, recipe.terms[name])
        if settings.weight == 0:
            continue
        # Weights that a term begins with depend on its name alone, not on the terms before it.
        torch.manual_seed(int(keyed_rng(context.seed, f"term-{name}").integers(1 << 62)))
        terms.append(kind.build(settings, context).to(context.device).train())
    return terms


def _settings(name: str, kind: TermKind, given: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(kind.settings)}
    unknown = sorted(set(map(str, given)) - known)
    if unknown:
        raise ConfigError(f"terms.{name}.{unknown[0]}", "no such key")
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    try:
        return kind.settings(**values)
    except ConfigError as error:
        raise ConfigError(f"terms.{name}.{error.path}", str(error).partition(": ")[2]) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"terms.{name}", str(error)) from error
