# SPDX-License-Identifier: MIT
"""Constraints for the fields of files that users write, as `Annotated` metadata.

The models of oejail.yaml and of the platform files are plain frozen dataclasses, so that a command
that finds them validated already (see `configfile.py`) does not import pydantic, which would cost
it about 80 ms. Pydantic reads these classes through its `__get_pydantic_*__` hooks, and only then
is it imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

STRICT = {"extra": "forbid", "strict": True, "use_attribute_docstrings": True}
"""`__pydantic_config__` of every model: unknown keys and wrong types are errors."""


@dataclass(frozen=True)
class Matches:
    """The whole string matches `pattern`; `what` names such a string in the error."""

    pattern: str
    what: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: str) -> str:
            if re.fullmatch(self.pattern, value) is None:
                raise PydanticCustomError(
                    "pattern", "{text}", {"text": f"{short(value)} is not {self.what}"}
                )
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        result = dict(handler(schema))
        result["pattern"] = f"^(?:{self.pattern})$"
        return result


@dataclass(frozen=True)
class Check:
    """`function` returns what is wrong with the value (its error's words), or None."""

    function: Callable[[Any], str | None]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: Any) -> Any:
            wrong = self.function(value)
            if wrong is not None:
                raise PydanticCustomError("check", "{text}", {"text": wrong})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


@dataclass(frozen=True)
class WordOr:
    """A union of one fixed word and something else, chosen by whether the value is a string.

    A plain union would report the failures of both sides for one mistake.
    """

    word: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from typing import get_args

        from pydantic_core import core_schema

        (other,) = (part for part in get_args(source) if part is not str)
        return core_schema.tagged_union_schema(
            {
                "word": core_schema.literal_schema([self.word]),
                "other": handler.generate_schema(other),
            },
            discriminator=lambda value: "word" if isinstance(value, str) else "other",
        )


def short(value: object, limit: int = 60) -> str:
    """`value` quoted for a message, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 4] + "…" + text[-1:]
