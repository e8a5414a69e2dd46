# FlageeMonitor Proxy, flageemonitor-run: runs an action inside the container of this runtime.
# Written by the installer and by every update: what is changed here is lost.

<#
.SYNOPSIS
Runs an action on the terminals of this proxy's network, inside its container.

.DESCRIPTION
Usage: flageemonitor-run ACTION [OPTION]...

In a console it shows colours and progress; in a pipe, plain lines or JSON, which are strings to PowerShell:
flageemonitor-run runs --output json | ConvertFrom-Json. Where the output is taken up in another way than by a pipe, a redirection
or an assignment on the line itself, say the form: --output json or --output table.

Exit codes are the run's own; 130 cancelled, 69 when the container does not run. Ctrl-C cancels the run inside and waits for its
result. Words that PowerShell would change are written in quotes: 'a,b', '007', '@file'.

RUNTIME_NAME in the environment names another runtime of this host.

.EXAMPLE
flageemonitor-run diagnose_env --loja 1

Looks at every terminal of store 1.

.EXAMPLE
flageemonitor-run doctor

Checks everything that a run needs.

.EXAMPLE
flageemonitor-run runs

The last runs.
#>

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$runtime = if ($env:RUNTIME_NAME) { $env:RUNTIME_NAME } else { '@RUNTIME_NAME@' }
$program = [System.IO.Path]::GetFileNameWithoutExtension($PSCommandPath)
$folder = Join-Path (Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'FlageeMonitor') $runtime
$ExitCode = 0
$scriptInvocation = $MyInvocation

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

# Whether a person looks at the output: as far as can be told, nothing takes it up. $Invocation is the script's own $MyInvocation.
function Test-Terminal($Invocation, [string[]]$Given) {
    if ($Host.Name -ne 'ConsoleHost' -or [Console]::IsInputRedirected -or [Console]::IsOutputRedirected) {
        return $false
    }
    if ($Invocation.ScriptName -or $Invocation.PipelineLength -ne 1 -or ($Given -clike '--output*')) {
        return $false
    }
    if (-not $Invocation.Line) {
        return $true
    }
    # What PowerShell does with the output it does not tell; the line that was typed does.
    $tokens = $null
    $errors = $null
    $tree = [System.Management.Automation.Language.Parser]::ParseInput($Invocation.Line, [ref]$tokens, [ref]$errors)
    $statements = @($tree.EndBlock.Statements)
    if ($statements.Count -ne 1 -or $statements[0] -isnot [System.Management.Automation.Language.PipelineAst]) {
        return $false
    }
    $elements = @($statements[0].PipelineElements)
    if ($elements.Count -ne 1 -or $elements[0] -isnot [System.Management.Automation.Language.CommandAst]) {
        return $false
    }
    return $elements[0].Redirections.Count -eq 0
}

# A run is known by its id once it has registered, a moment after its start.
function Stop-Run([string]$Invocation) {
    Write-Message "${program}: cancelling; waiting for hosts at work and the result"
    foreach ($try in 1..15) {
        $said = Invoke-Docker @('exec', $runtime, '/flageemonitor/run_action.sh', 'cancel', $Invocation)
        if ($said.Code -eq 0) {
            return
        }
        [System.Threading.Thread]::Sleep(1000)
    }
}

function Invoke-OnTerminal([string[]]$Arguments, [string]$Invocation) {
    $process = Start-Program (Get-Docker) $Arguments -Shown
    if ($null -eq $process) {
        Stop-Script 69 @('docker cannot be started')
    }
    $ended = $false
    try {
        # Ctrl-C is the container's here: docker takes it as any other key.
        while (-not $process.WaitForExit(200)) {
            continue
        }
        $script:ExitCode = $process.ExitCode
        $ended = $true
    } finally {
        if (-not $ended) {
            Stop-Run $Invocation
        }
    }
}

function Stop-Gone([string]$What, [string]$Invocation) {
    Stop-Script 69 @($What, "what was done until then is on record: $runtime-run runs $Invocation")
}

function Invoke-Main([string[]]$Given) {
    # The container speaks to the operator in the operator's language.
    $language = @('-e', "LANG=$($PSUICulture -replace '-', '_')")
    if ($Given.Count -gt 0 -and ($Given[0] -ceq '-h' -or $Given[0] -ceq '--help')) {
        Show-Help
        if ((Get-Container $runtime).State -eq 'running') {
            Invoke-Live (@('exec') + $language + @($runtime, '/flageemonitor/run_action.sh', '--help')) { param($process) $process.Kill() }
        }
        return
    }
    $before = (Assert-Running $runtime).Identity
    $invocation = [guid]::NewGuid().ToString()
    # The actor is for the record only: the container cannot know who asks.
    $said = @('-e', "FLAGEEMONITOR_INVOCATION=$invocation", '-e', "FLAGEEMONITOR_ACTOR=$env:USERNAME") + $language
    $command = $said + @($runtime, '/flageemonitor/run_action.sh') + $Given
    if (Test-Terminal $scriptInvocation $Given) {
        Invoke-OnTerminal (@('exec', '-it', '-e', 'TERM=xterm-256color') + $command) $invocation
    } else {
        Invoke-Live (@('exec') + $command) {
            param($process, $coming)
            Stop-Run $invocation
            Receive-Rest $process $coming
        }
    }
    if ($script:ExitCode -eq 1) {
        # An engine that went away looks like exit code 1, a container that went away like a kill.
        if ((Invoke-Docker @('version')).Code -ne 0) {
            Stop-Gone 'the Docker engine went away during the run' $invocation
        }
    } elseif ($script:ExitCode -ge 125 -and $script:ExitCode -ne 130) {
        if ((Get-Container $runtime).Identity -cne $before) {
            Stop-Gone "the container $runtime was stopped during the run" $invocation
        }
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
