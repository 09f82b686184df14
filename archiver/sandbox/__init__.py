"""A stand-in Easemob server: seeded data, switchable faults; for demo, tests, benchmarks and the curious."""

from archiver.sandbox.callbacks import CallbackRule, CallbackSender
from archiver.sandbox.data import Seed
from archiver.sandbox.faults import Faults
from archiver.sandbox.server import Sandbox
from archiver.sandbox.service import Logged
from archiver.sandbox.shelf import Stored

__all__ = ["CallbackRule", "CallbackSender", "Faults", "Logged", "Sandbox", "Seed", "Stored"]
