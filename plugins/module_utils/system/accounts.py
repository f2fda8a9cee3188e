# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a file belongs to: names looked up once, and what an operator's wishes make of what a backup recorded."""

from __future__ import annotations

import grp
import os
import pwd

from .errors import ConfigurationError


class Ownership:
    """Turns recorded owners, groups and modes into those that a file gets.

    What the operator states for the app wins; else the recorded name, where this host knows it; else the recorded
    number. Without root nothing can be given away, so everything stays ours.

    Attributes:
        unknown: names that were recorded and that this host does not know.
        others: who else than we should have been given something, and was not since we are not root: ``user alice``.
    """

    def __init__(self, owner=None, group=None, file_mode=None, directory_mode=None):
        self._uid = None if owner is None else find_user(owner)
        self._gid = None if group is None else find_group(group)
        self._file_mode = file_mode
        self._directory_mode = directory_mode
        self._uids = {}
        self._gids = {}
        self._root = os.geteuid() == 0
        self.unknown = set()
        self.others = set()

    def ids(self, owner="", group="", uid=-1, gid=-1):
        """``(uid, gid)`` to give a file; -1 leaves it as it is."""
        wanted = (self._uid if self._uid is not None else self._recorded(self._uids, owner, uid, _uid_of),
                  self._gid if self._gid is not None else self._recorded(self._gids, group, gid, _gid_of))
        if self._root:
            return wanted
        self._note("user", owner, wanted[0], os.geteuid())
        self._note("group", group, wanted[1], os.getegid())
        return -1, -1

    def mode(self, recorded, directory):
        """The mode to give; set-user-id and set-group-id bits of files are never brought back."""
        stated = self._directory_mode if directory else self._file_mode
        mode = recorded if stated is None else stated
        return mode if directory else mode & 0o1777

    def warnings(self):
        """What did not come out as it was recorded, as lines for a person."""
        told = ["%s is no user or group of this host; its number is kept" % name for name in sorted(self.unknown)]
        if self.others:
            others = sorted(self.others)
            told.append("only root can give files to others: what should belong to %s%s is now the property of whoever restored it; "
                        "restore as root to have it given back" % (", ".join(others[:5]), " and others" if len(others) > 5 else ""))
        return told

    def _note(self, kind, name, wanted, ours):
        if wanted not in (-1, ours):
            self.others.add("%s %s" % (kind, name or wanted))

    def _recorded(self, known, name, number, look_up):
        if (name, number) not in known:
            found = look_up(name) if name else None
            if found is None and name:
                self.unknown.add(name)
            known[name, number] = number if found is None else found
        return known[name, number]


def find_user(owner):
    """The uid of a name or number that an operator stated."""
    return _find(owner, _uid_of, "user")


def find_group(group):
    """The gid of a name or number that an operator stated."""
    return _find(group, _gid_of, "group")


def _find(wanted, look_up, kind):
    if isinstance(wanted, int):
        return wanted
    found = look_up(wanted)
    if found is None and wanted.isdecimal():
        return int(wanted)
    if found is None:
        raise ConfigurationError("the %s %r does not exist on this host" % (kind, wanted),
                                 remedy="Create it, or change the app's 'owner' and 'group'")
    return found


def _uid_of(name):
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):  # ValueError: a NUL, or what cannot be encoded.
        return None


def _gid_of(name):
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


class Names:
    """Names of numeric ids, each looked up once; "" where there is none."""

    def __init__(self):
        self._users = {}
        self._groups = {}

    def user(self, uid):
        if uid not in self._users:
            self._users[uid] = _name(pwd.getpwuid, uid)
        return self._users[uid]

    def group(self, gid):
        if gid not in self._groups:
            self._groups[gid] = _name(grp.getgrgid, gid)
        return self._groups[gid]


def _name(look_up, number):
    try:
        return look_up(number)[0]
    except KeyError:
        return ""
