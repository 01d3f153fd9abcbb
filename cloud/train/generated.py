"""Made-up data where no real ones are at hand: the load of a grid, the air of some stations, arrivals at a hospital,
drawings of vehicles (:mod:`~wayside.cloud.train.drawings`); from a stated seed.

They have what the real ones have and what decides whether a forecast is worth anything: days, weeks and seasons,
weather that comes and stays for days, holidays, air that fills up in still weather and is cleared by wind from the
north. They are written in the layout of the real files (docs/data.md), so that the same task files read them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from wayside.cloud.train.drawings import pictures

Numbers = npt.NDArray[np.float64]
STATIONS = ("Made North", "Made Centre", "Made South")
WINDS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
HOLIDAYS = ((1, 1), (1, 26), (4, 25), (12, 25), (12, 26))  # month and day
END = np.datetime64("2014-01-01T00:00")


def load_curve(days: int, seed: int) -> pd.DataFrame:
    """Half-hourly load of a grid that ends with 2013: ``Time`` (UTC, start), ``Demand`` (MW), ``Temperature`` (°C),
    ``Date``, ``Holiday``, as ``energy/vic_elec_*.csv`` has them."""
    rng = np.random.default_rng(seed)
    local = np.arange(END - np.timedelta64(days * 48 * 30, "m"), END, np.timedelta64(30, "m"))
    hour = (local - local.astype("datetime64[D]")).astype(float) / 60
    date = local.astype("datetime64[D]")
    weekday = (date.astype(np.int64) + 3) % 7
    stamps = pd.DatetimeIndex(local)
    holiday = np.array([(m, d) in HOLIDAYS for m, d in zip(stamps.month, stamps.day, strict=True)])
    idle = (weekday > 4) | holiday
    year = 2 * np.pi * (stamps.dayofyear.to_numpy() - 15) / 365.25
    weather = np.repeat(_wandering(days, 0.75, 3.5, rng), 48)
    temperature = 15 + 6 * np.cos(year) + weather + (4 + 0.4 * weather) * np.cos(2 * np.pi * (hour - 15.5) / 24)
    work = np.where(idle, 0.25, 1.0) * _between(hour, 6.5, 19.5)
    home = 0.9 * np.exp(-(((hour - 18.5) / 2.2) ** 2)) + 0.35 * np.exp(-(((hour - 7.5) / 1.2) ** 2))
    heaters = 0.45 * np.exp(-((((hour - 0.3 + 12) % 24 - 12) / 0.9) ** 2))  # off-peak hot water after midnight
    cooling = 0.11 * np.maximum(temperature - 23, 0) * (0.4 + 0.6 * _between(hour, 9, 21))
    heating = 0.035 * np.maximum(16 - temperature, 0)
    demand = 3600 + 1000 * (work + home + heaters + cooling + heating)
    demand *= 1 + _wandering(len(local), 0.97, 0.012, rng)
    return pd.DataFrame(
        {
            "Time": pd.DatetimeIndex(local)
            .tz_localize("Australia/Brisbane")
            .tz_convert("UTC")
            .strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Demand": demand.round(3),
            "Temperature": temperature.round(1),
            "Date": stamps.strftime("%Y-%m-%d"),
            "Holiday": holiday,
        }
    )


def air(days: int, seed: int) -> dict[str, pd.DataFrame]:
    """Hourly air of each of `STATIONS` that ends with February 2016, as ``air/beijing_*.csv.gz`` have it; some hours of
    PM2.5 are missing."""
    rng = np.random.default_rng(seed)
    end = np.datetime64("2016-03-01T00")
    local = np.arange(end - np.timedelta64(days * 24, "h"), end, np.timedelta64(1, "h"))
    n, hour = len(local), local.astype(np.int64) % 24
    stamps = pd.DatetimeIndex(local)
    winter = 0.5 + 0.5 * np.cos(2 * np.pi * (stamps.dayofyear.to_numpy() - 15) / 365.25)
    # The weather turns between still air from the south and wind from the north every few days.
    northern = _wandering(n, 0.95, 1.0, rng) > 0.3
    pressure = 1012 + 12 * winter + 6 * _smooth(northern.astype(float), 18) + _wandering(n, 0.98, 1.5, rng)
    wind_speed = np.maximum(0.1, np.where(northern, 3.4, 1.3) + rng.normal(0, 0.6, n))
    direction = (np.where(northern, 15, 8) + rng.integers(-2, 3, n)) % 16
    dewpoint = 14 - 26 * winter - 9 * _smooth(northern.astype(float), 8) + _wandering(n, 0.95, 1.5, rng)
    temperature = 27 - 28 * winter + 5 * np.cos(2 * np.pi * (hour - 15) / 24) + _wandering(n, 0.98, 2, rng)
    region = np.empty(n)
    level = 60.0
    for t in range(n):
        fills = (2.6 + 3.6 * winter[t]) * (1.2 if hour[t] in (7, 8, 18, 19, 20) else 0.9)
        cleared = 0.2 if northern[t] else 0.03
        level = max(4.0, level + fills * float(rng.lognormal(0, 0.5)) - cleared * level)
        region[t] = level
    made = {}
    for station in STATIONS:
        own = region * np.exp(_wandering(n, 0.9, 0.16, rng))
        own[rng.random(n) < 0.02] = np.nan
        made[station] = pd.DataFrame(
            {
                "No": np.arange(1, n + 1),
                "year": stamps.year, "month": stamps.month, "day": stamps.day, "hour": hour,
                "PM2.5": own.round(0),
                "PM10": (own * 1.3 + rng.normal(8, 4, n)).clip(2).round(0),
                "SO2": (own * 0.2 * (0.3 + winter)).clip(1).round(0),
                "NO2": (20 + own * 0.35).round(0),
                "CO": (300 + own * 12).round(-2),
                "O3": (90 - 60 * winter - 0.1 * own).clip(2).round(0),
                "TEMP": temperature.round(1), "PRES": pressure.round(1), "DEWP": dewpoint.round(1),
                "RAIN": np.zeros(n), "wd": np.array(WINDS)[direction], "WSPM": wind_speed.round(1),
                "station": station,
            }
        )  # fmt: skip
    return made


def arrivals(days: int, seed: int) -> pd.DataFrame:
    """Hourly arrivals at an emergency department, from July 2013, as ``health/uihc_ed_arrivals_*.csv`` have them.

    Poisson around a profile of the day and the week; busy days follow busy days, and some hours bring many at once.
    """
    rng = np.random.default_rng(seed)
    local = np.arange(np.datetime64("2013-07-01T00"), np.timedelta64(days * 24, "h"), np.timedelta64(1, "h"))
    stamps, hour = pd.DatetimeIndex(local), (local.astype(np.int64) % 24).astype(float)
    weekday = (local.astype("datetime64[D]").astype(np.int64) + 3) % 7
    profile = 2.6 + 6.6 * _between(hour, 8.5, 23.0) + 1.8 * np.exp(-(((hour - 19.0) / 2.5) ** 2))
    profile *= np.array([1.1, 1.02, 1.0, 0.98, 0.98, 0.95, 0.97])[weekday]
    busy = np.exp(np.repeat(_wandering(days, 0.7, 0.16, rng), 24))
    many = rng.random(len(local)) < 0.006
    counts = rng.poisson(profile * busy) + many * rng.integers(6, 13, len(local))
    season = np.cos(2 * np.pi * (stamps.dayofyear.to_numpy() - 200) / 365.25)
    temperature = 50 + 26 * season + 8 * np.cos(2 * np.pi * (hour - 15) / 24) + _wandering(len(local), 0.98, 6, rng)
    frame = pd.DataFrame(
        {
            "Year": stamps.year, "Quarter": "Q" + stamps.quarter.astype(str), "Month": stamps.month, "Day": stamps.day,
            "Hour": hour, "Arrivals": counts, "Date": stamps.strftime("%Y-%m-%d"), "Weekday": stamps.strftime("%a"),
            "temp": temperature.round(),
        }
    )  # fmt: skip
    dates = {"xmas": (12, 25), "xmas2": (12, 26), "nye": (12, 31), "nyd": (1, 1), "ind": (7, 4)}
    for name in ("xmas", "xmas2", "nye", "nyd", "thx", "thx1", "ind", "game_day"):
        month, day = dates.get(name, (0, 0))  # Thanksgiving and games move: none is made up
        frame[name] = ((stamps.month == month) & (stamps.day == day)).astype(float)
    return frame


def write(
    folder: Path, seed: int, *, load_days: int = 0, air_days: int = 0, arrival_days: int = 0, drawings: int = 0
) -> None:
    """Whatever is asked for, in the places and names in which the task files look for it; 0: not this one."""
    if load_days:
        (folder / "energy").mkdir(parents=True, exist_ok=True)
        load_curve(load_days, seed).to_csv(folder / "energy" / "vic_elec_generated.csv", index=False)
    if air_days:
        (folder / "air").mkdir(parents=True, exist_ok=True)
        for station, rows in air(air_days, seed).items():
            name = station.replace(" ", "_")
            rows.to_csv(folder / "air" / f"beijing_{name}.csv.gz", index=False, na_rep="NA")
    if arrival_days:
        (folder / "health").mkdir(parents=True, exist_ok=True)
        arrivals(arrival_days, seed).to_csv(folder / "health" / "uihc_ed_arrivals_generated.csv", index=False)
    if drawings:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        np.savez(folder / "images" / "vehicles32_train_generated.npz", **pictures(drawings, seed))


def _wandering(n: int, stays: float, spread: float, rng: np.random.Generator) -> Numbers:
    """A series that forgets slowly (first-order autoregression), of that standard deviation."""
    steps = rng.normal(0, spread * np.sqrt(1 - stays**2), n)
    made = np.empty(n)
    now = rng.normal(0, spread)
    for t in range(n):
        now = stays * now + steps[t]
        made[t] = now
    return made


def _smooth(values: Numbers, over: int) -> Numbers:
    """The mean of the ``over`` values up to each."""
    total = np.cumsum(np.r_[np.zeros(1), np.r_[np.full(over - 1, values[0]), values]])
    smoothed: Numbers = (total[over:] - total[:-over]) / over
    return smoothed


def _between(hour: Numbers, begins: float, until: float) -> Numbers:
    """1 between two hours, 0 outside, with slopes of about an hour."""
    rising: Numbers = 1 / (1 + np.exp(-2 * (hour - begins))) / (1 + np.exp(2 * (hour - until)))
    return rising
