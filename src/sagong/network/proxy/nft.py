"""Running nft: transactions on one table, in the network namespace that this process is in."""

import asyncio
from collections.abc import Sequence

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

    async def has_table(self, table: str) -> bool:
        """Whether the ``ip`` table is there."""
        listing = await self._run("list", "tables", "ip")
        return f"table ip {table}" in listing.splitlines()

    async def _run(self, *arguments: str, stdin: bytes = b"") -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise NftError(f"nft cannot be run: {error}") from error
        try:
            async with asyncio.timeout(NFT_SECONDS_MAX):
                output, complaint = await process.communicate(stdin)
        except TimeoutError as error:
            raise NftError(f"nft took longer than {NFT_SECONDS_MAX:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise NftError(complaint.decode(errors="replace").strip()[:2000])
        return output.decode(errors="replace")
