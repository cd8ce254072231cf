"""A process that has imported the library and becomes, again and again, one that begins.

``python template.py`` reads orders from its standard input, one JSON object a line, and answers on
its standard output: ``{"number": …, "status": …}`` once a process that was ordered has ended. A
process so made has imported Consist and nothing else, like any whose first line does that; it has
its own folder, environment, search path and ``__main__``.
"""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
import sys
import sysconfig
import traceback
import types
from typing import Any

from consist import Tracker
from consist.models import result

_READY = (Tracker, result, sqlite3, subprocess, sysconfig)
_OWN = list(sys.path[1:])  # without the folder of this file


def main() -> None:
    """Obey until the orders end."""
    running: dict[int, tuple[int, int]] = {}
    waiter = select.poll()
    waiter.register(sys.stdin.fileno(), select.POLLIN)
    unread = b""
    while True:
        for descriptor, _ in waiter.poll():
            if descriptor in running:
                waiter.unregister(descriptor)
                _tell_end(descriptor, *running.pop(descriptor))
                continue
            text = os.read(descriptor, 2**20)
            if not text:
                return
            *lines, unread = (unread + text).split(b"\n")
            for order in map(json.loads, lines):
                pid = os.fork()
                if pid == 0:
                    _become(order)
                ended = os.pidfd_open(pid)
                running[ended] = order["number"], pid
                waiter.register(ended, select.POLLIN)


def _tell_end(descriptor: int, number: int, pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(descriptor)
    told = {"number": number, "status": os.waitstatus_to_exitcode(status)}
    os.write(1, json.dumps(told).encode() + b"\n")


def _become(order: dict[str, Any]) -> None:
    """Be the process that was ordered; never return."""
    _redirect(order)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = ["", *searched, *(path for path in _OWN if path not in searched)]
    sys.argv[:] = ["-c"]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    own = sys.modules["__main__"] = types.ModuleType("__main__")
    status = 0
    try:
        exec(compile(order["code"], "<string>", "exec"), vars(own))
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, it ends the process
        traceback.print_exc()
        status = 1
    _run_exit_handlers()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _redirect(order: dict[str, Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "output"), (2, "errors")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)


def _run_exit_handlers() -> None:
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does first
    atexit._run_exitfuncs()


if __name__ == "__main__":
    main()
