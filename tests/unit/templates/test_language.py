"""The language of message templates: results, faults, and bounds that nothing gets past."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.templates.cases import CASES, DATA, FAILS, INVALID, SPRIG

from gbe.errors import (
    TemplateError,
    TemplateFailedError,
    TemplateForbiddenError,
    TemplateSyntaxError,
    TemplateTimeoutError,
)
from gbe.templates.data import decode_json
from gbe.templates.functions import FUNCTIONS
from gbe.templates.limits import Limits
from gbe.templates.template import Template


def render(source: str, data: str = DATA, limits: Limits | None = None) -> str:
    return Template.parse(source).render(decode_json(data), limits or Limits(seconds=60.0))


def outcome(source: str) -> str:
    try:
        return render(source)
    except TemplateSyntaxError:
        return INVALID
    except TemplateFailedError:
        return FAILS


@pytest.mark.parametrize(("source", "expected"), [*CASES, *SPRIG], ids=range(len(CASES) + len(SPRIG)))
def test_a_template_prints_what_go_would(source: str, expected: str) -> None:
    """The table of the language and of the functions."""
    assert outcome(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '{{define "x"}}{{end}}',
        '{{template "x"}}',
        '{{block "x" .}}{{end}}',
        "{{call .f}}",
        "{{if call .f}}{{end}}",
        "{{- template `x` -}}",
    ],
)
def test_what_runs_other_code_is_forbidden(source: str) -> None:
    """``define``, ``template``, ``block`` and ``call`` have an error of their own."""
    with pytest.raises(TemplateForbiddenError):
        Template.parse(source)


def test_words_of_text_are_no_calls() -> None:
    """Only actions are looked at: a message may speak of templates."""
    assert render("call the block template {{print `call`}}") == "call the block template call"


@pytest.mark.parametrize(
    "source",
    [
        "{{range 100000000000}}{{end}}",
        "{{range 200}}{{range 200}}{{end}}{{end}}",
        '{{repeat 1000000000 "x"}}',
        "{{until 1000000000}}",
        "{{untilStep 0 9223372036854775807 1}}",
        "{{seq 1 1000000000}}",
        '{{printf "%1000d" 1}}',
        '{{printf "%.999999999f" 1.0}}',
        '{{printf "%*d" 100000 1}}',
        '{{indent 101 "x"}}',
        '{{$x := "ab"}}{{range 100}}{{$x = print $x $x}}{{end}}',
        "{{$x := list 1 1}}{{range 100}}{{$x = concat $x $x}}{{end}}",
        "{{$x := list 1 1}}{{range 30}}{{$x = list $x $x}}{{end}}{{print $x}}",
        "{{$x := list 1 1}}{{range 30}}{{$x = list $x $x}}{{end}}{{toJson $x}}",
        "{{$x := list 1 1}}{{range 30}}{{$x = list $x $x}}{{end}}{{deepEqual $x $x}}",
        "{{$x := list}}{{range 1000}}{{$x = list $x}}{{end}}{{print $x}}",
        '{{$d := dict}}{{$_ := set $d "d" $d}}{{$d}}',
        '{{$d := dict}}{{$_ := set $d "d" $d}}{{toJson $d}}',
        '{{$x := repeat 90000 "x"}}{{range 1000}}{{$x}}{{end}}',
        '{{$x := repeat 90000 "a"}}{{range 9000}}{{$_ := contains "b" $x}}{{end}}',
        '{{$x := repeat 90000 "a"}}{{range 9000}}{{$_ := regexMatch "(a|a)*b" $x}}{{end}}',
        '{{$x := repeat 90000 "a"}}{{replace "a" "aaaa" $x}}',
        '{{$x := repeat 90000 "<"}}{{html $x}}',
        '{{regexReplaceAll "" (repeat 9000 "a") (repeat 90 "b")}}',
        "{{$x := list}}{{range 5000}}{{$x = append $x .}}{{end}}{{uniq $x}}",
        '{{$x := list}}{{range 9000}}{{$x = append $x "aaaaaaaaaaaaaaaaaaaaaaaaa"}}{{end}}{{join "," $x}}',
        '{{b64enc (repeat 90000 "x")}}',
    ],
)
def test_nothing_runs_or_grows_without_end(source: str) -> None:
    """Loops, strings, lists, nesting, cycles and patterns all end at a bound."""
    with pytest.raises((TemplateFailedError, TemplateTimeoutError)):
        render(source)


def test_patterns_take_linear_time() -> None:
    """What makes backtracking engines hang is matched at once."""
    assert render('{{regexMatch "^(a+)+$" (print (repeat 5000 "a") "b")}}') == "false"


def test_time_is_up_when_the_budget_says_so() -> None:
    """The clock is the thread's own, so a busy machine does not fail templates."""
    source = "{{range 9000}}{{$x := len (print . . . .)}}{{end}}"
    with pytest.raises(TemplateTimeoutError):
        render(source, limits=Limits(seconds=0.0))
    with pytest.raises(TemplateTimeoutError):
        render(source, limits=Limits(seconds=60.0, steps=1000))


def test_a_template_has_a_size_and_a_depth() -> None:
    """32 KB of text, 40 blocks within one another, 100 variables."""
    with pytest.raises(TemplateSyntaxError):
        Template.parse("x" * (32 * 1024 + 1))
    with pytest.raises(TemplateSyntaxError):
        Template.parse("{{if 1}}" * 41 + "{{end}}" * 41)
    with pytest.raises(TemplateSyntaxError):
        Template.parse("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}")
    with pytest.raises(TemplateSyntaxError):
        Template.parse("".join(f"{{{{$v{n} := 1}}}}" for n in range(200)))
    assert render("{{if 1}}" * 40 + "x" + "{{end}}" * 40) == "x"


def test_reading_a_long_template_takes_no_time() -> None:
    """The largest that is accepted is read in time that grows with its size only."""
    started = time.thread_time()
    for piece in ("{{.a}}", "{{$}}\n", "{{/**/}}", '{{"\\n"}}', "{{if 1}}{{end}}", "{{- 1 -}} \t"):
        Template.parse(piece * (32 * 1024 // len(piece)))
    assert time.thread_time() - started < 20.0


def test_data_must_be_one_json_value() -> None:
    """Nothing follows it, and what Go does not read is not read."""
    for text in ("", "{", "1 2", "NaN", "[1,]", "1e999", "[" * 100_000):
        with pytest.raises(TemplateFailedError):
            decode_json(text)
    assert decode_json('{"\\ud800": "\\udc00x"}') == {"\ufffd": "\ufffdx"}


# -- whatever somebody writes

_words = st.sampled_from(
    [
        *FUNCTIONS,
        "if",
        "else",
        "end",
        "range",
        "with",
        "break",
        "continue",
        "nil",
        "true",
        ".",
        ".a",
        ".d",
        ".m.y",
        ".zz.q",
        ".s",
        "$",
        "$x",
        "$x :=",
        "$x =",
        "$x, $y :=",
        "|",
        "(",
        ")",
        "0",
        "-1",
        "3",
        "1.5",
        "99999",
        '"ab"',
        '"%v %d"',
        "`^a`",
        "}}",
        "{{",
        "{{-",
        "-}}",
        " text ",
        "'c'",
        "/*",
        "*/",
        ",",
        "=",
        "\\",
        '"',
    ]
)
_actions = st.lists(_words, max_size=8).map(lambda words: "{{" + " ".join(words) + "}}")
_calls = st.tuples(
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(
        st.sampled_from(
            [
                ".a",
                ".b",
                ".c",
                ".d",
                ".m",
                ".s",
                ".zz",
                ".list",
                "0",
                "-1",
                "7",
                "1e300",
                '"a"',
                '""',
                "now",
                '"%d"',
                "(list 1 2)",
                '(dict "a" .)',
                "9223372036854775807",
                "true",
                '"2006-01-02"',
            ]
        ),
        max_size=4,
    ),
).map(lambda call: "{{" + " ".join((call[0], *call[1])) + "}}")
_blocks = st.tuples(st.sampled_from(["if", "with", "range", "range $x, $y :="]), _words, _actions).map(
    lambda parts: f"{{{{{parts[0]} {parts[1]}}}}}{parts[2]}{{{{else}}}}x{{{{end}}}}"
)
_templates = st.one_of(
    st.text(max_size=200), st.lists(st.one_of(_actions, _calls, _blocks, st.text(max_size=5))).map("".join)
)


@given(_templates)
@example('{{dateModify "1000000h" 253402300799}}')
@example('{{date "2006" -62135596800}}{{dateInZone "2006" -62135596800 "America/New_York"}}')
@example("{{index .s 9223372036854775807}}{{round 1e300 300}}{{int 1e300}}")
def test_any_text_renders_or_raises_a_template_error(source: str) -> None:
    """Never another exception, never more than the bounds allow."""
    limits = Limits(steps=3000, seconds=60.0, output=2000, string=3000, allocated=50_000, loops=300)
    try:
        output = render(source, limits=limits)
    except TemplateError:
        return
    assert len(output) <= 2000
