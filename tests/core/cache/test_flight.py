"""Flights by themselves: who leads, who joins, who takes over."""

from __future__ import annotations

import pytest

from fpa_core.cache.flight import FlightCancelledError, Flights
from fpa_core.exceptions import CacheError


def test_the_first_leads_and_the_rest_join():
    """The first caller leads; others with the same generations join until it has ended."""
    flights = Flights()
    flight, leads = flights.join("k", {"t": 1})
    assert leads
    assert (flight, False) == flights.join("k", {"t": 1})
    assert "k" in flights.under_way
    flights.set_result(flight, 5)
    assert flights.wait(flight) == 5
    assert "k" not in flights.under_way
    assert flights.join("k", {"t": 1})[1]


def test_other_generations_do_not_join():
    """Who read other generations leads a flight of their own, and the older one's end leaves that in place."""
    flights = Flights()
    old, _ = flights.join("k", {"t": 1})
    new, leads = flights.join("k", {"t": 2})
    assert leads
    flights.set_result(old, 1)
    assert (new, False) == flights.join("k", {"t": 2})


def test_a_flight_that_ends_without_an_outcome_is_abandoned():
    """Whoever waits for a leader that never finished is told to take over."""
    flights = Flights()
    flight, _ = flights.join("k", {})
    with flights.leading(flight):
        pass
    with pytest.raises(FlightCancelledError):
        flights.wait(flight)
    flights.cancel(flight)


def test_waiting_in_the_loaders_own_thread_is_refused():
    """A thread that leads cannot wait for itself, known to be inside the loader or not."""
    flights = Flights()
    flight, _ = flights.join("k", {})
    with flights.leading(flight):
        with pytest.raises(CacheError, match="'k' cannot end"):
            flights.wait(flight)
        flights.set_exception(flight, OSError("down"))
    with pytest.raises(OSError, match="down"):
        flights.wait(flight)


def test_a_circle_of_three_is_found():
    """A loader that waits through two others for itself is refused."""
    flights = Flights()
    one, two, three = (flights.join(key, {})[0] for key in "abc")
    one.awaits.add(two)
    two.awaits |= {three, one}
    three.awaits.add(two)
    other, _ = flights.join("d", {})
    three.awaits.add(other)
    with flights.leading(other), pytest.raises(CacheError), flights.leading(one):
        pytest.fail("the circle was not seen")
