# SPDX-License-Identifier: MIT
# Writes what BitBake does to ${TOPDIR}/oejail-events.jsonl, one JSON object a line, for oejail to
# follow: INHERIT += "oejail-events" in local.conf.
#
# {"v": 1, "t": UNIX_SECONDS, "pid": PROCESS, "event": NAME, ...}, see oejail_event_fields. A line is
# at most 4000 bytes and is one write(2) to a file opened with O_APPEND, so that the lines of the
# server and of the tasks' processes never mix. Strings are cut to fit. The file is opened by its
# path each time: oejail removes it before a run.
#
# Made for BitBake 1.50 to 2.19: an attribute that a version lacks is left out. Nothing in here may
# make a build fail, so no error leaves the handler.

# The other thing that every build with oejail needs.
inherit oejail-manifest

OEJAIL_EVENTS_FILE = "${TOPDIR}/oejail-events.jsonl"

addhandler oejail_events
oejail_events[eventmask] = "\
    bb.event.ParseStarted bb.event.ParseProgress bb.event.ParseCompleted \
    bb.event.BuildStarted bb.event.BuildCompleted bb.event.NoProvider \
    bb.runqueue.runQueueTaskStarted bb.runqueue.runQueueTaskCompleted \
    bb.runqueue.runQueueTaskFailed bb.runqueue.runQueueTaskSkipped \
    bb.runqueue.sceneQueueTaskStarted bb.runqueue.sceneQueueTaskCompleted \
    bb.runqueue.sceneQueueTaskFailed \
    bb.build.TaskStarted bb.build.TaskSucceeded bb.build.TaskFailed \
    bb.command.CommandCompleted bb.command.CommandFailed bb.command.CommandExit \
"
python oejail_events() {
    try:
        name, fields = oejail_event_fields(e)
        path = d.getVar("OEJAIL_EVENTS_FILE") if d else None
        if path:
            oejail_event_write(path, name, fields)
    except Exception as error:
        bb.debug(1, "oejail-events: %s" % error)
}

def oejail_event_fields(event):
    """The event's name in the file, and what is written of it."""
    kind = type(event).__name__
    get = lambda attribute, default=None: getattr(event, attribute, default)

    if kind.startswith(("runQueueTask", "sceneQueueTask")):
        setscene = kind.startswith("scene")
        path = get("taskfile") or ""
        fields = {
            # virtual:native:/path/name_1.0.bb, mc:name:/path/name_1.0.bb
            "recipe": os.path.basename(path).rsplit(".", 1)[0].split("_")[0],
            "task": get("taskname"),
            "file": path,
            "setscene": setscene,
            "stats": {
                name: value
                for name, value in sorted(getattr(get("stats"), "__dict__", {}).items())
                if isinstance(value, int)
            },
        }
        if kind.endswith("Failed"):
            fields["exitcode"] = get("exitcode")
        if kind.endswith("Started"):
            fields["noexec"] = bool(get("noexec", False))
        return "RunQueue" + kind[kind.index("Task"):], fields

    if kind in ("TaskStarted", "TaskSucceeded", "TaskFailed"):
        return kind, {
            "recipe": get("_package") or get("pn"),  # PF: name, version, revision
            "pn": get("pn"),
            "task": get("taskname") or get("_task"),
            "file": get("taskfile") or get("_fn"),
            "logfile": get("logfile"),
        }

    if kind == "ParseStarted":
        return kind, {"total": get("total")}
    if kind == "ParseProgress":
        return kind, {"current": get("current"), "total": get("total")}
    if kind == "ParseCompleted":
        return kind, {name: get(name) for name in ("parsed", "cached", "errors", "total")}
    if kind == "BuildStarted":
        return kind, {"targets": get("_pkgs")}
    if kind == "BuildCompleted":
        return kind, {
            "failures": get("_failures"),
            "interrupted": get("_interrupted"),
            "targets": get("_pkgs"),
        }
    if kind == "NoProvider":
        return kind, {
            "item": get("_item"),
            "runtime": bool(get("_runtime", False)),
            "dependees": get("_dependees"),
            "reasons": get("_reasons"),
            "close_matches": get("_close_matches"),
        }
    if kind == "CommandFailed":
        return kind, {"error": get("error"), "exitcode": get("exitcode")}
    if kind == "CommandExit":
        return "CommandFailed" if get("exitcode") else "CommandCompleted", {
            "exitcode": get("exitcode")
        }
    return kind, {}

def oejail_event_write(path, name, fields):
    """Append one line, shortened until it fits."""
    import json
    import time

    limit = 4000
    head = {"v": 1, "t": round(time.time(), 3), "pid": os.getpid(), "event": name}
    for length, items in ((1000, 16), (300, 8), (80, 4), (0, 0)):
        body = {key: oejail_event_value(value, length, items) for key, value in fields.items()}
        line = json.dumps(dict(body, **head) if length else head, sort_keys=True).encode() + b"\n"
        if len(line) <= limit:
            break
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)

def oejail_event_value(value, length, items):
    """`value` as plain JSON: strings up to `length` characters, lists up to `items` items."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {
            str(key)[:length]: oejail_event_value(item, length, items)
            for key, item in list(value.items())[:64]
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        values = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [oejail_event_value(item, length, items) for item in list(values)[:items]]
    text = str(value)
    return text if len(text) <= length else text[: max(length - 3, 0)] + "..."
