"""Sends the same requests to a registry and through a sidecar that stands beside it, and compares every byte.

    same.py THROUGH DIRECT [--basic USER:PASSWORD] [--ca FILE]

Compared are status, body, and all headers but Date and those of the connection. What a request changes is changed in two
subjects whose names differ in one letter, one each way. Modes and exporters are the sidecar's own, so nothing is asked of
them; nor in a way that the sidecar does not understand, for that could reach them past it. With --basic everything is asked with these credentials, and some of it with none and with wrong ones too. The registry
has been seeded by `answers.py seed DIRECT before`. Each check prints `ok …` or `FAILED …: why`; the last line sums up.
"""

import argparse
import base64
import gzip
import http.client
import json
import re
import ssl
import sys
import urllib.parse

V1 = "application/vnd.schemaregistry.v1+json"
JSON = {"Content-Type": "application/json"}
OF_THE_CONNECTION = {"connection", "keep-alive", "date"}
# What Apicurio answers differently each time: a page of its web server, and a time that it counts from the date.
ERROR_ID = re.compile(rb"Error id [0-9a-f-]+")
# Of the same length, so that no length tells them apart.
DIRECTLY, THROUGH = "same-a", "same-b"
counts = {"passed": 0, "failed": 0}


class Registry:
    def __init__(self, url, subject, ca):
        parts = urllib.parse.urlsplit(url)
        self.address, self.base, self.subject = parts.netloc, parts.path, subject
        self.tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None

    def send(self, method, target, headers, body):
        if self.tls:
            connection = http.client.HTTPSConnection(self.address, timeout=30, context=self.tls)
        else:
            connection = http.client.HTTPConnection(self.address, timeout=30)
        is_about_it = DIRECTLY in target + (body or "")
        target, body = [text and text.replace(DIRECTLY, self.subject) for text in (target, body)]
        try:
            connection.putrequest(method, self.base + target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            content = body.encode("latin-1") if body is not None else None
            if content is not None:
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            content = ERROR_ID.sub(b"Error id", answer.read())
            if is_about_it:
                content = content.replace(self.subject.encode(), DIRECTLY.encode())
            return {"status": answer.status, "headers": sorted(filter(None, map(kept, answer.getheaders()))), "body": content}
        finally:
            connection.close()


def kept(header):
    """A header as it is compared, if it is."""
    name, value = header[0].lower(), header[1]
    if name == "expires":
        return name, "some time"
    # Apicurio says of an empty body now and then that it is not encoded.
    is_idle = (name, value) == ("content-encoding", "identity")
    return None if name in OF_THE_CONNECTION or is_idle else (name, value)


def avro(name, *more):
    fields = [{"name": "id", "type": "string"}, *more]
    return json.dumps({"type": "record", "name": name, "namespace": "outpost.same", "fields": fields})


def changes():
    """Requests that change something, or ask in a body, in an order that makes sense."""
    subject, accepted = f"/subjects/{DIRECTLY}", {"Accept": V1, "Content-Type": V1}
    first, second = (json.dumps({"schema": avro("Same", *more)}) for more in ((), ({"name": "n", "type": "int"},)))
    second_default = json.dumps({"schema": avro("Same", {"name": "n", "type": "int", "default": 0})})
    yield "POST", subject, accepted, first
    yield "POST", f"{subject}/versions", accepted, first
    yield "POST", f"{subject}/versions?normalize=true", JSON, second_default
    yield "POST", f"{subject}/versions", accepted, second
    for path in [f"{subject}/versions", subject, f"/compatibility{subject}/versions/latest", f"/compatibility{subject}/versions"]:
        for body in [None, "", "{}", "null", "[]", "x", '{"schema":', '{"schema":1}', '{"schema":""}', '{"schema":"\\"nope\\""}']:
            yield "POST", path, accepted, body
        yield "POST", path, accepted, '{"schema":"\\"string\\"","schemaType":"NONE"}'
        yield "POST", path, accepted, '{"schema":"\\"string\\"","other":[1,{"a":null}]}'
        yield "POST", path, {**accepted, "Content-Encoding": "gzip"}, gzip.compress(first.encode()).decode("latin-1")
        for media in ["application/octet-stream", "text/xml", "application/json; charset=utf-8", "nonsense", "", "a/b/c"]:
            yield "POST", path, {"Content-Type": media}, first
        yield "POST", path, {}, first
        yield "POST", path, {**accepted, "Accept": "text/plain"}, first
    yield "POST", f"/compatibility{subject}/versions/1?verbose=true", accepted, second
    yield "POST", f"/compatibility{subject}/versions/99", accepted, first
    yield "POST", f"{subject}?deleted=true", accepted, second
    reference = {"name": "outpost.test.before_avro", "subject": "before-avro", "version": 2}
    refers = {"schema": avro("Refers", {"name": "r", "type": "outpost.test.before_avro"}), "references": [reference]}
    yield "POST", f"{subject}-refers/versions", accepted, json.dumps(refers)
    yield "POST", f"{subject}-refers/versions", accepted, json.dumps({**refers, "references": [{**reference, "version": -1}]})
    yield "DELETE", "/subjects/before-avro/versions/2", accepted, None
    yield "DELETE", f"{subject}/versions/1?permanent=true", accepted, None
    for body in ['{"compatibility":"FULL"}', '{"compatibility":"full"}', '{"compatibility":"NOPE"}', "{}", "", None, '"FULL"']:
        yield "PUT", f"/config/{DIRECTLY}", accepted, body
    yield "GET", f"/config/{DIRECTLY}", {}, None
    yield "PUT", f"/config/{DIRECTLY}/", JSON, '{"compatibility":"NONE","normalize":true,"other":1}'
    yield "DELETE", f"/config/{DIRECTLY}", {}, None
    yield "DELETE", f"/config/{DIRECTLY}", {}, None
    yield "PUT", "/config", JSON, '{"compatibility":"BACKWARD"}'
    odd = f"{DIRECTLY}%20odd%2F%C3%A9"
    yield "POST", f"/subjects/{odd}/versions", accepted, first
    for path in [f"/subjects/{odd}", f"/subjects/{odd}/versions/latest", f"/subjects/{DIRECTLY}+odd/versions"]:
        yield "GET", path, {}, None
    for version in ["1", "1", "1?permanent=true", "latest", "99", "0", "-1", "x", "2147483648"]:
        yield "DELETE", f"{subject}/versions/{version}", accepted, None
    for path in [subject, f"{subject}?permanent=true", f"{subject}-refers", f"{subject}?permanent=maybe", f"{subject}?permanent=true"]:
        yield "DELETE", path, {}, None
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"]:
        for path in ["/", "/nowhere", "/subjects", "/schemas/ids/1", "/schemas/types", "/contexts"]:
            if (method, path) != ("PROPFIND", "/nowhere"):
                yield method, path, JSON, "{}"


def paths(direct, basic):
    """What is asked for by GET: all that there is, and what there is not."""
    yield from ["/", "/nowhere", "/nowhere/", "/favicon.ico", "/metrics", "/v1/metadata/id", "/v1/metadata/version"]
    yield from ["/subjects", "/subjects/", "/subjects?", "/subjects?&", "/subjects?x", "/subjects?x=%zz", "/subjects?deleted=true"]
    yield from ["/subjects?deleted=maybe", "/subjects?deleted=", "/subjects?limit=1&offset=1", "/subjects?limit=x", "/subjects?limit=-1"]
    yield from ["/subjects?subjectPrefix=before", "/subjects?subjectPrefix=:*:", "/subjects?deletedOnly=true", "/Subjects"]
    yield from ["/subjects/%2F/versions"]
    yield from ["/subjects;x=y", "/subjects/absent;x=y/versions"]
    yield from ["/subjects/:.c:x/versions", "/subjects/%3A.c%3Ax/versions"]
    yield from ["/contexts", "/contexts/.c/subjects", "/schemas", "/schemas?limit=1", "/schemas/types", "/schemas/types/"]
    yield from ["/schemas/ids/0", "/schemas/ids/-1", "/schemas/ids/x", "/schemas/ids/2147483648", "/schemas/guids/x", "/schemas/ids/"]
    yield from ["/config", "/config/", "/config/absent", "/config/absent?defaultToGlobal=true", "/config?defaultToGlobal=true"]
    yield from ["/dek-registry/v1/keks", "/associations/resources/-/absent?resourceType=topic", "/catalog/v1/types", "/subjects/absent"]
    yield from ["/subjects/absent/versions", "/subjects/absent/versions/latest", "/subjects/absent/versions/1", "/subjects/" + "a" * 600 + "/versions"]
    ids = set()
    for name in json.loads(direct.send("GET", "/subjects?deleted=true", basic, None)["body"]):
        place = "/subjects/" + urllib.parse.quote(name, safe="")
        yield from [f"{place}/versions", f"{place}/versions/", f"{place}/versions?deleted=true", f"{place}/metadata", place]
        yield from [f"{place}/versions/{version}" for version in ("latest", "latest/", "-1", "0", "x", "99", "2147483648")]
        for version in json.loads(direct.send("GET", f"{place}/versions?deleted=true", basic, None)["body"]):
            at = f"{place}/versions/{version}"
            yield from [at, f"{at}?deleted=true", f"{at}/schema", f"{at}/referencedby", f"{at}?format=resolved"]
            answer = direct.send("GET", f"{at}?deleted=true", basic, None)
            if answer["status"] == 200:
                ids.add(json.loads(answer["body"])["id"])
    for number in sorted(ids):
        at = f"/schemas/ids/{number}"
        yield from [at, f"{at}?subject=absent", f"{at}?fetchMaxId=true", f"{at}/schema", f"{at}/subjects", f"{at}/versions"]


def manners():
    """Ways to ask that a client may have."""
    for media in ["*/*", V1, "application/json", "text/plain", "application/xml", "nonsense", "application/*;q=0.1", "application/json;q=0"]:
        yield {"Accept": media}
    yield {"Accept": f"{V1}, application/vnd.schemaregistry+json; q=0.9, application/json; q=0.5"}
    for coding in ["gzip", "gzip, deflate, br", "gzip;q=0", "identity", "*"]:
        yield {"Accept-Encoding": coding}
    yield {"Content-Type": V1}
    yield {"Content-Type": "text/xml"}
    yield {"If-None-Match": "*", "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}
    yield {"Range": "bytes=0-1"}
    yield {"Origin": "http://elsewhere", "Cookie": "a=b", "X-Request-ID": "1", "User-Agent": "same"}


def requests(direct, basic):
    yield from changes()
    asked = list(paths(direct, basic))
    for method in ["GET", "HEAD"]:
        yield from ((method, path, {}, None) for path in asked)
    for path in ["/", "/nowhere", "/subjects", "/subjects/before-avro/versions/1", "/subjects/absent/versions", "/schemas/ids/1", "/config"]:
        if path != "/nowhere":
            yield "OPTIONS", path, {}, None
            yield "OPTIONS", path, {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}, None
        yield from (("GET", path, manner, None) for manner in manners())
        yield "GET", path, JSON, "{}"
        yield "HEAD", path, {"Accept-Encoding": "gzip"}, None


def strangers():
    """Credentials that are none."""
    for authorization in [None, "Basic " + base64.b64encode(b"nobody:nothing").decode(), "Basic x", "Bearer x", ""]:
        shown = {} if authorization is None else {"Authorization": authorization}
        yield "GET", "/subjects", shown, None
        yield "HEAD", "/subjects", shown, None
        yield "GET", "/nowhere", shown, None
        yield "POST", f"/subjects/{DIRECTLY}/versions", {**shown, **JSON}, '{"schema":"\\"string\\""}'
        yield "DELETE", "/subjects/absent", shown, None


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + " …"


def answered(direct, request):
    """What the registry itself answers. Over TLS Apicurio leaves a request in some thousands without any answer, with nobody
    before it too; then it is asked again, and through the sidecar as well, which has said by then that there was no answer."""
    for _ in range(3):
        try:
            return direct.send(*request)
        except TimeoutError:
            print(f"the registry itself did not answer {request[0]} {request[1][:100]}", file=sys.stderr)
    return direct.send(*request)


def compare(through, direct, request):
    try:
        expected = answered(direct, request)
        got = through.send(*request)
        # Of what might have changed something the sidecar says that nobody knows; what is refused changes nothing.
        unanswered = [b"50003", b"50002"] if expected["status"] >= 400 else [b"50003"]
        if got["status"] == 500 and any(code in got["body"] for code in unanswered):
            print(f"the sidecar heard no answer to {request[0]} {request[1][:100]}", file=sys.stderr)
            got = through.send(*request)
    except (OSError, http.client.HTTPException) as why:
        counts["failed"] += 1
        print(f"FAILED {request[0]} {request[1][:100]} {request[2]}: no answer, {why!r}")
        return
    if request[0] == "GET" and "Accept-Encoding" in request[2]:
        # Apicurio compresses its page at the root now and then, so it may take several answers until one is the same.
        for _ in range(100):
            if got == expected:
                break
            expected = direct.send(*request)
    wrong = [f"{part} {short(got[part])}, expected {short(expected[part])}" for part in expected if got[part] != expected[part]]
    method, target, headers, body = request
    shown = {name: value for name, value in headers.items() if name != "Authorization"}
    name = f"{method} {target[:100]} {shown or ''} {'' if body is None else body.encode('latin-1')[:60]}".rstrip()
    counts["failed" if wrong else "passed"] += 1
    print(f"FAILED {name}: {'; '.join(wrong)}" if wrong else f"ok {name}: {expected['status']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("through")
    parser.add_argument("direct")
    parser.add_argument("--basic")
    parser.add_argument("--ca")
    given = parser.parse_args()
    basic = {"Authorization": "Basic " + base64.b64encode(given.basic.encode()).decode()} if given.basic else {}
    through, direct = Registry(given.through, THROUGH, given.ca), Registry(given.direct, DIRECTLY, given.ca)
    for method, target, headers, body in requests(direct, basic):
        compare(through, direct, (method, target, {**headers, **basic}, body))
    for request in strangers() if basic else ():
        compare(through, direct, request)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
