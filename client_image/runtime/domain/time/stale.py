"""How old a configuration may be, counted from when the control plane last confirmed it, before people are warned."""

import datetime as dt

STALE_CONFIG = dt.timedelta(hours=24)
