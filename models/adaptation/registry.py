"""The terms that a recipe can name: `"terms": {"pull": {"weight": 0.1, …}}`."""

from collections.abc import Mapping

from models.adaptation.terms import TermKind

TERM_KINDS: Mapping[str, TermKind] = {}
"""One line for each method; order is that of the progress file and changes no result."""
