"""Tables of the control plane, as typed SQLAlchemy models, one module a noun.

Every change needs a revision in ``migrations/versions``. Importing this package loads all of them, so that
``Base.metadata`` is whole.
"""

from server.storage.models.agents import Agent, AgentReport, ScheduleLease
from server.storage.models.base import Base, Instant
from server.storage.models.clients import Client, Network
from server.storage.models.configurations import Configuration
from server.storage.models.counters import Counter
from server.storage.models.duties import Duty
from server.storage.models.operators import Operator, OperatorClient, OperatorToken
from server.storage.models.runs import Outcome, Run
from server.storage.models.telemetry import Arrival, Envelope, Stream
from server.storage.models.tokens import Token, TokenNetwork

__all__ = [
    "Agent",
    "AgentReport",
    "Arrival",
    "Base",
    "Client",
    "Configuration",
    "Counter",
    "Duty",
    "Envelope",
    "Instant",
    "Network",
    "Operator",
    "OperatorClient",
    "OperatorToken",
    "Outcome",
    "Run",
    "ScheduleLease",
    "Stream",
    "Token",
    "TokenNetwork",
]
