"""Counts and latencies of requests, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNMATCHED = ("-", "unmatched")


class RequestMetrics:
    """`stentor_http_requests_total` and `stentor_http_request_seconds`, the time until an answer begins.

    Routes are counted by their templates; a path that is none of ours counts as `unmatched`, whatever its method, so
    nobody can make series by asking.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "stentor_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "stentor_http_request_seconds",
            "Time until the answer began.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        # Looking a child up by its labels costs more than counting; there are as many as routes times statuses.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        key = (method, route or "", status)
        children = self._children.get(key)
        if children is None:
            labels = (method, route) if route else _UNMATCHED
            children = (self._requests.labels(*labels, str(status)), self._seconds.labels(*labels))
            if route:
                self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def exposition(self) -> bytes:
        """All series of the registry in the text format."""
        return generate_latest(self.registry)
