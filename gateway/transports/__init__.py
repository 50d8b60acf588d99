"""How log lines come from the builders to the consumer: over the builders' API, or over Kafka."""

from gateway.transports.http import HttpLogTransport

__all__ = ["HttpLogTransport"]
