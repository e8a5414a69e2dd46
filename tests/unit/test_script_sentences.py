"""What people are told by scripts on a host: found in the script, and made a table of it again."""

import pytest

from contracts.script_sentences import powershell_table, powershell_text, sh_table, sh_text
from tools.script_sentences import of_powershell, of_sh


def test_sentences_are_found_with_their_variables_as_placeholders() -> None:
    source = """
say "Pulling $wanted"   # say "not this"
[ -n "$x" ] || fail 1 "The image ${wanted} cannot be pulled." \\
    'Is it "there"?'
case $x in (a) problem "costs \\$5" "why: \\"$said\\"" ;; esac
{ say 'Not now' >&2; exit 1; }
"""
    assert list(of_sh(source)) == [
        (2, "Pulling {wanted}", ""),
        (3, "The image {wanted} cannot be pulled.", ""),
        (3, 'Is it "there"?', ""),
        (5, "costs $5", ""),
        (5, 'why: "{said}"', ""),
        (6, "Not now", ""),
    ]


def test_what_a_function_hands_on_is_no_sentence() -> None:
    assert list(of_sh('step() { translate "$1"; translate "${3:-}"; say_more "x y"; }\nprintf "say $x"\n')) == []


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ('say "it is $(date)"', "only plain variables"),
        ('say "it is `date`"', "only plain variables"),
        ('say "first: $1"', "only plain variables"),
        ('say "first: ${x:-y}"', "braces in the text"),
        ("say 'a {b}'", "braces in the text"),
        ("say \"a\"'b'", "no text in quotes of its own"),
        ("say 'a' $(b)", "no text in quotes of its own"),
    ],
)
def test_what_no_table_could_translate_is_a_fault(call: str, fault: str) -> None:
    assert any(fault in problem for _, _, problem in of_sh(f"{call}\n"))


def test_a_text_is_quoted_and_only_its_variables_are_filled_in() -> None:
    assert sh_text('the {thing}s "cost" $5 `or` \\ {DOCKER_HOST}.') == (
        '"the ${thing}s \\"cost\\" \\$5 \\`or\\` \\\\ $DOCKER_HOST."'
    )


def test_a_row_stands_on_one_line_where_it_fits() -> None:
    assert sh_table({"a {b}": "c {b}"}, "  ") == '  ("a $b") text="c $b" ;;\n'
    long = "x" * 70
    assert sh_table({long: long}, "  ") == f'  ("{long}")\n      text="{long}" ;;\n'


def test_sentences_of_powershell_are_found_in_the_same_way() -> None:
    source = """
# Write-Message "not this"
function Stop-Here([int]$ExitCode, [string]$Sentence) { Write-Host (Get-Text $Sentence) }
Stop-Here 1 "The image $($site.Image) cannot be pulled. $why" `
    'It isn''t there.'
if ($x) { Write-Step "at ${url}: `"$why`" for `$5`nnext" } # as ever
$site.Notes += Get-Text "A note."
throw (Get-Text "Not done.")
Stop-Script 2 bad_environment "$env_file does not exist." 'Install it.'
"""
    assert list(of_powershell(source)) == [
        (4, "The image {site_Image} cannot be pulled. {why}", ""),
        (4, "It isn't there.", ""),
        (6, 'at {url}: "{why}" for $5\nnext', ""),
        (7, "A note.", ""),
        (8, "Not done.", ""),
        (9, "{env_file} does not exist.", ""),
        (9, "Install it.", ""),
    ]


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ('Write-Message "it is $(Get-Date)"', "only plain variables"),
        ('Write-Message "first: $($parts[0])"', "only plain variables"),
        ("Write-Message 'a {b}'", "braces in the text"),
        ("Write-Message ('a' + 'b')", "no text in quotes of its own"),
        ("Stop-Here 1 @('a', 'b')", "no text in quotes of its own"),
    ],
)
def test_what_no_table_of_powershell_could_translate_is_a_fault(call: str, fault: str) -> None:
    assert any(fault in problem for _, _, problem in of_powershell(f"{call}\n"))


def test_a_text_of_powershell_is_quoted_and_only_its_variables_are_filled_in() -> None:
    assert powershell_text('at {url}: {why}? "$5" `{site_Image}`\n{x}.') == (
        '"at ${url}: ${why}? `"`$5`" ``$($site.Image)```n$x."'
    )


def test_a_row_of_powershell_returns_the_translation() -> None:
    assert powershell_table({"a {b}": "c {b}"}, "  ") == '  if ($Finished -ceq "a $b") { return "c $b" }\n'
    long = "x" * 70
    assert powershell_table({long: long}, "") == f'if ($Finished -ceq "{long}") {{\n    return "{long}"\n}}\n'
