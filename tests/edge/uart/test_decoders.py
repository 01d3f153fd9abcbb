"""What real sensors' bytes mean, and what sums do not see."""

from __future__ import annotations

import pytest

from tests.edge.uart import captures
from tests.simulators.uart import mhz19, nmea, pms, sds011, shdlc
from wayside.edge.sensors.uart import nmea as nmea_module
from wayside.edge.sensors.uart.confirm import FRAMES, Confirmation
from wayside.edge.sensors.uart.decoder import Frame
from wayside.edge.sensors.uart.dsmr import Dsmr
from wayside.edge.sensors.uart.gps_time import STEADY, GpsTime
from wayside.edge.sensors.uart.nmea import Nmea
from wayside.edge.sensors.uart.nova import Nova
from wayside.edge.sensors.uart.plantower import Plantower
from wayside.edge.sensors.uart.sensirion import READ, START, Sensirion
from wayside.edge.sensors.uart.winsen import Winsen

AIR = {"pm1": 7.0, "pm2_5": 10.0, "pm10": 12.0}


# --- real sensors ---------------------------------------------------------------------------------------------------


def test_a_plantower_says_what_it_said_to_others() -> None:
    frames = Plantower().feed(captures.PMS)
    assert [f.values["pm2_5"] for f in frames] == [8, 7, 7, 7, 7, 6, 6, 6, 6, 5]
    assert frames[0].values["n0_3"] == 2.10  # 0x00d2 in 0.1 l
    assert all(f.doubt is None for f in frames)
    (short,) = Plantower().feed(captures.PMS3003)
    assert short.values == dict.fromkeys(("pm1", "pm2_5", "pm10", "pm1_cf1", "pm2_5_cf1", "pm10_cf1"), 1.0)


def test_a_plantower_with_a_thermometer_is_not_taken_for_one_that_counts_large_particles() -> None:
    (frame,) = Plantower().feed(captures.PMS5003T)
    assert frame.doubt == "more large particles than small ones"


def test_a_nova_a_winsen_and_a_sensirion_say_what_they_said_to_others() -> None:
    assert [f.values for f in Nova().feed(captures.SDS011)] == [{"pm2_5": x, "pm10": x} for x in (0.6, 0.9, 0.8)]
    assert [f.values for f in Winsen().feed(captures.MHZ19)] == [{"co2": 650.0}]
    frames = [f for capture in captures.SPS30 for f in Sensirion().feed(capture)]
    assert len(frames) == len(captures.SPS30)  # bytes 7D, 7E and 13 are escaped in some
    assert {n: frames[0].values[n] for n in captures.SPS30_FIRST} == pytest.approx(captures.SPS30_FIRST, abs=1e-3)
    assert all(f.doubt is None for f in frames)


def test_a_receiver_says_where_it_is_when_two_sentences_agree() -> None:
    assert Nmea().feed(captures.GGA + captures.RMC) == []  # of two instants
    (frame,) = Nmea().feed(captures.PAIR)
    assert frame.values["latitude"] == pytest.approx(48 + 7.038 / 60)
    assert frame.values["longitude"] == pytest.approx(11 + 31.0 / 60)
    assert (frame.values["altitude"], frame.values["hdop"], frame.values["satellites"]) == (545.4, 0.9, 8.0)
    assert frame.unix_ms == 764_426_119_000  # 23 March 1994, 12:35:19


def test_a_receiver_without_a_fix_gives_nothing_and_says_why() -> None:
    decoder = Nmea()
    assert decoder.feed(captures.NO_FIX) == []
    assert (decoder.refused, decoder.note) == (0, nmea_module.NO_FIX)


def test_meters_say_what_they_said_to_others() -> None:
    (kaifa,) = Dsmr().feed(captures.KAIFA)
    assert kaifa.values["energy_in_t1"] == 1581.123
    assert (kaifa.values["power_in"], kaifa.values["gas"], kaifa.values["current_l2"]) == (2.027, 981.443, 6.0)
    assert "voltage_l1" not in kaifa.values  # its version has none
    (sagemcom,) = Dsmr().feed(captures.SAGEMCOM)
    assert sagemcom.values["energy_in_t1"] == pytest.approx(5017.120)
    assert sagemcom.values["power_in"] == pytest.approx(0.286)


def test_a_telegram_without_a_checksum_is_not_believed() -> None:
    decoder = Dsmr()
    assert decoder.feed(captures.KAIFA.replace(b"!6796", b"!")) == []
    assert decoder.feed(captures.KAIFA.replace(b"02.027", b"02.028")) == []
    assert decoder.refused == 1


# --- what sums do not see -------------------------------------------------------------------------------------------


def test_pm2_5_and_pm10_exchanged_pass_the_sum_and_not_the_rule() -> None:
    frame = pms(AIR)
    words = [frame[i : i + 2] for i in range(0, 32, 2)]
    words[6], words[7] = words[7], words[6]
    (exchanged,) = Plantower().feed(b"".join(words))
    assert exchanged.doubt == "PM1 <= PM2.5 <= PM10 does not hold"
    (nova,) = Nova().feed(sds011({"pm2_5": 12.0, "pm10": 10.0}))
    assert nova.doubt is not None


def test_a_sensor_that_reports_an_error_is_doubted() -> None:
    body = pms(AIR)[4:-2]
    frame = b"BM\0\x1c" + body[:-1] + b"\x04"
    (told,) = Plantower().feed(frame + (sum(frame) & 0xFFFF).to_bytes(2, "big"))
    assert told.doubt == "the sensor reports error 4"


def test_an_sps30_is_started_read_and_started_again_after_its_power_was_cut() -> None:
    decoder = Sensirion()
    assert decoder.request() == START
    decoder.feed(shdlc(0, b""))
    assert decoder.request() == READ
    assert decoder.feed(shdlc(3, b"")) == []  # nothing new since
    assert (decoder.request(), decoder.refused) == (READ, 0)
    decoder.feed(shdlc(3, b"", state=0x43))
    assert decoder.request() == START
    decoder.feed(shdlc(0, b"", state=0x43))  # it runs already
    assert decoder.request() == READ


# --- the frames around ------------------------------------------------------------------------------------------


def _said(confirmation: Confirmation, *values: float, doubt: str | None = None, identity: bytes = b"") -> list[float]:
    frames = [confirmation.take(Frame({"x": v}, doubt, identity)) for v in values]
    return [f.values["x"] for f in frames if f is not None]


def test_three_wrong_values_among_seven_move_nothing_beyond_the_right_ones() -> None:
    assert _said(Confirmation(), 10, 11, 900, 12, 13, 900, 900, 12) == [13, 13]
    assert _said(Confirmation(), 10, 11, 0, 12, 0, 13, 0) == [10]


def test_frames_of_another_sensor_are_set_aside_until_it_stays() -> None:
    confirmation = Confirmation()
    assert _said(confirmation, *[5.0] * FRAMES, identity=b"a") == [5.0]
    assert _said(confirmation, 99.0, identity=b"b") == []
    assert _said(confirmation, 5.0, identity=b"a") == [5.0]
    assert _said(confirmation, *[99.0] * 20, identity=b"b")[0] == 99.0


def test_one_frame_that_breaks_a_rule_is_set_aside_and_a_sensor_that_does_is_told_of() -> None:
    confirmation = Confirmation()
    _said(confirmation, *[5.0] * FRAMES)
    assert _said(confirmation, 7.0, doubt="no") == []
    assert _said(confirmation, 5.0) == [5.0]
    frames = [confirmation.take(Frame({"x": 7.0}, "no")) for _ in range(FRAMES)]
    assert (frames[-1] and frames[-1].doubt) == "no"
    assert confirmation.set_aside == FRAMES + 1


def test_a_telegram_with_a_strong_checksum_waits_for_no_other() -> None:
    assert Confirmation().take(Frame({"x": 1.0}, alone=True)) is not None


def test_a_receivers_time_is_taken_once_it_is_steady() -> None:
    gps = GpsTime()
    start, second = 1_780_000_000_000, 1_000_000_000
    late = [300, 500, 200, 400, 300, 300, 300, 300, 300]  # ms
    assert [gps.take(start + 1000 * i, i * second + d * 1_000_000) for i, d in enumerate(late)] == [None] * 9
    assert gps.take(start + 9000, 9 * second + 400_000_000) == start + 9200  # the least late one counts
    assert gps.take(start + 86_400_000, 10 * second) is None  # a damaged date
    assert gps.take(start + 11_000, 11 * second) is None
    assert STEADY == 10


def test_a_receivers_sentences_of_another_kind_are_passed_over() -> None:
    stream = nmea({"latitude": -33.5, "longitude": -70.5, "altitude": 520.0, "hdop": 1.1, "satellites": 9})
    decoder = Nmea()
    (frame,) = decoder.feed(stream)
    assert (frame.values["latitude"], frame.values["longitude"]) == (pytest.approx(-33.5), pytest.approx(-70.5))
    assert decoder.refused == 0


def test_co2_beyond_every_range_that_is_sold_is_no_answer() -> None:
    decoder = Winsen()
    assert decoder.feed(mhz19({"co2": 20_000})) == []
    assert decoder.refused == 1
