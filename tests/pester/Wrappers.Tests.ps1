# The commands, with docker replaced at the edge.

Describe '<Name>' -ForEach @(
    @{ Name = 'run' }, @{ Name = 'logs' }, @{ Name = 'update-config' }, @{ Name = 'update-image' }, @{ Name = 'watchtower-logs' }
) {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions (Get-CommandPath "$Name"))
    }

    It 'has help in both languages' {
        (Get-Help -Name (Get-CommandPath $Name)).Synopsis | Should -Match "$Name --help"
        $file = Get-CommandPath $Name
        (& $file --help) -join "`n" | Should -Match "\AUsage: flageemonitor-$Name "
        $portuguese = (& $file --help --lang pt-BR) -join "`n"
        $portuguese | Should -Match "\AUso: flageemonitor-$Name "
        $portuguese | Should -Match ([char]0xE7 + [char]0xE3 + 'o|' + [char]0xEA) # accents came through
        $LASTEXITCODE | Should -Be 0
    }

    It 'ends with 69 without docker' {
        $program, $runtime, $folder, $output, $verb, $language = "flageemonitor-$Name", 'flageemonitor', $TestDrive, 'json', $Name, 'en'
        Mock Get-Docker { '' }
        Mock Write-Line { return }
        Get-ExitCode { Stop-NoEngine } | Should -Be 69
    }

    It 'refuses the name of no runtime, as JSON where that is asked for' {
        $env:RUNTIME_NAME = '../x'
        try {
            $said = & (Get-CommandPath $Name) --output json 2>$null
        } finally {
            $env:RUNTIME_NAME = ''
        }
        $LASTEXITCODE | Should -Be 2
        $answer = $said | ConvertFrom-Json
        $answer.reason | Should -Be 'usage'
        $answer.exit_code | Should -Be 2
        $answer.error.message | Should -BeLike '*../x'
    }
}

Describe 'a container' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions (Get-CommandPath "run"))
        Set-StrictMode -Version 2.0
    }
    BeforeEach {
        $program, $command, $verb, $runtime, $folder = 'flageemonitor-run', 'run', 'run', 'flageemonitor', $TestDrive
        $output, $language, $locale, $ScriptInvocation = '', 'en', 'LANG=en', $MyInvocation
        $script:ExitCode = 0
        $heard = New-Object 'System.Collections.Generic.List[string]'
        $asked = New-Object 'System.Collections.Generic.List[object]'
        $state = 'running'
        Mock Write-Line { $heard.Add($Text) }
        Mock Get-Docker { 'docker' }
        Mock Invoke-Docker {
            if ($Arguments[0] -eq 'container' -and $state) {
                return (New-Said "/flageemonitor $state 0123 2026-01-01")
            } elseif ($Arguments[0] -eq 'container') {
                return (New-Said '' 1 'No such container')
            }
            New-Said ''
        }
        Mock Invoke-Live { $asked.Add($Arguments) }
        Mock Test-Terminal { $false }
    }

    It 'gets the words as they are, and an id to cancel by' {
        Invoke-Main @('diagnose_env', '--param', 'text=say "hi"')
        $words = $asked[0]
        $words[0] | Should -Be 'exec'
        $words[2] | Should -Match '\AFLAGEEMONITOR_INVOCATION=[0-9a-f-]{36}\z'
        $words[3..4] | Should -BeExactly @('-e', "FLAGEEMONITOR_ACTOR=$env:USERNAME")
        $words[5..6] | Should -BeExactly @('-e', 'LANG=en')
        $words[7..11] | Should -BeExactly @('flageemonitor', '/flageemonitor/run_action.sh', 'diagnose_env', '--param', 'text=say "hi"')
    }

    It 'that is <Found> is 69' -TestCases @(@{ Found = 'exited' }, @{ Found = 'paused' }, @{ Found = '' }) {
        $state = $Found
        Get-ExitCode { Invoke-Main @('doctor') } | Should -Be 69
        $asked.Count | Should -Be 0
    }

    It 'is spoken of in the language of the operator, to the last sentence' {
        $language, $state = 'pt-BR', 'exited'
        Get-ExitCode { Invoke-Main @('doctor') } | Should -Be 69
        $heard[0] | Should -BeExactly "flageemonitor-run: O cont$([char]0xEA)iner flageemonitor n$([char]0xE3)o est$([char]0xE1) rodando: est$([char]0xE1) exited."
        $heard[1..2] | Should -BeExactly @('  Leia o motivo: flageemonitor-logs', '  Repare-o, como administrador: flageemonitor-update-image --repair')
    }

    It 'keeps the exit code of the run' {
        Mock Invoke-Live { $script:ExitCode = 12 }
        Invoke-Main @('doctor')
        $script:ExitCode | Should -Be 12
    }

    It 'is not said to be missing while the engine is away' {
        Mock Invoke-Docker { New-Said '' 1 'Cannot connect' }
        Get-ExitCode { Invoke-Main @('doctor') } | Should -Be 69
        $heard[0] | Should -Match 'engine does not answer: Cannot connect'
    }

    It 'that is left by its engine during the run is 69' {
        Mock Invoke-Live { $script:ExitCode = 1 }
        $after = @{ Count = 0 }
        Mock Get-Container {
            $after.Count++
            @{ Identity = 'x'; State = $(if ($after.Count -gt 1) { 'away' } else { 'running' }) }
        }
        Get-ExitCode { Invoke-Main @('doctor') } | Should -Be 69
        $heard[0] | Should -Match 'engine went away'
    }

    It 'that went away during the run is 69' {
        Mock Invoke-Live { $script:ExitCode = 137; $state = 'exited' } -ParameterFilter { $true }
        Mock Get-Container { @{ Identity = "/flageemonitor running $([guid]::NewGuid())"; State = 'running' } }
        Get-ExitCode { Invoke-Main @('doctor') } | Should -Be 69
    }

    It 'cancels by that id until the run is known' {
        $tries = @{ Count = 0 }
        Mock Invoke-Docker { $tries.Count++; New-Said '' ([int]($tries.Count -lt 3)) } -ParameterFilter { $Arguments -contains 'cancel' }
        Stop-Run 'the-id'
        $tries.Count | Should -Be 3
    }
}

Describe 'Test-Terminal' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions (Get-CommandPath "run"))
    }

    It 'is no terminal in <Line>' -TestCases @(
        @{ Line = '$x = flageemonitor-run doctor' }
        @{ Line = 'flageemonitor-run doctor > out.txt' }
        @{ Line = 'flageemonitor-run doctor | Out-Null' }
        @{ Line = 'if (1) { flageemonitor-run doctor }' }
        @{ Line = '(flageemonitor-run doctor)' }
        @{ Line = 'flageemonitor-run doctor; dir' }
    ) {
        Test-Terminal ([pscustomobject]@{ ScriptName = ''; PipelineLength = 1; Line = $Line }) @() | Should -BeFalse
    }
}

Describe 'update-image' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions (Get-CommandPath "update-image"))
        Set-StrictMode -Version 2.0
    }
    BeforeEach {
        $program, $command, $verb, $runtime, $folder = 'flageemonitor-update-image', 'update-image', 'update-image', 'flageemonitor', $TestDrive
        $env_file, $output, $language, $locale = (Join-Path $folder 'flageemonitor.env'), '', 'en', 'LANG=en'
        $script:ExitCode = 0
        $asked = New-Object 'System.Collections.Generic.List[object]'
        $pulled = New-Object 'System.Collections.Generic.List[string]'
        [System.IO.File]::WriteAllText((Join-Path $folder 'flageemonitor.env'), "$([char]0xFEFF)FLAGEEMONITOR_IMAGE= registry.example/proxy:1 `r`n")
        Remove-Item -LiteralPath (Join-Path $folder 'healthy_image') -ErrorAction SilentlyContinue
        Mock Write-Line { return }
        Mock Assert-Host { $null }
        Mock Get-Docker { 'docker' }
        Mock Invoke-Docker {
            if ($Arguments -contains 'pull') { $pulled.Add($Arguments[-1]) }
            New-Said '' ([int]($Arguments[0] -eq 'container'))
        }
        Mock Invoke-Live { $asked.Add($Arguments) }
    }

    It 'starts the one-shot container as it is documented' {
        Invoke-Main @()
        $line = $asked[0] -join ' '
        $line | Should -BeLike 'run --rm --name flageemonitor-deploy --label flageemonitor.runtime=flageemonitor --label flageemonitor.role=deploy --cidfile * --user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL *'
        $line | Should -BeLike "*-v ${folder}:/host/etc -v flageemonitor-data:/host/data -v $(Join-Path $folder 'bin'):/host/bin registry.example/proxy:1 deploy apply *"
        $line | Should -BeLike "*--host-os windows --socket /var/run/docker.sock --config-source $(Join-Path $folder 'config') --data-source flageemonitor-data"
        $pulled | Should -BeExactly @('registry.example/proxy:1')
    }

    It 'repairs with the last healthy image, and pulls nothing that is there' {
        [System.IO.File]::WriteAllText((Join-Path $folder 'healthy_image'), "registry.example/proxy@sha256:ab`n")
        Invoke-Main @('--repair', '--output=json')
        ($asked[0] -join ' ') | Should -BeLike '*registry.example/proxy@sha256:ab deploy repair *--output json'
        $pulled.Count | Should -Be 0
    }

    It 'refuses <Words> with 2' -TestCases @(
        @{ Words = @('--repair', '--rollback') }, @{ Words = @('--bogus') }, @{ Words = @('--wait') }, @{ Words = @('--wait', 'x') },
        @{ Words = @('--output', 'xml') }
    ) {
        Get-ExitCode { Invoke-Main $Words } | Should -Be 2
        $asked.Count | Should -Be 0
    }

    It 'is busy while another deploy runs' {
        Mock Get-Container { @{ Identity = 'x'; State = 'running' } }
        Mock Test-Deploy { $true }
        Get-ExitCode { Invoke-Main @() } | Should -Be 6
    }

    It 'leaves a container of that name alone that is not ours' {
        Mock Get-Container { @{ Identity = 'x'; State = 'exited' } }
        Mock Invoke-Docker { $asked.Add($Arguments); New-Said ' of somebody' }
        Get-ExitCode { Invoke-Main @() } | Should -Be 1
        @(Get-Lines $asked | Where-Object { $_ -like 'rm *' }).Count | Should -Be 0
    }

    It 'removes what a killed engine left, without force' {
        $states = New-Object 'System.Collections.Generic.Queue[string]'
        @('exited', 'none') | ForEach-Object { $states.Enqueue($_) }
        Mock Get-Container { @{ Identity = ''; State = $states.Dequeue() } }
        Mock Test-Deploy { $true }
        Mock Invoke-Docker { $asked.Add($Arguments); New-Said '' }
        Clear-Name
        Get-Lines $asked | Should -BeExactly @('rm flageemonitor-deploy')
    }

    It 'says of docker <Code> with<Created> a container: <Said>' -TestCases @(
        @{ Code = 125; Created = 'out'; Exit = 1; Said = 'Nothing was changed' }
        @{ Code = 125; Created = ''; Exit = 1; Said = 'is not known' }
        @{ Code = 127; Created = ''; Exit = 1; Said = 'Nothing was changed' }
        @{ Code = 137; Created = ''; Exit = 137; Said = 'is not known' }
    ) {
        $heard = New-Object 'System.Collections.Generic.List[string]'
        Mock Write-Line { $heard.Add($Text) }
        Mock Invoke-Live {
            $script:ExitCode = $Code
            if (-not $Created) { [System.IO.File]::WriteAllText($Arguments[[array]::IndexOf($Arguments, '--cidfile') + 1], 'abc') }
        }
        Get-ExitCode { Invoke-Main @() } | Should -Be $Exit
        $heard -join ' ' | Should -Match $Said
    }

    It 'says that an image gave no answer, and nothing of one that did' {
        $heard = New-Object 'System.Collections.Generic.List[string]'
        Mock Write-Line { $heard.Add($Text) }
        Mock Invoke-Live { $script:ExitCode = 3; $script:Answered = $false }
        Get-ExitCode { Invoke-Main @() } | Should -Be 1
        $heard -join ' ' | Should -Match 'ended with code 3 and gave no answer'
        Mock Invoke-Live { $script:ExitCode = 11; $script:Answered = $true }
        Get-ExitCode { Invoke-Main @() } | Should -Be 0
        $script:ExitCode | Should -Be 11
    }

    It 'says as JSON what it refuses' {
        $output = 'json'
        Mock Get-PullProblem { 'docker: "denied"' }
        try {
            Invoke-Main @('--output', 'json')
        } catch {
            $answer = $_.Exception.Data['Output'] | ConvertFrom-Json
        }
        $answer.reason | Should -Be 'image_unavailable'
        $answer.message | Should -BeLike '*"denied"*'
    }
}

Describe 'uninstall' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions (Get-CommandPath "uninstall"))
        Set-StrictMode -Version 2.0
    }
    BeforeEach {
        $program, $command, $verb, $runtime, $output, $language = 'flageemonitor-uninstall', 'uninstall', 'uninstall', 'flageemonitor', '', 'en'
        Mock Write-Line { return }
    }

    It 'needs --yes with 2 where <Case>' -TestCases @(
        @{ Case = 'input is no console'; Console = $false }, @{ Case = 'PowerShell asks nobody'; Console = $true }
    ) {
        Mock Test-Console { $Console }
        Mock Read-Host { throw 'PowerShell is in NonInteractive mode.' }
        Get-ExitCode { Confirm-Removal $false } | Should -Be 2
    }

    It 'ends with <Exit> after <Said>' -TestCases @(
        @{ Said = 'no'; Exit = 1 }, @{ Said = ''; Exit = 1 }, @{ Said = 'yes'; Exit = 0 }, @{ Said = 'sim'; Exit = 0 }
    ) {
        Mock Test-Console { $true }
        Mock Read-Host { $Said }
        Get-ExitCode { Confirm-Removal $true } | Should -Be $Exit
    }
}
