"""A sidecar with a local registry beside it, by hand: which registry hears what, in which mode.

    beside.py alone THROUGH LOCAL            no primary; a mode is set and deleted again
    beside.py switch THROUGH PRIMARY LOCAL   forwarded, local, read-only, and forwarded again
    beside.py away THROUGH LOCAL             the same default context, local, while the primary is away
    beside.py back THROUGH PRIMARY LOCAL     forwarded again, after the primary was away
    beside.py refused THROUGH LOCAL          a local registry that takes no changes
    beside.py withheld THROUGH PRIMARY LOCAL --admin URL
                                             what the importer could not keep in LOCAL under its own ids
    beside.py still-withheld THROUGH PRIMARY LOCAL --admin URL
                                             the same after a restart

The registries are Apicurio: modes are stored there, and enforced by the sidecar alone. --basic USER:PASSWORD is shown to
all, --ca FILE is whom to trust. Each check prints `ok …` or `FAILED …: why`; the last line sums up.
"""

import argparse
import json
import sys
import time
import urllib.parse
import urllib.request

from answers import Registry, avro, check, counts

READ_ONLY = 42205


def same(name, got, expected):
    check(name, None if got == expected else f"{got!r}, expected {expected!r}")


def refused(name, got, status, code):
    told = got[1].get("error_code") if isinstance(got[1], dict) else None
    check(name, None if (got[0], told) == (status, code) else f"{got!r}, expected {status}/{code}")


def schema(name, **more):
    return {"schema": avro(name.replace("-", "_")), **more}


def register(registry, subject, name=None):
    return registry.call("POST", f"/subjects/{subject}/versions", schema(name or subject))


def versions(registry, subject, query=""):
    return registry.call("GET", f"/subjects/{urllib.parse.quote(subject, safe='')}/versions{query}")


def live(registry):
    return set(registry.call("GET", "/subjects?limit=1000")[1])


def set_mode(through, mode, scope=""):
    return through.call("PUT", f"/mode{scope}", {"mode": mode})


def is_in_mode(name, through, local, mode):
    """The same mode counts at the sidecar and is stored in the local registry."""
    same(f"{name}: the sidecar", through.call("GET", "/mode"), [200, {"mode": mode}])
    same(f"{name}: the local registry", local.call("GET", "/mode"), [200, {"mode": mode}])


def lives_in(subject, through, home, elsewhere):
    """A registration, a look-up and reads through the sidecar reach one registry and not the other."""
    before = live(elsewhere)
    answer = register(through, subject)
    check(f"{subject} is registered", None if answer[0] == 200 else answer)
    same(f"{subject} is where it belongs", versions(home, subject), [200, [1]])
    same(f"nothing of {subject} is anywhere else", live(elsewhere), before)
    lookup = "POST", f"/subjects/{subject}", schema(subject)
    same(f"{subject} is looked up there", through.call(*lookup)[1]["id"], home.call(*lookup)[1]["id"])
    for path in [f"/subjects/{subject}/versions/latest", f"/schemas/ids/{answer[1]['id']}"]:
        same(f"GET {path} is answered from there", through.call("GET", path), home.call("GET", path))
    level = {"compatibility": "FULL"}
    same(f"the configuration of {subject} is set", through.call("PUT", f"/config/{subject}", level)[0], 200)
    same(f"the configuration of {subject} is set there", home.call("GET", f"/config/{subject}")[1]["compatibilityLevel"], "FULL")
    test = "POST", f"/compatibility/subjects/{subject}/versions/latest", schema(subject)
    same(f"{subject} is tested there", through.call(*test), [200, {"is_compatible": True}])


def nothing_is_written(through, local, known):
    """READONLY, which this local registry does not enforce."""
    identity = local.call("GET", f"/subjects/{known}/versions/latest")[1]["id"]
    same("what is known is found", register(through, known), [200, {"id": identity}])
    before = {subject: versions(local, subject) for subject in live(local)}
    refused("something new is refused", register(through, "read-only"), 422, READ_ONLY)
    refused("a new version is refused", register(through, known, "another"), 422, READ_ONLY)
    refused("a deletion is refused", through.call("DELETE", f"/subjects/{known}"), 422, READ_ONLY)
    refused("a configuration is refused", through.call("PUT", f"/config/{known}", {"compatibility": "NONE"}), 422, READ_ONLY)
    same("nothing has changed", {subject: versions(local, subject) for subject in live(local)}, before)
    same("reads go on", through.call("GET", f"/subjects/{known}/versions"), [200, [1]])
    direct = register(local, "unenforced")
    check("the local registry itself would have taken it", None if direct[0] == 200 else direct)
    local.call("DELETE", "/subjects/unenforced")


def alone(through, local):
    same("something is registered", register(through, "alone")[0], 200)
    same("READONLY is set", set_mode(through, "READONLY"), [200, {"mode": "READONLY"}])
    is_in_mode("READONLY", through, local, "READONLY")
    nothing_is_written(through, local, "alone")
    # Apicurio cannot delete this one; it is told what counts instead.
    same("the mode is deleted", through.call("DELETE", "/mode"), [200, {"mode": "READONLY"}])
    is_in_mode("READWRITE again", through, local, "READWRITE")
    same("something else is registered", register(through, "alone-again")[0], 200)
    same("a subject is READONLY", set_mode(through, "READONLY", "/alone"), [200, {"mode": "READONLY"}])
    same("the local registry knows", local.call("GET", "/mode/alone"), [200, {"mode": "READONLY"}])
    refused("its deletion is refused", through.call("DELETE", "/subjects/alone"), 422, READ_ONLY)
    same("the mode of the subject is deleted", through.call("DELETE", "/mode/alone")[0], 200)
    same("the local registry knows that too", local.call("GET", "/mode/alone"), [200, {"mode": "READWRITE"}])
    same("it can be deleted", through.call("DELETE", "/subjects/alone"), [200, [1]])
    refused("a primary that there is not is not forwarded to", set_mode(through, "FORWARD"), 422, READ_ONLY)


def without_credentials(through, local, anonymous):
    """The local registry refuses without a body, and is not called unreachable for it."""
    refused("a mode without credentials is refused as the local registry refuses", set_mode(anonymous, "IMPORT"), 401, 401)
    is_in_mode("it does not count", through, local, "READWRITE")


def switch(through, primary, local):
    same("it begins with FORWARD", through.call("GET", "/mode"), [200, {"mode": "FORWARD"}])
    lives_in("forwarded", through, primary, local)
    same("READWRITE is set", set_mode(through, "READWRITE"), [200, {"mode": "READWRITE"}])
    is_in_mode("READWRITE", through, local, "READWRITE")
    lives_in("local", through, local, primary)
    refused("what is the primary's is not there", versions(through, "forwarded"), 404, 40401)
    same("IMPORT is set, which this registry stores", set_mode(through, "IMPORT")[0], 200)
    is_in_mode("IMPORT", through, local, "IMPORT")
    # It proves nothing that it is taken: this registry keeps no explicit ids.
    answer = through.call("POST", "/subjects/imported/versions", schema("imported", id=70000, version=7))
    held = local.call("GET", "/subjects/imported/versions/latest")[1]
    same("an import is answered by what the local registry did", answer, [200, {"id": held["id"]}])
    check("it did not do what it was told", None if (held["id"], held["version"]) != (70000, 7) else held)
    same("READONLY is set", set_mode(through, "READONLY"), [200, {"mode": "READONLY"}])
    is_in_mode("READONLY", through, local, "READONLY")
    nothing_is_written(through, local, "local")
    override = {"mode": "READONLY_OVERRIDE"}
    same("a mode that it does not know is set all the same", set_mode(through, override["mode"]), [200, override])
    same("the sidecar goes by it", through.call("GET", "/mode"), [200, override])
    same("the local registry is in the nearest that it knows", local.call("GET", "/mode"), [200, {"mode": "READONLY"}])
    refused("a deletion is refused in it", through.call("DELETE", "/subjects/local"), 422, READ_ONLY)
    same("FORWARD is set", set_mode(through, "FORWARD"), [200, {"mode": "FORWARD"}])
    lives_in("forwarded-again", through, primary, local)
    refused("what is local is not there", versions(through, "local"), 404, 40401)
    same("READWRITE is set again", set_mode(through, "READWRITE"), [200, {"mode": "READWRITE"}])
    is_in_mode("READWRITE again", through, local, "READWRITE")
    for path in ["/subjects", "/subjects?deleted=true"]:
        same(f"GET {path} is the local registry's too", through.call("GET", path), local.call("GET", path))
    # While other contexts are the primary's, what is not in this one may be in those, and is unknown without it.
    everywhere = set_mode(through, "READWRITE", "/:.__GLOBAL:")
    same("READWRITE is set for everything", everywhere, [200, {"mode": "READWRITE"}])


def away(through, local):
    same("READWRITE still counts", through.call("GET", "/mode"), [200, {"mode": "READWRITE"}])
    same("something new is registered", register(through, "while-away")[0], 200)
    same("it is in the local registry", versions(local, "while-away"), [200, [1]])
    same("it can be deleted", through.call("DELETE", "/subjects/while-away"), [200, [1]])
    same("what was forwarded is not there", versions(through, "forwarded"), versions(local, "forwarded"))


def back(through, primary, local):
    for scope in ["/:.__GLOBAL:", ""]:
        same(f"the mode is deleted{scope}", through.call("DELETE", f"/mode{scope}"), [200, {"mode": "READWRITE"}])
    same("FORWARD counts", through.call("GET", "/mode"), [200, {"mode": "FORWARD"}])
    lives_in("back", through, primary, local)
    same("what was written meanwhile is where it was", versions(local, "local"), [200, [1]])
    strays = {"local", "imported", "while-away"} & live(primary)
    same("nothing of it is in the primary", strays, set())


def takes_no_changes(through, local):
    said = [409, {"message": "Unsupported write operation. Storage is in read-only mode.", "error_code": 0}]
    for method, path, body in [
        ("POST", "/subjects/new/versions", schema("new")),
        ("PUT", "/config", {"compatibility": "FULL"}),
        ("PUT", "/config/new", {"compatibility": "FULL"}),
    ]:
        same(f"{method} {path} is refused in its words", through.call(method, path, body), said)
        same(f"{method} {path} is refused so by itself", local.call(method, path, body), said)
    refused("a mode that cannot be set there is refused", set_mode(through, "IMPORT"), 409, 409)
    same("and does not count", through.call("GET", "/mode"), [200, {"mode": "READWRITE"}])
    same("reads go on", through.call("GET", "/subjects"), [200, []])


def until(condition):
    """Whether something becomes true while somebody may wait for it."""
    limit = time.monotonic() + 60
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.2)
    return True


class Sink:
    """What the importer could not keep in the local registry, as the sidecar tells it."""

    def __init__(self, primary, local, admin):
        self.primary, self.local, self.admin = primary, local, admin
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def told(self, method, path):
        request = urllib.request.Request(self.admin + path, method=method)
        with self.opener.open(request, timeout=60) as answer:
            return json.load(answer)

    def beside(self):
        return self.told("GET", "/status")["local"]

    def named(self):
        return {one["subject"]: one["reason"] for one in self.beside()["withheld"]}

    def wanted(self):
        return live(self.primary)

    def held(self):
        return {subject: versions(self.local, subject, "?deleted=true") for subject in sorted(live(self.local))}

    def all_are_named(self):
        all_of_them = until(lambda: self.wanted() <= self.named().keys())
        check("every subject of the primary's is withheld", None if all_of_them else self.beside())
        for subject in sorted(self.wanted()):
            check(f"{subject} is named with its reason", None if self.named().get(subject) else self.beside())
        strays = live(self.local) & self.wanted()
        check("one subject strayed there", None if len(strays) == 1 else sorted(strays))
        beside = self.beside()
        check("nothing is in step", None if beside["inStep"] and not any(beside["inStep"].values()) else beside)


def withheld(through, primary, local, admin):
    sink = Sink(primary, local, admin)
    sink.all_are_named()
    answered = [reason for reason in sink.named().values() if reason.startswith("version 1 was sent with id ")]
    same("one import was tried, and its answer read", len(answered), 1)
    before = sink.held()
    lives_in("after-all", through, primary, local)
    same("what came later is withheld too", until(lambda: "after-all" in sink.named()), True)
    same("a full pass ends well", sink.told("POST", "/import")["local"]["ok"], True)
    sink.all_are_named()
    same("nothing more was written there, and nothing deleted", sink.held(), before)
    same("nothing is promoted", through.call("GET", "/mode"), [200, {"mode": "FORWARD"}])
    same("the sidecar is well all the same", sink.told("GET", "/status")["degraded"], None)


def still_withheld(_through, primary, local, admin):
    sink = Sink(primary, local, admin)
    same("a full pass ends well", sink.told("POST", "/import")["local"]["ok"], True)
    sink.all_are_named()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["alone", "switch", "away", "back", "refused", "withheld", "still-withheld"])
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--basic")
    parser.add_argument("--ca")
    parser.add_argument("--admin")
    given = parser.parse_args()
    registries = [Registry(url, given.basic, given.ca) for url in given.urls]
    steps = {"alone": alone, "switch": switch, "away": away, "back": back, "refused": takes_no_changes}
    steps |= {"withheld": withheld, "still-withheld": still_withheld}
    steps[given.command](*registries, *([given.admin] if given.admin else []))
    if given.command == "alone" and given.basic:
        without_credentials(*registries, Registry(given.urls[0], None, given.ca))
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
