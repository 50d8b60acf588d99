"""The sender without a broker: it waits, and it ends when it is told to."""

import asyncio
import ssl
import uuid

import pytest

from builder import kafka
from builder.kafka import KafkaSender
from builder.protocol.calls import KafkaTarget
from builder.protocol.kafka import NotSent, TooLargeToSend, connection_settings, stop_in_time
from builder.protocol.tokens import SIGNATURE_HEADER, is_signature, make_token, sign

ID = uuid.uuid4()


class Producer:
    """Fails as often as it is told to."""

    def __init__(self, *errors):
        self._errors = list(errors)
        self.sent = []
        self.tries = 0

    async def send(self, topic, value, *, key, headers):
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        self.sent.append((topic, value, key, headers))


@pytest.fixture
def make_sender(monkeypatch):
    monkeypatch.setattr(kafka, "FIRST_DELAY_SECONDS", 0.001)

    def make(*errors):
        sender = KafkaSender(KafkaTarget(("127.0.0.1:1",), "container-logs"), "token", ID)
        sender._producer = Producer(*errors)
        return sender

    return make


async def test_a_record_is_keyed_by_its_deployment_and_signed_with_the_token(make_sender):
    sender = make_sender()
    await sender.send(b"record")
    ((topic, value, key, headers),) = sender._producer.sent
    assert (topic, value, key) == ("container-logs", b"record", str(ID).encode())
    assert is_signature(dict(headers)[SIGNATURE_HEADER], "token", b"record")


async def test_a_record_is_sent_until_it_is_acknowledged_and_complained_about_once(make_sender, caplog):
    sender = make_sender(*[NotSent("away")] * 3)
    await sender.send(b"record")
    assert sender._producer.tries == 4
    assert [record.message for record in caplog.records] == [
        "Kafka does not accept log lines, which wait on disk: away"
    ]


async def test_a_record_that_is_refused_for_ever_holds_nobody_up(make_sender, caplog):
    sender = make_sender(TooLargeToSend("too large"))
    await sender.send(b"huge")
    await sender.send(b"next")
    assert [value for _, value, _, _ in sender._producer.sent] == [b"next"]
    assert "log lines dropped" in caplog.text


async def test_a_sender_whose_broker_is_away_ends_when_told():
    before = asyncio.all_tasks()
    sender = KafkaSender(KafkaTarget(("127.0.0.1:1",), "container-logs"), "token", ID)
    sending = asyncio.create_task(sender.send(b"record"))
    await asyncio.sleep(0.3)
    assert not sending.done()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await asyncio.wait_for(sender.close(), 5)
    assert asyncio.all_tasks() == before


class Hanging:
    """A client whose stop waits for ever, as aiokafka's do for a broker that is away."""

    def __init__(self):
        self.client = self
        self.is_closed = False

    async def stop(self):
        await asyncio.Event().wait()

    async def close(self):
        self.is_closed = True


async def test_a_stop_that_hangs_is_cut_off_and_the_connections_closed():
    hanging = Hanging()
    await asyncio.wait_for(stop_in_time(hanging, 0.01), 5)
    assert hanging.is_closed


def test_a_signature_belongs_to_one_token_and_one_record():
    token = make_token(b"k" * 32, ID, 1)
    signature = sign(token, b"record")
    assert is_signature(signature, token, b"record")
    assert not is_signature(signature, token, b"record ")
    assert not is_signature(signature, make_token(b"k" * 32, ID, 2), b"record")
    assert not is_signature(b"\xff", token, b"record")


def test_the_systems_authorities_are_trusted_where_none_is_named():
    settings = connection_settings(KafkaTarget(("a:1",), "t", "SSL"))
    assert settings["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert settings["ssl_context"].check_hostname


def test_no_password_is_given_to_a_listener_that_asks_for_none():
    assert "sasl_plain_password" not in connection_settings(KafkaTarget(("a:1",), "t", "PLAINTEXT", password="secret"))
