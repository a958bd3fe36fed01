"""What a tree takes of its filesystem."""

from pathlib import Path

from sagong.node.disk_usage import NOTHING, used_by_files, used_by_tree


def test_a_tree_is_counted_with_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"x" * 10_000)
    (root / "a" / "out").symlink_to(tmp_path)  # not followed
    paths = [root, *root.rglob("*")]
    used = used_by_tree(root)
    assert used.inodes == 5
    assert used.size == sum(p.lstat().st_blocks * 512 for p in paths)
    assert used.size >= 10_000


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert used_by_tree(tmp_path / "gone") == NOTHING
    assert used_by_files(tmp_path / "gone") == NOTHING
