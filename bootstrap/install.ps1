# FlageeMonitor Proxy: installs, repairs, upgrades and removes a proxy on this Windows host. Made by the control plane for one network.
# Needs an administrator, Windows PowerShell 5.1 or PowerShell 7, and Docker with Linux containers. It checks the host, pulls the image
# and starts it once as `deploy install`, which does the rest: enrolment, containers, files. See first what it would do: -DryRun.

<#
.SYNOPSIS
Installs FlageeMonitor Proxy on this host. Run again, it repairs and upgrades; identity, token and settings are kept.

.DESCRIPTION
Options go to the end of the pasted line, for example: & ([scriptblock]::Create($s)) -DryRun

# @@help.en@@
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
    [string]$UpdateWindow = '',
    [switch]$NoAutoUpdate,
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
    if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
        # Nothing of .NET may be called in this mode, so that the helpers below cannot be used.
        throw 'Not installed; nothing was changed. PowerShell is in a restricted language mode here (AppLocker or another policy). Allow this script in the policy.'
    }
    $ErrorActionPreference = 'Stop'
    $language = $PSUICulture

    # What the control plane filled in.
    function Get-Rendered {
        @{
            # @@VALUES@@
        }
    }

    # @@programs@@

    # ---- What is said

    function Write-Message([string]$Sentence) { Write-Host (Get-Text $Sentence) }
    function Write-Step([string]$Sentence) { Write-Host "==> $(Get-Text $Sentence)" }

    # Ends the script: what happened, then what it means and what to do.
    function Stop-Here([int]$ExitCode, [string]$Sentence, [string]$Advice = '') {
        $what = Get-Text $Sentence
        $Host.UI.WriteErrorLine((Get-Text "Failed: $what"))
        if ($Advice) { $Host.UI.WriteErrorLine("    $(Get-Text $Advice)") }
        $stop = New-Object System.InvalidOperationException -ArgumentList $Sentence
        $stop.Data['ExitCode'] = $ExitCode
        throw $stop
    }

    # Collected, so that all of them are told at once: what is in the way, and what to do.
    function Add-Problem([string]$Sentence, [string]$Advice) {
        $site.Problems += "  $($site.Problems.Count + 1). $(Get-Text $Sentence)`n     $(Get-Text $Advice)"
    }

    # ---- The edge: what asks or changes this machine, beside docker

    function Test-File([string]$Path) { Test-Path -LiteralPath $Path -PathType Leaf }
    function Test-Folder([string]$Path) { Test-Path -LiteralPath $Path -PathType Container }
    function Test-Link([string]$Path) { [bool]((Get-Item -LiteralPath $Path -Force).Attributes -band [System.IO.FileAttributes]::ReparsePoint) }

    # As PowerShell means it, whose current folder is not the process's.
    function Get-FullPath([string]$Path) { $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path) }

    function Test-Administrator {
        $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
        $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
    }

    function Get-OwnerSid([string]$Path) { (Get-Acl -LiteralPath $Path).GetOwner([Security.Principal.SecurityIdentifier]).Value }

    # Accounts that Docker Desktop runs under: what a container may read of Windows' folders is what they may.
    function Get-DockerAccounts {
        $found = foreach ($process in @(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'com.docker.backend.exe'")) {
            (Invoke-CimMethod -InputObject $process -MethodName GetOwnerSid).Sid
        }
        $found | Where-Object { $_ -and $_ -ne 'S-1-5-18' } | Select-Object -Unique
    }

    function Test-AdministratorAccount([string]$Sid) {
        # A domain may not answer, for example.
        try { @(Get-LocalGroupMember -SID 'S-1-5-32-544' | ForEach-Object { $_.SID.Value }) -ccontains $Sid } catch { $false }
    }

    # curl, for both PowerShells: Invoke-RestMethod can be told of a private authority in neither. With --cacert only what that file
    # holds is trusted. --ssl-no-revoke goes with it alone: a private authority seldom says where its revocations are.
    function Invoke-Curl([string[]]$Arguments) {
        $trust = if ($site.Trust) { @('--ssl-no-revoke', '--cacert', $site.Trust) } else { @() }
        Invoke-Program (Join-Path ([Environment]::SystemDirectory) 'curl.exe') (@('-q', '-sS', '--connect-timeout', '10', '--max-time', '60') + $trust + $Arguments)
    }

    function Invoke-Icacls([string[]]$Arguments) {
        $said = Invoke-Program (Join-Path ([Environment]::SystemDirectory) 'icacls.exe') ($Arguments + @('/Q'))
        if ($said.Code -ne 0) {
            $why, $place = (Get-Cause $said), $Arguments[0]
            Stop-Here 1 "The permissions of $place cannot be set: $why"
        }
    }

    # Value of a key in the environment file, which is read and never run.
    function Get-EnvValue([string]$Key) {
        $value = ''
        if (Test-File $site.EnvFile) {
            foreach ($line in [System.IO.File]::ReadAllLines($site.EnvFile)) {
                if ($line -cmatch ('\A' + [regex]::Escape($Key) + '=(.*)\z')) { $value = $Matches[1].Trim() }
            }
        }
        return $value
    }

    # Why a program failed: its own words, or else its exit code.
    function Get-Cause($Said) {
        $code = $Said.Code
        Select-First @((ConvertTo-OneLine "$($Said.Err) $($Said.Out)"), (Get-Text "exit code $code"))
    }

    # The first that is not empty.
    function Select-First([string[]]$Words) {
        "$($Words | Where-Object { $_ } | Select-Object -First 1)"
    }

    # No option for docker; its grammar is deploy's to check.
    function Test-Image([string]$Name) { $Name -cmatch '\A[A-Za-z0-9\[][A-Za-z0-9._/:@\[\]-]*\z' }

    # The machine's Path as it is written, %SystemRoot% and all: .NET would write it back with everything filled in.
    function Set-PathEntry([string]$Entry, [bool]$Wanted) {
        $key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Control\Session Manager\Environment', $true)
        $before = [string]$key.GetValue('Path', '', [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
        $entries = @($before.Split(';') | Where-Object { $_ })
        if (($entries -contains $Entry) -ne $Wanted) {
            $entries = if ($Wanted) { $entries + @($Entry) } else { $entries | Where-Object { $_ -ne $Entry } }
            $key.SetValue('Path', (@($entries) -join ';'), [Microsoft.Win32.RegistryValueKind]::ExpandString)
            # Changes nothing, but tells the programs that run.
            [Environment]::SetEnvironmentVariable('FLAGEEMONITOR_NONE', $null, 'Machine')
        }
        $key.Close()
    }

    function Register-Task {
        $shell = Join-Path ([Environment]::SystemDirectory) 'WindowsPowerShell\v1.0\powershell.exe'
        $action = New-ScheduledTaskAction -Execute $shell -Argument (ConvertTo-CommandLine @(
                '-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', (Join-Path $site.Bin "$RuntimeName-update-image.ps1"), '--repair'))
        $triggers = @(
            (New-ScheduledTaskTrigger -AtStartup), (New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval (New-TimeSpan -Minutes 5))
        )
        $principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
        $settings = New-ScheduledTaskSettingsSet -MultipleInstances IgnoreNew -ExecutionTimeLimit (New-TimeSpan -Hours 1) `
            -StartWhenAvailable -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
        $null = Register-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$RuntimeName-repair" -Action $action -Trigger $triggers `
            -Principal $principal -Settings $settings -Force -Description "FlageeMonitor Proxy ${RuntimeName}: repairs its containers every five minutes"
    }

    function Unregister-Task {
        if (Get-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$RuntimeName-repair" -ErrorAction SilentlyContinue) {
            Unregister-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$RuntimeName-repair" -Confirm:$false
        }
    }

    # With -NonInteractive there is a console, and Read-Host throws.
    function Test-Console {
        -not [Console]::IsInputRedirected -and [Environment]::UserInteractive -and -not ([Environment]::GetCommandLineArgs() -match '\A-noni')
    }

    # ---- Options

    function Assert-Options {
        $wrong = if ($RuntimeName -cnotmatch '\A[a-z0-9][a-z0-9_.-]{0,39}\z' -or $RuntimeName -cmatch '(-candidate|-previous|-watchtower|-deploy|-repair|\.)\z' -or
            $RuntimeName -cmatch '\A(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|\z)') {
            "-RuntimeName '$RuntimeName'"
        } elseif ($Image -and -not (Test-Image $Image)) {
            "-Image '$Image'"
        } elseif ($WatchtowerImage -and -not (Test-Image $WatchtowerImage)) {
            "-WatchtowerImage '$WatchtowerImage'"
        } elseif ($WatchtowerInterval -and ($WatchtowerInterval -cnotmatch '\A[0-9]{1,6}\z' -or [int]$WatchtowerInterval -lt 30 -or [int]$WatchtowerInterval -gt 604800)) {
            "-WatchtowerInterval '$WatchtowerInterval' (30-604800)"
        } elseif ($DockerNetwork -and ($DockerNetwork -ceq 'none' -or $DockerNetwork -cnotmatch '\A[A-Za-z0-9][A-Za-z0-9_.-]*\z')) {
            "-DockerNetwork '$DockerNetwork'"
        } elseif ($UpdateWindow -and $UpdateWindow -cnotmatch '\A[0-9]{1,2}:[0-9]{2}-[0-9]{1,2}:[0-9]{2}\z') {
            "-UpdateWindow '$UpdateWindow'"
        } elseif ($RegistryUser.Contains(':')) {
            "-RegistryUser '$RegistryUser'"
        } elseif ($ReplaceLegacy -and $BesideLegacy) {
            '-ReplaceLegacy -BesideLegacy'
        } elseif ($KeepData -and $DeleteData) {
            '-KeepData -DeleteData'
        } elseif (($KeepData -or $DeleteData) -and -not $Uninstall) {
            '-KeepData, -DeleteData (-Uninstall)'
        } elseif ($RegistryTokenFile -and -not $RegistryUser) {
            '-RegistryTokenFile (-RegistryUser)'
        }
        if ($wrong) {
            Stop-Here 2 "These options are not valid, or exclude each other: $wrong" 'Nothing was changed.'
        }
    }

    # ---- Checks: they change nothing

    function Assert-Host {
        if ($site.Values['API_BASE'] -cnotmatch '\Ahttps?://') {
            Add-Problem 'This is the bare template, or a damaged script.' 'Use the line that flagee-server install-command --windows prints.'
        }
        if (-not (Test-Image $site.Image)) {
            Add-Problem "There is no usable name of an image: '$($site.Image)'" "Give one with -Image, or correct it in $($site.EnvFile)."
        }
        if (Test-Administrator) {
            Test-Places
            Test-Engine
        } else {
            Add-Problem 'This needs an administrator.' 'Open PowerShell as administrator, and paste the line again.'
        }
        foreach ($scope in @('MachinePolicy', 'UserPolicy')) {
            if (@('Restricted', 'AllSigned') -ccontains [string](Get-ExecutionPolicy -Scope $scope)) {
                Add-Problem "A group policy forbids scripts that are not signed ($scope), so that the proxy's commands could not run." `
                    'Have RemoteSigned allowed on this host.'
            }
        }
        Test-Authority
        Test-Server
        if ($site.Problems) {
            $problems = $site.Problems -join "`n"
            Stop-Here 1 "not installed; nothing was changed. What is in the way:`n$problems"
        }
    }

    # Whatever else is called so must not be taken over now, nor be removed later.
    function Test-Places {
        foreach ($path in @($site.Base, $site.Folder)) {
            if ((Test-Path -LiteralPath $path) -and ((-not (Test-Folder $path)) -or (Test-Link $path))) {
                Add-Problem "$path exists and is not a folder." 'Move it away, or choose another name with -RuntimeName.'
                return
            }
        }
        # Whoever owns the folder above could put another one in this one's place, with commands that SYSTEM runs.
        if (Test-Folder $site.Base) {
            $owner = Get-OwnerSid $site.Base
            if (@('S-1-5-32-544', 'S-1-5-18') -cnotcontains $owner -and -not (Test-AdministratorAccount $owner)) {
                Add-Problem "$($site.Base) belongs to $owner, who is no administrator." `
                    "Give it to administrators: icacls `"$($site.Base)`" /setowner *S-1-5-32-544"
            }
        }
        $known = (Test-File $site.EnvFile) -or (Test-File (Join-Path $site.Folder '.flageemonitor'))
        if ((Test-Folder $site.Folder) -and -not $known -and @(Get-ChildItem -LiteralPath $site.Folder -Force -Recurse | Where-Object { -not $_.PSIsContainer })) {
            Add-Problem "$($site.Folder) exists and was not made by this installer." 'Move it away, or choose another name with -RuntimeName.'
        }
        $drive = New-Object System.IO.DriveInfo ([System.IO.Path]::GetPathRoot($site.Base))
        $free = [long]($drive.AvailableFreeSpace / 1048576)
        if ($free -lt 2500) {
            Add-Problem "Only $free MB are free on the disk of $($site.Base); 2500 MB are needed." 'Free space, for example: docker image prune'
        }
    }

    function Test-Engine {
        if (-not (Get-Docker)) {
            Add-Problem 'Docker is not installed on this host.' 'Install Docker Desktop (engine 20.10 or later), then run this again.'
            return
        }
        $where = Select-First @($env:DOCKER_HOST, (Invoke-Docker @('context', 'inspect', '--format', '{{.Endpoints.docker.Host}}')).Out)
        if ($where -and $where -cnotmatch '\Anpipe:') {
            Add-Problem "Docker is used over $where; the proxy must run on this host." `
                'Remove DOCKER_HOST, or choose the context with: docker context use default'
            return
        }
        $said = Invoke-Docker @('version', '--format', '{{.Server.Version}}|{{.Server.APIVersion}}|{{.Server.Os}}|{{.Server.Arch}}')
        $parts = $said.Out.Split('|')
        if ($said.Code -ne 0 -or $parts.Count -ne 4) {
            $why = Get-Cause $said
            Add-Problem "The Docker engine does not answer: $why" 'Start Docker Desktop, and wait until it says that it runs.'
            return
        }
        $version, $api, $os, $machine = $parts
        if ($parts[1] -cnotmatch '\A[0-9]+\.[0-9]+\z' -or [version]$parts[1] -lt [version]'1.41') {
            Add-Problem "Docker $version (API $api) is too old." 'Upgrade it to 20.10 (API 1.41) or later.'
        }
        if ($parts[2] -cne 'linux') {
            Add-Problem "The Docker engine runs $os containers." 'Switch it to Linux containers (in the menu of Docker Desktop).'
        }
        if ($parts[3] -cne 'amd64' -and -not $Image -and -not (Get-EnvValue 'FLAGEEMONITOR_IMAGE')) {
            Add-Problem "This machine's engine is $machine; the image is built for x86_64." 'Name an image that was built for it with -Image.'
        }
        $volume = Invoke-Docker @('volume', 'inspect', '--format', '{{index .Labels "flageemonitor.runtime"}}', $site.Volume)
        $site.HasVolume = $volume.Code -eq 0
        if ($site.HasVolume -and $volume.Out -cne $RuntimeName) {
            Add-Problem "A volume $($site.Volume) exists that FlageeMonitor did not make." 'Remove it, or choose another name with -RuntimeName.'
        }
        if ((Invoke-Docker @('--context', 'default', 'version')).Code -ne 0) {
            $site.Notes += Get-Text "Docker's default context does not answer. The task $RuntimeName-repair, which runs as SYSTEM, uses that context."
        }
    }

    function Test-Authority {
        $own = Join-Path $site.Config 'ca.pem'
        if ($Ca) {
            $path = Get-FullPath $Ca
            if (Test-File $path) {
                $site.Trust, $site.Authority = $path, [System.IO.File]::ReadAllText($path)
            } else {
                Add-Problem "$Ca cannot be read." 'Correct the path.'
            }
        } elseif ((Test-File $own) -and (Get-EnvValue 'FLAGEEMONITOR_CA_PATH')) {
            $site.Trust = $own
        }
        if ($RegistryTokenFile -and -not (Test-File (Get-FullPath $RegistryTokenFile))) {
            Add-Problem "$RegistryTokenFile cannot be read." 'Correct the path.'
        }
    }

    function Test-Server {
        $url = $site.Values['HEALTH_URL']
        $said = Invoke-Curl @('-o', 'NUL', '-w', '%{http_code} %{content_type}', $url)
        $why, $answer = (Get-Cause $said), $said.Out
        if ($said.Code -eq 127) {
            Add-Problem 'curl.exe is not on this host; it comes with Windows 10 1803, Windows Server 2019 and later.' 'Update Windows.'
        } elseif ($said.Code -eq 0 -and $said.Out -cmatch '\A200 .*json') {
            return
        } elseif ($said.Code -eq 0) {
            Add-Problem "The answer at $url is not that of a healthy control plane (HTTP $answer)." `
                'Let this host through the firewall or sign-in portal, or name the right proxy in HTTPS_PROXY; else ask its operator.'
        } else {
            Add-Problem "The control plane cannot be reached at ${url}: $why" `
                "Check DNS, firewall, proxy settings and this host's clock. For a private authority: -Ca FILE."
        }
    }

    # ---- Image

    # The form of `docker login`: the password is in no argument, and no keyring gets it.
    function New-Credentials {
        if ($RegistryTokenFile) {
            $secret = Select-First @([System.IO.File]::ReadAllLines((Get-FullPath $RegistryTokenFile)) | Select-Object -First 1)
        } elseif (Test-Console) {
            $typed = Read-Host -Prompt (Get-Text "Password or token of $RegistryUser") -AsSecureString
            $secret = (New-Object System.Net.NetworkCredential -ArgumentList '', $typed).Password
        } else {
            $secret = ''
        }
        if (-not $secret) {
            Stop-Here 1 "There is no password of $RegistryUser." 'Give it with -RegistryTokenFile FILE. Nothing was changed.'
        }
        $registry = $site.Image.Split('/')[0]
        if ($registry -ceq $site.Image -or ($registry -cnotmatch '[.:]' -and $registry -cne 'localhost') -or $registry -ceq 'docker.io') {
            $registry = 'https://index.docker.io/v1/'
        }
        $basic = [Convert]::ToBase64String((New-Object System.Text.UTF8Encoding $false).GetBytes("${RegistryUser}:$secret"))
        return "{`"auths`": {`"$registry`": {`"auth`": `"$basic`"}}}"
    }

    function Save-Image {
        Write-Step "Pulling $($site.Image)"
        $credentials = Join-Path $site.Folder 'docker'
        $work = ''
        try {
            if ($RegistryUser) {
                $site.Credentials = New-Credentials
                $credentials = $work = Join-Path ([System.IO.Path]::GetTempPath()) ([guid]::NewGuid().ToString())
                Protect-Folder $work
                [System.IO.File]::WriteAllText((Join-Path $work 'config.json'), $site.Credentials)
            }
            $login = if (Test-File (Join-Path $credentials 'config.json')) { @('--config', $credentials) } else { @() }
            $said = Invoke-Docker ($login + @('pull', '--quiet', $site.Image))
        } finally {
            if ($work) { Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue }
        }
        if ($said.Code -ne 0) {
            $why = Get-Cause $said
            Stop-Here 1 "The image $($site.Image) cannot be pulled. $why" `
                'Nothing was changed. Check that its registry is reachable. If it asks for a login: -RegistryUser NAME.'
        }
    }

    function Test-Verb([string]$Reference, [string]$Verb) {
        $said = Invoke-Docker @('image', 'inspect', '--format', '{{index .Config.Labels "flageemonitor.verbs"}}', $Reference)
        return $said.Code -eq 0 -and @($said.Out.Split(' ')) -ccontains $Verb
    }

    # ---- Folders, and who may do what in them

    # For administrators and SYSTEM alone, inherited by what is made inside: rights of others, given by name, go.
    function Protect-Folder([string]$Path, [string[]]$Inside = @()) {
        $null = [System.IO.Directory]::CreateDirectory($Path)
        Invoke-Icacls @($Path, '/setowner', '*S-1-5-32-544')
        Invoke-Icacls (@($Path, '/reset') + $Inside)
        Invoke-Icacls @($Path, '/inheritance:r', '/grant:r', '*S-1-5-32-544:(OI)(CI)F', '/grant:r', '*S-1-5-18:(OI)(CI)F')
    }

    function New-Folders {
        Protect-Folder $site.Base
        Protect-Folder $site.Folder @('/T', '/C')
        # Of what only administrators may change: SYSTEM runs the commands.
        foreach ($path in @($site.Config, $site.Bin)) { Protect-Folder $path }
        if (-not $site.HasVolume) {
            $said = Invoke-Docker @('volume', 'create', '--label', "flageemonitor.runtime=$RuntimeName", $site.Volume)
            if ($said.Code -ne 0) {
                $why = Get-Cause $said
                Stop-Here 1 "The volume $($site.Volume) cannot be created: $why"
            }
            $site.MadeVolume = $true
        }
        Open-Folders
        # Deploy must find it: so the engine mounts what this host sees. Nobody knows its name beforehand.
        $site.Seen = [guid]::NewGuid().ToString('N')
        $null = [System.IO.Directory]::CreateDirectory((Join-Path $site.Folder ".seen-$($site.Seen)"))
    }

    # A container reads folders of Windows with the rights of whom Docker Desktop runs as. That account gets what it needs where
    # administrators and SYSTEM are not enough.
    function Open-Folders {
        if (Test-Mount) { return }
        foreach ($account in @(Get-DockerAccounts)) {
            $also = if (Test-AdministratorAccount $account) { 'M' } else { 'RX' }
            foreach ($path in @($site.Folder, $site.Config)) { Invoke-Icacls @($path, '/grant:r', "*${account}:(OI)(CI)M") }
            Invoke-Icacls @($site.Bin, '/grant:r', "*${account}:(OI)(CI)$also")
            $site.Notes += Get-Text "$account, which Docker Desktop runs as, may read the settings and the token: its containers need them."
            if ($also -ceq 'RX') {
                $site.Notes += Get-Text "$account is no administrator, so that updates cannot renew the commands in $($site.Bin)."
            }
        }
        if (-not (Test-Mount)) {
            Stop-Here 1 "A container cannot read and write $($site.Config)." `
                'Check that Docker Desktop shares this drive with containers, and that its user is signed in.'
        }
    }

    # Whether a container can read what it must, and write where the proxy does.
    function Test-Mount {
        $given = Join-Path $site.Config '.given'
        $taken = Join-Path $site.Config '.taken'
        $word = [guid]::NewGuid().ToString()
        [System.IO.File]::WriteAllText($given, $word)
        $said = Invoke-Docker @(
            'run', '--rm', '--user', '10001:10001', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '-v', "$($site.Config):/probe",
            '--entrypoint', '/bin/sh', $site.Image, '-c', 'cat /probe/.given >/probe/.taken && cat /probe/.taken'
        )
        $works = $said.Code -eq 0 -and $said.Out -ceq $word -and (Test-File $taken)
        foreach ($path in @($given, $taken)) { [System.IO.File]::Delete($path) }
        return $works
    }

    # What is empty goes: of a failed first installation, or after -Uninstall. Deploy has these folders mounted and cannot remove them.
    function Remove-EmptyFolders {
        foreach ($path in @((Join-Path $site.Folder ".seen-$($site.Seen)"), $site.Bin, $site.Config, $site.Folder, $site.Base)) {
            try { [System.IO.Directory]::Delete($path) } catch { $null = $_ }
        }
    }

    # ---- deploy, in a one-shot container of the image

    # What deploy reads on its stdin: nothing of it is in an argument, a file or the environment.
    function Get-Request {
        $lines = @($site.Values.Keys | ForEach-Object { "$_=$($site.Values[$_])" })
        $lines += @("SEEN=$($site.Seen)", "HOSTNAME=$(Select-First @(([Environment]::MachineName -creplace '[^A-Za-z0-9._-]', ''), 'unknown'))")
        foreach ($path in @((Join-Path (Split-Path $site.Base) 'AriusMonitor'), (Join-Path $site.Base 'config'))) {
            if ((Test-Path -LiteralPath $path) -and $RuntimeName -cne 'ariusmonitor') { $lines += "LEGACY_FOLDER=$path" }
        }
        if ($site.Authority) { $lines += @($site.Authority -split '\r?\n' | Where-Object { $_ } | ForEach-Object { "CA=$_" }) }
        if ($site.Credentials) { $lines += "CREDENTIALS=$($site.Credentials)" }
        ($lines -join "`n") + "`n"
    }

    # Shows what deploy prints, and gives its exit code. Ctrl-C goes to deploy, which takes back what it has begun, or finishes it
    # where that is soon.
    function Invoke-Deploy([string]$Reference, [string]$Verb, [string[]]$More, [string]$Request = '') {
        $name, $tongue = "$RuntimeName-deploy", $(if (Test-Portuguese) { 'pt-BR' } else { 'en' })
        switch ((Get-Container $name).State) {
            'none' { break }
            'away' { Stop-Here 1 'The Docker engine went away. Nothing was changed.' }
            { @('created', 'exited', 'dead') -ccontains $_ } { $null = Invoke-Docker @('rm', $name) } # never by force
            default {
                Stop-Here 6 "Another installer or update of $RuntimeName is in progress; nothing was changed." 'Try again in a minute.'
            }
        }
        # What does not exist is not mounted: the engine would create it.
        $mounts = @(
            if (Test-Folder $site.Folder) { '-v', "$($site.Folder):/host/etc" }
            if (Test-Folder $site.Bin) { '-v', "$($site.Bin):/host/bin" }
            if ($site.HasVolume -or $site.MadeVolume) { '-v', "$($site.Volume):/host/data" }
        )
        $process = Start-Program (Get-Docker) (@(
                'run', '-i', '--rm', '--name', $name, '--label', "flageemonitor.runtime=$RuntimeName", '--label', 'flageemonitor.role=deploy',
                '--user', '0:0', '--network', 'none', '--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL', '--cap-add', 'DAC_OVERRIDE',
                '--cap-add', 'CHOWN', '--cap-add', 'FOWNER', '--security-opt', 'no-new-privileges', '--security-opt', 'label=disable',
                '-e', 'HTTPS_PROXY', '-e', 'HTTP_PROXY', '-e', 'NO_PROXY', '-e', 'ALL_PROXY', '-v', '/var/run/docker.sock:/var/run/docker.sock'
            ) + $mounts + @(
                $Reference, 'deploy', $Verb, '--runtime-name', $RuntimeName, '--host-os', 'windows', '--socket', '/var/run/docker.sock',
                '--config-source', $site.Config, '--data-source', $site.Volume, '--lang', $tongue
            ) + $More)
        $script:Answered = $false
        $coming = @{ Out = $process.StandardOutput.ReadLineAsync(); Err = $process.StandardError.ReadLineAsync() }
        $ended = $false
        try {
            Close-Input $process $Request
            while ($coming.Count -gt 0) { Receive-Line $process $coming | Write-Host }
            $ended = $true
        } finally {
            if (-not $ended) {
                $null = Invoke-Docker @('kill', '--signal', 'INT', $name)
                while ($coming.Count -gt 0) { foreach ($line in @(Receive-Line $process $coming)) { [Console]::Out.WriteLine($line) } }
            }
            $process.WaitForExit()
            $site.Code = $process.ExitCode
        }
        if (-not $script:Answered) {
            Write-Message "$Reference gave no answer: it cannot run here, or it failed. Check the proxy, or use another image."
        }
        if ($site.Code -ge 125) {
            Stop-Here 1 "The engine did not start $Reference, or went away while it was at work (docker: $($site.Code)). What was changed is not known." `
                'When the engine answers, start this again: it completes what was begun, or takes it back.'
        }
    }

    function Get-DeployOptions {
        if ($Image) { '--image', $Image }
        if ($WatchtowerImage) { '--watchtower-image', $WatchtowerImage }
        if ($WatchtowerInterval) { '--watchtower-interval', $WatchtowerInterval }
        if ($DockerNetwork) { '--docker-network', $DockerNetwork }
        if ($UpdateWindow) { '--update-window', $UpdateWindow }
        if ($NoAutoUpdate) { '--no-auto-update' }
        if ($ReplaceLegacy) { '--replace-legacy' }
        if ($BesideLegacy) { '--beside-legacy' }
        if ($AllowForeignWatchtower) { '--allow-foreign-watchtower' }
        if ($DryRun) { '--dry-run' }
    }

    function Install-Proxy {
        Assert-Host
        Save-Image
        if (-not (Test-Verb $site.Image 'install')) {
            $release, $needed = $site.Values['SERVER_VERSION'], $site.Values['IMAGE']
            Stop-Here 1 "The image $($site.Image) is older than this installer and cannot install itself." `
                "Nothing was changed. Needed: release $release of the control plane, or a later one: -Image $needed"
        }
        try {
            if (-not $DryRun) { New-Folders }
            $network = $site.Values['NETWORK']
            Write-Step "Installing $RuntimeName for network $network"
            Invoke-Deploy $site.Image 'install' @(Get-DeployOptions) (Get-Request)
        } finally {
            # Also after Ctrl-C. Deploy has taken back what it had made, unless the environment file is there.
            if (-not $DryRun) {
                if ($site.MadeVolume -and -not (Test-File $site.EnvFile)) { $null = Invoke-Docker @('volume', 'rm', $site.Volume) }
                Remove-EmptyFolders
            }
        }
        # As the timer on Linux: whatever else failed, a proxy that is installed is to be repaired.
        if (-not $DryRun -and ($site.Code -eq 0 -or (Test-File $site.EnvFile))) {
            Write-Step "Setting the task $RuntimeName-repair, which repairs every five minutes"
            Register-Task
            Set-PathEntry $site.Bin $true
            Write-Message "The commands are in $($site.Bin), which a new PowerShell of an administrator finds on its Path."
            $site.Notes | Select-Object -Unique | ForEach-Object { $note = $_; Write-Message "Note: $note" }
        }
    }

    # ---- Removing. RUNTIME-uninstall does the same without this script.

    function Uninstall-Proxy {
        if (-not (Test-Administrator)) {
            Stop-Here 1 'This needs an administrator. Nothing was changed.' 'Open PowerShell as administrator, and paste the line again.'
        }
        if ((Test-Path -LiteralPath $site.Folder) -and ((-not (Test-Folder $site.Folder)) -or (Test-Link $site.Folder))) {
            Stop-Here 1 "Not removed: $($site.Folder) is a link or a file. Nothing was changed."
        }
        Test-Engine
        if ($site.Problems) {
            $problems = $site.Problems -join "`n"
            Stop-Here 1 "not removed; nothing was changed. What is in the way:`n$problems"
        }
        $delete = [bool]$DeleteData
        if (-not ($KeepData -or $DeleteData -or $Yes -or $DryRun) -and (Test-Console)) {
            $delete = (Read-Host -Prompt (Get-Text "Delete the data in the volume $($site.Volume) as well? [y/N]")) -match '\A[ys]'
        }
        $healthy = Join-Path $site.Folder 'healthy_image'
        $healthy = if (Test-File $healthy) { [System.IO.File]::ReadAllText($healthy).Trim() } else { '' }
        $running = (Invoke-Docker @('container', 'inspect', '--format', '{{.Image}}', $RuntimeName)).Out
        $found = Select-First @(@($running, $site.Image, $healthy, $site.Values['IMAGE']) | Where-Object { $_ -and (Test-Verb $_ 'uninstall') })
        if (-not $found) {
            Write-Message "No image on this host can remove $RuntimeName, so one is pulled. By hand: Unregister-ScheduledTask $RuntimeName-repair; docker rm -f `$(docker ps -aq --filter label=flageemonitor.runtime=$RuntimeName); then $($site.Folder) and the volume $($site.Volume)."
            Save-Image
            $found = $site.Image
            if (-not (Test-Verb $found 'uninstall')) {
                Stop-Here 1 "The image $found is older than this installer and cannot remove $RuntimeName." 'Nothing was changed. Name a later one with -Image.'
            }
        }
        Write-Step "Removing $RuntimeName"
        try {
            if (-not $DryRun) { Unregister-Task }
            $site.Code = 1
            Invoke-Deploy $found 'uninstall' @(if ($delete) { '--delete-data' }; if ($DryRun) { '--dry-run' })
        } finally {
            # What was not removed is still to be repaired.
            if ($site.Code -ne 0 -and -not $DryRun -and (Test-File $site.EnvFile)) { Register-Task }
        }
        if ($site.Code -eq 0 -and -not $DryRun) {
            Set-PathEntry $site.Bin $false
            if ($delete) { $null = Invoke-Docker @('volume', 'rm', $site.Volume) }
            Remove-EmptyFolders
        }
    }

    # ---- All of it

    $asFile = [bool]$PSCommandPath
    Set-StrictMode -Version 2.0
    $code = 0
    try {
        Assert-Options
        $base = Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'FlageeMonitor'
        $folder = Join-Path $base $RuntimeName
        $site = @{
            Values = Get-Rendered; Base = $base; Folder = $folder; Config = Join-Path $folder 'config'; Bin = Join-Path $folder 'bin'
            EnvFile = Join-Path $folder 'flageemonitor.env'; Volume = "$RuntimeName-data"; HasVolume = $false; MadeVolume = $false
            Image = ''; Trust = ''; Authority = ''; Credentials = ''; Seen = ''; Code = 0; Problems = @(); Notes = @()
        }
        $site.Image = Select-First @($Image, (Get-EnvValue 'FLAGEEMONITOR_IMAGE'), (Get-EnvValue 'ARIUSMONITOR_IMAGE'), [string]$site.Values['IMAGE'])
        if ($Uninstall) { Uninstall-Proxy } else { Install-Proxy }
        $code = if (@(0, 2, 6) -contains $site.Code) { $site.Code } else { 1 }
    } catch {
        if (-not $_.Exception.Data.Contains('ExitCode')) { throw }
        $code = $_.Exception.Data['ExitCode']
    }
    $global:LASTEXITCODE = $code # not that of an older program
    if ($code -ne 0) {
        # Pasted, `exit` would close the window with everything that was said.
        if ($asFile) { exit $code }
        throw (Get-Text "Not done (exit code $code); the lines above say why.")
    }
} # Without this line it is no PowerShell: a download that was cut off does nothing.
