"""Figures: medians with their spread. They are printed as they are taken and kept for the JSON file."""

import statistics

FAILED = "failed"


def spread(values, digits=1):
    def rounded(value):
        return round(value, digits) if digits else round(value)

    return {"median": rounded(statistics.median(values)), "min": rounded(min(values)), "max": rounded(max(values)),
            "runs": len(values)}  # fmt: skip


def ratios(ours, theirs):
    """Returns the median of the ratios of alternating runs (A, B, A, B)."""
    return spread([a / b for a, b in zip(ours, theirs)], 2)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def shown(value, unit=""):
    text = f"{value['median']} ({value['min']} to {value['max']})" if isinstance(value, dict) else str(value)
    return f"{text} {unit}".rstrip()


class Report:
    COLUMNS = (("figure", 56), ("value", 32), ("ratio", 26), ("target", 20), ("note", 0))

    def __init__(self):
        self.rows = []

    def head(self):
        print("".join(f"{name:<{width}}" for name, width in self.COLUMNS), flush=True)

    def add(self, figure, value, unit="", target="", ratio=None, note="", detail=None):
        """Prints a figure; `detail` is for the JSON file only."""
        row = {"figure": figure, "value": value, "unit": unit, "target": target, "ratio": ratio, "note": note}
        if detail is not None:
            row["detail"] = detail
        self.rows.append(row)
        cells = {**row, "value": shown(value, unit), "ratio": shown(ratio) if ratio else ""}
        print("".join(f"{cells[name]:<{width}}" for name, width in self.COLUMNS).rstrip(), flush=True)

    def failed(self, group, why):
        """Reports that a group has not given all its figures."""
        self.add(group, f"{FAILED}: {why}")

    def missing(self, figure, target="", why="not measured yet", note=""):
        self.add(figure, why, target=target, note=note)
