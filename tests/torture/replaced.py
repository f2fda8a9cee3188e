# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command's file is replaced by that of a newer version, as the role does it, while a run of the older one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile

from ansible_collections.appstate.backup.plugins.module_utils.catalog.catalog import list_backups
from ansible_collections.appstate.backup.plugins.module_utils.command_line import VERSION
from ansible_collections.appstate.backup.plugins.plugin_utils.zipapp import build
from ansible_collections.appstate.backup.tests.unit.plugins.host import Host
from row import Bad

NEWER = "99.0.0"
# About as long as Python takes to import the command.
BEGINS = 0.5
SECONDS = 60


class Replaced:
    """A host with the command on it, in two versions whose files have hardly a byte at the same place."""

    def __init__(self, path):
        os.mkdir(path)
        os.chmod(path, 0o711)
        self._host = host = Host(path)
        host.fill()
        self._older, self._newer, self._command = host.place("older"), host.place("newer"), host.place("appstate-backup")
        build(self._older)
        self._make_newer()
        os.mkdir(host.place("apps.d"), 0o700)
        waits = "touch %s; while test ! -e %s; do sleep 0.01; done" % (host.place("begun"), host.place("go-on"))
        with open(host.place("apps.d", "notes.json"), "w", encoding="ascii") as file:
            json.dump(host.described(hooks={"before": [["/bin/sh", "-c", waits]]}, monitoring={"syslog": False}), file)
        os.chmod(file.name, 0o600)

    def _make_newer(self):
        with zipfile.ZipFile(self._older) as older, open(self._newer, "wb") as stream:
            stream.write(b"#!/usr/bin/env python3\n")
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as newer:
                for number, info in enumerate(older.infolist()):
                    text = older.read(info).decode("utf-8").replace('VERSION = "%s"' % VERSION, 'VERSION = "%s"' % NEWER)
                    # The first one stays as it is: Python itself reads it by the file's name.
                    newer.writestr(info, text + "# %s\n" % ("longer" * (number % 97)) * bool(number))

    def _install(self, version):
        """As the copy module does: a whole file beside it, then rename(2)."""
        temporary = self._command + ".tmp"
        with open(version, "rb") as source, open(temporary, "wb") as target:
            target.write(source.read())
        os.chmod(temporary, 0o755)
        os.rename(temporary, self._command)

    def _arguments(self, *words):
        host = self._host
        return [sys.executable, "-I", self._command, "--config", host.place("apps.d"), "--state-directory", host.state,
                "--lock-directory", host.locks] + list(words)

    def run(self, begun, chance):
        """Replaces it while a run waits in the middle, or while Python reads the file."""
        for name in ("begun", "go-on"):
            if os.path.exists(self._host.place(name)):
                os.unlink(self._host.place(name))
        self._install(self._older)
        count = len(self._backups())
        child = subprocess.Popen(self._arguments("run"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, env={}, encoding="utf-8")
        if begun:
            self._wait_until_begun(child)
        else:
            time.sleep(chance.random() * BEGINS)
        self._install(self._newer)
        if child.poll() is not None and begun:
            raise Bad("the run had ended before the command was replaced")
        with open(self._host.place("go-on"), "wb"):
            pass
        said = child.communicate(timeout=SECONDS)[0]
        if child.returncode or len(self._backups()) != count + 1:
            raise Bad("a run whose file was replaced ended with %s: %s" % (child.returncode, said))
        self._newer_works()

    def _wait_until_begun(self, child):
        until = time.monotonic() + SECONDS
        while not os.path.exists(self._host.place("begun")):
            if child.poll() is not None or time.monotonic() > until:
                raise Bad("the run does not begin: %s" % child.communicate()[0])
            time.sleep(0.005)

    def _newer_works(self):
        said = subprocess.run(self._arguments("--version"), stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
        if said != NEWER + "\n":
            raise Bad("after the upgrade it is still version %s" % said)

    def _backups(self):
        return list_backups(self._host.app().directory, "notes")
