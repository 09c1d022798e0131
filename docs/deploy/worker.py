"""The worker of compose.yaml: multiplies the sides of an image."""

import os

import cortado

token = os.environ.get("CORTADO_AUTH_TOKEN") or None
worker = cortado.Worker(os.environ["CORTADO_SERVER"], token, concurrency=20)


@worker.handler("resize")
def resize(image, context):
    context.log("resizing")
    return image["width"] * image["height"]


worker.run()
