"""Counts and latencies of requests, and how opt-out lists stand, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stentor.optouts.standing import ListStanding

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


class ListMetrics:
    """`stentor_optout_…`: lists, their files and the jobs on files of them, as they stand when somebody asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"stentor_optout_{name}", about, labels, registry=registry)

        self._lists = gauge("lists", "Opt-out lists.")
        self._files = gauge("files", "Live files of opt-out lists.", "kind")
        self._bytes = gauge("file_bytes", "Bytes of the live files of opt-out lists.", "kind")
        self._entries = gauge("file_entries", "Entries of lists that lie in files.")
        self._most_runs = gauge("most_runs", "Runs of the list that has the most of them.")
        self._jobs = gauge("jobs", "Jobs of opt-out lists that have not ended.", "state")
        self._oldest_queued = gauge("oldest_queued_job_seconds", "How long the oldest job waits for a worker.")
        self._oldest_erasure = gauge("oldest_erasure_seconds", "How long the oldest erasure waits to be carried out.")

    def show(self, standing: ListStanding) -> None:
        """These are the figures from now on."""
        self._lists.set(standing.lists)
        self._files.labels("run").set(standing.runs)
        self._files.labels("segment").set(standing.segments)
        self._bytes.labels("run").set(standing.run_bytes)
        self._bytes.labels("segment").set(standing.segment_bytes)
        self._entries.set(standing.entries)
        self._most_runs.set(standing.most_runs)
        for state in ("uploading", "queued", "running"):
            self._jobs.labels(state).set(getattr(standing, state))
        self._oldest_queued.set(standing.oldest_queued_s)
        self._oldest_erasure.set(standing.oldest_erasure_s)
