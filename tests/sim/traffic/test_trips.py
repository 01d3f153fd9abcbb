"""The delay is the benchmark's: over all vehicles, those too that never entered or never arrived."""

from __future__ import annotations

from pathlib import Path

import pytest

from wayside.cloud.sim.errors import PlantError
from wayside.cloud.sim.traffic.trips import Trips, read_trips

# Of 100 s: one arrived (10 s lost, entered 2 s late), one is still under way (40 s lost), one was to enter at 70 s.
HOUR = """<tripinfos>
<tripinfo id="a" depart="12.00" departDelay="2.00" arrival="60.00" duration="48.00" waitingTime="5.00"
  waitingCount="1" timeLoss="10.00"><emissions CO2_abs="2000000.0" NOx_abs="1000.0" fuel_abs="500000.0"/></tripinfo>
<tripinfo id="b" depart="20.00" departDelay="0.00" arrival="-1.00" duration="80.00" waitingTime="30.00"
  waitingCount="2" timeLoss="40.00"><emissions CO2_abs="1000000.0" NOx_abs="500.0" fuel_abs="250000.0"/></tripinfo>
<tripinfo id="c" depart="-1.00" departDelay="30.00" arrival="-1.00" duration="0.00" waitingTime="0.00"
  waitingCount="0" timeLoss="0.00"/>
<personinfo id="p" depart="0.00"><walk depart="0.00" arrival="50.00" timeLoss="8.00"/>
  <walk depart="50.00" arrival="90.00" timeLoss="4.00"/></personinfo>
<personinfo id="q" depart="0.00"><walk depart="0.00" arrival="30.00" timeLoss="2.00"/></personinfo>
</tripinfos>"""


def written(folder: Path, text: str) -> Path:
    path = folder / "trips.xml"
    path.write_text(text)
    return path


def test_the_delay_of_three_vehicles_is_what_a_hand_computes(tmp_path: Path) -> None:
    trips = read_trips(written(tmp_path, HOUR))
    assert trips.delay_s == pytest.approx(((10 + 2) + (40 + 0) + 30) / 3)
    assert (trips.vehicles, trips.arrived, trips.undeparted) == (3, 1, 1)
    assert trips.stops == pytest.approx((1 + 2) / 3)
    assert (trips.co2_kg, trips.nox_g, trips.fuel_kg) == pytest.approx((3.0, 1.5, 0.75))


def test_people_on_foot_have_a_mean_and_a_longest_loss(tmp_path: Path) -> None:
    trips = read_trips(written(tmp_path, HOUR))
    assert (trips.pedestrians, trips.ped_wait_s, trips.ped_wait_max_s) == (2, 7.0, 12.0)


def test_an_hour_without_anybody_has_no_delay(tmp_path: Path) -> None:
    assert read_trips(written(tmp_path, "<tripinfos/>")) == Trips(0, 0, 0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("text", ["", HOUR[:-40], HOUR.replace('timeLoss="10.00"', ""), HOUR.replace("12.00", "soon")])
def test_an_output_that_is_not_whole_is_no_result(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlantError, match=r"trips\.xml"):
        read_trips(written(tmp_path, text))
