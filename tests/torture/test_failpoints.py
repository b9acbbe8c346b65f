"""Failpoints: armed by a script, counted, and nothing at all when unarmed."""

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import TypeAlias

import pytest

from documents import ROOT
from stentor import failpoints
from stentor.testing.torture.sweep import failpoints as names

SOURCE = ROOT / "src" / "stentor"

WITHOUT_A_BOUNDARY = {
    "It configures: nobody is written to by it, and whoever hears no answer says it again.": (
        "accounts/invitations.py",
        "accounts/joining.py",
        "accounts/second_factors.py",
        "accounts/service.py",
        "accounts/sessions.py",
        "accounts/sign_in.py",
        "accounts/test_recipients.py",
        "accounts/users.py",
        "campaigns/catalogue_shares.py",
        "campaigns/generators.py",
        "campaigns/service.py",
        "campaigns/templates.py",
        "audience/imports.py: stop",
        "audience/imports.py: cancel",
        "audience/tags.py",
        "audience/topics.py",
        "audience/segments/service.py",
        "channels/service.py: create",
        "channels/service.py: update",
        "channels/service.py: delete",
        "channels/partners/channels.py",
        "channels/partners/clients.py",
        "channels/partners/content.py",
        "integrations/access.py",
        "integrations/attributes.py",
        "integrations/connector/service.py",
        "integrations/numbers.py",
        "integrations/promotions.py",
        "channels/sandbox/inbox.py",
        "integrations/listeners/service.py: delete",
        "integrations/listeners/service.py: rotate_signing_secret",
        "integrations/listeners/service.py: unregister",
        "integrations/listeners/service.py: update",
        "optouts/lists.py",
        "triggers/batches/service.py: cancel",
        "triggers/schedules/service.py",
        "triggers/sender_tests.py",
        "triggers/service.py: _open_bucket",
    ),
    "It clears up or keeps up, and finds again what it did not commit.": (
        "accounts/attempts.py",
        "accounts/letters.py",
        "audience/past.py: forget",
        "backups/revocations.py: _keep_some",
        "backups/revocations.py: _keep_some_of_hub",
        "db/last_uses.py: flush",
        "channels/sandbox/pruning.py",
        "deliver/partitions.py: giving_way",
        "executions/casting.py: _give_up",
        "executions/tries.py: missed",
        "executions/provider_events.py: forget",
        "executions/service.py: sweep_expired",
        "executions/steps/starting.py: end_over",
        "guard/contacts.py: forget",
        "guard/store.py: forget_claims",
        "optouts/jobs/clearing.py: _clear",
        "triggers/events.py: forget",
        "triggers/schedules/keeping.py: reckon",
    ),
    "It keeps or leaves a lease, which is nobody's when its time is over.": (
        "executions/pipeline.py: keep_leases",
        "queue/leases.py",
    ),
    "It forgets what is old, and comes back for the rest.": (
        "accounts/audit.py: forget",
        "accounts/limits.py: forget",
        "answers/service.py: forget",
        "audience/customer_events.py: drop_old_events",
        "integrations/metrics/telling.py: forget",
        "integrations/connector/runs.py: forget",
        "integrations/marks.py: forget_marks",
        "integrations/clearance/service.py: forget_clearances",
        "integrations/listeners/delivery.py: old",
        "integrations/listeners/delivery.py: surplus",
        "integrations/listeners/telling.py: forget",
        "campaigns/test_content.py: forget_test_contents",
        "deliver/hour_buckets.py: forget_hour_buckets",
    ),
    "It waits for others, and writes nothing.": ("integrations/clearance/service.py: _close",),
    "It reads at one moment.": (
        "integrations/pulls/paging.py: _piece",
        "integrations/pulls/service.py: lease",
        "integrations/pulls/service.py: rows",
        "integrations/pulls/tracing.py: trace",
        "integrations/pulls/watching.py: _ask",
        "accounts/audit.py: export",
        "executions/ending.py: _count",
        "executions/service.py: export_recipients",
        "executions/service.py: foretell",
        "executions/service.py: some_recipients",
        "executions/timeline.py: page",
        "backups/taking.py",
        "erasures/exporting.py",
        "optouts/exporting/reading.py",
        "report/variants.py: count_variants",
    ),
    "It works on what nobody uses yet.": (
        "accounts/installation.py: check_installation",
        "backups/restoring.py",
        "cli/bench/federation.py",
        "cli/demo/run.py",
        "db/migrate.py",
    ),
    "It is a savepoint of a transaction that has its boundary.": (
        "executions/casting.py: _try",
        "executions/steps/following.py: _look",
    ),
    "It is what transactions are made of.": ("db/pool.py",),
}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("script", ["wave", "wave=die@1", "wave=delay@1", "wave=delay:soon@1", "wave=kill@often"])
def test_a_script_that_cannot_be_read_is_refused(script: str):
    with pytest.raises(ValueError, match=r"wave|often|soon"):
        failpoints.arm(script)


def test_a_place_that_is_not_armed_does_nothing():
    failpoints.arm("")

    failpoints.failpoint("wave.after_commit")

    assert failpoints.hits() == {}


def test_the_environment_kills_a_process_at_the_hit_that_it_names():
    program = "from stentor.failpoints import failpoint\nfor n in range(3): print(n, flush=True); failpoint('here')"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"STENTOR_FAILPOINTS": "elsewhere=kill@1,here=kill@2", "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        check=False,
    )

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"0", b"1"]


def test_every_theme_has_its_boundaries():
    themes = {name.partition(".")[0] for name in names()}

    assert {"trigger", "resolve", "plan", "claim", "recover", "wave", "hand_over", "settle", "end"} <= themes
    assert {"start", "schedule", "cast", "campaign_run", "smtp", "people", "import_end", "provider_events"} <= themes
    assert {
        "unstarted",
        "answer",
        "order",
        "sender_pause",
        "sender_resume",
        "import_begin",
        "import_take_over",
    } <= themes
    assert all(name.replace("before", "after") in names() for name in names() if "before_commit" in name)


def test_every_transaction_has_its_boundary_or_a_reason_to_have_none():
    without = {place for place, block in transactions() if not has_boundary(block)}
    excused = {place for places in WITHOUT_A_BOUNDARY.values() for place in places}

    assert {place for place in without if not {place, place.partition(":")[0]} & excused} == set()
    assert {place for place in excused if ": " in place} <= without


def transactions() -> Iterator[tuple[str, ast.AsyncWith]]:
    """Each block that is a transaction, by `file: function`; of functions in functions the inner one's name."""
    for file in sorted(SOURCE.rglob("*.py")):
        if SOURCE / "testing" in file.parents:
            continue
        names_of: dict[ast.AST, str] = {}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.name if isinstance(node, Function) else names_of.get(node, "")
            names_of.update(dict.fromkeys(ast.iter_child_nodes(node), name))
            if isinstance(node, ast.AsyncWith) and any(is_transaction(item.context_expr) for item in node.items):
                yield f"{file.relative_to(SOURCE).as_posix()}: {name}", node


def is_transaction(opened: ast.expr) -> bool:
    function = opened.func if isinstance(opened, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr in {"transaction", "as_one"}


def has_boundary(block: ast.AsyncWith) -> bool:
    called = (node.func for node in ast.walk(block) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Name) and function.id == "failpoint" for function in called)
