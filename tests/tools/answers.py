"""What a registry answers, by hand: fills one, asks it a list of questions, compares the answers.

    answers.py seed URL NAME               a subject of each kind, with references, versions and deletions
    answers.py compare URL OTHER [--save FILE]
    answers.py compare URL --saved FILE    the same answers as when FILE was written
    answers.py refused URL                 a write of something new has to fail, in the registry's own form

--basic USER:PASSWORD is shown to OTHER (to URL in the other commands, or with --basic-everywhere), --ca FILE
is whom to trust. Each check prints `ok …` or `FAILED …: why`; the last line sums up.
"""

import argparse
import base64
import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

TYPE = "application/vnd.schemaregistry.v1+json"
counts = {"passed": 0, "failed": 0}


def check(name, problem):
    counts["failed" if problem else "passed"] += 1
    print(f"FAILED {name}: {problem}" if problem else f"ok {name}")


class Registry:
    def __init__(self, url, basic=None, ca=None):
        self.url = url
        self.headers = {"Accept": TYPE, "Content-Type": TYPE}
        if basic:
            self.headers["Authorization"] = "Basic " + base64.b64encode(basic.encode()).decode()
        context = ssl.create_default_context(cafile=ca)
        # A proxy in the environment is for the way out, never for this machine.
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=self.headers, method=method)
        try:
            with self.opener.open(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            status, content = answer.code, answer.read()
        try:
            return [status, json.loads(content)]
        except ValueError:
            return [status, content.decode("utf-8", "replace")]


def avro(name, *more):
    fields = [{"name": "id", "type": "string"}, *more]
    return json.dumps({"type": "record", "name": name, "namespace": "outpost.test", "fields": fields})


def seed(registry, name):
    def must(method, path, body=None):
        status, answer = registry.call(method, path, body)
        check(f"seed {method} {path}", None if status == 200 else f"{status} {answer}")

    def register(subject, **body):
        must("POST", f"/subjects/{subject}/versions", body)

    register(f"{name}-avro", schema=avro(f"{name}_avro"))
    register(f"{name}-avro", schema=avro(f"{name}_avro", {"name": "n", "type": ["null", "long"], "default": None}))
    register(f"{name}-json", schema='{"type":"object","properties":{"id":{"type":"string"}}}', schemaType="JSON")
    proto = f'syntax = "proto3";\npackage outpost.{name};\n\nmessage Order {{\n  string id = 1;\n}}\n'
    register(f"{name}-protobuf", schema=proto, schemaType="PROTOBUF")
    reference = {"name": f"outpost.test.{name}_avro", "subject": f"{name}-avro", "version": 2}
    register(
        f"{name}-reference",
        schema=avro(f"{name}_reference", {"name": "inner", "type": f"outpost.test.{name}_avro"}),
        references=[reference],
    )
    register(f"{name}-half", schema=avro(f"{name}_half"))
    register(f"{name}-half", schema=avro(f"{name}_half", {"name": "n", "type": "string", "default": ""}))
    must("DELETE", f"/subjects/{name}-half/versions/1")
    register(f"{name}-deleted", schema=avro(f"{name}_deleted"))
    must("DELETE", f"/subjects/{name}-deleted")
    register(f"{name}-vanished", schema=avro(f"{name}_vanished"))
    must("DELETE", f"/subjects/{name}-vanished")
    must("DELETE", f"/subjects/{name}-vanished?permanent=true")
    must("PUT", f"/config/{name}-json", {"compatibility": "FULL"})
    odd = urllib.parse.quote(f"{name} odd/é", safe="")
    register(odd, schema=avro(f"{name}_odd"))


# What only the primary can say for sure; nobody expects an answer to these while it is away.
BEYOND = ["/schemas", "/contexts", "/config/absent", "/subjects/absent", "/dek-registry/v1/keks"]


def questions(registry):
    """Paths whose answers a replica holds: the registry's own list of subjects decides."""
    yield from ["/subjects", "/subjects?deleted=true", "/subjects?subjectPrefix=known-", "/subjects?deletedOnly=true"]
    # Modes are not among them: the sidecar has its own, and FORWARD is its answer where the primary says READWRITE.
    yield from ["/schemas/types", "/config", "/associations/resources/-/absent?resourceType=topic"]
    yield from ["/subjects/absent/versions", "/subjects/absent/versions/latest", "/schemas/ids/2000000000"]
    identities = set()
    for subject in registry.call("GET", "/subjects?deleted=true")[1]:
        place = "/subjects/" + urllib.parse.quote(subject, safe="")
        versions = registry.call("GET", f"{place}/versions?deleted=true")[1]
        yield from [f"{place}/versions", f"{place}/versions?deleted=true", f"{place}/versions/latest", f"{place}/versions/99"]
        config = "/config/" + urllib.parse.quote(subject, safe="")
        yield from [config, config + "?defaultToGlobal=true"]
        for version in versions:
            at = f"{place}/versions/{version}"
            yield from [at, f"{at}?deleted=true", f"{at}/schema", f"{at}/referencedby"]
            status, answer = registry.call("GET", f"{at}?deleted=true")
            if status == 200:
                identities.add(answer["id"])
    for identity in sorted(identities):
        at = f"/schemas/ids/{identity}"
        yield from [at, f"{at}?deleted=true", f"{at}/schema", f"{at}/subjects", f"{at}/versions"]


def short(answer):
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + " …"


def difference(got, expected):
    if got[0] != expected[0]:
        return f"status {got[0]} {short(got[1])}, expected {expected[0]} {short(expected[1])}"
    same = got[1] == expected[1]
    if got[0] >= 400:
        # The wording of an error belongs to the one who says it; clients act upon its code.
        def code(answer):
            return answer.get("error_code") if isinstance(answer, dict) else None

        # Some of a primary's refusals have no body at all, and so no code.
        same = code(expected[1]) in (None, code(got[1]))
    return None if same else differing(got[1], expected[1])


def differing(got, expected):
    """What differs, key by key where there are keys."""
    if not (isinstance(got, dict) and isinstance(expected, dict)):
        return f"body {short(got)}, expected {short(expected)}"
    keys = [key for key in {**expected, **got} if got.get(key, KeyError) != expected.get(key, KeyError)]

    def shown(answer):
        return "{" + ", ".join(f"{key}: {short(answer[key])}" if key in answer else f"no {key}" for key in keys) + "}"

    return f"body has {shown(got)}, expected {shown(expected)}"


def compare(registry, expected):
    for path, answer in expected.items():
        check(f"GET {path}", difference(registry.call("GET", path), answer))


def compare_away(registry, expected):
    """While the primary is away, what it refused is unknown and not absent; so is what only its own lists show."""

    def hidden(path):
        # This registry lists soft-deleted versions, but shows none of them.
        version = path.split("?")[0].removesuffix("/schema").removesuffix("/referencedby")
        return "deleted" in path or "subjectPrefix" in path or expected.get(f"{version}?deleted=true", [200])[0] == 404

    for path, answer in expected.items():
        got = registry.call("GET", path)
        code = got[1].get("error_code") if isinstance(got[1], dict) else None
        unknown = got[0] == 500 and code == 50003
        if unknown and (answer[0] == 404 or hidden(path)):
            check(f"GET {path} is unknown", None)
        else:
            check(f"GET {path}", difference(got, answer))


def refused(registry):
    status, answer = registry.call("POST", "/subjects/new-value/versions", {"schema": avro("new")})
    code = answer.get("error_code") if isinstance(answer, dict) else None
    problem = None if status >= 500 and code else f"{status} {answer!r}, expected 5xx with an error_code"
    check("something new is refused while the primary is away", problem)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["seed", "compare", "refused"])
    parser.add_argument("url")
    parser.add_argument("other", nargs="?")
    parser.add_argument("--save")
    parser.add_argument("--saved")
    parser.add_argument("--basic")
    parser.add_argument("--basic-everywhere", action="store_true")
    parser.add_argument("--ca")
    given = parser.parse_args()
    shown = given.basic if given.command != "compare" or given.basic_everywhere else None
    registry = Registry(given.url, shown, given.ca)
    if given.command == "seed":
        seed(registry, given.other)
    elif given.command == "refused":
        refused(registry)
    elif given.saved:
        with open(given.saved, encoding="utf-8") as file:
            compare_away(registry, json.load(file))
    else:
        other = Registry(given.other, given.basic, given.ca)
        expected = {path: other.call("GET", path) for path in questions(other)}
        if given.save:
            with open(given.save, "w", encoding="utf-8") as file:
                json.dump(expected, file)
        compare(registry, expected)
        compare(registry, {path: other.call("GET", path) for path in BEYOND})
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
