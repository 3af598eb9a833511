#!/usr/bin/env python3
"""Runs the `run:` steps of .github/workflows/placements.yml as they are written, in a scratch clone.

Usage: steps.py APPORTION    (the built program; the workflow's `install` input puts it on the PATH)

Green with what is committed, red after an expectation is edited; what the steps leave is checked.
Needs: git, bash, PyYAML.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXPECTATIONS = """\
version: 1
cases:
  - name: two cards
    model: mixtral-8x7b
    quantization: nf4-dq
    machine: 2x15.60GiB
    expect: {status: optimal, objectives: {traffic: 1}}
"""


def value(text: str, inputs: dict[str, str]) -> str:
    """`${{ inputs.NAME || 'DEFAULT' }}` as GitHub would fill it in."""

    def fill(match: re.Match[str]) -> str:
        return inputs.get(match[1]) or match[2]

    filled = re.sub(r"\$\{\{ inputs\.(\w+) \|\| '([^']*)' \}\}", fill, text)
    assert "${{" not in filled, filled
    return filled


def run(folder: pathlib.Path, program: str) -> int:
    """All steps in order; the first status that is not 0, as a job has it."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/placements.yml").read_text())
    job = workflow["jobs"]["placements"]
    assert job["defaults"]["run"]["shell"] == "bash"
    bin_folder = folder / ".bin"
    inputs = {
        "expectations": "expectations.yaml",
        "install": f'mkdir -p "{bin_folder}" && cp "{program}" "{bin_folder}/apportion"',
    }
    env = dict(os.environ)
    env.update({key: value(text, inputs) for key, text in job["env"].items()})
    env["PATH"] = f"{bin_folder}{os.pathsep}{env['PATH']}"
    env["GITHUB_STEP_SUMMARY"] = str(folder / ".summary.md")
    failed = 0
    for step in job["steps"]:
        if "run" not in step or (failed and step.get("if") != "always()"):
            continue
        script = folder / ".step.sh"
        script.write_text(step["run"])
        # What `shell: bash` stands for.
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
        print(f"--- {step['name']}: {done.returncode}\n{done.stdout}{done.stderr}", end="")
        failed = failed or done.returncode
    return failed


def main() -> None:
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        origin, clone = pathlib.Path(name, "origin"), pathlib.Path(name, "clone")
        origin.mkdir()
        (origin / "expectations.yaml").write_text(EXPECTATIONS)
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run([*git, "init", "-q"], cwd=origin, check=True)
        subprocess.run([*git, "add", "."], cwd=origin, check=True)
        subprocess.run([*git, "commit", "-qm", "expectations"], cwd=origin, check=True)
        subprocess.run(["git", "clone", "-q", str(origin), str(clone)], check=True)
        assert run(clone, program) == 0
        assert 'failures="0"' in (clone / "placements.xml").read_text()
        assert "PASS: 1 of 1 case holds" in (clone / ".summary.md").read_text()

        text = EXPECTATIONS.replace("traffic: 1", "traffic: 0")
        (clone / "expectations.yaml").write_text(text)
        (clone / ".summary.md").unlink()
        assert run(clone, program) == 1
        assert 'failures="1"' in (clone / "placements.xml").read_text()
        assert "traffic: expected 0, is 1" in (clone / ".summary.md").read_text()
        shutil.rmtree(clone)
    print("the steps are green and red as they should be")


if __name__ == "__main__":
    main()
