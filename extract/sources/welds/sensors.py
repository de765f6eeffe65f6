"""The welding machine's CSV file: its columns, what can be believed of them, and when the arc burns."""

from ...decode.sensor_rows import SeriesFormat
from ...features.settings import SENSOR_LIMITS

_CURRENT, _VOLTAGE = "Primary Weld Current", "Secondary Weld Voltage"

WELDING_MACHINE = SeriesFormat(
    channels=("Pressure", "CO2 Weld Flow", "Feed", _CURRENT, "Wire Consumed", _VOLTAGE),
    limits=SENSOR_LIMITS,
    clock="Time",
    active=(_CURRENT, 50.0),
    exchangeable=(_CURRENT, _VOLTAGE, 10.0, 45.0),  # volts between which arcs burn; a waiting source may hold more
)
