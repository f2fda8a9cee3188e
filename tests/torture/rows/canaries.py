# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A canary for each secret that an app can have, looked for wherever somebody could read it; none may be found.

Everything goes well in one case, in each other something fails: a server that is gone, or that says all it was told in its
answer; a wrong password; a configuration with a secret in the wrong place. The whole form adds playbooks over SSH that tell all
they can, and runs that cron starts and mails about (see ``canary_host``). A control shows first that a canary is found in every
place where one is looked for.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil

from canaries import traced
from canary_app import CanaryApp, Servers
from rights import PYTHON, unpacked
from row import Bad, Mutation, Row, Tried

ENGINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "plugins", "module_utils")
# Where the engine itself says that a value is a secret: which keys of an app these are.
READ_AS_SECRET = re.compile(r'\.secret\(told, "(\w+)"')
CHECKED = {"password", "body"}
# Of these, only a run finds out.
SEEN_LATER = ("password_has_lines", "url_has_a_port")
OF_DRILLS = ("boot", "started sleep")
# Not below /tmp, in the place of which a run sees a directory of this row's.
PLACE = "/var/tmp/canaries"
# Fails, one thing at a time: what is to be changed in the app, and the words of the run.
FAILURES = ("ping_gone", "ping_refuses", "remote_gone", "remote_refuses", "http_gone", "http_echoes", "http_odd", "http_no_tls",
            "bucket_refuses", "identity_wrong", "hook_fails", "file_missing")
PLACED_WRONGLY = {
    "ping_is_a_text": lambda app, secret: app["monitoring"].update(ping=secret),
    "ping_has_blanks": lambda app, secret: app["monitoring"].update(ping={"url": "https://example.org/ %s" % secret}),
    "ping_is_a_list": lambda app, secret: app["monitoring"].update(ping=[secret]),
    "ping_misspelled": lambda app, secret: app["monitoring"].update(ping={"uri": secret}),
    "headers_are_a_text": lambda app, secret: app["sources"][2].update(headers="Authorization: " + secret),
    "header_is_a_list": lambda app, secret: app["sources"][2].update(headers={"Authorization": [secret]}),
    "header_has_a_break": lambda app, secret: app["sources"][2].update(headers={"Authorization": "a\r\n" + secret}),
    "body_is_a_list": lambda app, secret: app["sources"][2].update(body=[secret]),
    "url_has_no_scheme": lambda app, secret: app["sources"][2].update(url="localhost/?token=" + secret),
    "url_has_a_user": lambda app, secret: app["sources"][2].update(url="ftp://%s@localhost/" % secret),
    "url_has_a_port": lambda app, secret: app["sources"][2].update(url="http://u:%s@localhost:port/?%s" % (secret, secret)),
    "password_is_a_list": lambda app, secret: app["sources"].append(
        {"type": "postgresql", "database": "d", "password": [secret]}),
    "password_twice": lambda app, secret: app["sources"].append({"type": "postgresql", "database": "d", "password": secret,
                                                                 "password_file": "/x"}),
    "password_has_lines": lambda app, secret: app["sources"].append({"type": "postgresql", "database": "d", "host": "/nowhere",
                                                                     "password": "a\n" + secret}),
    "options_are_a_text": lambda app, secret: app["remotes"][0].update(options="secret=" + secret),
    "option_is_a_list": lambda app, secret: app["remotes"][0]["options"].update(secret_access_key=[secret]),
    "option_has_a_break": lambda app, secret: app["remotes"][0]["options"].update(secret_access_key="a\n" + secret),
    "remote_is_a_connection": lambda app, secret: app["remotes"][0].update(remote=":s3,secret_access_key=%s:bucket" % secret),
    "remotes_are_a_text": lambda app, secret: app.update(remotes="s3:" + secret),
    "recipient_is_the_identity": lambda app, secret: app.update(encryption={"recipients": ["AGE-SECRET-KEY-1" + secret.upper()]}),
    "recipient_is_odd": lambda app, secret: app.update(encryption={"recipients": [secret]}),
    "recipients_are_a_text": lambda app, secret: app.update(encryption=secret),
    "boot_environment_is_a_text": lambda app, secret: app.update(
        drill={"boot": {"argv": ["/bin/true"], "environment": "T=" + secret}}),
}


class Canaries(Row):
    """Cases: ``control``, ``keys``, ``good``, ``fails.WHAT``, ``wrong.WHAT``, and in the whole form ``host.WHAT``."""

    name = "canaries"
    title = "secrets in processes, files and messages"
    mutations = (
        Mutation("monitor/ping.py", 'could not be sent: %s" % (event, problem)', 'could not be sent: %s" % (event, ping.url)',
                 "the status tells the URL of a ping"),
        Mutation("remotes/rclone.py", 'argv = ["rclone"] + USUAL + [',
                 'argv = ["rclone"] + USUAL + ["--user-agent=" + str(place.options.get("secret_access_key"))] + [',
                 "rclone is started with a secret among its arguments"),
        Mutation("sources/download.py",
                 'urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))',
                 "url", "errors show all of a URL"),
        Mutation("description.py", 'self.fail("%r of %s is not a text" % (key, what))',
                 'self.fail("%r of %s is not a text: %r" % (key, what, value))', "a secret of the wrong type is shown"),
        Mutation("system/files.py", "    descriptor = os.memfd_create(name)\n",
                 '    descriptor = os.open("/var/tmp", os.O_RDWR | os.O_TMPFILE, 0o600)\n',
                 "a secret is written to a disk for a moment"),
    )

    def open(self):
        os.mkdir(PLACE, 0o711)
        self._started = False
        self._servers = Servers(self.random("secrets"))
        self._servers.__enter__()
        self._command = unpacked(os.path.join(PLACE, "command"))

    def close(self):
        self._servers.__exit__()

    def cases(self):
        found = ["control", "keys", "good"] + ["fails." + name for name in FAILURES]
        if self.short:
            return found + ["wrong.several"]
        return found + ["wrong." + name for name in PLACED_WRONGLY] + ["good.postgresql", "fails.postgresql", "host.all"]

    def run(self, case):
        kind, unused, name = case.partition(".")
        if kind == "host":
            from canary_host import look_at_a_host  # It needs Ansible, and hosts.
            return Tried(look_at_a_host(self.random(case)))
        folder = os.path.join(PLACE, "case")
        os.mkdir(folder, 0o711)
        os.chmod(folder, 0o711)
        try:
            return Tried(getattr(self, "_" + kind)(CanaryApp(folder, self._servers), name))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, app, *words, status=0, text=None):
        """One run of the command under a trace, and all sightings of a canary in it."""
        record, environment = app.place("trace"), {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        ended, said = traced([PYTHON, self._command] + app.places + list(words), record, environment, app.tmp, text)
        found = app.sought.in_trace(record) | {(name, "said") for name in app.sought.within(said)}
        os.unlink(record)
        # The environment of the application that a drill starts is where that one belongs.
        self._none(found - {OF_DRILLS})
        self._started = self._started or OF_DRILLS in found
        if status is not None and (ended == 0) != (status == 0):
            raise Bad("%s ended with %d: %s" % (" ".join(words), ended, said.decode("utf-8", "replace")[-500:]))
        if b"Traceback" in said:
            raise Bad("%s fails without a clear word: %s" % (" ".join(words), said.decode("utf-8", "replace")[-800:]))
        return said.decode("utf-8", "replace")

    @staticmethod
    def _none(found):
        if found:
            raise Bad("seen: %s" % ", ".join("%s, %s" % each for each in sorted(found)[:6]))

    def _nothing_left(self, app):
        """No file has a canary but those that the operator gave; the application's own is in archives, and nowhere else."""
        self._none(app.sought.in_files(app.searched, app.identity_file))
        own = {path for unused, path in app.own.in_files(app.searched, app.identity_file)}
        odd = [path for path in own if ".tar." not in path]
        if odd:
            raise Bad("what one of the application's files holds stands in %s" % odd[:3])
        return own

    def _control(self, app, unused):
        """What looks for canaries finds one in an argument, an environment, a file that is gone at once, a log, an archive."""
        secret, record = next(iter(app.secrets.values())), app.place("trace")
        script = ("import subprocess, sys, tempfile\ns = sys.stdin.read()\n"
                  "f = tempfile.TemporaryFile(); f.write(s.encode()); f.flush()\n"
                  "subprocess.run(['/bin/true', s]); subprocess.run(['/bin/false'], env={'X': s}); print(s.encode().hex())")
        ended, said = traced([PYTHON, "-c", script], record, {"PATH": "/usr/bin:/bin"}, app.tmp, secret)
        found = {where.partition("#")[0] for unused_name, where in app.sought.in_trace(record)}
        wanted = {"started true", "started false", "written /tmp/"}
        if ended or not app.sought.within(said) or found != wanted:
            raise Bad("the search does not find what is there: %s, %s" % (found, said))
        for name, content in (("log", b"x" * 70000 + secret.encode() + b"x"), (secret, b"")):
            with open(os.path.join(app.searched[0], name), "wb") as stream:
                stream.write(content)
        if len(app.sought.in_files(app.searched, None)) != 2:
            raise Bad("the search does not find what is in files and in their names")
        return 6

    def _keys(self, app, unused):
        """Each key that the engine reads as a secret has its canary."""
        keys = set()
        for folder, unused_folders, names in os.walk(ENGINE):
            for name in names:
                if name.endswith(".py"):
                    with open(os.path.join(folder, name), encoding="utf-8") as stream:
                        keys |= set(READ_AS_SECRET.findall(stream.read()))
        if keys != CHECKED:
            raise Bad("the engine reads %s as secrets, and this row tries %s" % (sorted(keys), sorted(CHECKED)))
        return len(app.secrets)

    def _good(self, app, name):
        """All that an operator does."""
        if name == "postgresql":
            with contextlib.ExitStack() as ends:
                ends.callback(app.add_postgresql())
                return self._good(app, "")
        identity = app.identity
        for words in (["run"], ["run", "--json"], ["list", "--remote", "offsite", "--json"], ["check"], ["prune"]):
            self._run(app, *words)
        for words in (["verify", "notes"], ["verify", "notes", "--remote", "offsite", "--json"], ["drill", "notes"],
                      ["restore", "notes", "--remote", "offsite"]):
            self._run(app, *(words + ["--identity", "-"]), text=identity)
        self._run(app, "rollback", "notes")
        archives = self._nothing_left(app)
        if len(archives) < 4:
            raise Bad("the application's own canary is in %d archives: the search does not look into them" % len(archives))
        app.really_used()
        if not self._started:
            raise Bad("no drill has started the application with its environment")
        return len(app.secrets) * 12

    def _fails(self, app, name):
        """One thing goes wrong; what is said of it tells no secret."""
        if name == "postgresql":
            with contextlib.ExitStack() as ends:
                ends.callback(app.add_postgresql(wrong=True))
                self._run(app, "run", status=1)
                self._nothing_left(app)
            return len(app.secrets)
        words, status, text = app.spoil(name)
        self._run(app, *words, status=status, text=text)
        if not self.short:
            self._run(app, *words, "--json", status=status, text=text)
            self._run(app, "check", status=None)
        self._nothing_left(app)
        return len(app.secrets) * 2

    def _wrong(self, app, name):
        """A secret stands where none belongs."""
        names = self.random("wrong").sample(sorted(PLACED_WRONGLY), 6) + ["body_is_a_list"] if name == "several" else [name]
        for each in names:
            app.describe(lambda told, each=each: PLACED_WRONGLY[each](told, app.misplaced))
            for words in (["run"], ["validate", app.configuration, "--json"]):
                self._run(app, *words, status=None if each in SEEN_LATER and words[0] == "validate" else 1)
        self._nothing_left(app)
        return 2 * len(names)


ROW = Canaries
