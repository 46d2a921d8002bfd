"""Parses every module below a folder and resolves the names in it: variables, locals, resources, modules' arguments, templates' values; what
a template makes is YAML.

What a provider's resource takes is not known here: for that it needs `terraform validate`."""

import json
import pathlib
import re
import sys

import hcl2
import yaml


def unquote(text):
    return text.strip('"')


def load(folder):
    """The blocks of one module, by kind, and its whole text without comments."""
    blocks, text = {}, ""
    for path in sorted(folder.glob("*.tf")):
        source = path.read_text()
        for kind, found in hcl2.loads(source).items():
            blocks.setdefault(kind, []).extend(found if isinstance(found, list) else [found])
        text += re.sub(r"(?m)^\s*#.*$", "", source)
    return blocks, text


def names(blocks, kind):
    return {unquote(name) for block in blocks.get(kind, []) for name in block if not name.startswith("__")}


def resources(blocks):
    return {f"{unquote(kind)}.{unquote(name)}" for block in blocks.get("resource", []) for kind, rest in block.items()
            if not kind.startswith("__") for name in rest if not name.startswith("__")}


def templates(folder, text):
    """What is wrong with the templates that a module fills in."""
    for name, given in re.findall(r'templatefile\("\$\{path\.module\}/([\w.-]+)", \{(.*?)\n\s*\}\)', text, re.S):
        template = (folder / name).read_text()
        wanted = set(re.findall(r"\$\{(?:jsonencode\()?(\w+)", template))
        given = set(re.findall(r"(?m)^\s*(\w+)\s+=", given))
        yield from (f"{folder}/{name}: {key} is not given, or not used" for key in sorted(wanted ^ given))
        # Terraform's own JSON escapes more than this, and is YAML all the same.
        filled = re.sub(r"\$\{jsonencode\(.*?\)\}", lambda _: json.dumps('#!/bin/sh\n"a": b\n'), template)
        try:
            made = yaml.safe_load(re.sub(r"\$\{.*?\}", "x", filled))
            if not all({"path", "permissions", "content"} == set(file) for file in made["write_files"]):
                yield f"{folder}/{name}: a file without path, permissions or content"
        except yaml.YAMLError as error:
            yield f"{folder}/{name}: {error}"
    for name in re.findall(r'\bfile\("\$\{path\.module\}/([^"]+)"\)', text):
        if not (folder / name).is_file():
            yield f"{folder}: there is no {name}"


def main(root):
    problems = []
    modules = {folder: load(folder) for folder in [root, *(p for p in root.iterdir() if list(p.glob('*.tf')))]}
    for folder, (blocks, text) in modules.items():
        declared = names(blocks, "variable")
        used = set(re.findall(r"\bvar\.(\w+)", text))
        problems += [f"{folder}: variable {name} is not declared" for name in sorted(used - declared)]
        problems += [f"{folder}: variable {name} is not used" for name in sorted(declared - used)]
        known = names(blocks, "locals")
        problems += [f"{folder}: local {name} is not declared"
                     for name in sorted(set(re.findall(r"\blocal\.(\w+)", text)) - known)]
        there = resources(blocks)
        problems += [f"{folder}: resource {name} is not declared"
                     for name in sorted(set(re.findall(r"\b(alicloud_\w+\.\w+)", text)) - there)]
        problems += templates(folder, text)
        for block in blocks.get("module", []):
            for name, body in block.items():
                if name.startswith("__"):
                    continue
                of = folder / unquote(body["source"])
                wanted = names(modules[of][0], "variable")
                given = {key for key in body if key not in ("source", "providers") and not key.startswith("__")}
                problems += [f"{folder}: module {name}: {key} is not given" for key in sorted(wanted - given)]
                problems += [f"{folder}: module {name}: {key} is no variable of it" for key in sorted(given - wanted)]
                outputs = names(modules[of][0], "output")
                asked = set(re.findall(rf"\bmodule\.{unquote(name)}\.(\w+)", text))
                problems += [f"{folder}: module {name} has no output {key}" for key in sorted(asked - outputs)]
    if not any(resources(blocks) for blocks, _ in modules.values()):
        problems.append(f"{root}: no resources found")
    sys.exit("\n".join(problems) or 0)


main(pathlib.Path(sys.argv[1]))
