"""Mutated schemas and what a registry stores for each: writes tests/data/identity/mutants.jsonl.gz.

    mutate.py TRANSCRIPTS COUNT OUT -- ORACLE... [-- OLDER ORACLE...]

The schemas are those that the transcripts register and look up, with a few of our own that are odder; the seed is
fixed. What follows the dashes are the commands that judge (tests/data/identity/README.md). A line is one of

    {"base": {"schemaType", "schema", "references": [{"name", "schema"}]}}
    {"how": [...], "sent": text, "stored": text or null if refused, "normal": what is stored when it is normalised,
     for JSON and where that is another text, "older": what older libraries store, where they differ}

and the second kind belongs to the base above it.
"""

import gzip
import json
import os
import random
import subprocess
import sys

SEED = 20260904
LONGEST = 2500

NUMBERS = (
    "1 1.0 1.00 1e0 1E0 1E+0 1e+00 10e-1 0.1e1 0 -0 -0.0 0.0 0e0 0E-3 1e10 1E400 -1e400 1e-400 0.1 -7 7.25 100 1e2 1e7"
    " 123456789012345678901234567890 0.30000000000000004 1e23 9007199254740993 2147483647 2147483648 -2147483649"
    " 9223372036854775807 9223372036854775808 1.7976931348623157e308 4.9e-324 5e-324 12345678.9 9999999.0 10000000.0"
    " 0.001 0.0001 0.00099 3.4028235e38 1e-7 1.0E-5 1e16 1E15 123456789.123456789 2e-3 0.000001 1e-6 1.50 12.5e3"
    " 0.1234567890123456 100.0e-2 1e21 1e20 2.0e-21 1234567890123456.7"
).split()
ODD_NUMBERS = "01 1. .5 +1 0x1 NaN Infinity -Infinity 1e 1_000 1f --1".split()
TEXTS = ["", "x", "a b", "\u00fcber", "\U0001f6d2 \u20ac", 'q"uo\\te', "tab\t nl\n", "\x01\x7f\u0080\u2028\ufeff", "</a>", "null"]


class Obj(list):
    """Members as pairs: an object may have a key twice."""

    def get(self, key):
        return next((value for name, value in self if name == key), None)

    def put(self, key, value):
        for pair in self:
            if pair[0] == key:
                pair[1] = value
                return
        self.append([key, value])

    def drop(self, key):
        self[:] = [pair for pair in self if pair[0] != key]


class Raw(str):
    """Something that is written as it is."""


def read(text):
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: Obj([key, value] for key, value in pairs),
        parse_int=Raw,
        parse_float=Raw,
    )


def copy(tree):
    if isinstance(tree, Obj):
        return Obj([key, copy(value)] for key, value in tree)
    if isinstance(tree, list):
        return [copy(value) for value in tree]
    return tree


def nodes(tree):
    yield tree
    if isinstance(tree, Obj):
        for _, value in tree:
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


class Style:
    """How a tree is spelled."""

    def __init__(self, dice, blanks=0.0, escapes=0.0):
        self.dice, self.blanks, self.escapes = dice, blanks, escapes

    def gap(self):
        if self.dice.random() >= self.blanks:
            return ""
        return "".join(self.dice.choice(" \n\t\r") for _ in range(self.dice.randint(1, 3)))

    def text(self, text):
        out = []
        for character in text:
            if self.dice.random() < self.escapes:
                units = character.encode("utf-16-be")
                spelled = "".join("\\u" + units[at : at + 2].hex() for at in range(0, len(units), 2))
                out.append(spelled.upper().replace("\\U", "\\u") if self.dice.random() < 0.5 else spelled)
            elif character == "/" and self.escapes and self.dice.random() < 0.5:
                out.append("\\/")
            else:
                out.append(json.dumps(character, ensure_ascii=False)[1:-1])
        return '"' + "".join(out) + '"'

    def print(self, tree):
        gap = self.gap
        if isinstance(tree, Raw):
            return str(tree)
        if isinstance(tree, str):
            return self.text(tree)
        if isinstance(tree, Obj):
            members = (f"{gap()}{self.text(key)}{gap()}:{gap()}{self.print(value)}{gap()}" for key, value in tree)
            return "{" + (",".join(members) if tree else gap()) + "}"
        if isinstance(tree, list):
            return "[" + ",".join(gap() + self.print(value) + gap() for value in tree) + "]"
        return json.dumps(tree)


# What is done to a tree: each returns False where there is nothing to do.


def pick(dice, tree, wanted):
    found = [node for node in nodes(tree) if wanted(node)]
    return dice.choice(found) if found else None


def is_object(node):
    return isinstance(node, Obj) and bool(node)


def is_named(node):
    return isinstance(node, Obj) and node.get("type") in ("record", "error", "enum", "fixed") and isinstance(node.get("name"), str)


def is_record(node):
    return is_named(node) and node.get("type") in ("record", "error") and type(node.get("fields")) is list


def a_field(dice, tree):
    record = pick(dice, tree, lambda node: is_record(node) and any(isinstance(field, Obj) for field in node.get("fields")))
    return dice.choice([field for field in record.get("fields") if isinstance(field, Obj)]) if record else None


def shuffle(dice, tree):
    done = False
    for node in nodes(tree):
        if is_object(node) and len(node) > 1 and dice.random() < 0.7:
            dice.shuffle(node)
            done = True
    return done


def duplicate(dice, tree):
    node = pick(dice, tree, is_object)
    if node is None:
        return False
    key, value = dice.choice(node)
    other = copy(value) if dice.random() < 0.5 else dice.choice(["other", Raw("7"), None, Obj(), []])
    node.insert(dice.randint(0, len(node)), [key, other])


def a_value(dice, depth=0):
    kind = dice.randint(0, 7 if depth < 2 else 4)
    if kind <= 1:
        return Raw(dice.choice(NUMBERS))
    if kind == 2:
        return dice.choice(TEXTS)
    if kind == 3:
        return dice.choice([True, False])
    if kind == 4:
        return None if dice.random() < 0.3 else "v"
    if kind == 5:
        return [a_value(dice, depth + 1) for _ in range(dice.randint(0, 3))]
    return Obj([dice.choice(["a", "b", "type", "name", "\u00e9"]) + str(at), a_value(dice, depth + 1)] for at in range(dice.randint(0, 3)))


KEYS = (
    "x connect.name connect.version avro.java.string logicalType precision scale order default aliases doc namespace size"
    " symbols items values fields name \u00fc a/b confluent:tags io.confluent.x minimum type java-class"
).split()


def unknown_property(dice, tree):
    node = pick(dice, tree, is_object)
    if node is None:
        return False
    key = dice.choice(KEYS[:7] if dice.random() < 0.6 else KEYS)
    if node.get(key) is not None and dice.random() < 0.8:
        return False
    node.insert(dice.randint(0, len(node)), [key, a_value(dice)])


def doc(dice, tree):
    node = a_field(dice, tree) if dice.random() < 0.5 else pick(dice, tree, is_named)
    if node is None:
        return False
    choice = dice.random()
    if choice < 0.2:
        node.drop("doc")
    else:
        node.put("doc", dice.choice(TEXTS) if choice < 0.9 else dice.choice([None, Raw("7"), True, []]))


def aliases(dice, tree):
    names = ["Old", "other", "n.s.Old", "shop.Old", ".Lead", "Trail.", "", "a-b", "\u00c4", "Old"]
    chosen = [dice.choice(names[:4] if dice.random() < 0.8 else names) for _ in range(dice.randint(0, 3))]
    value = chosen if dice.random() < 0.9 else dice.choice(["Old", None, [Raw("1")], Obj()])
    node = a_field(dice, tree) if dice.random() < 0.4 else pick(dice, tree, is_named)
    if node is None:
        return False
    node.put("aliases", value)


def rename(dice, tree):
    node = pick(dice, tree, is_named)
    if node is None:
        return False
    name, space = node.get("name"), node.get("namespace")
    short = name.rsplit(".", 1)[-1]
    way = dice.randint(0, 9)
    if way == 0 and isinstance(space, str) and space:
        node.drop("namespace")
        node.put("name", f"{space}.{short}")
    elif way == 1 and "." in name:
        node.put("name", short)
        node.put("namespace", name.rsplit(".", 1)[0])
    elif way == 2:
        node.put("namespace", "")
    elif way == 3:
        node.put("namespace", dice.choice(["n.one", "shop.sales", "n", "a.b.c", "n..x", ".n", "n.", "1n", "a-b"]))
    elif way == 4:
        node.put("name", f"other.space.{short}")
    elif way == 5:
        node.put("name", dice.choice(["." + short, short + ".", "a..b", "int", "string", "record", "n.string", "1x", "a-b", "\u00dc", ""]))
    elif way == 6:
        node.put("name", dice.choice(["R", "Inner", "n.R"]))
    elif way == 7:
        node.drop("namespace")
    elif way == 8:
        node.put("name", dice.choice([None, Raw("1")]))
    else:
        node.put("namespace", dice.choice([None, Raw("1"), "n.one"]))


DEFAULTS = [Raw(number) for number in NUMBERS] + [
    None, True, False, "", "x", "\u00ff\x00", "NaN", "Infinity", "1.5", " 2 ", "1e3", "0x1p3", "1f", [], Obj(), ["a"], [Raw("1.0")], ["a", None],
    Obj([["k", Raw("1")]]), Obj([["b", "x"], ["a", "y"]]), Obj([["street", "x"]]), Obj([["id", Raw("1.50")], ["x", None]]),
]


def default(dice, tree):
    field = a_field(dice, tree)
    if field is None:
        return False
    if dice.random() < 0.7:
        fitting = {"int": NUMBERS[:1] + ["7"], "long": ["7", "9223372036854775807"], "float": NUMBERS, "double": NUMBERS}
        fitting["boolean"], fitting["string"], fitting["bytes"] = ["true", "false"], ['"x"', '"\\u00fc"'], ['"\\u00ff"', '"x"']
        fitting["null"] = ["null"]
        kind = field.get("type")
        kind = dice.choice(kind) if isinstance(kind, list) and not isinstance(kind, Obj) and kind else kind
        kind = kind.get("type") if isinstance(kind, Obj) else kind
        field.put("default", Raw(dice.choice(fitting.get(kind, ["[]", "{}", "null"]) if isinstance(kind, str) else ["null"])))
    else:
        field.put("default", copy(dice.choice(DEFAULTS)))


def add_field(dice, tree):
    record = pick(dice, tree, is_record)
    if record is None:
        return False
    name = dice.choice(["extra", "f1", "_f", "a-b", "\u00e9", "extra"]) if dice.random() < 0.3 else f"f{dice.randint(2, 999)}"
    kind = dice.choice(["string", "int", "double", "float", "bytes", "boolean", "null", "long", "Nope", ["null", "string"], ["int", "double", "null"]])
    kind = Obj([["type", kind]]) if dice.random() < 0.2 and isinstance(kind, str) else copy(kind)
    field = Obj([["name", name], ["type", kind]])
    if dice.random() < 0.5:
        field.append(["default", copy(dice.choice(DEFAULTS))])
    record.get("fields").insert(dice.randint(0, len(record.get("fields"))), field)


def order(dice, tree):
    field = a_field(dice, tree)
    if field is None:
        return False
    words = ["ascending", "descending", "ignore", "Ascending", "IGNORE", "DESCENDING", "none", "", "\u0130gnore"]
    field.put("order", dice.choice(words[:6] if dice.random() < 0.8 else words + [None, Raw("1")]))


LOGICAL = ["date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis",
           "uuid", "duration", "decimal", "big-decimal", "map", "nosuch"]


def logical(dice, tree):
    field = a_field(dice, tree)
    if field is None:
        return False
    kind = field.get("type")
    word = dice.choice(LOGICAL)
    if isinstance(kind, str):
        kind = Obj([["type", dice.choice([kind, "bytes", "long", "int", "string"])], ["logicalType", word]])
    elif isinstance(kind, Obj):
        kind.put("logicalType", word)
    else:
        return False
    if word == "decimal":
        kind.insert(dice.randint(0, len(kind)), ["precision", Raw(dice.choice("9 9.0 0 -1 99999999999".split()))])
        kind.insert(dice.randint(0, len(kind)), ["scale", Raw(dice.choice("2 0 12 2.0".split()))])
    field.put("type", kind)


def wrap(dice, tree):
    field = a_field(dice, tree)
    if field is None:
        return False
    kind = field.get("type")
    way = dice.randint(0, 7)
    if way == 0 and isinstance(kind, str):
        field.put("type", Obj([["type", kind]]))
    elif way == 1:
        field.put("type", Obj([["type", kind]]))
    elif way == 2:
        field.put("type", ["null", kind])
    elif way == 3:
        field.put("type", Obj([["type", "array"], ["items", kind]]))
    elif way == 4:
        field.put("type", Obj([["values", kind], ["type", "map"]]))
    elif way == 5:
        field.put("type", [kind])
    elif way == 6 and isinstance(kind, Obj) and kind.get("type") in ("string", "int", "long", "bytes"):
        field.put("type", kind.get("type"))
    else:
        field.put("type", dice.choice([[], ["null", "null"], ["int", ["string"]], Obj(), Raw("1"), None, "", "array", "record"]))


def repeat_name(dice, tree):
    """Uses a type that is defined in the tree once more: by name, or defined again."""
    named, record = pick(dice, tree, is_named), pick(dice, tree, is_record)
    if named is None or record is None:
        return False
    name, space = named.get("name"), named.get("namespace")
    way = dice.randint(0, 5)
    if way == 0:
        use = name
    elif way == 1:
        use = f"{space}.{name}" if isinstance(space, str) and space else name
    elif way == 2:
        use = name.rsplit(".", 1)[-1]
    elif way == 3 and named is not record:
        use = copy(named)
    elif way == 4 and named is not record:
        use = copy(named)
        use.put("doc", "another")
    else:
        use = Obj([["type", name]])
    use = ["null", use] if dice.random() < 0.3 else use
    field = Obj([["name", f"again{dice.randint(1, 99)}"], ["type", use]])
    fields = record.get("fields")
    fields.insert(0 if dice.random() < 0.2 else len(fields), field)


def enumeration(dice, tree):
    choice = pick(dice, tree, lambda node: is_named(node) and node.get("type") == "enum")
    if choice is None:
        record = pick(dice, tree, is_record)
        if record is None:
            return False
        choice = Obj([["type", "enum"], ["name", dice.choice(["Colour", "n.Colour"])], ["symbols", ["RED", "GREEN"]]])
        record.get("fields").append(Obj([["name", f"colour{dice.randint(1, 9)}"], ["type", choice]]))
    symbols = choice.get("symbols")
    way = dice.randint(0, 5)
    if way <= 1 and symbols:
        choice.insert(dice.randint(0, len(choice)), ["default", dice.choice(symbols)])
    elif way == 2:
        choice.put("default", dice.choice(["NOPE", "", None, Raw("1")]))
    elif way == 3:
        choice.put("symbols", dice.choice([[], ["A", "A"], ["a-b"], ["A", Raw("1")], ["\u00c4"], None, "A"]))
    elif way == 4 and symbols:
        dice.shuffle(symbols)
    return None


def fixed(dice, tree):
    record = pick(dice, tree, is_record)
    if record is None:
        return False
    size = Raw(dice.choice(["16", "0", "1", "16.0", "-1", "2147483648", "1e1", '"16"', "016"]))
    kind = Obj([["type", "fixed"], ["size", size], ["name", dice.choice(["F", "n.F", "Id"])]])
    if dice.random() < 0.4:
        kind.insert(dice.randint(0, 3), dice.choice([["logicalType", "decimal"], ["logicalType", "duration"], ["doc", "d"], ["aliases", ["G"]]]))
    record.get("fields").append(Obj([["name", f"fixed{dice.randint(1, 9)}"], ["type", kind]]))


def inner_record(dice, tree):
    record = pick(dice, tree, is_record)
    if record is None:
        return False
    inner = Obj([["type", dice.choice(["record", "record", "error"])], ["name", dice.choice(["Inner", "n.in.Inner", "shop.Inner"])], ["fields", []]])
    if dice.random() < 0.4:
        inner.insert(0, ["namespace", dice.choice(["", "n.other", "shop.sales"])])
    inner.get("fields").append(Obj([["name", "x"], ["type", dice.choice(["int", "Inner", ["null", "Inner"], record.get("name")])]]))
    record.get("fields").append(Obj([["name", f"inner{dice.randint(1, 9)}"], ["type", inner]]))


def drop_key(dice, tree):
    node = pick(dice, tree, is_object)
    if node is None:
        return False
    node.remove(dice.choice(node))


def number(dice, tree):
    """Another number in the place of one, or as a property."""
    places = [(node, at) for node in nodes(tree) if isinstance(node, Obj) for at, pair in enumerate(node) if isinstance(pair[1], Raw)]
    raw = Raw(dice.choice(NUMBERS) if dice.random() < 0.93 else dice.choice(ODD_NUMBERS))
    if places and dice.random() < 0.7:
        node, at = dice.choice(places)
        node[at][1] = raw
    else:
        node = pick(dice, tree, is_object)
        if node is None:
            return False
        node.append([f"n{dice.randint(1, 9)}", raw])


def another_text(dice, tree):
    node = pick(dice, tree, is_object)
    if node is None:
        return False
    pair = dice.choice(node)
    if not isinstance(pair[1], str) or isinstance(pair[1], Raw):
        return False
    pair[1] = dice.choice(TEXTS)


def deep(dice, tree):
    node = pick(dice, tree, is_object)
    if node is None:
        return False
    value = Raw("1")
    for _ in range(dice.choice([3, 40, 190, 230])):
        value = [value] if dice.random() < 0.5 else Obj([["d", value]])
    node.append(["deep", value])


def use_reference(dice, tree, texts):
    """Uses a type that a reference defines, at its top or inside: by name, or defined once more."""
    record = pick(dice, tree, is_record)
    try:
        named = [node for text in texts for node in nodes(read(text)) if is_named(node)]
    except ValueError:
        return False
    if record is None or not named:
        return False
    named = dice.choice(named)
    name, space = named.get("name"), named.get("namespace") or record.get("namespace")
    short = name.rsplit(".", 1)[-1]
    full = name if "." in name or not space else f"{space}.{name}"
    use = dice.choice([full, full, short, f"other.{short}", copy(named), ["null", full]])
    record.get("fields").append(Obj([["name", f"used{dice.randint(1, 99)}"], ["type", use]]))


AVRO = [shuffle, shuffle, duplicate, unknown_property, unknown_property, doc, aliases, rename, rename, default, default, add_field, order,
        logical, wrap, repeat_name, repeat_name, enumeration, fixed, inner_record, drop_key, number, another_text, deep]
JSON = [shuffle, shuffle, duplicate, unknown_property, unknown_property, drop_key, number, number, number, another_text, deep]


# What is done to a text.


def trailing(dice, text):
    return text + dice.choice([" ", "\n", "\t\r\n", "x", " x", "{}", " null", ",", "}", "\x00", "\u00a0", "\x0c", "\u2028", "//c", " /* c */", "#c", '"', "\ufeff"])


def leading(dice, text):
    return dice.choice(["\ufeff", " ", "\n\n", "\u00a0", "\x0c", "//c\n", "/* c */", "#c\n", "\x00", ","]) + text


def comment(dice, text):
    at = [index for index, character in enumerate(text) if character in ",:{["]
    if not at:
        return text
    place = dice.choice(at) + 1
    return text[:place] + dice.choice(["/* c */", "// c\n", "# c\n", "/**/"]) + text[place:]


def broken(dice, text):
    way = dice.randint(0, 6)
    at = dice.randint(0, max(len(text) - 1, 0))
    if way == 0:
        return text[:at]
    if way == 1:
        return text[:at] + dice.choice(',:{}[]"\\ \x01\u00e9x0') + text[at:]
    if way == 2:
        return text[:at] + text[at + 1 :]
    if way == 3:
        return text.replace('"', "'")
    if way == 4:
        return text.replace("}", ",}", 1)
    if way == 5:
        return text.replace('"', "", 2)
    return text.replace(":", "=", 1)


def escapes(dice, text):
    at = [index for index, character in enumerate(text) if character == '"']
    if not at:
        return text
    place = dice.choice(at) + 1
    odd = ["\\u0041", "\\ud83d\\uded2", "\\ud83d", "\\uDE00x", "\\x41", "\\'", "\\u00", "\\b\\f\\n\\r\\t\\/", "\\u0000", "\\u001f", "\\u007F", "\\u2028", "\\uFEFF", "\t", "\n"]
    return text[:place] + dice.choice(odd) + text[place:]


TEXTUAL = [trailing, leading, comment, broken, escapes]


def mutant(dice, schema_type, text, references):
    """A spelling of the schema, changed in a few ways; returns what was done and the text."""
    how = []
    try:
        tree = read(text)
    except ValueError:
        change = dice.choice(TEXTUAL)
        return [change.__name__], change(dice, text)
    for _ in range(dice.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        change = dice.choice(JSON if schema_type == "JSON" else AVRO)
        if change(dice, tree) is not False:
            how.append(change.__name__)
    if references and dice.random() < 0.5 and use_reference(dice, tree, [known for _, known in references]) is not False:
        how.append("use_reference")
    blanks, escaped = dice.choice([(0.0, 0.0), (0.3, 0.0), (0.0, 0.1), (0.1, 0.5), (0.9, 0.0)])
    spelled = Style(dice, blanks, escaped).print(tree)
    how += ["blanks"] * (blanks > 0) + ["escaped"] * (escaped > 0)
    if dice.random() < 0.2:
        change = dice.choice(TEXTUAL)
        how.append(change.__name__)
        spelled = change(dice, spelled)
    return how, spelled


OWN_REFERENCES = [
    ("far/away.avsc", '{"type":"record","name":"Address","namespace":"ref","fields":[{"name":"street","type":"string"},{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["HOME","WORK"]}}]}'),
    ("Plain", '{"type":"fixed","name":"Plain","size":4}'),
]
OWN_LIST = [("list", '{"type":"array","items":{"type":"record","name":"Address","namespace":"ref","fields":[]}}')]
OWN_REFERRING = [
    '{"type":"record","name":"Person","namespace":"ref","fields":[{"name":"home","type":"Address"},{"name":"mark","type":"Plain"}]}',
    '{"type":"record","name":"Person","namespace":"other","fields":[{"name":"home","type":["null","ref.Address"],"default":null}]}',
]

OWN = [
    ("AVRO", "\"string\""),
    ("AVRO", '["null","int",{"type":"array","items":"double"}]'),
    ("AVRO", '{"type":"map","values":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}'),
    ("AVRO", '{"type":"record","name":"Order","namespace":"shop.sales","doc":"d","fields":[{"name":"id","type":"long"},{"name":"total","type":"double","default":0.1},'
             '{"name":"rate","type":"float","default":1},{"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"],"default":"NEW"},"default":"NEW"},'
             '{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","namespace":"shop.lines","fields":[{"name":"sku","type":"string"},{"name":"next","type":["null","Line"],"default":null}]}},"default":[]},'
             '{"name":"first","type":["null","shop.lines.Line"],"default":null},{"name":"key","type":{"type":"fixed","name":"Key","size":16}}]}'),
    ("AVRO", '{"type":"record","name":"n.root.Outer","fields":[{"name":"a","type":{"type":"record","name":"A","namespace":"n.one","fields":[{"name":"b","type":{"type":"enum","name":"B","symbols":["X"]}}]}},'
             '{"name":"c","type":{"type":"map","values":"n.one.B"}},{"name":"d","type":"n.one.A"},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"},"default":0}]}'),
    ("AVRO", '{"type":"record","name":"Plain","fields":[{"name":"m","type":{"type":"map","values":"int"},"default":{"b":1,"a":2}},{"name":"r","type":{"type":"record","name":"In","fields":[{"name":"x","type":"double","default":1.5}]},"default":{"x":2.50}},'
             '{"name":"self","type":["null","Plain"],"default":null}]}'),
    ("JSON", '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"number","minimum":0.010,"maximum":1e3,"multipleOf":1.0},"b":{"enum":[1,1.0,"x",null,true]}},"required":["a"],"default":{"z":-0.0,"y":[1E400]}}'),
    ("JSON", '{"type":"string","const":123456789012345678901234567890,"title":"\u00fcber \U0001f6d2"}'),
    ("JSON", "true"),
]


def bases(folder):
    """Every schema of the transcripts that is sent with type Avro or JSON, with the texts of its references."""
    found, seen = [], set()
    for name in sorted(os.listdir(folder)):
        stored = {}
        for line in open(os.path.join(folder, name), encoding="utf-8"):
            exchange = json.loads(line)
            request, answer = exchange.get("request"), exchange.get("response")
            if not request or request["method"] != "POST" or "/subjects/" not in request["target"] or not request.get("body"):
                continue
            try:
                body, answered = json.loads(request["body"]), json.loads(answer.get("body") or "null")
            except ValueError:
                continue
            if not isinstance(body, dict) or not isinstance(body.get("schema"), str):
                continue
            subject = request["target"].split("/subjects/")[1].split("?")[0].split("/")[0].replace("%3A", ":")
            schema_type, text = body.get("schemaType") or "AVRO", body["schema"]
            references = resolve(body.get("references") or [], stored, {})
            if isinstance(answered, dict) and answer["status"] == 200 and isinstance(answered.get("version"), int):
                stored[subject, answered["version"]] = (answered.get("schema", text), answered.get("references") or [])
                stored[subject.rsplit(":", 1)[-1], answered["version"]] = stored[subject, answered["version"]]
            key = (schema_type, text, json.dumps(references))
            if schema_type in ("AVRO", "JSON") and references is not None and key not in seen and writable(text) and 0 < len(text.strip()) <= LONGEST:
                seen.add(key)
                found.append((schema_type, text, references))
    return found


def resolve(references, stored, found):
    """The texts behind references, the deepest first, as (name, text); None where one is not known."""
    for reference in references:
        if not isinstance(reference, dict) or not isinstance(reference.get("name"), str):
            return None
        target = stored.get((reference.get("subject"), reference.get("version")))
        if target is None:
            return None
        text, deeper = target
        if reference["name"] not in found:
            if resolve(deeper, stored, found) is None:
                return None
            found[reference["name"]] = text
    return list(found.items())


def writable(text):
    """A text with half a character in it cannot be stored as it is; it counts as refused."""
    return text if text is None or text.encode("utf-8", "replace").decode() == text else None


def judge(command, questions):
    lines = "\n".join(json.dumps(question) for question in questions) + "\n"
    answer = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    read = [json.loads(line) for line in answer.stdout.decode().split("\n")[:-1]]
    verdicts = [(writable(line.get("text")), writable(line.get("normal"))) for line in read]
    assert len(verdicts) == len(questions), f"{len(verdicts)} verdicts on {len(questions)} questions"
    return verdicts


def main():
    sys.setrecursionlimit(20_000)
    folder, count, out, *rest = sys.argv[1:]
    commands, current = [], None
    for word in rest:
        if word == "--":
            current = []
            commands.append(current)
        else:
            current.append(word)
    dice = random.Random(SEED)
    originals = bases(folder) + [(schema_type, text, []) for schema_type, text in OWN]
    originals += [("AVRO", OWN_REFERRING[1], OWN_LIST)]
    originals += [("AVRO", text, OWN_REFERENCES) for text in OWN_REFERRING]
    rounds = [[] for _ in originals]
    seen = set()
    while sum(map(len, rounds)) < int(count):
        at = dice.randrange(len(originals)) if dice.random() < 0.9 else len(originals) - 1 - dice.randrange(len(OWN_REFERRING))
        schema_type, text, references = originals[at]
        how, sent = mutant(dice, schema_type, text, references)
        try:
            sent.encode("utf-8")
        except UnicodeEncodeError:
            continue
        if (at, sent) not in seen and len(sent) <= 2 * LONGEST:
            seen.add((at, sent))
            rounds[at].append((how, sent))
    questions, lines = [], []
    for (schema_type, text, references), mutants in zip(originals, rounds):
        for how, sent in [(["nothing"], text), *mutants]:
            questions.append({"schemaType": schema_type, "schema": sent, "references": [known for _, known in references]})
    verdicts = [judge(command, questions) for command in commands]
    at = 0
    for (schema_type, text, references), mutants in zip(originals, rounds):
        references = [{"name": name, "schema": known} for name, known in references]
        lines.append({"base": {"schemaType": schema_type, "schema": text, "references": references}})
        for how, sent in [(["nothing"], text), *mutants]:
            stored, normal = verdicts[0][at]
            line = {"how": how, "sent": sent, "stored": stored}
            if normal is not None and normal != stored:
                line["normal"] = normal
            if len(verdicts) > 1 and verdicts[1][at] != verdicts[0][at]:
                line["older"] = verdicts[1][at][0]
            lines.append(line)
            at += 1
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    with open(out, "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))
    refused = sum(stored is None for stored, _ in verdicts[0])
    print(f"{len(originals)} schemas, {at} spellings, {refused} refused, {sum('older' in line for line in lines)} differ between releases")


main()
