"""Prints every event as a line of JSON and resumes after the cursor that it keeps in a file.

    pip install websockets
    python3 subscribe.py http://127.0.0.1:8080 cursor.txt 'type=job.*'
"""

import json
import pathlib
import random
import sys
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

base, file, query = (sys.argv[1:] + ["http://127.0.0.1:8080", "cursor.txt", ""][len(sys.argv) - 1 :])[:3]
place = pathlib.Path(file)
cursor = place.read_text().strip() if place.exists() else ""

while True:
    try:
        url = f"{base.replace('http', 'ws', 1)}/api/v1/ws?{query}&after={cursor}"
        with connect(url, subprotocols=["cortado.v1+json"], max_size=None) as socket:
            for text in socket:
                message = json.loads(text)
                for event in message.get("events", []):
                    print(json.dumps(event), flush=True)
                if message["type"] == "gap":
                    print("gap: fetch a fresh list", message, file=sys.stderr)
                cursor = message.get("cursor", message.get("to", cursor))
                fresh = place.with_name(place.name + ".new")
                fresh.write_text(cursor)  # a kill in between leaves the older cursor whole
                fresh.replace(place)
    except (OSError, WebSocketException) as error:
        print(error, file=sys.stderr)
    time.sleep(random.uniform(0, 2))  # random, so that clients do not all reconnect at once
