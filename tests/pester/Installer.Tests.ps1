# The installer, with docker and Windows' own commands replaced at the edge; files are real ones.

BeforeAll {
    . (Join-Path $PSScriptRoot 'Functions.ps1')
    . (Get-Functions (Join-Path $env:FM_COMMANDS 'install.ps1'))
    Set-StrictMode -Version 2.0
    $ErrorActionPreference = 'Stop'
}

Describe 'the installer' {
    BeforeEach {
        $RuntimeName, $Image, $WatchtowerImage, $WatchtowerInterval = 'flageemonitor', '', '', ''
        $Ca, $RegistryUser, $RegistryTokenFile, $DockerNetwork, $UpdateWindow = '', '', '', '', ''
        $ReplaceLegacy = $BesideLegacy = $AllowForeignWatchtower = $NoAutoUpdate = $DryRun = $false
        $Uninstall = $KeepData = $DeleteData = $Yes = $false
        $language = 'en'
        Get-ChildItem -LiteralPath $TestDrive | Remove-Item -Recurse -Force
        $base = Join-Path $TestDrive 'FlageeMonitor'
        $folder = Join-Path $base $RuntimeName
        $site = @{
            Values = @{
                API_BASE = 'https://control.example.com/api/ingest'; ENROLL_URL = 'https://control.example.com/api/bootstrap/enroll'
                HEALTH_URL = 'https://control.example.com/api/bootstrap/health'; CLIENT = 'acme'; NETWORK = 'ACME'
                IMAGE = 'registry.example/proxy:stable'; BOOTSTRAP_TOKEN = 'fm1.once'; SERVER_VERSION = '0.1.0'
            }
            Base = $base; Folder = $folder; Config = Join-Path $folder 'config'; Bin = Join-Path $folder 'bin'
            EnvFile = Join-Path $folder 'flageemonitor.env'; Volume = 'flageemonitor-data'; HasVolume = $false; MadeVolume = $false
            Image = 'registry.example/proxy:stable'; Trust = ''; Authority = ''; Credentials = ''; Seen = ''; Code = 0; Problems = @(); Notes = @()
        }
        $docker = New-Object 'System.Collections.Generic.List[string]'
        $started = New-Object 'System.Collections.Generic.List[object]'
        $rights = New-Object 'System.Collections.Generic.List[string]'
        $failed = New-Object 'System.Collections.Generic.List[string]'
        $world = @{ Verbs = 'install uninstall neighbours'; Deploy = 0; Container = 'none'; Volume = ''; Health = '200 application/json'; Task = $false; Path = $false }
        Mock Write-Message { return }
        Mock Write-Step { return }
        Mock Stop-Here {
            foreach ($text in @($Sentence, $Advice)) { $failed.Add($text) }
            $stop = New-Object System.InvalidOperationException -ArgumentList $Sentence
            $stop.Data['ExitCode'] = $ExitCode
            throw $stop
        }
        Mock Test-Administrator { $true }
        Mock Test-AdministratorAccount { $true }
        Mock Get-OwnerSid { 'S-1-5-32-544' }
        Mock Get-ExecutionPolicy { 'RemoteSigned' }
        Mock Invoke-Icacls { $rights.Add($Arguments -join ' ') }
        Mock Invoke-Curl { New-Said $world.Health }
        Mock Test-Mount { $true }
        Mock Register-Task { $world.Task = $true }
        Mock Unregister-Task { $world.Task = $false }
        Mock Set-PathEntry { $world.Path = $Wanted }
        Mock Get-Docker { 'docker' }
        Mock Get-Container { @{ State = $world.Container; Identity = '' } }
        Mock Invoke-Docker {
            $docker.Add($Arguments -join ' ')
            switch -Wildcard ($Arguments -join ' ') {
                'context inspect*' { return (New-Said 'npipe:////./pipe/docker_engine') }
                'version --format*' { return (New-Said '28.0.0|1.48|linux|amd64') }
                'image inspect*verbs*' { return (New-Said $world.Verbs) }
                'container inspect*Image*' { return (New-Said 'sha256:1') }
                'volume inspect*' { return (New-Said $world.Volume ([int](-not $world.Volume))) }
                default { return (New-Said '') }
            }
        }
        # The one-shot container: a program that reads its input and ends with the code.
        Mock Start-Program {
            $started.Add($Arguments)
            $start = New-Object System.Diagnostics.ProcessStartInfo
            $start.FileName = (Get-Process -Id $PID).Path
            $start.Arguments = "-NoProfile -Command `"[Console]::In.ReadToEnd() | Set-Content -LiteralPath '$(Join-Path $TestDrive 'request')'; exit $($world.Deploy)`""
            $start.UseShellExecute = $false
            $start.RedirectStandardInput = $start.RedirectStandardOutput = $start.RedirectStandardError = $true
            [System.Diagnostics.Process]::Start($start)
        }
    }

    It 'has the image install itself; the token goes through its input alone' {
        Install-Proxy
        $line = $started[0] -join ' '
        $line | Should -BeLike 'run -i --rm --name flageemonitor-deploy *--security-opt label=disable *'
        $line | Should -BeLike '*registry.example/proxy:stable deploy install --runtime-name flageemonitor --host-os windows *'
        $line + ($docker -join ' ') | Should -Not -Match 'fm1\.once'
        $request = [System.IO.File]::ReadAllText((Join-Path $TestDrive 'request'))
        $request | Should -Match '(?m)^BOOTSTRAP_TOKEN=fm1\.once\r?$'
        $request | Should -Match '(?m)^SEEN=[0-9a-f]{32}\r?$'
        $world.Task | Should -BeTrue
        $world.Path | Should -BeTrue
        $docker | Should -Contain 'volume create --label flageemonitor.runtime=flageemonitor flageemonitor-data'
    }

    It 'protects a folder that exists, and takes rights of others away' {
        $null = New-Item -ItemType Directory -Path $site.Base
        Install-Proxy
        $rights[0..2] | Should -BeExactly @(
            "$($site.Base) /setowner *S-1-5-32-544", "$($site.Base) /reset",
            "$($site.Base) /inheritance:r /grant:r *S-1-5-32-544:(OI)(CI)F /grant:r *S-1-5-18:(OI)(CI)F"
        )
        $rights | Should -Contain "$($site.Folder) /reset /T /C"
    }

    It 'says why a program failed: in its words, or else with its exit code' {
        Get-Cause @{ Code = 5; Out = ' one'; Err = "two`r`n three" } | Should -BeExactly 'two three one'
        Get-Cause @{ Code = 5; Out = ''; Err = '' } | Should -BeExactly 'exit code 5'
        $language = 'pt-BR'
        Get-Cause @{ Code = 5; Out = ''; Err = '' } | Should -BeExactly "c$([char]0xF3)digo de sa$([char]0xED)da 5"
    }

    It 'says in Portuguese what is filled in, whatever the values hold' {
        $language, $why, $RuntimeName = 'pt-BR', '`"$(throw)', 'a*[b]'
        Get-Text "The Docker engine does not answer: $why" | Should -BeExactly "O Docker Engine n$([char]0xE3)o responde: $why"
        Get-Text "Removing $RuntimeName" | Should -BeExactly 'Removendo a*[b]'
        Get-Text "Pulling $($site.Image)" | Should -BeExactly 'Baixando registry.example/proxy:stable'
        Get-Text 'unknown' | Should -BeExactly 'unknown'
        Mock Get-Docker { '' }
        Test-Engine
        $site.Problems -join ' ' | Should -BeLike '*n?o est? instalado neste servidor.*Instale o Docker Desktop*'
    }

    It 'gives the account of Docker Desktop rights only where that is needed' {
        Install-Proxy
        ($rights -join ' ') | Should -Not -Match 'S-1-5-21'
        $mounts = @{ Count = 0 }
        Mock Test-Mount { $mounts.Count++; $mounts.Count -gt 1 }
        Mock Get-DockerAccounts { 'S-1-5-21-7' }
        Mock Test-AdministratorAccount { $false }
        $site.Notes = @()
        Open-Folders
        $rights[-1] | Should -BeExactly "$($site.Bin) /grant:r *S-1-5-21-7:(OI)(CI)RX"
        $site.Notes.Count | Should -Be 2
    }

    It 'changes nothing with -DryRun, and mounts only what exists' {
        $DryRun = $true
        Install-Proxy
        Test-Path -LiteralPath $site.Base | Should -BeFalse
        $line = $started[0] -join ' '
        $line | Should -BeLike '*deploy install *--dry-run'
        $line | Should -Not -Match '/host/(etc|bin|data)'
        ($docker -join ' ') | Should -Not -Match 'volume (create|rm)'
        $world.Task | Should -BeFalse
    }

    It 'leaves nothing of a first installation that fails with <Deploy>' -TestCases @(@{ Deploy = 1 }, @{ Deploy = 10 }, @{ Deploy = 125 }) {
        $world.Deploy = $Deploy
        try { Install-Proxy } catch { $null = $_ }
        Test-Path -LiteralPath $site.Base | Should -BeFalse
        $docker | Should -Contain 'volume rm flageemonitor-data'
        $world.Task | Should -BeFalse
    }

    It 'sets the repair task of a proxy that is installed although the call ends with 1' {
        $world.Deploy = 1
        $null = New-Item -ItemType Directory -Force -Path $folder
        Set-Content -LiteralPath $site.EnvFile -Value 'FLAGEEMONITOR_REDE=ACME'
        Install-Proxy
        $site.Code | Should -Be 1
        $world.Task | Should -BeTrue
    }

    It 'keeps folder and volume of a proxy that was there before' {
        $null = New-Item -ItemType Directory -Path $site.Folder -Force
        [System.IO.File]::WriteAllText($site.EnvFile, "$([char]0xFEFF)FLAGEEMONITOR_IMAGE=mine:1`n")
        Get-EnvValue 'FLAGEEMONITOR_IMAGE' | Should -BeExactly 'mine:1'
        $world.Deploy, $world.Volume = 11, 'flageemonitor'
        Install-Proxy
        $site.Code | Should -Be 11
        Test-Path -LiteralPath $site.EnvFile | Should -BeTrue
        ($docker -join ' ') | Should -Not -Match 'volume rm'
    }

    It 'does not start while the container of another one is <State>' -TestCases @(@{ State = 'running'; Code = 6 }, @{ State = 'away'; Code = 1 }) {
        $world.Container = $State
        Get-ExitCode { Install-Proxy } | Should -Be $Code
        $started.Count | Should -Be 0
    }

    It 'says which image is needed where this one is older' {
        $world.Verbs = ''
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $failed -join ' ' | Should -Match 'older than this installer'
        Test-Path -LiteralPath $site.Base | Should -BeFalse
    }

    It 'tells every problem at once, and changes nothing' {
        Mock Test-Administrator { $false }
        Mock Get-ExecutionPolicy { 'AllSigned' }
        $world.Health = '200 text/html'
        $site.Image = '--privileged'
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $site.Problems.Count | Should -Be 5
        Test-Path -LiteralPath $site.Base | Should -BeFalse
    }

    It 'does not take over what belongs to somebody else' {
        $null = New-Item -ItemType Directory -Path $site.Folder -Force
        [System.IO.File]::WriteAllText((Join-Path $site.Folder 'theirs'), 'x')
        $world.Volume = 'another'
        Get-ExitCode { Install-Proxy } | Should -Be 1
        $site.Problems -join ' ' | Should -Match 'was not made by this installer'
        $site.Problems -join ' ' | Should -Match 'A volume flageemonitor-data exists'
    }

    It 'names what is wrong with the control plane: <Said>' -TestCases @(
        @{ Code = 60; Out = '000 '; Said = '-Ca FILE' }
        @{ Code = 7; Out = '000 '; Said = 'cannot be reached' }
        @{ Code = 0; Out = '503 application/json'; Said = 'not that of a healthy control plane \(HTTP 503' }
        @{ Code = 0; Out = '200 text/html'; Said = 'not that of a healthy control plane' }
        @{ Code = 127; Out = ''; Said = 'curl.exe is not on this host' }
    ) {
        Mock Invoke-Curl { New-Said $Out $Code }
        Test-Server
        $site.Problems -join ' ' | Should -Match $Said
    }

    It 'refuses <Because>' -TestCases @(
        @{ Because = 'a name of another part'; Set = { $RuntimeName = 'x-watchtower' } }
        @{ Because = 'a name of Windows'; Set = { $RuntimeName = 'con' } }
        @{ Because = 'an option as an image'; Set = { $Image = '--privileged' } }
        @{ Because = 'a short interval'; Set = { $WatchtowerInterval = '29' } }
        @{ Because = 'a long interval'; Set = { $WatchtowerInterval = '604801' } }
        @{ Because = 'words for an interval'; Set = { $WatchtowerInterval = '5m' } }
        @{ Because = 'no network'; Set = { $DockerNetwork = 'none' } }
        @{ Because = 'both about the first generation'; Set = { $ReplaceLegacy = $BesideLegacy = $true } }
        @{ Because = 'data without -Uninstall'; Set = { $DeleteData = $true } }
        @{ Because = 'a password without a user'; Set = { $RegistryTokenFile = 'x' } }
    ) {
        . $Set
        Get-ExitCode { Assert-Options } | Should -Be 2
    }

    It 'removes with the image that runs, and the data only when told: <Data>' -TestCases @(@{ Data = $true }, @{ Data = $false }) {
        $Yes, $DeleteData, $world.Volume, $world.Task = $true, $Data, 'flageemonitor', $true
        $null = New-Item -ItemType Directory -Path $site.Bin -Force
        Uninstall-Proxy
        $line = $started[0] -join ' '
        $line | Should -BeLike '*sha256:1 deploy uninstall *'
        $line -like '*--delete-data*' | Should -Be $Data
        ($docker -contains 'volume rm flageemonitor-data') | Should -Be $Data
        $world.Task | Should -BeFalse
        Test-Path -LiteralPath $site.Folder | Should -BeFalse
    }

    It 'says how to remove it by hand and pulls an image where none knows how' {
        $Yes, $world.Verbs, $world.Task = $true, '', $true
        Get-ExitCode { Uninstall-Proxy } | Should -Be 1
        Should -Invoke Write-Message -ParameterFilter { $Sentence -like '*docker rm -f $(docker ps -aq --filter label=flageemonitor.runtime=flageemonitor)*' }
        $docker | Should -Contain "pull --quiet $($site.Image)"
        $failed -join ' ' | Should -Match 'older than this installer'
        $started.Count | Should -Be 0
        $world.Task | Should -BeTrue
    }

    It 'leaves the repair of a proxy that was not removed: <Container>, <Deploy>' -TestCases @(
        @{ Container = 'none'; Deploy = 1; ExitCode = 0 }
        @{ Container = 'none'; Deploy = 125; ExitCode = 1 }
        @{ Container = 'running'; Deploy = 0; ExitCode = 6 }
    ) {
        $Yes, $world.Task, $world.Container, $world.Deploy = $true, $true, $Container, $Deploy
        $null = New-Item -ItemType Directory -Path $site.Folder -Force
        [System.IO.File]::WriteAllText($site.EnvFile, 'FLAGEEMONITOR_REDE=ACME')
        Get-ExitCode { Uninstall-Proxy } | Should -Be $ExitCode
        $world.Task | Should -BeTrue
    }
}
