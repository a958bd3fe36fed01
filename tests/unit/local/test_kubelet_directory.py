"""The machine's kubelet directory goes to the first agent, and is never taken from others."""

from pathlib import Path

from sagong.local.kubelet_directory import claim, release


def test_the_first_agent_gets_it(tmp_path: Path) -> None:
    link, first, second = (tmp_path / name for name in ("var/kubelet", "first", "second"))
    first.mkdir()
    second.mkdir()
    assert claim(first, link) == link
    assert link.resolve() == first
    assert claim(first, link) == link
    assert claim(second, link) == second
    release(second, link)
    assert link.resolve() == first
    release(first, link)
    assert not link.is_symlink()


def test_what_is_left_of_an_agent_is_taken_over(tmp_path: Path) -> None:
    link, gone, new = (tmp_path / name for name in ("kubelet", "gone", "new"))
    link.symlink_to(gone)
    new.mkdir()
    assert claim(new, link) == link
    assert link.resolve() == new


def test_a_real_kubelet_keeps_its_directory(tmp_path: Path) -> None:
    link, agent = tmp_path / "kubelet", tmp_path / "agent"
    (link / "pods").mkdir(parents=True)
    assert claim(agent, link) == agent
    release(agent, link)
    assert (link / "pods").is_dir()
