"""Provenance: real repositories, a hanging git, CI variables, secrets."""

import hashlib
import os
import shlex
import stat
import subprocess
import sys

import pytest

from mlflow_ext.lineage import provenance as module
from mlflow_ext.lineage.provenance import CI_SYSTEMS, git_state, masked_command, provenance


def git(directory, *arguments):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    answer = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch):
    for system in CI_SYSTEMS:
        monkeypatch.delenv(system.marker, raising=False)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit on the branch ``trunk``; the working directory is in it."""
    git(tmp_path, "init", "--initial-branch=trunk")
    (tmp_path / "model.py").write_text("A = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=first")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_clean_tree_is_named_by_commit_and_branch(repository):
    expected = {"commit": git(repository, "rev-parse", "HEAD"), "branch": "trunk", "dirty": "false"}
    assert git_state(repository) == expected


def test_a_subdirectory_belongs_to_its_repository(repository):
    (repository / "deep" / "er").mkdir(parents=True)
    assert git_state(repository / "deep" / "er") == git_state(repository)


def test_an_edit_makes_the_tree_dirty_at_once_and_a_commit_clean_again(repository):
    first = git_state(repository)
    (repository / "model.py").write_text("A = 2\n")
    assert git_state(repository) == first | {"dirty": "true"}
    git(repository, "commit", "--all", "--message=second")
    second = git_state(repository)
    assert second["dirty"] == "false"
    assert second["commit"] != first["commit"]


def test_an_untracked_module_counts_as_dirty_but_an_ignored_file_does_not(repository):
    (repository / ".gitignore").write_text("mlflow.db\n")
    git(repository, "add", ".")
    git(repository, "commit", "--message=ignore")
    (repository / "mlflow.db").write_text("")
    assert git_state(repository)["dirty"] == "false"
    (repository / "new.py").write_text("")
    assert git_state(repository)["dirty"] == "true"


def test_a_stash_alone_does_not_make_the_tree_dirty(repository):
    git(repository, "config", "status.showStash", "true")
    (repository / "model.py").write_text("A = 2\n")
    git(repository, "stash")
    assert git_state(repository)["dirty"] == "false"


def test_a_detached_head_has_a_commit_but_no_branch(repository):
    git(repository, "checkout", "--detach")
    assert set(git_state(repository)) == {"commit", "dirty"}


def test_a_repository_without_commits_has_a_branch_but_no_commit(tmp_path):
    git(tmp_path, "init", "--initial-branch=trunk")
    assert git_state(tmp_path) == {"branch": "trunk", "dirty": "false"}


def test_outside_a_repository_nothing_is_known_about_code(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {}


def test_without_git_the_other_facts_remain(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    tags = provenance()
    assert "mlflow_ext.commit" not in tags
    assert tags["mlflow_ext.python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_hanging_git_is_given_up_once_and_not_asked_again(repository, monkeypatch):
    calls = repository / "calls"
    hanging = repository / "bin" / "git"
    hanging.parent.mkdir()
    hanging.write_text(f"#!/bin/sh\necho called >> {shlex.quote(str(calls))}\nexec sleep 60\n")
    hanging.chmod(hanging.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{hanging.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module, "GIT_TIMEOUT", 0.3)
    assert git_state(repository) == {}
    assert git_state(repository) == {}
    assert calls.read_text().splitlines() == ["called"]


def test_a_working_directory_that_is_gone_raises_nothing(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    tags = provenance()
    assert tags["mlflow_ext.host"]
    assert "mlflow_ext.lock_digest" not in tags


def test_the_lock_is_the_nearest_one_inside_the_repository(repository, monkeypatch):
    (repository / "constraints.txt").write_text("mlflow==3.17.2\n")
    (repository / "pkg").mkdir()
    monkeypatch.chdir(repository / "pkg")
    tags = provenance()
    assert tags["mlflow_ext.lock_file"] == "constraints.txt"
    assert tags["mlflow_ext.lock_digest"] == hashlib.sha256(b"mlflow==3.17.2\n").hexdigest()


def test_a_lock_above_the_repository_is_not_taken(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("other==1\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init")
    monkeypatch.chdir(inner)
    assert "mlflow_ext.lock_file" not in provenance()


CI_JOBS = [
    (
        "GitHub Actions",
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "a/b",
            "GITHUB_RUN_ID": "7",
            "GITHUB_REF_NAME": "topic",
        },
        "https://github.com/a/b/actions/runs/7",
    ),
    (
        "GitLab",
        {"GITLAB_CI": "1", "CI_JOB_URL": "https://g/j/7", "CI_COMMIT_REF_NAME": "topic"},
        "https://g/j/7",
    ),
    (
        "Jenkins",
        {"JENKINS_URL": "https://j/", "BUILD_URL": "https://j/7/", "GIT_BRANCH": "topic"},
        "https://j/7/",
    ),
    (
        "Buildkite",
        {
            "BUILDKITE": "true",
            "BUILDKITE_BUILD_URL": "https://b/7",
            "BUILDKITE_JOB_ID": "x",
            "BUILDKITE_BRANCH": "topic",
        },
        "https://b/7#x",
    ),
    (
        "Azure Pipelines",
        {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": "https://dev/o/",
            "SYSTEM_TEAMPROJECT": "p",
            "BUILD_BUILDID": "7",
            "BUILD_SOURCEBRANCHNAME": "topic",
        },
        "https://dev/o/p/_build/results?buildId=7",
    ),
]


@pytest.mark.parametrize(("name", "variables", "job"), CI_JOBS, ids=[c[0] for c in CI_JOBS])
def test_a_ci_job_names_itself_and_its_branch(name, variables, job, repository, monkeypatch):
    git(repository, "checkout", "--detach")
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    tags = provenance()
    assert (tags["mlflow_ext.ci"], tags["mlflow_ext.ci_job"]) == (name, job)
    assert tags["mlflow_ext.branch"] == "topic"


def test_every_known_ci_system_is_tested():
    assert [case[0] for case in CI_JOBS] == [system.name for system in CI_SYSTEMS]


def test_a_ci_job_without_an_address_still_names_its_system(monkeypatch):
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.delenv("CI_JOB_URL", raising=False)
    tags = provenance()
    assert tags["mlflow_ext.ci"] == "GitLab"
    assert "mlflow_ext.ci_job" not in tags


def test_outside_ci_no_job_is_named():
    assert not {"mlflow_ext.ci", "mlflow_ext.ci_job"} & set(provenance())


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--password", "hunter2"],
        ["run", "--db-password=hunter2"],
        ["run", "--api-key", "hunter2"],
        ["run", "--registry-uri", "postgresql://me:hunter2@host/db"],
        ["run", "--uri=https://me:hunter2@host"],
        ["run", "--TOKEN=a hunter2 b"],
    ],
)
def test_secrets_do_not_reach_the_command_tag(arguments):
    assert "hunter2" not in masked_command(arguments)
    assert masked_command(arguments).startswith("run ")


def test_a_very_long_command_is_cut_to_what_a_database_takes():
    assert len(masked_command(["python", "-c", "x" * 100_000])) == module.COMMAND_LENGTH


def test_it_imports_nothing_but_the_standard_library():
    code = (
        "import sys; from mlflow_ext.lineage import provenance;"
        "print({n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names)"
        " - {'__main__', 'mlflow_ext'})"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=module.Path(module.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "set()"
