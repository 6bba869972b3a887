"""What a client is told, and in which order, so that no model delays the others."""

from dataclasses import replace

from germline.models.announcements import Announced
from worker.serving.telling import FIRST_PAUSE_S, LONGEST_PAUSE_S, LOOK_S, Offer, Teller


def offer(name: str, trouble: str = "", deployment: str = "1") -> Offer:
    return Offer(Announced(name, f"{name}_{deployment}", "pong", "", 80), "pong", trouble)


def offers(*found: Offer) -> dict[str, Offer]:
    return {each.announced.model_id: each for each in found}


def names(frames: list[list[Announced]]) -> list[list[tuple[str, str]]]:
    return [[(model.model_id, model.state) for model in frame] for frame in frames]


def test_the_first_frame_announces_all_that_are_well_where_the_client_reaches_them() -> None:
    teller = Teller("10.1.1.1")
    told = teller.first(offers(offer("a"), offer("b", "it hangs"), offer("c")))
    assert [(model.model_id, model.host) for model in told] == [("a", "10.1.1.1"), ("c", "10.1.1.1")]


def test_a_host_that_is_advertised_goes_before_that_by_which_a_client_came() -> None:
    given = offer("a")
    (told,) = Teller("10.1.1.1").first(offers(replace(given, announced=replace(given.announced, host="h"))))
    assert told.host == "h"


def test_who_is_new_is_told_of_in_a_frame_before_who_has_left() -> None:
    teller = Teller("h")
    teller.first(offers(offer("old")))
    assert names(teller.news(offers(offer("new")), 0)) == [[("new", "RUNNING")], [("old", "STOPPED")]]
    assert teller.news(offers(offer("new")), 0) == []


def test_another_deployment_is_told_and_the_same_one_is_not_told_twice() -> None:
    teller = Teller("h")
    teller.first(offers(offer("a")))
    assert teller.news(offers(offer("a")), 0) == []
    assert names(teller.news(offers(offer("a", deployment="2")), 0)) == [[("a", "RUNNING")]]


def test_a_model_in_trouble_is_told_of_when_it_is_well_and_one_that_is_known_stays() -> None:
    teller = Teller("h")
    teller.first(offers(offer("a")))
    now = offers(offer("a", "it hangs"), offer("b", "it hangs"))
    assert teller.news(now, 0) == []
    assert names(teller.news(offers(offer("a", "it hangs"), offer("b")), 0)) == [[("b", "RUNNING")]]


def test_a_model_that_was_given_up_comes_back_after_a_pause_in_a_frame_of_its_own() -> None:
    teller = Teller("h")
    here = offers(offer("a"), offer("b"), offer("c"))
    teller.first(here)
    assert teller.given_up("a", 0.0)
    assert teller.given_up("b", 0.0)
    assert teller.news(here, FIRST_PAUSE_S - 1) == []
    assert teller.wait_s(FIRST_PAUSE_S - 1) == 1.0
    now = {**here, **offers(offer("d"))}
    told = names(teller.news(now, FIRST_PAUSE_S))
    assert told == [[("d", "RUNNING")], [("a", "RUNNING")], [("b", "RUNNING")]]
    assert teller.news(now, FIRST_PAUSE_S) == []


def test_the_pause_doubles_each_time_up_to_the_longest() -> None:
    teller, here, now_s, pauses = Teller("h"), offers(offer("a")), 0.0, []
    teller.first(here)
    for _ in range(8):
        assert teller.given_up("a", now_s)
        start_s = now_s
        while not teller.news(here, now_s):
            now_s += 1.0
        pauses.append(now_s - start_s)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_who_was_given_up_and_leaves_is_forgotten_and_who_was_never_told_cannot_be_given_up() -> None:
    teller = Teller("h")
    teller.first(offers(offer("a")))
    assert not teller.given_up("b", 0)
    assert teller.given_up("a", 0)
    assert not teller.given_up("a", 0)
    assert teller.news({}, 1_000) == []
    assert names(teller.news(offers(offer("a")), 0)) == [[("a", "RUNNING")]]
    assert teller.wait_s(0) == LOOK_S
