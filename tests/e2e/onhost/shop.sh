#!/bin/sh
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# An application in a container: it migrates its database when it starts, and then answers on port 8090. /version says what
# it is. An older version does not start on newer data; version 3 loses orders and never says that it is well.
version=$(cat /version)
data=$(sqlite3 /data/shop.db 'PRAGMA user_version') || exit 1
[ "$data" -le "$version" ] || exit 1
if [ "$data" -lt "$version" ]; then
    sqlite3 /data/shop.db "ALTER TABLE orders ADD COLUMN of_version_$version TEXT; PRAGMA user_version = $version" || exit 1
fi
mkdir -p /tmp/www
if [ "$version" = 3 ]; then
    sqlite3 /data/shop.db 'DELETE FROM orders WHERE id % 2 = 0' || exit 1
else
    echo '{}' > /tmp/www/health
fi
exec httpd -f -p 127.0.0.1:8090 -h /tmp/www
