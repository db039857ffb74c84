"""When a file is taken: pure state, no clock, no files."""

from __future__ import annotations

from folderdenoise.settle import Settler

OLD, NEW = (100, 1, 7), (200, 2, 7)


def _take(settler: Settler, now: float, signature: tuple[int, ...] = OLD) -> list[str]:
    names = []
    while (name := settler.due(now)) is not None:
        if settler.take(name, signature, now):
            names.append(name)
    return names


def test_a_file_is_due_when_it_has_not_changed_for_the_settle_time() -> None:
    settler = Settler(2.0)
    settler.seen("a", OLD, 10.0)
    settler.seen("a", OLD, 11.0)  # no news
    assert _take(settler, 11.9) == []
    assert settler.next_due() == 12.0
    assert _take(settler, 12.0) == ["a"]
    assert _take(settler, 99.0) == [], "it is being dealt with"
    settler.done("a", OLD, 99.0)
    assert len(settler) == 0


def test_each_change_begins_the_time_anew() -> None:
    settler = Settler(2.0)
    settler.seen("a", OLD, 10.0)
    settler.seen("a", NEW, 11.5)
    assert _take(settler, 12.0, NEW) == []
    assert _take(settler, 13.5, NEW) == ["a"]


def test_a_change_that_nobody_told_of_is_found_when_it_is_due() -> None:
    settler = Settler(2.0)
    settler.seen("a", OLD, 10.0)
    assert _take(settler, 12.0, NEW) == []
    assert _take(settler, 13.9, NEW) == []
    assert _take(settler, 14.0, NEW) == ["a"]


def test_a_file_that_changed_while_it_was_dealt_with_waits_again() -> None:
    settler = Settler(2.0)
    settler.seen("a", OLD, 10.0)
    assert _take(settler, 12.0) == ["a"]
    settler.seen("a", NEW, 13.0)
    settler.done("a", OLD, 13.5)
    assert _take(settler, 14.9, NEW) == []
    assert _take(settler, 15.0, NEW) == ["a"]


def test_one_that_does_not_decode_is_tried_once_more_and_then_given_up() -> None:
    settler = Settler(2.0)
    settler.seen("a", OLD, 10.0)
    assert _take(settler, 12.0) == ["a"]
    assert settler.incomplete("a", OLD, 12.1)
    assert _take(settler, 29.9) == []
    assert _take(settler, 30.0) == ["a"]
    assert not settler.incomplete("a", OLD, 30.1)
    settler.done("a", OLD, 30.1)
    assert _take(settler, 999.0) == []


def test_one_that_grows_after_it_did_not_decode_is_tried_when_it_has_settled() -> None:
    settler = Settler(2.0)
    settler.seen("a", OLD, 10.0)
    assert _take(settler, 12.0) == ["a"]
    assert settler.incomplete("a", OLD, 12.1)
    settler.seen("a", NEW, 20.0)
    assert _take(settler, 22.0, NEW) == ["a"]
    settler.seen("a", OLD, 23.0)  # while it is dealt with
    assert settler.incomplete("a", NEW, 50.0), "what did not decode is not what is there"
    assert _take(settler, 50.0) == ["a"]


def test_one_that_goes_away_is_forgotten_at_any_time() -> None:
    settler = Settler(2.0)
    settler.seen("waiting", OLD, 10.0)
    settler.gone("waiting")
    settler.seen("taken", OLD, 10.0)
    assert _take(settler, 12.0) == ["taken"]
    settler.gone("taken")
    settler.done("taken", OLD, 12.0)
    assert settler.incomplete("taken", OLD, 12.0)
    assert len(settler) == 0
    settler.gone("never seen")


def test_one_that_never_settles_is_told_of_once() -> None:
    settler = Settler(2.0)
    told = []
    for second in range(400):
        settler.seen("log", (second,), float(second))
        settler.seen("quiet", OLD, float(second))
        told += settler.restless(float(second))
    assert told == ["log"]
    assert not settler.all_told(), "the quiet one waits to be taken"
    settler.gone("quiet")
    assert settler.all_told()


def test_many_changes_of_many_files_do_not_pile_up() -> None:
    settler = Settler(2.0)
    for second in range(100):
        for name in range(100):
            settler.seen(str(name), (second,), float(second))
        assert _take(settler, float(second), (second,)) == []
        assert len(settler._queue) <= 300
    assert sorted(map(int, _take(settler, 101.0, (99,)))) == list(range(100))
