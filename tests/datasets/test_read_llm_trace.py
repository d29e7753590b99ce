import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest

from dfl_sklearn.datasets import _read_llm_trace, read_llm_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def write(folder, *lines, header=HEADER, name="trace.csv"):
    path = folder / name
    path.write_text(header + "".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def shuffled(tmp_path):
    """300 requests over ten minutes, out of order, with silent bins; and the raw table."""
    rng = np.random.RandomState(0)
    ticks = np.sort(rng.randint(0, 6_000_000_000, size=300))  # units of 100 ns
    stamps = pd.Timestamp("2023-11-16 18:15:46.6805900") + pd.to_timedelta(ticks * 100, unit="ns")
    table = pd.DataFrame(
        {
            "TIMESTAMP": [s.strftime("%Y-%m-%d %H:%M:%S.") + f"{s.value // 100 % 10**7:07d}"
                          for s in stamps],
            "ContextTokens": rng.randint(0, 5000, size=300),
            "GeneratedTokens": rng.randint(0, 500, size=300),
        }
    ).sample(frac=1, random_state=1)  # fmt: skip
    path = tmp_path / "shuffled.csv"
    table.to_csv(path, index=False)
    return path, table


@pytest.mark.parametrize("freq", ["5s", "7s", "1min", "250ms"])
def test_against_pandas_resample(shuffled, freq):
    path, table = shuffled
    frame = read_llm_trace(path, freq=freq)
    table = table.set_index(pd.to_datetime(table["TIMESTAMP"]).astype("datetime64[ns]"))
    bins = table.sort_index().resample(freq, origin="epoch")
    assert (frame.index == bins.size().index).all()
    np.testing.assert_array_equal(frame["context_tokens"], bins["ContextTokens"].sum())
    np.testing.assert_array_equal(frame["generated_tokens"], bins["GeneratedTokens"].sum())
    np.testing.assert_array_equal(frame["requests"], bins.size())
    assert (frame["requests"] == 0).any() or freq == "1min"
    assert (frame.dtypes == np.int64).all()
    assert frame.index.freq == pd.Timedelta(freq)


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100, 299, 300, 301])
def test_chunk_size_has_no_influence(shuffled, chunksize):
    path, _ = shuffled
    pd.testing.assert_frame_equal(
        read_llm_trace(path, chunksize=chunksize), read_llm_trace(path, chunksize=10**6)
    )


def test_bin_borders_are_exact(tmp_path):
    path = write(
        tmp_path,
        "2023-11-16 18:00:04.9999999,1,0",
        "2023-11-16 18:00:05.0000000,10,0",
        "2023-11-16 18:00:09.9999999,100,0",
    )
    frame = read_llm_trace(path)
    assert frame["context_tokens"].tolist() == [1, 110]
    assert frame.index[0] == pd.Timestamp("2023-11-16 18:00:00")


def test_offsets_are_converted_to_utc(tmp_path):
    naive = write(tmp_path, "2024-05-10 00:00:01.5,1,2", "2024-05-10 00:00:07,3,4")
    mixed = write(
        tmp_path,
        "2024-05-10 00:00:01.5+00:00,1,2",
        "2024-05-10T02:00:07+02:00,3,4",
        name="mixed.csv",
    )
    pd.testing.assert_frame_equal(read_llm_trace(naive), read_llm_trace(mixed))
    assert read_llm_trace(mixed).index.tz is None


def test_times_before_1970_are_floored(tmp_path):
    frame = read_llm_trace(write(tmp_path, "1969-12-31 23:59:58,1,2", "1970-01-01 00:00:00,3,4"))
    assert frame.index[0] == pd.Timestamp("1969-12-31 23:59:55")
    assert frame["context_tokens"].tolist() == [1, 3]


def test_extra_columns_blank_lines_bom_and_gzip(tmp_path):
    text = (
        "\ufeffGeneratedTokens,User,TIMESTAMP,ContextTokens\r\n"
        "2,a,2023-11-16 18:00:01,1\r\n"
        "\r\n"
        "4,,2023-11-16 18:00:02,3\r\n"
    )
    path = tmp_path / "trace.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(text.encode())
    frame = read_llm_trace(str(path))
    assert frame.to_numpy().tolist() == [[4, 6, 2]]


GOOD = "2023-11-16 18:00:01,1,2"


@pytest.mark.parametrize(
    ("line", "column", "text"),
    [
        ("2023-11-16 18:00:01,-1,2", "ContextTokens", "'-1'"),
        ("2023-11-16 18:00:01,nan,2", "ContextTokens", "'nan'"),
        ("2023-11-16 18:00:01,,2", "ContextTokens", "''"),
        ("2023-11-16 18:00:01,1.5,2", "ContextTokens", "'1.5'"),
        ("2023-11-16 18:00:01,1,inf", "GeneratedTokens", "'inf'"),
        ("2023-11-16 18:00:01,1,1e300", "GeneratedTokens", "'1e300'"),
        ("2023-11-16 18:00:01,1,many", "GeneratedTokens", "'many'"),
        ("2023-11-16 18:00:01,1,True", "GeneratedTokens", "'True'"),
        ("2023-11-16 18:00:01,1", "GeneratedTokens", "''"),
        ("yesterday,1,2", "TIMESTAMP", "'yesterday'"),
        ("2023-13-16 18:00:01,1,2", "TIMESTAMP", "'2023-13-16 18:00:01'"),
        ("9999-01-01 00:00:00,1,2", "TIMESTAMP", "'9999-01-01 00:00:00'"),
        (",1,2", "TIMESTAMP", "''"),
    ],
)
@pytest.mark.parametrize("chunksize", [2, 1000])
def test_bad_field_is_named(tmp_path, line, column, text, chunksize):
    path = write(tmp_path, GOOD, "", GOOD, GOOD, line, GOOD)
    with pytest.raises(ValueError) as info:
        read_llm_trace(path, chunksize=chunksize)
    assert f"{path}, line 6: {column} is {text}, expected" in str(info.value)


def test_missing_column(tmp_path):
    path = write(tmp_path, "2023-11-16 18:00:01,1", header="TIMESTAMP,ContextTokens\n")
    with pytest.raises(ValueError, match="has no column GeneratedTokens") as info:
        read_llm_trace(path)
    assert str(path) in str(info.value)


def test_surplus_fields(tmp_path):
    with pytest.raises(ValueError, match=r"trace.csv.*line 4"):
        read_llm_trace(write(tmp_path, GOOD, GOOD, GOOD + ",5", GOOD))
    with pytest.raises(ValueError, match=r"trace.csv, line 2: more fields"):
        read_llm_trace(write(tmp_path, GOOD + ",5", GOOD + ",5"))


def test_no_requests(tmp_path):
    with pytest.raises(ValueError, match=r"trace.csv holds no request"):
        read_llm_trace(write(tmp_path))
    with pytest.raises(ValueError, match=r"trace.csv holds no request"):
        read_llm_trace(write(tmp_path, "", ""))
    with pytest.raises(ValueError, match=r"trace.csv is not a readable csv file"):
        read_llm_trace(write(tmp_path, header=""))


def test_not_text(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_bytes(HEADER.encode() + b"\xff\xfe\xfa,1,2\n")
    with pytest.raises(ValueError, match=r"trace.csv is not a readable csv file"):
        read_llm_trace(path)


def test_missing_file(tmp_path):
    with pytest.raises(OSError, match=r"nowhere\.csv"):
        read_llm_trace(tmp_path / "nowhere.csv")


def test_absurd_span(tmp_path, monkeypatch):
    monkeypatch.setattr(_read_llm_trace, "MAX_BINS", 1000)
    path = write(tmp_path, "2023-11-16 18:00:01,1,2", "2203-11-16 18:00:01,1,2")
    with pytest.raises(ValueError, match="from 2023-11-16 18:00:00 to 2203-11-16 18:00:00"):
        read_llm_trace(path)


@pytest.mark.parametrize("chunksize", [0, -1])
def test_bad_chunksize(tmp_path, chunksize):
    with pytest.raises(ValueError, match="chunksize must be at least 1"):
        read_llm_trace(write(tmp_path, GOOD), chunksize=chunksize)


def archive_of(path, data):
    """Write compressed data in the way of the suffix."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("trace.csv", data)
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as file:
            info = tarfile.TarInfo("trace.csv")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    else:
        opened = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[path.suffix]
        with opened(path, "wb") as file:
            file.write(data)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip", ".tar"])
def test_damaged_archives_are_named(tmp_path, suffix):
    rng = np.random.default_rng(0)
    lines = [
        f"2023-11-16 18:00:{i % 60:02d},{a},{b}"
        for i, (a, b) in enumerate(rng.integers(0, 10**6, (3000, 2)))
    ]
    good = tmp_path / f"good.csv{suffix}"
    archive_of(good, (HEADER + "\n".join(lines) + "\n").encode())
    assert read_llm_trace(good)["requests"].sum() == 3000
    sound = good.read_bytes()
    n = len(sound)
    flipped = bytearray(sound)
    flipped[n // 2 : n // 2 + 40] = bytes(255 - each for each in flipped[n // 2 : n // 2 + 40])
    damages = {
        "empty": b"",
        "cut": sound[: n // 2],
        "head only": sound[:20],
        "other": b"no archive at all, " * 50,
        "flipped": bytes(flipped),
    }
    for name, data in damages.items():
        path = tmp_path / f"{name}.csv{suffix}"
        path.write_bytes(data)
        if suffix == ".tar" and name in ("cut", "flipped"):
            # Tar has no check sum of what it holds: the line that is damaged is named then.
            with pytest.raises((OSError, ValueError), match=f"{name}.csv"):
                read_llm_trace(path)
            continue
        with pytest.raises(OSError, match=f"{name}.csv"):
            read_llm_trace(path)


def test_archives_without_one_table_are_named(tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.csv", "x")
        file.writestr("b.csv", "x")
    with pytest.raises(OSError, match=r"two\.zip"):
        read_llm_trace(path)
    text = tmp_path / "binary.csv.gz"
    archive_of(text, bytes(range(128, 256)) * 10)
    with pytest.raises(OSError, match=r"binary\.csv\.gz"):
        read_llm_trace(text)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_llm_trace(tmp_path / "nowhere.csv.gz")
