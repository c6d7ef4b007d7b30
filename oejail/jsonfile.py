# SPDX-License-Identifier: MIT
"""JSON that oejail wrote once and now reads back from a place that it does not control.

The models are frozen dataclasses; pydantic checks every type and refuses unknown keys, and is
imported only here, because it costs some 80 ms.
"""

from __future__ import annotations

from typing import TypeVar

from oejail.errors import ConfigError

M = TypeVar("M")


def parse(model: type[M], data: bytes, place: str, version: int) -> M:
    """The value of `model` (a dataclass with a field `schema_version`) that `data` holds.

    Raises ConfigError, which names `place` and every wrong key, or the schema version when it is
    not `version` (a file of another oejail).
    """
    import pydantic
    import pydantic_core

    try:
        raw = pydantic_core.from_json(data)
    except ValueError as error:
        raise ConfigError(f"{place}: no JSON: {error}") from None
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != version:
        raise ConfigError(
            f"{place}: schema version {found!r}, this oejail reads {version}",
            hint="use the oejail that wrote it, or make it anew",
        )
    try:
        return pydantic.TypeAdapter(model).validate_json(data)
    except pydantic.ValidationError as error:
        details = [
            f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors()[:20]
        ]
        raise ConfigError(f"{place}: {error.error_count()} wrong values", details=details) from None
