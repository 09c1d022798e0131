"""What schemathesis has to know about Cortado beyond the OpenAPI document.

A request can be refused although it matches the document: because of what the server has at that moment, or by a rule that
no schema can say. `ABOUT_STATE` and `UNSAID_RULES` list these refusals completely; every other one is a finding.
"""

import itertools
import json
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData

# Codes that are about the state of the server, not about the form of the request.
ABOUT_STATE = {
    "idempotency_key_reused",  # the key belongs to another submission
    "invalid_payload",  # the schema is that of the kind, which a worker declares
    "too_many_credentials",
    "too_many_kinds",
    "too_many_queues",
    "too_many_schedules",
    "unknown_kind",
}

# Operations that only begin a WebSocket, for which schemathesis has no client. They are called, and must refuse.
SOCKETS = {"connectEvents", "connectSharedEvents", "connectWorker"}

# Rules that no schema says, or that would make one hard to read, by the fields and the messages of their errors. The
# descriptions in the document have all of them.
UNSAID_RULES = [
    r"\b(run_at|delay_ms): set delay_ms or run_at, not both$",
    r"\bbackoff\.base_ms: the initial backoff \(\d+ ms\) must not exceed the maximum backoff \(\d+ ms\)$",
    r"^expires_in: cannot be given with expires_at$",
    r"^expires_at: must be in the future$",
    # The example and the payload of a kind must match its schema, which must be a schema.
    r"^(example|schema): ",
    # The patterns leave out the hidden characters above U+FFFF, which the dialects of regular expressions write in different
    # ways. The message shows them as escapes.
    r'(tag|idempotency_key|worker) ".*\\u\{(110[bc]d|1343[\da-f]|1bca[0-3]|1d17[3-9a]|e0[\da-f]{3})\}.*" is not valid: ',
    # Searches are a language of their own, with at most 20 conditions.
    r"\bq(\[\d+\])?: ",
    # One worker is not remote.
    r"^worker: local is the name of the worker in the server's own process$",
    # Waiting and the header are for one job.
    r"^wait: is only supported for a single job",
    r"^: the Idempotency-Key header is only supported for a single job",
    r"^: the Idempotency-Key header and idempotency_key in the body differ$",
]
UNSAID_RULES = [re.compile(rule) for rule in UNSAID_RULES]

# Some patterns of schedules, and some time zones.
PATTERNS = [
    "every 15m",
    "every 1s",
    "@daily",
    "@hourly",
    "0 0 LW * *",
    "0 0 15W 5 *",
    "0 0 * * mon#2",
    "0 0 * * 5L",
    "0 0 1 * +mon",
    "* * * * *",
    "*/5 8-18 * * mon-fri",
    "0 0 L * *",
    "30 2 1,15 jan,jul *",
    "15 30 2 * * *",
]
schemathesis.openapi.format("cron", st.sampled_from(PATTERNS))
schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "+02:00", "-05:30", "Z"]))


def problem(response):
    """Returns the problem document of a response, or an empty object."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # The document allows requests without credentials, because there are servers that need none. This one needs them.
    raw_schema["security"] = [way for way in raw_schema["security"] if way]


def follows(case):
    """Returns whether a request asks for the log of a job and for what comes after it, which may be without end."""
    query = case.query if isinstance(case.query, dict) else {}
    return str(query.get("follow", "false")).lower() in {"", "1", "true"}


@schemathesis.hook
def filter_case(context, case):
    # A client that reads a whole answer cannot follow a log.
    return not follows(case)


# What there is on the server: the test has written it into the working directory.
with open("seeded.json", encoding="utf-8") as seeded:
    SEEDED = {name: itertools.cycle(values) for name, values in json.load(seeded).items()}
# The path of operations on what no other operation brings.
OF_SEEDED = [("/api/v1/jobs/{id}", "id"), ("/shared/{link}/", "link"), ("/api/v1/leases/{lease}", "lease")]
turns = itertools.cycle([True, False])


@schemathesis.hook
def before_call(context, case, kwargs):
    # Random ids name nothing, so every second request that is valid gets the id of something that exists.
    if case.meta is None or not case.meta.generation.mode.is_positive or case.meta.phase.name == "stateful":
        return
    if follows(case):
        return
    for path, name in OF_SEEDED:
        if case.path.startswith(path) and next(turns):
            case.path_parameters[name] = next(SEEDED[name])


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Returns whether a failure is a finding."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    refusal = problem(response)
    code = refusal.get("code")
    if code in ABOUT_STATE:
        return False
    if code == "not_a_websocket":
        return case.operation.definition.raw.get("operationId") not in SOCKETS
    errors = refusal.get("errors") or [{"field": "", "message": refusal.get("detail", "")}]
    errors = [f"{error['field']}: {error['message']}" for error in errors]
    return not all(any(rule.search(error) for rule in UNSAID_RULES) for error in errors)
