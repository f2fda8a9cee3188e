# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks for secrets where nobody may put them: in the arguments and environments of processes, and in files."""

from __future__ import annotations

import os
import stat
import threading

from .filesystem import HELD

EVERY = 0.002
NOW_AND_THEN = 0.3
CHUNK = 1 << 20


class SecretsWatch:
    """Looks at all processes of a host every few milliseconds, and at all files every now and then, from the outside, as
    long as the context is open.

    Args:
        secrets: from what a secret is called to what must not be seen of it.

    Attributes:
        seen: each sighting in a process: what the secret is called, ``cmdline`` or ``environ``, and the program.
        found: each sighting in a file: what the secret is called, and the path.
        programs: how often each program was looked at.
    """

    def __init__(self, host, secrets):
        # The host's own /proc has its processes alone.
        self._folder = host.path("/proc")
        self._host = host
        self._told = secrets
        self._secrets = _encoded(secrets)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=watch, daemon=True) for watch in (self._watch_processes, self._watch_files)]
        self.seen = set()
        self.found = set()
        self.programs = {}

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_problem):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _watch_processes(self):
        while not self._ended.wait(EVERY):
            for name in os.listdir(self._folder):
                if name.isdigit():
                    self._look(os.path.join(self._folder, name))

    def _watch_files(self):
        while not self._ended.wait(NOW_AND_THEN):
            self.found.update(in_files(self._host, self._told))

    def _look(self, process):
        try:
            told = {kind: _read(os.path.join(process, kind)) for kind in ("cmdline", "environ")}
        except OSError:
            return
        # Of a title like "sshd: root@notty", which stands where arguments did, what is before the colon.
        program = os.path.basename(told["cmdline"].partition(b"\0")[0].partition(b":")[0]).decode("utf-8", "replace")
        self.programs[program] = self.programs.get(program, 0) + 1
        for kind, content in told.items():
            self.seen.update((name, kind, program) for name, secret in self._secrets.items() if secret in content)


def in_files(host, secrets):
    """The files of a host that hold a secret, of all that were ever written on it: pairs of secret and path."""
    secrets = _encoded(secrets)
    return sorted((name, path) for path, outer in _written(host) for name in _holds(outer, secrets))


def in_text(text, secrets):
    """The secrets in a text."""
    return sorted(name for name, secret in secrets.items() if secret in text)


def _encoded(secrets):
    return {name: secret.encode("utf-8") for name, secret in secrets.items()}


def _written(host):
    """Each regular file that is not the outer machine's: its path on the host, and where the test finds it."""
    tops = [("/", "/proc/%d/fd/%d" % (host.pid, HELD))]
    for line in host.read("/proc/1/mounts").decode().splitlines():
        _source, target, kind = line.split()[:3]
        if kind == "tmpfs":
            tops.append((target, host.path(target)))
    for target, top in tops:
        device = os.stat(top).st_dev
        for folder, folders, names in os.walk(top + "/"):
            folders[:] = [each for each in folders if _device(os.path.join(folder, each)) == device]
            for name in names:
                outer = os.path.join(folder, name)
                yield os.path.join(target, os.path.relpath(outer, top)), outer


def _device(path):
    """Where something lies; None where it has vanished."""
    try:
        return os.lstat(path).st_dev
    except FileNotFoundError:
        return None


def _holds(path, secrets):
    """The secrets in a file; it may vanish meanwhile."""
    overlap = max(map(len, secrets.values()))
    found, before = set(), b""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return found
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                found.update(name for name, secret in secrets.items() if secret in before + chunk)
                before = chunk[-overlap:]
    except FileNotFoundError:
        pass
    return found


def _read(path):
    with open(path, "rb") as stream:
        return stream.read()
