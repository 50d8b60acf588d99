"""How log lines get from the builders to the consumer: over the builders' API or over Kafka."""

from gateway.transports.http import HttpLogTransport
from gateway.transports.kafka import KafkaLogTransport

__all__ = ["HttpLogTransport", "KafkaLogTransport"]
