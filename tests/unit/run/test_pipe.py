from __future__ import annotations

import fcntl
import os

import pytest

from ci_sessions.run.pipe import PipeReader


@pytest.fixture
def pipe():
    """Yield a function that writes bytes, a reader of them, and the list of texts that it passes."""
    read, write = os.pipe()
    texts = []
    with os.fdopen(read, "rb") as file, os.fdopen(write, "wb", buffering=0) as source:
        yield source, PipeReader(file, texts.append), texts


def test_only_complete_lines_are_passed_on_at_once(pipe):
    source, reader, texts = pipe
    source.write(b"one\ntwo\nthr")
    assert reader.read(0.01)
    assert texts == ["one\ntwo\n"]
    source.write(b"ee\n")
    reader.read(0.01)
    assert texts == ["one\ntwo\n", "three\n"]
    source.close()
    assert not reader.read(0.01)
    reader.finish()
    assert texts == ["one\ntwo\n", "three\n"]


def test_a_character_in_two_pieces_is_decoded_as_one(pipe):
    source, reader, texts = pipe
    first, second = "é".encode()[:1], "é".encode()[1:]
    source.write(b"caf" + first)
    reader.read(0.01)
    source.write(second + b"\n\xff" + first)
    reader.read(0.01)
    assert texts == ["café\n"]
    reader.finish()
    assert texts == ["café\n", "\udcff\udcc3"]


def test_an_incomplete_line_is_passed_on_if_it_is_long_but_no_part_of_a_character(pipe):
    source, reader, texts = pipe
    line = b"x" * 40_000
    for piece in (line, line + "é".encode()[:1], "é".encode()[1:] + b"!\n"):
        source.write(piece)
        reader.read(0.01)
    assert texts == ["x" * 80_000, "é!\n"]


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="only Linux can enlarge a pipe")
def test_a_pipe_holds_a_megabyte_so_that_a_test_that_prints_much_waits_less(pipe):
    source, reader, texts = pipe
    text = b"x" * 99 + b"\n"
    os.set_blocking(source.fileno(), False)
    assert source.write(text * 10_000) == 1_000_000
    while sum(map(len, texts)) < 1_000_000:
        reader.read(0.01)
    assert "".join(texts).encode() == text * 10_000


def test_a_pipe_that_may_not_grow_is_still_read(pipe, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    read, write = os.pipe()
    with os.fdopen(read, "rb") as file:
        reader = PipeReader(file, pipe[2].append)
        os.write(write, b"text\n")
        reader.read(0.01)
        os.close(write)
    assert pipe[2] == ["text\n"]
