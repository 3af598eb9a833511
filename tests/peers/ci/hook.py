#!/usr/bin/env python3
"""Runs the hook of .pre-commit-hooks.yaml by pre-commit itself, in a scratch repository.

Usage: hook.py APPORTION    (the built program, put on the PATH)

Green with a right expectation, red with an edited one, not run where no YAML or JSON is staged.
Needs: git, pre-commit (PyPI) beside this Python.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

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


def main() -> None:
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "bin").mkdir()
        shutil.copy(program, folder / "bin/apportion")
        env = dict(os.environ)
        env["PATH"] = f"{folder / 'bin'}{os.pathsep}{pathlib.Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        env["PRE_COMMIT_HOME"] = str(folder / "cache")
        for key in ("GIT_AUTHOR", "GIT_COMMITTER"):
            env[f"{key}_NAME"], env[f"{key}_EMAIL"] = "x", "x@example.org"
        # The hook as it stands, in a repository of its own: pre-commit fetches what is committed.
        hooks, user = folder / "hooks", folder / "user"
        for repository in (hooks, user):
            repository.mkdir()
            subprocess.run(["git", "init", "-q"], cwd=repository, env=env, check=True)
        shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
        subprocess.run(["git", "add", "."], cwd=hooks, env=env, check=True)
        subprocess.run(["git", "commit", "-qm", "hooks"], cwd=hooks, env=env, check=True)
        words = ["git", "rev-parse", "HEAD"]
        rev = subprocess.run(words, cwd=hooks, env=env, check=True, capture_output=True, text=True)
        config = f"repos:\n  - repo: {hooks}\n    rev: {rev.stdout.strip()}\n    hooks: [{{id: apportion-ci}}]\n"
        (user / ".pre-commit-config.yaml").write_text(config)
        (user / "expectations.yaml").write_text(EXPECTATIONS)
        subprocess.run(["pre-commit", "install"], cwd=user, env=env, check=True)

        def commit(message: str) -> tuple[int, str]:
            subprocess.run(["git", "add", "."], cwd=user, env=env, check=True)
            words = ["git", "commit", "-m", message]
            done = subprocess.run(words, cwd=user, env=env, capture_output=True, text=True)
            print(f"--- {message}: {done.returncode}\n{done.stdout}{done.stderr}", end="")
            return done.returncode, done.stdout + done.stderr

        status, text = commit("right")
        assert status == 0 and "Passed" in text
        (user / "expectations.yaml").write_text(EXPECTATIONS.replace("traffic: 1", "traffic: 0"))
        status, text = commit("wrong")
        assert status == 1 and "traffic: expected 0, is 1" in text
        subprocess.run(["git", "checkout", "-q", "HEAD", "--", "."], cwd=user, env=env, check=True)
        (user / "notes.txt").write_text("nothing to do with it\n")
        status, text = commit("notes")
        assert status == 0 and "Skipped" in text
    print("the hook is green and red as it should be")


if __name__ == "__main__":
    main()
