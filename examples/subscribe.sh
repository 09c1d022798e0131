#!/usr/bin/env bash
# Prints every event as a line of JSON and resumes after the cursor that it keeps in a file. Needs curl and jq.
#   ./subscribe.sh http://127.0.0.1:8080 cursor.txt 'type=job.*'
set -u
base=${1:-http://127.0.0.1:8080} file=${2:-cursor.txt} query=${3:-}
cursor=$(cat "$file" 2>/dev/null)

while true; do
  if answer=$(curl -sSf --max-time 40 "$base/api/v1/events?wait=20s&limit=1000&$query&after=$cursor"); then
    jq -c '.events[]' <<<"$answer"
    jq -r '.gap // empty | "gap from \(.from) to \(.to): fetch a fresh list"' <<<"$answer" >&2
    cursor=$(jq -r .cursor <<<"$answer")
    echo "$cursor" >"$file.new" && mv "$file.new" "$file" # a kill in between leaves the older cursor whole
  else
    sleep "$((RANDOM % 2)).$RANDOM" # random, so that clients do not all retry at once
  fi
done
