"""The sound of a weld: short-circuit pulses, hiss and crackle over the room's hum."""

import numpy as np
from jaxtyping import Float, Int16

from .recording import Clock, SessionLook
from .roster import nominal_voltage
from .state import ArcState, WeldState, along, nominal_feed

SAMPLE_RATE = 16_000
_NOMINAL_PULSES_HZ = 62.0
_BURST_SAMPLES = 800

Signal = Float[np.ndarray, " samples"]


def weld_sound(
    state: WeldState, *, clock: Clock, look: SessionLook, generator: np.random.Generator
) -> Int16[np.ndarray, " samples"]:
    """One weld's recording at 16 kHz, mono, 16 bit.

    Sources: short-circuit transfer sounds once for each droplet, when the arc reignites (Grad et al. 2004, acoustic
    monitoring of GMAW); its rate rises with wire feed and falls with arc length, that is with voltage.
    """
    arc = state.process
    count = int(clock.total * SAMPLE_RATE)
    times = np.arange(count) / SAMPLE_RATE
    place = clock.progress(times)
    on = (place >= 0) & (place <= 1)
    course = np.clip(place, 0, 1)
    heat = along(arc.profile, course)
    extent = along(arc.extent, course)

    pulses = _pulse_train(arc, place=place, heat=heat, generator=generator)
    sound = _ring(pulses, hertz=1500 * np.exp(-0.55 * arc.heat), decay=0.0022 * np.exp(0.5 * arc.heat))
    sound += 0.35 * np.exp(0.8 * arc.heat) * _ring(pulses, hertz=230 * np.exp(-0.5 * arc.heat), decay=0.008)
    sound += _hiss(arc, extent=extent, generator=generator) * np.exp(0.5 * heat)
    sound += _crackle(arc, extent=extent, generator=generator)
    sound *= np.where(on, 1 - 0.55 * np.clip(arc.drift * (course - 0.3), -1, 1), 0.0)
    sound += _events(state, clock=clock, count=count, generator=generator)
    sound += look.room_noise * _room(count, times=times, hum_hz=look.hum_hz, generator=generator)
    return np.clip(2600 * look.microphone_gain * sound, -32_767, 32_767).astype(np.int16)


def _pulse_train(arc: ArcState, *, place: Signal, heat: Signal, generator: np.random.Generator) -> Signal:
    """Impulses at each short circuit: regular for a stable arc, ragged in time and size for a restless one."""
    restless = 1 - arc.stability
    feed = np.log(arc.feed / nominal_feed(arc.current))
    length = np.log(arc.voltage / nominal_voltage(arc.current))
    rate = _NOMINAL_PULSES_HZ * np.exp(2.0 * feed - 3.0 * length + 0.6 * np.log(arc.current / 205.0))
    wander = arc.drift * (np.clip(place, 0, 1) - 0.35)
    phase = np.cumsum(rate * np.exp(0.8 * heat - 0.9 * wander)) / SAMPLE_RATE
    places = np.flatnonzero(np.diff(np.floor(phase), prepend=0.0) > 0)
    period = SAMPLE_RATE / max(rate, 1.0)
    jitter = generator.standard_normal(len(places)) * period * (0.06 + 0.7 * restless)
    places = np.clip(places + jitter.astype(np.int64), 0, len(place) - 1)
    sizes = np.exp(generator.standard_normal(len(places)) * (0.15 + 1.2 * restless))
    # A stubbing wire shorts hard: the shorter the arc, the louder each reignition.
    train = np.zeros(len(place))
    np.add.at(train, places, sizes * np.exp(-2.0 * length + 0.5 * arc.heat))
    return train


def _ring(pulses: Signal, *, hertz: float, decay: float) -> Signal:
    """`pulses` struck on a resonator of frequency `hertz` that dies away in `decay` seconds."""
    seconds = np.arange(int(6 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    kernel = np.sin(2 * np.pi * hertz * seconds) * np.exp(-seconds / decay)
    return _convolve(pulses, kernel)


def _convolve(signal: Signal, kernel: Float[np.ndarray, " taps"]) -> Signal:
    size = 1 << (len(signal) + len(kernel) - 1).bit_length()
    product = np.fft.rfft(signal, size) * np.fft.rfft(kernel, size)
    return np.asarray(np.fft.irfft(product, size)[: len(signal)])


def _coloured_noise(count: int, *, centre_hz: float, octaves: float, generator: np.random.Generator) -> Signal:
    """Noise of unit RMS around `centre_hz`, with a bell of width `octaves` over the logarithmic frequency."""
    size = 1 << max(count - 1, 1).bit_length()
    spectrum = np.fft.rfft(generator.standard_normal(size))
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 1.0)
    spectrum *= np.exp(-0.5 * (np.log2(hertz / centre_hz) / octaves) ** 2)
    noise = np.fft.irfft(spectrum, size)[:count]
    return np.asarray(noise / max(float(noise.std()), 1e-9))


def _hiss(arc: ArcState, *, extent: Signal, generator: np.random.Generator) -> Signal:
    """The arc's own noise: brighter and louder for a long arc, sputtering where the shielding gas fails."""
    count = len(extent)
    length = float(np.log(arc.voltage / nominal_voltage(arc.current)))
    steady = _coloured_noise(
        count, centre_hz=3200 * np.exp(1.5 * length - 0.3 * arc.heat), octaves=0.8, generator=generator
    )
    sputter = _coloured_noise(count, centre_hz=5200.0, octaves=0.5, generator=generator)
    flutter = 0.5 + 0.5 * np.sin(np.cumsum(2 * np.pi * (9 + 4 * _slow_noise(count, generator=generator)) / SAMPLE_RATE))
    starved = (1 - arc.shielding) * extent
    return np.asarray(0.11 * np.exp(4.0 * length) * steady + 0.9 * starved * flutter**3 * sputter)


def _slow_noise(count: int, *, generator: np.random.Generator) -> Signal:
    knots = generator.standard_normal(max(count // 1600, 2))
    return np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)


def _crackle(arc: ArcState, *, extent: Signal, generator: np.random.Generator) -> Signal:
    """Sharp cracks of droplets that fly off as spatter."""
    count = len(extent)
    density = 3 + 90 * arc.flaws.spatter * np.maximum(extent, 0.25 * (arc.flaws.spatter < 0.1))
    hits = generator.random(count) < density / SAMPLE_RATE
    train = np.where(hits, generator.exponential(1.0, size=count), 0.0)
    return 2.6 * _ring(train, hertz=4300.0, decay=0.0009)


def _events(state: WeldState, *, clock: Clock, count: int, generator: np.random.Generator) -> Signal:
    """The strike of the arc, bursts where it burns through, and ticks of a cracking crater after the end."""
    train = np.zeros(count)
    strike = int(clock.lead * SAMPLE_RATE)
    train[min(strike, count - 1)] = 5.0
    for site in state.sites:
        place = int((clock.lead + site * clock.arc) * SAMPLE_RATE)
        burst = generator.standard_normal(min(_BURST_SAMPLES, count - place))
        train[place : place + _BURST_SAMPLES] += 1.5 * state.severity * burst
    if state.process.flaws.cracks > 0:
        end = int((clock.lead + clock.arc) * SAMPLE_RATE)
        ticks = generator.integers(end, count, size=2 + int(14 * state.process.flaws.cracks))
        train[ticks] += generator.uniform(1.0, 3.0, size=len(ticks))
    return 1.6 * _ring(train, hertz=2900.0, decay=0.0016)


def _room(count: int, *, times: Signal, hum_hz: float, generator: np.random.Generator) -> Signal:
    """Mains hum with its harmonics, and the fans of the extraction."""
    hum = sum(np.sin(2 * np.pi * hum_hz * order * times) / order**1.5 for order in (1, 2, 3, 6))
    fans = _coloured_noise(count, centre_hz=320.0, octaves=1.2, generator=generator)
    return np.asarray(0.05 * hum + 0.045 * fans)
