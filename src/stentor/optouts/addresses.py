"""Where the files of jobs are sent to and fetched from: the paths of signed links, below the address of the installation."""

from datetime import timedelta

from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.working import KEPT
from stentor.optouts.links import FileLink, FileLinks

PREFIX = "/storage/"


def upload_path(links: FileLinks, job: Job) -> str:
    """Where the job's file is sent to, by whoever has this."""
    return _path(links, FileLink("upload", job.brand_id, job.id, job.upload_until or job.created_at))


def download_path(links: FileLinks, job: Job, file_name: str) -> str:
    """Where a file that the job makes, or has made, is fetched from; 404 until it is whole."""
    # To the second, in which it is kept and told.
    until = (job.ended_at or job.now) + KEPT + timedelta(seconds=1)
    return _path(links, FileLink("download", job.brand_id, job.id, until, file_name))


def _path(links: FileLinks, link: FileLink) -> str:
    return f"{PREFIX}{links.token(link)}?Expires={int(link.until.timestamp())}"
