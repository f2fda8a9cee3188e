# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts an application on restored state, asks it whether it is well, and ends it, whatever happened.

A copy of an application must not do what the real one does: send mail, call webhooks, write to the live state. So it
sees the restored state at the app's own root, and has no network but itself; its health is asked inside of that.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import tempfile
import time
from contextlib import ExitStack, suppress

from ..containers.engine import engines
from ..system import files
from ..system.apart import enter_network, start_apart, start_beside
from ..system.commands import CommandError, run_as, run_command
from ..system.errors import AppStateError, ConfigurationError, RestoreError
from ..system.guardian import Guardian
from ..system.process import Limits, run_child
from . import service

# Seconds between two times that an application is asked: how long it takes is measured.
PAUSE = 0.1
UNITS = "/run/systemd/system"
DROP_IN, VARIABLES = "50-appstate-drill.conf", "50-appstate-drill.env"
LABEL = "appstate.backup.drill"
SECONDS = 120.0
TAIL = 2000


def boot_of(app, root, identity):
    """The way in which an app's drill starts it: a context manager that has ``place`` and ``well``.

    Args:
        root: absolute path of the restored state.
        identity: the ``process.Identity`` that a command runs as where the app says no ``run_as``, or None.
    """
    boot = app.drilling.boot
    kind = _Command if boot.unit is boot.image is None else _Unit if boot.unit is not None else _Container
    return kind(app, boot, root, identity)


class _Boot:
    """What all ways share."""

    def __init__(self, app, boot, root, identity):
        self._app = app
        self._boot = boot
        self._root = root
        self._identity = identity
        self._port = _spare_port()
        self._made = []

    @property
    def _seen_root(self):
        """Where the application sees the restored state."""
        return self._app.root if self._boot.isolated else self._root

    def _filled(self, text):
        return text.replace("{root}", self._seen_root).replace("{port}", str(self._port))

    def _environment(self):
        told = {"APPSTATE_ROOT": self._seen_root, "APPSTATE_PORT": str(self._port)}
        return dict(told, **{name: self._filled(value) for name, value in self._boot.environment.items()})

    def _make_root(self):
        """A host that never had the app lacks the place where its state would be seen; a guardian makes it, and takes it
        away again."""
        missing, path = [], self._app.root
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            os.mkdir(path, 0o755)
            self._made.append(path)

    def _remove_root(self):
        for path in reversed(self._made):
            try:
                os.rmdir(path)
            except OSError as error:
                raise AppStateError("this directory was made for the drill, and cannot be removed: %s" % error.strerror, path=path,
                                    remedy="See what was put into it meanwhile")

    def well(self, health):
        """Asks until it is well, and gives the last answer, as ``service.ask`` does.

        Raises:
            RestoreError: it is not within the time that ``health`` gives it, or has ended before.
        """
        health = dict(health, url=self._filled(health["url"]))
        until = time.monotonic() + (service.retries_of(health) + 1) * service.delay_of(health)
        while True:
            self._require_alive()
            network = self._network()
            answer = service.ask(health) if network is None else run_child(
                _ask_inside, [network, health], limits=Limits(wall_seconds=float(health.get("timeout") or 5) + 5))
            if answer["well"]:
                return answer
            if time.monotonic() >= until:
                raise RestoreError("the app that was started on restored state is not well: %s%s" % (answer["said"], self._told()))
            time.sleep(PAUSE)

    def settle(self, seconds):
        """Waits, and sees whether it still runs then.

        Raises:
            RestoreError: it has ended.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._require_alive()
            time.sleep(PAUSE)

    def _told(self):
        """The end of what it said, for an error."""
        said = self._said().strip()
        return "; it said: %s" % said[-TAIL:] if said else "; it said nothing"


class _Command(_Boot):
    """A program of this host."""

    def __enter__(self):
        if self._boot.isolated and os.geteuid() != 0:
            raise ConfigurationError("only root can start the app apart from the live one", remedy="Run the drill as root, or "
                                     "set 'isolated: false' where nothing that it does would matter")
        with ExitStack() as held:
            self._output = held.enter_context(tempfile.TemporaryFile())
            if self._boot.isolated and not os.path.isdir(self._app.root):
                held.enter_context(_Guarded(self._make_root, self._remove_root))
            self._apart = held.enter_context(self._started())
            self._held = held.pop_all()
        return self

    def __exit__(self, *unused):
        self._held.close()

    def _started(self):
        argv = [self._filled(word) for word in self._boot.argv]
        identity = self._identity if self._boot.run_as is None else run_as(self._boot.run_as)
        if self._boot.isolated:
            return start_apart(argv, self._output, {self._app.root: self._root}, self._environment(), identity, self._app.root)
        return start_beside(argv, self._output, self._environment(), identity, self._root)

    def _network(self):
        return self._apart.network

    def _require_alive(self):
        status = self._apart.process.poll()
        if status is not None:
            raise RestoreError("the app that was started on restored state ended with status %d%s" % (status, self._told()))

    def _said(self):
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), TAIL, max(0, size - TAIL)).decode("utf-8", "replace")


class _Guarded:
    """A step that is taken on entering, and the one that undoes it on leaving or when we are killed: both are a guardian's."""

    def __init__(self, first, last):
        self._guardian = Guardian(first, lambda: _unended(last), lambda unused: None)

    def __enter__(self):
        self._guardian.__enter__()
        try:
            self._guardian.take_first()
        except BaseException:
            try:
                self.__exit__()
            except AppStateError:
                pass  # It follows from what failed first.
            raise
        return self

    def __exit__(self, *unused):
        try:
            self._guardian.take_last()
        finally:
            self._guardian.__exit__()


def _unended(step):
    """Takes a step, and nobody ends what it runs: who stops the service that a drill is sends that signal to all of its processes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    step()


class _Managed(_Boot):
    """What is started by somebody else goes on when we are killed; so a guardian ends it."""

    def __enter__(self):
        self._guarded = _Guarded(self._start, self._end).__enter__()
        return self

    def __exit__(self, *unused):
        self._guarded.__exit__()

    def _network(self):
        return self._pid()

    def _require_alive(self):
        if not self._pid():
            raise RestoreError("the app that was started on restored state has ended%s" % self._told())


class _Unit(_Managed):
    """A service of systemd that is the drill's own; what it is given stands in a drop-in that a reboot would take away."""

    def __enter__(self):
        if not os.path.isdir(service.SYSTEMD):
            raise ConfigurationError("'boot' names the unit %s, and systemd does not run on this host" % self._boot.unit,
                                     remedy="Start the app by 'argv'")
        # It would answer for restored state that it has not, and be stopped after that.
        if self._shown("ActiveState") not in ("inactive", "failed"):
            raise ConfigurationError("the unit %s runs already, and a drill would stop it" % self._boot.unit,
                                     remedy="Make a unit for drills alone, that nothing else starts; where this one is left over, stop it")
        return super().__enter__()

    def _start(self):
        if self._boot.isolated:
            self._make_root()
        folder = os.path.join(UNITS, self._boot.unit + ".d")
        # What a unit says of its environment, systemd tells everybody; of a file with it, only the name.
        lines = ["[Service]", "EnvironmentFile=%s" % os.path.join(folder, VARIABLES).replace("%", "%%")]
        if self._boot.isolated:
            lines += ["PrivateNetwork=yes", "TemporaryFileSystem=/run:mode=0755",
                      # By this one it says that it has started, where it is of a type that does.
                      "BindPaths=-/run/systemd/notify",
                      "BindPaths=%s:%s" % (_quoted(self._root), _quoted(self._app.root))]
        os.makedirs(folder, 0o755, exist_ok=True)
        directory = files.open_directory(folder)
        try:
            for name, told in ((VARIABLES, [_assigned(*pair) for pair in sorted(self._environment().items())]), (DROP_IN, lines)):
                files.write_atomically(directory, name, ("\n".join(told) + "\n").encode("utf-8"))
        finally:
            os.close(directory)
        run_command(["systemctl", "daemon-reload"], SECONDS)
        run_command(["systemctl", "start", self._boot.unit], SECONDS)

    def _end(self):
        with ExitStack() as steps:
            steps.callback(self._remove_root)
            steps.callback(self._remove_drop_in)
            run_command(["systemctl", "stop", self._boot.unit], SECONDS)

    def _remove_drop_in(self):
        folder = os.path.join(UNITS, self._boot.unit + ".d")
        for name in (DROP_IN, VARIABLES):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
        with suppress(OSError):  # Somebody else may have a drop-in there, too.
            os.rmdir(folder)
        run_command(["systemctl", "daemon-reload"], SECONDS)

    def _pid(self):
        said = self._shown("MainPID")
        return int(said) if said.isdigit() else 0

    def _shown(self, what):
        return run_command(["systemctl", "show", "--property=" + what, "--value", self._boot.unit], SECONDS).strip()

    def _network(self):
        return self._pid() if self._boot.isolated else None

    def _said(self):
        try:
            return run_command(["journalctl", "--quiet", "--no-pager", "--lines=20", "--output=cat", "--unit=%s" % self._boot.unit], SECONDS)
        except CommandError:
            return ""


def _quoted(text):
    """A value for a unit file (systemd.syntax(7))."""
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")


def _assigned(name, value):
    """A line of a file with variables (``EnvironmentFile`` in systemd.exec(5))."""
    return '%s="%s"' % (name, re.sub(r'(["\\$`])', r"\\\1", value))


class _Container(_Managed):
    """A container that has no network but its own loopback."""

    def __init__(self, app, boot, root, identity):
        super().__init__(app, boot, root, identity)
        self._engine = engines(boot.engine)[0]
        self._name = "appstate-drill-%s-%s" % (app.name, secrets.token_hex(4))

    @property
    def _seen_root(self):
        return self._root

    def _start(self):
        label = "%s=%s" % (LABEL, self._app.name)
        # A host that went down in the middle of a drill has its container still: no other drill of the app is under way.
        for left in self._engine.names("ps", "--all", "--quiet", "--filter", "label=" + label):
            run_command([self._engine.program, "rm", "--force", "--volumes", left], SECONDS)
        words = ["run", "--detach", "--name", self._name, "--label", label, "--network", "none"]
        for place, path in self._boot.mounts.items():
            words += ["--volume", "%s:%s" % (os.path.normpath(os.path.join(self._root, path)), place)]
        for name, value in self._environment().items():
            # Its value stands in our environment, and not among arguments, which everybody can read.
            words += ["--env", name]
        run_command([self._engine.program] + words + [self._boot.image] + [self._filled(word) for word in self._boot.argv or ()],
                    SECONDS, self._environment())

    def _end(self):
        try:
            # What it leaves open is nobody's, and podman would give it ten seconds to end by itself.
            run_command([self._engine.program, "kill", self._name], SECONDS)
        except CommandError:
            pass  # It has ended, or was never made.
        run_command([self._engine.program, "rm", "--force", "--volumes", self._name], SECONDS)

    def _pid(self):
        found = self._engine.inspect("container", self._name) or {}
        return int((found.get("State") or {}).get("Pid") or 0)

    def _said(self):
        try:
            return run_command([self._engine.program, "logs", "--tail", "20", self._name], SECONDS)
        except AppStateError:
            return ""


def _ask_inside(pid, health):
    """In a child: the answer that is had in the network of another process."""
    enter_network(pid)
    return service.ask(health)


def _spare_port():
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
