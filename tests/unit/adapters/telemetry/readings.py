"""What metrics say."""

from prometheus_client.parser import text_string_to_metric_families

Readings = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(exposition: bytes | str) -> Readings:
    """Every sample by its name and labels, from Prometheus' text format."""
    text = exposition.decode() if isinstance(exposition, bytes) else exposition
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(readings: Readings, name: str, **labels: str) -> float | None:
    return readings.get((name, frozenset(labels.items())))


def by(readings: Readings, name: str, label: str) -> dict[str, float]:
    """The samples of a metric that has one label, by that, without zeros."""
    return {dict(labels)[label]: value for (found, labels), value in readings.items() if found == name and value}


def moved(before: Readings, after: Readings, name: str, label: str) -> dict[str, float]:
    """By how much the samples of a metric grew."""
    old, new = by(before, name, label), by(after, name, label)
    return {key: value - old.get(key, 0) for key, value in new.items() if value != old.get(key, 0)}
