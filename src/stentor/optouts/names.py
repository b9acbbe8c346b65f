"""What the files of opt-out lists are called in the storage. Names are made from ids alone; nothing that anybody sent is in them."""

from uuid import UUID


def index_name(run_id: UUID) -> str:
    """A run's digest index."""
    return f"runs/{run_id}.index"


def segment_name(segment_id: UUID) -> str:
    """Entries as they were learned, as Parquet."""
    return f"segments/{segment_id}.parquet"


def part_name(job_id: UUID, epoch: int, start_byte: int) -> str:
    """A piece of an uploaded file, by the attempt to receive it and where it begins."""
    return f"uploads/{job_id}/{epoch}-{start_byte:015}"


def result_name(job_id: UUID, epoch: int, file_name: str) -> str:
    """A file that a job made; `epoch` is of the worker's claim, so that one who was thought dead overwrites nothing."""
    return f"results/{job_id}/{epoch}-{file_name}"
