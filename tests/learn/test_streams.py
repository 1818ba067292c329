import pyarrow.csv
import pyarrow.parquet
import pytest

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.streams import Step, Stream, check, read_streams, split

HEAD = "person,recording,start_s,stop_s,verb,noun\n"
ROWS = "a,v1,0.5,2,take,cup\na,v1,1.5,3,wash,cup\nb,v9,0,1,open,door\na,v2,0,1,take,cup\n"


def stream_file(tmp_path, text):
    path = tmp_path / "events.csv"
    path.write_text(text)
    return path


def test_rows_become_steps_of_each_person_in_order(tmp_path):
    a, b = read_streams(stream_file(tmp_path, HEAD + ROWS))
    assert (a.person, b.person, a.own, a.world) == ("a", "b", ("verb", "noun"), ())
    assert a.steps[0] == Step(500_000_000, 2_000_000_000, "v1", ("take", "cup"), (), "start")
    assert [step.gap for step in a.steps] == ["start", "none", "start"]
    assert a.lineage["release"] == "none"


def test_parquet_gives_the_same_streams_as_csv(tmp_path):
    path = stream_file(tmp_path, HEAD + ROWS)
    other = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), other)
    pairs = zip(read_streams(path), read_streams(other), strict=True)
    assert all(left.steps == right.steps for left, right in pairs)


def test_fields_not_named_own_belong_to_the_world(tmp_path):
    stream = read_streams(stream_file(tmp_path, HEAD + ROWS), own=("verb",))[0]
    assert (stream.own, stream.world, stream.steps[0].world) == (("verb",), ("noun",), ("cup",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("person,recording,start_s,verb\na,v,0,take\n", "no column 'stop_s'"),
        ("person,recording,start_s,stop_s\na,v,0,1\n", "no column with a field"),
        (HEAD + "a,v1,soon,2,take,cup\n", "row 2, column start_s: 'soon'"),
        (HEAD + "a,v1,nan,2,take,cup\n", "row 2, column start_s: 'nan'"),
        (HEAD + "a,v1,3,2,take,cup\n", "row 2, column stop_s: before start_s"),
        (HEAD + "a,v1,3,4,take,cup\na,v1,2,5,take,cup\n", "row 3, column start_s: time runs back"),
        (HEAD + "a,v1,3,4,,cup\n", "row 2, column verb: empty"),
        (HEAD + ",v1,3,4,take,cup\n", "row 2, column person: empty"),
        (HEAD + "a,v1,3,4,take\n", "row 2: 6 columns"),
        (HEAD, "holds no rows"),
    ],
)
def test_a_broken_file_is_told_by_row_and_column(tmp_path, text, told):
    with pytest.raises(Damaged) as caught:
        read_streams(stream_file(tmp_path, text))
    assert told in caught.value.message


def test_a_missing_file_and_an_unknown_own_field_are_told(tmp_path):
    with pytest.raises(NotFound):
        read_streams(tmp_path / "none.csv")
    with pytest.raises(Usage, match="mood"):
        read_streams(stream_file(tmp_path, HEAD + ROWS), own=("mood",))


def test_what_is_no_parquet_is_damaged(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 or so")
    with pytest.raises(Damaged):
        read_streams(path)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("verb", float("nan"), "row 1, column verb: nan is no text"),
        ("noun", ["cup"], "row 1, column noun: ['cup'] is no text"),
        ("noun", True, "row 1, column noun: True is no text"),
        ("stop_s", False, "row 1, column stop_s: False is no time"),
        ("start_s", float("nan"), "row 1, column start_s: 'nan' is no time"),
    ],
)
def test_a_parquet_value_of_a_wrong_kind_is_told_by_row_and_column(tmp_path, column, value, told):
    row = {"person": "a", "recording": "v", "start_s": 0.0, "stop_s": 1, "verb": "x", "noun": "y"}
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row | {column: value}]), path)
    with pytest.raises(Damaged) as caught:
        read_streams(path)
    assert told in caught.value.message


def stream_of(recordings):
    steps = tuple(Step(i, i + 1, name, ("x",)) for i, name in enumerate(recordings))
    return Stream("a", ("f",), (), steps)


def test_the_last_recording_is_held_out_and_the_one_before_is_for_development():
    assert split(stream_of("aaabbbcc")) == (3, 6)


def test_a_single_recording_is_cut_by_steps():
    assert split(stream_of("a" * 25)) == (16, 20)


def test_a_step_that_stops_before_it_starts_is_refused():
    with pytest.raises(Damaged, match="step 0 of person a"):
        check(Stream("a", ("f",), (), (Step(5, 4, "r", ("x",)),)))


HEADER = b"person,recording,start_s,stop_s,act\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"person,recording,start_s,stop_s,act,act\n", "'act' twice"),
        (HEADER + "p,r,0,1,café\n".encode("latin-1"), "UTF-8"),
        (HEADER + b"p,r,1704067200000,1704067201000,walk\n", "row 2, column start_s.*seconds"),
        (HEADER + b"p,r,0,1e300,walk\n", "row 2, column stop_s"),
        (HEADER + b"p,r,0,1," + b"x" * 200_000 + b"\n", "row"),
        (HEADER + b'p,r,0,1,"two\nlines"\n\np,r,nan,2,walk\n', "row 5, column start_s"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, data, told):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(Damaged, match=told):
        read_streams(tmp_path / "a.csv")


def test_a_mark_before_the_header_is_no_part_of_it(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + HEADER + b"p,r,0,1,walk\n")
    assert read_streams(tmp_path / "a.csv")[0].own == ("act",)
