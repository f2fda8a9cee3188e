# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``integrity_check`` says of a database, asked without any code of the engine.

It is opened read-write, on a copy, with whatever lay beside it, by a child that is nobody in a directory it cannot leave,
and that the kernel ends when it wants too much.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import tempfile

OK = "ok"
# It was ended by one of the limits below, which are wider than the engine's in this campaign: what ends here ends there, too.
LIMIT = "a limit"
NOBODY = 65534
CPU_SECONDS = 4
WALL_SECONDS = 20
MEMORY = 320 << 20


def opinion(beside):
    """OK, LIMIT, or what is wrong. ``beside``: bytes by the ending of the file's name; "" is the database itself."""
    room = tempfile.mkdtemp()
    try:
        for ending, content in beside.items():
            with open(os.path.join(room, "a.db" + ending), "wb") as file:
                file.write(content)
            os.chown(file.name, NOBODY, NOBODY)
        os.chown(room, NOBODY, NOBODY)
        return _asked(room)
    finally:
        shutil.rmtree(room)


def _asked(room):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            _confine(room)
            os.write(writing, _check().encode("utf-8", "backslashreplace")[:4000])
        except MemoryError:
            os.write(writing, LIMIT.encode())
        except BaseException as error:
            os.write(writing, ("%s: %s" % (type(error).__name__, error)).encode("utf-8", "backslashreplace")[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read().decode()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return LIMIT if number in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL) else "signal %d" % number
    return told or "no answer"


def _confine(room):
    with open("/proc/self/statm", encoding="ascii") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(WALL_SECONDS)
    os.chroot(room)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _check():
    connection = sqlite3.connect("a.db", isolation_level=None)
    connection.text_factory = bytes
    rows = connection.execute("PRAGMA integrity_check(3)").fetchall()
    connection.close()
    text = "; ".join(str(row[0], "utf-8", "backslashreplace") for row in rows)
    # An integrity check of no database at all is one of an empty database.
    return text if os.path.getsize("a.db") else "it is empty"
