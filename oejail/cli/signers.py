# SPDX-License-Identifier: MIT
"""Who may have signed a bundle: the option, else what oejail.yaml says."""

from __future__ import annotations

from pathlib import Path

from oejail.errors import UsageFault


def allowed_signers(given: Path | None) -> Path | None:
    """The file that is `given`, else `signers:` of the project here; None where neither is.

    Raises ConfigError for an oejail.yaml that cannot be read: it may name signers.
    """
    if given is not None:
        return given
    from oejail import project as projects

    try:
        projects.find()
    except UsageFault:
        return None
    project = projects.load()
    named = project.config.signers
    return None if named is None else project.path(named)
