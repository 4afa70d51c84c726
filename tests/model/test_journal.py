"""The journal on a real MLflow store: entries in order, changes that come second, runs that are killed, aliases moved by
hand. Faults are put where photoqual calls MLflow: before a call does anything, or after it has done all.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from photoqual.errors import ChampionMoved, ModelError, RegistryError
from photoqual.layout import Layout
from photoqual.registry import approval, evidence, journal, promote, rollback
from photoqual.registry import promote as promoting
from photoqual.registry.history import events, history, wear
from photoqual.registry.journal import Entry, validated
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected
from tests.model.conftest import MakeParams
from tests.model.registered import BLUE, GREEN, RED, aliases

Add = Callable[..., str]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PATIENCE_SECONDS", 0.1)


def change(number: int, after: int, event: str = journal.PROMOTED) -> Entry:
    return Entry(number, event, "", "", "1", "1", None, "", after=after)


@pytest.mark.parametrize(
    ("written", "valid"),
    [
        ([], []),
        ([change(1, 0), change(2, 1)], [1, 2]),
        ([change(1, 0), change(2, 0), change(3, 0)], [1]),
        ([change(1, 0), change(2, 0), change(3, 1), change(4, 2)], [1, 3]),
        ([change(1, 0), change(2, 0, journal.JUDGED), change(3, 1, journal.ROLLED_BACK)], [1, 2, 3]),
        ([change(2, 1), change(3, 0)], [3]),
    ],
)
def test_of_changes_that_build_on_the_same_entry_the_first_is_valid(written: list[Entry], valid: list[int]) -> None:
    assert [entry.number for entry in validated(written) if entry.valid] == valid


def test_two_promotions_at_once_are_not_judged_against_the_same_champion(
    add: Add, project: Layout, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While version 3 is being judged against version 1, another run promotes version 2."""
    params = make_params()
    add(GREEN, bias=-5.9)
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    add(BLUE)
    add(RED)
    gather, against = promoting.gather, []

    def gathered_while_another_run_promotes(*arguments: Any) -> Any:
        against.append(str(arguments[3].version))
        if len(against) == 1:
            monkeypatch.setattr(promoting, "gather", gather)
            other = promote.promote(project, params, version="2")
            assert other["decision"] == "promoted"
            monkeypatch.setattr(promoting, "gather", gathered_while_another_run_promotes)
        return gather(*arguments)

    monkeypatch.setattr(promoting, "gather", gathered_while_another_run_promotes)
    verdict = promote.promote(project, params, version="3")
    assert (verdict["decision"], verdict["against"]) == ("promoted", "2")
    assert against == ["1", "2"]
    assert aliases(project) == {"challenger": "3", "champion": "3", "previous_champion": "2"}
    told = [(event["version"], event["facts"].get("decision")) for event in events(project.root)]
    assert ("3", "superseded") in told
    void = [event for event in events(project.root) if not event["valid"]]
    assert [(event["version"], event["replaced"]) for event in void] == [("3", "1")]


def test_a_champion_that_keeps_moving_ends_the_promotion(
    add: Add, project: Layout, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(GREEN)
    add(BLUE)
    add(RED)
    gather, turn = promoting.gather, iter("12" * 9)

    def gathered_while_a_person_moves_the_alias(*arguments: Any) -> Any:
        arguments[0]
        with connected(project.root) as client:
            head, _ = journal.settled(client)
            made = client.get_model_version(MODEL_NAME, next(turn))
            journal.change(client, journal.PROMOTED, version=made, replaced=None, head=head)
        return gather(*arguments)

    monkeypatch.setattr(promoting, "gather", gathered_while_a_person_moves_the_alias)
    with pytest.raises(ChampionMoved, match="nothing was changed"):
        promote.promote(project, make_params())
    assert aliases(project)["champion"] in "12"


def test_an_alias_moved_by_hand_is_taken_note_of(add: Add, project: Layout, make_params: MakeParams) -> None:
    add(GREEN)
    add(BLUE)
    with connected(project.root) as client:
        assert journal.settled(client) == (None, None)
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
        head, champion = journal.settled(client)
        assert (head.event, head.champion, champion.version) == ("adopted", "1", 1) or str(champion.version) == "1"
        assert journal.settled(client)[0] == head
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2")
        assert journal.settled(client)[0].replaced == "1"
        client.delete_registered_model_alias(MODEL_NAME, CHAMPION)
        assert journal.settled(client)[1] is None
    assert [event["champion"] for event in events(project.root)] == [None, "2", "1"]
    assert promote.promote(project, make_params())["against"] is None


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int, when: str) -> Iterator[list[str]]:
    """Let call number `at` of the MLflow client fail `before` or `after` it works; yield the names of the calls made."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    made: list[str] = []

    def wrapped(name: str, method: Any) -> Any:
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            if nested:
                return method(self, *arguments, **options)
            made.append(name)
            number = len(made)
            if number == at and when == "before":
                raise MlflowException("the registry is down")
            nested.append(name)
            try:
                return method(self, *arguments, **options)
            finally:
                nested.pop()
                if number == at:
                    raise MlflowException("the registry is down")

        return call

    nested: list[str] = []
    with monkeypatch.context() as patched:
        for name in (
            "search_model_versions",
            "get_model_version",
            "get_model_version_by_alias",
            "create_registered_model",
            "create_model_version",
            "set_model_version_tag",
            "set_registered_model_alias",
            "set_registered_model_tag",
            "log_dict",
            "log_text",
        ):
            patched.setattr(MlflowClient, name, wrapped(name, getattr(MlflowClient, name)))
        yield made


@pytest.mark.timeout(1200)
def test_mlflow_down_at_any_call_leaves_the_registry_as_before_or_as_after(
    add: Add, project: Layout, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every call of a promotion, before and after it works: the champion is the old one or the new one, with the
    previous one beside it, and running it again finishes the job.
    """
    params = make_params()
    add(BLUE)
    promote.promote(project, params)
    add(RED)
    before, store = aliases(project), project.root / "mlflow.db"
    start = store.read_bytes()
    with failing(monkeypatch, 0, "never") as calls:
        assert promote.promote(project, params)["decision"] == "promoted"
    after, tags = aliases(project), history(project.root)[0]
    assert len(calls) > 15
    measured = evidence.observe  # once is enough: what is tested are the calls of MLflow
    seen: list[Any] = []

    def observed_once(*arguments: Any) -> Any:
        if not seen:
            seen.append(measured(*arguments))
        return seen[0]

    monkeypatch.setattr(evidence, "observe", observed_once)
    for at in range(1, len(calls) + 1):
        for when in ("before", "after"):
            store.write_bytes(start)
            with failing(monkeypatch, at, when), pytest.raises(RegistryError, match="down"):
                promote.promote(project, params)
            assert {name: version for name, version in aliases(project).items() if name != "previous_champion"} in (
                {name: version for name, version in state.items() if name != "previous_champion"}
                for state in (before, after)
            ), (at, when)
            again = promote.promote(project, params)
            assert again["decision"] in ("promoted", "already_champion"), (at, when)
            assert aliases(project) == after, (at, when)
            newest = history(project.root)[0]
            assert (newest["decision"], newest["against"]) == ("promoted", "1"), (at, when)
            assert newest["numbers"] == tags["numbers"], (at, when)
            changes = [event for event in events(project.root) if event["event"] == "promoted"]
            assert [event["version"] for event in changes] == ["2", "1"], (at, when)
            assert [entry["looks"] for entry in wear(project.root)] == [2], (at, when)


def test_rollback_down_at_any_call(
    add: Add, project: Layout, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    for weights in (BLUE, RED):
        add(weights)
        promote.promote(project, make_params())
    store = project.root / "mlflow.db"
    start = store.read_bytes()
    with failing(monkeypatch, 0, "never") as calls:
        rollback.rollback(project, reason="to see")
    for at in range(1, len(calls) + 1):
        store.write_bytes(start)
        with failing(monkeypatch, at, "after"), pytest.raises(RegistryError, match="down"):
            rollback.rollback(project, reason="to see")
        with connected(project.root) as client:
            head, champion = journal.settled(client)
        found = aliases(project)
        assert str(champion.version) == head.champion == found["champion"]
        if head.event == journal.ROLLED_BACK:
            assert (found["champion"], found["previous_champion"]) == ("1", "2")
        else:
            assert (found["champion"], found["previous_champion"]) == ("2", "1")
        rollback.rollback(project, reason="to see")
        assert aliases(project) == {"challenger": "2", "champion": "1", "previous_champion": "2"}, at
        tagged = {entry["version"]: entry["rollback"] for entry in history(project.root)}
        assert "rolled back to version 1" in tagged["2"]
        assert "champion again" in tagged["1"]
        assert [event["event"] for event in events(project.root)].count("rolled back") == 1, at


def test_every_pair_counts_once_and_tightens_the_next_verdict(
    add: Add, project: Layout, make_params: MakeParams
) -> None:
    params = make_params()
    add(BLUE)
    assert promote.promote(project, params, dry_run=True)["numbers"]["look"] == 1
    assert promote.promote(project, params)["numbers"]["look"] == 1
    add(GREEN)
    refused = promote.promote(project, params)
    assert refused["numbers"]["look"] == 2
    assert refused["numbers"]["level"] == pytest.approx(0.05 / 6)
    assert promote.promote(project, params)["numbers"] == refused["numbers"]
    add(RED)
    assert promote.promote(project, params)["numbers"]["look"] == 3
    (worn,) = wear(project.root)
    assert (worn["looks"], worn["left"]) == (3, pytest.approx(0.25))
    with connected(project.root) as client:
        tags = client.get_registered_model(MODEL_NAME).tags
    assert promote.promote(project, params, version="2")["numbers"]["alpha_left"] == pytest.approx(1 / 5)
    assert tags[f"frozen_test.{worn['frozen_test_digest'][:12]}"].startswith("3 pair(s) judged on it, 25% of its")


def test_modes(add: Add, project: Layout, make_params: MakeParams) -> None:
    add(BLUE)
    assert promote.promote(project, make_params(**{"promote.mode": "off"}))["decision"] == "off"
    assert events(project.root) == []
    dry = promote.promote(project, make_params(**{"promote.mode": "dry_run"}))
    assert (dry["decision"], dry["dry_run"]) == ("promoted", True)
    assert aliases(project) == {"challenger": "1"}


def test_approval(add: Add, project: Layout, make_params: MakeParams) -> None:
    params = make_params(**{"promote.require_approval": True})
    add(BLUE)
    with pytest.raises(RegistryError, match="does not await approval"):
        approval.approve(project, params, version="1", reason="fine")
    assert promote.promote(project, params)["decision"] == "awaiting_approval"
    assert aliases(project) == {"challenger": "1"}
    done = approval.approve(project, params, version="1", reason="looked at the report", by="ada")
    assert done["decision"] == "promoted"
    assert done["numbers"]["look"] == 1
    newest = next(event for event in events(project.root) if event["event"] == "promoted")
    assert newest["by"] == "ada"
    assert approval.approve(project, params, version="1", reason="again", by="ada")["decision"] == "already_champion"
    with pytest.raises(RegistryError, match="is the champion"):
        approval.reject(project, version="1", reason="too late")
    add(RED)
    assert promote.promote(project, params)["decision"] == "awaiting_approval"
    assert approval.reject(project, version="2", reason="too slow", by="bob")["decision"] == "rejected"
    assert aliases(project)["champion"] == "1"
    assert approval.reject(project, version="2", reason="said again", by="bob")["decision"] == "rejected"
    kept = history(project.root)[0]
    assert kept["decision"] == "rejected"
    assert "bob: too slow" in kept["reason"]
    (answer,) = (event for event in events(project.root) if event["event"] == "rejected")
    assert (answer["by"], answer["reason"], answer["version"]) == ("bob", "too slow", "2")
    with pytest.raises(RegistryError, match="was rejected by bob"):
        approval.approve(project, params, version="2", reason="after all")
    assert promote.promote(project, params)["decision"] == "awaiting_approval"
    assert approval.approve(project, params, version="2", reason="after all", by="ada")["decision"] == "promoted"


def test_an_approval_holds_for_the_pair_that_was_judged(add: Add, project: Layout, make_params: MakeParams) -> None:
    params = make_params(**{"promote.require_approval": True})
    add(GREEN)
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    add(BLUE)
    add(RED)
    assert promote.promote(project, params)["decision"] == "awaiting_approval"
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2")
    again = approval.approve(project, params, version="3", reason="fine", by="ada")
    assert (again["decision"], again["against"]) == ("awaiting_approval", "2")
    assert aliases(project)["champion"] == "2"
    assert approval.approve(project, params, version="3", reason="still fine", by="ada")["decision"] == "promoted"


def test_an_approval_outlives_a_run_that_was_killed(
    add: Add, project: Layout, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every call of an approval, after it works: running it again promotes, in the name of who approved."""
    params = make_params(**{"promote.require_approval": True})
    add(BLUE)
    promote.promote(project, params)
    approval.approve(project, params, version="1", reason="fine", by="ada")
    add(RED)
    promote.promote(project, params)
    measured, store = evidence.observe(*_observed(project, params)), project.root / "mlflow.db"
    monkeypatch.setattr(evidence, "observe", lambda *_: measured)
    start = store.read_bytes()
    with failing(monkeypatch, 0, "never") as calls:
        approval.approve(project, params, version="2", reason="looked", by="ada")
    for at in range(1, len(calls) + 1):
        store.write_bytes(start)
        with failing(monkeypatch, at, "after"), pytest.raises(RegistryError, match="down"):
            approval.approve(project, params, version="2", reason="looked", by="ada")
        again = approval.approve(project, params, version="2", reason="looked", by="ada")
        assert again["decision"] in ("promoted", "already_champion"), at
        assert aliases(project)["champion"] == "2"
        assert history(project.root)[0]["decision"] == "promoted", at
        told = [
            (event["event"], event["by"])
            for event in events(project.root)
            if event["event"] in ("approved", "promoted")
        ]
        assert told[:2] == [("promoted", "ada"), ("approved", "ada")], at
        assert len(told) == 4, at


def _observed(project: Layout, params: Any) -> tuple[Any, ...]:
    """Return what `observe` takes for the champion and the challenger of the test above."""
    from photoqual.labels.splits import read_frozen
    from photoqual.models.scorer import Scorer
    from photoqual.registry.fetch import fetch_model

    scorers = [Scorer.load(fetch_model(f"models:/photoqual/{number}", root=project.root)) for number in (1, 2)]
    return project.photos, read_frozen(project.frozen_test), scorers, params.promote.guardrails


def test_of_an_approval_and_a_rejection_the_first_counts(
    add: Add, project: Layout, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params(**{"promote.require_approval": True})
    add(BLUE)
    promote.promote(project, params)
    gather = promoting.gather

    def gathered_while_bob_rejects(*arguments: Any) -> Any:
        with pytest.raises(RegistryError, match="was approved by ada"):
            approval.reject(project, version="1", reason="no", by="bob")
        return gather(*arguments)

    monkeypatch.setattr(promoting, "gather", gathered_while_bob_rejects)
    assert approval.approve(project, params, version="1", reason="yes", by="ada")["decision"] == "promoted"


def test_a_rollback_goes_to_the_champion_that_was_replaced_and_needs_its_files(
    add: Add, project: Layout, make_params: MakeParams
) -> None:
    for weights in (BLUE, RED):
        add(weights)
        promote.promote(project, make_params())
    add(GREEN)
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "3")
    assert rollback.rollback(project, reason="green is not it")["champion"] == "2"
    assert rollback.rollback(project, reason="green is not it")["champion"] == "2"
    assert aliases(project) == {"challenger": "3", "champion": "2", "previous_champion": "3"}
    for path in (project.root / "mlartifacts").rglob("model.onnx"):
        path.unlink()
    for path in (project.root.parent / "cache").rglob("model.onnx"):
        path.unlink()
    with pytest.raises(ModelError, match="version 3, cannot be used"):
        rollback.rollback(project, reason="after all")
    assert aliases(project)["champion"] == "2"


def test_a_dry_run_is_not_taken_for_the_verdict_of_a_champion_by_hand(
    add: Add, project: Layout, make_params: MakeParams
) -> None:
    add(BLUE)
    promote.promote(project, make_params(), dry_run=True)
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    assert promote.promote(project, make_params())["decision"] == "already_champion"
    assert history(project.root)[0]["decision"] is None


def test_the_report_stays_with_every_verdict(add: Add, project: Layout, make_params: MakeParams) -> None:
    add(GREEN)
    verdict = promote.promote(project, make_params())
    assert verdict["decision"] == "refused"
    with connected(project.root) as client:
        version = client.get_model_version(MODEL_NAME, "1")
        folder = Path(client.download_artifacts(version.run_id, f"promotion/{verdict['entry']}"))
    kept = json.loads((folder / "verdict.json").read_text())
    assert kept["reason"] == verdict["reason"]
    assert [rail["name"] for rail in kept["guardrails"]]
    page = (folder / "report.html").read_text()
    assert page == (project.promotion / "report.html").read_text()
    assert "refused" in page.lower()
