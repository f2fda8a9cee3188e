# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Canaries on a host: playbooks over SSH at their most talkative, and runs of cron that go well, fail, and are mailed about.

All processes and files of the host are watched from the outside, with the watch that e2e tests use.
"""

from __future__ import annotations

import json
import os
import pathlib
import stat
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

# These are found only by the path above, so that they come after it (E402).
from hosts.fleet import Fleet  # noqa: E402
from hosts.object_store import ObjectStore  # noqa: E402
from hosts.secrets_watch import SecretsWatch, in_files, in_text  # noqa: E402
from notebooks import METRICS, PORT, Notebook, Pings, wait_for  # noqa: E402
from offsite import Pair  # noqa: E402
from row import Bad  # noqa: E402

CONFIG = "/etc/appstate-backup/apps.d/notes.json"
OF_ANSIBLE = ("/root/.ansible/tmp/", os.path.dirname(CONFIG) + "/.ansible_tmp", os.path.dirname(CONFIG) + "/.source")
MAIL = "/var/mail/root"
SENDMAIL = "#!/bin/sh\nexec cat >> %s\n" % MAIL
SYSLOG = "/var/log/syslog-of-test"
# What takes the place of a system's log on a host that has none.
LOGGER = """
import os, socket
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
while True:
    with open("%s", "ab") as stream:
        stream.write(log.recv(65536) + b"\\n")
""" % SYSLOG
# An application's own endpoint; it writes down what it was asked with.
ASKED = "/var/log/asked"
ENDPOINT = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("%s", "ab") as stream:
            stream.write(self.rfile.read(int(self.headers["Content-Length"])) + (self.path + str(self.headers)).encode())
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"answer")
http.server.HTTPServer(("0.0.0.0", %d), Answer).serve_forever()
""" % (ASKED, PORT + 1)
PLAYBOOKS = ("backup", "drill", "escrow", "report")


class Story:
    """The hosts, the application and its canaries."""

    def __init__(self, fleet, random):
        self.fleet = fleet
        self.host = fleet["host1"]
        self.notes = Notebook(self.host, "notes").install()
        self.host.run(["mkdir", "-p", METRICS])
        self.host.write("/usr/sbin/sendmail", SENDMAIL, mode=0o755)
        self.host.start(["/usr/bin/python3", "-c", LOGGER])
        self.pings = Pings(fleet["host2"])
        fleet["host2"].start(["/usr/bin/python3", "-c", ENDPOINT])
        self.store = ObjectStore(fleet["host2"])
        self.pair, self.other = Pair(), Pair()
        self.given = {name: "canary%s%032x" % (name, random.getrandbits(128))
                      for name in ("ping", "drillping", "token", "query", "body")}
        self.given["s3"] = self.store.secret
        self.secrets = dict(self.given, identity=self.pair.secret, other=self.other.secret)
        self.said = []

    def write_inventory(self):
        """All of it in the one place where an operator has it."""
        address, given = self.fleet["host2"].address, self.given
        app = self.notes.app(address, encryption={"recipients": [self.pair.recipient]},
                             remotes=[self.store.described("s3", attempts=1)])
        at = "http://%s:%d/" % (address, PORT)
        app["monitoring"]["ping"]["url"] = at + given["ping"]
        app["drill"] = {"monitoring": {"ping": {"url": at + given["drillping"], "attempts": 1}}}
        app["sources"].append({"type": "http", "path": "asked.txt", "format": "raw", "method": "POST",
                               "url": "http://%s:%d/data?%s" % (address, PORT + 1, given["query"]),
                               "headers": {"Authorization": given["token"]}, "body": given["body"]})
        self.fleet.write_inventory({"appstate_apps": [app], "restore_app": "notes", "restore_identity": self.pair.identity,
                                    "drill_identity": self.pair.identity, "escrow_identity": self.pair.identity,
                                    "report_dest": os.path.join(self.fleet.folder, "report"),
                                    "schedule_minute": "*", "schedule_hour": "*"})

    def play(self, name, extra_vars=None, **options):
        """A playbook that tells all that it can."""
        time.sleep(1.1)
        run = self.fleet.playbook("appstate.backup." + name, extra_vars, limit="host1", arguments=["-vvv"], diff=True, **options)
        self.said += [run.text, json.dumps(run.events, ensure_ascii=False)]
        return run

    def go_well(self):
        """Everything that an operator does, and cron."""
        self.play("schedule", check=True)
        for name in PLAYBOOKS:
            self.play(name).ok()
        for name in sorted(os.listdir(os.path.join(self.fleet.folder, "report"))):
            self.said.append(pathlib.Path(self.fleet.folder, "report", name).read_text(encoding="utf-8"))
        self.play("restore", {"restore_remote": "s3"}).ok()
        self.play("restore", {"restore_remote": "s3", "restore_identity": self.other.identity})
        # From here on runs of cron hold the app's lock.
        self.play("schedule").ok()
        log = self.host.path("/var/log/appstate-backup/notes.log")
        wait_for(lambda: os.path.exists(log) and "verified to" in self.notes.log(), 150)

    def fail(self):
        """The remote is gone, and everybody says so."""
        self.store.kill()
        self.play("backup")
        wait_for(lambda: os.path.exists(self.host.path(MAIL)) and b"s3" in self.host.read(MAIL), 150)


def look_at_a_host(random):
    """Returns how many canaries were looked for in how many places; raises Bad where one was seen."""
    with Fleet(2, cron=True) as fleet:
        story = Story(fleet, random)
        story.write_inventory()
        control(story)
        with SecretsWatch(story.host, story.secrets) as watch:
            story.go_well()
            story.fail()
        judge(story, watch)
        return len(story.secrets) * (len(story.said) + 3)


def control(story):
    """The watch sees what is there to see."""
    secret = {"control": "canarycontrol00000000"}
    with SecretsWatch(story.host, secret) as watch:
        story.host.write("/var/tmp/control", "x" * 5000 + secret["control"])
        story.host.run(["sleep", "0.7"])
        story.host.run(["sh", "-c", "sleep 0.3", secret["control"]])
        story.host.run(["env", "X=" + secret["control"], "sleep", "0.3"])
        os.unlink(story.host.path("/var/tmp/control"))
    kinds = {kind for unused, kind, unused_program in watch.seen}
    if kinds != {"cmdline", "environ"} or watch.found != {("control", "/var/tmp/control")}:
        raise Bad("the watch does not see what is there: %s, %s" % (watch.seen, watch.found))


def judge(story, watch):
    """Raises Bad where a canary was seen; and where something did not happen that it could have been seen in."""
    if watch.seen:
        raise Bad("seen in processes: %s" % sorted(watch.seen)[:4])
    # What sshd does stands behind a colon.
    looked = {name: sum(count for program, count in watch.programs.items() if program.partition(":")[0] == name)
              for name in ("rclone", "sshd")}
    if min(looked.values()) < 5:
        raise Bad("the programs that are given a secret were not looked at: %s" % watch.programs)
    odd = sorted((name, path) for name, path in watch.found if path != CONFIG and not path.startswith(OF_ANSIBLE))
    left = in_files(story.host, story.secrets)
    if odd or left != [(name, CONFIG) for name in sorted(story.given)]:
        raise Bad("seen in files: %s; left: %s" % (odd[:4], left[:12]))
    if stat.S_IMODE(os.stat(story.host.path(CONFIG)).st_mode) != 0o600:
        raise Bad("the configuration can be read by others")
    said = [name for text in story.said for name in in_text(text, story.secrets)]
    if said:
        raise Bad("Ansible says: %s" % sorted(set(said)))
    received = json.dumps(story.pings.received()) + story.fleet["host2"].read(ASKED).decode()
    missed = [name for name in ("ping", "drillping", "token", "query", "body") if story.given[name] not in received]
    logged = story.host.read(SYSLOG) if os.path.exists(story.host.path(SYSLOG)) else b""
    if missed or b"notes" not in logged:
        raise Bad("these were never used: %s; syslog: %r" % (missed, logged[-200:]))
