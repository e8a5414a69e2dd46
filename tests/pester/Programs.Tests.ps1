# Programs and their command lines, with a real program: this PowerShell.

BeforeAll {
    . (Join-Path $PSScriptRoot 'Functions.ps1')
    . (Get-Functions (Get-CommandPath 'run'))
    Set-StrictMode -Version 2.0
    $echo = Join-Path $TestDrive 'echo.ps1'
    Set-Content -LiteralPath $echo -Value '[Console]::Out.Write((@($args | ForEach-Object { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($_)) }) -join ","))'
    $shell = (Get-Process -Id $PID).Path
    Mock Get-Docker { $shell }
    function Get-Echo([string[]]$Words) {
        $said = Invoke-Docker (@('-NoProfile', '-ExecutionPolicy', 'Bypass', '-File', $echo) + $Words)
        @($said.Out -split ',' | ForEach-Object { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($_)) })
    }
}

Describe 'ConvertTo-CommandLine' {
    It 'quotes <Word> as <Line>' -TestCases @(
        @{ Word = 'plain'; Line = 'plain' }
        @{ Word = ''; Line = '""' }
        @{ Word = 'two words'; Line = '"two words"' }
        @{ Word = 'a"b'; Line = '"a\"b"' }
        @{ Word = 'a\"b'; Line = '"a\\\"b"' }
        @{ Word = 'C:\with space\'; Line = '"C:\with space\\"' }
        @{ Word = 'C:\plain\'; Line = 'C:\plain\' }
        @{ Word = '{{index .Labels "x"}}'; Line = '"{{index .Labels \"x\"}}"' }
    ) {
        ConvertTo-CommandLine @($Word) | Should -BeExactly $Line
    }

    It 'brings every word through as it was' {
        $words = @('a b', 'say "hi"', 'end\', 'end \', '\"', '\\"', "tab`there", '$(x) `n', '%PATH%', '^&|<>', "it's", 'S' + [char]0xE3 + 'o')
        Get-Echo $words | Should -BeExactly $words
    }
}

Describe 'Invoke-Docker' {
    It 'keeps exit code, output and errors apart' {
        $said = Invoke-Docker @('-NoProfile', '-Command', '[Console]::Out.Write(1); [Console]::Error.Write(2); exit 7')
        $said.Code | Should -Be 7
        $said.Out | Should -BeExactly '1'
        $said.Err | Should -BeExactly '2'
    }

    It 'gives 127 for what cannot be started' {
        Mock Get-Docker { Join-Path $TestDrive 'nothing' }
        (Invoke-Docker @()).Code | Should -Be 127
        Mock Get-Docker { '' }
        (Invoke-Docker @()).Code | Should -Be 127
    }
}

Describe 'Invoke-Live' {
    BeforeAll {
        Mock Write-Message { $heard.Add($Sentence) }
    }
    BeforeEach {
        $heard = New-Object 'System.Collections.Generic.List[string]'
        $script:ExitCode = -1
        $program = 'flageemonitor-run'
    }

    It 'gives lines as strings, errors beside, and keeps the exit code' {
        $lines = @(Invoke-Live @('-NoProfile', '-Command', "'{`"a`": 1}'; 'two'; [Console]::Error.WriteLine('aside'); exit 10") { throw 'not stopped' })
        $lines | Should -BeExactly @('{"a": 1}', 'two')
        $heard | Should -BeExactly @('aside')
        $script:ExitCode | Should -Be 10
        ($lines[0] | ConvertFrom-Json).a | Should -Be 1
    }

    It 'cancels when whoever reads the output goes away' {
        $stopped = New-Object 'System.Collections.Generic.List[string]'
        $null = Invoke-Live @('-NoProfile', '-Command', "'one'; Start-Sleep 30") {
            param($process)
            $stopped.Add('yes')
            $process.Kill()
        } | Select-Object -First 1
        $stopped | Should -BeExactly @('yes')
    }
}

Describe 'ConvertTo-Words' {
    It 'makes text of what PowerShell made of words' {
        ConvertTo-Words @('--loja', 1, @(1, 2), 'a b', 1.5) | Should -BeExactly @('--loja', '1', '1,2', 'a b', '1.5')
    }
}
