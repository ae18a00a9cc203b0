"""Who may do what: one table of methods and paths. docs/keys.md shows it, a test compares."""

import re
from dataclasses import dataclass
from typing import Final

SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS", "TRACE")
_ANY: Final = "any"
_SAFE: Final = "GET, HEAD"
OPEN: Final = None


@dataclass(frozen=True)
class Rule:
    """`path` is a pattern of the whole path; `scope` is what a key needs, None if no key at all."""

    methods: str
    path: str
    scope: str | None

    def applies_to(self, method: str, path: str) -> bool:
        if self.methods == _SAFE:
            fits = method in SAFE_METHODS
        else:
            fits = self.methods == _ANY or method in self.methods.split(", ")
        return fits and re.fullmatch(self.path, path, re.DOTALL) is not None


# The first rule that applies decides.
RULES: Final = (
    Rule(_SAFE, r"/healthz|/readyz|/openapi\.json|/docs|/assets/[^/]*", OPEN),
    Rule("GET, HEAD, POST", r"/sign-(in|out)", OPEN),
    Rule(_ANY, r"/v1/(api-keys|connections|webhook-endpoints)([/:].*)?", "admin"),
    Rule("POST, PATCH, PUT, DELETE", r"/v1/(models|campaigns)([/:].*)?", "train"),
    Rule(_SAFE, r".*", "read"),
    Rule(_ANY, r".*", "write"),
)
METRICS_PATH: Final = "/metrics"  # open on loopback: there Prometheus runs beside the service
# Pages for people: without a key they lead to the page where one signs in.
PAGE_PATHS: Final = re.compile(
    r"/|/(jobs|labels|review|campaigns|models)(/.*)?|/sign-(in|out)", re.DOTALL
)
BASIC_PATHS: Final = "/integrations/"  # tools that know no other way to send a password


def scope_needed(method: str, path: str) -> str | None:
    """Return the scope that a key needs for this request; None where no key is asked for."""
    rule = next(rule for rule in RULES if rule.applies_to(method, path))
    return rule.scope
