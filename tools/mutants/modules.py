"""The modules that are tried, each with the tests that belong to it. A new one is a row here."""

from __future__ import annotations

_RUNTIME = "client_image/runtime"
_DOMAIN = f"{_RUNTIME}/domain"
_UNIT = "tests/unit"
_SERVER = f"{_UNIT}/server"
_CONTRACT = "tests/contract"
_LEGACY = tuple(f"{_CONTRACT}/test_legacy{name}.py" for name in ("_translation", "", "_beside"))
_ENGINE = tuple(
    f"{_UNIT}/engine/test_{name}.py"
    for name in (
        "process_one",
        "subject_run",
        "subject_record",
        "attempts",
        "departure",
        "fan_out",
        "storage",
        "sources",
    )
)

# Without what counts the work for 20,000 entries: it takes most of the time.
_MACHINES = (
    f"{_UNIT}/test_machines.py",
    f"--deselect={_UNIT}/test_machines.py::test_the_work_grows_with_the_entries_and_not_with_their_pairs",
)

# Name -> path, then test files and options of pytest.
MODULES: dict[str, tuple[str, ...]] = {
    "rollout": (
        f"{_DOMAIN}/rollout.py",
        f"{_UNIT}/test_rollout.py",
        "tests/contract/test_rollout_vectors.py",
    ),
    "selection": (f"{_DOMAIN}/selection.py", f"{_UNIT}/engine/test_selection.py", f"{_UNIT}/engine/test_targets.py"),
    "filters": (
        f"{_DOMAIN}/filters.py",
        f"{_UNIT}/engine/test_filters.py",
        f"{_UNIT}/engine/test_selection.py",
        f"{_UNIT}/engine/test_targets.py",
        "tests/contract/test_job_targets.py",
    ),
    "machines": (f"{_DOMAIN}/machines.py", *_MACHINES),
    "listed": (f"{_DOMAIN}/listed.py", f"{_UNIT}/test_listed.py", *_MACHINES),
    "guard": (
        f"{_DOMAIN}/compatibility_guard.py",
        f"{_UNIT}/test_compatibility_guard.py",
        "tests/contract/test_product_data.py",
    ),
    "pipeline": (
        f"{_DOMAIN}/pipeline.py",
        f"{_UNIT}/engine/test_pipeline.py",
        f"{_UNIT}/test_secret_parameters.py",
        f"{_UNIT}/engine/test_targets.py",
    ),
    "action_names": ("contracts/action_names.py", f"{_UNIT}/engine/test_pipeline.py", f"{_CONTRACT}/test_growth.py"),
    "names": (
        f"{_DOMAIN}/names.py",
        f"{_UNIT}/test_names.py",
        f"{_UNIT}/engine/test_selection.py",
        "tests/contract/test_bounded.py",
    ),
    "windows": (
        "contracts/windows.py",
        f"{_UNIT}/test_windows.py",
        f"{_UNIT}/test_clocks.py",
        "tests/contract/test_catalogue.py",
    ),
    "cron": ("contracts/cron.py", f"{_UNIT}/test_cron.py", f"{_UNIT}/test_schedule.py"),
    "schedule": ("contracts/schedule.py", f"{_UNIT}/test_schedule.py"),
    "shutdown": (
        f"{_RUNTIME}/actions/shutdown_endpoint.py",
        f"{_UNIT}/actions/test_decisions.py",
        f"{_UNIT}/actions/test_cases.py",
        *_MACHINES,
        "tests/contract/test_catalogue.py",
    ),
    "credentials": (f"{_RUNTIME}/adapters/ssh/credentials.py", f"{_UNIT}/test_ssh_credentials.py"),
    "ssh_client": (f"{_RUNTIME}/adapters/ssh/client.py", f"{_UNIT}/test_ssh_client.py", f"{_UNIT}/test_ssh_words.py"),
    "gates": (
        f"{_RUNTIME}/engine/gates.py",
        f"{_UNIT}/engine/test_gates.py",
        f"{_UNIT}/test_rollout.py",
        *_MACHINES,
        *_ENGINE,
    ),
    "process_one": (f"{_RUNTIME}/process_one.py", *_ENGINE),
    "terminal": (f"{_RUNTIME}/engine/terminal.py", *_ENGINE),
    "subject_record": (f"{_RUNTIME}/domain/subject_record.py", *_ENGINE),
    "access": ("server/services/tokens/access.py", f"{_SERVER}/test_access.py", f"{_SERVER}/test_tokens.py"),
    "tokens": ("server/services/tokens/lifecycle.py", f"{_SERVER}/test_tokens.py"),
    "token_list": ("server/services/tokens/listing.py", f"{_SERVER}/test_tokens.py"),
    "admission": (
        "server/services/tokens/admission.py",
        f"{_SERVER}/test_admission.py",
        f"{_SERVER}/test_access.py",
        f"{_SERVER}/test_enrolment.py",
    ),
    "enrolment": ("server/services/agents/enrolment.py", f"{_SERVER}/test_enrolment.py"),
    "auth": ("server/auth.py", f"{_SERVER}/test_auth.py", f"{_SERVER}/test_endpoints.py"),
    "config_poll": ("server/api/config_poll.py", f"{_SERVER}/test_config_poll.py"),
    "document": ("contracts/document.py", f"{_CONTRACT}/test_document.py", f"{_CONTRACT}/test_legacy.py"),
    "config": (
        "contracts/config.py",
        f"{_CONTRACT}/test_config_values.py",
        f"{_CONTRACT}/test_document.py",
        f"{_CONTRACT}/test_job_targets.py",
    ),
    "legacy": ("contracts/legacy.py", *_LEGACY),
    "legacy_values": ("contracts/legacy_values.py", f"{_CONTRACT}/test_legacy_values.py", *_LEGACY),
    "legacy_beside": ("contracts/legacy_beside.py", *_LEGACY),
    "promises": ("contracts/promises.py", f"{_CONTRACT}/test_promises.py"),
    "changes": ("contracts/changes.py", f"{_CONTRACT}/test_changes.py"),
    "in_words": ("contracts/in_words.py", f"{_CONTRACT}/test_in_words.py"),
}
