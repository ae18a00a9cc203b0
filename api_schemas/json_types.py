"""Numbers and truth values of request bodies: JSON's own types, and nothing that resembles them.

Left to itself Pydantic takes `true` and `"1"` for 1, which the schema that we publish forbids.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Strict


def _refuse_look_alikes(value: Any) -> Any:
    if isinstance(value, bool | str | bytes):
        raise ValueError("must be a number")
    return value


Integer = Annotated[int, BeforeValidator(_refuse_look_alikes)]
Number = Annotated[float, BeforeValidator(_refuse_look_alikes)]
Truth = Annotated[bool, Strict()]
