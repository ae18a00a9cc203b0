"""Which methods an address takes: the `Allow` header of a 405.

The framework names the methods of the first route that fits the path. Ours are spread over several
routes, and `/jobs/{job_id}` fits `/jobs/x:cancel` as well, so the most literal route decides.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute


class AllowedMethods:
    """Methods by address, over all routers."""

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        methods: dict[str, set[str]] = defaultdict(set)
        self._patterns: dict[str, re.Pattern[str]] = {}
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    methods[route.path_format] |= route.methods or set()
                    self._patterns[route.path_format] = route.path_regex
        self._methods = dict(methods)

    def header(self, path: str) -> str | None:
        """Return the value of `Allow` for a path; None where nothing is."""
        fitting = [form for form, pattern in self._patterns.items() if pattern.fullmatch(path)]
        if not fitting:
            return None
        most_literal = max(fitting, key=lambda form: len(re.sub(r"\{\w+\}", "", form)))
        found = self._methods[most_literal]
        return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))
