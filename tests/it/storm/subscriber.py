"""A subscriber with moods, on Python's websockets: subscriber.py BASE QUERY CURSOR SEED

Prints {"type":"connect"} and then each message as it came. It hangs up in order or in a rage, stands
still, stays away, and resumes after the last cursor it was told.
"""

import json
import random
import socket
import sys
import time

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

base, query, cursor, seed = sys.argv[1:]
dice = random.Random(int(seed))


def listen(url):
    """One connection; what it tells is printed, and where it leaves us is kept."""
    global cursor
    patience = dice.randrange(1, 60) if dice.random() < 0.4 else None
    stall = dice.randrange(1, 40) if dice.random() < 0.4 else None
    with connect(url, subprotocols=["cortado.v1+json"], max_size=None, close_timeout=1) as stream:
        assert stream.subprotocol == "cortado.v1+json"
        print('{"type":"connect"}', flush=True)
        for count, text in enumerate(stream):
            message = json.loads(text)
            cursor = message.get("cursor", message.get("to", cursor))
            print(text, flush=True)
            if count == stall:
                time.sleep(dice.uniform(0, 1.5))
            if count == patience:
                if dice.random() < 0.5:
                    stream.socket.shutdown(socket.SHUT_RDWR)
                return


while True:
    try:
        listen(f"{base.replace('http', 'ws', 1)}/api/v1/ws?{query}&after={cursor}")
    except (OSError, EOFError, WebSocketException) as error:
        print(error, file=sys.stderr)
    time.sleep(dice.uniform(0, 6) if dice.random() < 0.1 else 0.02)
