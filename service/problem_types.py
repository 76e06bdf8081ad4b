"""Kinds of problems, in the words of their pages.

Data only. Each has a stable address, ``/problems/<slug>``, where the service explains
it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem, as its page tells it."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str


TYPES = {
    item.slug: item
    for item in (
        ProblemType(
            "invalid-json",
            400,
            "The body is not JSON",
            "The body, or the part `params` of a multipart body, is not a JSON object "
            "as RFC 8259 has it. NaN, Infinity and numbers beyond doubles are no JSON.",
            "Send one JSON object with the arrays in it, as the examples at /docs do; "
            "null, not NaN, where a number is missing.",
        ),
        ProblemType(
            "invalid-multipart",
            400,
            "The body is not the multipart form that is read here",
            "The multipart body breaks off, has a part twice, has a part of an unknown "
            "name, or is not multipart/form-data at all.",
            "Send npy parts named as the JSON members, and a JSON part `params` for "
            "the rest. Let the HTTP library set Content-Type, boundary included.",
        ),
        ProblemType(
            "bad-request",
            400,
            "The request itself is malformed",
            "It is not HTTP/1.1 as RFC 9112 has it, or its Host header is missing, "
            "there more than once, or not the name of a host.",
            "Let an HTTP library write the request.",
        ),
        ProblemType(
            "unauthorized",
            401,
            "A key is needed",
            "No API key came with the request, or one that is not known.",
            "Send `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
        ),
        ProblemType(
            "forbidden",
            403,
            "This is not allowed",
            "The key is known but lacks the scope for this, or a web page of another "
            "origin tried to use a service that asks for no key.",
            "Use a key with the scope `write` to change anything, `read` to read.",
        ),
        ProblemType(
            "not-found",
            404,
            "There is nothing at this address",
            "No endpoint has this path.",
            "See /docs for all endpoints.",
        ),
        ProblemType(
            "session-not-found",
            404,
            "There is no such session",
            "No session of this name belongs to the key. It was never created, or was "
            "deleted or expired more than a day ago.",
            "Check the id and the key, or create a session with POST /v1/sessions.",
        ),
        ProblemType(
            "cycle-not-found",
            404,
            "The session has not come to this cycle",
            "Cycles are numbered from 1; cycle 0 is the initial ensemble, where the "
            "session was created with one.",
            "GET the session to see the cycle it stands at.",
        ),
        ProblemType(
            "member-not-found",
            404,
            "This member has not arrived",
            "Nobody has sent this member for this cycle, or it was taken back.",
            "GET .../members lists those that have arrived.",
        ),
        ProblemType(
            "no-such-job",
            404,
            "There is no such job",
            "No job of this name belongs to the key. It was never accepted, or is gone "
            "for more than a day.",
            "Check the id; GET /v1/jobs lists those there are.",
        ),
        ProblemType(
            "result-not-ready",
            404,
            "The job has no result yet",
            "It waits or runs; `job_status` says which.",
            "Come back after the seconds in Retry-After, or follow .../events.",
        ),
        ProblemType(
            "method-not-allowed",
            405,
            "This method is not allowed here",
            "The path exists, the method does not.",
            "The header Allow lists the methods; see /docs.",
        ),
        ProblemType(
            "not-acceptable",
            406,
            "None of the media types in Accept is offered",
            "The member `offered` lists what is.",
            "Ask for one of those, or leave Accept out to get JSON.",
        ),
        ProblemType(
            "body-timeout",
            408,
            "The body did not arrive in time",
            "The request's headers came, its body did not come to an end.",
            "Send it again over a better line, or as npy, which is shorter.",
        ),
        ProblemType(
            "head-timeout",
            408,
            "The head of the request did not arrive in time",
            "The request line or the headers did not come to an end.",
            "Send it again over a better line.",
        ),
        ProblemType(
            "cycle-conflict",
            409,
            "The session is not at the cycle before this one",
            "A session takes cycle k when it stands at k - 1. It also takes an earlier "
            "cycle again when the body is the same, and answers as it did then. "
            "This was neither; `current_cycle` says where it stands.",
            "Read the analysis of `current_cycle` and go on from there.",
        ),
        ProblemType(
            "members-missing",
            409,
            "Too few members have arrived",
            "The cycle came with only its observation, and the members that have "
            "arrived one by one are not enough for what `coupling` declares. `missing` "
            "lists those that have not arrived, the first hundred of them; in all they "
            "are `expected` less `arrived`, and `GET` of the cycle's `members` lists "
            "every one. Nothing was changed.",
            "Send the cycle again when they are there, with `?wait=30` to be told as "
            "soon as they are, or declare `minimum_members`, `deadline_seconds` and "
            "`missing` to go on without them.",
        ),
        ProblemType(
            "models-failed",
            502,
            "Models that the service drives failed",
            "A `forecast_model` or `measurement_model` gave no usable output for some "
            "members: no answer in time, an error, another length, NaN. `failed` says "
            "why, member by member. Nothing was changed.",
            "Send the cycle again when the model is well, or declare "
            '`"failed_members": "drop"` or `"refill"` among the options to go on '
            "without members that fail.",
        ),
        ProblemType(
            "member-conflict",
            409,
            "This member has arrived before, and was another one",
            "The first body of a member stays until its cycle is finished.",
            "If the first one was wrong, DELETE it and send the right one.",
        ),
        ProblemType(
            "member-late",
            409,
            "The cycle is finished without this member",
            "The cycle went on without this member, or it came with all its members "
            "at once. Nothing was changed.",
            "Read the analysis of `current_cycle`, forecast from it, and send the "
            "member for the cycle after it.",
        ),
        ProblemType(
            "session-gone",
            410,
            "The session is no more",
            "It was deleted, or expired because nobody used it for `ttl_seconds`.",
            "Create a new one; ask for a longer `ttl_seconds` if it expired.",
        ),
        ProblemType(
            "job-gone",
            410,
            "The job is no more",
            "It was dismissed, or it ended so long ago that its result is not kept any "
            "more (`CCDM_JOB_TTL_SECONDS`).",
            "Send the request again.",
        ),
        ProblemType(
            "analysis-not-kept",
            410,
            "The samples of this cycle are no longer kept",
            "A session keeps the samples of its last `keep_analyses` cycles. The "
            "diagnostics of all cycles stay.",
            "Create the session with a larger `keep_analyses`.",
        ),
        ProblemType(
            "precondition-failed",
            412,
            "The session has changed",
            "Its ETag is not the one in If-Match: somebody changed it in between.",
            "GET it again, look at what changed, and decide anew.",
        ),
        ProblemType(
            "too-large",
            413,
            "More than a limit allows",
            "`limit_name` names the setting and `limit` its value.",
            "Send less, or ask the operator to raise the limit.",
        ),
        ProblemType(
            "unsupported-media-type",
            415,
            "This kind of body is not read here",
            "The Content-Type is missing or not one of those in `offered`, or the body "
            "is compressed.",
            "Send application/json or multipart/form-data, not compressed, and say so "
            "in the header: with curl -H 'Content-Type: application/json'. What it "
            "sends of itself is a form.",
        ),
        ProblemType(
            "unknown-host",
            421,
            "The service does not answer to this name",
            "The Host header names a host that is not allowed. This keeps web pages "
            "from reaching a local service under a name of their own.",
            "Use a name from the setting CCDM_ALLOWED_HOSTS, or add this one.",
        ),
        ProblemType(
            "invalid-input",
            422,
            "The arrays cannot be used",
            "Shapes that do not fit, values that are not numbers, too few members, or "
            "non-finite numbers. Each item of `errors` points at a place.",
            "Mend what `errors` points at.",
        ),
        ProblemType(
            "invalid-options",
            422,
            "An option has a value it cannot have",
            "Unknown names are refused too, so that a typing error cannot pass for a "
            "choice.",
            "Mend what `errors` points at; every option has a default.",
        ),
        ProblemType(
            "invalid-parameters",
            422,
            "A parameter has a value it cannot have",
            "Something in the body beside arrays and options, in the query "
            "(`/query/...`), the path (`/path/...`) or a header (`/header/...`).",
            "Mend what `errors` points at.",
        ),
        ProblemType(
            "numerical-breakdown",
            422,
            "The computation broke down",
            "The input is valid, but no analysis came out of it. The same request "
            "will break down again.",
            "Follow the advice in `detail`: other options usually help.",
        ),
        ProblemType(
            "head-too-large",
            431,
            "The head of the request is too large",
            "The request line and the headers together are longer than is allowed, or "
            "there are too many headers.",
            "Send fewer and shorter headers.",
        ),
        ProblemType(
            "too-many-requests",
            429,
            "Too many requests",
            "The key's tenant may make so many requests a second "
            "(`CCDM_REQUESTS_PER_SECOND`, in each process).",
            "Come back after the seconds in Retry-After.",
        ),
        ProblemType(
            "too-many-streams",
            429,
            "Too many streams are open",
            "One tenant may keep so many streams of events and waiting requests open "
            "at a time (`CCDM_MAX_STREAMS`, in each process).",
            "Close some; one stream for each session is enough for many readers.",
        ),
        ProblemType(
            "too-many-jobs",
            429,
            "Too many jobs are open",
            "One tenant may have so many jobs wait or run at a time "
            "(`CCDM_MAX_TENANT_JOBS`).",
            "Come back when some have ended, or dismiss some.",
        ),
        ProblemType(
            "job-abandoned",
            500,
            "Workers ended under the job",
            "As many workers as may be tried (`CCDM_JOB_ATTEMPTS`) were killed, or "
            "lost their machine, while they were at this job.",
            "Ask the operator why they end: memory that ran out, most likely. Fewer "
            "members or states need less.",
        ),
        ProblemType(
            "internal",
            500,
            "Something failed that should not have",
            "A defect of the service. Sessions are as they were before.",
            "Give the operator the `request_id`: the log has the reason under it.",
        ),
        ProblemType(
            "store-corrupt",
            500,
            "Stored data are damaged",
            "What came back from the session store is not what was written there. "
            "Damaged data are never handed out, and this request changed nothing.",
            "Restore the store from a backup, or delete the session and begin another. "
            "The same request will fail again until then.",
        ),
        ProblemType(
            "too-busy",
            503,
            "Too much work is waiting",
            "All workers are busy and the queue is full.",
            "Come back after the seconds in Retry-After; PUT and analyses can be "
            "repeated safely.",
        ),
        ProblemType(
            "cluster-unavailable",
            503,
            "The cluster that computes does not answer",
            "The Dask scheduler that the operator named cannot be reached, was lost in "
            "the middle of the work, or has no workers. Nothing was stored.",
            "Come back after the seconds in Retry-After; PUT and analyses can be "
            "repeated safely. Small analyses are computed without the cluster.",
        ),
        ProblemType(
            "files-unavailable",
            503,
            "Files cannot be read or written now",
            "A folder that the operator has given for files is away, or its disk or "
            "file server fails. There is no result.",
            "Come back after the seconds in Retry-After; a job waits by itself. If it "
            "goes on, have the operator run `ccdm check`.",
        ),
        ProblemType(
            "store-unavailable",
            503,
            "The session store cannot be reached",
            "Sessions cannot be read or written now. What was acknowledged is safe; "
            "one-shot analyses still work.",
            "Come back after the seconds in Retry-After and send the same again.",
        ),
        ProblemType(
            "deadline-exceeded",
            504,
            "The analysis took too long",
            "It did not end within the deadline, waiting included, and was stopped.",
            "Use fewer members, samples or steps, or ask the operator for more time.",
        ),
        ProblemType(
            "quota-exceeded",
            507,
            "The tenant keeps as much as it may",
            "`limit_name` names the setting, `limit` its value and `used` what is kept "
            "now. Nothing was changed.",
            "Delete sessions that are not needed, or keep fewer analyses of each; "
            "where it speaks of jobs, delete those that have ended.",
        ),
        ProblemType(
            "files-full",
            507,
            "There is no room for the file",
            "The disk or the quota of the folder is used up. There is no result.",
            "Name a result in another location, or ask the operator for more room.",
        ),
        ProblemType(
            "store-full",
            507,
            "The session store is full",
            "There is no room for the result. The session is as it was before.",
            "Delete sessions, or ask the operator for more room.",
        ),
    )
}
