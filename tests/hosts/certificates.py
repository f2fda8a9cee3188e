# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate for a host, signed by an authority that nobody else knows."""

from __future__ import annotations

from .packages import require

PROGRAMS = {"openssl": "openssl"}
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Certificates:
    """The authority and the certificate of a host, in a folder on it; the keys are for one account alone."""

    def __init__(self, host, folder, names, owner="root"):
        require(PROGRAMS)
        self.authority = folder + "/authority.crt"
        self.certificate = folder + "/server.crt"
        self.key = folder + "/server.key"
        host.run(["install", "-d", "-o", owner, "-m", "0755", folder])
        host.run(["openssl", "req", "-x509"] + KEY + ["-keyout", folder + "/authority.key", "-out", self.authority,
                 "-days", "2", "-subj", "/CN=authority of a test"], user=owner)
        host.run(["openssl", "req", "-x509"] + KEY + ["-keyout", self.key, "-out", self.certificate, "-days", "2",
                 "-subj", "/CN=" + names[0], "-addext", "basicConstraints=critical,CA:FALSE", "-addext",
                 "subjectAltName=" + ",".join("%s:%s" % ("IP" if name[0].isdigit() else "DNS", name) for name in names),
                 "-CA", self.authority, "-CAkey", folder + "/authority.key"], user=owner)
