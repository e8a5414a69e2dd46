# FlageeMonitor Proxy: installs, repairs, upgrades and removes a proxy on this Windows host. Rendered by the control plane for one
# network. It wants an administrator, Windows PowerShell 5.1 or PowerShell 7, and Docker with Linux containers.

<#
.SYNOPSIS
Installs FlageeMonitor Proxy on this host.

.DESCRIPTION
Checks the host, pulls the image, enrols with the control plane, fetches the first configuration, starts the proxy and its
Watchtower, and sets up five commands and a task that mends both. Run again, it repairs and upgrades; identity, token and what you
wrote into the environment file are kept. If it fails, what was there before goes on.

With options: & ([scriptblock]::Create((irm ...))) -DryRun

Exit codes ($LASTEXITCODE): 0 done, 1 not done and what was there before goes on, 2 usage, 6 another installer or update is at work.

.PARAMETER RuntimeName
Name of this proxy on this host; several may live side by side.

.PARAMETER Image
Image of the proxy, instead of the one that the control plane names.

.PARAMETER WatchtowerImage
Image of Watchtower.

.PARAMETER WatchtowerInterval
How often Watchtower looks for a new image, in seconds (30 or more).

.PARAMETER Ca
Certificate of a private authority that the control plane's address is signed by: a file (PEM).

.PARAMETER RegistryUser
User of the image's registry; the password or token is asked for, or is read from

.PARAMETER RegistryTokenFile
the first line of this file.

.PARAMETER DockerNetwork
bridge (default), host or a network of yours.

.PARAMETER ReplaceLegacy
A proxy of the first generation is stopped once this one runs; its files stay.

.PARAMETER BesideLegacy
It goes on beside this one.

.PARAMETER AllowForeignWatchtower
Install although a Watchtower without scope would interfere.

.PARAMETER DryRun
Make all checks, say what would be done, change nothing.

.PARAMETER Uninstall
Remove the proxy; asks whether its data is to be deleted as well.

.PARAMETER KeepData
The answer to that: no.

.PARAMETER DeleteData
The answer to that: yes.

.PARAMETER Yes
Yes to every question.
#>
[CmdletBinding(PositionalBinding = $false)]
param(
    [string]$RuntimeName = 'flageemonitor',
    [string]$Image = '',
    [string]$WatchtowerImage = '',
    [string]$WatchtowerInterval = '',
    [string]$Ca = '',
    [string]$RegistryUser = '',
    [string]$RegistryTokenFile = '',
    [string]$DockerNetwork = '',
    [switch]$ReplaceLegacy,
    [switch]$BesideLegacy,
    [switch]$AllowForeignWatchtower,
    [switch]$DryRun,
    [switch]$Uninstall,
    [switch]$KeepData,
    [switch]$DeleteData,
    [switch]$Yes
)

& {
    $ErrorActionPreference = 'Stop'

    # What the control plane filled in.
    function Get-Rendered {
        @{
            # @@VALUES@@
        }
    }

    # The text of each wrapper by its name, with a placeholder for the runtime's name.
    function Get-Wrappers {
        @{
            # @@WRAPPERS@@
        }
    }

    # The same in every wrapper and in the installer; a test holds them together.
    # What Windows programs take apart again as it was: backslashes count only before a double quote. Not left to PowerShell, of which
    # 5.1 and 7 quote differently, and 5.1 wrongly.
    function ConvertTo-CommandLine([string[]]$Arguments) {
        $parts = foreach ($argument in $Arguments) {
            if ($argument -and $argument -notmatch '[\s"]') {
                $argument
            } else {
                '"' + (($argument -replace '(\\*)"', '$1$1\"') -replace '(\\+)\z', '$1$1') + '"'
            }
        }
        $parts -join ' '
    }

    # The process, or nothing where it cannot be started. Unless it is -Shown in this console, it has one of its own, which no Ctrl-C
    # of this one reaches, and its output is ours to read.
    function Start-Program([string]$File, [string[]]$Arguments, [switch]$Shown) {
        $start = New-Object System.Diagnostics.ProcessStartInfo
        $start.FileName = $File
        $start.Arguments = ConvertTo-CommandLine $Arguments
        $start.UseShellExecute = $false
        if (-not $Shown) {
            $start.CreateNoWindow = $true
            $start.RedirectStandardInput = $true
            $start.RedirectStandardOutput = $true
            $start.RedirectStandardError = $true
            $start.StandardOutputEncoding = New-Object System.Text.UTF8Encoding $false
            $start.StandardErrorEncoding = New-Object System.Text.UTF8Encoding $false
        }
        try {
            [System.Diagnostics.Process]::Start($start)
        } catch {
            $null
        }
    }

    # Exit code, output and errors of a program as text; 127 where it cannot be started. Its input is not on the command line.
    function Invoke-Program([string]$File, [string[]]$Arguments, [string]$InputText = '') {
        $process = Start-Program $File $Arguments
        if ($null -eq $process) {
            return @{ Code = 127; Out = ''; Err = 'it cannot be started' }
        }
        $out = $process.StandardOutput.ReadToEndAsync()
        $err = $process.StandardError.ReadToEndAsync()
        if ($InputText) {
            $process.StandardInput.Write($InputText)
        }
        $process.StandardInput.Close()
        $process.WaitForExit()
        return @{ Code = $process.ExitCode; Out = $out.Result.Trim(); Err = $err.Result.Trim() }
    }

    # By its whole path: Windows would look for it in the current folder first. Docker Desktop has a script `docker` beside docker.exe.
    function Get-Docker {
        $found = @(Get-Command -Name 'docker.exe', 'docker' -CommandType Application -ErrorAction SilentlyContinue)
        if ($found.Count -gt 0) {
            $found[0].Path
        } else {
            ''
        }
    }

    function Invoke-Docker([string[]]$Arguments) {
        Invoke-Program (Get-Docker) $Arguments
    }

    function ConvertTo-OneLine([string]$Text) {
        ($Text -replace '\s+', ' ').Trim()
    }

    # ---- What is said

    function Write-Line([string[]]$Lines) {
        foreach ($line in $Lines) {
            Write-Host $line
        }
    }

    function Write-Step([string]$Text) {
        Write-Host "==> $Text"
    }

    function Write-Trouble([string[]]$Lines) {
        foreach ($line in $Lines) {
            $Host.UI.WriteErrorLine($line)
        }
    }

    function Stop-Here([int]$Code, [string]$Text) {
        $stop = New-Object System.InvalidOperationException -ArgumentList $Text
        $stop.Data['ExitCode'] = $Code
        throw $stop
    }

    # What is wrong, and then what to do, a line each.
    function Stop-Failed([string[]]$Lines) {
        Write-Trouble @('', "Failed: $($Lines[0])")
        foreach ($line in @($Lines | Select-Object -Skip 1)) {
            Write-Trouble "    $line"
        }
        Stop-Here 1 $Lines[0]
    }

    function Stop-Usage([string]$What) {
        Write-Trouble "install.ps1: $What"
        Stop-Here 2 $What
    }

    # Collected, so that all of them are told at once.
    function Add-Problem([string]$What, [string]$WhatToDo) {
        $site.Problems.Add($What)
        $site.Problems.Add($WhatToDo)
    }

    # ---- Small things

    function Get-Value([string]$Name) {
        [string]$site.Rendered[$Name]
    }

    # The first that is not empty.
    function Select-First([string[]]$Words) {
        foreach ($word in $Words) {
            if ($word) {
                return $word
            }
        }
        return ''
    }

    # A reference by the grammar of registries, as contracts/image_reference.py has it: no option for docker.
    function Test-Image([string]$Name) {
        if ($Name -cnotmatch '\A[][A-Za-z0-9._/:@-]+\z') {
            return $false
        }
        $repository = $Name.Split('@')[0] -creplace ':[^/:]*\z', ''
        $first = $repository.Split('/')[0]
        # Too long; the id of an image; no valid domain.
        if ($repository.Length -gt 255 -or $repository -cmatch '\A[0-9a-f]{64}\z' -or
            ($first -cne $repository -and $first.Contains('.') -and $first.Contains('_'))) {
            return $false
        }
        $form = '(([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?'
        return $Name -cmatch "\A(?:$form)\z"
    }

    function Test-Token([string]$Token) {
        $Token -cmatch '\A[A-Za-z0-9._~+/=-]+\z'
    }

    function Test-File([string]$Path) {
        Test-Path -LiteralPath $Path -PathType Leaf
    }

    function Test-Folder([string]$Path) {
        Test-Path -LiteralPath $Path -PathType Container
    }

    # As PowerShell means it, whose current folder is not the process's.
    function Get-FullPath([string]$Path) {
        $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path)
    }

    # Lines of the environment file, which is read and never run.
    function Read-EnvLines {
        if (Test-File $site.EnvFile) {
            [System.IO.File]::ReadAllLines($site.EnvFile)
        }
    }

    function Get-EnvValue($Lines, [string]$Key) {
        $value = ''
        foreach ($line in $Lines) {
            if ($line -cmatch ('\A' + [regex]::Escape($Key) + '=(.*)\z')) {
                $value = $Matches[1].Trim()
            }
        }
        return $value
    }

    # Ours, else the first generation's.
    function Get-Setting($Lines, [string]$Word) {
        Select-First @((Get-EnvValue $Lines "FLAGEEMONITOR_$Word"), (Get-EnvValue $Lines "ARIUSMONITOR_$Word"))
    }

    # ---- The edge: what asks or changes this machine, beside docker

    function Get-ProgramData {
        [Environment]::GetFolderPath('CommonApplicationData')
    }

    function Test-Administrator {
        $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
        $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
    }

    function Get-HostName {
        Select-First @(([Environment]::MachineName -creplace '[^A-Za-z0-9._-]', ''), 'unknown')
    }

    function Get-Time {
        [DateTimeOffset]::UtcNow
    }

    function Get-FreeMegabytes([string]$Path) {
        $drive = New-Object System.IO.DriveInfo ([System.IO.Path]::GetPathRoot($Path))
        [long]($drive.AvailableFreeSpace / 1048576)
    }

    # Of a scope, or the one that counts here.
    function Get-Policy([string]$Scope) {
        if ($Scope) {
            [string](Get-ExecutionPolicy -Scope $Scope)
        } else {
            [string](Get-ExecutionPolicy)
        }
    }

    function Get-Curl {
        $own = Join-Path ([Environment]::SystemDirectory) 'curl.exe'
        if (Test-File $own) {
            return $own
        }
        return ''
    }

    # curl, for both PowerShells: Invoke-RestMethod can be told of a private authority in neither. With --cacert only what that file
    # holds is trusted. --ssl-no-revoke goes with it alone: a private authority seldom says where its revocations are, and Windows'
    # TLS takes that for an error. The token goes through stdin, where no process list shows it.
    function Invoke-Curl([string[]]$Arguments, [string]$Token = '') {
        $all = @('-sS', '--connect-timeout', '10', '--max-time', '60')
        if ($site.Trust) {
            $all += @('--ssl-no-revoke', '--cacert', $site.Trust)
        }
        $header = ''
        if ($Token) {
            $all += @('-K', '-')
            $header = "header = `"X-Bot-Token: $Token`"`n"
        }
        Invoke-Program (Get-Curl) ($all + $Arguments) $header
    }

    function Invoke-Icacls([string[]]$Arguments) {
        $said = Invoke-Program (Join-Path ([Environment]::SystemDirectory) 'icacls.exe') ($Arguments + @('/Q'))
        if ($said.Code -ne 0) {
            Stop-Failed @("The permissions of $($Arguments[0]) could not be set: $(ConvertTo-OneLine ($said.Err + ' ' + $said.Out))")
        }
    }

    # Accounts that Docker Desktop runs under, by security id: what a container may read of Windows' folders is what they may.
    function Get-DockerAccounts {
        $found = foreach ($process in @(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'com.docker.backend.exe'")) {
            (Invoke-CimMethod -InputObject $process -MethodName GetOwnerSid).Sid
        }
        $found | Where-Object { $_ -and $_ -ne 'S-1-5-18' } | Select-Object -Unique
    }

    function Get-OwnerSid([string]$Path) {
        (Get-Acl -LiteralPath $Path).GetOwner([Security.Principal.SecurityIdentifier]).Value
    }

    function Test-AdministratorAccount([string]$Sid) {
        try {
            @(Get-LocalGroupMember -SID 'S-1-5-32-544' | ForEach-Object { $_.SID.Value }) -ccontains $Sid
        } catch {
            $false # of a domain that does not answer, for example
        }
    }

    # This PowerShell: started by another's, a PowerShell would look for its modules among the other's.
    function Get-Shell {
        $name = if ($PSVersionTable.PSVersion.Major -ge 6) { 'pwsh.exe' } else { 'powershell.exe' }
        Join-Path $PSHOME $name
    }

    # Shown in this console; its exit code.
    function Invoke-Script([string]$Path) {
        $process = Start-Program (Get-Shell) @('-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', $Path) -Shown
        if ($null -eq $process) {
            return 127
        }
        $process.WaitForExit()
        return $process.ExitCode
    }

    function Get-Task {
        Get-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$RuntimeName-repair" -ErrorAction SilentlyContinue
    }

    function Register-Task {
        $shell = Join-Path ([Environment]::SystemDirectory) 'WindowsPowerShell\v1.0\powershell.exe'
        $script = Join-Path $site.Bin "$RuntimeName-update-image.ps1"
        $action = New-ScheduledTaskAction -Execute $shell -Argument (ConvertTo-CommandLine @(
                '-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', $script, '--repair'))
        $triggers = @(
            (New-ScheduledTaskTrigger -AtStartup),
            (New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval (New-TimeSpan -Minutes 5))
        )
        $principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
        $settings = New-ScheduledTaskSettingsSet -MultipleInstances IgnoreNew -ExecutionTimeLimit (New-TimeSpan -Hours 1) `
            -StartWhenAvailable -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
        $null = Register-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$RuntimeName-repair" -Action $action `
            -Trigger $triggers -Principal $principal -Settings $settings -Force `
            -Description "FlageeMonitor Proxy ${RuntimeName}: mends its containers every five minutes"
    }

    function Unregister-Task {
        if (Get-Task) {
            Unregister-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$RuntimeName-repair" -Confirm:$false
        }
    }

    # The machine's Path as it is written, %SystemRoot% and all: .NET would write it back with everything filled in.
    function Edit-MachinePath([scriptblock]$Change) {
        $key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Control\Session Manager\Environment', $true)
        try {
            $before = [string]$key.GetValue('Path', '', [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
            $after = & $Change $before
            if ($after -cne $before) {
                $key.SetValue('Path', $after, [Microsoft.Win32.RegistryValueKind]::ExpandString)
                # Changes nothing, but tells the programs that run.
                [Environment]::SetEnvironmentVariable('FLAGEEMONITOR_NONE', $null, 'Machine')
            }
        } finally {
            $key.Close()
        }
    }

    function Add-PathEntry([string]$Path, [string]$Entry) {
        if (@($Path.Split(';')) -contains $Entry) {
            return $Path
        }
        return (@($Path.TrimEnd(';'), $Entry) | Where-Object { $_ }) -join ';'
    }

    function Remove-PathEntry([string]$Path, [string]$Entry) {
        if (@($Path.Split(';')) -notcontains $Entry) {
            return $Path
        }
        return @($Path.Split(';') | Where-Object { $_ -ne $Entry }) -join ';'
    }

    function Read-Secret([string]$Question) {
        if ([Console]::IsInputRedirected -or -not [Environment]::UserInteractive) {
            return $null
        }
        (New-Object System.Net.NetworkCredential -ArgumentList '', (Read-Host -Prompt $Question -AsSecureString)).Password
    }

    # Nothing where nobody is there to answer.
    function Read-Answer([string]$Question) {
        if ([Console]::IsInputRedirected -or -not [Environment]::UserInteractive) {
            return $null
        }
        Read-Host -Prompt $Question
    }

    # ---- Options

    function Assert-Options {
        if ($RuntimeName -cnotmatch '\A[a-z0-9][a-z0-9_.-]*\z') {
            Stop-Usage "-RuntimeName: '$RuntimeName' must begin with a-z or 0-9 and consist of a-z 0-9 _ . -"
        }
        if ($RuntimeName -cmatch '(-candidate|-previous|-watchtower|-deploy|-repair)\z') {
            Stop-Usage "-RuntimeName: '$RuntimeName' must not end like a part of another runtime (-candidate, -previous, -watchtower, -deploy, -repair)"
        }
        if ($RuntimeName.Length -gt 40) {
            Stop-Usage '-RuntimeName: at most 40 characters'
        }
        if ($RuntimeName -cmatch '\.\z|\A(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|\z)') {
            Stop-Usage "-RuntimeName: Windows can have no folder '$RuntimeName'"
        }
        if ($Image -and -not (Test-Image $Image)) {
            Stop-Usage "-Image: '$Image' is not the name of an image"
        }
        if ($WatchtowerImage -and -not (Test-Image $WatchtowerImage)) {
            Stop-Usage "-WatchtowerImage: '$WatchtowerImage' is not the name of an image"
        }
        if ($WatchtowerInterval) {
            if ($WatchtowerInterval -cnotmatch '\A[0-9]{1,7}\z') {
                Stop-Usage "-WatchtowerInterval: '$WatchtowerInterval' is not a number of seconds"
            }
            if ([int]$WatchtowerInterval -lt 30) {
                Stop-Usage '-WatchtowerInterval: at least 30 seconds'
            }
        }
        if ($DockerNetwork -and ($DockerNetwork -ceq 'none' -or $DockerNetwork -cnotmatch '\A[A-Za-z0-9][A-Za-z0-9_.-]*\z')) {
            Stop-Usage "-DockerNetwork: bridge, host or the name of a network, not '$DockerNetwork'"
        }
        if ($ReplaceLegacy -and $BesideLegacy) {
            Stop-Usage '-ReplaceLegacy and -BesideLegacy do not go together'
        }
        if ($KeepData -and $DeleteData) {
            Stop-Usage '-KeepData and -DeleteData do not go together'
        }
        if (($KeepData -or $DeleteData) -and -not $Uninstall) {
            Stop-Usage '-KeepData and -DeleteData belong to -Uninstall'
        }
        if ($RegistryUser.Contains(':')) {
            Stop-Usage "-RegistryUser: no colon in a user's name"
        }
        if ($RegistryTokenFile -and -not $RegistryUser) {
            Stop-Usage '-RegistryTokenFile wants -RegistryUser as well'
        }
    }

    # Everything that the functions share.
    function New-Site {
        $base = Join-Path (Get-ProgramData) 'FlageeMonitor'
        $folder = Join-Path $base $RuntimeName
        @{
            Rendered = Get-Rendered
            Base = $base
            Folder = $folder
            Config = Join-Path $folder 'config'
            Bin = Join-Path $folder 'bin'
            Stage = Join-Path $folder '.install'
            EnvFile = Join-Path $folder 'flageemonitor.env'
            Volume = "$RuntimeName-data"
            Tools = @('run', 'logs', 'update-config', 'update-image', 'watchtower-logs', 'uninstall')
            # What a proxy of the first generation is called; its Watchtower as well, with -watchtower.
            First = @('ariusmonitor', 'flageemonitor')
            Problems = New-Object 'System.Collections.Generic.List[string]'
            Facts = ''
            Image = ''
            Trust = ''
            Engine = $false
            Fresh = $true
            Ran = $false
            Goes = $false
            Outcome = 0
            Lock = $null
            MadeFolder = $false
            MadeVolume = $false
            Changed = $false
            Backup = @{}
            Agent = ''
            Token = ''
            NewToken = $false
            Docker = @()
            Network = ''
            Notes = @()
        }
    }

    # ---- Checks: they change nothing

    function Assert-Host {
        $site.Fresh = -not (Test-File $site.EnvFile)
        Test-Rendered
        if (Test-Administrator) {
            Test-Names
            Test-Engine
            Test-Neighbours
            Test-Space
        } else {
            Add-Problem 'This needs an administrator.' 'Open PowerShell as administrator, and paste the line again.'
        }
        Test-Policy
        Test-Authority
        Test-Server
        if ($site.Problems.Count -gt 0) {
            Write-Trouble 'Not installed; nothing was changed. What is in the way:'
            for ($at = 0; $at -lt $site.Problems.Count; $at += 2) {
                Write-Trouble @("  $($at / 2 + 1). $($site.Problems[$at])", "     $($site.Problems[$at + 1])")
            }
            Stop-Here 1 'Something is in the way.'
        }
        Write-Line "Checks passed:$($site.Facts)"
    }

    function Test-Rendered {
        if (-not (Get-Value 'API_BASE') -or -not (Get-Value 'NETWORK') -or -not (Test-Token (Get-Value 'BOOTSTRAP_TOKEN'))) {
            Add-Problem 'This is the bare template, or a damaged script.' 'Use the line that flagee-server install-command --windows prints.'
        }
        foreach ($name in @('API_BASE', 'ENROLL_URL', 'HEALTH_URL')) {
            $address = Get-Value $name
            if ($address -and $address -cnotmatch '\Ahttps?://[^-]') {
                Add-Problem "The script carries an address that is none: $address" 'Correct FLAGEE_PUBLIC_URL on the control plane.'
            }
        }
        foreach ($name in @('API_BASE', 'NETWORK', 'TIMEZONE', 'IMAGE', 'WATCHTOWER_IMAGE', 'WATCHTOWER_INTERVAL')) {
            if ((Get-Value $name) -cmatch '[^\x20-\x7e]') {
                Add-Problem 'The script carries a value with characters that cannot be printed.' "Correct the network's document."
            }
        }
        $site.Image = Select-First @($Image, (Get-Setting (Read-EnvLines) 'IMAGE'), (Get-Value 'IMAGE'))
        if (-not (Test-Image $site.Image)) {
            Add-Problem "There is no usable name of an image: '$($site.Image)'." `
                "Give one with -Image, or correct it in $($site.EnvFile) or in the network's document."
        }
    }

    function Test-Names {
        # Whatever else is called so must not be taken over now, nor be removed by -Uninstall later.
        foreach ($path in @($site.Base, $site.Folder)) {
            if ((Test-Path -LiteralPath $path) -and ((-not (Test-Folder $path)) -or (Test-Link $path))) {
                Add-Problem "$path is there and is not a folder." 'Move it away, or choose another name with -RuntimeName.'
                return
            }
        }
        # Whoever owns the folder above could put another one in this one's place, with commands that SYSTEM runs.
        if (Test-Folder $site.Base) {
            $owner = Get-OwnerSid $site.Base
            if (@('S-1-5-32-544', 'S-1-5-18') -cnotcontains $owner -and -not (Test-AdministratorAccount $owner)) {
                Add-Problem "$($site.Base) belongs to $owner, who is no administrator." "Have it belong to administrators: icacls `"$($site.Base)`" /setowner *S-1-5-32-544"
            }
        }
        if ($site.Fresh -and (Test-Folder $site.Folder) -and -not (Test-Empty $site.Folder)) {
            Add-Problem "$($site.Folder) is there and was not made by this installer." 'Move it away, or choose another name with -RuntimeName.'
        }
        foreach ($name in $site.Tools) {
            $path = Join-Path $site.Bin "$RuntimeName-$name.ps1"
            if ((Test-File $path) -and -not ((@(Get-Content -LiteralPath $path -TotalCount 3) -join ' ').Contains('FlageeMonitor Proxy'))) {
                Add-Problem "$path is there and is not ours." 'Move it away, or choose another name with -RuntimeName.'
            }
        }
        $serves = Get-Setting (Read-EnvLines) 'REDE'
        if ($serves -and $serves -cne (Get-Value 'NETWORK')) {
            Add-Problem "$RuntimeName on this host serves network $serves; this script is for network $(Get-Value 'NETWORK')." `
                'Install under another name with -RuntimeName, or remove the old one with -Uninstall first.'
        }
    }

    function Test-Link([string]$Path) {
        [bool]((Get-Item -LiteralPath $Path -Force).Attributes -band [System.IO.FileAttributes]::ReparsePoint)
    }

    # Whether the folder holds nothing, but for an installer at work.
    function Test-Empty([string]$Path) {
        @(Get-ChildItem -LiteralPath $Path -Force | Where-Object { $_.Name -ne '.install' }).Count -eq 0
    }

    function Test-Engine {
        if (-not (Get-Docker)) {
            Add-Problem 'Docker is not installed on this host.' 'Install Docker Desktop (engine 20.10 or later), then run this again.'
            return
        }
        $where = Select-First @($env:DOCKER_HOST, (Invoke-Docker @('context', 'inspect', '--format', '{{.Endpoints.docker.Host}}')).Out)
        if ($where -and $where -cnotmatch '\Anpipe:') {
            Add-Problem "Docker is used over $where; the proxy must run on this host." 'Remove DOCKER_HOST, or choose the context with: docker context use default'
            return
        }
        $said = Invoke-Docker @('version', '--format', '{{.Server.Version}}|{{.Server.APIVersion}}|{{.Server.Os}}|{{.Server.Arch}}')
        $parts = $said.Out.Split('|')
        if ($said.Code -ne 0 -or $parts.Count -ne 4) {
            Add-Problem "The Docker engine does not answer: $(ConvertTo-OneLine ($said.Err + ' ' + $said.Out))" 'Start Docker Desktop, and wait until it says that it runs.'
            return
        }
        $site.Engine = $true
        if ($parts[1] -cnotmatch '\A[0-9]+\.[0-9]+\z' -or [version]$parts[1] -lt [version]'1.41') {
            Add-Problem "The Docker engine is $($parts[0]) with API $($parts[1]); 20.10 with API 1.41 is the oldest that will do." 'Upgrade Docker.'
        }
        if ($parts[2] -cne 'linux') {
            Add-Problem "The Docker engine runs $($parts[2]) containers." 'Switch it to Linux containers (in the menu of Docker Desktop).'
        }
        if ($parts[3] -cne 'amd64' -and -not $Image -and -not (Get-EnvValue (Read-EnvLines) 'FLAGEEMONITOR_IMAGE')) {
            Add-Problem "This machine's engine is $($parts[3]); the image is built for x86_64." 'Name an image that was built for it with -Image.'
        }
        $site.Facts += " Docker $($parts[0]), $($parts[3]);"
        $advice = 'Remove or rename it, or choose another name with -RuntimeName.'
        if ($site.First -ccontains $RuntimeName -and (Test-Legacy $RuntimeName)) {
            $advice = 'It seems to be of the first generation. Install beside it with -RuntimeName NAME -ReplaceLegacy, ' +
                'which stops it once the new one runs; -BesideLegacy instead leaves it alone.'
        }
        foreach ($name in @(Get-Strangers)) {
            Add-Problem "A container $name is there that is not ours." $advice
        }
        $owner = Get-VolumeOwner
        if ($null -ne $owner -and $owner -cne $RuntimeName) {
            Add-Problem "A volume $($site.Volume) is there that is not ours." 'Remove it, or choose another name with -RuntimeName.'
        }
        if ($DockerNetwork -and @('bridge', 'host') -cnotcontains $DockerNetwork -and
            (Invoke-Docker @('network', 'inspect', $DockerNetwork)).Code -ne 0) {
            Add-Problem "There is no Docker network $DockerNetwork." "Make it first: docker network create $DockerNetwork"
        }
        if ((Invoke-Docker @('--context', 'default', 'version')).Code -ne 0) {
            $site.Notes += "Docker's default context does not answer: the task $RuntimeName-repair, which runs as SYSTEM, uses that one."
        }
    }

    # The runtime that the container is of, empty for another's, nothing where there is none.
    function Get-Owner([string]$Name) {
        $said = Invoke-Docker @('container', 'inspect', '--format', '{{.Name}} of {{index .Config.Labels "flageemonitor.runtime"}}', $Name)
        # Docker also answers to the beginning of another container's id.
        if ($said.Code -ne 0 -or -not $said.Out.StartsWith("/$Name of", [System.StringComparison]::Ordinal)) {
            return $null
        }
        return $said.Out.Substring("/$Name of".Length).Trim()
    }

    # Whether the container is there and is no runtime's of this generation.
    function Test-Legacy([string]$Name) {
        (Get-Owner $Name) -ceq ''
    }

    # Containers with a name of this runtime's that are not of it.
    function Get-Strangers {
        foreach ($part in @('', '-watchtower', '-candidate', '-previous')) {
            $owner = Get-Owner "$RuntimeName$part"
            if ($null -ne $owner -and $owner -cne $RuntimeName) {
                "$RuntimeName$part"
            }
        }
    }

    function Get-VolumeOwner {
        $said = Invoke-Docker @('volume', 'inspect', '--format', '{{index .Labels "flageemonitor.runtime"}}', $site.Volume)
        if ($said.Code -ne 0) {
            return $null
        }
        return $said.Out
    }

    # Empty where there is none.
    function Get-State([string]$Name) {
        $said = Invoke-Docker @('container', 'inspect', '--format', '{{.Name}} {{.State.Status}}', $Name)
        if ($said.Code -ne 0 -or -not $said.Out.StartsWith("/$Name ", [System.StringComparison]::Ordinal)) {
            return ''
        }
        return $said.Out.Split(' ')[1]
    }

    function Test-Neighbours {
        if (-not $site.Engine) {
            return
        }
        $signs = @()
        $atWork = $false
        $ours = ''
        # Of what is called as this runtime was told already.
        foreach ($name in @($site.First | Where-Object { $_ -cne $RuntimeName })) {
            if (Test-Legacy $name) {
                $signs += "the container $name"
                $atWork = $atWork -or (Get-State $name) -ceq 'running'
            } elseif ($null -ne (Get-Owner $name)) {
                $ours = $name
            }
        }
        if ($RuntimeName -cne 'ariusmonitor') {
            foreach ($path in @((Join-Path (Get-ProgramData) 'AriusMonitor'), (Join-Path (Join-Path $site.Base 'config') 'config_bot.json'))) {
                if (Test-Path -LiteralPath $path) {
                    $signs += $path
                }
            }
        }
        if ($ReplaceLegacy -and $signs.Count -eq 0 -and $ours) {
            Add-Problem "The proxy $ours on this host is not of the first generation: -ReplaceLegacy is not for it." `
                "Leave that option away; to remove that proxy: -Uninstall -RuntimeName $ours."
        }
        if (-not $ReplaceLegacy -and -not $BesideLegacy -and ($atWork -or ($site.Fresh -and $signs.Count -gt 0))) {
            Add-Problem "A proxy of the first generation is on this host ($($signs -join ', ')): both would work on the same terminals." `
                'Say what is meant: -ReplaceLegacy stops it once this one runs, -BesideLegacy leaves it alone.'
        }
        if ($AllowForeignWatchtower) {
            return
        }
        foreach ($name in @(Get-ForeignWatchtowers)) {
            $stopped = $ReplaceLegacy -and $name -cne "$RuntimeName-watchtower" -and
                $site.First -ccontains ($name -creplace '-watchtower\z', '') -and (Test-Legacy $name)
            if (-not $stopped) {
                Add-Problem "The container $name is a Watchtower without scope: it ends ours when it starts, and updates the proxy without asking it first." `
                    'Give it a scope (WATCHTOWER_SCOPE), or accept that with -AllowForeignWatchtower.'
            }
        }
    }

    function Get-ForeignWatchtowers {
        $ids = @((Invoke-Docker @('ps', '-q')).Out -split '\s+' | Where-Object { $_ })
        if ($ids.Count -eq 0) {
            return
        }
        $format = '{{.Name}}|{{.Config.Image}}|{{index .Config.Labels "com.centurylinklabs.watchtower"}}|' +
            '{{json .Config.Env}}{{json .Args}}{{json .Config.Cmd}}'
        foreach ($line in @((Invoke-Docker (@('inspect', '--type', 'container', '--format', $format) + $ids)).Out -split '\r?\n')) {
            $parts = @($line -split '\|', 4)
            if ($parts.Count -eq 4 -and ($parts[2] -ceq 'true' -or $parts[1] -cmatch 'watchtower') -and
                $parts[3] -cnotmatch '"WATCHTOWER_SCOPE=[^"]|"--scope["=]') {
                $parts[0].TrimStart('/')
            }
        }
    }

    function Test-Space {
        $free = Get-FreeMegabytes $site.Base
        if ($free -lt 2500) {
            Add-Problem "Only $free MB are free on the disk of $($site.Base); 2500 MB are wanted." 'Make room, for example: docker system prune'
        }
        $site.Facts += " $free MB free;"
    }

    function Test-Policy {
        foreach ($scope in @('MachinePolicy', 'UserPolicy')) {
            if (@('Restricted', 'AllSigned') -ccontains (Get-Policy $scope)) {
                Add-Problem "A group policy forbids scripts that are not signed ($scope), so that the proxy's commands could not run." 'Have RemoteSigned allowed on this host.'
                return
            }
        }
        if (@('Restricted', 'AllSigned') -ccontains (Get-Policy '')) {
            $site.Notes += 'Scripts are not allowed in this PowerShell: Set-ExecutionPolicy RemoteSigned, or powershell -ExecutionPolicy Bypass -File ...'
        }
    }

    function Test-Authority {
        $own = Join-Path $site.Config 'ca.pem'
        if ($Ca) {
            $path = Get-FullPath $Ca
            $text = ''
            if (Test-File $path) {
                $text = [System.IO.File]::ReadAllText($path)
            }
            if (-not $text.Contains('BEGIN CERTIFICATE')) {
                Add-Problem "-Ca: $Ca is not a readable file with a certificate (PEM)." 'Ask who runs the control plane for the certificate of their authority.'
            } elseif ($text.Contains('PRIVATE KEY')) {
                Add-Problem "-Ca: $Ca holds a private key, which does not belong here." 'Use a file with the certificate alone.'
            } else {
                $site.Trust = $path
            }
        } elseif ((Test-File $own) -and (Get-EnvValue (Read-EnvLines) 'FLAGEEMONITOR_CA_PATH')) {
            $site.Trust = $own
        }
        if ($RegistryTokenFile -and -not (Test-File (Get-FullPath $RegistryTokenFile))) {
            Add-Problem "-RegistryTokenFile: $RegistryTokenFile cannot be read." 'Correct the path.'
        }
    }

    # The control plane sends JSON only; a page is somebody else's. Only what no web server sends of itself shows that something
    # stands between: a page as a success, 407, 511, a form for a password.
    function Test-Between([string]$Status, [string]$Answer) {
        $Status -cmatch '\A(2..|407|511)\z' -or ($Status -cne '404' -and $Answer -match 'type="?''?password')
    }

    function Get-PageText([string]$Status, [string]$Answer, [string]$Url) {
        if (Test-Between $Status $Answer) {
            "Something between this host and the control plane answered: a web page (HTTP $Status), at $Url."
        } else {
            "$Url answered HTTP $Status with a web page: the server's own web server or something before it."
        }
    }

    function Get-PageAdvice([string]$Status, [string]$Answer, [string]$Url) {
        if (Test-Between $Status $Answer) {
            'Let this host through the firewall or sign-in portal, or name the right proxy in HTTPS_PROXY; curl.exe -v shows the page.'
        } elseif ($Status -ceq '401' -or $Status -ceq '403') {
            'The web server, or something before it, asks for a login of its own or bars this host: let this host through there.'
        } elseif ($Status -ceq '429') {
            'It limits how often it is asked: wait, then try again.'
        } elseif ($Status -cmatch '\A5..\z') {
            'Look into the logs of the control plane and of its web server, then try again.'
        } else {
            "Check the address of the control plane: $Url"
        }
    }

    function Test-Server {
        $health = Get-Value 'HEALTH_URL'
        if (-not (Get-Curl)) {
            Add-Problem 'curl.exe is not on this host; it comes with Windows 10 1803, Windows Server 2019 and later.' 'Update Windows.'
            return
        }
        if (-not $health) {
            return
        }
        $said = Invoke-Curl @('-o', 'NUL', '-D', '-', '-w', 'status %{http_code}\n', $health)
        $status = ''
        if ($said.Out -cmatch '(?m)^status ([0-9]+)') {
            $status = $Matches[1]
        }
        $why = ConvertTo-OneLine $said.Err
        if ($said.Code -eq 0 -and $said.Out -match '(?m)^content-type:[ \t]*text/html') {
            Add-Problem (Get-PageText $status '' $health) (Get-PageAdvice $status '' $health)
        } elseif ($said.Code -eq 0 -and $status -ceq '200') {
            $site.Facts += " the control plane $(Get-Value 'SERVER_VERSION') answers;"
        } elseif ($said.Code -eq 0) {
            Add-Problem "The control plane answers at $health that it is not well (HTTP $status)." 'Ask who runs it; its log says why.'
        } elseif ($said.Code -eq 6) {
            Add-Problem "The control plane's name cannot be resolved: $why" "Correct this host's DNS."
        } elseif ($said.Code -eq 60 -or $said.Code -eq 77 -or $why -cmatch 'UNTRUSTED') {
            Add-Problem "The control plane's certificate is not trusted here: $why" `
                "If it is signed by a private authority, give its certificate with -Ca FILE; else look at this host's clock and updates."
        } else {
            Add-Problem "The control plane cannot be reached at ${health}: $why" 'Look at firewall and proxy settings between this host and it.'
        }
        Test-Clock $said.Out
    }

    # Headers: without a date in them, the time at which the script was rendered.
    function Test-Clock([string]$Headers) {
        $theirs = [long]0
        $parsed = [DateTimeOffset]::MinValue
        if ($Headers -match '(?m)^date:[ \t]*([^\r\n]+)' -and [DateTimeOffset]::TryParse(
                $Matches[1].Trim(), [System.Globalization.CultureInfo]::InvariantCulture,
                [System.Globalization.DateTimeStyles]::AssumeUniversal, [ref]$parsed)) {
            $theirs = $parsed.ToUnixTimeSeconds()
        } elseif (-not [long]::TryParse((Get-Value 'SERVER_TIME'), [ref]$theirs)) {
            return
        }
        $off = [Math]::Abs((Get-Time).ToUnixTimeSeconds() - $theirs)
        if ($off -gt 300) {
            Add-Problem "This host's clock and the control plane's are $off seconds apart." `
                'Set the clock, for example: w32tm /resync. If this script was saved a while ago, get a new one.'
        }
        $site.Facts += " clock $off s apart."
    }

    # ---- What holds everything together: one installer at a time, and a way back

    # For administrators and SYSTEM, inherited by what is made inside.
    function Protect-Folder([string]$Path) {
        if (-not (Test-Folder $Path)) {
            $null = [System.IO.Directory]::CreateDirectory($Path)
        }
        Invoke-Icacls @($Path, '/setowner', '*S-1-5-32-544')
        Invoke-Icacls @($Path, '/inheritance:r', '/grant:r', '*S-1-5-32-544:(OI)(CI)F', '/grant:r', '*S-1-5-18:(OI)(CI)F')
    }

    function Lock-Site {
        if (-not (Test-Folder $site.Base)) {
            Protect-Folder $site.Base
        }
        if ($site.Fresh -and (Test-Folder $site.Folder)) {
            # Empty but for what an installer left, as was seen. Made anew: whoever made it would still own it.
            Remove-Folder $site.Stage
            try {
                [System.IO.Directory]::Delete($site.Folder)
            } catch {
                Stop-Locked
            }
        }
        $site.MadeFolder = -not (Test-Folder $site.Folder)
        Protect-Folder $site.Folder
        Protect-Folder $site.Stage
        try {
            # Held until this process ends, in whatever way.
            $site.Lock = [System.IO.File]::Open((Join-Path $site.Stage 'lock'), 'OpenOrCreate', 'ReadWrite', 'None')
        } catch {
            Stop-Locked
        }
        # From here on nobody else changes it.
        $site.Ran = $null -ne (Get-Owner $RuntimeName)
        $site.Fresh = -not (Test-File $site.EnvFile) -and -not $site.Ran
    }

    function Stop-Locked {
        Write-Trouble "Another installer is at work on $RuntimeName; nothing was changed."
        Stop-Here 6 'Another installer is at work.'
    }

    # What is in the stage is another's until the lock is ours.
    function Unlock-Site {
        if ($null -ne $site.Lock) {
            $site.Lock.Close()
            $site.Lock = $null
            Remove-Folder $site.Stage
        }
    }

    function Remove-Folder([string]$Path) {
        if (Test-Path -LiteralPath $Path) {
            Remove-Item -LiteralPath $Path -Recurse -Force -ErrorAction SilentlyContinue
        }
    }

    # Puts the text in the file's place, whole or not at all: UTF-8 without BOM. What was there is kept until the end.
    function Set-File([string]$Path, [string]$Text) {
        if (-not $site.Backup.ContainsKey($Path)) {
            $before = $null
            if (Test-File $Path) {
                $before = [System.IO.File]::ReadAllBytes($Path)
            }
            $site.Backup[$Path] = $before
        }
        Set-FileQuietly $Path ((New-Object System.Text.UTF8Encoding $false).GetBytes($Text))
    }

    # The part for what must not come back.
    function Set-FileQuietly([string]$Path, [byte[]]$Bytes) {
        $site.Changed = $true
        $new = "$Path.new"
        [System.IO.File]::WriteAllBytes($new, $Bytes)
        if (Test-File $Path) {
            [System.IO.File]::Replace($new, $Path, [NullString]::Value)
        } else {
            [System.IO.File]::Move($new, $Path)
        }
    }

    function Restore-Files {
        foreach ($path in @($site.Backup.Keys)) {
            if ($null -ne $site.Backup[$path]) {
                Set-FileQuietly $path $site.Backup[$path]
            } elseif (Test-File $path) {
                [System.IO.File]::Delete($path)
            }
        }
    }

    function Undo-Installation {
        if (-not $site.Changed) {
            if ($site.MadeFolder) {
                Unlock-Site
                Remove-Folder $site.Folder
            }
        } elseif ($site.Fresh) {
            Write-Line @('', '==> Taking back what was made')
            Unregister-Task
            Remove-Containers
            Edit-MachinePath { param($path) Remove-PathEntry $path $site.Bin }
            if ($site.MadeVolume) {
                $null = Invoke-Docker @('volume', 'rm', $site.Volume)
            }
            Unlock-Site
            Remove-Folder $site.Folder
            Write-Line @(
                'Nothing is installed. Correct what is said above and start again',
                '(with a new line from flagee-server install-command --windows: each works once).'
            )
        } else {
            Write-Line @('', '==> Putting back what was there')
            Restore-Files
            if ($site.Goes) {
                Write-Line "$RuntimeName runs as specified, but is not complete. Correct what is said above and start again."
            } elseif (-not $site.Ran) {
                Remove-Containers
                Write-Line "$RuntimeName did not run before, and does not run now."
            } elseif ($site.Outcome -eq 12) {
                Write-Line "The lines above say what to do. Then: $RuntimeName-update-image --repair"
            } else {
                Write-Line "The previous installation of $RuntimeName goes on. See: $RuntimeName-update-image --status"
            }
        }
    }

    # ---- Installing, in the order in which it is done

    function Install-Proxy {
        Assert-Host
        if ($DryRun) {
            Show-Plan
            return
        }
        $done = $false
        try {
            Lock-Site
            Save-Image
            Connect-Agent
            New-Folders
            Save-Environment
            Save-Configuration
            Save-Wrappers
            Start-Proxy
            # From here on there is nothing before it to go back to, unless it is a first installation.
            $site.Goes = $true
            if (-not $site.Fresh) {
                $site.Backup.Clear()
            }
            Write-Step "Setting the task $RuntimeName-repair, which mends what is broken every five minutes"
            Register-Task
            Edit-MachinePath { param($path) Add-PathEntry $path $site.Bin }
            Stop-Legacy
            $done = $true
        } finally {
            # Also after Ctrl-C.
            if (-not $done) {
                try {
                    Undo-Installation
                } catch {
                    Write-Trouble "    not all of it was taken back: $($_.Exception.Message)"
                }
            }
            Unlock-Site
        }
        Show-Summary
    }

    function Get-Client {
        $client = Get-Value 'CLIENT'
        if ($client) { " of $client" } else { '' }
    }

    function Show-Plan {
        Write-Line @('', "Nothing is changed (-DryRun). To be done for network $(Get-Value 'NETWORK')$(Get-Client):", "  pull $($site.Image)")
        if ($site.Fresh) {
            Write-Line "  enrol this host at $(Get-Value 'ENROLL_URL'); the token stays in $($site.Config)\token"
        } else {
            Write-Line "  keep agent $(Get-EnvValue (Read-EnvLines) 'FLAGEEMONITOR_AGENT_ID'), and its token if it still works"
        }
        Write-Line @(
            "  write $($site.EnvFile); the folder $($site.Config) and the volume $($site.Volume) for the proxy, user 10001",
            '  fetch the configuration with a container that ends at once',
            "  write commands $($site.Bin)\$RuntimeName-{$($site.Tools -join ',')}.ps1, and put that folder on the machine's Path",
            "  start, or go over to, the containers $RuntimeName and $RuntimeName-watchtower; Docker's socket is for Watchtower only",
            "  set the task $RuntimeName-repair"
        )
        if ($ReplaceLegacy) {
            foreach ($name in @($site.First | Where-Object { Test-Legacy $_ })) {
                Write-Line "  stop the container $name and its Watchtower; their files stay"
            }
        }
    }

    function Save-Image {
        Write-Step "Pulling $($site.Image)"
        $login = @()
        $credentials = Join-Path $site.Folder 'docker'
        if ($RegistryUser) {
            $credentials = Join-Path $site.Stage 'docker'
            $null = [System.IO.Directory]::CreateDirectory($credentials)
            [System.IO.File]::WriteAllText((Join-Path $credentials 'config.json'), (New-Credentials), (New-Object System.Text.UTF8Encoding $false))
        }
        if (Test-File (Join-Path $credentials 'config.json')) {
            $login = @('--config', $credentials)
        }
        $said = Invoke-Docker ($login + @('pull', '--quiet', $site.Image))
        if ($said.Code -ne 0) {
            Stop-Failed @(
                "The image $($site.Image) cannot be had. $(ConvertTo-OneLine ($said.Err + ' ' + $said.Out))",
                'Nothing was changed.',
                'Is its registry reachable from here? If it asks for a login: -RegistryUser NAME.'
            )
        }
    }

    # The form of `docker login`.
    function New-Credentials {
        if ($RegistryTokenFile) {
            $secret = @([System.IO.File]::ReadAllLines((Get-FullPath $RegistryTokenFile)))
            $secret = if ($secret.Count -gt 0) { $secret[0] } else { '' }
        } else {
            $secret = Read-Secret "Password or token of $RegistryUser"
            if ($null -eq $secret) {
                Stop-Failed @("There is no console to ask for the password of $RegistryUser.", 'Give it with -RegistryTokenFile FILE. Nothing was changed.')
            }
        }
        if (-not $secret) {
            Stop-Failed @("The password of $RegistryUser is empty.", 'Nothing was changed.')
        }
        $registry = $site.Image.Split('/')[0]
        if ($registry -ceq $site.Image -or ($registry -cnotmatch '[.:]' -and $registry -cne 'localhost') -or $registry -ceq 'docker.io') {
            $registry = 'https://index.docker.io/v1/'
        }
        $basic = [Convert]::ToBase64String((New-Object System.Text.UTF8Encoding $false).GetBytes("${RegistryUser}:$secret"))
        return "{`"auths`": {`"$registry`": {`"auth`": `"$basic`"}}}`n"
    }

    function Connect-Agent {
        $lines = @(Read-EnvLines)
        $site.Agent = Get-Setting $lines 'AGENT_ID'
        $file = Join-Path $site.Config 'token'
        if (Test-File $file) {
            $site.Token = [System.IO.File]::ReadAllText($file).Trim()
        }
        if ($site.Agent -and (Test-Token $site.Token) -and (Test-TokenWorks)) {
            Write-Step "Keeping agent $($site.Agent) and its token"
            return
        }
        if (-not $site.Agent) {
            $site.Agent = New-AgentId ((Get-Time).ToUnixTimeMilliseconds())
        }
        Write-Step "Enrolling agent $($site.Agent) for network $(Get-Value 'NETWORK')"
        $body = "{`"agent_id`": `"$($site.Agent)`", `"hostname`": `"$(Get-HostName)`"}"
        $said = Invoke-Curl @(
            '-X', 'POST', '-H', 'Content-Type: application/json', '--data', $body, '-w', '\n%{http_code}',
            "$(Get-Value 'ENROLL_URL')?rede=$(Get-Value 'NETWORK')"
        ) (Get-Value 'BOOTSTRAP_TOKEN')
        if ($said.Code -ne 0) {
            Stop-Failed @("The control plane did not answer: $(ConvertTo-OneLine $said.Err)", 'Nothing was changed. Try again.')
        }
        $status = @($said.Out -split '\r?\n')[-1]
        $answer = $said.Out.Substring(0, $said.Out.Length - $status.Length)
        if ($answer -match '<html|<!doctype|<title') {
            $place = Get-Value 'ENROLL_URL'
            Stop-Failed @((Get-PageText $status $answer $place), "Nothing was changed here. $(Get-PageAdvice $status $answer $place)")
        }
        if ($status -cne '201') {
            $reason = if ($answer -cmatch '"detail"\s*:\s*"([^"]*)') { ': ' + $Matches[1] } else { '' }
            Stop-Failed @(
                "The control plane refused to enrol this host (HTTP $status)$reason",
                'Nothing was changed.',
                'A line of flagee-server install-command works once, for an hour: get a new one.'
            )
        }
        $site.Token = if ($answer -cmatch '"token"\s*:\s*"([^"\\]*)"') { $Matches[1] } else { '' }
        if (-not (Test-Token $site.Token)) {
            Stop-Failed @("The control plane's answer holds no token.", 'Nothing was changed. Report this to who runs it.')
        }
        $site.NewToken = $true
    }

    function Test-TokenWorks {
        $said = Invoke-Curl @('-o', 'NUL', '-w', '%{http_code} %{content_type}', "$(Get-Value 'API_BASE')/bot/config?rede=$(Get-Value 'NETWORK')") $site.Token
        $status, $kind = if ($said.Code -eq 0) { $said.Out -split ' ', 2 } else { '000', '' }
        if ($kind -like 'text/html*') {
            $place = "$(Get-Value 'API_BASE')/bot/config"
            Stop-Failed @((Get-PageText $status '' $place), "Nothing was changed. $(Get-PageAdvice $status '' $place)")
        }
        if ($status -ceq '401' -or $status -ceq '403') {
            return $false
        }
        if ($status -cmatch '\A(000|5..)\z') {
            Stop-Failed @("The control plane did not say whether this host's token still works (HTTP $status).", 'Nothing was changed. Try again.')
        }
        return $true
    }

    # A UUIDv7: milliseconds since 1970, version, chance.
    function New-AgentId([long]$Milliseconds) {
        $bytes = New-Object byte[] 10
        $source = [System.Security.Cryptography.RandomNumberGenerator]::Create()
        $source.GetBytes($bytes)
        $source.Dispose()
        $stamp = $Milliseconds.ToString('x12')
        $chance = [System.BitConverter]::ToString($bytes).Replace('-', '').ToLowerInvariant()
        $variant = (8 + ($bytes[9] -band 3)).ToString('x')
        '{0}-{1}-7{2}-{3}{4}-{5}' -f $stamp.Substring(0, 8), $stamp.Substring(8), $chance.Substring(0, 3), $variant, $chance.Substring(3, 3), $chance.Substring(6, 12)
    }

    function New-Folders {
        Write-Step "Preparing $($site.Folder) and the volume $($site.Volume)"
        $site.Changed = $true
        Protect-Folder $site.Config
        # Of what only administrators may change: SYSTEM runs the commands, and docker follows its settings.
        Protect-Folder $site.Bin
        if ($null -eq (Get-VolumeOwner)) {
            $said = Invoke-Docker @('volume', 'create', '--label', "flageemonitor.runtime=$RuntimeName", $site.Volume)
            if ($said.Code -ne 0) {
                Stop-Failed @("The volume $($site.Volume) cannot be made: $(ConvertTo-OneLine $said.Err)")
            }
            $site.MadeVolume = $true
        }
        if ($site.NewToken) {
            # Not to be taken back: the control plane has ended the one before.
            Set-FileQuietly (Join-Path $site.Config 'token') ([System.Text.Encoding]::ASCII.GetBytes("$($site.Token)`n"))
        }
        if ($Ca) {
            Set-File (Join-Path $site.Config 'ca.pem') ([System.IO.File]::ReadAllText($site.Trust) -replace '\r\n', "`n")
        }
        if ($RegistryUser) {
            $folder = Join-Path $site.Folder 'docker'
            Protect-Folder $folder
            Set-File (Join-Path $folder 'config.json') ([System.IO.File]::ReadAllText((Join-Path $site.Stage 'docker\config.json')))
        }
        Open-Folders
    }

    # A container reads folders of Windows with the rights of whom Docker Desktop runs as. That account gets what it needs where
    # administrators and SYSTEM are not enough.
    function Open-Folders {
        if (Test-Mount) {
            return
        }
        foreach ($account in @(Get-DockerAccounts)) {
            $also = 'RX'
            if (Test-AdministratorAccount $account) {
                $also = 'M'
            } else {
                $site.Notes += "$account, which Docker Desktop runs as, is no administrator: updates will not renew the commands, only this installer does."
            }
            Invoke-Icacls @($site.Folder, '/grant:r', "*${account}:(OI)(CI)M")
            Invoke-Icacls @($site.Config, '/grant:r', "*${account}:(OI)(CI)M")
            Invoke-Icacls @($site.Bin, '/grant:r', "*${account}:(OI)(CI)$also")
            if (Test-Folder (Join-Path $site.Folder 'docker')) {
                Invoke-Icacls @((Join-Path $site.Folder 'docker'), '/grant:r', "*${account}:(OI)(CI)RX")
            }
            $site.Notes += "$account, which Docker Desktop runs as, may read the settings and the token: its containers need them."
        }
        if (-not (Test-Mount)) {
            Stop-Failed @(
                "A container cannot read and write $($site.Config).",
                'See that Docker Desktop shares this drive with containers, and that its user is signed in.'
            )
        }
    }

    # Whether a container can read what it must, and write where the proxy does.
    function Test-Mount {
        $given = Join-Path $site.Config '.given'
        $taken = Join-Path $site.Config '.taken'
        $word = [guid]::NewGuid().ToString()
        [System.IO.File]::WriteAllText($given, $word)
        $said = Invoke-Docker @(
            'run', '--rm', '--user', '10001:10001', '--network', 'none', '--read-only', '--cap-drop', 'ALL',
            '-v', "$($site.Folder):/probe", '--entrypoint', '/bin/sh', $site.Image, '-c',
            'cd /probe && { [ ! -e docker ] || cat docker/config.json >/dev/null; } && cat config/.given >config/.taken && cat config/.taken'
        )
        $works = $said.Code -eq 0 -and $said.Out -ceq $word -and (Test-File $taken)
        foreach ($path in @($given, $taken)) {
            if (Test-File $path) {
                [System.IO.File]::Delete($path)
            }
        }
        return $works
    }

    # The whole file, from what is there or nothing.
    function New-EnvironmentText([string]$Before) {
        $lines = New-Object 'System.Collections.Generic.List[string]'
        if (-not $Before) {
            $Before = "# FlageeMonitor Proxy, ${RuntimeName}: KEY=the rest of the line, without quotes. Every key: docs/proxy-settings.md.`n" +
                "# A change takes effect with: $RuntimeName-update-image`n"
        }
        foreach ($line in @(($Before -replace '\r\n', "`n") -replace '\n\z', '') -split '\n') {
            $lines.Add($line)
        }
        Set-EnvKey $lines 'FLAGEEMONITOR_REDE' (Get-Value 'NETWORK')
        Set-EnvKey $lines 'FLAGEEMONITOR_API_BASE' (Get-Value 'API_BASE')
        Set-EnvKey $lines 'FLAGEEMONITOR_AGENT_ID' $site.Agent
        Set-EnvKey $lines 'FLAGEEMONITOR_RUNTIME_NAME' $RuntimeName
        Set-OfferedKey $lines 'IMAGE' $Image (Get-Value 'IMAGE') ''
        Set-OfferedKey $lines 'WATCHTOWER_IMAGE' $WatchtowerImage (Get-Value 'WATCHTOWER_IMAGE') 'containrrr/watchtower:1.7.1'
        Set-OfferedKey $lines 'WATCHTOWER_INTERVAL' $WatchtowerInterval (Get-Value 'WATCHTOWER_INTERVAL') '300'
        Set-OfferedKey $lines 'DOCKER_NETWORK' $DockerNetwork 'bridge' ''
        if ($Ca) {
            Set-EnvKey $lines 'FLAGEEMONITOR_CA_PATH' '/flageemonitor/config/ca.pem'
        }
        if (-not (Get-EnvValue $lines 'RUN_MODE')) {
            Set-EnvKey $lines 'RUN_MODE' 'daemon'
        }
        if (-not (Get-EnvValue $lines 'TZ') -and (Get-Value 'TIMEZONE')) {
            Set-EnvKey $lines 'TZ' (Get-Value 'TIMEZONE')
        }
        return ($lines -join "`n") + "`n"
    }

    function Set-EnvKey($Lines, [string]$Key, [string]$Value) {
        $written = $false
        for ($at = 0; $at -lt $Lines.Count; $at++) {
            if ($Lines[$at].StartsWith("$Key=", [System.StringComparison]::Ordinal)) {
                if ($written) {
                    $Lines.RemoveAt($at)
                    $at--
                } else {
                    $Lines[$at] = "$Key=$Value"
                    $written = $true
                }
            }
        }
        if (-not $written) {
            $Lines.Add("$Key=$Value")
        }
    }

    # The option; else what stands there; else what the control plane says; else the default.
    function Set-OfferedKey($Lines, [string]$Word, [string]$Option, [string]$Offered, [string]$Default) {
        if ($Option) {
            Set-EnvKey $Lines "FLAGEEMONITOR_$Word" $Option
            return
        }
        $there = Get-Setting $Lines $Word
        if (-not $there) {
            Set-EnvKey $Lines "FLAGEEMONITOR_$Word" (Select-First @($Offered, $Default))
        } elseif ($Offered -and $there -cne $Offered -and $Word -cne 'DOCKER_NETWORK') {
            Write-Trouble "    keeping FLAGEEMONITOR_$Word=$there, although the control plane names $Offered"
        }
    }

    # What the first container gets: by a file, so that no process list shows it.
    function New-ContainerEnvironment($Lines) {
        $text = ''
        foreach ($word in @('REDE', 'API_BASE', 'CONFIG_URL', 'TOKEN_FILE', 'TOKEN', 'AGENT_ID', 'RUNTIME_NAME', 'CA_PATH', 'INSECURE', 'LOG_FORMAT')) {
            $value = Get-Setting $Lines $word
            if ($value) {
                $text += "FLAGEEMONITOR_$word=$value`n"
            }
        }
        $zone = Get-EnvValue $Lines 'TZ'
        if ($zone) {
            $text += "TZ=$zone`n"
        }
        return $text
    }

    function Save-Environment {
        $before = ''
        if (Test-File $site.EnvFile) {
            $before = [System.IO.File]::ReadAllText($site.EnvFile)
        }
        $text = New-EnvironmentText $before
        Set-File $site.EnvFile $text
        $lines = $text -split '\n'
        $site.Network = Select-First @((Get-EnvValue $lines 'FLAGEEMONITOR_DOCKER_NETWORK'), 'bridge')
        $bytes = (New-Object System.Text.UTF8Encoding $false).GetBytes((New-ContainerEnvironment $lines))
        [System.IO.File]::WriteAllBytes((Join-Path $site.Stage 'container.env'), $bytes)
    }

    function Save-Configuration {
        Write-Step 'Fetching the configuration'
        $said = Invoke-Docker @(
            'run', '--rm', '--user', '10001:10001', '--network', $site.Network, '--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL',
            '--security-opt', 'no-new-privileges', '--env-file', (Join-Path $site.Stage 'container.env'),
            '-v', "$($site.Config):/flageemonitor/config", '-v', "$($site.Volume):/flageemonitor/data", $site.Image, 'config', 'refresh'
        )
        foreach ($line in @(($said.Out, $said.Err) | Where-Object { $_ })) {
            Write-Line $line
        }
        if ($said.Code -eq 0) {
            return
        }
        if (-not $site.Fresh -and (Test-File (Join-Path $site.Config 'config_bot.json'))) {
            Write-Trouble "    not fetched (exit code $($said.Code)): the last valid configuration stays in force"
            return
        }
        Stop-Failed @(
            "The first configuration could not be fetched (exit code $($said.Code)); the lines above say why.",
            'If the container cannot reach the control plane although this host can, look at the proxy settings of Docker Desktop.'
        )
    }

    function Save-Wrappers {
        Write-Step "Writing the commands $($site.Bin)\$RuntimeName-*.ps1"
        $wrappers = Get-Wrappers
        foreach ($name in $site.Tools) {
            $text = [string]$wrappers[$name]
            if (-not $text) {
                Stop-Failed @("This script lacks the command $name.", 'Get it again from the control plane.')
            }
            Set-File (Join-Path $site.Bin "$RuntimeName-$name.ps1") (($text -replace '\r\n', "`n").Replace('@RUNTIME_NAME@', $RuntimeName))
        }
    }

    function Start-Proxy {
        Write-Step "Starting, or going over to, $RuntimeName and $RuntimeName-watchtower"
        $code = 6
        for ($try = 0; $code -eq 6 -and $try -lt 30; $try++) {
            if ($try -gt 0) {
                # The task of an earlier installation may be at work just now.
                Start-Sleep -Seconds 5
            }
            $code = Invoke-Script (Join-Path $site.Bin "$RuntimeName-update-image.ps1")
        }
        if ($code -eq 6) {
            Write-Trouble "Another update of $RuntimeName is still at work. Run this again when it has ended."
            Stop-Here 6 'Another update is at work.'
        } elseif ($code -eq 75) {
            Stop-Failed @('Runs are still at work, so the new version did not start.', 'Run this again later.')
        } elseif ($code -ne 0) {
            $site.Outcome = $code
            Stop-Failed @("$RuntimeName-update-image failed (exit code $code); the lines above say why.")
        }
    }

    function Stop-Legacy {
        if (-not $ReplaceLegacy) {
            return
        }
        foreach ($name in @($site.First | ForEach-Object { "$_-watchtower", $_ })) {
            if (Test-Legacy $name) {
                Write-Step "Stopping $name for good; its files stay"
                if ((Invoke-Docker @('update', '--restart=no', $name)).Code -ne 0 -or (Invoke-Docker @('stop', '-t', '150', $name)).Code -ne 0) {
                    Write-Trouble "    not stopped; do it by hand: docker update --restart=no $name; docker stop $name"
                }
            }
        }
    }

    function Show-Summary {
        Write-Line @(
            '',
            "Installed: $RuntimeName, network $(Get-Value 'NETWORK')$(Get-Client), agent $($site.Agent).",
            '',
            "  $RuntimeName-run ACTION ...      run an action on terminals; first: $RuntimeName-run doctor",
            "  $RuntimeName-logs -f             what the proxy does",
            "  $RuntimeName-update-config       fetch the configuration now",
            "  $RuntimeName-update-image        update now; --status, --repair, --rollback, --resume",
            "  $RuntimeName-watchtower-logs     what Watchtower does",
            '',
            "They are in $($site.Bin), which a new PowerShell of an administrator finds on its Path.",
            "Settings: $($site.EnvFile). To remove it: this script with -Uninstall."
        )
        foreach ($note in @($site.Notes | Select-Object -Unique)) {
            Write-Line "Note: $note"
        }
    }

    # ---- Removing

    function Uninstall-Proxy {
        if (-not (Test-Administrator)) {
            Write-Trouble 'This needs an administrator: open PowerShell as administrator, and paste the line again.'
            Stop-Here 1 'This needs an administrator.'
        }
        if ((Test-Path -LiteralPath $site.Folder) -and ((-not (Test-Folder $site.Folder)) -or (Test-Link $site.Folder))) {
            Write-Trouble "Not removed: $($site.Folder) is a link or a file. Nothing was changed."
            Stop-Here 1 'Not removed.'
        }
        $said = Invoke-Docker @('version', '--format', '{{.Server.Version}}')
        if ($said.Code -ne 0) {
            Write-Trouble "Not removed: the Docker engine does not answer: $(ConvertTo-OneLine ($said.Err + ' ' + $said.Out)). Nothing was changed."
            Stop-Here 1 'Not removed.'
        }
        # The first generation has the same names: its containers would go on while we say that it is removed.
        $strangers = @(Get-Strangers) -join ' '
        if ($strangers) {
            Write-Trouble @(
                "Not removed: not made by this installer, perhaps by the first generation's: the containers $strangers. Nothing was changed.",
                "If they are to go as well: docker rm -f $strangers. Then start this again."
            )
            Stop-Here 1 'Not removed.'
        }
        $installed = (Test-File $site.EnvFile) -or ((Get-Owner $RuntimeName) -ceq $RuntimeName)
        $hasVolume = (Get-VolumeOwner) -ceq $RuntimeName
        if (-not $installed) {
            if ((Test-Folder $site.Folder) -and -not (Test-Empty $site.Folder)) {
                Write-Trouble "Nothing to remove: $RuntimeName is not installed here ($($site.Folder) is not ours)."
                Stop-Here 1 'Nothing to remove.'
            } elseif (-not $hasVolume) {
                Write-Line "Nothing to remove: $RuntimeName is not installed here."
                return
            }
        }
        if ((Get-State "$RuntimeName-deploy") -ceq 'running') {
            Write-Trouble "An update of $RuntimeName is at work; nothing was changed. Try again in a minute."
            Stop-Here 6 'An update is at work.'
        }
        $delete = Select-Fate
        if ($DryRun) {
            $fate = if ($delete) { "$($site.Folder), the volume $($site.Volume)" } else { "$($site.Folder); $($site.EnvFile) and the volume $($site.Volume) stay" }
            Write-Line "Nothing is changed (-DryRun). To be removed: the containers $RuntimeName and $RuntimeName-watchtower, the task $RuntimeName-repair, $fate"
            return
        }
        $site.Fresh = $false
        Lock-Site
        try {
            Remove-Proxy $delete
        } finally {
            Unlock-Site
        }
        if ((Test-Folder $site.Folder) -and (Test-Empty $site.Folder)) {
            Remove-Folder $site.Folder
        }
    }

    function Remove-Proxy([bool]$Delete) {
        $image = Get-Setting (Read-EnvLines) 'IMAGE'
        Unregister-Task
        Write-Step 'Stopping and removing the containers; runs at work get their time to end'
        Remove-Containers
        Write-Step 'Removing commands, settings and credentials'
        Edit-MachinePath { param($path) Remove-PathEntry $path $site.Bin }
        # The data belongs to this agent: an installation that finds it again must be the same one.
        $kept = if ($Delete) { @('.install') } else { @('.install', 'flageemonitor.env') }
        foreach ($item in @(Get-ChildItem -LiteralPath $site.Folder -Force | Where-Object { $kept -notcontains $_.Name })) {
            Remove-Folder $item.FullName
        }
        if ($Delete) {
            Write-Step "Deleting the volume $($site.Volume)"
            if ($null -ne (Get-VolumeOwner) -and (Invoke-Docker @('volume', 'rm', $site.Volume)).Code -ne 0) {
                Write-Trouble "    not deleted; do it by hand: docker volume rm $($site.Volume)"
            }
        } else {
            Write-Line "Kept: the volume $($site.Volume) (data) and $($site.EnvFile) (identity). With -Uninstall -DeleteData both go."
        }
        Write-Line "Removed: $RuntimeName."
        if ($image) {
            Write-Line "The image stays: docker image rm $image."
        }
        Write-Line 'Its token is still known to the control plane: flagee-server token list, token revoke ID.'
    }

    # Whether the data is to be deleted as well.
    function Select-Fate {
        if ($KeepData -or $DeleteData) {
            return [bool]$DeleteData
        }
        if ($Yes) {
            return $true
        }
        if (-not $DryRun) {
            $reply = Read-Answer "Delete the data in the volume $($site.Volume) as well (history, pinned host keys, what was not delivered yet)? [y/N]"
            if ($null -ne $reply) {
                return $reply -match '\A[ys]'
            }
        }
        Write-Line 'Nobody to ask: the data is kept. (-DeleteData or -Yes deletes it.)'
        return $false
    }

    function Remove-Containers {
        # A repair that had begun before its task was removed.
        for ($try = 0; $try -lt 60 -and (Get-State "$RuntimeName-deploy") -ceq 'running'; $try++) {
            Start-Sleep -Seconds 2
        }
        # Watchtower first: it would start again what is stopped.
        foreach ($part in @('-deploy', '-watchtower', '-candidate', '-previous', '')) {
            $name = "$RuntimeName$part"
            $owner = Get-Owner $name
            if ($null -eq $owner -or ($part -cne '-deploy' -and $owner -cne $RuntimeName)) {
                continue
            }
            if ($part -cne '-deploy') {
                $null = Invoke-Docker @('stop', '-t', '150', $name)
            }
            if ((Invoke-Docker @('rm', '-f', '-v', $name)).Code -ne 0) {
                Write-Trouble "    not removed; do it by hand: docker rm -f $name"
            }
        }
        $null = Invoke-Docker @('volume', 'rm', "$RuntimeName-candidate")
    }

    # ---- All of it

    $asFile = [bool]$PSCommandPath
    Set-StrictMode -Version 2.0
    $code = 0
    $encoding = $null
    try {
        # Without a mark in front of what curl is told; a host without a console has no encoding to set.
        $encoding = [Console]::InputEncoding
        [Console]::InputEncoding = New-Object System.Text.UTF8Encoding $false
    } catch {
        $encoding = $null
    }
    try {
        Assert-Options
        $site = New-Site
        if ($Uninstall) {
            Uninstall-Proxy
        } else {
            Install-Proxy
        }
    } catch {
        if (-not $_.Exception.Data.Contains('ExitCode')) {
            throw
        }
        $code = $_.Exception.Data['ExitCode']
    } finally {
        if ($null -ne $encoding) {
            [Console]::InputEncoding = $encoding
        }
    }
    if ($code -ne 0) {
        $global:LASTEXITCODE = $code
        # Pasted, `exit` would close the window with everything that was said.
        if ($asFile) {
            exit $code
        }
        throw "Not done (exit code $code); the lines above say why."
    }
} # Without this line it is no PowerShell: a download that was cut off does nothing.
