"""Every reason code of the control plane, once: code, HTTP status, what happened, what to do.

Made from these rows: error answers (:mod:`server.errors`, :mod:`server.serving.refusals`), messages of the command line
(:mod:`server.reasons.refusal`), what the log says of the database (:mod:`server.storage.causes`), and ``docs/reasons.md``.
Codes and statuses are stable: programs depend on them.
"""

from __future__ import annotations

from contracts.text import say
from server.reasons.database import *  # noqa: F403 -- the table has every row
from server.reasons.row import Row

_MISCONFIGURED = "The server is misconfigured; its log names the setting to correct."

# Tokens: why one was refused, wherever it was presented. Counted by flagee-server counters.
TOKEN_MISSING = Row(
    "token_missing",
    401,
    "token",
    "the request has no token",
    "send one in X-Bot-Token, or as Authorization: Bearer; get one with: flagee-server token issue",
)
TOKEN_AMBIGUOUS = Row(
    "token_ambiguous", 400, "token", "X-Bot-Token and Authorization hold different tokens", "send one of them"
)
TOKEN_UNKNOWN = Row(
    "token_unknown",
    401,
    "token",
    "this token is not known here",
    "check the server's address, or ask for a new token",
)
TOKEN_REVOKED = Row("token_revoked", 403, "token", "token {token} was revoked", "ask for a new one")
TOKEN_EXPIRED = Row("token_expired", 403, "token", "token {token} expired at {at}", "ask for a new one")
TOKEN_USED = Row(
    "token_used",
    403,
    "token",
    "token {token} works for one enrolment and was used",
    "get a new line with: flagee-server install-command",
)
SCOPE_MISSING = Row(
    "scope_missing", 403, "token", "token {token} has no scope {scope}", "ask for a token with: --scope {scope}"
)
AGENT_REQUIRED = Row(
    "agent_required",
    403,
    "token",
    "token {token} is not an agent's own",
    "use the token that the agent got when it enrolled, in its own name only",
)
OPERATOR_REQUIRED = Row(
    "operator_required",
    403,
    "token",
    "this token is not an operator's",
    "proxies' tokens are not taken here; get one with: flagee-server operator token NAME",
)
ROLE_MISSING = Row(
    "role_missing",
    403,
    "token",
    "operator {operator} has the role {role}, and the role {needed} is needed",
    "ask for it with: flagee-server operator set NAME --role {needed}",
)
NETWORK_NOT_ALLOWED = Row(
    "network_not_allowed",
    403,
    "token",
    "token {token} is not for this network",
    "ask for a token that is, or correct rede=",
)
NETWORK_REQUIRED = Row("network_required", 400, "token", "this token allows {number} networks", "name one with ?rede=")

# Clients, networks, agents.
CLIENT_UNKNOWN = Row(
    "client_unknown", 404, "network", say("there is no client {client}{near}"), say("add it with: {command}")
)
NETWORK_UNKNOWN = Row(
    "network_unknown",
    404,
    "network",
    say("client {client} has no network {network}{near}"),
    say("add it with: {command}"),
)
NAME_INVALID = Row("name_invalid", 400, "network", say("{noun} name {name} is not allowed"), say("use {allowed}"))
NAME_TAKEN = Row("name_taken", 409, "network", say("{name} exists already"), say("see: {command}"))
AGENT_UNKNOWN = Row("agent_unknown", 404, "network", say("there is no such agent"), say("see: flagee-server agents"))
OPERATOR_UNKNOWN = Row(
    "operator_unknown", 404, "network", say("there is no operator {operator}"), say("see: flagee-server operator list")
)
RUN_UNKNOWN = Row("run_unknown", 404, "network", say("there is no such run"), say("see: flagee-server runs"))
HOST_UNKNOWN = Row(
    "host_unknown",
    404,
    "network",
    say("no agent has told of this host"),
    say("check the name, and that its proxy delivers: flagee-server agents"),
)
TRACE_UNKNOWN = Row(
    "trace_unknown",
    404,
    "network",
    say("nothing is known of this id"),
    say("check the id, and that its proxy delivers: flagee-server agents"),
)
AGENT_ELSEWHERE = Row(
    "agent_elsewhere",
    409,
    "network",
    "agent {agent} belongs to another network, and stays there",
    "to have this host in network {network} as well, install under another runtime name; to move it, remove "
    "FLAGEEMONITOR_AGENT_ID from its environment file first",
)

# Documents that cannot be used: `reason` of config validate --output json. contracts.document gives all but the last.
NOT_JSON = Row("not_json", None, "document", "the document is not JSON", "correct it at the place that is named")
WRONG_TYPE = Row(
    "wrong_type", None, "document", "the document is not a JSON object", "give one object with named values"
)
TOO_LARGE = Row(
    "too_large", None, "document", "the document is larger than any that is read", "remove what it does not need"
)
NEWER_VERSION = Row(
    "newer_version",
    None,
    "document",
    "the document has a newer schema_version",
    "update this program, or write version 2",
)
MUST_UNDERSTAND = Row(
    "must_understand",
    None,
    "document",
    "the document needs a key that this version does not know",
    "update this program, or remove the key from must_understand",
)
INVALID = Row("invalid", None, "document", "values of the document are wrong", "correct the values that are named")
ACTIONS = Row(
    "actions",
    None,
    "document",
    "actions, their parameters or jobs in the document are wrong",
    "correct them; for actions of a newer proxy give --allow-unknown-actions",
)

# Stored configurations.
CONFIGURATION_MISSING = Row(
    "configuration_missing",
    404,
    "configuration",
    say("no configuration is stored for network {network} yet"),
    say("store one with: {command}"),
)
CONFIGURATION_INVALID = Row(
    "configuration_invalid",
    409,
    "configuration",
    say("the configuration of network {network} cannot be read: {causes}"),
    say("correct it and store it again"),
)
CONFIGURATION_CHANGED = Row(
    "configuration_changed",
    409,
    "configuration",
    say("another version was stored in the meantime, and nothing was stored"),
    say("start again to see what changes from there"),
)
CONFIGURATION_DAMAGED = Row(
    "configuration_damaged",
    503,
    "configuration",
    say("version {version} for network {network} was changed in the database"),
    say("store the document again (config set … --yes)"),
    _MISCONFIGURED,
)
NOT_CONFIRMED = Row(
    "not_confirmed", None, "configuration", "storing was not confirmed, and nothing was stored", "run the command again"
)
SECRET_KEY_MISSING = Row(
    "secret_key_missing",
    503,
    "configuration",
    say("FLAGEE_SECRET_KEY is not set"),
    say("set it to the key that configurations are stored under, or for a new database make one with: {command}"),
    _MISCONFIGURED,
)
SECRET_KEY_MISMATCH = Row(
    "secret_key_mismatch",
    503,
    "configuration",
    say("FLAGEE_SECRET_KEY is the key {key}, but stored configurations need the key {needed}"),
    say("set that one, or store the documents again (config set … --yes)"),
    _MISCONFIGURED,
)

# Installers.
PUBLIC_URL_MISSING = Row(
    "public_url_missing",
    503,
    "installer",
    say("FLAGEE_PUBLIC_URL is not set on the server"),
    say(
        "set it to the address under which hosts reach it, for example https://control.example.com, and start it again"
    ),
)
ASSETS_MISSING = Row(
    "assets_missing",
    503,
    "installer",
    say("the installer cannot be made: {cause}"),
    say("install this release again, or correct FLAGEE_ASSETS"),
    _MISCONFIGURED,
)
INSTALLER_VALUE_INVALID = Row(
    "installer_value_invalid",
    409,
    "installer",
    say("{name} of the installer holds a line break or another character that cannot be printed"),
    say("correct the network's document or the server's settings"),
)

# Requests that cannot be answered as they are.
BAD_REQUEST = Row(
    "bad_request",
    400,
    "request",
    "this is not a well-formed HTTP request",
    "check what is between the proxy and this server",
)
TLS_REQUIRED = Row(
    "tls_required", 400, "request", "this address is served over https only", "write https:// in the address"
)
NETWORK_AMBIGUOUS = Row(
    "network_ambiguous", 400, "request", "the parameter rede is given more than once", "give it once"
)
BODY_INCOMPLETE = Row("body_incomplete", 400, "request", "the body ended too early", "send the request again")
BODY_INVALID = Row("body_invalid", 400, "request", "the body cannot be used", "correct the values that are named")
NOT_FOUND = Row(
    "not_found", 404, "request", "there is nothing at this path", "check the address that the proxy was given"
)
METHOD_NOT_ALLOWED = Row("method_not_allowed", 405, "request", "this path takes other methods", "see the Allow header")
REQUEST_TIMEOUT = Row(
    "request_timeout", 408, "request", "the request did not arrive in time", "nothing was done, send it again"
)
LENGTH_REQUIRED = Row(
    "length_required", 411, "request", "the body comes without its length", "send a Content-Length with the body"
)
BODY_TOO_LARGE = Row(
    "body_too_large", 413, "request", "the body is larger than any that is taken here", "send less at once"
)
TOO_MANY_ENVELOPES = Row(
    "too_many_envelopes",
    413,
    "request",
    "the batch has {number} envelopes; at most {limit} are taken",
    "send less at once",
)
BATCH_INVALID = Row("batch_invalid", 400, "request", "the batch cannot be read: {cause}", "send one array of envelopes")
ENCODING_UNSUPPORTED = Row(
    "encoding_unsupported", 415, "request", "this Content-Encoding is not taken", "send gzip, zstd or no encoding"
)
BATCH_TYPE_UNSUPPORTED = Row(
    "batch_type_unsupported",
    415,
    "request",
    "this Content-Type is not taken",
    "send application/json, application/x-ndjson or application/msgpack",
)
QUOTA_EXCEEDED = Row(
    "quota_exceeded",
    429,
    "request",
    "the {whose} sends more envelopes than its quota",
    "keep them and send them after the time in Retry-After",
)
IDENTITY_IN_USE = Row(
    "identity_in_use",
    409,
    "request",
    "two instances of agent {agent} run at the same time",
    "stop one of them; if a disk was copied, remove FLAGEEMONITOR_AGENT_ID from the copy's environment file and install it again",
)
QUERY_INVALID = Row(
    "query_invalid", 400, "request", "the query cannot be used: {cause}", "correct it; see docs/channel.md"
)
URI_TOO_LONG = Row("uri_too_long", 414, "request", "the address is too long", "send rede and nothing else")
MEDIA_TYPE_UNSUPPORTED = Row(
    "media_type_unsupported", 415, "request", "the body is not JSON", "send JSON, with Content-Type: application/json"
)
TOO_MANY_REQUESTS = Row(
    "too_many_requests",
    429,
    "request",
    "more requests come from this address than one address may send",
    "wait and try again",
)
HEADERS_TOO_LARGE = Row(
    "headers_too_large",
    431,
    "request",
    "the headers are too large",
    "at most 32 kB together and 8 kB each are taken",
)
TOO_MANY_HEADERS = Row("too_many_headers", 431, "request", "the request has more than 100 headers", "send fewer")
TRANSFER_CODING = Row("transfer_coding", 501, "request", "this transfer coding is not taken", "send a Content-Length")

# Faults on the server's side.
INTERNAL_ERROR = Row(
    "internal_error",
    500,
    "server",
    "this is a fault of the server",
    "report it with the correlation id, which is in its log",
)
BACKEND_UNAVAILABLE = Row(
    "backend_unavailable",
    502,
    "server",
    "the application is not running or has just been restarted",
    "whether the request was carried out is unknown, try again",
)
OVERLOADED = Row(
    "overloaded", 503, "server", "the server has no room for this request", "nothing was done, try again later"
)
BACKEND_TIMEOUT = Row(
    "backend_timeout",
    504,
    "server",
    "the application did not answer in time",
    "whether the request was carried out is unknown, try again",
)
EXPORTS_BUSY = Row(
    "exports_busy",
    503,
    "server",
    "{number} exports are sent already",
    "try again after the time in Retry-After, or read pages with a cursor",
)
LIVE_BUSY = Row(
    "live_busy",
    503,
    "server",
    "{number} look on live already",
    "try again after the time in Retry-After, or read /telemetry/history",
)
DATABASE_UNAVAILABLE = Row(
    "database_unavailable",
    503,
    "server",
    "the database cannot be used just now",
    "try again later, the server's log says why",
)

ROWS: dict[str, Row] = {row.code: row for row in list(globals().values()) if isinstance(row, Row)}
