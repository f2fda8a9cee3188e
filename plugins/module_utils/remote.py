# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places off the host that rclone(1) reaches, as the operator describes them.

A ``Place`` is where something lies: a bucket or a directory, and how rclone gets there. A ``Remote`` is a Place that
backups are copied to.
"""

from __future__ import annotations

import re

from .settings import RETENTION_KEYS, read_retention

PLACE_KEYS = ("remote", "options", "config_file")
REMOTE_KEYS = ("name", "host", "retention", "delete", "bandwidth", "attempts", "timeout") + PLACE_KEYS
# As the section of a configuration file can be called, and as it stands before the colon (rclone(1), "Syntax of remote
# paths"). A comma would begin options on the command line, which everybody can read.
SPECIFIED = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*):([^\0\n]*)\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
OPTION = re.compile(r"[a-z][a-z0-9_]*\Z")
# --bwlimit of rclone: bytes a second with a suffix, or a timetable of them.
BANDWIDTH = re.compile(r"[0-9A-Za-z.,:\- ]+\Z")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}\Z")
DAY = 86400.0
# Options of rclone whose values anybody may see; what any other one is set to is taken for a secret.
HARMLESS = ("type", "provider", "endpoint", "region", "location_constraint", "acl", "bucket_acl", "storage_class", "host", "port",
            "user", "url", "vendor", "env_auth", "account", "key_file", "known_hosts_file", "shell_type", "server_command", "chunk_size",
            "upload_cutoff", "upload_concurrency", "force_path_style", "no_check_bucket", "project_number", "location",
            "bucket_policy_only", "service_account_file", "v2_auth", "disable_checksum", "md5sum_command", "sha1sum_command")
# Shorter ones are flags and numbers: to hide them would hide half of every message.
SECRET_LEAST = 6


def secrets_of(options):
    """The values in the options of a remote that nobody may see, as texts."""
    return [value for name, value in options.items()
            if name not in HARMLESS and isinstance(value, str) and len(value) >= SECRET_LEAST]


class Place:
    """A bucket or a directory.

    Attributes:
        remote: ``NAME:PATH``, or the absolute path of a directory of this host.
        options: dictionary of texts, what rclone's configuration has about NAME; empty where that is in a file.
        config_file: path on the host of a configuration of rclone's that knows NAME, or None.
        timeout: seconds that one call of rclone may take.
    """

    def __init__(self, remote, options=None, config_file=None, timeout=DAY):
        self.remote = remote.rstrip("/") if not remote.endswith(":/") else remote
        self.options = dict(options or {})
        self.config_file = config_file
        self.timeout = timeout

    @property
    def section(self):
        """What rclone's configuration calls it; None for a directory of this host."""
        found = SPECIFIED.match(self.remote)
        return None if found is None else found.group(1)

    def at(self, path):
        """The place of something in it, as rclone is told; ``path`` is relative, or empty for the place itself."""
        if not path:
            return self.remote
        return self.remote + ("" if self.remote.endswith((":", "/")) else "/") + path

    def of_section(self, path):
        """The same for a path below NAME itself."""
        return "%s:%s" % (self.section, path)


class Remote(Place):
    """A Place that the backups of an app are copied to.

    Attributes:
        name: what the operator calls it.
        host: the directory below it that this host's apps are in; None takes the host's own name.
        retention: Retention of the backups there; None takes the app's.
        delete: whether anything is ever removed there.
        bandwidth: rclone's ``--bwlimit``, or None.
        attempts: how often a copy is tried.
    """

    def __init__(self, name, remote, options=None, config_file=None, host=None, retention=None, delete=True,
                 bandwidth=None, attempts=4, timeout=DAY):
        super().__init__(remote, options, config_file, timeout)
        self.name = name
        self.host = host
        self.retention = retention
        self.delete = delete
        self.bandwidth = bandwidth
        self.attempts = attempts


def read_remotes(reader, told):
    """The Remotes in an app's dictionary; ``reader`` is its ``description.Reader``."""
    remotes = [_read_remote(reader, item, "remote %d" % number)
               for number, item in enumerate(reader.items(told, "remotes", "the app"), 1)]
    names = [remote.name for remote in remotes]
    for name in names:
        if names.count(name) > 1:
            reader.fail("two remotes have the name %r" % name)
    return tuple(remotes)


def _read_remote(reader, told, what):
    reader.known(told, REMOTE_KEYS, what)
    name = reader.text(told, "name", what)
    if not NAME.match(name):
        reader.fail("'name' of %s is %r; it may have letters, digits, '-' and '_', 63 at the most" % (what, name))
    what = "remote %s" % name
    place = read_place(reader, told, what, DAY)
    bandwidth = reader.maybe(told, "bandwidth", what)
    if bandwidth is not None and not BANDWIDTH.match(bandwidth):
        reader.fail("'bandwidth' of %s is %r" % (what, bandwidth), "Write bytes a second, as 4M")
    host = reader.maybe(told, "host", what)
    if host is not None and not HOST.match(host):
        reader.fail("'host' of %s is %r, which is no name of a host" % (what, host))
    retention = None
    if told.get("retention") is not None:
        reader.known(told["retention"], tuple(key for key in RETENTION_KEYS if key != "before_restore"),
                     "'retention' of %s" % what)
        retention = read_retention(reader, told, "'retention' of %s" % what)
    delete = reader.flag(told, "delete", True, what)
    if retention is not None and not delete:
        reader.fail("%s has a 'retention', and says 'delete: false'" % what, "Leave out the one or the other")
    return Remote(name, place.remote, place.options, place.config_file, host, retention, delete, bandwidth,
                  reader.count(told, "attempts", what) or 4, place.timeout)


def read_place(reader, told, what, timeout):
    """The Place in a dictionary; ``timeout`` is the default of that key, in seconds."""
    remote = reader.text(told, "remote", what)
    place = Place(remote, _options(reader, told, what), reader.maybe_absolute(told, "config_file", what),
                  reader.seconds(told, "timeout", timeout, what))
    if remote.startswith("/"):
        if place.options or place.config_file:
            reader.fail("the 'remote' of %s is a directory of this host, which needs no 'options'" % what)
        if place.remote == "" or "\n" in remote:
            reader.fail("the 'remote' of %s may not be %r" % (what, remote), "Name one directory")
    elif place.section is None:
        # Not the value itself: it may be a connection string, with secrets.
        reader.fail("the 'remote' of %s is neither NAME:PATH nor an absolute path" % what,
                    "Write the name of the remote, a colon, and the bucket or directory: s3:my-bucket/backups; what rclone "
                    "has to know of that name goes into 'options'")
    elif place.remote.endswith(":"):
        reader.fail("the 'remote' of %s names no bucket or directory" % what, "Write it after the colon: s3:my-bucket/backups")
    elif bool(place.options) == bool(place.config_file):
        reader.fail("%s needs either 'options', or a 'config_file'" % what,
                    "Write into 'options' what 'rclone config' would write, with 'type' first")
    if ".." in remote.split("/"):
        reader.fail("the 'remote' of %s may not have '..' in it" % what)
    return place


def _options(reader, told, what):
    options = told.get("options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        reader.fail("'options' of %s is a dictionary, not a %s" % (what, type(options).__name__))
    if not isinstance(options.get("type"), str):
        reader.fail("'options' of %s needs a 'type'" % what, "It is that of rclone: s3, sftp, azureblob, webdav, ...")
    return {_option_name(reader, name, what): _option(reader, name, value, what) for name, value in options.items()}


def _option_name(reader, name, what):
    if not isinstance(name, str) or not OPTION.match(name):
        reader.fail("'options' of %s has the name %r, which no option of rclone has" % (what, name))
    return str(name)


def _option(reader, name, value, what):
    """The value as a line of the configuration. None of the messages shows it: it may be a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "%d" % value
    if not isinstance(value, str):
        reader.fail("the option %r of %s is no text" % (name, what))
    # Of all options, only keys in PEM format have lines; rclone takes the two characters \n for their ends.
    text = str(value).strip("\n").replace("\n", "\\n") if name.endswith("_pem") else str(value)
    if re.search("[\r\n\0]|%\\(|[\ud800-\udfff]", text):
        reader.fail("the option %r of %s has a line break, or '%%(' in it, which rclone's configuration cannot hold"
                    % (name, what))
    return text
