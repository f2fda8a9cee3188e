# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as one executable file that needs Python and nothing else; source: Python's documentation of zipapp."""

from __future__ import annotations

import pathlib
import zipfile

ENGINE = pathlib.Path(__file__).resolve().parent.parent / "module_utils"
PACKAGE = "appstate_backup"
# While the rest is imported, the file may be replaced by that of a newer version: so it is read through a descriptor, not by its name.
MAIN = """import os
import sys

descriptor = os.open(sys.path[0], os.O_RDONLY | os.O_CLOEXEC)
sys.path[0] = "/proc/self/fd/%d" % descriptor

from {0}.command import main
from {0}.system.privileges import keep_needed

del sys.path[0]
os.close(descriptor)
keep_needed()
sys.exit(main())
""".format(PACKAGE)
# The modules' own face, which needs Ansible.
LEFT_OUT = (ENGINE / "module.py",)
# The earliest time that a zip file can tell: contents alone make the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def build(target):
    """Writes the command to a path; the same engine gives the same bytes everywhere."""
    with open(target, "wb") as stream:
        stream.write(b"#!/usr/bin/env python3\n")
        # Stored and not compressed: what a compressor makes of the same bytes differs between its versions.
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            # First, and so at the same place in every version: this one is still read by the file's name.
            _add(archive, "__main__.py", MAIN.encode("ascii"))
            for path in sorted(ENGINE.rglob("*.py")):
                if path not in LEFT_OUT:
                    _add(archive, "%s/%s" % (PACKAGE, path.relative_to(ENGINE).as_posix()), path.read_bytes())


def _add(archive, name, data):
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)
