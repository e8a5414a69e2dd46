# The installer, with docker, web calls and Windows' own commands replaced at the edge; files are real ones.

BeforeDiscovery {
    $folder = Join-Path (Split-Path -Parent (Split-Path -Parent $PSScriptRoot)) 'tests/cases/environment_file'
    $cases = @(Get-ChildItem -LiteralPath $folder -Filter '*.json' | ForEach-Object { @{ Name = $_.BaseName; File = $_.FullName } })
}

BeforeAll {
    . (Join-Path $PSScriptRoot 'Functions.ps1')
    . (Get-Functions 'bootstrap/install.ps1')
    Set-StrictMode -Version 2.0
    $ErrorActionPreference = 'Stop'

    function Get-ProgramData { $TestDrive }
    function Get-Rendered {
        @{
            API_BASE = 'https://control.example.com/api/ingest'
            ENROLL_URL = 'https://control.example.com/api/bootstrap/enroll'
            HEALTH_URL = 'https://control.example.com/api/bootstrap/health'
            CLIENT = 'acme'; NETWORK = 'ACME'; TIMEZONE = 'America/Sao_Paulo'; IMAGE = 'registry.example/proxy:stable'
            WATCHTOWER_IMAGE = ''; WATCHTOWER_INTERVAL = '300'; BOOTSTRAP_TOKEN = 'fm1.once'; SERVER_TIME = '1767225600'
            SERVER_VERSION = '0.1.0'
        }
    }
    function Get-Wrappers {
        $found = @{}
        foreach ($name in @('run', 'logs', 'update-config', 'update-image', 'watchtower-logs')) {
            $found[$name] = "# FlageeMonitor Proxy, flageemonitor-${name}: x`n'@RUNTIME_NAME@'`n"
        }
        $found
    }
}

Describe 'the installer' {
    BeforeEach {
        $RuntimeName, $Image, $WatchtowerImage, $WatchtowerInterval = 'flageemonitor', '', '', ''
        $Ca, $RegistryUser, $RegistryTokenFile, $DockerNetwork = '', '', '', ''
        $ReplaceLegacy = $BesideLegacy = $AllowForeignWatchtower = $DryRun = $false
        $Uninstall = $KeepData = $DeleteData = $Yes = $false
        Get-ChildItem -LiteralPath $TestDrive | Remove-Item -Recurse -Force
        $site = New-Site
        $docker = New-Object 'System.Collections.Generic.List[string]'
        $web = New-Object 'System.Collections.Generic.List[object]'
        $trouble = New-Object 'System.Collections.Generic.List[string]'
        $world = @{ Containers = @{}; Volumes = @{}; Deploy = 0; Config = 0; Task = $false; Path = 'C:\Windows'; Enrol = '201'; Works = '200' }
        Mock Write-Line { $null }
        Mock Write-Step { $null }
        Mock Write-Trouble { foreach ($line in $Lines) { $trouble.Add($line) } }
        Mock Test-Administrator { $true }
        Mock Test-AdministratorAccount { $true }
        Mock Get-OwnerSid { 'S-1-5-32-544' }
        Mock Invoke-Icacls { $null }
        Mock Get-Docker { 'docker' }
        Mock Get-Curl { 'curl' }
        Mock Get-FreeMegabytes { 9000 }
        Mock Get-Policy { 'RemoteSigned' }
        Mock Get-Time { [DateTimeOffset]::FromUnixTimeSeconds(1767225601) }
        Mock Test-Mount { $true }
        Mock Register-Task { $world.Task = $true }
        Mock Unregister-Task { $world.Task = $false }
        Mock Edit-MachinePath { $world.Path = & $Change $world.Path }
        Mock Invoke-Script {
            if ($world.Deploy -eq 0) { $world.Containers[$RuntimeName] = $RuntimeName }
            $world.Deploy
        }
        Mock Invoke-Curl {
            $web.Add(@{ Words = $Arguments; Token = $Token })
            if ($Arguments -contains 'POST') {
                New-Said "{`"agent_id`": `"x`", `"token`": `"fm1.own`"}`n$($world.Enrol)"
            } elseif ($Arguments[-1] -like '*/health') {
                New-Said "HTTP/1.1 200 OK`r`nDate: Thu, 01 Jan 2026 00:00:00 GMT`r`n`r`nstatus 200"
            } else {
                New-Said $world.Works
            }
        }
        Mock Invoke-Docker {
            $docker.Add($Arguments -join ' ')
            switch -Wildcard ($Arguments -join ' ') {
                'context inspect*' { return (New-Said 'npipe:////./pipe/docker_engine') }
                'version --format*' { return (New-Said '28.0.0|1.48|linux|amd64') }
                'container inspect*' {
                    if (-not $world.Containers.ContainsKey($Arguments[-1])) { return (New-Said '' 1) }
                    if ($Arguments[3] -like '*State*') { return (New-Said "/$($Arguments[-1]) running") }
                    return (New-Said "/$($Arguments[-1]) of $($world.Containers[$Arguments[-1]])".Trim())
                }
                'volume inspect*' {
                    if (-not $world.Volumes.ContainsKey($Arguments[-1])) { return (New-Said '' 1) }
                    return (New-Said $world.Volumes[$Arguments[-1]])
                }
                'volume create*' { $world.Volumes[$Arguments[-1]] = 'flageemonitor'; return (New-Said '') }
                'volume rm*' { $world.Volumes.Remove($Arguments[-1]); return (New-Said '') }
                'rm -f*' { $world.Containers.Remove($Arguments[-1]); return (New-Said '') }
                '*config refresh' { return (New-Said '' $world.Config) }
                default { return (New-Said '') }
            }
        }
    }

    It 'installs: files, token, volume, task, path' {
        Install-Proxy
        $trouble.Count | Should -Be 0
        [System.IO.File]::ReadAllText((Join-Path $site.Config 'token')) | Should -BeExactly "fm1.own`n"
        $bytes = [System.IO.File]::ReadAllBytes($site.EnvFile)
        $bytes[0] | Should -Be 0x23 -Because 'there is no byte order mark'
        $bytes -contains 13 | Should -BeFalse
        @(Get-ChildItem -LiteralPath $site.Bin).Count | Should -Be 5
        [System.IO.File]::ReadAllText((Join-Path $site.Bin 'flageemonitor-run.ps1')) | Should -Match "'flageemonitor'"
        $world.Volumes.Keys | Should -Contain 'flageemonitor-data'
        $world.Task | Should -BeTrue
        $world.Path | Should -BeExactly "C:\Windows;$($site.Bin)"
        Test-Path -LiteralPath $site.Stage | Should -BeFalse
    }

    It 'tells the token to curl alone, and never on a command line' {
        Install-Proxy
        $web | Where-Object { $_.Words -contains 'POST' } | ForEach-Object { $_.Token | Should -Be 'fm1.once' }
        (@($web | ForEach-Object { $_.Words }) + @($docker)) -join ' ' | Should -Not -Match 'fm1\.'
    }

    It 'keeps agent and token when it is run again' {
        Install-Proxy
        $agent = Get-EnvValue (Read-EnvLines) 'FLAGEEMONITOR_AGENT_ID'
        $web.Clear()
        $site = New-Site
        Install-Proxy
        Get-EnvValue (Read-EnvLines) 'FLAGEEMONITOR_AGENT_ID' | Should -BeExactly $agent
        @($web | Where-Object { $_.Words -contains 'POST' }).Count | Should -Be 0
        @($docker | Where-Object { $_ -like 'volume create*' }).Count | Should -Be 1
    }

    It 'enrols the same agent again when its token has ended' {
        Install-Proxy
        $agent = Get-EnvValue (Read-EnvLines) 'FLAGEEMONITOR_AGENT_ID'
        $world.Works = '401'
        $site = New-Site
        Install-Proxy
        ($web | Where-Object { $_.Words -contains 'POST' } | Select-Object -Last 1).Words -join ' ' | Should -BeLike "*$agent*"
    }

    It 'takes everything back when a first installation fails with <Deploy>/<Config>' -TestCases @(
        @{ Deploy = 10; Config = 0; Code = 1 }, @{ Deploy = 0; Config = 3; Code = 1 }, @{ Deploy = 6; Config = 0; Code = 6 }
    ) {
        Mock Start-Sleep { $null }
        $world.Deploy, $world.Config = $Deploy, $Config
        Get-ExitCode { Install-Proxy } | Should -Be $Code
        Test-Path -LiteralPath $site.Folder | Should -BeFalse
        $world.Volumes.Count | Should -Be 0
        $world.Task | Should -BeFalse
        $world.Path | Should -BeExactly 'C:\Windows'
    }

    It 'leaves the previous installation as it was when the second fails' {
        Install-Proxy
        $before = [System.IO.File]::ReadAllText($site.EnvFile)
        $world.Deploy = 11
        $Image = 'registry.example/proxy:new'
        $site = New-Site
        Get-ExitCode { Install-Proxy } | Should -Be 1
        [System.IO.File]::ReadAllText($site.EnvFile) | Should -BeExactly $before
        $world.Containers.Keys | Should -Contain 'flageemonitor'
        $world.Task | Should -BeTrue
    }

    It 'changes nothing with -DryRun' {
        $DryRun = $true
        Install-Proxy
        Get-ChildItem -LiteralPath $TestDrive | Should -BeNullOrEmpty
        @($web | Where-Object { $_.Words -contains 'POST' }).Count | Should -Be 0
        $docker -join "`n" | Should -Not -Match '(?m)^(run|pull|volume create|rm|stop)'
    }

    It 'tells every problem at once, and changes nothing' {
        Mock Invoke-Docker { New-Said '1.13|1.26|windows|arm64' } -ParameterFilter { $Arguments[0] -eq 'version' -and $Arguments.Count -eq 3 }
        Mock Get-Time { [DateTimeOffset]::FromUnixTimeSeconds(1767229999) }
        Mock Get-FreeMegabytes { 10 }
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $all = $trouble -join "`n"
        foreach ($part in @('API 1.26', 'windows containers', 'arm64', 'MB are free', 'seconds apart')) {
            $all | Should -BeLike "*$part*"
        }
        Get-ChildItem -LiteralPath $TestDrive | Should -BeNullOrEmpty
    }

    It 'wants an administrator' {
        Mock Test-Administrator { $false }
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $trouble -join ' ' | Should -BeLike '*needs an administrator*'
    }

    It 'does not take over a container that is not ours' {
        $world.Containers['flageemonitor'] = ''
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $trouble -join ' ' | Should -BeLike '*A container flageemonitor is there that is not ours.*'
        $trouble -join ' ' | Should -BeLike '*Install beside it with -RuntimeName NAME -ReplaceLegacy*'
    }

    It 'stops a first generation that is called as ours once one of another name runs' {
        $world.Containers['flageemonitor'] = ''
        $world.Containers['flageemonitor-watchtower'] = ''
        $RuntimeName = 'fm2'
        $site = New-Site
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $trouble -join ' ' | Should -BeLike '*first generation is on this host (the container flageemonitor)*'
        $ReplaceLegacy = $true
        $site = New-Site
        Install-Proxy
        $docker | Should -Contain 'stop -t 150 flageemonitor-watchtower'
        $docker | Should -Contain 'stop -t 150 flageemonitor'
    }

    It 'never stops a runtime of ours as a first generation' {
        $world.Containers['flageemonitor'] = 'flageemonitor'
        $RuntimeName = 'fm2'
        $ReplaceLegacy = $true
        $site = New-Site
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $trouble -join ' ' | Should -BeLike '*is not of the first generation*'
        $docker -join "`n" | Should -Not -Match '(?m)^(stop|update)'
    }

    It 'does not remove a first generation, nor say that it did' {
        Install-Proxy
        $world.Containers['flageemonitor'] = ''
        $site = New-Site
        $DeleteData = $true
        Get-ExitCode { Uninstall-Proxy } | Should -Be 1
        $trouble -join ' ' | Should -BeLike '*Not removed: not made by this installer*docker rm -f flageemonitor.*'
        Test-Path -LiteralPath $site.EnvFile | Should -BeTrue
        $world.Task | Should -BeTrue
    }

    It 'does not take over a folder that belongs to somebody else' {
        Mock Get-OwnerSid { 'S-1-5-21-1' }
        Mock Test-AdministratorAccount { $false }
        $null = New-Item -ItemType Directory -Path $site.Base
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $trouble -join ' ' | Should -BeLike '*who is no administrator*'
    }

    It 'is one at a time' {
        Install-Proxy
        $null = New-Item -ItemType Directory -Path $site.Stage
        $held = [System.IO.File]::Open((Join-Path $site.Stage 'lock'), 'OpenOrCreate', 'ReadWrite', 'None')
        try {
            $site = New-Site
            Get-ExitCode { Install-Proxy } | Should -Be 6
            Test-Path -LiteralPath (Join-Path $site.Stage 'lock') | Should -BeTrue
        } finally {
            $held.Close()
        }
    }

    It 'opens the folders to the account of Docker Desktop only where that is needed' {
        $works = @{ Now = $false }
        Mock Test-Mount { $works.Now; $works.Now = $true }
        Mock Get-DockerAccounts { 'S-1-5-21-9' }
        Install-Proxy
        Should -Invoke Invoke-Icacls -ParameterFilter { $Arguments -contains '*S-1-5-21-9:(OI)(CI)M' -and $Arguments[0] -eq $site.Config }
        $site.Notes -join ' ' | Should -BeLike '*S-1-5-21-9*'
    }

    It 'refuses <Because>' -TestCases @(
        @{ Because = 'capitals'; Name = 'RuntimeName'; Value = 'Proxy' }
        @{ Because = 'a part of another runtime'; Name = 'RuntimeName'; Value = 'x-candidate' }
        @{ Because = 'a device'; Name = 'RuntimeName'; Value = 'con' }
        @{ Because = 'a dot at the end'; Name = 'RuntimeName'; Value = 'x.' }
        @{ Because = 'a short interval'; Name = 'WatchtowerInterval'; Value = '29' }
        @{ Because = 'an image that is an option'; Name = 'Image'; Value = '--privileged' }
        @{ Because = 'no network'; Name = 'DockerNetwork'; Value = 'none' }
        @{ Because = 'a file without user'; Name = 'RegistryTokenFile'; Value = 'x' }
        @{ Because = 'data without -Uninstall'; Name = 'DeleteData'; Value = $true }
    ) {
        Set-Variable -Name $Name -Value $Value
        Get-ExitCode { Assert-Options } | Should -Be 2
    }

    It 'removes all, or all but the data' -TestCases @(@{ Data = $true }, @{ Data = $false }) {
        Install-Proxy
        $DeleteData, $KeepData = $Data, (-not $Data)
        $site = New-Site
        Uninstall-Proxy
        $world.Containers.Count | Should -Be 0
        $world.Task | Should -BeFalse
        $world.Path | Should -BeExactly 'C:\Windows'
        Test-Path -LiteralPath $site.Folder | Should -Be (-not $Data)
        $world.Volumes.ContainsKey('flageemonitor-data') | Should -Be (-not $Data)
        if (-not $Data) {
            @(Get-ChildItem -LiteralPath $site.Folder -Force).Name | Should -BeExactly 'flageemonitor.env'
        }
    }

    It 'makes a UUIDv7' {
        New-AgentId 1767225600000 | Should -Match '\A019b76da-a800-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z'
    }
}

Describe 'the environment file of <Name>' -ForEach $cases {
    It 'is what the Linux installer writes' {
        $case = [System.IO.File]::ReadAllText($File) | ConvertFrom-Json
        $RuntimeName = $case.runtime
        $Image, $WatchtowerImage = $case.options.image, $case.options.watchtower_image
        $WatchtowerInterval, $DockerNetwork = $case.options.interval, $case.options.network
        $Ca = if ($case.options.ca) { '/ca.pem' } else { '' }
        $site = New-Site
        $site.Agent = $case.agent
        $site.Rendered = @{}
        foreach ($value in $case.values.PSObject.Properties) {
            $site.Rendered[$value.Name] = $value.Value
        }
        Mock Write-Trouble { $null }
        $text = New-EnvironmentText $case.before
        $text | Should -BeExactly $case.after
        New-ContainerEnvironment ($text -split '\n') | Should -BeExactly $case.container
    }
}

Describe 'the Path' {
    It 'gets an entry once and loses it again' {
        Add-PathEntry '%SystemRoot%;C:\a;' 'C:\b' | Should -BeExactly '%SystemRoot%;C:\a;C:\b'
        Add-PathEntry 'C:\B;C:\a' 'C:\b' | Should -BeExactly 'C:\B;C:\a'
        Remove-PathEntry '%SystemRoot%;C:\b;C:\a' 'C:\b' | Should -BeExactly '%SystemRoot%;C:\a'
    }
}

Describe 'references to images' {
    It 'are read as every other reader of them does' {
        $root = Split-Path -Parent (Split-Path -Parent $PSScriptRoot)
        $table = Get-Content -Raw -Encoding UTF8 -LiteralPath (Join-Path $root 'tests/cases/image_references.json') | ConvertFrom-Json
        foreach ($one in $table.good) { Test-Image $one | Should -BeTrue -Because $one }
        foreach ($one in $table.bad) { Test-Image $one | Should -BeFalse -Because $one }
        foreach ($one in $table.repeated) {
            $before = if ($one.PSObject.Properties['before']) { $one.before } else { '' }
            Test-Image ($before + ($one.text * $one.times) + $one.after) | Should -Be $one.good -Because "$before$($one.text) x $($one.times)"
        }
    }
}
