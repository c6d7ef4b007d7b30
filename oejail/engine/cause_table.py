# SPDX-License-Identifier: MIT
"""The table of what makes builds fail: how it looks in BitBake's words, what it means, what to do.

The texts are of others and may be made to hurt: no pattern may take more than linear time, so none
begins with an open repetition without a word's start before it.

The phrases are those of BitBake 1.50 to 2.19, of OE-core's sanity, base and insane classes, of
oebuild 0.2, and oejail's own of a container. The table's order is that of preference: what explains
most comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """One kind of failure. `text` and `hint` may name the pattern's groups in braces."""

    id: str
    title: str
    pattern: re.Pattern[str]
    text: str
    bare: str
    """In place of `text` where no group has anything."""
    hint: str
    means: str
    mend: str


def _cause(
    name: str,
    title: str,
    pattern: str,
    text: str,
    hint: str,
    *,
    means: str,
    mend: str,
    bare: str = "",
) -> Cause:
    compiled = re.compile(pattern, re.MULTILINE)
    bare = bare or (title if "{" in text else text)
    return Cause(name, title, compiled, text, bare, hint, means, mend)


_AGAIN = "run the same command again"

CAUSES = (
    # The machine.
    _cause(
        "disk-full",
        "the disk is full",
        r"No space left on device|Disk quota exceeded|Errno 28\]"
        r"|Immediately (?:halt|abort) since the disk space monitor"
        r"|No new tasks can be executed since the disk space monitor",
        "the disk is full",
        f"free some space (oejail doctor shows how much there is) and {_AGAIN}",
        means="The kernel refused a write for want of space or quota, or BitBake's own monitor "
        "(BB_DISKMON_DIRS) stopped before that. Files that were being written may be cut short.",
        mend="Free space below the workspace and in TMPDIR; `oejail clean` removes what oejail "
        'made. INHERIT += "rm_work" in local_conf: keeps real builds smaller.',
    ),
    _cause(
        "killed",
        "a process was killed, or got no memory",
        r"(?:Killed signal|signal 9|SIGKILL|internal compiler error: Killed|exit code (?:-9|137))\b"
        r"|run\.do_\w+(?:\.\d+)?', (?:-9|137)\b"  # BitBake 2.0
        r"|might have died or been forcibly stopped, ie\. OOM killed"
        r"|^(?:.*: line \d+: +\d+ )?Killed\b|^(?:\S+: )?(?:LLVM ERROR: )?out of memory"
        r"|virtual memory exhausted|out of memory allocating|Cannot allocate memory|^MemoryError"
        r"|error: OutOfMemory|std::bad_alloc",
        "a process was killed, most likely because memory ran out",
        "give the machine more memory, or let fewer tasks run at once (local_conf: in oejail.yaml:"
        " BB_NUMBER_THREADS)",
        means="A task's process died of SIGKILL, or an allocation was refused. On a machine that "
        "nobody touches, SIGKILL comes from the kernel when memory ran out; a build's log cannot "
        "tell that from a kill by hand. `dmesg` and the cgroup's memory.events can.",
        mend="Fewer tasks at once: BB_NUMBER_THREADS and PARALLEL_MAKE in local_conf:. A container "
        "or CI job may have less memory than the machine.",
    ),
    _cause(
        "root",
        "BitBake and oebuild refuse root",
        r"Do not use Bitbake as root|can not use oebuild in root",
        "BitBake and oebuild refuse to run as root",
        "set build_user: in oejail.yaml (or --build-user) to an ordinary user",
        means="OE-core's sanity check and oebuild both stop for user id 0. oebuild then ends with "
        "exit status 0 all the same.",
        mend="`useradd --create-home oejail-build`, then build_user: oejail-build.",
    ),
    _cause(
        "locale",
        "no UTF-8 locale",
        r"use a locale setting which supports UTF-8|unsupported locale setting"
        r"|needs to support the \S+ locale|make sure locale '(?P<name>[^'\n]+)' is available"
        r"|Unable to set locale",
        "the machine lacks a UTF-8 locale that BitBake needs: {name}",
        f"install it (Debian: locales, en_US.UTF-8) and {_AGAIN}",
        bare="the machine lacks a UTF-8 locale that BitBake needs",
        means="BitBake reads and writes UTF-8 and starts Python in en_US.UTF-8 or C.UTF-8; the "
        "machine, or the container's image, has neither.",
        mend="Debian: `apt-get install locales`, en_US.UTF-8 in /etc/locale.gen, `locale-gen`.",
    ),
    _cause(
        "hosttools",
        "the machine lacks tools",
        r"required tools \(as specified by HOSTTOOLS\) appear to be unavailable in PATH"
        r"[^\n]*\n(?:ERROR: )?\s*(?P<tools>[^\n]+)",
        "the machine lacks tools that the build needs: {tools}",
        f"install them and {_AGAIN}",
        means="OE-core lets recipes use only the host's programs that HOSTTOOLS names, and looks "
        "for all of them before it parses a recipe.",
        mend="Install the packages that have them; Yocto's manual lists those of each "
        "distribution. Or build in oebuild's container, which has them: --engine container.",
    ),
    _cause(
        "noexec",
        "the build directory is on a file system without execution",
        r"(?:run\.do_\w+(?:\.\d+)?'?|bitbake(?:-worker|-server)?)(?: failed)?:? [^\n]{0,80}"
        r"(?:Permission denied|\[Errno 13\])|TMPDIR[^\n]{0,200}noexec",
        "a script that BitBake wrote may not be executed: is the file system mounted noexec?",
        "put the workspace (workspace: in oejail.yaml) on a file system without noexec",
        means="BitBake writes a script for each shell task and executes it. On a file system that "
        "is mounted with noexec, as /tmp and removable disks often are, the kernel refuses that.",
        mend="`findmnt -T DIRECTORY` shows the mount; move the workspace, or remount with exec.",
    ),
    _cause(
        "container-gone",
        "the container or its daemon went away",
        r"ERROR: oejail: (?P<what>the container [^\n]{0,40}(?:is gone|was stopped during the build)"
        r"|the container daemon is gone)",
        "{what}",
        f"docker ps -a and the daemon's log say more; {_AGAIN}",
        means="The build ran in oebuild's container, and that was removed or stopped, or its "
        "daemon ended, while BitBake was at work.",
        mend="Start the daemon again where it ended. What was built is kept: the same command "
        "makes a new container, if need be, and continues.",
    ),
    _cause(
        "image-missing",
        "the container's image is not there",
        r"(?:No such image|pull access denied for|manifest unknown|manifest for|repository does "
        r"not exist)[: ]*(?P<image>[^\s\"\')]{0,200})",
        "the image for the container is not there and was not to be had: {image}",
        "docker pull it where there is a network, or docker load an archive of it",
        means="oebuild runs BitBake in the image that docker_param of compile.yaml names; the "
        "daemon does not have it, and its registry did not give it.",
        mend="`docker pull IMAGE`, or `docker load -i ARCHIVE` on a machine without a network.",
    ),
    _cause(
        "no-daemon",
        "no container daemon answers",
        r"Cannot connect to the Docker daemon|Error while fetching server API version"
        r"|container daemon: (?P<where>[^\n]{1,200})",
        "no container daemon answers: {where}",
        "start it (systemctl start docker), set DOCKER_HOST, or use --engine host",
        bare="no container daemon answers",
        means="The container engine needs Docker's or Podman's daemon at DOCKER_HOST, or at "
        "/var/run/docker.sock without that, and a user who may use its socket.",
        mend="`systemctl start docker`, or for Podman `systemctl --user start podman.socket` and "
        "DOCKER_HOST=unix://$XDG_RUNTIME_DIR/podman/podman.sock.",
    ),
    _cause(
        "lock-held",
        "another BitBake has the build directory",
        r"another BitBake is at work here(?:, (?P<who>[^\n]{1,200}))?"
        r"|Unable to connect to bitbake server, or start one"
        r"|Retrying server connection \(#[3-9]|holding bitbake\.lock",
        "another BitBake works in this build directory: {who}",
        "wait for it, or end it; bitbake-cookerdaemon.log in the build directory says more",
        bare="another BitBake works in this build directory, or its server did not start",
        means="One BitBake server at a time holds bitbake.lock of a build directory; a second one "
        "would wait without a word. The lock is asked, not the file's existence.",
        mend="Wait for it or end it. A server that is left of a killed run ends within a minute.",
    ),
    # The configuration.
    _cause(
        "missing-layer",
        "a layer's directory is not there",
        r"The following layer directories do not exist:\s*(?:ERROR:\s*)?(?P<layer>/[^\n]+)",
        "a layer that conf/bblayers.conf names is not there: {layer}",
        "oejail layers show, then oejail layers remove it, or put it back",
        means="conf/bblayers.conf names a directory that does not exist. oebuild does not look.",
        mend="`oejail layers show` names the layers, `oejail layers remove LAYER` takes one out; "
        "`oejail up --force update` fetches a repository again.",
    ),
    _cause(
        "duplicate-collection",
        "a layer is there twice",
        r"Found duplicated BBFILE_COLLECTIONS '(?P<name>[^'\n]+)'",
        "the layer {name} is in conf/bblayers.conf twice (two spellings of one directory, or two"
        " copies)",
        "oejail layers show, then oejail layers remove one of them",
        means="Two entries of BBLAYERS declare the same collection: one directory in two spellings "
        "(src/x and src/yocto-poky/../x), or two copies of one layer.",
        mend="Remove one entry; oejail writes layers in oebuild's own spelling for that reason.",
    ),
    _cause(
        "layer-series",
        "a layer is made for another series",
        r"Layer (?P<layer>\S+) is not compatible with the core layer which only supports these "
        r"series: (?P<core>[^(\n]*)\(layer is compatible with (?P<own>[^)\n]*)\)",
        "the layer {layer} is made for {own}, the tree is {core}",
        "use the layer's branch for this tree, or add the series to its LAYERSERIES_COMPAT",
        means="LAYERSERIES_COMPAT in the layer's conf/layer.conf does not name the series of this "
        "tree's OE-core (openEuler 22.03 and 23.03: hardknott, later: kirkstone).",
        mend="Take the layer's branch of that series. To add the series by hand is right only "
        "where the recipes were tried with it.",
    ),
    _cause(
        "layer-depends",
        "a layer needs another one",
        r"Layer '(?P<layer>[^'\n]+)' depends on (?:version \S+ of )?layer '(?P<need>[^'\n]+)'",
        "the layer {layer} needs the layer {need}, which is not in the build",
        "oejail layers add the directory of {need}",
        means="LAYERDEPENDS in the layer's conf/layer.conf names a collection that no layer of "
        "the build declares.",
        mend="`oejail layers add DIRECTORY` of the layer with that collection.",
    ),
    _cause(
        "dangling-append",
        "an append has no recipe",
        r"No recipes in \S+ available for:\s*(?P<append>\S+)",
        "an append has no recipe: {append}",
        "add the layer that has the recipe, or remove the append",
        means="A .bbappend changes a recipe (of that version) that no layer of the build has.",
        mend="Add the recipe's layer, name the append for every version (NAME_%.bbappend), or "
        "let the layer offer it only beside the other: BBFILES_DYNAMIC.",
    ),
    _cause(
        "conf-version",
        "the build directory's configuration is that of another version of the tree",
        r"Your version of (?P<file>(?:local|site|bblayers)\.conf) (?:was generated from an "
        r"older/newer|has the wrong LCONF_VERSION)",
        "conf/{file} of the build directory was made from another version of the tree",
        "remove it (what oejail.yaml says is put in again), then oejail up",
        means="OE-core counts the changes of local.conf and bblayers.conf that a user must follow "
        "(CONF_VERSION, LCONF_VERSION), and stops where the tree was moved past one of them and "
        "the build directory was not.",
        mend="Remove conf/local.conf, or conf/bblayers.conf, in the build directory: `oejail up` "
        "has it made from the tree's template, with the layers and local_conf: of oejail.yaml. "
        "Lines of your own go with it; put them into local_conf:.",
    ),
    _cause(
        "local-conf",
        "a syntax error in local.conf",
        r"ParseError (?:at|in) (?P<file>\S*/conf/(?:local|auto|site)\.conf)(?::(?P<line>\d+))?:? "
        r"(?P<what>[^\n]+)",
        "{file} line {line}: {what}",
        "mend it there, or where it comes from, local_conf: in oejail.yaml, then oejail generate",
        means="BitBake cannot read a line of conf/local.conf. What local_conf: of oejail.yaml and "
        "the platform say is appended to it.",
        mend='An assignment is NAME = "value", with the quotes.',
    ),
    _cause(
        "parse-error",
        "a syntax error in a recipe or layer",
        r"ParseError (?:at|in) (?P<file>[^\s:]+):(?P<line>\d+)?:? ?(?P<what>[^\n]+)",
        "a syntax error in {file} line {line}: {what}",
        f"mend that line and {_AGAIN}",
        means="BitBake cannot read a line of a recipe, class or configuration file.",
        mend="Mend the line. Functions need their closing brace in the first column.",
    ),
    _cause(
        "expansion",
        "a variable cannot be expanded",
        r"ExpansionError(?:[^\n]*\n){0,2}?[^\n]*?expression was (?P<what>[^\n]+)|ExpansionError",
        "a variable cannot be expanded: {what}",
        f"mend the recipe and {_AGAIN}",
        means="Python within ${@...} of a recipe, class or configuration raised an exception.",
        mend="`oejail bitbake -- -e RECIPE` shows where each variable gets its value.",
    ),
    _cause(
        "sanity",
        "OE-core's sanity check objects",
        r"sanity checker detected a potential misconfiguration[^\n]*\n(?:[^\n]*\n){0,2}?"
        r"[^\n]*potential problems / advisories:\s*(?P<what>[^\n]+)",
        "OE-core's sanity check says: {what}",
        f"mend that and {_AGAIN}",
        means="Before the first task OE-core looks at the machine and the configuration (a moved "
        "TMPDIR, a path with forbidden characters, an old program, no network).",
        mend="Each advisory says its own. After a move of the build directory remove its tmp/.",
    ),
    # The targets.
    _cause(
        "machine",
        "the recipe does not support the machine",
        r"(?<!\S)(?P<recipe>\S+) was skipped: incompatible with machine (?P<machine>\S+)",
        "the recipe {recipe} does not support the machine {machine} (COMPATIBLE_MACHINE)",
        "choose another platform, or extend COMPATIBLE_MACHINE in an append",
        means="COMPATIBLE_MACHINE of the recipe does not match MACHINE, which the platform sets.",
        mend="openEuler's jailhouse supports qemu-aarch64, qemu-arm and raspberrypi4-64.",
    ),
    _cause(
        "skipped",
        "the recipe is switched off",
        r"(?<!\S)(?P<recipe>\S+) was skipped: (?P<why>[^\n]+)",
        "the recipe {recipe} is switched off here: {why}",
        "see targets: and features: in oejail.yaml",
        means="The recipe itself, or a class of it, says that it is not for this configuration.",
        mend="The reason names the variable, most often a DISTRO_FEATURES that is not set.",
    ),
    _cause(
        "no-provider",
        "no recipe provides a target",
        r"Nothing R?PROVIDES '(?P<item>[^'\n]+)'(?: \(but (?P<by>[^\n]{1,300}?) R?DEPENDS)?",
        "no layer of the build has a recipe for {item}",
        "check the name; oejail layers show lists the layers, oejail layers add DIR adds one",
        means="No recipe in the layers of the build provides what was asked for, or what a recipe "
        "needs.",
        mend="Check the name, then add the layer that has the recipe.",
    ),
    _cause(
        "many-providers",
        "several recipes provide a target",
        r"Multiple \.bb files are due to be built which each provide (?P<item>\S+)",
        "several recipes provide {item}",
        "choose one by PREFERRED_PROVIDER in local_conf: in oejail.yaml",
        means="Two recipes of the build provide the same thing, and nothing says which is meant.",
        mend='PREFERRED_PROVIDER_NAME = "RECIPE" in local_conf:.',
    ),
    _cause(
        "no-task",
        "the recipe has no such task",
        r"Task (?P<task>do_\w+) does not exist for target (?P<recipe>\S+)",
        "the recipe {recipe} has no task {task}",
        "oejail bitbake -- -c listtasks RECIPE lists them",
        means="The task after `-c` or after the colon of RECIPE:TASK is none of the recipe's.",
        mend="`oejail bitbake -- -c listtasks RECIPE` lists the recipe's tasks.",
    ),
    # The tasks.
    _cause(
        "checksum",
        "a download has another checksum",
        r"Checksum mismatch!(?:\nFile: '(?P<file>[^'\n]+)' has (?P<kind>\w+) checksum "
        r"'(?P<has>[^'\n]+)' when '(?P<wanted>[^'\n]+)' was expected)?"
        r"|checksum of '[^'\n]+' is wrong|checksum '\S+' when '\S+' was expected",
        "{file} has the {kind} checksum {has}, the recipe expects {wanted}",
        "delete the file below downloads/ and try again; if it stays, the source was changed",
        bare="what was downloaded is not what the recipe expects (checksum)",
        means="The downloaded file's checksum is not the one in the recipe: the download was cut "
        "or replaced (a proxy's or login page, often), or its maker changed the file.",
        mend="Delete the file and its .done below downloads/. If it stays so, find out why the "
        "source changed before you write the new checksum into the recipe.",
    ),
    _cause(
        "no-network",
        "the network is switched off",
        r"Network access disabled through BB_NO_NETWORK[^\n]*\(for url (?P<url>[^)\s]+)"
        r"|Fetcher Error: NetworkAccess\('(?P<other>[^'\n]+)'",  # BitBake 2.0
        "the network is switched off (BB_NO_NETWORK), and this must be fetched: {url}{other}",
        "fetch it beforehand, or put it into downloads/ or a mirror",
        means="BB_NO_NETWORK is set, and a source is neither in downloads/ nor in a mirror.",
        mend="Fetch where there is a network (`oejail bitbake -- --runall=fetch TARGET`) and copy "
        "downloads/, or name a mirror in mirrors:.",
    ),
    _cause(
        "fetch",
        "a source could not be fetched",
        r"Fetcher failure for URL: '(?P<url>[^'\n]+)'|Unable to fetch URL from any source"
        r"|Could(?: not|n't) resolve host:? ?(?P<host>\S*)|Failed to fetch URL (?P<other>[^\s,]+)",
        "the source could not be fetched: {url}{other}{host}",
        f"check network, proxy and URL (mirrors: in oejail.yaml), then {_AGAIN}",
        bare="a source could not be fetched",
        means="Neither a mirror nor the source's own server gave it: no network, no proxy "
        "(http_proxy and https_proxy reach BitBake), a server that is down, a file that is gone.",
        mend="Try the URL by hand. mirrors: of oejail.yaml names other places.",
    ),
    _cause(
        "license-file",
        "the licence text is not there",
        r"LIC_FILES_CHKSUM points to an invalid file: (?P<file>\S+)",
        "the licence text is not there: {file}",
        "correct LIC_FILES_CHKSUM in the recipe",
        means="LIC_FILES_CHKSUM of the recipe names a file that its source does not have.",
        mend="Find the file that holds the licence now, read it, and name it with its checksum.",
    ),
    _cause(
        "license-checksum",
        "the licence text changed",
        r"The LIC_FILES_CHKSUM does not match for (?P<where>file://[^;\s]+);md5=(?P<wanted>\w+)"
        r"(?:\n[^\n]{0,200}The new md5 checksum is (?P<has>\w+))?"
        r"|The new md5 checksum is|\[license-checksum\]",
        "the licence {where} has the MD5 {has}, the recipe expects {wanted}",
        "look at the change, then correct LIC_FILES_CHKSUM in the recipe",
        bare="the licence text is not the one that the recipe expects",
        means="LIC_FILES_CHKSUM pins the licence's text, so that a change of licence is noticed.",
        mend="Read the text, then write its new checksum and, if need be, LICENSE.",
    ),
    _cause(
        "overlap",
        "two recipes install one file",
        r"trying to install files into a shared area when those files already exist"
        r"(?:[^\n]*\n\s*(?P<file>/[^\s(]+)\s+\(matched in (?P<by>[^)\n]+)\))?",
        "two recipes put the same file into a shared directory: {file} (the other's: {by})",
        "let only one of them deploy it, or clean the other (oejail bitbake -- -c clean RECIPE)",
        bare="two recipes put the same file into a shared directory",
        means="Shared state keeps track of who put which file into the sysroot and the deploy "
        "directory; a second recipe brings one that is there.",
        mend="Let one recipe deploy it, or name them differently.",
    ),
    _cause(
        "qa",
        "a packaging check failed",
        r"^(?!WARNING: )[^\n]*?QA Issue: (?P<what>[^\n]+)(?:\n\s+(?P<file>/[^\n]+))?"
        r"|Fatal QA errors? (?:was|were) found",
        "a packaging check failed: {what} {file}",
        "mend the recipe; INSANE_SKIP only where the check is wrong",
        bare="a packaging check failed",
        means="OE-core's insane class looks at what a recipe installed and packaged; the check's "
        "name stands in brackets.",
        mend="installed-vs-shipped: add the files to FILES. Others: Yocto's manual, \"QA Error and "
        'Warning Messages".',
    ),
    _cause(
        "undefined-reference",
        "the linker misses a symbol",
        r"undefined (?:reference to|symbol:?) [`'\"]?(?P<name>[\w.@]+)",
        "the linker misses {name}",
        "link the file that defines it",
        means="No object file or library that was linked defines the symbol.",
        mend="Add the file or library; its recipe belongs into DEPENDS.",
    ),
    _cause(
        "no-header",
        "a header is not there",
        r"fatal error: '?(?P<file>[^\s':]+)'?(?: file not found|: No such file)",
        "the header {file} is not there",
        "add it, or the recipe that has it to DEPENDS",
        means="The compiler does not find a header: it is not in the source, and no recipe in "
        "DEPENDS put it into the sysroot.",
        mend="Add the recipe that installs it to DEPENDS, or its directory to the flags.",
    ),
    _cause(
        "no-command",
        "a program is not there",
        r"(?:line \d+: |: )(?P<name>[\w./+-]+): (?:command )?not found",
        "the program {name} is not there",
        "install it, or add it to HOSTTOOLS or the recipe's DEPENDS",
        means="A task called a program that is not on its PATH, which holds only HOSTTOOLS and "
        "what the recipes in DEPENDS built.",
        mend='NAME-native in DEPENDS, or HOSTTOOLS += "NAME" in local_conf:.',
    ),
    _cause(
        "source-error",
        "the compiler refused the source",
        r"(?<!\S)\S+:\d+(?::\d+)?: (?:fatal )?error: ",
        "the compiler refused the source",
        f"mend it and {_AGAIN}",
        means="A compile error; the first one is shown, with its file and line.",
        mend="Mend the source, or the recipe's patch of it.",
    ),
    # The build as a whole: told by oejail from what it saw, not by a phrase.
    _cause(
        "no-events",
        "BitBake ended without a word to oejail",
        r"(?!)",
        "",
        "",
        means="BitBake did not start, or its configuration lacks the layer meta-oejail, whose "
        "class writes the events by which oejail knows what happened.",
        mend="`oejail generate`, then `oejail layers show`; `oejail logs` has what was said.",
    ),
    _cause(
        "no-end",
        "BitBake ended before it had built",
        r"(?!)",
        "",
        "",
        means="Events came, but not the one that says how the build ended.",
        mend="`oejail logs` shows all that BitBake said.",
    ),
    _cause(
        "errors-logged",
        "built, but an error was logged",
        r"(?!)",
        "",
        "",
        means="All tasks succeeded, and yet BitBake ended with status 1, because something logged "
        "an error meanwhile.",
        mend="Mend what it names, or see why it is no error.",
    ),
)
