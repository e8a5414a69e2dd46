# The commands, with docker replaced at the edge.

Describe '<Name>' -ForEach @(
    @{ Name = 'run' }, @{ Name = 'logs' }, @{ Name = 'update-config' }, @{ Name = 'update-image' }, @{ Name = 'watchtower-logs' }
) {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions "wrappers/windows/flageemonitor-$Name.ps1")
    }

    It 'has help' {
        $help = Get-Help -Name (Join-Path (Get-Root) "wrappers/windows/flageemonitor-$Name.ps1") -Full
        $help.Synopsis | Should -Not -BeNullOrEmpty
        $help.Synopsis | Should -Not -Match 'flageemonitor-'
        ($help.description | Out-String) | Should -Match 'Usage: flageemonitor-'
    }

    It 'ends with 69 without docker' {
        $program, $runtime, $folder = "flageemonitor-$Name", 'flageemonitor', $TestDrive
        Mock Get-Docker { '' }
        Mock Write-Message { $null }
        Get-ExitCode { Assert-Engine } | Should -Be 69
    }

    It 'refuses the name of no runtime' {
        $program, $runtime = "flageemonitor-$Name", '../x'
        Mock Write-Message { $null }
        Get-ExitCode { Assert-Runtime } | Should -Be 2
    }
}

Describe 'a container' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'Functions.ps1')
        . (Get-Functions 'wrappers/windows/flageemonitor-run.ps1')
        Set-StrictMode -Version 2.0
    }
    BeforeEach {
        $program, $runtime, $folder = 'flageemonitor-run', 'flageemonitor', $TestDrive
        $script:ExitCode = 0
        $heard = New-Object 'System.Collections.Generic.List[string]'
        $asked = New-Object 'System.Collections.Generic.List[object]'
        $state = 'running'
        Mock Write-Message { $heard.Add($Text) }
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
        $scriptInvocation = $MyInvocation
    }

    It 'gets the words as they are, and an id to cancel by' {
        Invoke-Main @('diagnose_env', '--param', 'text=say "hi"')
        $words = $asked[0]
        $words[0] | Should -Be 'exec'
        $words[2] | Should -Match '\AFLAGEEMONITOR_INVOCATION=[0-9a-f-]{36}\z'
        $words[3..4] | Should -BeExactly @('-e', "FLAGEEMONITOR_ACTOR=$env:USERNAME")
        $words[5..6] | Should -BeExactly @('-e', "LANG=$($PSUICulture -replace '-', '_')")
        $words[7..11] | Should -BeExactly @('flageemonitor', '/flageemonitor/run_action.sh', 'diagnose_env', '--param', 'text=say "hi"')
    }

    It 'that is <State> is 69' -TestCases @(@{ State = 'exited' }, @{ State = 'paused' }, @{ State = '' }) {
        $state = $State
        Get-ExitCode { Invoke-Main @('doctor') } | Should -Be 69
        $asked.Count | Should -Be 0
    }

    It 'keeps the exit code of the run' {
        Mock Invoke-Live { $script:ExitCode = 12 }
        Invoke-Main @('doctor')
        $script:ExitCode | Should -Be 12
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
        . (Get-Functions 'wrappers/windows/flageemonitor-run.ps1')
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
        . (Get-Functions 'wrappers/windows/flageemonitor-update-image.ps1')
        Set-StrictMode -Version 2.0
    }
    BeforeEach {
        $program, $runtime, $folder = 'flageemonitor-update-image', 'flageemonitor', $TestDrive
        $script:ExitCode = 0
        $asked = New-Object 'System.Collections.Generic.List[object]'
        $pulled = New-Object 'System.Collections.Generic.List[string]'
        [System.IO.File]::WriteAllText((Join-Path $folder 'flageemonitor.env'), "FLAGEEMONITOR_IMAGE= registry.example/proxy:1 `r`n")
        Remove-Item -LiteralPath (Join-Path $folder 'healthy_image') -ErrorAction SilentlyContinue
        Mock Write-Message { $null }
        Mock Test-Administrator { $true }
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
        $line | Should -BeLike 'run --rm --name flageemonitor-deploy --user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL *'
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

    It 'wants an administrator' {
        Mock Test-Administrator { $false }
        Get-ExitCode { Invoke-Main @() } | Should -Be 69
    }

    It 'is busy while another deploy runs' {
        Mock Get-Container { @{ Identity = 'x'; State = 'running' } }
        Get-ExitCode { Invoke-Main @() } | Should -Be 6
    }

    It 'says as JSON what it refuses' {
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
