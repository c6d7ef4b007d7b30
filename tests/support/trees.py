# SPDX-License-Identifier: MIT
"""Tiny trees in openEuler's layout, of both feature schemas, and real git repositories of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

PLATFORM = "type: platform\nmachine: {name}\ntoolchain_type: EXTERNAL_TOOLCHAIN:aarch64\n"
COMMON = 'type: common\nrepos: [yocto-poky]\nlayers: []\nlocal_conf: |\n  COMMON = "1"\n'
ENV = "docker_image: registry.invalid/openeuler-container:latest\n"

V1: Mapping[str, str] = {
    ".oebuild/common.yaml": COMMON,
    ".oebuild/env.yaml": ENV,
    ".oebuild/platform/qemu-aarch64.yaml": PLATFORM.format(name="qemu-aarch64"),
    ".oebuild/platform/raspberrypi4-64.yaml": PLATFORM.format(name="raspberrypi4-64"),
    ".oebuild/features/openeuler-mcs.yaml": (
        "type: feature\nsupport: qemu-aarch64|raspberrypi4-64\nrepos: [yocto-meta-extra]\n"
        "layers: [yocto-meta-openeuler/rtos/meta-openeuler-rtos]\n"
        'local_conf: |\n  MCS_FEATURES ?= "openamp"\n  DISTRO_FEATURES:append = " mcs "\n'
    ),
    ".oebuild/features/systemd.yaml": (
        "type: feature\nsupport: qemu-aarch64|x86-64\n"
        'local_conf: |\n  DISTRO_FEATURES:append = " systemd"\n'
    ),
    ".oebuild/features/xonly.yaml": "type: feature\nsupport: x86-64\n",
}

V2: Mapping[str, str] = {
    ".oebuild/common.yaml": COMMON,
    ".oebuild/env.yaml": ENV,
    ".oebuild/platform/qemu-aarch64.yaml": PLATFORM.format(name="qemu-aarch64"),
    ".oebuild/platform/raspberrypi4-64.yaml": PLATFORM.format(name="raspberrypi4-64"),
    ".oebuild/features/mcs/mcs.yaml": (
        "id: mcs\nmachines: [qemu-aarch64, raspberrypi4-64]\n"
        "config:\n  repos: [yocto-meta-extra]\n"
        "  layers: [yocto-meta-openeuler/rtos/meta-openeuler-rtos]\n"
        '  local_conf: |\n    DISTRO_FEATURES:append = " mcs"\n'
        "one_of: [self/baremetal, self/jailhouse]\ndefault_one_of: self/baremetal\n"
        "sub_feats:\n"
        "  - id: baremetal\n"
        "    config: {local_conf: 'MCS_FEATURES ?= \"openamp\"'}\n"
        "  - id: jailhouse\n"
        "    config: {local_conf: 'MCS_FEATURES ?= \"jailhouse\"'}\n"
    ),
    ".oebuild/features/init/systemd.yaml": (
        "id: systemd\naliases: [openeuler-systemd]\n"
        'config:\n  local_conf:\n    - DISTRO_FEATURES:append = " systemd"\n'
    ),
    # Flat files beside directories do not count.
    ".oebuild/features/openeuler-mcs.yaml": "type: feature\nsupport: qemu-aarch64\n",
}

OPENEULER: Mapping[str, str] = {
    **{name: text for name, text in V2.items() if "/features/" not in name},
    # In the shape of openEuler's own (2026): hypervisors of their own that the pedestals select,
    # and sub-features whose config is a list, which oebuild passes over.
    ".oebuild/features/mcs/mcs.yaml": (
        "id: mcs\nprompt: Enable the MCS stack\n"
        "machines:\n  [\n    qemu-aarch64,\n    raspberrypi4-64,\n    kp920,\n  ]\n"
        "config:\n  layers:\n    - yocto-meta-openeuler/rtos/meta-openeuler-rtos\n"
        "  local_conf:\n    - 'DISTRO_FEATURES:append = \" mcs \"'\n"
        "    - 'MCS_FEATURES ?= \"openamp\"'\n"
        "sub_feats:\n"
        "  - id: baremetal # mcs/baremetal\n    selects: [hypervisor/baremetal]\n"
        "  - id: xen\n    selects: [hypervisor/xen]\n"
        "    config:\n      - 'MCS_FEATURES:append = \"xen\"'\n"
        "  - id: jailhouse\n    selects: [hypervisor/jailhouse]\n"
        "    config:\n      - 'MCS_FEATURES:append = \"jailhouse\"'\n"
        "one_of:\n  - self/baremetal\n  - self/xen\n  - self/jailhouse\n"
        "default_one_of: self/baremetal\n"
    ),
    ".oebuild/features/hypervisor/baremetal.yaml": "id: baremetal\n",
    ".oebuild/features/hypervisor/xen.yaml": "id: xen\nmachines: [qemu-aarch64]\n",
    ".oebuild/features/hypervisor/jailhouse.yaml": (
        "id: jailhouse\nmachines: [qemu-aarch64, raspberrypi4-64, kp920]\n"
        "config:\n  local_conf:\n    - 'MCS_FEATURES:remove = \" openamp xen \"'\n"
        "    - 'MCS_FEATURES:append = \" jailhouse \"'\n"
    ),
    ".oebuild/features/README.md": "no feature\n",
}


def write(root: Path, contents: Mapping[str, str]) -> Path:
    """Write files below `root`, and return it."""
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def git(directory: Path, *words: str) -> str:
    """Run git in `directory` with an identity of its own; what it printed."""
    settings = ["user.name=T", "user.email=t@example.invalid", "commit.gpgsign=false"]
    options = [word for setting in settings for word in ("-c", setting)]
    done = subprocess.run(
        ["git", *options, *words], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def repository(root: Path, contents: Mapping[str, str], branch: str = "master") -> str:
    """A git repository with one more commit that has `contents`; the commit.

    It serves any commit, as the hosts of openEuler's repositories do.
    """
    root.mkdir(parents=True, exist_ok=True)
    if not (root / ".git").exists():
        git(root, "init", "-q", "-b", branch)
        git(root, "config", "uploadpack.allowAnySHA1InWant", "true")
    write(root, contents)
    git(root, "add", "-A", "-f")
    git(root, "commit", "-q", "--allow-empty", "-m", "test")
    return git(root, "rev-parse", "HEAD")


def remotes(root: Path, tree: Mapping[str, str]) -> str:
    """Repositories below `root` as openEuler has them; the URL of yocto-meta-openeuler.

    Its manifest names the commits of yocto-poky and yocto-meta-extra; each has a later commit too.
    """
    lines = ["manifest_list:"]
    for name in ("yocto-poky", "yocto-meta-extra"):
        commit = repository(root / name, {"oe-init-build-env": "", "version": "1\n"})
        repository(root / name, {"version": "2\n"})
        lines += [f"  {name}:", f"    remote_url: file://{root / name}", f"    version: {commit}"]
    manifest = {".oebuild/manifest.yaml": "\n".join(lines) + "\n"}
    layer = {"rtos/meta-openeuler-rtos/conf/layer.conf": "", "big": "x" * 100_000}
    repository(root / "yocto-meta-openeuler", {**tree, **manifest, **layer})
    return f"file://{root / 'yocto-meta-openeuler'}"


def nativesdk(root: Path, tool: str = "tool-of-the-sdk", more: str = "") -> Path:
    """A directory in the shape of an installed nativesdk, with one tool."""
    sysroot = root / "sysroots" / "x86_64-openeulersdk-linux"
    write(sysroot, {f"usr/bin/{tool}": "#!/bin/sh\n"})
    (sysroot / "usr/bin" / tool).chmod(0o755)
    script = (
        f'export PATH="{sysroot}/usr/bin:$PATH"\nexport OECORE_NATIVE_SYSROOT="{sysroot}"\n'
        f"echo said by the script\n{more}"
    )
    write(root, {"environment-setup-x86_64-openeulersdk-linux": script})
    return root
