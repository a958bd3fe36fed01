"""Running nft: transactions on one table, in the network namespace that this process is in."""

import asyncio
import subprocess
from collections.abc import Sequence

from sagong.network.tables.family import IPV4, Family

NFT_SECONDS_MAX = 60.0  # 10,000 services take a few seconds; past this the kernel is stuck


class NftError(Exception):
    """nft refused a transaction or could not be run; nothing of the transaction was applied."""


class Nft:
    """The nft program. A transaction is applied as a whole or not at all."""

    def __init__(self, command: Sequence[str] = ("nft",)) -> None:
        """``command`` may carry a prefix, as ``nsenter --net=PATH nft``."""
        self._command = tuple(command)

    async def apply(self, text: str) -> None:
        """Commit a transaction. Raises NftError."""
        await self._run("-f", "-", stdin=text.encode())

    async def list_counters(self, table: str, family: Family = IPV4) -> str:
        """A table's named counters, as nft's JSON. Raises NftError, also if there is no table."""
        return await self._run("-j", "list", "counters", "table", family.word, table)

    async def _run(self, *arguments: str, stdin: bytes = b"") -> str:
        # In a thread, not with the loop's own subprocesses: those fork with the handlers that gRPC
        # registers, and a child that ends before it has read its input breaks uvloop's pipe.
        return await asyncio.to_thread(self._run_blocking, arguments, stdin)

    def _run_blocking(self, arguments: Sequence[str], stdin: bytes) -> str:
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                input=stdin,
                capture_output=True,
                timeout=NFT_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NftError(f"nft took longer than {NFT_SECONDS_MAX:.0f} s") from error
        except OSError as error:
            raise NftError(f"nft cannot be run: {error}") from error
        if done.returncode != 0:
            raise NftError(done.stderr.decode(errors="replace").strip()[:2000])
        return done.stdout.decode(errors="replace")
