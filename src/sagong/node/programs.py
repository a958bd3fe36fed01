"""Running the system's programs: mkfs, mount, blkid, busctl."""

import asyncio

RUN_SECONDS = 300.0  # making a filesystem on a large disk


class ProgramFailure(Exception):
    """A program did not succeed; the text has what it said."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


async def run_program(program: str, *arguments: str) -> str:
    """What it printed. Raises ProgramFailure."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise ProgramFailure(
            f'exec: "{program}": executable file not found in $PATH', 127
        ) from error
    try:
        async with asyncio.timeout(RUN_SECONDS):
            out, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    text = out.decode(errors="replace")
    if process.returncode:
        shown = " ".join(arguments)
        raise ProgramFailure(
            f"{program} failed: exit status {process.returncode}\n"
            f"Arguments: {shown}\nOutput: {text}",
            process.returncode,
        )
    return text
