# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of root's rights a process gives up: the command those that nothing here needs, a child that handles somebody's data all.

Sources: capabilities(7), capget(2), PR_SET_NO_NEW_PRIVS in prctl(2). What each capability is needed for stands in
docs/security.md, and the row ``privilege`` of the campaign tries it.
"""

from __future__ import annotations

import os

try:
    import ctypes
    _LIBC = ctypes.CDLL(None, use_errno=True)
except (ImportError, OSError, TypeError):
    _LIBC = None

# Names and numbers, as linux/capability.h has them.
NEEDED = {
    "chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
    "net_admin": 12, "sys_chroot": 18, "sys_ptrace": 19, "sys_admin": 21, "sys_nice": 23, "sys_resource": 24,
}
_VERSION = 0x20080522
_SET_NO_NEW_PRIVS = 38


def keep_needed():
    """Gives up what the command itself never needs; what it starts as root has all of root's rights again.

    execve(2) gives root's programs whatever the bounding set has: hooks, and the commands that stop and start an app,
    are the operator's, and nobody knows what they need. Call it before threads are started: each has its own.
    """
    if _LIBC is None or not hasattr(_LIBC, "capget"):
        return
    told = _sets()
    if _LIBC.capget(_header(), told) == 0:
        wanted = sum(1 << number for number in NEEDED.values())
        for half in range(2):
            for kind in range(2):  # Effective and permitted; the third are inheritable ones, which root has none of.
                told[3 * half + kind] &= wanted >> 32 * half & 0xffffffff
        _LIBC.capset(_header(), told)


def has(name):
    """Whether this process has a capability of NEEDED now; where nobody can tell, it has."""
    if _LIBC is None or not hasattr(_LIBC, "capget"):
        return True
    told, number = _sets(), NEEDED[name]
    return _LIBC.capget(_header(), told) != 0 or bool(told[3 * (number // 32)] >> number % 32 & 1)


def drop_capabilities():
    """Gives up every capability for good; a change of user has done that already.

    Raises:
        OSError: the kernel does not let it.
    """
    if _LIBC is None or not hasattr(_LIBC, "capset"):
        return  # Not Linux: there are none.
    if _LIBC.capset(_header(), _sets()) != 0:
        raise _error()


def forbid_new_privileges():
    """From here on no program gives this process, or a child of it, rights that it has not: no set-user-id, no sudo.

    Raises:
        OSError: the kernel does not let it.
    """
    if _LIBC is None or not hasattr(_LIBC, "prctl"):
        return
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    if _LIBC.prctl(_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0:
        raise _error()


def _header():
    return (ctypes.c_uint32 * 2)(_VERSION, 0)


def _sets():
    """Effective, permitted and inheritable capabilities up to 31, and those from 32 on; none."""
    return (ctypes.c_uint32 * 6)()


def _error():
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
