"""Holds the manifests, the configurations and README.md against each other: check.py FOLDER

Every Secret that a manifest mounts is made by a command of README.md, with every key that a configuration wants of it; no configuration has a
password itself; nothing that is scaled by itself says how many it is; every manifest is in the kustomization; the day's reference data is on
a disk that it can be changed on."""

import pathlib
import re
import sys
import tomllib

import yaml


def reference_data(name, config, one):
    """What is wrong with where `checks.securities` lies: in a ConfigMap a change of it begins every pod anew, and a market does not fit; in
    memory it is gone with the pod."""
    path = tomllib.loads(config).get("checks", {}).get("securities")
    if path is None:
        return
    pod = one["spec"]["template"]["spec"]
    disks = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
    disks |= {volume["name"] for volume in pod["volumes"] if volume.get("emptyDir", {"medium": "Memory"}).get("medium") != "Memory"}
    for container in [*pod["initContainers"], *pod["containers"]]:
        if not any(path.startswith(mount["mountPath"] + "/") and mount["name"] in disks for mount in container["volumeMounts"]):
            yield f"{name}.toml: checks.securities is on no disk of {container['name']}: {path}"


def main(folder):
    problems = []
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "adapter-rules.yaml"}
    problems += [f"kustomization.yaml: {name} and the folder differ" for name in there ^ set(kustomization["resources"])]
    problems += [f"kustomization.yaml: {file} is data of a day" for made in kustomization["configMapGenerator"]
                 for file in made["files"] if file.endswith(".csv")]
    manifests = [one for name in sorted(there) for one in yaml.safe_load_all((folder / name).read_text())]

    readme = (folder / "README.md").read_text().replace("\\\n", " ")
    made = {name: set(re.findall(r"--from-file=([\w.-]+)=", rest))
            for name, rest in re.findall(r"create secret generic (\S+)(.*)", readme)}
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in manifests if one["kind"] == "HorizontalPodAutoscaler"}
    for one in manifests:
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        name = one["metadata"]["name"]
        if name in scaled and "replicas" in one["spec"]:
            problems.append(f"{name}: has `replicas` and is scaled")
        pod = one["spec"]["template"]["spec"]
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        problems += [f"README.md: does not make the Secret {secret}" for secret in sorted(secrets - set(made))]
        config = (folder / f"config/{name}.toml").read_text()
        lines = "\n".join(line for line in config.splitlines() if not line.startswith("#"))
        problems += reference_data(name, config, one)
        given = set(re.findall(r" (\w+)=", " ".join(pod["initContainers"][0]["command"])))
        wanted = set(re.findall(r"@([\w.-]+)@", lines)) - given
        problems += [f"{name}.toml: @{key}@ is no key of {name}-passwords in README.md" for key in sorted(wanted - made.get(f"{name}-passwords", set()))]
        mounted = set(re.findall(r'"/etc/tongdao-certs/([\w.-]+)"', lines))
        problems += [f"{name}.toml: {key} is no key of {name}-certificates in README.md" for key in sorted(mounted - made.get(f"{name}-certificates", set()))]
        problems += [f"{name}.toml: has a password itself: {line}" for line in re.findall(r"(?m)^password = .*$", lines) if "@" not in line]
    if len(made) < 4:
        problems.append("README.md: found too few Secrets to be right")
    sys.exit("\n".join(problems) or 0)


main(pathlib.Path(sys.argv[1]))
