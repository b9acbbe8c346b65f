"""What the doors call: the services of the features, put together once in `stentor.wiring`."""

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.keyring import KeyRing
from stentor.accounts.service import AccountService
from stentor.db.pool import Database


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """One service per noun; handlers find them as `request.services`."""

    database: Database
    keys: KeyRing
    brands: BrandDirectory
    accounts: AccountService
