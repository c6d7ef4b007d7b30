# SPDX-License-Identifier: MIT
"""oebuild's real reader of features: a process of its own, one JSON line a case.

In: {"directory": …, "machine": …, "asked": […]}. Out: {"features": …, "names": …, "enabled": …},
with "error" where it stops: "read" at the files, "resolve" at what is asked for.
"""

import json
import sys
from pathlib import Path

from oebuild.feature_resolver import (  # type: ignore[import-untyped]
    FeatureRegistry,
    FeatureResolver,
    ResolutionError,
)


def judge(case: dict) -> dict:  # type: ignore[type-arg]
    try:
        registry = FeatureRegistry(Path(case["directory"]))
    except (Exception, RecursionError) as error:
        return {"error": "read", "words": f"{type(error).__name__}: {error}"}
    features = {
        name: {
            "machines": sorted(feature.machine_set or ()),
            "local_conf": [x.strip() for c in feature.config.local_conf for x in c.splitlines()],
            "layers": feature.config.layers,
            "repos": feature.config.repos,
        }
        for name, feature in registry.features_by_full_id.items()
    }
    try:
        names = [registry.resolve_id(word).full_id for word in case["asked"]]
        done = FeatureResolver(registry, case["machine"]).resolve(case["asked"])
    except ResolutionError as error:
        return {"features": features, "error": "resolve", "words": str(error)}
    return {
        "features": features,
        "names": names,
        "enabled": [feature.full_id for feature in done.features],
    }


for line in sys.stdin:
    print(json.dumps(judge(json.loads(line))), flush=True)
