# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a helper container may do, and may not; on real podman."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.containers.helper import Helper, literal
from ansible_collections.appstate.backup.plugins.module_utils.containers.places import find_place
from ansible_collections.appstate.backup.plugins.module_utils.source import VolumeSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import SourceError
from ansible_collections.appstate.backup.tests.unit.plugins.podman_machine import (  # pylint: disable=unused-import
    containers, containers_of_module)  # noqa: F401


def helper(containers, name="data"):
    if name.encode() not in containers.podman("volume", "ls", "--quiet").split():
        containers.podman("volume", "create", name)
    return Helper(find_place(VolumeSource("volumes/x", volume=name, engine="podman")), 20, app_name="notes")


def said(helper, script, feed=False, writes=True):
    with helper.run(script, [helper.path], feed) if writes else helper._start(script, [helper.path]) as stream:
        answer = b"" if feed else b"".join(iter(lambda: stream.read(1 << 16), b""))
        helper.expect_success(stream)
        return answer.decode()


def test_one_that_reads_cannot_write(containers):
    reading = helper(containers)
    with pytest.raises(SourceError, match="[Rr]ead-only file system"):
        said(reading, 'echo x > "$1/file"', writes=False)
    with pytest.raises(SourceError, match="[Rr]ead-only file system"):
        said(reading, "echo x > /file", writes=False)


def test_it_has_no_network_and_no_power_but_over_files(containers):
    interfaces = said(helper(containers), "ls /sys/class/net 2>/dev/null || ls /proc/sys/net/ipv4/conf; true").split()
    assert set(interfaces) <= {"all", "default", "lo"}
    status = said(helper(containers), "cat /proc/self/status", writes=False)
    # CAP_DAC_OVERRIDE of capabilities(7) alone.
    assert "CapEff:\t%016x" % (1 << 1) in status and "NoNewPrivs:\t1" in status


def test_the_files_it_finds_are_told_as_the_container_sees_them(containers):
    containers.podman("volume", "create", "data")
    containers.inside("data", "mkdir sub; echo 12345 > sub/file; chown 33:44 sub/file; chmod 640 sub/file; "
                      "ln -s file sub/link")
    found, link, none, directory = helper(containers).look(["sub/file", "sub/link", "none", "sub"])
    assert found[1:5] == (6, 0o640, 33, 44) and [link, none, directory] == [None] * 3


def test_what_a_killed_run_left_is_ended_and_only_that(containers):
    mine = helper(containers)
    containers.podman("run", "--detach", "--rm", "--label", "appstate.backup.helper=notes", "--volume", "data:/v",
                      "--name", "appstate-0123456789abcdef", "docker.io/library/busybox", "sleep", "999")
    containers.podman("run", "--detach", "--label", "appstate.backup.helper=other", "--volume", "data:/v",
                      "--name", "other", "docker.io/library/busybox", "sleep", "999")
    mine.end_others()
    assert containers.podman("ps", "--all", "--format", "{{.Names}}").split() == [b"other"]


@pytest.mark.parametrize("patterns,words", [
    (["cache", "/cache", "data/cache/", "cache/"], ["cache", "./cache", "./data/cache", "cache"]),
    (["*.tmp", "a?", "[ab]", "back\\slash", "/", "new\nline"], [])])
def test_only_what_every_tar_understands_alike_is_left_to_tar(patterns, words):
    assert literal(patterns) == words
