"""An organisation whose people sign in, over real services: for tests of accounts."""

from typing import Any

import msgspec

from stentor.accounts import totp
from stentor.accounts.attempts import Attempts
from stentor.accounts.devices import Devices
from stentor.accounts.invitations import InvitationService
from stentor.accounts.joining import JoiningService
from stentor.accounts.model import Brand
from stentor.accounts.passwords import Passwords
from stentor.accounts.roles import Role
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.second_factors import SecondFactors
from stentor.accounts.service import AccountService
from stentor.accounts.sessions import SessionService
from stentor.accounts.sign_in import SignInService
from stentor.accounts.user_model import NewSession, Origin, SignedIn, User
from stentor.accounts.users import UserService
from stentor.clock import Clock
from stentor.db.pool import Database

PASSWORD = "correct horse battery"
HOME = Origin("192.0.2.7", "192.0.2.7", "Firefox")


class People(msgspec.Struct):
    """One brand of one organisation, and the services by which its people sign in."""

    db: Database
    brand: Brand
    accounts: AccountService
    users: UserService
    invitations: InvitationService
    attempts: Attempts
    sessions: SessionService
    factors: SecondFactors
    sign_in: SignInService
    joining: JoiningService
    devices: Devices
    links: LinkTokens
    clock: Clock

    @classmethod
    async def made(cls, db: Database, *, sends_mail: bool = True) -> "People":
        return cls.over(db, await AccountService(db, b"p" * 32).create_brand("Football"), sends_mail=sends_mail)

    @classmethod
    def over(cls, db: Database, brand: Brand, *, sends_mail: bool = True) -> "People":
        """The same over a brand that is there already."""
        clock, links = Clock(db.shift), LinkTokens(b"l" * 32)
        accounts = AccountService(db, b"p" * 32)
        attempts, sessions = Attempts(db, b"a" * 32), SessionService(db, b"s" * 32)
        factors = SecondFactors(db, attempts, clock, key=b"f" * 32)
        invitations = InvitationService(db, links, attempts, sends_mail=sends_mail)
        devices, passwords = Devices(b"d" * 32, clock), Passwords(b"w" * 32)
        sign_in = SignInService(
            db,
            passwords=passwords,
            sessions=sessions,
            factors=factors,
            attempts=attempts,
            devices=devices,
            links=links,
            sends_mail=sends_mail,
        )
        return cls(
            db=db,
            brand=brand,
            accounts=accounts,
            users=UserService(db),
            invitations=invitations,
            attempts=attempts,
            sessions=sessions,
            factors=factors,
            sign_in=sign_in,
            joining=JoiningService(db, passwords=passwords, sessions=sessions, invitations=invitations),
            devices=devices,
            links=links,
            clock=clock,
        )

    async def user(self, email: str, role: Role = "owner", *, in_brand: bool = False) -> User:
        """A user with that role, whose password is PASSWORD."""
        user = await self.users.create(
            email,
            email.partition("@")[0],
            organisation_id=self.brand.organisation_id,
            role=role,
            brand_id=self.brand.id if in_brand else None,
        )
        session = await self.sign_in.by_link(await self.sign_in.link_for(user), PASSWORD, HOME, instead_of=None)
        await self.sessions.sign_out(session.token)
        return user

    async def enters(self, email: str, password: str = PASSWORD, **more: Any) -> NewSession:
        """The session of whoever enters these."""
        return await self.sign_in.by_password(email, password, HOME, **{"instead_of": None, **more})

    async def who(self, session: NewSession) -> SignedIn:
        found = await self.sessions.signed_in(session.token)
        assert found is not None
        return found

    def code(self, secret: bytes, steps: int = 0) -> str:
        """What an app shows, so many steps from now."""
        return totp.code_of(secret, totp.step_at(self.clock.now().timestamp()) + steps)

    async def factor(self, session: NewSession) -> tuple[bytes, NewSession, list[str]]:
        """A second factor in use: its secret, the session after it, and the recovery codes."""
        who = await self.who(session)
        secret = await self.sign_in.begin_second_factor(who, PASSWORD)
        fresh, codes = await self.sign_in.confirm_second_factor(who, session.token, self.code(secret))
        return secret, fresh, codes
