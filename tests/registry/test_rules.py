"""Policies as they are written: what is accepted, and how each mistake is told."""

import base64
import json

import pytest
from registry_shop import make_promotion

from mlflow_ext.errors import PolicyError, ProjectFileError
from mlflow_ext.registry.rules import (
    BUILT_IN,
    EVIDENCE,
    OPEN,
    dump_policy,
    members,
    milliseconds,
    moment_ms,
    parse_policy,
    policy_digest,
    policy_of,
    read_policy,
    stage_policy,
)

KEY = base64.b64encode(bytes(range(32))).decode()
WRITTEN = f"""\
name: careful
stages:
  Staging:
    alias: challenger
    comes_from: [None, archived]
  uat:
    alias: uat
    is_exclusive: false
  production:
    alias: champion
    comes_from: [uat]
    gates:
      - {{gate: metrics, trust: attested, max_age: 7d, minimum: {{roc_auc: 0.7}}}}
    min_passed: 2
    approvals: {{count: 2, groups: [release]}}
    min_time: 1d
    freeze:
      - {{starts: 0 17 * * FRI, lasts: 63h, timezone: Europe/Berlin, reason: weekend}}
    force: {{groups: [duty]}}
groups:
  release: [ann, bob]
  duty: [eve]
keys:
  - public_key: {KEY}
    owner: ci
    expires: 2027-01-01
owners: [duty]
"""
MISTAKES = {
    "unknown key": ("min_time: 1d", "min_tiem: 1d", "rename it to 'min_time'"),
    "unknown key of an optional part": ("{count: 2,", "{cuont: 2,", "rename it to 'count'"),
    "unknown key in a list": ("owner: ci", "ownr: ci", "rename it to 'owner'"),
    "no duration": ("min_time: 1d", "min_time: 1 day", "pattern"),
    "no time at all": ("min_time: 1d", "min_time: 0d", "pattern"),
    "unknown trust": ("trust: attested", "trust: signed", "'claimed', 'attested' or 'recomputed'"),
    "text for a number": ("min_passed: 2", "min_passed: two", "valid integer"),
    "no number": ("roc_auc: 0.7", "roc_auc: .nan", "finite number"),
    "nobody need approve": ("count: 2", "count: 0", "greater than or equal to 1"),
    "shared alias": ("alias: challenger", "alias: CHAMPION", "two stages share one alias"),
    "no alias for a stage of one's own": ("alias: uat", "alias: null", "an 'alias:'"),
    "reserved alias": ("alias: uat", "alias: V12", "does latest and v12"),
    "another reserved alias": ("alias: uat", "alias: Latest", "does latest and v12"),
    "alias with a space": ("alias: uat", "alias: u at", "pattern"),
    "unknown stage": ("[uat]", "[uta]", "not the stage 'uta'; did you mean 'uat'?"),
    "the same stage twice": ("  uat:\n", "  PRODUCTION:\n", "each stage once"),
    "the same key twice": ("min_passed: 2", "min_time: 1h", "each key once"),
    "unknown group": ("[release]}", "[relaese]}", "did you mean 'release'?"),
    "unknown group that may force": ("{groups: [duty]}", "{groups: [none]}", "one of duty, rel"),
    "unknown owners": ("owners: [duty]", "owners: [duti]", "did you mean 'duty'?"),
    "cron with a bad field": ("0 17 * * FRI", "0 25 * * FRI", "five fields"),
    "cron with six fields": ("0 17 * * FRI", "0 0 17 * * FRI", "five fields"),
    "cron that never comes": ("0 17 * * FRI", "0 17 31 2 *", "five fields"),
    "unknown time zone": ("Europe/Berlin", "Europe/Berln", "an IANA time zone"),
    "a path for a time zone": ("Europe/Berlin", "../localtime", "an IANA time zone"),
    "short key": (KEY, KEY[:-8], "32 bytes"),
    "no base64": (KEY, "a" + KEY[1:-1] + "!", "32 bytes"),
    "no date": ("2027-01-01", "next year", "an ISO date"),
    "empty": (WRITTEN, "", "keys and values"),
    "a list": (WRITTEN, "[]", "an object"),
}


def write(tmp_path, text):
    file = tmp_path / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_policy_is_read_into_frozen_values(tmp_path):
    policy = read_policy(write(tmp_path, WRITTEN))
    production = policy.stages["Production"]
    assert production.gates[0].minimum == {"roc_auc": 0.7}
    assert production.freeze[0].timezone == "Europe/Berlin"
    assert policy.keys[0].expires == "2027-01-01"
    with pytest.raises(AttributeError):
        policy.name = "other"


def test_the_stages_of_mlflow_are_spelled_as_mlflow_does(tmp_path):
    policy = read_policy(write(tmp_path, WRITTEN))
    assert list(policy.stages) == ["Staging", "uat", "Production"]
    assert policy.stages["Staging"].comes_from == ("None", "Archived")
    assert stage_policy(policy, "PRODUCTION") is policy.stages["Production"]
    assert stage_policy(policy, "UAT") is None


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_error_with_file_line_and_mend(tmp_path, old, new, expected):
    assert old in WRITTEN
    file = write(tmp_path, WRITTEN.replace(old, new, 1))
    with pytest.raises(ProjectFileError) as caught:
        read_policy(file)
    assert expected in str(caught.value)
    assert f"{file}:{caught.value.line}:" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("min_time: 1d", "min_tiem: 1d", 16),
        ("[release]}", "[relaese]}", 15),
        ("alias: challenger", "alias: CHAMPION", 10),
        ("Europe/Berlin", "Europe/Berln", 18),
        ("owners: [duty]", "owners: [duti]", 27),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, old, new, line):
    with pytest.raises(ProjectFileError) as caught:
        read_policy(write(tmp_path, WRITTEN.replace(old, new)))
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "p", "stags": {}}, "unknown key 'stags'"),
        ({"stages": {}}, "missing key 'name'"),
        ({"name": "p", "stages": {"uat": {}}}, "'stages.uat'"),
        ({"name": "p", "stages": {"x": {"alias": "a"}, "y": {"alias": "A"}}}, "share one alias"),
        (None, "an object"),
    ],
)
def test_values_that_are_no_policy_are_told_without_a_line(values, words):
    with pytest.raises(PolicyError, match=words):
        parse_policy(values)


def test_a_policy_survives_its_values_and_their_json(tmp_path):
    policy = read_policy(write(tmp_path, WRITTEN))
    for one in (policy, *BUILT_IN.values(), policy_of(make_promotion())):
        assert parse_policy(json.loads(json.dumps(dump_policy(one)))) == one


def test_equal_policies_have_one_digest_and_others_another(tmp_path):
    policy = read_policy(write(tmp_path, WRITTEN))
    turned = json.dumps(dump_policy(policy), sort_keys=True)
    assert policy_digest(parse_policy(json.loads(turned))) == policy_digest(policy)
    changed = read_policy(write(tmp_path, WRITTEN.replace("count: 2", "count: 3")))
    digests = {policy_digest(one) for one in (policy, changed, OPEN, EVIDENCE)}
    assert len(digests) == 4


def test_the_digest_of_the_built_in_policies_stays_what_ledgers_hold():
    assert policy_digest(OPEN).startswith("8f4dbd7268e27743")
    assert policy_digest(EVIDENCE).startswith("81c6fd71ff306cfd")


def test_members_of_several_groups_are_taken_together(tmp_path):
    policy = read_policy(write(tmp_path, WRITTEN))
    assert members(policy, ["release", "duty"]) == {"ann", "bob", "eve"}
    assert members(policy, []) == members(policy, ["nobody"]) == frozenset()


@pytest.mark.parametrize(
    ("duration", "expected"), [("1s", 1_000), ("2m", 120_000), ("3h", 10_800_000)]
)
def test_a_duration_is_counted_in_milliseconds(duration, expected):
    assert milliseconds(duration) == expected


def test_a_moment_without_a_zone_is_in_utc():
    assert moment_ms("1970-01-02T01:00:00+01:00") == moment_ms("1970-01-02") == 86_400_000
