# FlageeMonitor Proxy, flageemonitor-update-image: updates, mends and rolls back this runtime and its Watchtower.
# Written by the installer and by every update: what is changed here is lost.

<#
.SYNOPSIS
Updates, mends and rolls back this runtime and its Watchtower. Wants an administrator.

.DESCRIPTION
Usage: flageemonitor-update-image [--repair | --rollback | --resume | --status] [--force] [--wait N] [--output json]

Without an option: pulls the image that flageemonitor.env in the runtime's folder names and goes over to it. The new image must
prove itself first; runs at work are waited for; whatever fails, the previous one goes on or comes back.

  --repair       put right what is missing, stopped or different from what is specified; a task calls this every 5 minutes
  --rollback     go back to the last healthy image before this one, and stay there
  --resume       end that, and update
  --status       tell, and change nothing
  --wait N       seconds that runs at work may take (default 600; --repair waits for none unless told)
  --force        do not wait for runs; update although it was rolled back
  --output json  the answer as one JSON object

Exit codes: 0 as wanted, 1 nothing was changed or it is said what was, 2 usage or environment file, 6 another update is at work,
10 the new image was refused, 11 the previous one is back, 12 neither runs, 69 no Docker engine, 75 runs are still at work.

.EXAMPLE
flageemonitor-update-image --status
#>

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$runtime = if ($env:RUNTIME_NAME) { $env:RUNTIME_NAME } else { '@RUNTIME_NAME@' }
$program = [System.IO.Path]::GetFileNameWithoutExtension($PSCommandPath)
$folder = Join-Path (Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'FlageeMonitor') $runtime
$ExitCode = 0

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

# The same in every wrapper.
function Write-Message([string]$Text) {
    [Console]::Error.WriteLine($Text)
}

# Ends the script with the code: what is wrong, and then what to do, a line each. Output goes where the script's output goes.
function Stop-Script([int]$Code, [string[]]$Lines, [string]$Output = '') {
    Write-Message "${program}: $($Lines[0])"
    foreach ($line in @($Lines | Select-Object -Skip 1)) {
        Write-Message "  $line"
    }
    $stop = New-Object System.InvalidOperationException -ArgumentList $Lines[0]
    $stop.Data['ExitCode'] = $Code
    $stop.Data['Output'] = $Output
    throw $stop
}

function Assert-Runtime {
    if ($runtime -cnotmatch '\A[a-z0-9][a-z0-9_.-]{0,39}\z') {
        Stop-Script 2 @("RUNTIME_NAME is not the name of a runtime: $runtime")
    }
}

# What was typed: a number or a list of PowerShell's is text again.
function ConvertTo-Words([object[]]$Given) {
    foreach ($word in $Given) {
        if ($word -is [array]) {
            @($word | ForEach-Object { "$_" }) -join ','
        } else {
            "$word"
        }
    }
}

function Show-Help {
    (Get-Help -Name $PSCommandPath -Full | Out-String).Trim()
}

# Comes back only when the engine answers.
function Assert-Engine {
    if (-not (Get-Docker)) {
        Stop-Script 69 @('docker is not installed on this host, or is not on PATH')
    }
    $said = Invoke-Docker @('version', '--format', '{{.Server.Version}}')
    if ($said.Code -ne 0) {
        $why = ConvertTo-OneLine ($said.Err + ' ' + $said.Out)
        if ($why -match 'denied') {
            Stop-Script 69 @("the Docker engine does not let $env:USERNAME in", 'open PowerShell as administrator')
        }
        Stop-Script 69 @("the Docker engine does not answer: $why", 'start Docker Desktop, and see that it runs Linux containers')
    }
}

# Identity is a text that changes when the container is stopped, started or replaced; empty when there is none.
function Get-Container([string]$Name) {
    $format = '{{.Name}} {{.State.Status}} {{.Id}} {{.State.StartedAt}}'
    $said = Invoke-Docker @('container', 'inspect', '--format', $format, $Name)
    # Docker also answers to the beginning of another container's id.
    if ($said.Code -ne 0 -or -not $said.Out.StartsWith("/$Name ", [System.StringComparison]::Ordinal)) {
        return @{ Identity = ''; State = '' }
    }
    return @{ Identity = $said.Out; State = $said.Out.Split(' ')[1] }
}

# The container; comes back only when it exists.
function Assert-Container([string]$Name) {
    $found = Get-Container $Name
    if ($found.Identity) {
        return $found
    }
    Assert-Engine
    $repair = "if $folder is there, make it again, as administrator: $runtime-update-image --repair"
    $others = ConvertTo-OneLine ((Invoke-Docker @('ps', '-a', '--filter', 'label=flageemonitor.role=runtime', '--format', '{{.Names}}')).Out)
    if ((Invoke-Docker @('ps', '-q', '--filter', "name=^/$runtime-deploy`$")).Out) {
        Stop-Script 69 @("there is no container $Name just now: an update of $runtime is at work", 'try again in a minute')
    } elseif (-not $others) {
        Stop-Script 69 @("there is no container $Name, and no other runtime on this host", $repair)
    }
    $first = $others.Split(' ')[0]
    Stop-Script 69 @("there is no container $Name; runtimes on this host: $others", "use another one's command, for example: $first-run ...", $repair)
}

# The container; comes back only when it runs.
function Assert-Running([string]$Name) {
    $found = Assert-Container $Name
    if ($found.State -eq 'paused') {
        Stop-Script 69 @("the container $Name is paused", "go on with it: docker unpause $Name")
    } elseif ($found.State -ne 'running') {
        Stop-Script 69 @(
            "the container $Name does not run: it is $($found.State)",
            "see why: $runtime-logs",
            "mend it, as administrator: $runtime-update-image --repair"
        )
    }
    return $found
}

# Sets ExitCode to docker's and gives its output line by line, as strings; errors go where errors go. When Ctrl-C or the reader of the
# output ends this script, OnStop gets the process and the lines that are still to come.
function Invoke-Live([string[]]$Arguments, [scriptblock]$OnStop) {
    $process = Start-Program (Get-Docker) $Arguments
    if ($null -eq $process) {
        Stop-Script 69 @('docker cannot be started')
    }
    $process.StandardInput.Close()
    $coming = @{ Out = $process.StandardOutput.ReadLineAsync(); Err = $process.StandardError.ReadLineAsync() }
    $ended = $false
    try {
        while ($coming.Count -gt 0) {
            Receive-Line $process $coming
        }
        $process.WaitForExit()
        $script:ExitCode = $process.ExitCode
        $ended = $true
    } finally {
        if (-not $ended) {
            & $OnStop $process $coming
        }
    }
}

# At most one line of each stream; waits a moment for it, and no longer, so that Ctrl-C is noticed.
function Receive-Line($Process, [hashtable]$Coming) {
    $null = [System.Threading.Tasks.Task]::WaitAny([System.Threading.Tasks.Task[]]@($Coming.Values), 200)
    foreach ($stream in @($Coming.Keys)) {
        if ($Coming[$stream].IsCompleted) {
            $line = $Coming[$stream].Result
            if ($null -eq $line) {
                $Coming.Remove($stream)
            } elseif ($stream -eq 'Out') {
                $Coming[$stream] = $Process.StandardOutput.ReadLineAsync()
                $line
            } else {
                $Coming[$stream] = $Process.StandardError.ReadLineAsync()
                Write-Message $line
            }
        }
    }
}

# After Ctrl-C nothing goes through the pipeline any more: the rest is written to the console.
function Receive-Rest($Process, [hashtable]$Coming) {
    while ($Coming.Count -gt 0) {
        foreach ($line in @(Receive-Line $Process $Coming)) {
            [Console]::Out.WriteLine($line)
        }
    }
    $Process.WaitForExit()
    $global:LASTEXITCODE = $Process.ExitCode
}

# Value of the key in the environment file, which is read and never run.
function Get-EnvValue([string]$Key) {
    $value = ''
    foreach ($line in [System.IO.File]::ReadAllLines((Join-Path $folder 'flageemonitor.env'))) {
        if ($line -cmatch ('\A' + [regex]::Escape($Key) + '=(.*)\z')) {
            $value = $Matches[1].Trim()
        }
    }
    $value
}

function Test-Administrator {
    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

# A name that docker cannot take for an option.
function Test-Image([string]$Name) {
    $Name -cmatch '\A[A-Za-z0-9][A-Za-z0-9._/:@-]*\z'
}

# Like Stop-Script, and where JSON was asked for in the form that deploy gives it.
function Stop-Update([int]$Code, [string]$Reason, [string[]]$Lines) {
    $answer = [ordered]@{
        schema = 1
        verb = $wish.Verb
        runtime = $runtime
        reason = $Reason
        message = $Lines[0]
        advice = @($Lines | Select-Object -Skip 1) -join ' '
        notes = @()
        log = ''
        exit_code = $Code
        report = $null
    }
    $output = if ($wish.Output -ceq 'json') { ConvertTo-Json -InputObject $answer -Compress } else { '' }
    Stop-Script $Code $Lines $output
}

function Test-ImageHere([string]$Name) {
    (Invoke-Docker @('image', 'inspect', $Name)).Code -eq 0
}

# Empty, or why not.
function Get-PullProblem([string]$Name) {
    $login = @()
    if (Test-Path -LiteralPath (Join-Path $folder 'docker\config.json') -PathType Leaf) {
        $login = @('--config', (Join-Path $folder 'docker'))
    }
    Write-Message "Pulling $Name ..."
    $said = Invoke-Docker ($login + @('pull', '--quiet', $Name))
    if ($said.Code -eq 0) {
        return ''
    }
    return 'docker: ' + (ConvertTo-OneLine ($said.Err + ' ' + $said.Out))
}

# The image whose deploy is to do the work.
function Select-Image {
    $named = Get-EnvValue 'FLAGEEMONITOR_IMAGE'
    if (-not $named) {
        $named = Get-EnvValue 'ARIUSMONITOR_IMAGE'
    }
    if (-not (Test-Image $named)) {
        Stop-Update 2 'bad_environment' @("FLAGEEMONITOR_IMAGE in $folder\flageemonitor.env is not the name of an image: '$named'")
    }
    if ($wish.Verb -ceq 'apply' -or $wish.Verb -ceq 'resume') {
        $problem = Get-PullProblem $named
        if ($problem) {
            Stop-Update 1 'image_unavailable' @(
                "the image $named cannot be had: $problem",
                'nothing was changed; what ran goes on',
                "is the registry reachable, and are the credentials in $folder\docker\config.json valid?"
            )
        }
        return $named
    }
    # Never the image that may have to be mended.
    $healthy = ''
    $note = Join-Path $folder 'healthy_image'
    if (Test-Path -LiteralPath $note -PathType Leaf) {
        $healthy = [System.IO.File]::ReadAllText($note).Trim()
    }
    if ((Test-Image $healthy) -and ((Test-ImageHere $healthy) -or -not (Get-PullProblem $healthy))) {
        return $healthy
    }
    if (-not (Test-ImageHere $named)) {
        $problem = Get-PullProblem $named
        if ($problem) {
            Stop-Update 1 'image_unavailable' @(
                "neither the last healthy image nor $named can be had: $problem",
                'nothing was changed; is the registry reachable?'
            )
        }
    }
    return $named
}

function Stop-Busy {
    Stop-Update 6 'busy' @("another update of $runtime is at work", "it ends by itself; follow it: docker logs -f $runtime-deploy")
}

# A container of this name is either another deploy at work, or was left behind by an engine that was killed.
function Clear-Name {
    foreach ($try in 1..4) {
        $found = Get-Container "$runtime-deploy"
        if (-not $found.Identity) {
            return
        } elseif (@('running', 'paused', 'restarting') -ccontains $found.State) {
            Stop-Busy
        }
        if ($try -lt 3 -and @('created', 'removing') -ccontains $found.State) {
            [System.Threading.Thread]::Sleep(1000)
        } else {
            $null = Invoke-Docker @('rm', '-f', "$runtime-deploy")
        }
    }
    Stop-Update 1 'engine_error' @("the container $runtime-deploy was left behind and cannot be removed", "try: docker rm -f $runtime-deploy")
}

# The command line of the one-shot container, as docs/deployment.md has it.
function Get-DeployCommand([string]$Image, [string[]]$More) {
    @(
        'run', '--rm', '--name', "$runtime-deploy", '--user', '0:0', '--network', 'none', '--read-only', '--tmpfs', '/tmp',
        '--cap-drop', 'ALL', '--cap-add', 'DAC_OVERRIDE', '--cap-add', 'CHOWN', '--cap-add', 'FOWNER',
        '--security-opt', 'no-new-privileges',
        '-v', '/var/run/docker.sock:/var/run/docker.sock', '-v', "${folder}:/host/etc", '-v', "$runtime-data:/host/data",
        '-v', "$(Join-Path $folder 'bin'):/host/bin",
        $Image, 'deploy', $wish.Verb, '--runtime-name', $runtime, '--host-os', 'windows', '--socket', '/var/run/docker.sock',
        '--config-source', (Join-Path $folder 'config'), '--data-source', "$runtime-data"
    ) + $More
}

function Stop-Usage([string]$What) {
    Stop-Script 2 @($What, "see: $program --help")
}

# What is wanted: Verb, Output, and More for deploy.
function Read-Wish([string[]]$Given) {
    $wish = @{ Verb = 'apply'; Output = ''; More = @() }
    for ($at = 0; $at -lt $Given.Count; $at++) {
        $option = $Given[$at]
        $value = $null
        if ($option -cmatch '\A(--wait|--output)=(.*)\z') {
            $option = $Matches[1]
            $value = $Matches[2]
        } elseif ($option -ceq '--wait' -or $option -ceq '--output') {
            $at++
            if ($at -ge $Given.Count) {
                Stop-Usage "$option wants a value"
            }
            $value = $Given[$at]
        }
        if (@('--repair', '--rollback', '--resume', '--status') -ccontains $option) {
            if ($wish.Verb -cne 'apply') {
                Stop-Usage "--$($wish.Verb) and $option do not go together"
            }
            $wish.Verb = $option.Substring(2)
        } elseif ($option -ceq '--force') {
            $wish.More += '--force'
        } elseif ($option -ceq '--wait') {
            if ($value -cnotmatch '\A[0-9]+\z') {
                Stop-Script 2 @("--wait takes a number of seconds, not '$value'")
            }
            $wish.More += @('--wait', $value)
        } elseif ($option -ceq '--output') {
            if ($value -cne 'json' -and $value -cne 'table') {
                Stop-Script 2 @("--output takes json or table, not '$value'")
            }
            $wish.Output = $value
            $wish.More += @('--output', $value)
        } else {
            Stop-Usage "unknown option: $option"
        }
    }
    return $wish
}

function Invoke-Main([string[]]$Given) {
    if ($Given -ccontains '-h' -or $Given -ccontains '--help') {
        return Show-Help
    }
    $wish = Read-Wish $Given
    if (-not (Test-Administrator)) {
        Stop-Update 2 'not_root' @('this needs an administrator', 'open PowerShell as administrator')
    }
    if (-not (Test-Path -LiteralPath (Join-Path $folder 'flageemonitor.env') -PathType Leaf)) {
        Stop-Update 2 'bad_environment' @(
            "there is no $folder\flageemonitor.env: $runtime is not installed here",
            "install it with the line that the control plane's flagee-server install-command --windows prints"
        )
    }
    Assert-Engine
    Clear-Name
    $image = Select-Image
    Invoke-Live (Get-DeployCommand $image $wish.More) {
        param($process, $coming)
        Write-Message "${program}: this cannot be left half-way; waiting for its end"
        Receive-Rest $process $coming
    }
    if ($script:ExitCode -ge 125 -and $script:ExitCode -le 127) {
        # Somebody was faster with the name, or the engine did not start the container.
        if ((Get-Container "$runtime-deploy").State -eq 'running') {
            Stop-Busy
        }
        Stop-Update 1 'engine_error' @("the engine did not start $image (docker: $script:ExitCode)", 'nothing was changed; what ran goes on')
    }
}

# UTF-8 both ways; a host without a console has no encoding to set.
$encoding = $null
try {
    $encoding = [Console]::OutputEncoding
    [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
} catch {
    $encoding = $null
}
try {
    Assert-Runtime
    Invoke-Main -Given @(ConvertTo-Words $args)
} catch {
    if (-not $_.Exception.Data.Contains('ExitCode')) {
        throw
    }
    if ($_.Exception.Data['Output']) {
        $_.Exception.Data['Output']
    }
    $ExitCode = $_.Exception.Data['ExitCode']
} finally {
    if ($null -ne $encoding) {
        [Console]::OutputEncoding = $encoding
    }
}
exit $ExitCode
