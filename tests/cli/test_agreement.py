"""The commands of agreements and incidents as an organisation and a wearer type them."""

import json
import re
from datetime import UTC, datetime

from firsthand.consent.terms import text

PAST = "2020-01-05T08:30:00"


def test_from_the_text_to_what_counsel_gets(call, tmp_path):
    assert call("person", "add", "ana", "--place", "NL")[0] == 0
    assert call("agreement", "sign", "ana")[0] == 10  # none is asked
    assert call("consent", "adopt", "wearer1")[0] == 2  # it is no consent
    assert call("agreement", "adopt", "2")[0] == 2  # and a consent is no agreement
    code, said = call("agreement", "adopt", "wearer1")
    assert (code, "without an agreement after" in said) == (0, True)
    assert call("agreement", "text")[1] == text.read_text("wearer1").words
    assert call("agreement", "sign", "ana")[0] == 13  # the quiz first
    right = ",".join(str(asked["right"] + 1) for asked in text.read_text("wearer1").questions)
    me = ("agreement", "quiz", "ana", "--of-age", "--own-hand", "--answers")
    assert call(*me, "3,3,3,3,3")[0] == 13
    assert call(*me, right) == (0, "5 of 5 are right: ana may sign text wearer1\n")
    assert call("agreement", "sign", "ana", "--by", "bea")[0] == 13
    assert call("agreement", "sign", "ana", "--until", PAST)[0] == 2
    code, said = call("agreement", "sign", "ana")
    assert (code, said.startswith("ana signs wearer1 until ")) == (0, True)
    (row,) = json.loads(call("agreement", "show", "ana", "--json")[1])
    assert (row["quarantined_s"], len(row["signed"])) == (0, 1)
    assert "ana" in call("agreement", "show")[1]
    key = re.search(r"key=(\S+)", call("access", "give", "rita", "--role", "reviewer")[1])[1]
    free = ("agreement", "free", "ana", PAST, "2020-01-05T09:00:00")
    assert call(*free)[0] == 2  # who?
    assert call(*free, "--key", key)[0] == 2  # nothing is in quarantine
    note = ("incident", "note", "ana", "A guest minded.", "--at", PAST, "--by", "desk")
    assert call(*note, "--kind", "mishap")[0] == 2
    assert call(*note, "--kind", "complaint")[0] == 0
    assert "A guest" in call("incident", "list", "--person", "ana")[1]
    (noted,) = json.loads(call("incident", "list", "--json")[1])
    assert noted["kind"] == "complaint"
    assert "complaint" in call("incident", "kinds")[1]
    file = tmp_path / "counsel.json"
    file.touch(mode=0o644)  # whoever could read it before, cannot now
    ask = ("agreement", "export", "ana", "2020-01-01", "2099-01-01", "--by", "Lex", "--why", "suit")
    assert call(*ask, "--out", str(file))[0] == 0
    told = json.loads(file.read_text())
    assert [each["id"] for each in told["incidents"]] == [noted["id"]]
    assert [each["right"] for each in told["quizzes"]] == [1, 5]
    assert file.stat().st_mode & 0o077 == 0
    assert call("export", "ana", "--out", str(tmp_path / "mine"))[0] == 0  # the wearer's own
    (papers,) = (tmp_path / "mine").glob("*.json")
    mine = json.loads(papers.read_text())
    assert [len(mine[name]) for name in ("agreements", "incidents")] == [1, 1]
    assert call("agreement", "end", "ana") == (0, "1 agreement of ana ended\n")


def test_a_monitor_stops_a_study_and_lets_it_go_on(call):
    assert call("person", "add", "ana", "--place", "NL")[0] == 0
    to = ("--for", "train-general-model", "--by", "the board", "--until", "2099-01-01")
    assert call("run", "add-approval", "IRB-7", *to)[0] == 0
    fell = ("incident", "note", "ana", "A fall.", "--by", "nurse", "--kind", "adverse", "--at")
    unwatched = call(*fell, PAST, "--study", "IRB-7")
    assert (unwatched[0], "nobody watches over IRB-7" in unwatched[1]) == (0, True)
    code, said = call("access", "give", "mona", "--role", "monitor")
    assert (code, "pages:" in said) == (0, False)  # an address would open nothing
    key = re.search(r"key: (\S+)", said)[1]
    watch = ("incident", "watch", "IRB-7", "--monitor", "mona", "--most", "2", "--days", "9")
    assert call("incident", "stop", "IRB-7", "--key", key)[0] == 2  # nobody watches over it
    assert call(*watch)[0] == 0
    now = datetime.now(UTC).isoformat()
    assert call(*fell, now)[0] == 2  # of which study?
    assert "nobody watches" not in call(*fell, now, "--study", "IRB-7")[1]
    code, said = call(*fell, now, "--study", "IRB-7")
    assert (code, "stands still until its monitor" in said) == (0, True)
    under = ("person", "add", "bo", "--place", "NL", "--approval", "IRB-7")
    assert call(*under)[0] == 13
    assert call("incident", "resume", "IRB-7", "--key", "wrong")[0] == 12
    assert call("incident", "resume", "IRB-7", "--key", key)[0] == 0
    assert call(*under)[0] == 0
    assert call("incident", "stop", "IRB-7", "--key", key)[0] == 0


def test_ones_own_words_are_an_agreement_without_saying_so(call, tmp_path):
    (tmp_path / "words.md").write_text("Wear it well.\n")
    assert call("person", "add", "ana", "--place", "NL")[0] == 0
    assert call("agreement", "adopt", "ours1", "--words", "words.md")[0] == 0
    assert call("agreement", "text") == (0, "Wear it well.\n")
    assert call("agreement", "text", "--version", "ours1") == (0, "Wear it well.\n")
    code, said = call("agreement", "text", "--version", "2")  # a consent's
    assert (code, "text 2 is no agreement" in said) == (2, True)
    code, said = call("agreement", "text", "--version", "none")
    assert (code, "shipped: 1, 2, wearer1" in said) == (10, True)
    (tmp_path / "later.json").write_text('{"older": {"effect": "keep", "days": 9}}')
    first = call("agreement", "show", "ana", "--json")[1]
    with_days = ("--words", "words.md", "--data", "later.json")
    said = call("agreement", "adopt", "ours2", *with_days)[1]
    assert datetime.now(UTC).date().isoformat() in said  # asked since the first, and still
    assert call("agreement", "show", "ana", "--json")[1] == first
    assert "Consent" in call("consent", "text")[1]
