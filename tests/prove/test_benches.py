"""Every bench measures what it says, and ends with 0, whatever the figure."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

MEASURES = {
    "trigger": {"triggers_per_s", "trigger_p99_ms", "small_executions_per_s", "peak_rss_mb"},
    "plan": {"plan_1_worker_per_s", "plan_2_workers_per_s", "plan_growth", "peak_rss_mb"},
    "render": {"render_per_s", "peak_rss_mb"},
    "smtp": {"smtp_per_s", "peak_rss_mb"},
    "e2e": {"published_s", "handed_over_s", "peak_rss_mb"},
    "import": {"customers_per_s", "peak_rss_mb"},
    "start": {"ready_s", "help_s", "peak_rss_mb"},
    "optouts": {
        "import_lines_per_s",
        "import_5gb_s",
        "export_5gb_s",
        "has_optout_per_s",
        "has_optout_p99_ms",
        "bulk_check_per_s",
        "scrub_per_s",
        "guard_wave_ms",
        "scrub_rss_mb",
        "peak_rss_mb",
        "disk_ratio_loading",
        "disk_ratio_after",
        "false_positives",
        "false_negatives",
    },
    "batches": {
        "batches_per_s",
        "batch_p99_ms",
        "bulk_profiles_per_s",
        "segment_count_s",
        "segment_plan_per_s",
        "peak_rss_mb",
    },
    "hub": {
        "pull_rows_per_s",
        "pull_single_rows_per_s",
        "metrics_per_s",
        "notify_s",
        "federated_s",
        "federated_hub_rss_mb",
        "federated_service_rss_mb",
        "peak_rss_mb",
    },
    "guard": {
        "guarded_plan_2_workers_per_s",
        "guarded_smtp_per_s",
        "guard_us_per_person",
        "alert_idle_p99_ms",
        "alert_busy_p99_ms",
        "blast_slowdown",
        "transactional_p99_ms",
        "optout_to_last_handover_p99_s",
        "stop_to_last_handover_worst_s",
        "peak_rss_mb",
    },
}
LIMITS = {"trigger": ["--seconds", "4"], "optouts": ["--lines", "100000"]}
PEOPLE = {"plan": 20_000, "guard": 20_000}


@pytest.mark.parametrize("bench", MEASURES)
def test_a_bench_measures_what_it_says(bench: str):
    command = [sys.executable, "-m", "stentor", "bench", bench, "--json"]
    limits = LIMITS.get(bench, ["--people", str(PEOPLE.get(bench, 2_000))])

    done = subprocess.run([*command, *limits], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2_000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["bench"], set(told["results"])) == (bench, MEASURES[bench])
    # Of a hundred thousand lines asking costs a wave less than its medians differ.
    assert all(measure["value"] >= 0 for name, measure in told["results"].items() if name != "guard_wave_ms")
