"""A gateway's half of Kafka as a process of its own, to be killed."""

import asyncio
import os

from gateway.config import Kafka
from gateway.engines.kafka.kafka_transport import KafkaLogTransport
from gateway.errors import Unavailable
from tests.kafka.parts import KEY


async def install_key():
    return KEY


async def is_known(deployment_id):
    return False


async def main():
    settings = Kafka(
        brokers=[os.environ["KAFKA_BROKERS"]],
        topic=os.environ["KAFKA_TOPIC"],
        group=os.environ["KAFKA_GROUP"],
        dead_letter_topic=os.environ["KAFKA_DEAD_LETTERS"],
    )
    transport = KafkaLogTransport(settings, 10**6, install_key, is_known)
    while True:
        try:
            async with transport.subscribe() as records:
                print("joined", flush=True)
                while True:
                    await records.fetch(100, 0.1)  # and never a commit
        except Unavailable as error:
            print(error, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
