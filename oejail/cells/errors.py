# SPDX-License-Identifier: MIT
"""What is wrong with the bytes, or the values, of a Jailhouse configuration."""

from __future__ import annotations

from oejail.errors import ConfigError


class CellFormatError(ConfigError):
    """Bytes that are no Jailhouse configuration, or values that no layout can hold.

    `offset` is in bytes from the start of the file, `field` names what stands there, `found` and
    `expected` are texts ready to print. `where` (a path, a cell's name) begins the message.
    """

    def __init__(
        self,
        *,
        offset: int,
        field: str,
        found: str,
        expected: str,
        where: str = "cell",
        hint: str | None = None,
    ) -> None:
        super().__init__(
            f"{where}: offset {offset}: {field}: found {found}, expected {expected}", hint=hint
        )
        self.offset = offset
        self.field = field
        self.found = found
        self.expected = expected
        self.where = where

    def at(self, where: object) -> CellFormatError:
        """The same error with another place at the start of its message."""
        return type(self)(
            offset=self.offset,
            field=self.field,
            found=self.found,
            expected=self.expected,
            where=str(where),
            hint=self.hint,
        )


class CellTruncated(CellFormatError):
    """The file is shorter than its own counts say."""
