"""confluent-kafka for Python against a registry: see ../README.md for what a client program does."""

import base64
import json
import os
import sys
import uuid
from pathlib import Path

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "known-python"
SUBJECT = TOPIC + "-value"
STATE = Path(os.environ["STATE_DIR"]) / "python.json"
ORDER = {"id": "o-1", "amount": 42}
counts = {"passed": 0, "failed": 0}


def record(*more):
    fields = [{"name": "id", "type": "string"}, {"name": "amount", "type": "long"}, *more]
    return json.dumps({"type": "record", "name": "Order", "namespace": "outpost.test.python", "fields": fields})


FIRST = Schema(record(), "AVRO")
SECOND = Schema(record({"name": "note", "type": "string", "default": ""}), "AVRO")
BROKEN = Schema(record({"name": "note", "type": "string"}), "AVRO")


def fresh():
    """A client with empty caches, so that every step reaches the registry."""
    settings = {"url": os.environ["BASE_URL"]}
    if os.environ.get("BASIC"):
        settings["basic.auth.user.info"] = os.environ["BASIC"]
    if os.environ.get("CA_FILE"):
        settings["ssl.ca.location"] = os.environ["CA_FILE"]
    return SchemaRegistryClient(settings)


def step(name, action, expected=None):
    try:
        got = action()
        if expected is not None and got != expected:
            raise AssertionError(f"got {got!r}, expected {expected!r}")
    except Exception as why:
        counts["failed"] += 1
        print(f"FAILED {name}: {type(why).__name__}: {why}".replace("\n", " "))
        return None
    counts["passed"] += 1
    print(f"ok {name}")
    return got


def fields(schema):
    return [field["name"] for field in json.loads(schema.schema_str)["fields"]]


def serialise(topic, schema, **settings):
    text = None if schema is None else schema.schema_str
    serialiser = AvroSerializer(fresh(), text, conf={key.replace("_", "."): value for key, value in settings.items()})
    return serialiser(ORDER, SerializationContext(topic, MessageField.VALUE))


def deserialise(topic, payload):
    return AvroDeserializer(fresh())(payload, SerializationContext(topic, MessageField.VALUE))


def gone(subject):
    try:
        fresh().get_latest_version(subject)
    except SchemaRegistryError as why:
        return why.http_status_code


def online():
    topic = f"throwaway-python-{uuid.uuid4().hex[:8]}"
    subject = topic + "-value"
    identity = step("register", lambda: fresh().register_schema(subject, FIRST))
    step("register again", lambda: fresh().register_schema(subject, FIRST), identity)
    step("look up", lambda: fresh().lookup_schema(subject, FIRST).schema_id, identity)
    step("get by id", lambda: fields(fresh().get_schema(identity)), ["id", "amount"])
    step("latest", lambda: fresh().get_latest_version(subject).version, 1)
    step("get a version", lambda: fresh().get_version(subject, 1).schema_id, identity)
    step("versions", lambda: fresh().get_versions(subject), [1])
    step("subjects", lambda: subject in fresh().get_subjects(), True)
    step("subjects of an id", lambda: subject in fresh().get_subjects_by_schema_id(identity), True)
    step("set compatibility", lambda: fresh().set_compatibility(subject, "FULL") and None)
    step("get compatibility", lambda: fresh().get_compatibility(subject), "FULL")
    step("compatible", lambda: fresh().test_compatibility(subject, SECOND), True)
    step("incompatible", lambda: fresh().test_compatibility(subject, BROKEN), False)
    step("second version", lambda: fresh().register_schema(subject, SECOND) and fresh().get_versions(subject), [1, 2])
    step("serialise, schema registered on the way", lambda: deserialise(topic, serialise(topic, FIRST)), ORDER)
    latest = {"auto_register_schemas": False, "use_latest_version": True}
    step(
        "serialise with the latest version",
        lambda: deserialise(topic, serialise(topic, None, **latest)),
        ORDER | {"note": ""},
    )
    step("delete a version", lambda: fresh().delete_version(subject, 2), 2)
    step("soft delete", lambda: fresh().delete_subject(subject) and gone(subject), 404)
    step("hard delete", lambda: fresh().delete_subject(subject, permanent=True) and gone(subject), 404)
    step("deleted subject is gone", lambda: subject in fresh().get_subjects(deleted=True), False)

    payload = step("known subject", lambda: serialise(TOPIC, FIRST))
    step("known subject, read back", lambda: deserialise(TOPIC, payload), ORDER)
    if payload is not None:
        STATE.write_text(json.dumps({"bytes": base64.b64encode(payload).decode()}))


def offline():
    payload = base64.b64decode(json.loads(STATE.read_text())["bytes"])
    identity = int.from_bytes(payload[1:5], "big")
    latest = {"auto_register_schemas": False, "use_latest_version": True}
    step("deserialise what was stored", lambda: deserialise(TOPIC, payload), ORDER)
    step("serialise with auto.register.schemas", lambda: serialise(TOPIC, FIRST), payload)
    step("serialise with use.latest.version", lambda: serialise(TOPIC, None, **latest), payload)
    step("serialise with a look-up", lambda: serialise(TOPIC, FIRST, auto_register_schemas=False), payload)
    step("register again", lambda: fresh().register_schema(SUBJECT, FIRST), identity)
    step("look up", lambda: fresh().lookup_schema(SUBJECT, FIRST).schema_id, identity)
    step("get by id", lambda: fields(fresh().get_schema(identity)), ["id", "amount"])
    step("latest", lambda: fresh().get_latest_version(SUBJECT).schema_id, identity)
    step("versions", lambda: fresh().get_versions(SUBJECT), [1])
    step("subjects", lambda: SUBJECT in fresh().get_subjects(), True)


{"online": online, "offline": offline}[os.environ["PHASE"]]()
print(f"{counts['passed']} passed, {counts['failed']} failed")
sys.exit(1 if counts["failed"] or not counts["passed"] else 0)
