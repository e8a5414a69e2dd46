"""What became of the last writes is known to every process that was forked from the one that made the record."""

import multiprocessing
from collections.abc import Callable

from server.storage.write_status import WriteStatus


def in_another_process(work: Callable[[], object]) -> None:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_nothing_has_failed_at_first() -> None:
    status = WriteStatus()
    assert (status.failing(), status.last_failure(), status.replaced()) == (False, None, False)


def test_a_failure_in_another_process_holds_until_a_write_succeeds_in_any() -> None:
    status = WriteStatus()
    status.written()
    in_another_process(lambda: status.failed("disk_full"))
    failure = status.last_failure()
    assert (status.failing(), failure and failure.code) == (True, "disk_full")
    in_another_process(status.written)
    assert (status.failing(), status.last_failure()) == (False, failure)


def test_a_replaced_file_is_marked_once_for_all() -> None:
    status = WriteStatus()
    in_another_process(status.mark_replaced)
    assert status.replaced()
    assert not status.mark_replaced()


def test_a_test_write_is_due_once_for_all() -> None:
    status = WriteStatus()
    in_another_process(lambda: status.may_try(3600))
    assert not status.may_try(3600)
    assert status.may_try(0)
