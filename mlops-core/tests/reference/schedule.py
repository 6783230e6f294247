"""When cron expressions fire, made with tools of others.

`utc`: croniter 7.0.0 (day_or=True), where no clock is changed. `zones`: a walk through every minute of passing time with zoneinfo and
tzdata 2026.6 of Python 3, by the rule of Vixie's cron: an expression whose minute or hour begins with `*` fires whenever the wall
clock matches; any other at the first of two equal times, and at the end of a gap once for what the gap left out. `recurrence`:
dateutil 4.0.0's rrule, on wall clocks, taken to moments by zoneinfo (fold=0; a time in a gap is its end).
"""
import json, random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
from croniter import croniter
from dateutil import rrule

UTC = timezone.utc
out = {"utc": [], "zones": [], "recurrence": []}
iso = lambda t: t.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

r = random.Random(2026)
def field(lo, hi):
    kind = r.randrange(6)
    if kind < 2: return "*"
    if kind == 2: return f"*/{r.choice([2, 3, 5, 7])}"
    if kind == 3: return str(r.randint(lo, hi))
    a = sorted(r.sample(range(lo, hi + 1), 2))
    if kind == 4: return f"{a[0]}-{a[1]}"
    return f"{a[0]},{a[1]}"
seen = 0
while seen < 150:
    day, weekday = field(1, 31), field(0, 6)
    # A star with a step is a star to Vixie's cron and none to croniter: where it meets a restricted day they differ.
    if "*/" in day + weekday: continue
    e = f"{field(0, 59)} {field(0, 23)} {day} {field(1, 12)} {weekday}"
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=r.randrange(2 * 366 * 1440))
    try:
        it = croniter(e, start); times = [it.get_next(datetime) for _ in range(4)]
    except Exception: continue
    if (times[-1] - start).days > 3000: continue
    out["utc"].append([e, iso(start), [iso(t) for t in times]]); seen += 1

def matcher(e):
    it = [croniter.expand(e)[0][i] for i in range(5)]
    stars = [f.startswith("*") for f in e.split()]
    def has(i, v): return it[i] == ["*"] or v in it[i]
    def match(t):
        dom, dow = has(2, t.day), has(4, (t.weekday() + 1) % 7)
        days = dom and dow if stars[2] or stars[4] else dom or dow
        return has(0, t.minute) and has(1, t.hour) and has(3, t.month) and days
    return match, stars[0] or stars[1]

def walk(e, zone, start, hours):
    match, passing = matcher(e); z = ZoneInfo(zone); fires = []
    before = start.astimezone(z)
    for m in range(1, hours * 60 + 1):
        now = (start + timedelta(minutes=m)).astimezone(z)
        hit = match(now) and (passing or now.fold == 0)
        naive, was = now.replace(tzinfo=None, fold=0), before.replace(tzinfo=None, fold=0)
        if not passing and naive - was > timedelta(minutes=1):
            t = was + timedelta(minutes=1)
            while t < naive: hit |= match(t); t += timedelta(minutes=1)
        if hit: fires.append(now)
        before = now
    return fires
for zone, day in [("America/New_York", datetime(2025, 3, 8, 12)), ("America/New_York", datetime(2025, 11, 1, 12)),
                  ("Europe/Berlin", datetime(2025, 3, 29, 12)), ("Europe/Berlin", datetime(2025, 10, 25, 12)),
                  ("Australia/Lord_Howe", datetime(2025, 4, 5, 2)), ("Australia/Lord_Howe", datetime(2025, 10, 4, 2)),
                  ("America/Sao_Paulo", datetime(2018, 2, 17, 12)), ("America/Sao_Paulo", datetime(2018, 11, 3, 12)),
                  ("Pacific/Apia", datetime(2011, 12, 29, 0)), ("Asia/Kathmandu", datetime(2025, 6, 1, 0)),
                  ("Africa/Casablanca", datetime(2024, 3, 9, 12))]:
    start = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    for e in ["30 2 * * *", "30 1 * * *", "0 * * * *", "*/20 1-2 * * *", "0,30 2 * * *", "*/30 * * * *", "15 0 * * *",
              "0 0 * * *", "45 23 * * *", "30 1-3 * * 0", "0 12 30 * *", "0 */6 * * *", "10 2,3 * * *"]:
        out["zones"].append([e, zone, iso(start), [iso(t) for t in walk(e, zone, start, 60)]])

def moment(t, z):
    a = t.replace(tzinfo=z)
    back = a.astimezone(UTC).astimezone(z)
    if back.replace(tzinfo=None, fold=0) == t: return a.astimezone(UTC)
    lo = (t - timedelta(hours=26)).replace(tzinfo=z).astimezone(UTC)
    while lo.astimezone(z).replace(tzinfo=None, fold=0) < t: lo += timedelta(minutes=1)
    return lo
FREQ = {"day": rrule.DAILY, "week": rrule.WEEKLY, "month": rrule.MONTHLY}
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
for freq, interval, hours, minutes, days, start, zone in [
        ("day", 1, [4, 5, 10], [0, 10], [], "2025-02-27T10:00:00", "America/New_York"),
        ("day", 3, [2], [30], [], "2025-03-03T00:00:00", "America/New_York"),
        ("day", 1, [1], [30], [], "2025-10-31T00:00:00", "America/New_York"),
        ("week", 2, [8], [0], ["monday", "thursday"], "2025-01-01T00:00:00", "Europe/Berlin"),
        ("week", 1, [2], [30], ["sunday"], "2025-03-20T00:00:00", "Europe/Berlin"),
        ("week", 3, [23], [59], ["sunday", "monday"], "2025-01-05T12:00:00", "UTC"),
        ("month", 1, [9], [15], [1, 15, 31], "2025-01-10T00:00:00", "Asia/Tokyo"),
        ("month", 12, [0], [0], [29], "2024-02-01T00:00:00", "UTC"),
        ("month", 5, [12], [0], [30], "2025-01-01T00:00:00", "Europe/London")]:
    z = ZoneInfo(zone); s = datetime.fromisoformat(start)
    kw = dict(dtstart=s, interval=interval, byhour=hours, byminute=minutes, bysecond=0, count=12, wkst=rrule.MO)
    if freq == "week": kw["byweekday"] = [DAYS.index(d) for d in days]
    if freq == "month": kw["bymonthday"] = days
    times = [iso(moment(t, z)) for t in rrule.rrule(FREQ[freq], **kw)]
    out["recurrence"].append([freq, interval, hours, minutes, [str(d) for d in days], start, zone, times])
rows = lambda key: f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in out[key]) + "\n]"
print("{\n" + ",\n".join(map(rows, out)) + "\n}")
