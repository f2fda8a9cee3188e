# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as Ansible wants to find it: in a tree ansible_collections/appstate/backup."""

from __future__ import annotations

import os
import shutil

from .processes import checked

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VARIABLE = "APPSTATE_COLLECTIONS_PATH"
PLACE = "/ansible_collections/appstate/backup"


def collections_path(folder):
    """The directory that holds ansible_collections.

    The environment may name it; else it is where these tests lie, or else a copy of the checkout below ``folder``.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return given
    if REPOSITORY.endswith(PLACE):
        return REPOSITORY[:-len(PLACE)]
    copy_collection(folder + PLACE)
    return folder


def copy_collection(target):
    """Copy the files that git knows or would add; Ansible does not take a symbolic link to the checkout."""
    listed = checked(["git", "-C", REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    for name in filter(None, listed.split("\0")):
        source = os.path.join(REPOSITORY, name)
        if os.path.isfile(source):
            os.makedirs(os.path.dirname(os.path.join(target, name)), exist_ok=True)
            shutil.copy2(source, os.path.join(target, name))
