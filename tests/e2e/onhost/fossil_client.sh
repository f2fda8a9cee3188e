#!/bin/sh
# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# fossil_client.sh URL FOLDER: clones a repository and commits to it over HTTP, over and over, until FOLDER/stop is
# there. The line "N HASH" is added to FOLDER/commits after commit number N has been taken by the server.
set -eu
url=$1
folder=$2
export HOME="$folder" USER=admin FOSSIL_USER=admin
mkdir -p "$folder/tree"
cd "$folder/tree"
fossil clone --save-http-password -A admin "$url" ../clone.fossil
fossil open --force ../clone.fossil
# Commits follow one another within a second, in which times do not tell what has changed.
fossil settings mtime-changes off
number=0
while [ ! -e "$folder/stop" ]; do
    number=$((number + 1))
    head -c 3000 /dev/urandom | base64 > "file$((number % 7)).txt"
    echo "$number" > counter.txt
    fossil addremove
    # The lock that another client left in the repository is overridden: here nobody else works on the same files.
    fossil commit --override-lock --no-warnings --user-override admin -m "commit number $number"
    # A commit whose synchronisation failed is only in the clone: push again until the server has it.
    until fossil push "$url" --once; do sleep 0.2; done
    echo "$number $(fossil info | sed -n 's/^checkout: *\([0-9a-f]*\).*/\1/p')" >> "$folder/commits"
done
touch "$folder/stopped"
