"""Receiving files: whole, or piece by piece as connections last, into the storage as it comes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.errors import Conflict, Invalid, NotFound, TooLarge
from stentor.failpoints import failpoint
from stentor.optouts.jobs import store
from stentor.optouts.jobs.model import Encoding, Job, Part
from stentor.optouts.jobs.service import FILE_BYTES_MAX, check_size, found
from stentor.optouts.links import LinkExpired
from stentor.optouts.names import part_name
from stentor.optouts.storage import Storage

PART_BYTES = 16 << 20
PARTS_MAX = 10_000

UNFINISHED_KEPT = timedelta(days=1)
"""How long the pieces of a file lie unfinished before they are thrown away."""


class Received(msgspec.Struct, frozen=True):
    """How far a file is: all bytes that are stored of it, whether that is all of it, and the tag of what came now."""

    bytes: int
    is_whole: bool
    etag: str


class UploadService:
    """Takes in the files that jobs await. What was received is on disk, so it need not come again.

    Whoever sends takes over from whoever sent before: of two at a time the earlier one hears Conflict with its next piece.
    """

    def __init__(self, db: Database, storage: Storage, reserve: DiskReserve = NOTHING_RESERVED) -> None:
        self._db = db
        self._storage = storage
        self._reserve = reserve

    async def receive(
        self,
        brand_id: UUID,
        job_id: UUID,
        chunks: AsyncIterator[bytes],
        *,
        offset: int | None = None,
        declared_bytes: int | None = None,
        encoding: Encoding | None = None,
    ) -> Received:
        """Takes the bytes in: the whole file, in place of what came of it before, or the part of it from `offset` on.

        The job is `queued` with the last of its declared bytes, or with the end of a whole file: one that is not as long as
        declared fails its job, not its upload. `declared_bytes` counts where the job declares nothing; `encoding`, where it is
        said, is noted in place of the job's. When the chunks break off, what came of them is kept before the error goes on.

        Raises NotFound for a job that there is not or that was removed; LinkExpired where the time to begin is over; Conflict
        for one that has its file, for another offset than the file has reached, and when somebody else sends it by now; Invalid,
        TooLarge, NoRoom.
        """
        check_size(declared_bytes)
        job, epoch = await self._begun(brand_id, job_id, offset, declared_bytes, encoding)
        reception = _Reception(self._db, self._storage, self._reserve, job, epoch)
        await reception.take(chunks)
        if offset is None or reception.reached == job.declared_bytes or reception.surplus:
            await self._end(job, epoch, reception)
            return Received(reception.reached, is_whole=True, etag=reception.etag)
        return Received(reception.reached, is_whole=False, etag=reception.etag)

    async def _begun(
        self, brand_id: UUID, job_id: UUID, offset: int | None, declared_bytes: int | None, encoding: Encoding | None
    ) -> tuple[Job, int]:
        async with self._db.transaction() as conn:
            job = found(await store.lock_job(conn, brand_id, job_id), job_id)
            _check_may_begin(job, offset)
            dropped = await store.drop_parts(conn, brand_id, job_id) if offset is None else []
            if await store.count_parts(conn, brand_id, job_id) >= PARTS_MAX:
                raise Invalid(f"The file came in {PARTS_MAX:,} pieces. Send it anew, in larger ones.")
            epoch = await store.begin_upload(
                conn,
                brand_id,
                job_id,
                received_bytes=offset or 0,
                encoding=job.encoding if encoding is None else encoding,
                declared_bytes=declared_bytes,
                kept=UNFINISHED_KEPT,
            )
            job = found(await store.find_job(conn, brand_id, job_id), job_id)
            failpoint("optout_upload_begin.before_commit")
        failpoint("optout_upload_begin.after_commit")
        await self._storage.delete(dropped)
        return job, epoch

    async def _end(self, job: Job, epoch: int, reception: "_Reception") -> None:
        came = reception.reached + reception.surplus
        is_right = job.declared_bytes is None or came == job.declared_bytes
        message = "" if is_right else f"The file was declared with {job.declared_bytes:,} bytes, and {came:,} came."
        async with self._db.transaction() as conn:
            ended = await store.end_upload(
                conn,
                job.brand_id,
                job.id,
                upload_epoch=epoch,
                state="queued" if is_right else "failed",
                message=message,
            )
            if not ended:
                raise _taken_over()
            failpoint("optout_upload_end.before_commit")
        failpoint("optout_upload_end.after_commit")


class _Reception:
    """One sender's bytes: while a piece is stored the next one comes."""

    def __init__(self, db: Database, storage: Storage, reserve: DiskReserve, job: Job, epoch: int) -> None:
        self._db = db
        self._storage = storage
        self._reserve = reserve
        self._job = job
        self._epoch = epoch
        self._md5s: list[bytes] = []
        self.reached = job.received_bytes
        """How far the file is stored."""
        self.surplus = 0
        """What came behind its declared end."""

    @property
    def etag(self) -> str:
        """As object storages make it: the MD5 of what came, or of its pieces' MD5s with their number."""
        if len(self._md5s) == 1:
            return self._md5s[0].hex()
        return f"{_md5(b''.join(self._md5s)).hex()}-{len(self._md5s)}" if self._md5s else _md5(b"").hex()

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Stores the bytes. When they break off, what came of them is stored first."""
        piece = bytearray()
        came = self.reached
        storing: asyncio.Task[None] | None = None
        try:
            async for chunk in chunks:
                room = self._room(came)
                came += len(chunk)
                if came > FILE_BYTES_MAX:
                    raise TooLarge(f"The file has more than {FILE_BYTES_MAX:,} bytes (5 GiB).")
                piece += chunk[:room]
                self.surplus += max(0, len(chunk) - room)
                if len(piece) >= PART_BYTES:
                    if storing is not None:
                        await storing
                    storing, piece = asyncio.create_task(self._store(piece)), bytearray()
        finally:
            if storing is not None:
                await storing
            if piece:
                await self._store(piece)

    def _room(self, came: int) -> int:
        declared = self._job.declared_bytes
        return FILE_BYTES_MAX if declared is None else max(0, declared - came)

    async def _store(self, piece: bytearray) -> None:
        self._reserve.check()
        name = part_name(self._job.id, self._epoch, self.reached)
        self._md5s.append(await asyncio.to_thread(_md5, piece))
        await self._storage.put_bytes(name, piece)
        part = Part(self.reached, name, len(piece))
        async with self._db.transaction() as conn:
            added = await store.add_part(
                conn, self._job.brand_id, self._job.id, part, upload_epoch=self._epoch, kept=UNFINISHED_KEPT
            )
            failpoint("optout_part.before_commit")
        failpoint("optout_part.after_commit")
        if not added:
            await self._storage.delete([name])
            raise _taken_over()
        self.reached += part.bytes


def _check_may_begin(job: Job, offset: int | None) -> None:
    if job.state == "removed":
        raise NotFound(f"The job {job.id} was removed.")
    if job.state != "uploading":
        raise Conflict("The file has come already. Ask for the status of its import.")
    # Whoever begins anew begins; whoever goes on has begun before.
    if job.is_too_late and (offset is None or not job.is_begun):
        raise LinkExpired("The time to begin this upload is over. Prepare another one.")
    if offset is not None and offset != job.received_bytes:
        raise Conflict(f"The file has reached byte {job.received_bytes}; send it from there.")


def _taken_over() -> Conflict:
    return Conflict("Somebody else sends this file by now, or it was removed; this upload stops.")


def _md5(data: bytes | bytearray) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
