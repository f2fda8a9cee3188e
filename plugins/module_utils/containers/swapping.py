# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a helper container does to a volume that is restored: a shell's few words, the same each time.

Beside the live entries stands one directory of ours, ``.appstate-<token>``, that only root can enter. New state is put
into its ``new``; the swap moves old entries into its ``old`` and new ones out. Markers say how far that has come, so
that each step can be repeated, or undone, after a kill at any moment:

``ready``       all of the new state is there, and was read back
``attributes``  owner, group and mode that the directory itself had: from here on old entries may have moved
``in``          no old entry is left: from here on new entries may have moved in
``done``        the new state is live

Entries are moved by rename(2) within the directory's file system. ``mv -n`` replaces nothing; what it leaves is an
error. All of it is what busybox, coreutils and findutils have in common.
"""

from __future__ import annotations

PREFIX = ".appstate-"
# What a step ends with where something of that name is in the way.
IN_THE_WAY = 45
# Where old state would be deleted.
HOLDS_OLD_STATE = 46
# What discarding ends with where then nothing at all is left.
EMPTY = 47

# $1 is the directory, $2 ours in it. Takes a tar.
UPLOAD = """
set -e
umask 022
mkdir -p "$1"
umask 077
cd "$1"
mkdir "$2" "$2/new"
cd "$2/new"
exec tar -x -p -f -
"""

# Gives the tar of what was uploaded.
READ_BACK = 'cd "$1/$2/new" && exec tar -c -f - .'

# $1 is the directory, $2 ours in it, $3 the step, $4 the one entry that is meant, or "" for all of them; $5 to $7 are
# the owner, group and mode that the directory itself gets, or "".
STEP = """
set -e
umask 077
if [ "$3" = discard ] && [ ! -d "$1" ]; then exit 0; fi
cd "$1"
own=$2
only=$4

flush() { sync -f . 2> /dev/null || sync; }

move() {
    if [ -n "$only" ]; then
        if [ -e "$1/$only" ] || [ -L "$1/$only" ]; then mv -n "$1/$only" "$2/"; fi
    else
        find "$1" -mindepth 1 -maxdepth 1 ! -name '.appstate-*' -exec sh -c 'mv -n -- "$@" "$0/"' "$2" {} +
    fi
    if [ -n "$only" ]; then
        if [ -e "$1/$only" ] || [ -L "$1/$only" ]; then exit %(in_the_way)d; fi
    elif [ -n "$(find "$1" -mindepth 1 -maxdepth 1 ! -name '.appstate-*' | head -c 1)" ]; then
        exit %(in_the_way)d
    fi
}

case $3 in
ready)
    flush
    : > "$own/ready"
    flush
    ;;
forward)
    if [ -e "$own/done" ]; then exit 0; fi
    [ -e "$own/ready" ]
    if [ ! -e "$own/in" ]; then
        mkdir -p "$own/old"
        if [ ! -e "$own/attributes" ]; then
            stat -c '%%u %%g %%a' . > "$own/attributes.new"
            mv "$own/attributes.new" "$own/attributes"
            flush
        fi
        move . "$own/old"
        flush
        : > "$own/in"
    fi
    move "$own/new" .
    if [ -n "$7" ]; then
        chown "$5:$6" .
        chmod "$7" .
    fi
    flush
    : > "$own/done"
    flush
    ;;
back)
    if [ ! -e "$own/attributes" ]; then exit 0; fi
    if [ -e "$own/in" ]; then
        mkdir -p "$own/undone"
        rm -f "$own/done"
        move . "$own/undone"
        flush
        rm "$own/in"
    fi
    move "$own/old" .
    read -r uid gid mode < "$own/attributes"
    chown "$uid:$gid" .
    chmod "$mode" .
    flush
    rm "$own/attributes"
    flush
    ;;
forget)
    if [ -e "$own" ]; then
        [ -e "$own/done" ]
        mv "$own" "$own.gone"
    fi
    rm -rf "$own.gone"
    ;;
discard)
    if [ -e "$own/attributes" ]; then exit %(holds_old_state)d; fi
    rm -rf "$own"
    if [ -z "$(ls -A)" ]; then exit %(empty)d; fi
    ;;
esac
""" % {"in_the_way": IN_THE_WAY, "holds_old_state": HOLDS_OLD_STATE, "empty": EMPTY}
